"""Settings of this nbgrader course; `make homework`, `make grade` and nbgrader's own commands read them."""

from pathlib import Path

c = get_config()  # noqa: F821 - traitlets defines it

c.CourseDirectory.course_id = "convolutional_networks"
c.CourseDirectory.root = str(Path(__file__).resolve().parent)

# A stub that runs: test cells say in words what is missing, so no error has to be deleted first.
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE"}

c.Execute.timeout = 40  # seconds for a cell
c.Execute.iopub_timeout = 20  # seconds for the last output of a cell to arrive

# For a class, a folder that all can write to; this one only keeps nbgrader's pages from asking for another.
c.Exchange.root = str(Path(__file__).resolve().parent / "grading" / "exchange")
