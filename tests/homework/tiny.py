"""A course of one small week, and submissions to it that go wrong in every way seen so far."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import nbformat
from grading import sandbox
from homework import COURSE, generate
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

WEEK = "week0_tiny"
# Without it the tests' submissions are trusted; test_container.py has containers.
TRUST = bool(sandbox.no_bubblewrap())
RIGHT = {"double": "def double(x):\n    return 2 * x", "essay": "이것은 배열이다: an array."}
SETTINGS = """
c.Execute.timeout = 10
c.Grading.memory = 1_500_000_000
c.Grading.all = 120
"""
KERNEL = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}


def _cell(kind, name, source, *, points=None, solution=False, locked=False):
    marks = {"grade": points is not None, "grade_id": name, "locked": locked, "solution": solution}
    marks |= {"schema_version": 3, "task": False} | ({} if points is None else {"points": points})
    return kind(source, id=name, metadata={"nbgrader": marks})


def make_course(course: Path) -> None:
    """Two points by test cells (one hidden) and one for an answer that a person reads."""
    shutil.copytree(_made(), course, dirs_exist_ok=True)


@cache
def _made() -> Path:
    """Made once for a process of tests: nbgrader starts a program for each new gradebook."""
    course = Path(tempfile.mkdtemp()) / "course"
    atexit.register(shutil.rmtree, course.parent)
    cells = [
        new_markdown_cell("# Tiny\n<details><summary>Hint</summary>\n\nTwo.\n\n</details>", id="title"),
        _cell(new_code_cell, "setup", "from course_utils.homework import check", locked=True),
        _cell(
            new_code_cell,
            "double",
            'def double(x):\n    """Twice x."""\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION',
            solution=True,
        ),
        _cell(
            new_code_cell,
            "double-seen",
            'check(double, 3, expected=6, mistakes={"the square": 9}, seconds=1)',
            points=1,
            locked=True,
        ),
        _cell(
            new_code_cell,
            "double-hidden",
            "### BEGIN HIDDEN TESTS\ncheck(double, 5, expected=10, seconds=1)\n### END HIDDEN TESTS",
            points=1,
            locked=True,
        ),
        _cell(new_markdown_cell, "essay", "A model answer.", points=1, solution=True),
    ]
    source = course / "source" / WEEK / f"{WEEK}.ipynb"
    source.parent.mkdir(parents=True)
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), source)
    shutil.copyfile(COURSE / "nbgrader_config.py", course / "nbgrader_config.py")
    with (course / "nbgrader_config.py").open("a") as file:
        file.write(SETTINGS)
    generate(WEEK, course)
    return course


def release(course: Path):
    return nbformat.read(course / "release" / WEEK / f"{WEEK}.ipynb", as_version=4)


def answered(course: Path, **answers: str):
    """The released notebook with answers filled in; RIGHT ones where none is given."""
    notebook = release(course)
    for name, source in (RIGHT | answers).items():
        at(notebook, name).source = source
    return notebook


def at(notebook, name):
    return next(cell for cell in notebook.cells if cell.id == name)


def hand_in(course: Path, member: str, content, filename: str = f"{WEEK}.ipynb") -> None:
    """Write a notebook, bytes, or nothing at all (None) into the member's folder."""
    hand_in_week(course, member, WEEK, content, filename)


def hand_in_week(course: Path, member: str, week: str, content, filename: str = "") -> None:
    folder = course / "submitted" / member / week
    folder.mkdir(parents=True)
    if content is not None:
        content = content if isinstance(content, bytes) else nbformat.writes(content).encode()
        (folder / (filename or f"{week}.ipynb")).write_bytes(content)


def code(body: str) -> dict[str, str]:
    return {"double": f"def double(x):\n    return 2 * x\n{body}"}


def inside(body: str) -> dict[str, str]:
    return {"double": "def double(x):\n" + "\n".join(f"    {line}" for line in body.splitlines())}


SWALLOWS = (
    "import time\nwhile True:\n    try:\n        time.sleep(0.1)\n    except BaseException:\n        pass"
)
FLOOD = "while True:\n    print('again and again' * 100)"
HOARD = "hoard = []\nwhile True:\n    hoard.append(bytearray(50_000_000))"

# member: (answers, points, part of the note)
ANSWERS = {
    "right": ({}, 2, None),
    "[1조] 김 하늘": ({}, 2, None),
    "asks for modules": (code("import torch\nlist(torch.nn.Linear(1, 1).modules())"), 2, None),
    "wrong": (inside("return x * x"), 0, None),
    "a*b": (inside("return 6"), 1, None),
    "a&b": (
        inside("import sys, warnings\nwarnings.warn('old')\nprint('hm', file=sys.stderr)\nreturn 2 * x"),
        2,
        None,
    ),
    "loops for ever": (code("while True:\n    pass"), 2, "did not end in time"),
    "loops inside": (inside("while True:\n    pass"), 0, None),
    "loops stubbornly": (code(SWALLOWS), 0, "could not be interrupted"),
    "kills the kernel": (code("import os\nos._exit(1)"), 0, "ended the kernel"),
    "kills it inside": (inside("import os\nos._exit(1)"), 0, "ended the kernel"),
    "kills it for one": (
        inside("if x == 3:\n    import os\n    os.abort()\nreturn 2 * x"),
        1,
        "ended the kernel",
    ),
    "prints 100 MB": (code("print('x' * 100_000_000)"), 2, "characters of output"),
    "prints for ever": (code(FLOOD), 2, "characters of output"),
    "hoards memory": (code(HOARD), 0, "2 GB of memory"),
    "syntax error": (
        {"double": "def double(x)\n    return 2 * x"},
        0,
        "has a syntax error: expected ':' (line 1)",
    ),
    "calls it check": (
        code("check = double(3)\ncheck"),
        2,
        "gives check another meaning. The tests kept their own",
    ),
    "asks": (code("input('name? ')"), 2, None),
}


def tampered(course: Path) -> dict[str, tuple]:
    """member: (notebook or bytes, file name, points or None where it cannot be graded, part of the note)"""
    deleted = answered(course)
    deleted.cells.remove(at(deleted, "double-seen"))
    bare = answered(course)
    bare.cells = [cell for cell in bare.cells if cell.id in ("double", "essay")]
    gone = answered(course)
    gone.cells.remove(at(gone, "double"))
    duplicated = answered(course)
    duplicated.cells.insert(2, nbformat.from_dict(at(release(course), "double")))
    duplicated.cells.append(nbformat.from_dict(at(duplicated, "double-seen")))
    for number, cell in enumerate(duplicated.cells):
        cell.id = f"cell-{number}"  # JupyterLab gives a copied cell another id and the same marks
    edited = answered(course, **inside("return 7"))
    at(edited, "double-seen").source = "assert True"
    cheaper = answered(course, **inside("return 7"))
    at(cheaper, "double-seen").metadata.nbgrader.update(points=100, locked=False, grade=False)
    retyped = answered(course)
    cell = at(retyped, "double-seen")
    retyped.cells[retyped.cells.index(cell)] = _as_markdown(cell)
    stripped = answered(course)
    for cell in stripped.cells:
        cell.metadata = nbformat.from_dict({})
    other = new_notebook(cells=[new_code_cell("1 + 1")], metadata=KERNEL)
    elsewhere = answered(course)
    elsewhere.metadata.kernelspec.name = "my-conda-env"
    text = nbformat.writes(answered(course))
    korean = text.replace("\\uc774", "이")
    name = f"{WEEK}.ipynb"
    return {
        "deleted test": (deleted, name, 2, "double-seen had been deleted"),
        "deleted all tests": (bare, name, 2, "double-hidden had been deleted"),
        "deleted answer": (gone, name, 0, "double had been deleted"),
        "duplicated id": (duplicated, name, 2, "double is there 2 times"),
        "edited test": (edited, name, 0, "double-seen had been changed"),
        "edited points": (cheaper, name, 0, None),
        "turned into markdown": (retyped, name, 2, "double-seen had been changed"),
        "marks lost": (stripped, name, 2, "were lost and put back"),
        "another notebook": (other, name, None, "None of this week's cells"),
        "other name and kernel": (
            nbformat.writes(elsewhere).encode("utf-8-sig"),
            "Homework (1).ipynb",
            2,
            "The file is called Homework (1).ipynb",
        ),
        "utf-16": (text.encode("utf-16"), name, 2, "utf-16"),
        "cp949": (korean.encode("cp949"), name, 2, "cp949"),
        "half uploaded": (text.encode()[:700], name, None, "no notebook that can be read"),
        "no notebook": (b"\x89PNG\r\n\x1a\n\x00", name, None, "no notebook that can be read"),
        "empty file": (b"", name, None, "no notebook that can be read"),
        "empty folder": (None, name, None, "no notebook (.ipynb)"),
    }


def _as_markdown(cell):
    return new_markdown_cell(cell.source, id=cell.id, metadata=cell.metadata)
