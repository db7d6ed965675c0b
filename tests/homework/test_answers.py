"""Every task: the master earns all points, the untouched release none, and wrong answers hear what is wrong."""

import ast
import contextlib
import re

import nbformat
import pytest
from answers import RIGHT, WEEKS, WRONG, cells, marks, mistakes_of, run, tasks
from homework import COURSE

from course_utils.homework import _equal

TASKS = [
    pytest.param(week, task, id=f"{week}-{name}", marks=pytest.mark.slow if task.needs_experiment else ())
    for week in WEEKS
    for name, task in tasks(week).items()
]


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """No answer here is endless, and on a busy machine a right one may take longer than a check allows."""
    monkeypatch.setattr("course_utils.homework._alarm", lambda seconds: contextlib.nullcontext())


def answers(folder, week, task):
    """Source of every `folder/WEEK/TASK/NAME.py`, under its name."""
    files = sorted((folder / week.split("_")[0] / task.name).glob("*.py"))
    return {path.stem: path.read_text() for path in files}


@pytest.mark.parametrize("week, task", TASKS)
def test_master_earns_every_point(week, task):
    assert task.tests, "a task without a test"
    assert [message for message in run(week, task, task.answer).values() if message] == []


@pytest.mark.parametrize("week, task", TASKS)
def test_untouched_release_earns_nothing_and_is_told_so(week, task):
    assert all(run(week, task, task.stub).values())


@pytest.mark.parametrize("week, task", TASKS)
def test_wrong_answers_lose_points_and_hear_why(week, task):
    """A file's first line is `# hears: part of the message`; at least three for each task."""
    stored, heard = answers(WRONG, week, task), {}
    assert len(stored) >= 3
    for name, text in stored.items():
        first_line, answer = text.split("\n", 1)
        assert first_line.startswith("# hears: "), name
        messages = [message for message in run(week, task, answer).values() if message]
        if not any(first_line.removeprefix("# hears: ") in message for message in messages):
            heard[name] = messages or "no test noticed"
    assert heard == {}


@pytest.mark.slow
@pytest.mark.parametrize("week, task", TASKS)
def test_right_answers_in_other_words_earn_every_point(week, task):
    stored = answers(RIGHT, week, task)
    assert len(stored) >= 3 or "def " not in task.answer
    heard = {name: list(filter(None, run(week, task, text).values())) for name, text in stored.items()}
    assert {name: messages for name, messages in heard.items() if messages} == {}


@pytest.mark.parametrize("week, task", TASKS)
def test_visible_mistakes_have_values_of_their_own(week, task):
    """No two mistakes of one check give the same, and none the right value: a message is sure of what it names."""
    for name, expected, mistakes in mistakes_of(week, task):
        values = [("the right value", expected), *mistakes.items()]
        for index, (one, value) in enumerate(values):
            for other, same in values[:index]:
                assert not _equal(value, same), f"{name}: {one!r} and {other!r} are {value}"


@pytest.mark.parametrize("week", WEEKS)
@pytest.mark.slow
def test_no_visible_cell_gives_the_number_away_that_another_asks_for(week):
    """Small numbers stand everywhere: of them only the neighbours' mistakes are looked at, and 0 to 12 not at all."""
    texts = {cell.id: re.sub(r"(?<=\d)[,_](?=\d)", "", cell.source) for cell in cells(week, "release")}
    for task in (task for task in tasks(week).values() if "def " not in task.answer):
        entries = [entry for entry in mistakes_of(week, task) if isinstance(entry[1], int | float)]
        for name, value, _ in entries:
            told = [cell for cell, text in texts.items() if re.search(rf"(?<![\d.]){value}(?![\d.])", text)]
            assert value < 1000 or not told, f"{name}: {value} stands in {told}"
            if value <= 12:
                continue
            for other, _, mistakes in entries:
                assert other == name or value not in mistakes.values(), f"{name}: {value} stands in {other}"


@pytest.mark.parametrize("folder", [RIGHT, WRONG])
def test_every_stored_answer_belongs_to_a_task(folder):
    known = {(week.split("_")[0], name) for week in WEEKS for name in tasks(week)}
    assert {(path.parent.parent.name, path.parent.name) for path in folder.glob("*/*/*.py")} <= known


@pytest.mark.parametrize("week", WEEKS)
def test_week_is_a_mix_of_tasks_of_bearable_number(week):
    manual = [
        cell for cell in cells(week, "source") if marks(cell).get("grade") and marks(cell).get("solution")
    ]
    headings = [cell for cell in cells(week, "source") if cell.source.startswith("## Task ")]
    assert 5 <= len(headings) <= 8
    assert len(manual) == 1
    assert "**Rubric.**" in manual[0].source
    stated = sum(int(cell.source.splitlines()[0].split("(")[1].split()[0]) for cell in headings)
    assert stated == sum(marks(cell).get("points", 0) for cell in cells(week, "source"))
    assert f"{stated} points" in cells(week, "source")[0].source


@pytest.mark.parametrize("week", WEEKS)
def test_every_autograded_task_has_a_hint_and_the_week_names_its_lecture(week):
    headings = [cell.source for cell in cells(week, "source") if cell.source.startswith("## Task ")]
    assert all("<details><summary>Hint</summary>" in source for source in headings[:-1])
    assert sum("Lecture " in source for source in headings) >= len(headings) // 2


@pytest.mark.parametrize("week", WEEKS)
def test_sections_of_the_lecture_exist_under_these_names(week):
    named = re.findall(r'Lecture (\d), "([^"]+)"', "\n".join(cell.source for cell in cells(week, "source")))
    for number, section in named:
        (lecture,) = COURSE.parent.glob(f"0{number}_*.ipynb")
        prose = [
            cell.source for cell in nbformat.read(lecture, as_version=4).cells if cell.cell_type == "markdown"
        ]
        headings = [line for source in prose for line in source.splitlines() if line.startswith("##")]
        assert any(line.lstrip("#") == f" {section}" for line in headings), section


@pytest.mark.parametrize("week", WEEKS)
def test_release_shows_no_answer_and_no_hidden_test(week):
    shown = "\n".join(cell.source for cell in cells(week, "release"))
    assert "HIDDEN" not in shown
    assert "SOLUTION" not in shown
    assert "Rubric" not in shown
    for cell in cells(week, "source"):
        if "### BEGIN HIDDEN TESTS" in cell.source:
            hidden = cell.source.split("### BEGIN HIDDEN TESTS")[1].split("### END HIDDEN TESTS")[0].strip()
            assert hidden not in shown
            ast.parse(hidden)
