"""A stored lecture as the site shows it: figures as files with alt texts, explorers in place of their pictures."""

import base64
import hashlib
import io
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from PIL import Image

from sitebuild import explorers

PICTURES = ("image/png", "image/jpeg")
END = "**Here the session ends.**"
SLUG = re.compile(r"[^\w]+")


class PageError(ValueError):
    """A notebook that can't be shown, with the cell that is at fault."""


@dataclass(frozen=True)
class Lecture:
    """A lecture's notebook with its figures in files; `number` is "01"."""

    path: Path
    notebook: NotebookNode

    @property
    def number(self) -> str:
        return self.path.name[:2]

    @property
    def page(self) -> str:
        return f"lectures/{self.path.stem}"

    @property
    def title(self) -> str:
        return self.notebook.cells[0].source.splitlines()[0].removeprefix("# ")

    @property
    def why(self) -> str:
        """The first paragraph below the title, where it is a sentence."""
        paragraph = self.notebook.cells[0].source.split("\n\n")[1].replace("\n", " ")
        return paragraph if paragraph.endswith(".") else ""

    @property
    def picture(self) -> str:
        """The first figure, as HTML."""
        outputs = (output for cell in self.notebook.cells for output in cell.get("outputs", []))
        return next(o.data["text/html"] for o in outputs if "figure" in o.get("metadata", {}))


def read(path: Path, figures: Path) -> Lecture:
    """The lecture, its pictures written into `figures`; raises PageError for a cell that can't be shown."""
    notebook = nbformat.read(path, as_version=4)
    for index, cell in enumerate(notebook.cells):
        where = (
            f'{path.name}, cell {index} ("{cell.source.strip().splitlines()[0][:60]}")' if cell.source else ""
        )
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if cell.execution_count is None:
            raise PageError(f"{where} has not been executed: make execute NB={path.name[:2]}")
        for output in cell.outputs:
            _show_picture(cell, output, figures, where)
    return Lecture(path, notebook)


def _show_picture(cell: NotebookNode, output: NotebookNode, figures: Path, where: str) -> None:
    """Put HTML in the place of a picture; raises PageError for one without an alt text."""
    if output.output_type == "error":
        raise PageError(f"{where} ended in an error.")
    data = output.get("data", {})
    if "text/html" in data:
        data["text/html"] = data["text/html"].replace(
            '<div class="layer-table"', '<div tabindex="0" class="layer-table"'
        )
    mime = next((mime for mime in PICTURES if mime in data), None)
    if mime is None:
        return
    if "explorer" in cell.metadata.get("tags", []):
        call = explorers.call_of(cell.source)
        if call:
            output.data = {"text/html": explorers.element(*call)}
            output.metadata = {"explorer": call[0]}
            return
    alt = output.metadata.get(mime, {}).get("alt", "").strip()
    if not alt:
        raise PageError(f"{where} has a picture without an alt text.")
    name, size = _write(base64.b64decode(data[mime]), mime, figures)
    sized = f'width="{size[0]}" height="{size[1]}" loading="lazy"'
    image = f'<img class="figure" src="../figures/{name}" alt="{escape(alt)}" {sized}>'
    output.data, output.metadata = {"text/html": image}, {"figure": name}


def _write(picture: bytes, mime: str, figures: Path) -> tuple[str, tuple[int, int]]:
    """Name and size of the picture's file: lossless WebP where that is smaller."""
    image, kind = Image.open(io.BytesIO(picture)), mime.split("/")[1]
    if mime == "image/png":
        buffer = io.BytesIO()
        image.convert("RGBA" if "transparency" in image.info or image.mode == "RGBA" else "RGB").save(
            buffer, "WEBP", lossless=True, quality=60, method=4
        )
        if buffer.tell() < len(picture):
            picture, kind = buffer.getvalue(), "webp"
    name = f"{hashlib.sha256(picture).hexdigest()[:16]}.{kind}"
    (figures / name).write_bytes(picture)
    return name, image.size


def slug(words: str) -> str:
    return SLUG.sub("-", words.lower()).strip("-")
