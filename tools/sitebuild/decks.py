"""A lecture as slides: bets, figures, explorers, formulas, tables, lists and short code; prose is for the speaker."""

import re
from dataclasses import dataclass, field
from html import escape

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from sitebuild import formulas
from sitebuild.explorers import ROOT
from sitebuild.lectures import END, Lecture

MOST = 35  # slides of a lecture
LEFT_OUT = "no-slide"  # the tag of a cell that makes no slide
AIMS = "You will be able to"
LINES = 8  # of code that a slide shows
# Where a lecture has more than MOST, the last kinds go first; within a kind, those at the end of the lecture.
KINDS = ("title", "aims", "bet", "explorer", "figure", "formula", "table", "list", "text", "code")
_BET = re.compile(r"^> \*\*", re.MULTILINE)
_BLOCKS = re.compile(r"\n\n+(?![ \t])")


@dataclass
class Slide:
    kind: str
    section: str
    html: str
    notes: list[str] = field(default_factory=list)


def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True, "highlight": _code}).enable("table")
    return parser.use(dollarmath_plugin, renderer=lambda tex, o: formulas.render(tex, o["display_mode"]))


def _code(source: str, language: str = "python", attributes: str = "") -> str:
    return (
        highlight(source, PythonLexer(), HtmlFormatter(nowrap=True))
        if language == "python"
        else escape(source)
    )


_PARSER = _markdown()


def render(markdown: str) -> str:
    """Markdown as HTML, formulas included."""
    return _PARSER.render(markdown)


def slides(lecture: Lecture) -> list[Slide]:
    """The slides of a lecture's core, at most MOST of them, each with the prose around it as notes."""
    made: list[Slide] = []
    section, prose = "", []
    for slide_section, kind, html in _pieces(lecture):
        if slide_section != section and prose and made:
            made[-1].notes += prose
            prose = []
        section = slide_section
        if kind == "prose":
            prose.append(html)
        else:
            made.append(Slide(kind, section, html, prose))
            prose = []
    made[-1].notes += prose
    return _fitting(made)


def _fitting(made: list[Slide]) -> list[Slide]:
    """The weightiest slides, in their order; the notes of one that goes are read at the one before it."""
    weighed = sorted(range(len(made)), key=lambda n: KINDS.index(made[n].kind))
    chosen = set(weighed[:MOST])
    kept: list[Slide] = []
    for number, slide in enumerate(made):
        if number in chosen:
            kept.append(slide)
        else:
            kept[-1].notes += slide.notes
    return kept


def _pieces(lecture: Lecture):
    """(section, kind, HTML) of everything in the core that a slide or its notes could show."""
    section = ""
    for index, cell in enumerate(lecture.notebook.cells):
        if cell.source.startswith(END):
            return
        if LEFT_OUT in cell.metadata.get("tags", []):
            continue
        if cell.cell_type == "markdown":
            for block in _BLOCKS.split(cell.source):
                heading = re.fullmatch(r"(#+) (.+)", block.strip())
                if heading:
                    section = "" if len(heading[1]) == 1 else heading[2]
                    if section.startswith("Key terms"):
                        return
                elif not block.lstrip().startswith("<span id="):
                    kind = _kind(block, index)
                    if kind == "list" and not section:  # what the lecture opens with
                        yield AIMS, "aims", render(block)
                    else:
                        yield section, kind, render(block)
            if index == 0:
                yield "", "title", f"<h1>{escape(lecture.title)}</h1>{render(lecture.why)}"
        else:
            yield from ((section, *piece) for piece in _outputs(cell))


def _kind(block: str, index: int) -> str:
    if index == 0:
        return "prose"
    if _BET.search(block):
        return "bet"
    if block.startswith("$$"):
        return "formula"
    if block.startswith("|"):
        return "table"
    if re.match(r"[-*] |\d+\. ", block):
        return "list"
    return "prose"


def _outputs(cell: NotebookNode):
    folded = "hide-input" in cell.metadata.get("tags", [])
    lines = len(cell.source.strip().splitlines())
    found = [piece for output in cell.outputs for piece in _output(output)]
    if not folded and lines <= LINES and "explorer" not in cell.metadata.get("tags", []):
        code = f'<pre class="highlight"><code>{_code(cell.source)}</code></pre>'
        if all(kind == "text" for kind, _ in found):
            yield "code", code + "".join(html for _, html in found)
            return
    yield from found


def _output(output: NotebookNode):
    if output.output_type == "stream":
        yield "text", f'<pre tabindex="0">{escape(output.text)}</pre>'
        return
    data, metadata = output.get("data", {}), output.get("metadata", {})
    if "explorer" in metadata:
        yield "explorer", data["text/html"]
    elif "figure" in metadata:
        yield "figure", data["text/html"]
    elif "text/html" in data:
        yield "table", data["text/html"]
    elif "text/markdown" in data:
        kind = "table" if data["text/markdown"].lstrip().startswith("|") else "code"
        yield kind, render(data["text/markdown"])
    elif "text/plain" in data:
        yield "text", f'<pre tabindex="0">{escape(data["text/plain"])}</pre>'


def deck(lecture: Lecture) -> str:
    """The page of a lecture's slides."""
    template = (ROOT / "site" / "deck.html").read_text(encoding="utf-8")
    shown = "\n".join(_section(slide) for slide in slides(lecture))
    return template.replace("TITLE", escape(lecture.title)).replace("SLIDES", shown)


def _section(slide: Slide) -> str:
    head = f"<h2>{render(slide.section).strip()[3:-4]}</h2>" if slide.section else ""
    notes = f'<aside class="notes">{"".join(slide.notes)}</aside>' if slide.notes else ""
    shown = f'<div class="slide">{head}<div class="body" tabindex="0">{slide.html}</div></div>'
    return f'<section class="{slide.kind}">{shown}{notes}</section>'
