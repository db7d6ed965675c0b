"""The course's pictures in matplotlib: one palette, one style, axes with units.

Importing this module sets the course's style for every later matplotlib figure. A function with one pair of axes
takes `ax=` and returns the `Axes`, one that lays out several the `Figure`. Each says in words what it drew: a
notebook stores that alt text beside the picture, and `describe` writes one for a figure of your own.
"""

import inspect
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython import get_ipython
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, ScalarFormatter
from matplotlib.transforms import Bbox
from torch import Tensor

from course_utils import words
from course_utils.colours import COLOURS, family_colour
from course_utils.data import as_rgb

model_colour = family_colour  # of "ResNet-50", "resnet18", "VGG-16", ...: the same in the whole course
PALETTE = list(COLOURS)
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.3g} %")  # for an axis of fractions
AROUND = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (0.8, 0.8), (-0.8, 0.8), (0.8, -0.8), (-0.8, -0.8)])

# Beside matplotlib's own font, which has no Korean, those of Linux, Windows and macOS that this machine has.
_KOREAN = "Noto Sans CJK KR, Noto Sans KR, NanumGothic, Malgun Gothic, Apple SD Gothic Neo, Noto Sans CJK JP"
_INSTALLED = set(fontManager.get_font_names())

plt.rc("font", family=["DejaVu Sans", *(name for name in _KOREAN.split(", ") if name in _INSTALLED)])
plt.rc("figure", figsize=(7.5, 3.6), dpi=110)
plt.rc("figure.constrained_layout", use=True)
plt.rc("axes", titlesize=11, axisbelow=True, prop_cycle=plt.cycler(color=list(COLOURS.values())))
plt.rc("axes.spines", top=False, right=False)
plt.rc("grid", color="#DDDDDD")
plt.rc("legend", frameon=False)
plt.rc("image", cmap="gray")
plt.rc("lines", linewidth=1.8)


def describe(picture: Figure | Axes, text: str) -> Figure | Axes:
    """Set the alt text of a figure, for readers who do not see it; raises ValueError for a text without a word."""
    if not text.split():
        raise ValueError(f"an alt text says in words what the figure shows; got {text!r}")
    picture.get_figure(root=True).alt = " ".join(text.split())
    return picture


def _say(picture: Figure | Axes, text: str) -> Figure | Axes:
    """Add a sentence to the alt text: a figure may hold what several functions drew."""
    return describe(picture, f"{getattr(picture.get_figure(root=True), 'alt', '')} {text}")


def show_source(*objects) -> Markdown:
    """The Python source of classes or functions, as code in a notebook; raises ValueError for what has none."""
    try:
        sources = [inspect.getsource(thing).rstrip() for thing in objects]
    except (TypeError, OSError) as error:
        raise ValueError(f"classes and functions written in Python have a source; {error}") from None
    return Markdown("```python\n" + "\n\n\n".join(sources) + "\n```")


def alt_text(figure: Figure) -> str:
    """What a figure shows, in words: its attribute `alt` where it has one, else its titles and labels."""
    axes = [" by ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel()))) for ax in figure.axes]
    parts = [figure.get_suptitle(), *(ax.get_title() for ax in figure.axes), *axes]
    return getattr(figure, "alt", "") or "; ".join(filter(None, parts)) or "a drawing without labels"


def alt_metadata(figure: Figure, **_) -> tuple[dict, dict]:
    """The alt text as a notebook stores it beside every picture, which another formatter makes."""
    return {}, {"image/png": {"alt": alt_text(figure)}}


if shell := get_ipython():
    shell.display_formatter.mimebundle_formatter.for_type(Figure, alt_metadata)


def show_images(images, titles: Sequence[str] | None = None, *, columns=8, size=1.0) -> Figure:
    """Images in a grid, each under its title.

    `images` is a tensor `[N, H, W]` or `[N, 1 or 3, H, W]`, scaled together to its own range, or a list of PIL
    images. `size` is a picture's width in inches. Raises ValueError for no image or another number of titles.
    """
    pictures = _pictures(images)
    titles = [""] * len(pictures) if titles is None else list(titles)
    if len(titles) != len(pictures):
        raise ValueError(f"an image has one title; got {len(titles)} titles and {len(pictures)} images")
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    lines = [title.count("\n") + 1 if title.strip() else 0 for title in titles]
    head = 0.32 * sum(max(lines[n : n + columns]) for n in range(0, len(lines), columns))
    tallest = size * max(picture.shape[0] / picture.shape[1] for picture in pictures)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * size, rows * tallest + head), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, picture, title in zip(axes.flat, pictures, titles, strict=False):
        ax.imshow(picture, vmin=0, vmax=1)
        ax.set_title(title, fontsize=9)
    named = ": " * any(map(str.strip, titles)) + "; ".join(filter(str.strip, titles))
    return _say(figure, f"{words.plural(len(pictures), 'picture')} in rows of {columns}{named}.")


def show_topk(image, logits: Tensor, classes: Sequence[str], *, k=5, target: int | None = None) -> Figure:
    """A photo beside its k most probable classes, of logits `[classes]`; ValueError where these do not fit."""
    logits = logits.detach().flatten().cpu()
    fits = len(logits) == len(classes) and target in (None, *range(len(logits)))
    if not (fits and 1 <= k <= len(logits)):
        counts = f"k={k}, target={target}, {len(logits)} logits, {len(classes)} names"
        raise ValueError(f"each logit has a class name, and k and target are from among them; got {counts}")
    (picture,) = _pictures([image])
    short = partial(textwrap.shorten, width=22, placeholder="…")
    figure, (left, ax) = plt.subplots(1, 2, figsize=(7.5, 0.45 + 0.36 * max(k, 5)), width_ratios=(1, 1.3))
    left.imshow(picture)
    left.axis("off")
    shares, best = map(Tensor.tolist, logits.softmax(dim=0).topk(k))
    bars = ax.barh(range(k), shares, color=[COLOURS["green" if n == target else "sky"] for n in best])
    percents = [words.percent(share) for share in shares]
    ax.bar_label(bars, percents, padding=2, fontsize=9)
    ax.set_yticks(range(k), [short(classes[n]) for n in best])
    ax.set(xlim=(0, 1.15), ylim=(k - 0.4, -0.6), xticks=[0, 0.5, 1])
    ax.xaxis.set_major_formatter(PERCENT)
    if target is not None:
        ahead = int((logits >= logits[target]).sum()) - 1
        verdict = f"the target stands on place {ahead + 1}" if ahead else "right first time"
        ax.set_title(f"{short(classes[target])}: {verdict}", loc="left", fontsize=10)
    guesses = ", ".join(f"{classes[n]} {share}" for n, share in zip(best, percents, strict=True))
    return _say(figure, f"The {k} best classes as bars: {guesses}. {ax.get_title(loc='left')}")


def plot_history(history) -> Figure:
    """Loss by step, and both errors by epoch, of one `History` or of several by name; ValueError without a step."""
    histories = dict(history) if isinstance(history, Mapping) else {type(history).__name__: history}
    if not any(run.losses for run in histories.values()):
        raise ValueError("there is no step to draw; got a history without losses")
    figure, (left, right) = plt.subplots(1, 2)
    endings = []
    for n, (name, run) in enumerate(histories.items()):
        colour = model_colour(name, PALETTE[n % len(PALETTE)])
        window = max(1, len(run.losses) // 60)
        means = np.convolve(run.losses, np.ones(window) / window, mode="valid")
        left.plot(range(window, window + len(means)), means, color=colour, label=name)
        for errors, style in ((run.train_errors, ":"), (run.test_errors, "-o")):
            right.plot(range(1, len(errors) + 1), errors, style, markersize=4, color=colour)
        error = "".join(f", test error {words.percent(error)}" for error in run.test_errors[-1:])
        endings.append(f"{name} ends at loss {run.losses[-1]:.2f}{error}")
    left.set(xlabel="step", ylabel="training loss", yscale="log")
    left.yaxis.set_major_formatter(ScalarFormatter())
    left.yaxis.set_minor_formatter(ScalarFormatter())
    right.set(xlabel="epoch", ylabel="top-1 error")
    right.yaxis.set_major_formatter(PERCENT)
    right.xaxis.get_major_locator().set_params(integer=True)
    for style, label in (("-o", "test"), (":", "training")):
        right.plot([], [], style, color="grey", markersize=4, label=label)
    right.legend()
    if len(histories) > 1:
        left.legend()
    return _say(figure, f"Training loss by step and top-1 error by epoch. {'; '.join(endings)}")


def plot_confusion(matrix: Tensor, classes: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """A square matrix (rows are true classes) in per cent of each row; ValueError for another, or other names."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(classes) != len(matrix):
        raise ValueError(f"a matrix is square, with a name per row; got {list(matrix.shape)}, {len(classes)}")
    counts = matrix.cpu().double()  # Apple's MPS has no double precision
    share = (counts / counts.sum(dim=1, keepdim=True).clamp(min=1)).numpy()
    ax = ax or plt.subplots(figsize=(6.4, 5.4))[1]
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(share):
        if round(100 * value) >= 1:
            style = {"ha": "center", "va": "center", "color": "white" if value > 0.5 else COLOURS["black"]}
            ax.text(column, row, words.percent(value, 0), fontsize=8, **style)
    ax.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    ax.set_yticks(range(len(classes)), classes)
    ax.set(xlabel="the model's guess", ylabel="true class")
    ax.spines[:].set_visible(False)
    right, off = share.diagonal(), share - np.diag(share.diagonal())
    row, column = np.unravel_index(off.argmax(), off.shape)
    most, least = (f"{classes[n]}, {words.percent(right[n], 0)}" for n in (right.argmax(), right.argmin()))
    mistake = f"{classes[row]} taken for {classes[column]}, {words.percent(off[row, column], 0)}"
    told = f"right most often {most}, least often {least}; commonest mistake: {mistake}"
    return _say(ax, f"Confusion matrix of {len(classes)} classes: {told}.")


def plot_filters(weights: Tensor, *, columns: int = 16, title: str = "", ax: Axes | None = None) -> Axes:
    """A convolution's kernels `[out, in, height, width]` as tiles: in colour for three input channels.

    Else the first channel is drawn, red above and blue below 0, on one scale. Raises ValueError for other shapes.
    """
    weights = weights.detach().cpu().float()
    if weights.ndim != 4 or 0 in weights.shape:
        raise ValueError(f"kernels have the shape [out, in, height, width]; got {list(weights.shape)}")
    limit = weights.abs().amax().clamp(min=1e-12)
    if weights.shape[1] == 3:
        tiles, style = (weights / limit + 1) / 2, {}
    else:
        tiles, style = weights[:, :1] / limit, {"cmap": "RdBu_r", "vmin": -1, "vmax": 1}
    return _tiles(tiles, columns, title, ax, style, "kernel")


def plot_activations(maps: Tensor, *, columns: int = 8, title: str = "", ax: Axes | None = None) -> Axes:
    """Feature maps `[channels, height, width]` as tiles, each on its own scale; raises ValueError for other shapes."""
    maps = maps.detach().cpu().float()
    if maps.ndim != 3 or 0 in maps.shape:
        raise ValueError(f"one image's maps have the shape [channels, height, width]; got {list(maps.shape)}")
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    tiles = ((maps - low) / (high - low).clamp(min=1e-12))[:, None]
    return _tiles(tiles, columns, title, ax, {"cmap": "magma", "vmin": 0, "vmax": 1}, "feature map")


def plot_receptive_field(image, field, unit: tuple[int, int] = (0, 0), *, ax: Axes | None = None) -> Axes:
    """What the unit at (row, column) sees, as a box on its input image; dashed where the box lies in the padding.

    `image` is a tensor `[C, H, W]` or a PIL image of the network's input size, `field` a `ReceptiveField`.
    """
    picture = _pictures(image[None] if isinstance(image, Tensor) else [image])[0]
    height, width = picture.shape[:2]
    top, left, bottom, right = field.box(*unit)
    ax = ax or plt.subplots(figsize=(4.2, 4.2))[1]
    ax.imshow(picture, vmin=0, vmax=1, extent=(0, width, height, 0))
    frame = {"edgecolor": COLOURS["vermilion"], "linewidth": 2}
    ax.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, linestyle="--", **frame))
    y, x, end, far = max(top, 0), max(left, 0), min(bottom, height), min(right, width)
    ax.add_patch(Rectangle((x, y), far - x, end - y, facecolor=(COLOURS["vermilion"], 0.18), **frame))
    ax.set_xlim(min(0, left) - 2, max(width, right) + 2)
    ax.set_ylim(max(height, bottom) + 2, min(0, top) - 2)
    ax.set(xlabel="pixels", title=f"unit {unit}: {bottom - top} x {right - left} pixels")
    seen = f"rows {top} to {bottom}, columns {left} to {right}"
    return _say(ax, f"A picture of {height} x {width} pixels with the box that unit {unit} sees: {seen}.")


def plot_layer_budget(table, measures=("units", "weights", "macs"), *, ax: Axes | None = None) -> Axes:
    """Each layer's share of a network's total, from `LayerSize` rows; ValueError where none has any of the measures."""
    rows = [row for row in table if any(getattr(row, measure) for measure in measures)]
    if not rows:
        raise ValueError(f"no layer has any {' or '.join(measures)}; got {len(list(table))} rows")
    height, most = 0.8 / len(measures), []
    ax = ax or plt.subplots(figsize=(7.5, 0.8 + 0.36 * len(rows)))[1]
    for n, (measure, colour) in enumerate(zip(measures, ("sky", "orange", "blue", "green"), strict=False)):
        total = sum(getattr(row, measure) for row in rows)
        shares = [getattr(row, measure) / total for row in rows]
        most.append(f"{measure}: most in {rows[np.argmax(shares)].name}, {words.percent(max(shares), 0)}")
        places = [y + (n - (len(measures) - 1) / 2) * height for y in range(len(rows))]
        ax.barh(places, shares, height, color=COLOURS[colour], label=f"{measure}: {words.short(total)}")
    ax.set_yticks(range(len(rows)), [row.name for row in rows])
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(PERCENT)
    ax.set_xlabel("share of the network's total")
    ax.legend(loc="best")
    return _say(ax, f"Bars of each layer's share of the network's total. {'; '.join(most)}.")


def plot_network(layers: Sequence, *, ax: Axes | None = None) -> Axes:
    """A network drawn from its input on the left to its output: a stack of maps, or a bar, for each layer.

    `layers` are `LayerSize` rows in the order of computation. A map's sides follow its size in pixels and a stack's
    depth the number of maps, all by their square root. Raises ValueError where there is no layer.
    """
    if not layers:
        raise ValueError("there is no layer to draw; got an empty sequence")
    steps = [("input", layers[0].in_shape), *((layer.name, layer.out_shape) for layer in layers)]
    ax = ax or plt.subplots()[1]
    maps = [shape for _, shape in steps if len(shape) > 1] or [(1, 1, 1)]
    widest, deepest = max(max(shape[1:]) for shape in maps), max(shape[0] for shape in maps)
    longest = max((shape[0] for _, shape in steps if len(shape) == 1), default=1)
    left = 0.0
    for name, shape in steps:
        is_stack = len(shape) > 1
        height = 2 * math.sqrt(shape[1] / widest if is_stack else shape[0] / longest)
        side = 2 * math.sqrt(shape[-1] / widest) if is_stack else 0.2
        sheets = min(shape[0], max(1, round(8 * math.sqrt(shape[0] / deepest)))) if is_stack else 1
        middle = left + max(side + 0.06 * sheets, 1.45 if is_stack else 0.9) / 2
        for n in reversed(range(sheets)):
            corner = middle - side / 2 + 0.06 * (n - sheets / 2), 0.06 * n - height / 2
            colour = COLOURS["sky" if is_stack else "orange"]
            ax.add_patch(Rectangle(corner, side, height, facecolor=colour, edgecolor="white", linewidth=0.8))
        label = f"{name}\n{'×'.join(map(str, shape))}"
        ax.text(middle, -1.2, label, ha="center", va="top", fontsize=9, linespacing=1.4)
        left = 2 * middle - left + 0.2
    ax.set(xlim=(-0.2, left), ylim=(-2.0, 1.6), aspect="equal")
    if len(ax.figure.axes) == 1:  # labels keep their distance however many layers there are
        ax.figure.set_size_inches(0.62 * (left + 0.2), 0.62 * 3.6)
    ax.axis("off")
    shapes = "; ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in steps)
    return _say(ax, f"The network from input to output, a block for each layer's output: {shapes}.")


def plot_seeds(results: Mapping[str, Sequence[float]], *, percent=True, ax: Axes | None = None) -> Axes:
    """Runs that differ in their seed, by the name of what was run: a dot for each, a line at their mean.

    Mean and standard deviation of the sample stand beside the name, fractions as per cent where `percent`.
    Raises ValueError where there is nothing to draw, and for names with fewer than two runs.
    """
    if not results or any(len(values) < 2 for values in results.values()):
        counts = {name: len(values) for name, values in results.items()}
        raise ValueError(f"a spread needs two runs or more for each name; got {counts}")
    ax = ax or plt.subplots(figsize=(7.5, 0.9 + 0.42 * len(results)))[1]
    labels = []
    for place, (name, values) in enumerate(results.items()):
        values = np.asarray(values, dtype=float)
        colour = model_colour(name, PALETTE[place % len(PALETTE)])
        ax.scatter(values, np.full(len(values), place), s=45, alpha=0.6, color=colour, linewidths=0)
        ax.vlines(values.mean(), place - 0.3, place + 0.3, color=colour)
        scale, digits = (100, 1) if percent else (1, 3)
        mean, spread = scale * values.mean(), scale * values.std(ddof=1)
        labels.append(f"{name}\n{mean:.{digits}f} ± {spread:.{digits}f}{' %' if percent else ''}")
    ax.set_yticks(range(len(labels)), labels)
    ax.set(ylim=(len(labels) - 0.5, -0.5), xlabel="test error")
    if percent:
        ax.xaxis.set_major_formatter(PERCENT)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))  # PERCENT would round ticks at quarters
    ax.grid(axis="x")
    return _say(ax, f"A dot for each seed, with mean and spread. {'; '.join(labels)}.")


def plot_accuracy_vs_cost(rows: Sequence[Mapping], *, ax: Axes | None = None) -> Axes:
    """Models by multiply-adds (across, logarithmic), error (up) and parameters (area of the disc).

    Each row has `name`, `macs`, `params` and `error` (a fraction), else ValueError. Names stand where they cover least.
    """
    lacking = [row for row in rows if not {"name", "macs", "params", "error"} <= set(row)]
    if lacking or not rows:
        raise ValueError(f"a row has name, macs, params and error; got {lacking[0] if lacking else 'no row'}")
    ax = ax or plt.subplots(figsize=(7.5, 4.6))[1]
    largest = max(row["params"] for row in rows)
    areas = [20 + 900 * row["params"] / largest for row in rows]
    for row, area in zip(rows, areas, strict=True):
        ax.scatter(row["macs"], row["error"], s=area, color=model_colour(row["name"]), alpha=0.55)
    ax.set(xscale="log", xlabel="multiply-adds for one image", ylabel="error")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda macs, _: words.short(macs)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(PERCENT)
    ax.margins(0.12)
    ax.grid(True)
    discs = [(row["name"], row["macs"], row["error"]) for row in rows]
    _label_discs(ax, discs, areas)
    told = [f"{n}: {words.short(macs)} multiply-adds, {words.percent(error)}" for n, macs, error in discs]
    return _say(ax, f"Models by multiply-adds and error. {'; '.join(told)}.")


def _label_discs(ax: Axes, discs: Sequence[tuple[str, float, float]], areas: Sequence[float]) -> None:
    """Names beside discs (name, x, y) of these areas, each where it covers least of discs and other names."""

    def common(a: Bbox, b: Bbox) -> float:
        both = Bbox.intersection(a, b)
        return both.width * both.height if both else 0.0

    ax.figure.canvas.draw()  # only the finished layout knows where the discs are
    pixels = ax.figure.dpi / 72
    radii = pixels * np.sqrt(areas) / 2
    centres = ax.transData.transform([(x, y) for _, x, y in discs])
    taken = [Bbox([centre - r, centre + r]) for centre, r in zip(centres, radii, strict=True)]
    inside, style = ax.get_window_extent(), {"ha": "center", "va": "center", "fontsize": 8}
    for (name, x, y), centre, radius in zip(discs, centres, radii, strict=True):
        label = ax.annotate(name, (x, y), (0, 0), textcoords="offset points", **style)
        half = label.get_window_extent().size / 2
        places = [(radius + gap * pixels + half) * way for gap in (3, 12) for way in AROUND]
        boxes = [Bbox([centre + place - half, centre + place + half]) for place in places]
        covered = [sum(map(partial(common, box), taken)) - common(box, inside) for box in boxes]
        best = int(np.argmin(covered))
        label.set_position(places[best] / pixels)
        taken.append(boxes[best])


def show_table(rows: Iterable, columns: Sequence[str] | None = None, *, caption: str = "") -> Markdown:
    """A table for a notebook, numbers to the right, also strings where each of a column starts with a digit.

    `rows` are sequences with their names in `columns`, or mappings from column to value. Whole numbers get thousands
    separators, others three digits, None stays blank. Raises ValueError for no row, or another number of values.
    """
    rows = list(rows)
    if columns is None and rows and all(isinstance(row, Mapping) for row in rows):
        columns = list(rows[0])
        rows = [list(row.values()) if list(row) == columns else [] for row in rows]
    if not rows or not columns or any(len(row) != len(columns) for row in rows):
        raise ValueError(f"rows of a table have the same columns; got {len(rows)} rows, columns {columns}")
    cells = [["" if v is None else v if isinstance(v, str) else words.number(v) for v in row] for row in rows]
    right = [all(cell[:1] in "0123456789–-+<≤≈" for cell in column) for column in zip(*cells, strict=True)]
    lines = [columns, ["--:" if is_right else ":--" for is_right in right], *cells]
    text = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    return Markdown(f"**{caption}**\n\n{text}" if caption else text)


def _pictures(images: Tensor | Sequence) -> list[np.ndarray]:
    if len(images) == 0:
        raise ValueError("there is no image to show; got an empty list")
    if not isinstance(images, Tensor):
        return [np.asarray(as_rgb(image)) / 255 for image in images]
    values = images.detach().cpu().float()
    values = values[:, None] if values.ndim == 3 else values
    if values.ndim != 4 or values.shape[1] not in (1, 3):
        raise ValueError(f"images have the shape [N, 1 or 3, H, W] or [N, H, W]; got {list(images.shape)}")
    low, high = values.min(), values.max()
    values = (values - low) / (high - low).clamp(min=1e-12)
    return [v[0].numpy() if len(v) == 1 else v.permute(1, 2, 0).numpy() for v in values]


def _tiles(tiles: Tensor, columns: int, title: str, ax: Axes | None, style: dict, what: str) -> Axes:
    count, channels, height, width = tiles.shape
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    framed = torch.nn.functional.pad(tiles, (0, 1, 0, 1, 0, 0, 0, rows * columns - count), value=math.nan)
    canvas = framed.unflatten(0, (rows, columns)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    picture = canvas[:-1, :-1].numpy()
    ax = ax or plt.subplots(figsize=(7.5, 0.3 + 7.5 * picture.shape[0] / picture.shape[1]))[1]
    ax.imshow(picture if channels == 1 else np.nan_to_num(picture, nan=1.0), **style)
    ax.set_title(title)
    ax.axis("off")
    told = f"{words.plural(count, what)} of {height} x {width} as tiles{': ' + title if title else ''}"
    return _say(ax, f"{told}.")
