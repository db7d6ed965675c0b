"""Lays out the pages that Sphinx reads: lectures, homework, explorers, the glossary, the index."""

import re
import shutil
from pathlib import Path
from textwrap import dedent

import nbformat

from sitebuild import explorers, glossary
from sitebuild.lectures import Lecture

ROOT = Path(__file__).resolve().parents[2]
_HOMEWORK_FOLDER = re.compile(r"`notebooks/homework/release/(\w+)/`")  # a page here
HOMEWORK = sorted((ROOT / "notebooks" / "homework" / "release").glob("*/*.ipynb"))


def write(source: Path, extra: Path, lectures: list[Lecture], repository: str) -> None:
    """Write every page into `source`, and the files that go along as they are into `extra`."""
    for folder in ("lectures", "homework", "explorers"):
        (source / folder).mkdir(parents=True)
    entries = glossary.collect(lectures)
    for lecture in lectures:
        _write_lecture(source, lecture)
    for path in HOMEWORK:
        _write_homework(source, extra, path)
    _write_homework_index(source)
    for name in explorers.live().NAMES:
        _write_explorer(source, name, lectures)
    (source / "glossary.md").write_text(glossary.page(entries), encoding="utf-8")
    (source / "slides.md").write_text(_slides(lectures), encoding="utf-8")
    (source / "run.md").write_text(_run(repository), encoding="utf-8")
    (source / "index.md").write_text(_index(lectures), encoding="utf-8")
    (extra / "404.html").write_text(_not_found(repository), encoding="utf-8")


def _write_lecture(source: Path, lecture: Lecture) -> None:
    links = f'<p><a href="../slides/{lecture.number}.html">Slides of this lecture</a></p>'
    lecture.notebook.cells[0].source += f"\n\n{links}"
    for cell in lecture.notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _HOMEWORK_FOLDER.sub(r"[\1](../homework/\1)", cell.source)
    nbformat.write(lecture.notebook, source / f"{lecture.page}.ipynb")


def _write_homework(source: Path, extra: Path, path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    (extra / "homework" / "files").mkdir(parents=True, exist_ok=True)
    shutil.copy(path, extra / "homework" / "files" / path.name)
    words = (
        f'<p><a href="files/{path.name}" download>Download this notebook</a> and open it in JupyterLab: there it '
        "checks itself while you work.</p>"
    )
    notebook.cells[0].source += f"\n\n{words}"
    for cell in notebook.cells:
        cell.metadata = {}
    nbformat.write(notebook, source / "homework" / path.name)


def _write_homework_index(source: Path) -> None:
    lines = "\n".join(path.stem for path in HOMEWORK)
    text = (
        "# Homework\n\nOne and a half to two hours for each lecture. Here you can read the six notebooks and download "
        "them; in JupyterLab (`make lab`) each checks itself while you work, and says in words what went wrong.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{lines}\n```\n"
    )
    (source / "homework" / "index.md").write_text(text, encoding="utf-8")


def _write_explorer(source: Path, name: str, lectures: list[Lecture]) -> None:
    users = [
        f"[{lecture.title}](../{lecture.page})"
        for lecture in lectures
        for cell in lecture.notebook.cells
        if any(o.get("metadata", {}).get("explorer") == name for o in cell.get("outputs", []))
    ]
    used = f"From {' and '.join(dict.fromkeys(users))}. " if users else ""
    shown = explorers.element(name, {}, " live")
    text = (  # in a div, or Markdown would read the picture's words
        f"# {name}_explorer\n\n{explorers.title(name)}\n\n<div>{shown}</div>\n\n{used}"
        "The address above follows the sliders: who opens it sees what you see. Everything is computed in your "
        "browser, by the Python of the lectures.\n"
    )
    (source / "explorers" / f"{name}.md").write_text(text, encoding="utf-8")


def _slides(lectures: list[Lecture]) -> str:
    rows = "\n".join(
        f'<li><a href="slides/{lecture.number}.html">{lecture.title}</a></li>' for lecture in lectures
    )
    return (
        "# Slides\n\nOne deck a lecture, made from its notebook. Arrow keys turn the slides (on a slider they "
        "move it), S opens the speaker's notes, F fills the screen; on a phone held upright they scroll. To print, or "
        f"to make a PDF, add `?print-pdf` to the address and print the page.\n\n<ul>\n{rows}\n</ul>\n"
    )


def _index(lectures: list[Lecture]) -> str:
    def rooted(html: str) -> str:
        return html.replace("../figures/", "figures/")

    cards = "\n".join(
        f'<div><a href="{lecture.page}.html">{rooted(lecture.picture)}<br><strong>{lecture.title}</strong></a>'
        f'<p>{_plain(lecture.why)}</p><p><a href="slides/{lecture.number}.html">Slides</a> · '
        f'<a href="homework/{HOMEWORK[n].stem}.html">Homework</a></p></div>'
        for n, lecture in enumerate(lectures)
    )
    tree = "\n".join(lecture.page for lecture in lectures)
    names = "\n".join(f"explorers/{name}" for name in explorers.live().NAMES)
    return dedent("""
        # Convolutional networks, seen from the inside

        Six lectures with everything that was computed in them, explorers with sliders that run in your browser,
        slides, and homework that checks itself. For a study group that follows the University of Toronto's CSC321
        and then reads AlexNet, GoogLeNet, VGG and ResNet with the code at hand: one lecture a week, 90 minutes each.

        <div class="lectures">
        {cards}
        </div>

        [Explorers](explorers/conv) · [Slides](slides) · [Glossary, English and Korean](glossary) ·
        [Homework](homework/index) · [Run it yourself](run)

        ```{{toctree}}
        :hidden:
        :caption: Lectures

        {tree}
        ```

        ```{{toctree}}
        :hidden:
        :caption: Explorers

        {names}
        ```

        ```{{toctree}}
        :hidden:
        :caption: Beside the lectures

        slides
        homework/index
        glossary
        run
        ```
    """).format(cards=cards, tree=tree, names=names)


def _plain(markdown: str) -> str:
    return re.sub(r"[*`]|\[([^\]]*)\]\([^)]*\)", r"\1", markdown)


def _run(repository: str) -> str:
    text = (
        "# Run it yourself\n\nThe pages show what was computed; to change the code and train the networks you need "
        "JupyterLab. On your own computer (git, make, Python 3.11 to 3.14), in a clone of the repository:\n\n"
        "```\nmake lab\n```\n\n"
    )
    if not repository:
        return text
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/01_image_classification.ipynb"
    return text + (
        f"Without installing anything, on machines of others (neither was tried by us):\n\n"
        f"- [Binder](https://mybinder.org/v2/gh/{repository}/HEAD?labpath=notebooks) builds the whole course, which "
        "takes several minutes the first time.\n"
        f"- [Colab]({colab}) opens a lecture. Run this in a first cell; it takes the course without what Colab itself "
        "runs on, so nothing of it is replaced:\n\n"
        f"```\n!git clone https://github.com/{repository} course\n%pip install -q ./course\n%cd course/notebooks\n```\n"
    )


def _not_found(repository: str) -> str:
    home = f"/{repository.split('/')[1]}/" if repository else "/"
    return (ROOT / "site" / "404.html").read_text(encoding="utf-8").replace("HOME", home)
