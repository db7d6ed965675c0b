"""A stack of layers as a line of text, as measured rows, and as `nn.Sequential` code."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

from course_utils.geometry import LayerRow, LayerSize, ReceptiveField, conv_layer, linear_layer, pool_layer

# For each kind: its numbers, with the values that a new layer has. A letter says which number it is in the text.
KINDS = {
    "conv": {"out": 16, "kernel_size": 3, "stride": 1, "padding": 1, "dilation": 1, "groups": 1},
    "max pool": {"kernel_size": 2, "stride": 2, "padding": 0},
    "average pool": {"kernel_size": 2, "stride": 2, "padding": 0},
    "global pool": {},
    "batch norm": {},
    "relu": {},
    "flatten": {},
    "linear": {"out": 10},
}
LETTERS = {"k": "kernel_size", "s": "stride", "p": "padding", "d": "dilation", "g": "groups"}
_USUAL = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
_LEAST = {"padding": 0}
MOST_LAYERS = 24


@dataclass(frozen=True)
class Layer:
    """One layer of a stack: its kind, one of KINDS, and the numbers that this kind has."""

    kind: str
    out: int = 1
    kernel_size: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1

    @classmethod
    def new(cls, kind: str) -> Layer:
        return cls(kind, **KINDS[kind])

    def changed(self, **numbers: int) -> Layer:
        """The layer with those of the numbers changed that its kind has."""
        return replace(self, **{k: v for k, v in numbers.items() if k in KINDS[self.kind]})

    def __str__(self) -> str:
        """As `parse` reads it: "conv 64 k3 p1"."""
        has = KINDS[self.kind]
        words = [self.kind] + ([str(self.out)] if "out" in has else [])
        for letter, name in LETTERS.items():
            value, pool_stride = getattr(self, name), name == "stride" and "pool" in self.kind
            if name in has and (name == "kernel_size" or pool_stride or value != _USUAL[name]):
                words.append(f"{letter}{value}")
        return " ".join(words)


def to_text(layers: tuple[Layer, ...]) -> str:
    """The stack as one line, layers separated by commas."""
    return ", ".join(map(str, layers))


@lru_cache(256)
def parse(text: str) -> tuple[Layer, ...]:
    """The layers of a line such as "conv 6 k5, relu, max pool k2 s2, flatten, linear 10".

    After a kind of KINDS come the outputs (conv, linear) and k, s, p, d, g with kernel size, stride, padding,
    dilation and groups; what is missing is 1, the padding 0, a pooling's stride its kernel size.
    Raises ValueError for anything else.
    """
    parts = [" ".join(part.split()).lower() for part in text.split(",") if part.strip()]
    if not 1 <= len(parts) <= MOST_LAYERS:
        raise ValueError(
            f"The stack has {len(parts)} layers, and between 1 and {MOST_LAYERS} can be drawn; "
            "separate them by commas."
        )
    return tuple(_parse_layer(number, part) for number, part in enumerate(parts))


def _parse_layer(number: int, part: str) -> Layer:
    kind = next((k for k in KINDS if part == k or part.startswith(k + " ")), None)
    if kind is None:
        raise ValueError(f'Layer {number} of the stack, "{part}", is none of {", ".join(KINDS)}.')
    numbers: dict[str, int] = {}
    for word in part[len(kind) :].split():
        match = re.fullmatch(r"([kspdg]?)(\d{1,4})", word)
        name = match and (LETTERS[match[1]] if match[1] else "out")
        if not match or name not in KINDS[kind]:
            allowed = ["a number of outputs"] if "out" in KINDS[kind] else []
            allowed += [f"{letter} ({n})" for letter, n in LETTERS.items() if n in KINDS[kind]]
            raise ValueError(
                f'Layer {number} of the stack has "{word}"; {kind} takes {", ".join(allowed) or "no number"}.'
            )
        numbers[name] = int(match[2])
    for name, value in numbers.items():
        if value < _LEAST.get(name, 1):
            raise ValueError(f"Layer {number} of the stack has {name} {value}; it is at least 1.")
    if any(name in KINDS[kind] and name not in numbers for name in ("out", "kernel_size")):
        raise ValueError(f'Layer {number} of the stack, "{part}", needs {_needed(kind)}.')
    if kind in ("max pool", "average pool"):
        numbers.setdefault("stride", numbers["kernel_size"])
    return Layer(kind, **numbers)


def _needed(kind: str) -> str:
    needs = {"conv": 'outputs and a kernel size, as in "conv 16 k3"', "linear": 'outputs, as in "linear 10"'}
    return needs.get(kind, f'a kernel size, as in "{kind} k2"')


# --- measured -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """A stack on an input: a row per layer that fits, and why the next one does not (empty if all fit)."""

    rows: tuple[LayerRow, ...]
    reason: str


@lru_cache(512)
def measure(layers: tuple[Layer, ...], in_shape: tuple[int, int, int]) -> Measured:
    """The rows that `layer_table` of the built model would have, up to the first layer that does not fit."""
    rows: list[LayerRow] = []
    shape: tuple[int, ...] = in_shape
    field = ReceptiveField((1, 1), (1, 1), (0, 0))
    whole = ReceptiveField(in_shape[1:], (0, 0), (0, 0))
    for number, layer in enumerate(layers):
        try:
            size = _size(layer, shape)
        except ValueError as error:
            return Measured(tuple(rows), str(error))
        sees_all = layer.kind in ("global pool", "flatten", "linear")
        field = whole if sees_all else _window(field, layer)
        shape = size.out_shape
        numbers = {k: getattr(size, k) for k in ("units", "weights", "biases", "connections", "macs")}
        rows.append(LayerRow(str(number), size.kind, size.in_shape, shape, **numbers, receptive_field=field))
    return Measured(tuple(rows), "")


def _window(field: ReceptiveField, layer: Layer) -> ReceptiveField:
    """One step of the recursion: size, stride and start behind a layer."""
    grown = layer.dilation * (layer.kernel_size - 1)
    return ReceptiveField(
        tuple(size + grown * jump for size, jump in zip(field.size, field.stride, strict=True)),
        tuple(jump * layer.stride for jump in field.stride),
        tuple(start - layer.padding * jump for start, jump in zip(field.start, field.stride, strict=True)),
    )


def _size(layer: Layer, shape: tuple[int, ...]) -> LayerSize:
    window = (layer.kernel_size, layer.stride, layer.padding)
    if layer.kind == "linear":
        if len(shape) == 3:
            raise ValueError(f"linear takes a vector, and it gets {spoken(shape)}: put a flatten before it.")
        return linear_layer(shape[0], layer.out)
    if len(shape) == 1 and layer.kind not in ("relu", "batch norm", "flatten"):
        raise ValueError(f"{layer.kind} takes maps, and it gets a vector of {shape[0]}: put it further up.")
    if layer.kind == "conv":
        return conv_layer(shape, layer.out, *window, layer.dilation, layer.groups)
    if layer.kind in ("max pool", "average pool"):
        return pool_layer(shape, *window)
    if layer.kind == "global pool":
        return replace(pool_layer(shape, shape[1:]), out_shape=(shape[0], 1, 1))
    kind = {"relu": "activation", "batch norm": "norm", "flatten": "reshape"}[layer.kind]
    out_shape = (prod(shape),) if layer.kind == "flatten" else shape
    learnt = shape[0] if layer.kind == "batch norm" else 0
    return LayerSize(layer.kind, kind, shape, out_shape, prod(shape), learnt, learnt, 0, 0)


def spoken(shape: tuple[int, ...]) -> str:
    """A shape in words: "16 × 5 × 5"."""
    return " × ".join(map(str, shape))


# --- code ---------------------------------------------------------------------------------------------


def to_code(layers: tuple[Layer, ...], measured: Measured) -> str:
    """The stack as `nn.Sequential`; layers from the first that does not fit on are comments."""
    lines = ["nn.Sequential("]
    for number, layer in enumerate(layers):
        if number < len(measured.rows):
            row = measured.rows[number]
            lines.append(f"    {_torch_code(layer, row.in_shape)},  # {spoken(row.out_shape)}")
        elif number == len(measured.rows):
            lines.append(f"    # {layer}  does not fit here")
        else:
            lines.append(f"    # {layer}")
    return "\n".join([*lines, ")"])


def _torch_code(layer: Layer, in_shape: tuple[int, ...]) -> str:
    flat = len(in_shape) == 1
    if layer.kind == "conv":
        unusual = {k: getattr(layer, k) for k, usual in _USUAL.items() if getattr(layer, k) != usual}
        numbers = "".join(f", {name}={value}" for name, value in unusual.items())
        return f"nn.Conv2d({in_shape[0]}, {layer.out}, kernel_size={layer.kernel_size}{numbers})"
    if layer.kind in ("max pool", "average pool"):
        padding = f", padding={layer.padding}" if layer.padding else ""
        name = "MaxPool2d" if layer.kind == "max pool" else "AvgPool2d"
        return f"nn.{name}({layer.kernel_size}, stride={layer.stride}{padding})"
    return {
        "global pool": "nn.AdaptiveAvgPool2d(1)",
        "batch norm": f"nn.BatchNorm{1 if flat else 2}d({in_shape[0]})",
        "relu": "nn.ReLU()",
        "flatten": "nn.Flatten()",
        "linear": f"nn.Linear({in_shape[0]}, {layer.out})",
    }[layer.kind]
