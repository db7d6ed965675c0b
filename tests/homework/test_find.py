"""Each file below submitted/ is graded or named, whatever it is called and wherever it lies."""

import csv
import unicodedata

import nbformat
import pytest
import tiny
from grading.find import Outcome, find, safe_id
from grading.pages import write_page
from grading.table import line, table, write_csv
from grading.worker import Place
from hypothesis import given, settings
from hypothesis import strategies as st
from wcwidth import wcswidth


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    course = tmp_path_factory.mktemp("find") / "course"
    tiny.make_course(course)
    (course / "submitted").mkdir()
    return course


@pytest.fixture
def submitted(course, tmp_path):
    return tmp_path / "submitted"


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else nbformat.writes(content).encode())


def test_without_any_submission(course, submitted):
    assert find(course, submitted) == []


@pytest.mark.parametrize(
    "place, graded, said",
    [
        (f"Kim/{tiny.WEEK}/{tiny.WEEK}.ipynb", True, ""),
        ("Kim.ipynb", False, f"put it into NAME/{tiny.WEEK}/"),
        ("Kim.zip", False, "unpack"),
        ("Kim/homework.ipynb", True, "by its cells"),
        ("Kim/homework.zip", False, "unpack"),
        ("Kim/week0/x.ipynb", True, "by its cells"),
        (f"Kim/{tiny.WEEK} (1)/x.ipynb", True, "by its cells"),
        (f"Kim/deep/deeper/{tiny.WEEK}.ipynb", True, "by its cells"),
        (f"Kim/.week0/{tiny.WEEK}.IPYNB", True, "by its cells"),
        (f".Kim/{tiny.WEEK}/{tiny.WEEK}.ipynb", True, ""),
        ("Kim/homework.ipynb.json", True, "by its cells"),
        (f"{tiny.WEEK}/Kim/x.ipynb", False, f"put it into Kim/{tiny.WEEK}/"),
        (f"{tiny.WEEK}/Kim.ipynb", False, f"put it into Kim/{tiny.WEEK}/"),
        ("Kim/notes.txt", False, "no folder of a week"),
    ],
)
def test_places(course, submitted, place, graded, said):
    content = b"PK" if place.endswith((".zip", ".txt")) else tiny.answered(course)
    put(submitted / place, content)
    (one,) = find(course, submitted)
    assert (one.path is not None) == graded
    assert said in " ".join(one.notes)
    assert bool(one.notes) == bool(said)


def test_several_weeks_and_other_files_in_one_folder_are_each_graded_or_named(course, submitted):
    """As when somebody sends the folder that `make handin` writes into; editors' copies are nobody's."""
    put(submitted / "Kim" / "handin" / "Kim" / tiny.WEEK / "x.ipynb", tiny.answered(course))
    put(submitted / "Kim" / "handin" / "Kim" / tiny.WEEK / ".ipynb_checkpoints" / "x-checkpoint.ipynb", b"{}")
    put(submitted / "Kim" / "handin" / "other" / "y.ipynb", b"{}")
    other, graded = find(course, submitted)
    assert graded.path == submitted / "Kim" / "handin" / "Kim" / tiny.WEEK
    assert other.notes == ["y.ipynb is no notebook of a week."]


def test_empty_folder_is_named_and_its_row_is_not_blank(course, submitted):
    (submitted / "Kim").mkdir(parents=True)
    (one,) = find(course, submitted)
    assert one.notes == ["The folder is empty."]
    assert table([one], [tiny.WEEK]).splitlines()[1].split() == ["Kim", "-", "!"]


def test_weeks_of_a_member_stand_in_a_line():
    outcomes = [Outcome("me", "week2_b", points=2, of=3, to_read=1), Outcome("me", "week3_c", notes=["Odd."])]
    assert line(outcomes, ["week1_a", "week2_b", "week3_c"]) == "week1 .   week2 2/3 +1   week3 - !"


def test_systems_own_files_are_nobodys(course, submitted):
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX/x.ipynb", "._Kim.ipynb", ".gitkeep"):
        put(submitted / name, b"")
    assert find(course, submitted) == []


def test_links_are_not_followed(course, submitted):
    put(submitted / "Kim" / tiny.WEEK / "x.ipynb", tiny.answered(course))
    (submitted / "Lee").symlink_to(course / "source")
    (submitted / "Kim" / "more").symlink_to(course / "source")
    assert sorted(one.path is None for one in find(course, submitted)) == [False, True, True]


def test_one_name_in_two_unicodes_is_one_member(course, submitted):
    for form, week in (("NFC", tiny.WEEK), ("NFD", "week0")):
        put(submitted / unicodedata.normalize(form, "김철수") / week / "x.ipynb", tiny.answered(course))
    (one,) = find(course, submitted)
    assert one.name == "김철수"
    assert "left aside" in " ".join(one.notes)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=80))
def test_ids_are_no_patterns_options_or_paths(name):
    one = safe_id(name)
    assert one
    assert not set(one) & set("*?[]{}/\\\"'$ \n\t\0") - {" "}
    assert not one.startswith(("-", ".", " "))
    assert safe_id(one) == one or "~" in one


@given(
    st.sampled_from("=+-@|%"), st.text(st.characters(codec="utf-8"), max_size=20), st.sampled_from(["", " "])
)
def test_no_cell_is_a_formula(tmp_path_factory, sign, text, before):
    path = tmp_path_factory.getbasetemp() / "formula.csv"
    write_csv(path, [Outcome(before + sign + text, "week", notes=[sign + text])])
    with path.open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.lstrip().startswith(tuple("=+-@|%"))]


def test_columns_align_whatever_the_names(course):
    outcomes = [
        Outcome(name, tiny.WEEK, points=2, of=3) for name in ("Kim", "김 하늘", "[1조] 이영희", "名前")
    ]
    lines = table(outcomes, [tiny.WEEK]).split("\n\n")[0].splitlines()
    assert len({wcswidth(line[: line.rindex("2/3")]) for line in lines[1:]}) == 1


def test_receipt_of_a_class_lies_beside_the_page_and_links_are_not_followed(tmp_path):
    handed_in, secret = tmp_path / "submitted" / "Kim" / "week", tmp_path / "secret"
    handed_in.mkdir(parents=True)
    secret.write_text("mine")
    (handed_in / "timestamp.txt").write_text("2026-11-26 07:00:00 UTC")
    (handed_in / "submission_secret.txt").symlink_to(secret)
    page = write_page(Place(tmp_path), Outcome("Kim", "week", handed_in))
    assert sorted(path.name for path in page.parent.iterdir()) == ["timestamp.txt", "week.html"]
