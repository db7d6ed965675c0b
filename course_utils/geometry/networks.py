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
from course_utils.geometry.trace import Step, Trace, sentence, tensors_in, trace


def layer_table(model: nn.Module, input_shape: Shape) -> LayerTable:
    """Every layer of a network, in the order of computation, with its size, cost and receptive field.

    `input_shape` is without the batch: (channels, height, width) for an image. Rows are named as in
    `model.named_modules()`; an operation outside of layers (an addition, `torch.flatten`) is named after itself,
    behind the module that calls it. A layer used twice has two rows; `.total` counts its weights once. The network
    is taken in evaluation mode, so heads that only training uses have no rows; it may be on any device. Counts are
    those of one input; normalisation has no multiply-adds, as in torchvision's and torch's own counts.
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
        weights, kind = sum(sizes[name] for name in names) - biases, _kind(step)
        shapes = [shape[1:] if shape[:1] == (1,) else shape for shape in (step.in_shape, step.shape)]
        connections = step.pairs if kind == "pool" else step.macs
        try:
            seen = step.sees.public(step.shape) if step.sees and traced.image.ndim == 4 else None
        except NoField:
            seen = None
        costs = (prod(step.shape), weights, biases, connections, step.macs)
        rows.append(LayerRow(step.name, kind, *shapes, *costs, seen, tuple(names)))
    unused = sum(sizes.values()) - sum(size for size, _ in counts.values())
    return LayerTable(rows, tuple(traced.image.shape[1:]), counts, unused)


def receptive_field(model: nn.Module, input_shape: Shape, layer: str | None = None) -> ReceptiveField:
    """What one output of a layer sees of the input image.

    `input_shape` is (channels, height, width). `layer` is a module's name or a row of `layer_table` (its last use);
    None is the last feature map: the last output before global or adaptive pooling, flattening or a linear layer.
    The field is theoretical: not clipped at the border, and the union over all channels and branches. What
    summarises the image sees the whole of it: global pooling, flattening, group and instance normalisation, and
    thus also every layer behind a squeeze-and-excitation block.
    Raises ValueError where no single size and stride describe the field: after upsampling, say, or where
    branches of different stride meet.
    """
    return _public(_found(model, _traced_image(model, input_shape), layer))


def receptive_fields(model: nn.Module, input_shape: Shape) -> dict[str, ReceptiveField]:
    """`receptive_field` of every row of `layer_table`, by name, in the order of computation.

    Raises ValueError at the first layer whose field no single size and stride describe.
    """
    return {step.name: _public(step) for step in _shown(_traced_image(model, input_shape))}


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
    Raises ValueError for a layer that is no module or no feature map, a unit outside it, or no gradient.
    Source: Luo et al. 2016, "Understanding the effective receptive field in deep convolutional neural networks".
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or not len(images):
        given = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be a tensor of shape [N, C, H, W] with N of at least 1, got {given}.")
    traced = _traced_image(model, tuple(images.shape[1:]))
    step = _found(model, traced, layer)
    if step.module is None:  # what the module around it puts out may be the same
        around = [s for s in traced.outputs.values() if s.module is not None and s.sees is step.sees]
        if not around:
            raise ValueError(f"{step.label} is an operation, and no module puts out what it does.")
        step = around[0]
    place = _unit_index(step, unit)
    weight = next(model.parameters(), images)
    if weight.is_meta or images.is_meta:
        raise ValueError("A gradient needs values: give a model and images that are not on the meta device.")
    total = torch.zeros(images.shape[-2:])
    # A few at a time: the gradient keeps every activation in memory.
    for some in images.detach().to(weight.device, weight.dtype).split(8):
        with torch.inference_mode(False), torch.enable_grad():
            some = some.clone().requires_grad_()
            values = _output_of(model, step, some)
            if not values.requires_grad:
                raise ValueError(f"{step.label} passes no gradient back to the image.")
            moved = values[(slice(None), *place)].sum()
            (gradient,) = torch.autograd.grad(moved, some, materialize_grads=True)
        total += gradient.abs().sum((0, 1)).float().cpu()
    return total / total.max() if total.max() > 0 else total


def _output_of(model: nn.Module, step: Step, images: Tensor) -> Tensor:
    """What a module of the model puts out at this use of it, for real images, in evaluation mode."""
    outputs = []

    class Reached(BaseException):  # no error, hence no Exception
        pass

    def stop(_module: nn.Module, _given: tuple, output: object) -> None:
        outputs.append(output)
        if len(outputs) == step.use:
            raise Reached

    with replaced(model, Tensor.clone):
        handle = step.module.register_forward_hook(stop)
        try:
            model(images.clone())  # a copy, because a first layer may work in place
        except Reached:
            return tensors_in(outputs[-1])[0]
        except Exception as error:
            whole = Step("", type(model).__name__)
            raise ValueError(sentence(error, whole, [tuple(images.shape)])) from error
        finally:
            handle.remove()
    raise ValueError(f"{step.label} is not computed for these images, unlike for their shape alone.")


def _traced_image(model: nn.Module, input_shape: Shape) -> Trace:
    if not isinstance(input_shape, tuple | list) or len(input_shape) != 3:
        raise ValueError(f"input_shape must be (channels, height, width), got {input_shape!r}.")
    return trace(model, input_shape)


def _found(model: nn.Module, traced: Trace, layer: str | None) -> Step:
    """The use of a layer that is meant."""
    if layer is None:
        maps = [step for step in traced.steps if step.sees and len(step.shape) == 4 and not step.sees.pooled]
        if not maps:
            raise ValueError("The model has no feature map before pooling, flattening or a linear layer.")
        return maps[-1]
    if layer in [*traced.outputs]:
        return traced.outputs[layer]
    if layer in [name for name, _ in model.named_modules()]:
        raise ValueError(f"Layer {layer!r} is not used when the model runs in evaluation mode.")
    near = get_close_matches(str(layer), traced.outputs, n=3, cutoff=0.4) or list(traced.outputs)[:3]
    raise ValueError(f"There is no layer {layer!r}; there are {', '.join(map(repr, near))} and others.")


def _public(step: Step) -> ReceptiveField:
    if step.sees is None:
        raise ValueError(f"{step.label} does not see the input at all.")
    try:
        return step.sees.public(step.shape)
    except NoField as reason:
        raise ValueError(step.sees.why or f"{step.label} {reason}") from None


def _unit_index(step: Step, unit: tuple[int, ...] | None) -> tuple:
    """The index of the unit behind the batch's; its channels are summed unless it names one."""
    shape = step.shape[1:]
    if len(shape) != 3:
        raise ValueError(f"{step.label} is no feature map: its output has shape {shape}.")
    try:
        unit = (shape[1] // 2, shape[2] // 2) if unit is None else unit
        place = tuple(checked_integer("unit", i, 0) for i in unit)
    except (TypeError, ValueError):
        place = ()
    if len(place) not in (2, 3) or any(i >= n for i, n in zip(place, shape[-len(place) :], strict=True)):
        allowed = f"(row, column) or (channel, row, column) inside {shape}, the output of {step.name!r}"
        raise ValueError(f"unit must be {allowed}, got {unit!r}.")
    return (slice(None),) * (3 - len(place)) + place


# Rows


# By a layer's name, the file of torch.nn.modules that it is in, or the operation where no layer is called like it.
_KINDS = {
    "activation": "activation",
    "add": "add sub rsub",
    "attention": "scaled_dot_product_attention multihead_attention",
    "concat": "cat concat concatenate stack",
    "conv": "conv convolution",
    "conv_transpose": "conv_transpose",
    "copy": "to to_copy type_as contiguous clone detach copy alias",
    "dropout": "dropout",
    "identity": "identity",
    "linear": "linear",
    "matmul": "matmul mm bmm mv addmm baddbmm einsum inner tensordot linalg_multi_dot",
    "multiply": "mul div",
    "norm": "batchnorm instancenorm normalization",
    "other": "bilinear",
    "pad": "padding pad constant_pad_nd",
    "pool": "pooling mean sum amax amin max min std var norm linalg_vector_norm logsumexp prod",
    "recurrent": "rnn",
    "reshape": "channelshuffle flatten pixelshuffle",
    "resize": "upsampling upsample_nearest upsample_bilinear upsample_bicubic",
}
_KIND_OF = {name.replace("_", ""): kind for kind, names in _KINDS.items() for name in names.split()}


def _flat(name: str) -> str:
    return re.sub(r"_|[123]d|withindices", "", name).lower()


_LAYERS = {_flat(name): layer for name, layer in vars(nn).items() if isinstance(layer, type)}


def _kind(step: Step) -> str:
    name = _flat(step.function)
    layer = type(step.module) if step.module is not None else _LAYERS.get(name, Step)
    own = next((c for c in layer.__mro__ if c.__module__.startswith("torch.nn.modules.")), nn.Module)
    kind = _KIND_OF.get(_flat(own.__name__)) or _KIND_OF.get(own.__module__.rpartition(".")[2])
    if step.module is None:
        kind = kind or _KIND_OF.get(name) or ("reshape" if step.moves else None)
    return kind or "other"


def _shown(traced: Trace) -> list[Step]:
    """The steps without copies and the same values in another order: nothing that a reader looks for."""
    return [step for step in traced.steps if step.module is not None or not _is_housekeeping(step)]


def _is_housekeeping(step: Step) -> bool:
    kind = _kind(step)
    same_size = prod(step.in_shape) == prod(step.shape) and step.function not in ("flatten", "reshape")
    return not step.parameters and (kind == "copy" or (kind == "reshape" and same_size))
