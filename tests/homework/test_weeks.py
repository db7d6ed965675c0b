"""Real weeks through real nbgrader: full points, none, many at a time."""

import re
import shutil

import grade
import nbformat
import pytest
from answers import WEEKS, WRONG, cells, marks, tasks
from grade import grade_all
from homework import COURSE, generate
from tiny import TRUST, at, hand_in_week

pytestmark = pytest.mark.slow
QUICKEST = WEEKS[1]
PATIENCE = """
c.Execute.timeout = c.Execute.iopub_timeout = c.Execute.startup_timeout = 1000
c.CarefulExecute.seconds = c.Grading.all = 1500
"""  # right answers are right on a busy machine too


def course_of(week, folder):
    shutil.copytree(COURSE / "source" / week, folder / "source" / week)
    settings = (COURSE / "nbgrader_config.py").read_text(encoding="utf-8")
    (folder / "nbgrader_config.py").write_text(settings + PATIENCE, encoding="utf-8")
    return folder


def filled_in(week, **answers):
    """The release as a member hands it in: the master's answers, some replaced."""
    notebook = nbformat.read(COURSE / "release" / week / f"{week}.ipynb", as_version=4)
    for cell in cells(week, "source"):
        if marks(cell).get("solution"):
            at(notebook, cell.id).source = answers.get(cell.id, cell.source)
    return notebook


def points_of(week, manual):
    graded = [marks(cell) for cell in cells(week, "source") if marks(cell).get("grade")]
    return sum(each["points"] for each in graded if each["solution"] is manual)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Full and untouched ones of each week and odd ones of one: what became of each."""
    course, short = tmp_path_factory.mktemp("weeks"), tmp_path_factory.mktemp("short")
    for week in WEEKS:
        course_of(week, course)
        hand_in_week(course, "full", week, filled_in(week))
        path = generate(week, cut_short(course_of(week, short)))
        hand_in_week(short, "untouched", week, path.read_bytes())
    hand_in_odd(QUICKEST, course)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grade, "SECONDS", 1700)
        graded = [*grade_all(course, trust=TRUST), *grade_all(short, trust=TRUST)]
    return {(one.name, one.week): one for one in graded}


def cut_short(course):
    """Train for a moment only: the experiment of somebody without answers gives none anyhow."""
    for path in course.glob("source/*/*.ipynb"):
        text = re.sub(
            r"\.subset\(\d+\), epochs=\d+", ".subset(64), epochs=1", path.read_text(encoding="utf-8")
        )
        assert text.count("fit(") == text.count("epochs=1,")
        path.write_text(text, encoding="utf-8")
    return course


def hand_in_odd(week, course):
    """Three submissions with one wrong answer each, and one that ends the kernel."""
    wrong = sorted(WRONG.glob(f"{week.split('_')[0]}/*/*.py"))[::16][:3]
    for number, path in enumerate(wrong):
        notebook = filled_in(week, **{path.parent.name: path.read_text()})
        hand_in_week(course, f"member {number}", week, notebook)
    name, task = next(iter(tasks(week).items()))
    hand_in_week(course, "trouble", week, filled_in(week, **{name: f"{task.answer}\nimport os; os._exit(1)"}))


@pytest.mark.parametrize("week", WEEKS)
def test_full_and_untouched(week, outcomes):
    full, nothing = outcomes["full", week], outcomes["untouched", week]
    assert (full.points, full.of) == (points_of(week, False), points_of(week, False) + points_of(week, True))
    assert (full.to_read, full.notes) == (1, [])
    assert (nothing.points, nothing.to_read, nothing.notes) == (0, 0, [])


def test_each_is_graded_for_itself(outcomes):
    odd = {name: one for (name, _), one in outcomes.items() if name not in ("full", "untouched")}
    full = points_of(QUICKEST, False)
    assert {name: 0 < one.points < full for name, one in odd.items()} == {
        **{f"member {number}": True for number in range(3)},
        "trouble": True,
    }
    assert odd["trouble"].notes
