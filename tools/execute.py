"""Run lecture notebooks from a clean kernel and store them without anything of this machine.

    python tools/execute.py              # all of notebooks/, in place
    python tools/execute.py 01 03        # those whose names start so
    python tools/execute.py 01 --copies build/executed    # leave notebooks/ alone: results and measures there
    python tools/execute.py 01 --copies build/cut --cut    # for tests: training is cut short

A cell that fails, or an output that shows a path or an address of this machine, leaves the notebook on disk
as it was, and a sentence names the cell.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import io
import json
import os
import re
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
import numpy as np
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
KEPT_CELL_METADATA = {"tags", "jupyter", "nbgrader", "editable", "deletable"}
COVERS = {
    "hide-output": "outputs_hidden",
    "hide-input": "source_hidden",
}  # a cell's tag, and JupyterLab's word
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
SECONDS_PER_CELL = 900
TRAINED = "trained"  # of cells that assert what only whole training reaches
PALETTE_ERROR = 0.1  # of 255, the mean over a picture: antialiased charts stay below it, photographs do not

_TEXT_BEFORE = r"(?<![\w.~/:+=-])"
_FOLDERS = "home|root|tmp|Users|private|var|opt|usr|mnt|work|workspace|workspaces|content"
OF_A_MACHINE = {
    "an absolute path": re.compile(rf"{_TEXT_BEFORE}(?:/(?:{_FOLDERS})/[\w.-]+|[A-Z]:\\\w+)|site-packages"),
    "an address in memory": re.compile(r"\bat 0x[0-9a-fA-F]{6,}"),
}


class NotebookError(Exception):
    """One sentence that names the notebook and the cell."""


@dataclass(frozen=True)
class Measures:
    """How long a notebook ran, kernel start included, and the most memory its kernel held (resident)."""

    seconds: float
    peak_bytes: int


class PeakMemory(threading.Thread):
    """Samples the resident memory of a process and its children; `peak_bytes` is the largest sum seen."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process, self.peak_bytes, self.ended = psutil.Process(pid), 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.1):
            self._sample()
        self._sample()

    def _sample(self) -> None:
        with contextlib.suppress(psutil.Error):  # a child may end between two lines
            family = [self.process, *self.process.children(recursive=True)]
            self.peak_bytes = max(self.peak_bytes, sum(one.memory_info().rss for one in family))


def find_notebooks(prefixes: list[str]) -> list[Path]:
    """Lecture notebooks whose names start with one of `prefixes`, all without; ValueError where none does."""
    found = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
    chosen = [path for path in found if not prefixes or path.name.startswith(tuple(prefixes))]
    if not chosen:
        names = ", ".join(path.name for path in found) or "none"
        raise ValueError(
            f"No notebook starts with {' or '.join(prefixes) or 'a number'}; there are: {names}."
        )
    return chosen


def name_cell(path: Path, notebook: NotebookNode, index: int) -> str:
    """`01_x.ipynb, cell 7 ("first line")`, counted from 0 with prose cells, as tools/screenshot.py does."""
    first_line = next(iter(notebook.cells[index].source.strip().splitlines()), "")
    return f'{path.name}, cell {index} ("{first_line[:60]}")'


def run(path: Path, notebook: NotebookNode, cut: bool = False) -> Measures:
    """Run all cells of `notebook` in the folder of `path`; raises NotebookError at the first that fails.

    With `cut`, training is cut short (tools/cut_short.py).
    """
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        startup_timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    python_path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as ipython_dir:  # the reader's start-up files must not take part
        environment = {**os.environ, "IPYTHONDIR": ipython_dir, "PYTHONPATH": python_path}
        if cut:
            import cut_short  # takes PyTorch along

            cut_short.prepare(Path(ipython_dir))
        client.reset_execution_trackers()
        with client.setup_kernel(env=environment):
            memory = PeakMemory(client.km.provisioner.pid)
            memory.start()
            try:
                _run_cells(client, path, notebook, cut)
            finally:
                seconds = time.perf_counter() - started
                memory.ended.set()
                memory.join()
    return Measures(seconds, memory.peak_bytes)


def _run_cells(client: NotebookClient, path: Path, notebook: NotebookNode, cut: bool) -> None:
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        started = time.perf_counter()
        try:
            client.execute_cell(cell, index)
        except CellExecutionError as error:
            if not (cut and error.ename == "AssertionError" and TRAINED in cell.metadata.get("tags", [])):
                print(error.traceback, file=sys.stderr)
                where = name_cell(path, notebook, index)
                raise NotebookError(f"{where} failed with {error.ename}: {error.evalue}") from None
        except (CellTimeoutError, DeadKernelError) as error:
            reason = str(error).strip().splitlines()[0]
            raise NotebookError(f"{name_cell(path, notebook, index)} did not end: {reason}") from None
        last = len(notebook.cells) - 1
        print(f"{path.stem}  cell {index:3d}/{last}  {time.perf_counter() - started:6.1f} s", flush=True)


def normalise(notebook: NotebookNode) -> None:
    """Leave of a notebook that ran only what another run, elsewhere, would store as well.

    Counts run from 1 without gaps; metadata shrink to the kernel and the cells' tags, and the tags alone say
    which outputs are stored covered and which sources folded; widget views go, and with them progress bars,
    while the picture that an explorer sends beside its view stays; text that was written over with carriage
    returns goes.
    """
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": {"name": "python"}})
    count = 0
    for index, cell in enumerate(notebook.cells):
        cell.metadata = {key: value for key, value in cell.metadata.items() if key in KEPT_CELL_METADATA}
        _cover(cell)
        if "id" not in cell:
            cell.id = "cell-" + hashlib.sha256(f"{index} {cell.source}".encode()).hexdigest()[:8]
        if cell.cell_type != "code":
            continue
        count += bool(cell.source.strip())
        cell.execution_count = count if cell.source.strip() else None
        cell.outputs = _normal_outputs(cell.outputs, cell.execution_count)


def _cover(cell: NotebookNode) -> None:
    hidden = {word: True for tag, word in COVERS.items() if tag in cell.metadata.get("tags", [])}
    cell.metadata.pop("jupyter", None)
    if hidden:
        cell.metadata["jupyter"] = hidden


def _normal_outputs(outputs: list[NotebookNode], count: int | None) -> list[NotebookNode]:
    normal: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream":
            before = normal[-1] if normal else None
            if before and before.output_type == "stream" and before.name == output.name:
                before.text += output.text
                continue
        elif WIDGET_VIEW in output.get("data", {}):
            if "image/png" not in output.data:
                continue
            output.data = {key: output.data[key] for key in ("image/png", "text/plain") if key in output.data}
            output.metadata = {"image/png": {"alt": output.data.get("text/plain", "")}}
        if "execution_count" in output:
            output.execution_count = count
        normal.append(output)
    for output in normal:
        if output.output_type == "stream":
            output.text = re.sub(r"[^\n]*\r(?!\n)", "", output.text)
    return [output for output in normal if output.output_type != "stream" or output.text.strip()]


def machine_traces(notebook: NotebookNode) -> list[tuple[int, str]]:
    """Cells that show something of the machine they ran on: index, and what as a phrase with the text found."""
    traces = []
    for index, cell in enumerate(notebook.cells):
        texts = [cell.source] if cell.cell_type == "code" else []
        texts += [text for output in cell.get("outputs", []) for text in _texts(output)]
        for text in texts:
            hits = {what: pattern.search(text) for what, pattern in OF_A_MACHINE.items()}
            traces += [(index, f"{what} ({hit.group()})") for what, hit in hits.items() if hit]
    return traces


def _texts(output: NotebookNode) -> list[str]:
    if output.output_type == "stream":
        return [output.text]
    return [value for mime, value in output.get("data", {}).items() if mime.startswith("text/")]


def shrink_pictures(notebook: NotebookNode) -> None:
    """Store a chart with a palette, which its few colours fit into, and a photograph as JPEG."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            if png:
                mime, picture = _smaller(base64.b64decode(png))
                output.data = {
                    mime if key == "image/png" else key: value for key, value in output.data.items()
                }
                output.data[mime] = base64.b64encode(picture).decode()
                if "image/png" in output.get("metadata", {}):
                    output.metadata[mime] = output.metadata.pop("image/png")


def _smaller(png: bytes) -> tuple[str, bytes]:
    """The mime type and bytes of a smaller picture, in which nobody sees a difference."""
    picture = Image.open(io.BytesIO(png))
    if picture.mode == "P":
        return "image/png", png
    sheet = Image.new("RGBA", picture.size, "white")
    sheet.alpha_composite(picture.convert("RGBA"))
    exact = sheet.convert("RGB")
    charted = exact.quantize(256, dither=Image.Dither.NONE)
    error = np.abs(np.asarray(exact, float) - np.asarray(charted.convert("RGB"), float)).mean()
    buffer = io.BytesIO()
    if error <= PALETTE_ERROR:
        charted.save(buffer, "PNG", optimize=True)
        return "image/png", buffer.getvalue()
    exact.save(buffer, "JPEG", quality=88, subsampling=0, optimize=True)  # coloured letters stay sharp
    return "image/jpeg", buffer.getvalue()


def write(notebook: NotebookNode, path: Path) -> None:
    """Replace the file in one step: an interrupt leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    nbformat.write(notebook, part)
    os.replace(part, path)


def execute(path: Path, target: Path | None = None, cut: bool = False) -> Measures:
    """Run a notebook and store it, normalised, at `target` (default: in place); raises NotebookError."""
    notebook = nbformat.read(path, as_version=4)
    measures = run(path, notebook, cut)
    normalise(notebook)
    traces = machine_traces(notebook)
    if traces:
        index, what = traces[0]
        raise NotebookError(f"{name_cell(path, notebook, index)} shows {what}: print something else.")
    shrink_pictures(notebook)
    write(notebook, target or path)
    return measures


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prefixes", nargs="*", help="of the notebooks' names; without any: all")
    parser.add_argument("--copies", type=Path, help="store results and NAME.json with the measures here")
    parser.add_argument("--cut", action="store_true", help="cut training short, for tests")
    options = parser.parse_args()
    try:
        if options.cut and (options.copies is None or options.copies.resolve() == NOTEBOOKS):
            raise ValueError("--cut needs --copies elsewhere: a run cut short is never stored as a lecture.")
        for path in find_notebooks(options.prefixes):
            target = options.copies / path.name if options.copies else path
            measures = execute(path, target, options.cut)
            if options.copies:
                target.with_suffix(".json").write_text(json.dumps(asdict(measures)))
            print(
                f"{path.stem}: {measures.seconds:.0f} s, at most {measures.peak_bytes / 1e9:.2f} GB of memory"
            )
    except (NotebookError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
