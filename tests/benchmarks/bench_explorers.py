"""Kernel time and bytes of an explorer's update, beside the same picture redrawn with interact and matplotlib.

    python tests/benchmarks/bench_explorers.py [conv_explorer network_explorer ...]

Moves one control at a time to a random value, 500 times, as a reader would. Aims: median 5 ms, 99th
percentile 20 ms, 40 kB, and a twentieth of matplotlib's time.
"""

import contextlib
import io
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import ipywidgets

from course_utils import explorers
from course_utils.explorers.base import Explorer

UPDATES = 500
MEASURED = ("conv_explorer", "topk_explorer", "network_explorer")


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


def conv_with_matplotlib() -> Callable[..., None]:
    """conv_explorer's picture as one would draw it with matplotlib: two grids, bars, the formula."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from course_utils.explorers.conv import numbers, unread

    def redraw(**values: object) -> None:
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9, 5))
        try:
            reach, state = numbers(values)
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
        figure.savefig(io.BytesIO(), format="png", bbox_inches="tight")
        plt.close(figure)

    return redraw


def matplotlib_times(explorer: Explorer, updates: int) -> list[float]:
    """Milliseconds of the same moves where the controls drive a matplotlib redraw in place of ours."""
    controls = {name: control for name, control in explorer.controls.items() if name != "preset"}
    for control in controls.values():
        control.unobserve_all("value")
    with contextlib.redirect_stdout(io.StringIO()):  # outside of Jupyter, interact prints escape codes
        ipywidgets.interactive(conv_with_matplotlib(), **controls)
        return timed(controls, updates)[0]


def measure(name: str) -> dict[str, object]:
    """One row: an explorer's times and bytes, and for conv_explorer those of matplotlib."""
    explorer = getattr(explorers, name)()
    record(explorer)
    timed(explorer.controls, 50)  # fonts and caches
    times, sizes = timed(explorer.controls, UPDATES)
    row = {
        "explorer": name,
        "updates": len(times),
        "median_ms": round(statistics.median(times), 2),
        "p99_ms": round(statistics.quantiles(times, n=100)[98], 2),
        "largest_kB": round(max(sizes) / 1000, 1),
    }
    if name == "conv_explorer":
        theirs = statistics.median(matplotlib_times(explorers.conv_explorer(), 30))
        row |= {"matplotlib_median_ms": round(theirs, 1), "times_faster": round(theirs / row["median_ms"], 1)}
    return row


def main(names: list[str] | None = None) -> list[dict[str, object]]:
    rows = [measure(name) for name in names or MEASURED]
    for row in rows:
        print(row)
    return rows


if __name__ == "__main__":
    main(sys.argv[1:])
