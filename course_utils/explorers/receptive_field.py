"""receptive_field_explorer: what one unit of a network can see of a photo, and what it does look at."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from course_utils.explorers import layout, svg
from course_utils.explorers.description import Description, Picture, Values, choice, slider
from course_utils.explorers.layout import Block, words
from course_utils.geometry.fields import ReceptiveField
from course_utils.words import percent, plural, shape

SIZE = 224  # pixels on each side that the networks take of a photo
BOX, UNTRAINED, TRAINED = "theoretical only", "effective, untrained", "effective, trained"
FIELD_NETWORKS = ("AlexNet", "VGG-16", "GoogLeNet", "ResNet-18", "ResNet-50", "EfficientNet-Lite0")
_PANEL, _MARGIN = 376, 48  # pixels on the screen, and of padding around the photo that are drawn
_SCALE = _PANEL / (SIZE + 2 * _MARGIN)
_CURVE = (416, 206)
_HATCH, _PADDING = svg.hatch("padding")


def describe(data: Values) -> Description:
    """What one unit sees of a photo: its theoretical field as a box, its effective field as a heat map.

    `initial` sets any of photo (a name in `data.photos()`), network, layer, row, column (of the unit), and
    effective: "theoretical only", "effective, untrained" (fresh weights, batch norm's statistics from photos) or,
    for EfficientNet-Lite0, "effective, trained". The effective field is the mean absolute gradient of the unit,
    its channels summed, with respect to this photo's pixels; it is measured once the controls rest.
    """
    names, labels = data["photos"], [entry.label for entry in network_layers("ResNet-18", data)]
    controls = {
        "photo": choice("photo", [(name.replace("_", " "), name) for name in names], names[0]),
        "network": choice("network", FIELD_NETWORKS, "ResNet-18"),
        "effective": choice("field", (BOX, UNTRAINED), BOX),
        "layer": choice("layer", labels, labels[0], slides=True),
        "row": slider("row", 56, 0, 111),
        "column": slider("column", 56, 0, 111),
    }
    title = "A unit's receptive field on a photo: the theoretical box and the effective heat map."
    prepare = [*(f"layers/{name}" for name in FIELD_NETWORKS), *(f"photo/{name}" for name in names)]
    return Description(title, controls, draw_field, follow=_follow, prepare=prepare)


def _follow(before: Values, values: Values, moved: Sequence[str], data: Values) -> dict[str, Any]:
    """In another layer, choose the unit at about the same place of the photo, which is remembered as a share."""
    after, grid = dict(values), _chosen(network_layers(values["network"], data), values["layer"]).out_shape[1]
    for name in ("row", "column"):
        own = (values[name] + 0.5) / grid
        place = own if name in moved else before.get(f"{name} place", own)
        after |= {name: min(int(place * grid), grid - 1), f"{name} place": place}
    return after


def effective_key(photo: str, network: str, effective: str, layer: str, row: int, column: int) -> str:
    """The key of one unit's effective field."""
    return f"effective/{photo}/{network}/{effective}/{layer}/{row}/{column}"


class LayerField(NamedTuple):
    """One layer that can be chosen: what the model and what the menu call it, its shape and its field."""

    layer: str
    label: str
    out_shape: tuple[int, int, int]
    field: ReceptiveField


def network_layers(network: str, data: Values) -> tuple[LayerField, ...]:
    """The layers of one of FIELD_NETWORKS."""
    return tuple(
        LayerField(name, label, tuple(out_shape), ReceptiveField(*map(tuple, field)))
        for name, label, out_shape, *field in data[f"layers/{network}"]["layers"]
    )


def _chosen(layers: Sequence[LayerField], label: str) -> LayerField:
    return next((layer for layer in layers if layer.label == label), layers[0])


def draw_field(values: Values, data: Values) -> Picture:
    """The picture of one setting; layer, unit and kind of field are the nearest that the network has."""
    network, name, row, column = (values[n] for n in ("network", "photo", "row", "column"))
    layers, kinds = network_layers(network, data), tuple(data[f"layers/{network}"]["fields"])
    layer = _chosen(layers, values["layer"])
    kind = values["effective"] if values["effective"] in kinds else BOX
    _, height, width = layer.out_shape
    unit = min(row, height - 1), min(column, width - 1)
    key = "" if kind == BOX else effective_key(name, network, kind, layer.label, *unit)
    effective, field = data.get(key), layer.field
    top, left, bottom, right = box = field.box(*unit)
    clipped = max(top, 0), max(left, 0), min(bottom, SIZE), min(right, SIZE)
    inside = max(clipped[2] - clipped[0], 0) * max(clipped[3] - clipped[1], 0)
    state = layer._asdict() | {"unit": unit, "box": box, "clipped": clipped, "photo_share": inside / SIZE**2}
    state["padding_share"] = 1 - inside / (field.size[0] * field.size[1])
    state["sizes"] = {entry.label: entry.field.size[0] for entry in layers}
    state |= {"effective_sd": effective and tuple(effective["sd"]), "waiting": "" if effective else key}
    seen, said = f"It sees {shape(field.size)} pixels.", f"{network}, {layer.label}"
    place, *others = _sentences(state)
    swatches = (svg.VERMILION, "theoretical field"), (svg.RAISED, "padding"), (_PADDING, "field in padding")
    above = words(f"unit {unit} of {height} × {width}", pitch=24)
    picture = _photo(name, data[f"photo/{name}"], state, effective)
    facts = layout.column(
        words(seen, bold=True),
        words(place, *others, pitch=21),
        words("side of the field in pixels", bold=True, pitch=32),
        _curve(layers, layer, f"effective/{name}/{network}/{kind}/", data),
        layout.legend((svg.VERMILION, "theoretical"), (svg.PURPLE, "effective width, where measured")),
    )
    heading = words(f"{said}: output {shape(layer.out_shape)}", size=16, bold=True)
    page = layout.page(
        f"{said}, unit {unit}. {seen} {place}",
        layout.over(Block(0, 0, lambda x, y: _HATCH), heading),
        layout.row(layout.column(above, picture, layout.legend(*swatches), gap=8), facts, gap=22, align="l"),
        gap=4,
    )
    limits = {"layer": tuple(state["sizes"]), "effective": kinds, "row": height - 1, "column": width - 1}
    return Picture(page, state, limits)


def _photo(name: str, picture: str, state: dict[str, Any], effective: Values | None) -> Block:
    """The photo in its padding, the unit's box in it, and its heat map if there is one."""
    # Where rows and columns of the photo are in the panel, cut off at its rim
    top, left, bottom, right = (min(max((at + _MARGIN) * _SCALE, 0), _PANEL) for at in state["box"])
    side, into = SIZE * _SCALE, _MARGIN * _SCALE

    def draw(x: float, y: float) -> str:
        box, corner = (x + left, y + top, right - left, bottom - top), (x + into, y + into)
        drawn = svg.rect(x, y, _PANEL, _PANEL, svg.RAISED, stroke=svg.LINE) + svg.rect(*box, _PADDING)
        drawn += svg.image(*corner, side, picture, name)
        if effective:
            drawn += svg.rect(*corner, side, side, "#000000", opacity="0.45")
            drawn += svg.image(*corner, side, effective["picture"], "effective field")
        drawn += svg.rect(*box, stroke="#ffffff", stroke_width=4)
        return drawn + svg.rect(*box, stroke=svg.VERMILION, stroke_width=2.5)

    return Block(_PANEL, _PANEL, draw)


def _sentences(state: dict[str, Any]) -> list[str]:
    (top, left, bottom, right), field = state["box"], state["field"]
    padding, covered = percent(state["padding_share"]), percent(state["photo_share"])
    place = f"Rows {top} to {bottom - 1}, columns {left} to {right - 1}.".replace("-", "−")
    neighbour = f"Its neighbour's box lies {plural(field.stride[0], 'pixel')} further on."
    last = "Choose an effective field to see what moves it."
    if state["waiting"]:
        last = "The effective field is being measured."
    elif state["effective_sd"]:
        width = 2 * sum(state["effective_sd"])
        last = f"Effective width (4 sd): {width:.0f} pixels, {percent(width / field.size[0])} of the box."
    return [place, neighbour, f"{padding} of the box is padding; it covers {covered} of the photo.", last]


def _curve(layers: Sequence[LayerField], chosen: LayerField, begin: str, data: Values) -> Block:
    """The field's side over the layers; dots for the mean effective width of the units whose keys begin so."""
    measured: dict[str, list[float]] = {}
    for key in sorted(key for key in data if key.startswith(begin)):
        measured.setdefault(key.split("/")[4], []).append(2 * sum(data[key]["sd"]))  # 4 standard deviations
    widths = {label: sum(each) / len(each) for label, each in measured.items()}
    (width, height), sizes = _CURVE, {layer.label: layer.field.size[0] for layer in layers}
    labels, label, size = list(sizes), chosen.label, chosen.field.size[0]
    most, step = max(*sizes.values(), SIZE) * 1.06, width / max(len(layers) - 1, 1)
    half = svg.text_width(label, bold=True) / 2
    ticks = [(v / most * height, str(v)) for v in range(0, int(most), 100 if most < 600 else 200)]

    def draw(x: float, y: float) -> str:
        def places(values: Mapping[str, float]) -> list[tuple[float, float]]:
            return [(x + labels.index(n) * step, y + (1 - v / most) * height) for n, v in values.items()]

        bottom, photo, points = y + height, y + (1 - SIZE / most) * height, places(sizes)
        [(at, up)] = places({label: size})
        label_x = min(max(at, x + half - 30), x + width + 10 - half)
        return (
            svg.axis(x, bottom, width, [])
            + svg.axis(x, bottom, height, ticks, upwards=True)
            + svg.line([(x, photo), (x + width, photo)], svg.MUTED, 1, "4 3")
            + svg.text(x + 6, photo - 5, f"the photo's side, {SIZE}", fill=svg.MUTED)
            + svg.line(points, svg.VERMILION, 2)
            + "".join(svg.tag("circle", cx=a, cy=b, r=3, fill=svg.VERMILION) for a, b in points)
            + svg.boxes([(a - 4, b - 4, 8, 8) for a, b in places(widths)], svg.PURPLE)
            + svg.line([(at, bottom), (at, up)], svg.VERMILION, 1, "2 3")
            + svg.tag("circle", cx=at, cy=up, r=6, fill=svg.VERMILION)
            + svg.text(label_x, bottom + 18, label, text_anchor="middle", bold=True)
            + svg.text(max(at, x + 14), up - 12, size, text_anchor="middle", bold=True)
            + svg.text(x + width / 2, bottom + 38, "layers, from the input on", text_anchor="middle")
        )

    return layout.shift(Block(width, height + 46, draw), 40)
