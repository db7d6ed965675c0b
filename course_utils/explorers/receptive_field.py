"""receptive_field_explorer: what one unit of a network can see of a photo, and what it does look at."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from course_utils.data import photos, preprocess, to_pixels
from course_utils.explorers import svg
from course_utils.explorers._networks import block_of, blocks, light_alexnet, light_vgg16, spoken_names
from course_utils.explorers._stack import spoken
from course_utils.explorers.base import Explorer, Picture, after_pause, choice, choice_slider, slider
from course_utils.geometry import ReceptiveField, effective_receptive_field, layer_table
from course_utils.models.googlenet import googlenet
from course_utils.models.resnet import resnet18, resnet50

SIZE = 224  # pixels on each side that the networks take of a photo
BOX, UNTRAINED, TRAINED = "theoretical only", "effective, untrained", "effective, trained"
_PAUSE = 0.25  # seconds without a movement before a gradient is computed
_KEPT = 300  # measurements


@dataclass(frozen=True)
class _Network:
    build: Callable[[], nn.Module]
    depth: int
    trained: bool = False  # whether its trained weights are on this computer


def _lite0() -> nn.Module:
    from course_utils.models.imagenet import imagenet_classifier

    return imagenet_classifier()


NETWORKS = {
    "AlexNet": _Network(light_alexnet, 2),
    "VGG-16": _Network(light_vgg16, 2),
    "GoogLeNet": _Network(lambda: googlenet(aux_logits=False), 1),
    "ResNet-18": _Network(resnet18, 2),
    "ResNet-50": _Network(resnet50, 2),
    "EfficientNet-Lite0": _Network(_lite0, 2, trained=True),
}


def receptive_field_explorer(**initial: Any) -> ReceptiveFieldExplorer:
    """What one unit sees of a photo: its theoretical field as a box, its effective field as a heat map.

    `initial` sets any of photo (a name in `data.photos()`), network, layer, row, column (of the unit), and
    effective: "theoretical only", "effective, untrained" (fresh weights, batch norm's statistics from photos) or,
    for EfficientNet-Lite0, "effective, trained". The effective field is the mean absolute gradient of the unit,
    its channels summed, with respect to this photo's pixels. It is measured once the controls rest for a moment
    and kept; the box answers at once.
    Raises ValueError for a name or value that the controls do not offer.
    """
    explorer = ReceptiveFieldExplorer().set(**initial)
    if explorer.state.get("waiting"):
        explorer.measure()
    return explorer


class ReceptiveFieldExplorer(Explorer):
    """The explorer with `measure`, which computes the effective field that the picture waits for."""

    def __init__(self) -> None:
        names = [photo.name for photo in photos()]
        layers = [layer.label for layer in network_layers("ResNet-18")]
        controls = {
            "photo": choice("photo", [(name.replace("_", " "), name) for name in names], names[0]),
            "network": choice("network", tuple(NETWORKS), "ResNet-18"),
            "effective": choice("field", _fields_of("ResNet-18"), BOX),
            "layer": choice_slider("layer", layers, layers[0]),
            "row": slider("row", 56, 0, 111),
            "column": slider("column", 56, 0, 111),
        }
        self._pending: asyncio.TimerHandle | None = None
        self._grid, self._unit, self._place = 112, [56, 56], [0.504, 0.504]
        title = "A unit's receptive field on a photo: the theoretical box and the effective heat map."
        super().__init__(title, controls, draw_field)

    def measure(self) -> ReceptiveFieldExplorer:
        """Compute the effective field of the present setting and show it."""
        self._pending = None
        if self.state.get("waiting"):
            measure_field(**self.values)
            super()._redraw()
        return self

    def _redraw(self) -> None:
        with self._without_redraw():
            self._follow_layer()
        super()._redraw()
        if self._pending:
            self._pending.cancel()
            self._pending = None
        if self.state.get("waiting"):
            self._pending = after_pause(_PAUSE, self.measure)  # outside of a notebook: call `measure`

    def _follow_layer(self) -> None:
        """In another layer, choose the unit at about the same place of the photo."""
        network, label = self.controls["network"].value, self.controls["layer"].value
        layers = {layer.label: layer for layer in network_layers(network)}
        grid = layers.get(label, next(iter(layers.values()))).out_shape[1]
        for axis, name in enumerate(("row", "column")):
            control = self.controls[name]
            if control.value != self._unit[axis]:
                self._place[axis] = (control.value + 0.5) / grid
            elif grid != self._grid:
                unit = min(int(self._place[axis] * grid), grid - 1)
                control.max = max(control.max, unit)
                control.value = unit
            self._unit[axis] = min(control.value, grid - 1)
        self._grid = grid


# --- the numbers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerField:
    """One layer that can be chosen: its name in the model, what it is called, its shape and its field."""

    name: str
    label: str
    out_shape: tuple[int, int, int]
    field: ReceptiveField


@cache
def network_layers(network: str) -> tuple[LayerField, ...]:
    """The convolutions and pooling layers of a network of NETWORKS, or its blocks, up to the last feature map."""
    entry = NETWORKS[network]
    if entry.trained:
        model = entry.build()
    else:
        with torch.device("meta"):  # no memory for the weights
            model = entry.build()
    runs = [
        run
        for run in blocks(layer_table(model, (3, SIZE, SIZE)), entry.depth)
        if any(row.kind in ("conv", "pool") for row in run) and run[-1].receptive_field.stride != (0, 0)
    ]
    ends = [run[-1] for run in runs if not run[-1].name.startswith("avgpool")]
    names = [block_of(row.name, entry.depth) for row in ends]
    labels = _block_labels(len(ends)) if entry.trained else spoken_names(ends)
    if entry.depth == 1 or any(name.startswith("layer") for name in names):
        labels = names
    return tuple(
        LayerField(name, label, row.out_shape, row.receptive_field)
        for name, label, row in zip(names, labels, ends, strict=True)
    )


def _block_labels(count: int) -> list[str]:
    return ["stem", *(f"block {i}" for i in range(1, count - 1)), "head"]


def _fields_of(network: str) -> tuple[str, ...]:
    return (BOX, UNTRAINED, TRAINED) if NETWORKS[network].trained else (BOX, UNTRAINED)


@dataclass(frozen=True)
class Effective:
    """A measured field: its map [224, 224], at most 1, and the standard deviation of each axis in pixels."""

    heat: Tensor
    sd: tuple[float, float]
    picture: str  # data URI


_measured: dict[tuple, Effective] = {}


def measure_field(
    photo: str, network: str, effective: str, layer: str, row: int, column: int
) -> Effective | None:
    """The effective field of one unit on one photo, measured now or before; None for "theoretical only"."""
    key = (photo, network, effective, layer, row, column)
    if effective == BOX:
        return None
    if key not in _measured:
        name = next(entry.name for entry in network_layers(network) if entry.label == layer)
        model = _model(network, effective)
        heat = effective_receptive_field(model, photo_tensor(photo)[None], name, (row, column))
        if len(_measured) == _KEPT:
            del _measured[next(iter(_measured))]
        _measured[key] = Effective(heat, spread(heat), _heat_picture(heat))
    return _measured[key]


def spread(heat: Tensor) -> tuple[float, float]:
    """Standard deviation in pixels of a map [H, W], taken as a distribution over rows and over columns."""
    total = heat.sum().clamp(min=1e-30)
    found = []
    for dim in (1, 0):
        weights = heat.sum(dim) / total
        places = torch.arange(len(weights), dtype=weights.dtype)
        centre = (weights * places).sum()
        found.append(float((weights * (places - centre) ** 2).sum().sqrt()))
    return found[0], found[1]


@lru_cache(4)
def _model(network: str, effective: str) -> nn.Module:
    """The network with trained weights, or with fresh ones and batch norm statistics from the photos."""
    entry = NETWORKS[network]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = entry.build()
        if effective == UNTRAINED:
            if entry.trained:
                reset_parameters(model)
            # Fresh statistics would normalise nothing, and the skips would be drowned or would drown the rest.
            update_bn([torch.stack([photo_tensor(photo.name) for photo in photos()[:4]])], model)
    return model.eval().requires_grad_(False)


def reset_parameters(model: nn.Module) -> None:
    """Draw all weights anew, as torch's layers do when they are made."""
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


@cache
def photo_tensor(name: str) -> Tensor:
    """The photo as the networks take it, [3, 224, 224]."""
    return preprocess(next(photo for photo in photos() if photo.name == name).image, SIZE)


# --- the picture --------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _TOP, _LEFT, _PANEL = 836, 482, 66, 12, 376
_MARGIN = 48  # pixels of padding around the photo that are drawn
_SCALE = _PANEL / (SIZE + 2 * _MARGIN)
_CURVE_X, _CURVE_Y, _CURVE_WIDTH, _CURVE_HEIGHT = 456, 396, 356, 206
_HATCH, _PADDING = svg.hatch("padding")
_LEVELS = 32


def draw_field(values: dict[str, Any]) -> Picture:
    """The picture of one setting; layer, unit and kind of field are the nearest that the network has."""
    network = values["network"]
    layers = network_layers(network)
    index = next((i for i, entry in enumerate(layers) if entry.label == values["layer"]), 0)
    layer, kinds = layers[index], _fields_of(network)
    kind = values["effective"] if values["effective"] in kinds else BOX
    _, height, width = layer.out_shape
    unit = min(values["row"], height - 1), min(values["column"], width - 1)
    key = (values["photo"], network, kind, layer.label, *unit)
    effective, waiting = _measured.get(key), kind != BOX and key not in _measured
    state = _state(layer, unit, layers, effective, waiting)
    body = [
        _HATCH,
        svg.text(_LEFT, 26, f"{network}, {layer.label}: output {spoken(layer.out_shape)}", 16, bold=True),
        svg.text(_LEFT, 50, f"unit ({unit[0]}, {unit[1]}) of {height} × {width}", 14),
        _photo_panel(values["photo"], state, effective),
        _words(state),
        _curve(layers, index, values, kind),
    ]
    seen = f"It sees {spoken(layer.field.size)} pixels. {_box_words(state)}"
    title = f"{network}, {layer.label}, unit {unit}. {seen}"
    limits = {
        "layer": tuple(entry.label for entry in layers),
        "effective": kinds,
        "row": height - 1,
        "column": width - 1,
    }
    return Picture(svg.document(_WIDTH, _HEIGHT, title, *body, smallest=13), state, limits=limits)


def _state(
    layer: LayerField,
    unit: tuple[int, int],
    layers: tuple[LayerField, ...],
    effective: Effective | None,
    waiting: bool,
) -> dict[str, Any]:
    top, left, bottom, right = layer.field.box(*unit)
    clipped = max(top, 0), max(left, 0), min(bottom, SIZE), min(right, SIZE)
    inside = max(clipped[2] - clipped[0], 0) * max(clipped[3] - clipped[1], 0)
    return {
        "layer": layer.name,
        "label": layer.label,
        "out_shape": layer.out_shape,
        "unit": unit,
        "field": layer.field,
        "box": (top, left, bottom, right),
        "clipped": clipped,
        "padding_share": 1 - inside / (layer.field.size[0] * layer.field.size[1]),
        "photo_share": inside / SIZE**2,
        "sizes": {entry.label: entry.field.size[0] for entry in layers},
        "effective_sd": effective.sd if effective else None,
        "waiting": waiting,
    }


@cache
def _photo_picture(name: str) -> str:
    from PIL import Image

    pixels = (to_pixels(photo_tensor(name)) * 255).round().byte().permute(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(buffer, "JPEG", quality=62, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _heat_picture(heat: Tensor, cell: int = 4) -> str:
    """The map in cells of 4 × 4 pixels, from transparent over purple and orange to yellow, as a PNG data URI."""
    from PIL import Image

    cells = nn.functional.avg_pool2d(heat[None, None], cell)[0, 0]
    # the square root, because most of what is worth seeing is far below the peak
    levels = ((cells / cells.max().clamp(min=1e-30)).sqrt() * (_LEVELS - 1)).round().byte()
    picture = Image.fromarray(levels.numpy())
    picture = picture.convert("P")
    picture.putpalette([channel for level in range(_LEVELS) for channel in _heat_colour(level)[:3]])
    buffer = io.BytesIO()
    alphas = bytes(_heat_colour(level)[3] for level in range(_LEVELS))
    picture.save(buffer, "PNG", transparency=alphas, optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _heat_colour(level: int) -> tuple[int, int, int, int]:
    stops = ((60, 10, 110), (213, 94, 0), (255, 240, 120))
    place = 2 * level / (_LEVELS - 1)
    first = min(int(place), 1)
    mixed = [
        round(a + (place - first) * (b - a)) for a, b in zip(stops[first], stops[first + 1], strict=True)
    ]
    return mixed[0], mixed[1], mixed[2], min(225, round(40 + 400 * level / _LEVELS)) if level else 0


def _place(pixel: float) -> float:
    """Where a row or column of the photo is in the panel, cut off at its rim."""
    return min(max((pixel + _MARGIN) * _SCALE, 0), _PANEL)


def _photo_panel(photo: str, state: dict[str, Any], effective: Effective | None) -> str:
    top, left, bottom, right = map(_place, state["box"])
    x, y, side = _LEFT + _place(0), _TOP + _place(0), SIZE * _SCALE
    box = (_LEFT + left, _TOP + top, right - left, bottom - top)
    heat = svg.image(x, y, side, side, effective.picture, "effective field") if effective else ""
    dim = svg.rect(x, y, side, side, "#000000", opacity=0.45) if effective else ""
    return "".join(
        [
            svg.rect(_LEFT, _TOP, _PANEL, _PANEL, svg.RAISED, svg.LINE),
            svg.rect(*box, _PADDING),
            svg.image(x, y, side, side, _photo_picture(photo), photo),
            dim,
            heat,
            svg.rect(*box, stroke="#ffffff", stroke_width=4),
            svg.rect(*box, stroke=svg.VERMILION, stroke_width=2.5),
            svg.legend(
                _LEFT,
                _TOP + _PANEL + 26,
                [
                    (svg.VERMILION, "theoretical field"),
                    (svg.RAISED, "padding"),
                    (_PADDING, "field in padding"),
                ],
            ),
        ]
    )


def _box_words(state: dict[str, Any]) -> str:
    top, left, bottom, right = state["box"]
    return f"Rows {top} to {bottom - 1}, columns {left} to {right - 1}.".replace("-", "−")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.2g} %"


def _words(state: dict[str, Any]) -> str:
    step = state["field"].stride[0]
    padding, covered = _percent(state["padding_share"]), _percent(state["photo_share"])
    lines = [
        f"It sees {spoken(state['field'].size)} pixels.",
        _box_words(state),
        f"Its neighbour's box lies {step} pixel{'s' if step > 1 else ''} further on.",
        f"{padding} of the box is padding; it covers {covered} of the photo.",
        _effective_words(state),
    ]
    return "".join(
        svg.text(_CURVE_X - 46, 50 + 21 * i, line, 13.5, bold=i == 0) for i, line in enumerate(lines)
    )


def _effective_words(state: dict[str, Any]) -> str:
    if state["waiting"]:
        return "The effective field is being measured."
    if state["effective_sd"] is None:
        return "Choose an effective field to see what moves it."
    sd = sum(state["effective_sd"]) / 2
    share = 4 * sd / state["field"].size[0]
    return f"Effective width (4 sd): {4 * sd:.0f} pixels, {_percent(share)} of the box."


def _curve(layers: tuple[LayerField, ...], index: int, values: dict[str, Any], kind: str) -> str:
    """The field's side over the layers; dots for the effective widths that were measured at this place."""
    sizes = [entry.field.size[0] for entry in layers]
    most = max(*sizes, SIZE) * 1.06
    step = _CURVE_WIDTH / max(len(layers) - 1, 1)
    points = [(_CURVE_X + i * step, _CURVE_Y - size / most * _CURVE_HEIGHT) for i, size in enumerate(sizes)]
    photo_y = _CURVE_Y - SIZE / most * _CURVE_HEIGHT
    dots = _measured_dots(layers, values, kind, step, most)
    x, y = points[index]
    label = layers[index].label
    label_x = min(max(x, _CURVE_X + 30), _WIDTH - svg.text_width(label, 13, bold=True) / 2)
    ticks = [(v / most, str(v)) for v in range(0, int(most), 100 if most < 600 else 200)]
    return "".join(
        [
            svg.axis(_CURVE_X, _CURVE_Y, _CURVE_WIDTH, []),
            svg.axis(_CURVE_X, _CURVE_Y, _CURVE_HEIGHT, ticks, side="left"),
            svg.text(
                _CURVE_X - 46, _CURVE_Y - _CURVE_HEIGHT - 12, "side of the field in pixels", 13, bold=True
            ),
            svg.line(_CURVE_X, photo_y, _CURVE_X + _CURVE_WIDTH, photo_y, svg.MUTED, 1, "4 3"),
            svg.text(_CURVE_X + 6, photo_y - 5, f"the photo's side, {SIZE}", 13, fill=svg.MUTED),
            svg.polyline(points, svg.VERMILION, 2, 3),
            svg.boxes([(a - 4, b - 4, 8, 8) for a, b in dots], svg.PURPLE),
            svg.line(x, _CURVE_Y, x, y, svg.VERMILION, 1, "2 3"),
            f'<circle cx="{svg.num(x)}" cy="{svg.num(y)}" r="6" fill="{svg.VERMILION}"/>',
            svg.text(label_x, _CURVE_Y + 18, label, 13, "middle", True),
            svg.text(max(x, _CURVE_X + 14), y - 12, sizes[index], 14, "middle", True),
            svg.text(_CURVE_X + _CURVE_WIDTH / 2, _CURVE_Y + 38, "layers, from the input on", 13, "middle"),
            svg.legend(
                _CURVE_X - 46,
                _TOP + _PANEL + 26,
                [(svg.VERMILION, "theoretical"), (svg.PURPLE, "effective width, where measured")],
            ),
        ]
    )


def _measured_dots(
    layers: tuple[LayerField, ...], values: dict[str, Any], kind: str, step: float, most: float
) -> list[tuple[float, float]]:
    """One dot per layer: the mean over the units of this photo that were measured."""
    widths: dict[str, list[float]] = {}
    for (photo, network, measured_kind, label, *_), found in _measured.items():
        if (photo, network, measured_kind) == (values["photo"], values["network"], kind):
            widths.setdefault(label, []).append(2 * sum(found.sd))
    return [
        (_CURVE_X + i * step, _CURVE_Y - sum(w) / len(w) / most * _CURVE_HEIGHT)
        for i, entry in enumerate(layers)
        if (w := widths.get(entry.label))
    ]
