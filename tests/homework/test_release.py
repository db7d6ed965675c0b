"""The committed student versions are what `make homework` makes of the masters."""

import shutil

import pytest
from homework import ANSWERS as MADE
from homework import COURSE, HomeworkError, generate, weeks, write_answers

from course_utils.homework import ANSWERS


def test_the_package_reads_the_file_that_is_made():
    assert ANSWERS == MADE


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A copy of the course without release, gradebook and submissions."""
    course = tmp_path_factory.mktemp("course")
    shutil.copytree(COURSE / "source", course / "source")
    shutil.copyfile(COURSE / "nbgrader_config.py", course / "nbgrader_config.py")
    return course


@pytest.mark.slow
@pytest.mark.parametrize("week", weeks())
def test_release_is_up_to_date(week, fresh):
    committed = (COURSE / "release" / week / f"{week}.ipynb").read_text(encoding="utf-8")
    assert generate(week, fresh).read_text(encoding="utf-8") == committed, "run make homework"


def test_every_week_is_released_and_nothing_else():
    assert (COURSE / "mine").is_dir()  # where members save their copies
    assert sorted(path.name for path in (COURSE / "release").iterdir()) == weeks()


@pytest.mark.slow
def test_wrong_master_is_refused_in_one_sentence(fresh):
    week = weeks()[0]
    path = fresh / "source" / week / f"{week}.ipynb"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("### END SOLUTION", "", 1), encoding="utf-8")
    try:
        with pytest.raises(HomeworkError, match=r"(?i)no end solution statement"):
            generate(week, fresh)
    finally:
        path.write_text(text, encoding="utf-8")


def test_stored_hints_and_solutions_are_up_to_date(tmp_path):
    write_answers(COURSE, tmp_path / "answers.json")
    assert (tmp_path / "answers.json").read_text() == ANSWERS.read_text(), "run make homework"
