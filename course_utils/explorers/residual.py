"""residual_explorer: the size of activations and gradients in every layer, with and without shortcuts."""

from collections.abc import Iterator, Sequence
from itertools import product
from math import ceil, floor, inf, log10

from course_utils.explorers import layout, svg
from course_utils.explorers.description import Control, Description, Picture, Values, choice, slider
from course_utils.explorers.layout import Block, words
from course_utils.words import number

DEPTHS = (8, 14, 20, 32, 44, 56)
SCALES = (0.5, 0.7, 1.0, 1.4, 2.0)
SEEDS = range(10)
WIDTHS, STEM = (8, 16, 32), (5, 4, 2)  # small enough to run while a slider moves
PRESETS = {
    f"{kind}, {norm}": {"depth": 56, "skip": kind == "residual", "norm": norm == "batch norm", "scale": 1.0}
    for kind, norm in product(("plain", "residual"), ("no normalisation", "batch norm"))
}
_SIGNALS = ("activations", "gradients")
_LABELS = "activation size (root mean square)", "gradient norm of the layer's weights"
_PLOT = (340, 240)  # pixels
_KIND = {True: ("residual", svg.BLUE), False: ("plain", svg.VERMILION)}
_CHOSEN, _TWIN = (3, None), (1.5, "5 4")  # width and dashes of the curves
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_DECADES = (-4, 4)  # always shown, so that a flat curve looks flat


def describe(data: Values | None = None) -> Description:
    """How large activations and gradients are in each layer of an untrained network, and of its twin.

    The networks are `resnet_cifar(depth, in_channels=1, widths=(8, 16, 32), stem=(5, 4, 2))` with `skip` and `norm`,
    built behind `torch.manual_seed(seed)`; the first 16 test images of Fashion-MNIST go through them. `initial` sets
    any of depth (8 to 56), skip, norm, scale (of all convolutions' first weights) and seed (0 to 9), or `preset`.
    Source: He et al. 2016, sections 4.1 and 4.2 (the argument about gradients; layer responses).
    """
    controls = {
        "depth": choice("depth", DEPTHS, 20, slides=True),
        "scale": choice("first weights ×", [(f"{s:g}", s) for s in SCALES], 1.0, slides=True),
        "seed": slider("seed", 0, SEEDS[0], SEEDS[-1]),
        "skip": Control("switch", "shortcuts (residual)", True),
        "norm": Control("switch", "batch normalisation", True),
    }
    title = "Activations and gradients in each layer of a residual network and its plain twin."
    return Description(title, controls, draw_signals, PRESETS, prepare=every_key())


def signal_keys(values: Values) -> tuple[str, str]:
    """The keys of the chosen network's signals and of its twin's."""
    depth, skip, norm, scale, seed = (values[n] for n in ("depth", "skip", "norm", "scale", "seed"))
    return tuple(f"signals/{depth}/{s:d}/{norm:d}/{scale}/{seed}" for s in (skip, not skip))


def every_key() -> Iterator[str]:
    """The keys of all that the controls can ask for, a network and its twin at a time; scale 1 and seed 0 first."""
    scales = sorted(SCALES, key=lambda scale: scale != 1)
    for seed, scale, depth, norm in product(SEEDS, scales, DEPTHS, (True, False)):
        yield from signal_keys({"depth": depth, "skip": True, "norm": norm, "scale": scale, "seed": seed})


def draw_signals(values: Values, data: Values) -> Picture:
    """The picture of one setting: activations to the left, gradients to the right."""
    skip, (chosen, twin) = values["skip"], (data[key] for key in signal_keys(values))
    kind, normalised = _KIND[skip][0], f"with{'' if values['norm'] else 'out'} batch normalisation"
    said, (activations, gradients) = _sentences(chosen), (chosen[n] for n in _SIGNALS)
    plots = [_plot(label, chosen[n], twin[n], skip) for n, label in zip(_SIGNALS, _LABELS, strict=True)]
    picture = layout.page(
        f"A {kind} network of {values['depth']} layers, {normalised}. {' '.join(said)}",
        words(f"{kind}, {values['depth']} layers, {normalised}, untrained", size=16, bold=True),
        _legend(skip),
        layout.row(*plots, gap=24),
        words(*said, pitch=24),
    )
    state = {n: tuple(chosen[n]) for n in _SIGNALS} | {f"twin_{n}": tuple(twin[n]) for n in _SIGNALS}
    state["loss"] = chosen["loss"]
    state["activation_ratio"] = activations[-1] / activations[0] if activations[0] else inf
    state["gradient_ratio"] = gradients[0] / gradients[-1] if gradients[-1] else inf
    return Picture(picture, state)


def _sentences(chosen: Values) -> tuple[str, str]:
    (first, *_, last), (front, *_, end) = chosen["activations"], chosen["gradients"]
    layers, compared = len(chosen["activations"]), _compared(last, first, "at the end")
    forward = f"Activations: {_size(first)} after layer 1, {_size(last)} after layer {layers}: {compared}."
    compared = _compared(front, end, "at the front")
    return forward, f"Gradients: {_size(end)} in layer {layers}, {_size(front)} in layer 1: {compared}."


def _size(value: float) -> str:
    if value == 0 or 0.001 <= value < 1e6:
        return number(value)
    exponent = floor(log10(value))
    return f"{value / 10**exponent:.1f}·10{str(exponent).translate(_SUPERSCRIPT)}"


def _compared(there: float, here: float, where: str) -> str:
    if not there or not here:
        return f"nothing arrives {where}"
    ratio = there / here
    if 0.5 <= ratio <= 2:
        return f"about as large {where}"
    return f"{_size(max(ratio, 1 / ratio))} times as {'large' if ratio > 1 else 'small'} {where}"


def _legend(skip: bool) -> Block:
    entries = []
    for kind, style, meaning in ((skip, _CHOSEN, "chosen"), (not skip, _TWIN, "its twin: same weights")):
        name, colour = _KIND[kind]
        sample = Block(30, 0, lambda x, y, end=(colour, *style): svg.line([(x, y), (x + 30, y)], *end))
        entries.append(layout.row(sample, f"{name} ({meaning})"))
    return layout.row(*entries, gap=24)


def _plot(label: str, chosen: Sequence[float], twin: Sequence[float], skip: bool) -> Block:
    """Both networks' curves over the layers, on a logarithmic axis."""
    exponents = [log10(value) for value in (*chosen, *twin) if value > 0] or [0]
    low, high = min(floor(min(exponents)), _DECADES[0]), max(ceil(max(exponents)), _DECADES[1])
    (width, height), layers, step = _PLOT, len(chosen), ceil((high - low) / 8)

    def across(layer: float) -> float:
        return 8 + (layer - 1) / (layers - 1) * (width - 16)

    def upwards(value: float) -> float:
        return (log10(value) - low) / (high - low) * height if value > 0 else 0

    decades = range(ceil(low / step) * step, high + 1, step)
    ticks = [(upwards(10.0**d), f"10{str(d).translate(_SUPERSCRIPT)}") for d in decades]
    places = sorted({1, round(layers / 4), round(layers / 2), round(3 * layers / 4), layers})
    stages = [across(1 + n * (layers - 1) // 3 + 0.5) for n in (1, 2)]  # behind the stem, each has a third

    def draw(x: float, y: float) -> str:
        bottom = y + height
        drawn = [svg.line([(x, bottom - at), (x + width, bottom - at)], svg.FAINT) for at, _ in ticks]
        drawn += [svg.line([(x + at, bottom), (x + at, y)], svg.LINE, 1, "2 3") for at in stages]
        drawn.append(svg.axis(x, bottom, height, ticks, upwards=True))
        drawn.append(svg.axis(x, bottom, width, [(across(n), str(n)) for n in places]))
        for values, kind, style in ((twin, not skip, _TWIN), (chosen, skip, _CHOSEN)):
            points = [(x + across(n), y + (height - upwards(v))) for n, v in enumerate(values, 1)]
            drawn.append(svg.line(points, _KIND[kind][1], *style))
        return "".join(drawn)

    area = layout.row(Block(width, height + 24, draw), words("layer", fill=svg.MUTED), align="r")
    return layout.column(words(label, bold=True), layout.space(0, 8), layout.shift(area, 36))
