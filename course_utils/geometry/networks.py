"""A whole network: its layer table, the receptive fields of its layers, and the effective one."""

import re
from difflib import get_close_matches
from math import prod

import torch
from torch import Tensor, nn

from course_utils.geometry.fields import NoField, ReceptiveField
from course_utils.geometry.restoring import replaced
from course_utils.geometry.sizes import Shape, checked_integer
from course_utils.geometry.table import LayerRow, LayerTable
from course_utils.geometry.trace import Output, Step, Trace, tensors_in, trace


def layer_table(model: nn.Module, input_shape: Shape) -> LayerTable:
    """Every layer of a network, in the order of computation, with its size, cost and receptive field.

    `input_shape` is without the batch: (channels, height, width) for an image. Rows are named as in
    `model.named_modules()`; an operation called outside a layer (an addition, `torch.flatten`) is named after
    itself, behind the module that calls it. A layer used twice has two rows and counts its weights once in
    `.total`. The network is taken in evaluation mode, so dropout costs nothing and auxiliary heads that
    only training uses have no rows; it may be on any device, the meta device included.
    Counts are those of one input. Normalisation has weights and biases but no multiply-adds, as in
    torchvision's and torch's own counts.
    Raises ValueError, naming the layer, where the input does not fit, the shapes alone do not decide what is
    computed, or multiply-adds are not known.
    """
    traced, rows, counts = trace(model, input_shape), [], {}
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    for step in _shown(traced):
        if step.uncounted:
            what = f"computes {step.uncounted}, whose multiply-adds layer_table does not count"
            raise ValueError(f"{step.label} {what}.")
        names = sorted(step.parameters, key=step.parameters.get)  # weights before biases
        counts |= {name: (sizes[name], step.parameters[name]) for name in names}
        biases = sum(sizes[name] for name in names if step.parameters[name])
        weights, kind = sum(sizes[name] for name in names) - biases, kind_of(step)
        shapes = [shape[1:] if shape[:1] == (1,) else shape for shape in (step.in_shape, step.output.shape)]
        connections = step.windows if kind == "pool" else step.macs
        costs = (prod(step.output.shape), weights, biases, connections, step.macs)
        rows.append(LayerRow(step.name, kind, *shapes, *costs, _seen(traced, step), tuple(names)))
    unused = sum(sizes.values()) - sum(size for size, _ in counts.values())
    return LayerTable(rows, tuple(traced.image.shape[1:]), counts, unused)


def receptive_field(model: nn.Module, input_shape: Shape, layer: str | None = None) -> ReceptiveField:
    """What one output of a layer sees of the input image.

    `input_shape` is (channels, height, width). `layer` is a module's name (the last output, where it is used
    more than once) or a row of `layer_table`; None is the last feature map: the last output before global
    or adaptive pooling, flattening or a linear layer.
    The field is theoretical: not clipped at the border, and the union over all channels and, where branches
    meet, over the branches. What summarises the image sees the whole of it: global pooling, flattening, group
    and instance normalisation, and thus also every layer behind a squeeze-and-excitation block.
    Raises ValueError where no single size and stride describe the field: after upsampling, say, or where
    branches of different stride meet.
    """
    return _public(*_found(model, _traced_image(model, input_shape), layer))


def receptive_fields(model: nn.Module, input_shape: Shape) -> dict[str, ReceptiveField]:
    """`receptive_field` of every row of `layer_table`, by name, in the order of computation.

    A layer used more than once has the field of its last use.
    Raises ValueError at the first layer whose field no single size and stride describe.
    """
    return {step.name: _public(step.name, step.output) for step in _shown(_traced_image(model, input_shape))}


class _Reached(BaseException):
    """The layer that the caller waits for has computed its output. No error, hence no Exception."""


def effective_receptive_field(
    model: nn.Module,
    images: Tensor,
    layer: str | None = None,
    unit: tuple[int, int] | tuple[int, int, int] | None = None,
) -> Tensor:
    """How much each input pixel moves one unit: the mean absolute gradient, scaled to a maximum of 1.

    `images` is [N, C, H, W], the result [H, W] on the CPU. The mean is over images and input channels.
    `layer` is a module's name, or None as in `receptive_field`. `unit` is (row, column), whose channels are
    summed before the gradient is taken, or (channel, row, column) for one of them; None is the centre. Where
    nothing moves the unit, all is 0.
    Raises ValueError for a layer that is no module or no feature map, and a unit outside it.
    Source: Luo et al. 2016, "Understanding the effective receptive field in deep convolutional neural
    networks".
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or not len(images):
        given = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be a tensor of shape [N, C, H, W] with N of at least 1, got {given}.")
    traced, modules = _traced_image(model, tuple(images.shape[1:])), dict(model.named_modules())
    name, output = _found(model, traced, layer)
    place = _unit_index(name, output.shape[1:], unit)
    if name not in modules:  # what the module around it puts out may be the same
        around = [(n, o) for n, o in traced.outputs.items() if n in modules and o.sees is output.sees]
        if not around:
            raise ValueError(f"Layer {name!r} is an operation, and no module puts out what it does.")
        name, output = around[0]
    weight = next(model.parameters(), images)
    if weight.is_meta or images.is_meta:
        raise ValueError("A gradient needs values: give a model and images that are not on the meta device.")
    total = torch.zeros(images.shape[-2:])
    # A few at a time: the gradient keeps every activation in memory.
    for some in images.detach().to(weight.device, weight.dtype).split(8):
        some = some.clone().requires_grad_()
        with torch.enable_grad():
            values = _output_of(model, modules[name], output.use, some)
            (gradient,) = torch.autograd.grad(values[(slice(None), *place)].sum(), some)
        total += gradient.abs().sum((0, 1)).float().cpu()
    return total / total.max() if total.max() > 0 else total


def _output_of(model: nn.Module, module: nn.Module, use: int, images: Tensor) -> Tensor:
    """What a module of the model puts out at its `use`-th use (from 1), for real images, in evaluation mode."""
    uses = []

    def stop(_module: nn.Module, _given: tuple, output: object) -> None:
        uses.append(output)
        if len(uses) == use:
            raise _Reached

    with replaced(model, Tensor.clone):
        handle = module.register_forward_hook(stop)
        try:
            model(images.clone())  # a copy, because a first layer may work in place
        except _Reached:
            return next(tensors_in(uses[-1]))
        finally:
            handle.remove()
    raise ValueError("The layer is not computed for these images, unlike for their shape alone.")


def _traced_image(model: nn.Module, input_shape: Shape) -> Trace:
    if not isinstance(input_shape, tuple | list) or len(input_shape) != 3:
        raise ValueError(f"input_shape must be (channels, height, width), got {input_shape!r}.")
    return trace(model, input_shape)


def _found(model: nn.Module, traced: Trace, layer: str | None) -> tuple[str, Output]:
    """A layer's name, and what it puts out at the use that is meant."""
    if layer is None:
        maps = [step for step in traced.steps if step.output.is_map]
        if not maps:
            raise ValueError("The model has no feature map before pooling, flattening or a linear layer.")
        return maps[-1].name, maps[-1].output
    if isinstance(layer, str) and layer in traced.outputs:
        return layer, traced.outputs[layer]
    if isinstance(layer, str) and layer in dict(model.named_modules()):
        raise ValueError(f"Layer {layer!r} is not used when the model runs in evaluation mode.")
    near = get_close_matches(str(layer), list(traced.outputs), n=3, cutoff=0.4) or list(traced.outputs)[:3]
    raise ValueError(f"There is no layer {layer!r}; there are {', '.join(map(repr, near))} and others.")


def _public(name: str, output: Output) -> ReceptiveField:
    if output.sees is None:
        raise ValueError("The layer does not see the input at all.")
    try:
        return output.sees.public(output.shape)
    except NoField as reason:
        layer = f"Layer {name!r}" if name else "The model"
        raise ValueError(output.sees.why or f"{layer} {reason}") from None


def _unit_index(name: str, shape: Shape, unit: tuple[int, ...] | None) -> tuple:
    """The index of the unit behind the batch's; its channels are summed unless it names one."""
    if len(shape) != 3:
        raise ValueError(f"Layer {name!r} is no feature map: its output has shape {shape}.")
    if unit is None:
        unit = (shape[1] // 2, shape[2] // 2)
    try:
        place = tuple(checked_integer("unit", i, 0) for i in unit)
    except (TypeError, ValueError):
        place = ()
    if len(place) not in (2, 3) or any(i >= n for i, n in zip(place, shape[-len(place) :], strict=True)):
        raise ValueError(
            f"unit must be (row, column) or (channel, row, column) inside {shape}, the output of {name!r}, "
            f"got {unit!r}."
        )
    return (slice(None),) * (3 - len(place)) + place


# Rows


# By the file of torch.nn.modules that a layer, or the layer of an operation's name, is written in.
_KINDS = {"batchnorm": "norm", "channelshuffle": "reshape", "flatten": "reshape", "instancenorm": "norm"}
_KINDS |= {"normalization": "norm", "padding": "pad", "pixelshuffle": "reshape", "pooling": "pool"}
_KINDS |= {"rnn": "recurrent", "upsampling": "resize"}
_KINDS |= {name: name for name in ("activation", "conv", "dropout", "linear")}
_SPECIAL = {"Identity": "identity", "Bilinear": "other", "MultiheadAttention": "attention"}
_OPERATIONS = {
    "copy": "to to_copy type_as contiguous clone detach copy alias",
    "add": "add sub rsub",
    "multiply": "mul div",
    "concat": "cat concat concatenate stack",
    "pad": "pad constant_pad_nd",
    "resize": "upsample_nearest upsample_bilinear upsample_bicubic",
    "pool": "mean sum amax amin max min std var norm linalg_vector_norm logsumexp prod max_pool2d_with_indices",
    "attention": "scaled_dot_product_attention",
    "matmul": "matmul mm bmm mv addmm baddbmm einsum inner tensordot linalg_multi_dot",
    "conv": "convolution",
}


def _kind_of_class(cls: type) -> str:
    own = next((c for c in cls.__mro__ if c.__module__.startswith("torch.nn.modules.")), cls)
    kind = _SPECIAL.get(own.__name__) or _KINDS.get(own.__module__.rpartition(".")[2], "other")
    return "conv_transpose" if "ConvTranspose" in own.__name__ else kind


def _flat(name: str) -> str:
    return re.sub(r"_|[123]d", "", name).lower()


_BY_NAME = {_flat(name): _kind_of_class(cls) for name, cls in vars(nn).items() if isinstance(cls, type)}
_BY_NAME |= {_flat(name): kind for kind, names in _OPERATIONS.items() for name in names.split()}


def kind_of(step: Step) -> str:
    if step.module is not None:
        return _kind_of_class(type(step.module))
    return _BY_NAME.get(_flat(step.function)) or ("reshape" if step.moves else "other")


def _shown(traced: Trace) -> list[Step]:
    """The steps without copies and the same values in another order: nothing that a reader looks for."""
    return [step for step in traced.steps if step.module is not None or not _is_housekeeping(step)]


def _is_housekeeping(step: Step) -> bool:
    kind = kind_of(step)
    same_size = prod(step.in_shape) == prod(step.output.shape) and step.function not in ("flatten", "reshape")
    return not step.parameters and (kind == "copy" or (kind == "reshape" and same_size))


def _seen(traced: Trace, step: Step) -> ReceptiveField | None:
    sees = step.output.sees if traced.image.ndim == 4 else None
    try:
        return sees and sees.public(step.output.shape)
    except NoField:
        return None
