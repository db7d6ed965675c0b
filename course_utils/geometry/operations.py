"""What each ATen operation does: to what its outputs see, and how many multiply-adds and connections it has.

Operations are told apart by torch's own marks (views, pointwise) and else by their name in RULES; what is in
no list has neither a field nor a count, and whoever asks for one is told so.
Source: torch's native_functions.yaml for names and arguments.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from math import gcd, prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from course_utils.geometry.fields import SCATTERED, Axis, Field, NoField, joined, united


class Operation:
    """One ATen operation: its name, `add` also for add_ and _add, and what torch says of it."""

    def __init__(self, func: torch._ops.OpOverload):
        schema = func._schema
        self.func, self.name = func, schema.name.split("::")[1].strip("_").removeprefix("native_")
        self.arguments = [a.name for a in schema.arguments]
        self.defaults = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
        self.writes = next((a.name for a in schema.arguments if a.alias_info and a.alias_info.is_write), "")
        self.is_view = func.is_view or torch.Tag.inplace_view in func.tags
        # The mark stands only at the form that makes a new tensor.
        packet = getattr(torch.ops.aten, self.name, None) if self.writes else None
        kin = [func, *(getattr(packet, overload) for overload in packet.overloads())] if packet else [func]
        self.is_pointwise = any(torch.Tag.pointwise in each.tags for each in kin)
        # Of the shape of its input, and nothing else of it.
        self.creates = self.name in ("zero", "fill") or bool(re.search(r"^new_|_like$", self.name))
        has_rule = self.creates or (self.name in RULES and schema.overload_name not in ("padding", "other"))
        composite = func.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd)
        self.is_composite = composite and not has_rule
        usual = "reshape" if self.is_view else "activation" if hasattr(nn.functional, self.name) else "other"
        self.kind = KIND_OF.get(self.name, usual)
        usual = _moving if self.is_view else _meeting if self.is_pointwise else _unknown
        self.rule = RULES.get(self.name, usual)
        self.multiplies = self.kind in ("conv", "linear", "matmul")
        self.reads = not any("Tensor" in str(r.type) for r in schema.returns)  # values


operation = lru_cache(None)(Operation)


class Known:
    """What is known of a tensor: what it sees of the image (None: nothing), and the parameters it is made of."""

    def __init__(self, tensor: Tensor, sees: Field | None, parameters: tuple[str, ...]):
        self.tensor, self.shape = tensor, tensor.shape  # alive, else Python would give its id to another one
        self.sees, self.parameters = sees, parameters


class Call(NamedTuple):
    """One call: its arguments by name, the fields and shapes before it of what comes from the image, one output."""

    op: Operation
    given: dict[str, Any]
    seen: list[Known]
    out: Tensor
    place: int  # of this output among several


# What the outputs see: a rule makes of each axis of the tensors from the image the output's

Rule = Callable[[Call, list[Axis]], Axis]


def field_of(call: Call, label: str) -> Field:
    """What the output of a call sees; where that is not known, a sentence that begins with the label says why."""
    op, fields, axes = call.op, [t.sees for t in call.seen], ()
    if len(fields) == 1 and op.is_pointwise and call.out.shape == call.seen[0].shape:
        return fields[0]
    why = next((f.why for f in sorted(fields, key=lambda f: len(f.axes)) if f.why), "")
    if all(field.axes for field in fields):
        try:
            if call.place and not op.is_view:
                raise NoField(f"computes {op.name}, of which only the first result is followed.")
            # Else weights may be made from the image.
            alone = len(fields) == 1 and call.seen[0].tensor is call.given[op.arguments[0]]
            rule = op.rule if alone or op.rule in (_meeting, _joining) else _unknown
            axes = tuple(rule(call, list(pair)) for pair in zip(*(f.axes for f in fields), strict=True))
        except NoField as reason:
            why = f"{label} {reason}"
    if not why and any(None in axis.steps for axis in axes):
        why = f"{label} {SCATTERED}"
    is_point = prod(call.out.shape[2:]) == 1
    pooled = all(f.pooled for f in fields) and (op.kind != "conv" or is_point)
    summarises = op.kind == "pool" and not op.name.startswith("max_pool")
    pooled |= call.out.ndim != 4 or op.name.startswith("adaptive") or (is_point and summarises)
    return Field(axes, why, pooled)


def _unknown(call: Call, axes: list[Axis]) -> Axis:
    """What depends on something that sees the whole sees it, too; of values that all see the same, anything does."""
    flat = [axis._replace(steps=(0,) * call.out.ndim) for axis in axes if axis.is_constant]
    whole = [axis for axis in flat if axis.is_whole]
    if len(flat) < len(axes) and not whole:
        raise NoField(f"computes {call.op.name}, whose receptive field is not known here.")
    return united(whole or flat, call.out.shape)


def _meeting(call: Call, axes: list[Axis]) -> Axis:
    """Element by element, smaller tensors repeated."""
    shape, repeated = call.out.shape, []
    for axis, given in zip(axes, (t.shape for t in call.seen), strict=True):
        more = len(shape) - len(given)
        steps = [0 if given[d] == 1 < shape[d + more] else step for d, step in enumerate(axis.steps)]
        repeated.append(axis._replace(steps=(*[0] * more, *steps)))
    return united(repeated, shape)


def _moving(call: Call, axes: list[Axis]) -> Axis:
    """Views, and what only moves or picks values: the operation itself moves the numbers sum of i[d] * steps[d].

    Along a dimension without a step the numbers are too far apart to be taken for neighbours.
    """
    (axis,), op, shape, out = axes, call.op, call.seen[0].shape, call.out.shape
    strange = op.name == "as_strided" or call.out.dtype != call.seen[0].tensor.dtype
    if axis.is_constant or strange or not 0 < prod(out) <= _MOST:
        return axis if shape == out else _unknown(call, axes)
    indices = call.given.get("indices") or [call.given.get("index")]
    blind = [d for d, index in enumerate(indices) if isinstance(index, Tensor) and index.is_meta]
    if blind and ("index" in call.given or any(axis.steps[d] != 0 for d in blind)):
        raise NoField("picks values by a tensor of indices, so its outputs see windows of different places.")
    rest = {name: value for name, value in call.given.items() if name != op.arguments[0]}
    rest = tree_map_only(Tensor, lambda t: torch.zeros(t.shape, dtype=t.dtype) if t.is_meta else t, rest)
    known = [step or 0 for step in axis.steps]
    far = apart = 2 * span(shape, known) + 2
    numbered = list(axis.steps)
    for d in (d for d, step in enumerate(axis.steps) if step is None):
        numbered[d], apart = apart, apart * shape[d]
    numbers = torch.arange(span(shape, numbered) + 1, dtype=torch.double).as_strided(shape, numbered)
    try:
        rows = op.func(numbers, **rest)
    except RuntimeError:  # no view: rows and other things end up in one dimension
        rows = op.func(numbers.contiguous(), **rest)
    rows = rows[call.place] if isinstance(rows, tuple | list) else rows
    rows = rows[tuple(slice(1 if step == 0 else None) for step in rows.stride())]  # of all the same ones one
    if None in axis.steps and (rows // far).unique().numel() < apart // far:
        raise NoField("picks some of several values that see windows of different places.")
    changes = [rows.diff(dim=d) if n > 1 else rows.new_zeros(1) for d, n in enumerate(rows.shape)]
    steps = [int(c.min()) if 0 <= c.min() == c.max() < far else None for c in changes]
    uneven = rows[tuple(slice(None) if step is None else 0 for step in steps)] % far
    first, width = int(uneven.min()), int(uneven.max() - uneven.min())
    if op.name in ("permute", "transpose", "t"):  # a map of one position keeps its step, also turned
        single = [step if step < far else None for step in rows.stride()]
        steps = [single[d] if n == 1 else steps[d] for d, n in enumerate(out)]
    elif len(shape) == len(out):
        steps = [axis.steps[d] if shape[d] == n == 1 else steps[d] for d, n in enumerate(out)]
    moved = Axis(axis.extent, axis.start + first, axis.size + width, tuple(steps))
    return moved.ended(max(known) if width == span(shape, known) else 1)


def span(shape: tuple[int, ...], steps: list[int]) -> int:
    """From the first to the last of the places that lie these steps apart."""
    return sum((n - 1) * step for n, step in zip(shape, steps, strict=True))


def _joining(call: Call, axes: list[Axis]) -> Axis:
    """Concatenation: side by side."""
    found = {id(t.tensor): axis for t, axis in zip(call.seen, axes, strict=True)}
    parts = [(found.get(id(t)), t.shape) for t in call.given["tensors"] if t.shape != (0,)]
    return joined(parts, call.given["dim"] % call.out.ndim)


def _sliding(call: Call, axes: list[Axis]) -> Axis:
    """Windows, also such as hold all positions: outputs that depend on a whole dimension."""
    (axis,), windows = axes, _windows(call)
    if call.given.get("transposed"):
        raise NoField("is a transposed convolution, and what its outputs see may be not evenly spaced.")
    for dim, window in windows.items():
        axis = axis.window(dim, *window) if axis.steps[dim] != 0 else axis
    if call.out.ndim == len(axis.steps):
        return axis
    return axis._replace(steps=tuple(step for d, step in enumerate(axis.steps) if d not in windows))


def _windows(call: Call) -> dict[int, tuple]:
    """Kernel, stride, padding and dilation of the windows along each dimension, as in `Axis.window`."""
    op, given, shape = call.op, call.given, call.seen[0].shape
    n = len(shape)
    if op.kind == "pad":  # filled with copies of pixels, it counts as if they were new ones
        pads = given.get("pad") or given["padding"]
        return {n - 1 - i: (1, 1, before) for i, before in enumerate(pads[::2])}
    if op.name.startswith("adaptive"):
        return {d: _cover(shape[d], call.out.shape[d]) for d in (n - 2, n - 1)}
    if op.kind == "conv" or "kernel_size" in given:
        kernel = given["weight"].shape[2:] if op.kind == "conv" else given["kernel_size"]
        first = n - (len(kernel) if op.kind == "conv" else int(op.name.split("pool")[1][0]))
        values = kernel, given["stride"] or kernel, given["padding"], given.get("dilation") or [1]
        each = zip(*(list(v) * (n - first if len(v) == 1 else 1) for v in values), strict=True)
        windows = dict(enumerate(each, first))
        if op.kind == "conv":  # a field is the union over the channels
            windows[first - 1] = shape[first - 1], None if given["groups"] > 1 else 0
        return windows
    over = _OVER.get(op.name)
    dims = over(given, range(n)) if over else given.get("dim")
    dims = range(n) if dims in (None, []) else [dims] if isinstance(dims, int) else dims
    return {d % n: (shape[d], 0) for d in dims}


# Without stored statistics, batch normalisation measures over all but the channels.
_OVER = {
    "linear": lambda given, every: every[-1:],
    "batch_norm": lambda given, every: {d for d in every if d != 1 and given["training"]},
    "instance_norm": lambda given, every: {d for d in every if d > 1 and given["use_input_stats"]},
    "layer_norm": lambda given, every: every[-len(given["normalized_shape"]) :],
    "group_norm": lambda given, every: every[1:],
}


def _cover(positions: int, outputs: int) -> tuple:
    """Adaptive pooling's windows if they are evenly spaced; else the narrowest of one stride that hold them all.

    Output i has the positions from i * positions / outputs, rounded down, to the next one's, rounded up.
    """
    if outputs == 1 or outputs > positions > 1:
        return positions, 0 if outputs == 1 else None
    covers = []
    for step in {positions // outputs, -(-positions // outputs)}:
        start = min(i * positions // outputs - i * step for i in range(outputs))
        end = max(-(-(i + 1) * positions // outputs) - i * step for i in range(outputs))
        covers.append((end - start, step, -start, int(positions > 1)))  # a repeated value leaves no margin
    return min(covers)


# Which operation is of which kind, and has which rule


_MOST = 2**25
_OPERATIONS = (
    ("activation", _sliding, "softmax log_softmax safe_softmax"),
    ("activation", _meeting, "hardswish"),
    ("activation", _unknown, "glu"),
    # Without a rule: files and classes of torch.nn.modules, and functions.
    ("activation", None, "activation"),
    ("attention", None, "MultiheadAttention scaled_dot_product_attention"),
    ("add", None, "add sub rsub"),
    ("concat", _joining, "cat"),
    ("concat", _unknown, "stack"),
    ("conv", _sliding, "convolution conv2d"),
    ("conv", None, "conv"),
    ("conv_transpose", None, "ConvTranspose1d ConvTranspose2d ConvTranspose3d"),
    ("copy", _meeting, "clone to_copy copy"),
    ("dropout", _meeting, "dropout"),
    ("identity", None, "Identity"),
    ("linear", _sliding, "linear"),
    ("matmul", _unknown, "matmul mm bmm addmm baddbmm"),
    ("multiply", None, "mul div"),
    ("norm", _sliding, "batch_norm instance_norm layer_norm group_norm"),
    ("norm", None, "batchnorm instancenorm normalization rms_norm"),
    ("other", None, "Bilinear distance cosine_similarity pairwise_distance"),
    ("other", _moving, "index index_select flip roll repeat"),
    ("other", _unknown, "argmax argsort cumsum embedding gather grid_sampler_2d im2col index_put"),
    ("other", _unknown, "index_put_impl scatter sort topk tril triu unsafe_split var_mean"),
    ("pad", _sliding, "constant_pad_nd reflection_pad2d replication_pad2d"),
    ("pad", None, "padding pad"),
    ("pool", _sliding, "avg_pool2d avg_pool3d max_pool2d max_pool2d_with_indices"),
    ("pool", _sliding, "adaptive_avg_pool2d adaptive_max_pool2d"),
    ("pool", _sliding, "mean sum amax amin max min var std norm linalg_vector_norm logsumexp prod any all"),
    ("recurrent", None, "rnn"),
    ("reshape", _moving, "unsafe_view flatten reshape channel_shuffle pixel_shuffle pixel_unshuffle"),
    ("resize", _moving, "upsample_nearest2d upsample_nearest_exact2d"),
    ("resize", _unknown, "upsample_bilinear2d upsample_bicubic2d"),
)
RULES: dict[str, Rule] = {name: rule for _, rule, names in _OPERATIONS if rule for name in names.split()}
KIND_OF = {name: kind for kind, _, names in _OPERATIONS for name in names.split()}


def cost_of(call: Call) -> tuple[int | None, int]:
    """Multiply-adds without biases, None if not known; (input, output) pairs that pooling joins, with padding."""
    op, given, out = call.op, call.given, call.out.shape
    if op.kind == "conv" or op.name == "deform_conv2d":
        outputs = given["input"].shape if given.get("transposed") else out
        return prod(outputs) * prod(given["weight"].shape[1:]), 0
    if op.multiplies:
        left = [given[name] for name in ("self", "mat1", "batch1", "input") if name in given][-1]
        return prod(out) * left.shape[-1], 0
    if op.kind != "pool" or not call.seen:
        return (0 if op.is_view or op.is_pointwise or op.creates or op.name in RULES else None), 0
    if op.name.startswith("adaptive"):
        # Neighbouring windows share a position or just meet.
        sides = zip(call.seen[0].shape[-2:], out[-2:], strict=True)
        return 0, prod(out[:-2]) * prod(n + outputs - gcd(n, outputs) for n, outputs in sides)
    return 0, prod(out) * prod(kernel for kernel, *_ in _windows(call).values())
