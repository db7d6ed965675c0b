"""Kernel time and bytes of an explorer's update, beside the same picture redrawn with interact and matplotlib.

Moves one control at a time to a random value, 500 times, as a reader would. Goals: median 5 ms, 99th
percentile 20 ms, 40 kB, and a twentieth of matplotlib's time.
"""

import contextlib
import io
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import ipywidgets
from bench_table import attempt, progress, row

from course_utils import explorers
from course_utils.data import photos
from course_utils.explorers import network, receptive_field, residual
from course_utils.explorers.base import Explorer

UPDATES, MATPLOTLIB_UPDATES = 500, 30
PHOTOS = [photo.name for photo in photos()]
PREPARED = {  # what an idle kernel looks up in a notebook's first minute
    "network_explorer": network.every_key,
    "residual_explorer": residual.every_key,
    "receptive_field_explorer": lambda: [
        *(f"layers/{name}" for name in receptive_field.FIELD_NETWORKS),
        *(f"photo/{name}" for name in PHOTOS),
    ],
    "topk_explorer": lambda: [f"guesses/{name}" for name in PHOTOS],
}


class Recorder:
    """Stands in for a widget's channel to the browser and counts the bytes that would be sent."""

    kernel, comm_id, sent = "any", "recorder", 0

    def send(self, data: dict, **_: object) -> None:
        Recorder.sent += len(json.dumps(data, default=str).encode())

    def on_msg(self, *_: object) -> None:
        """Nothing ever comes back."""

    def close(self, *_: object) -> None:
        """Nothing to close."""


def record(widget: ipywidgets.Widget) -> None:
    """Put a recorder into a widget and all the widgets it holds."""
    widget.comm = Recorder()
    held = [getattr(widget, name, None) for name in ("layout", "style")] + list(
        getattr(widget, "children", ())
    )
    for child in held:
        if isinstance(child, ipywidgets.Widget):
            record(child)


def random_moves(controls: dict, updates: int, seed: int = 0) -> Iterator[tuple[str, object]]:
    """(control, new value), with a value that differs from the present one."""
    generator = random.Random(seed)
    while updates:
        name = generator.choice(list(controls))
        control = controls[name]
        if hasattr(control, "options"):
            values = [o[1] if isinstance(o, tuple) else o for o in control.options]
        elif hasattr(control, "max"):
            steps = int((control.max - control.min) / control.step)
            values = [control.min + control.step * generator.randint(0, steps)]
        else:
            continue
        value = generator.choice(values)
        if value != control.value:
            updates -= 1
            yield name, value


def timed(controls: dict, updates: int) -> tuple[list[float], list[int]]:
    """Milliseconds and bytes of each update."""
    times, sizes = [], []
    for name, value in random_moves(controls, updates):
        Recorder.sent = 0
        start = time.perf_counter()
        controls[name].value = value
        times.append(1e3 * (time.perf_counter() - start))
        sizes.append(Recorder.sent)
    return times, sizes


def conv_with_matplotlib(sizes: list[int]) -> Callable[..., None]:
    """conv_explorer's picture as one would draw it with matplotlib: two grids, bars, the formula.

    The bytes of each PNG, as base64 like Jupyter's messages have it, are appended to `sizes`.
    """
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from course_utils.explorers.conv import read_layer, unread

    def redraw(**values: object) -> None:
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9, 5))
        try:
            reach, state = read_layer(values)
        except ValueError as error:
            figure.suptitle(str(error))
        else:
            size, n = reach.size, reach.outputs
            left.imshow([[0.0] * size] * size, extent=(0, size, size, 0), vmin=0, vmax=1)
            for row in unread(reach):
                left.axhspan(row, row + 1, hatch="//", alpha=0.4)
                left.axvspan(row, row + 1, hatch="//", alpha=0.4)
            corners = [(c, r) for r in state["rows"] for c in state["columns"]]
            for corner in corners:
                left.add_patch(plt.Rectangle(corner, 1, 1, color="orange"))
            left.set(xlim=(-reach.before, size + reach.after), ylim=(size + reach.after, -reach.before))
            middle.imshow([[0.0] * n] * n, extent=(0, n, n, 0), vmin=0, vmax=1)
            middle.add_patch(plt.Rectangle(state["unit"][::-1], 1, 1, color="orange"))
            names = ("weights", "connections", "memory_bytes")
            right.barh(names, [state[name] for name in names])
            right.barh([f"linear {name}" for name in names], [state[f"linear_{name}"] for name in names])
            right.set_xscale("log")
            figure.suptitle(f"output {n}: {state['out_shape']}, {state['units']:,} units")
        # What Jupyter's inline backend does at the end of a cell or an interact callback.
        png = io.BytesIO()
        figure.savefig(png, format="png", bbox_inches="tight")
        sizes.append(4 * -(-len(png.getvalue()) // 3))
        plt.close(figure)

    return redraw


def matplotlib_updates(explorer: Explorer, updates: int) -> tuple[list[float], list[int]]:
    """Milliseconds and bytes of the same moves where the controls drive a matplotlib redraw in place of ours."""
    controls = {name: control for name, control in explorer.controls.items() if name != "preset"}
    for control in controls.values():
        control.unobserve_all("value")
    sizes: list[int] = []
    with contextlib.redirect_stdout(io.StringIO()):  # outside of Jupyter, interact prints escape codes
        ipywidgets.interactive(conv_with_matplotlib(sizes), **controls)
        timed(controls, 2)  # fonts and caches
        sizes.clear()
        return timed(controls, updates)[0], sizes


def updates_of(name: str, updates: int) -> tuple[list[float], list[int]]:
    """Milliseconds and bytes of an explorer's updates."""
    progress(f"explorers: {name}")
    explorer = getattr(explorers, name)()
    record(explorer)
    timed(explorer.controls, 50)  # fonts and caches
    for key in PREPARED.get(name, tuple)():
        explorer.data[key]
    return timed(explorer.controls, updates)


def beside_matplotlib(updates: int) -> list[dict]:
    """conv_explorer and its picture in matplotlib: time and bytes."""
    our_times, our_sizes = updates_of("conv_explorer", updates)
    their_times, their_sizes = matplotlib_updates(explorers.conv_explorer(), min(updates, MATPLOTLIB_UPDATES))
    what = "conv_explorer: {} of an update; theirs: interact and matplotlib"
    times = [statistics.median(times) for times in (our_times, their_times)]
    sizes = [statistics.median(sizes) / 1000 for sizes in (our_sizes, their_sizes)]
    return [
        row(what.format("kernel time"), *times, unit="ms", goal="ratio <= 0.05"),
        row(what.format("bytes"), *sizes, unit="kB", note="theirs: the picture alone, base64"),
    ]


def own(name: str, updates: int) -> dict:
    """One explorer's slowest and largest updates against what a reader notices."""
    times, sizes = updates_of(name, updates)
    p99, largest = statistics.quantiles(times, n=100)[98], max(sizes) / 1000
    goals = f"99th percentile {p99:.1f} ms (goal 20), largest {largest:.1f} kB (goal 40)"
    each = row(
        f"{name}: kernel time of an update", statistics.median(times), unit="ms", goal="ours <= 5", note=goals
    )
    each["met"] = each["met"] and p99 <= 20 and largest <= 40
    return each


def rows(names: Sequence[str] = explorers.__all__, updates: int = UPDATES) -> Iterator[dict]:
    """conv_explorer beside matplotlib, then every explorer against its goals."""
    yield from attempt("explorers: beside matplotlib", lambda: beside_matplotlib(updates))
    for name in names:
        yield from attempt(f"explorers: {name}", lambda name=name: own(name, updates))
