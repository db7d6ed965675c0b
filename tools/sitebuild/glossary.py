"""The glossary: the key terms of all lectures, English and Korean, each linked to where it is explained."""

import re
from dataclasses import dataclass

from sitebuild.lectures import Lecture, slug

_ROW = re.compile(r"^\| *([^|]+?) *\| *([^|]+?) *\| *([^|]+?) *\|$", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    english: str
    korean: str
    meaning: str
    link: str
    lecture: str


def collect(lectures: list[Lecture]) -> list[Entry]:
    """Every key term once, where it was explained first; its place in the lecture gets an anchor."""
    found: dict[str, Entry] = {}
    for lecture in lectures:
        for cell, english, korean, meaning in _rows(lecture):
            if english.lower() not in found:
                anchor = f"term-{slug(english)}"
                place = _explained(lecture, english) or cell
                place.source = f'<span id="{anchor}"></span>\n\n{place.source}'
                link = f"{lecture.page}.html#{anchor}"
                found[english.lower()] = Entry(english, korean, meaning, link, str(int(lecture.number)))
    return list(found.values())


def _rows(lecture: Lecture):
    inside = False
    for cell in lecture.notebook.cells:
        if cell.cell_type != "markdown":
            continue
        if heading := re.search(r"^## (.+)$", cell.source, re.MULTILINE):
            inside = heading[1].startswith("Key terms")
        if inside:
            for row in _ROW.findall(cell.source):
                if row[0] != "English" and not set(row[0]) <= set(":- "):
                    yield cell, *row


def _explained(lecture: Lecture, term: str):
    """The first prose cell that has the term in bold; the title's has no anchor."""
    bold = re.compile(rf"\*\*[^*]*?{re.escape(term.split(', ')[0])}[^*]*?\*\*", re.IGNORECASE)
    prose = (cell for cell in lecture.notebook.cells[1:] if cell.cell_type == "markdown")
    return next((cell for cell in prose if bold.search(cell.source)), None)


def page(entries: list[Entry]) -> str:
    """The page, sorted both ways."""
    english = sorted(entries, key=lambda e: e.english.lower())
    korean = sorted(entries, key=lambda e: e.korean)
    first = "\n".join(
        f'| <a href="{e.link}">{e.english}</a> | <span lang="ko">{e.korean}</span> | {e.meaning} | {e.lecture} |'
        for e in english
    )
    second = "\n".join(
        f'| <a href="{e.link}" lang="ko">{e.korean}</a> | {e.english} | {e.lecture} |' for e in korean
    )
    return (
        "# Glossary · 용어집\n\nThe key terms of the six lectures. Each leads to where it is explained.\n\n"
        f"## English to Korean\n\n| English | 한국어 | in one line | lecture |\n|---|---|---|---|\n{first}\n\n"
        f"## 한국어에서 영어로\n\n| 한국어 | English | lecture |\n|---|---|---|\n{second}\n"
    )
