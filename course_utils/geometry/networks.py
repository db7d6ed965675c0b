"""A whole network: its layer table, the receptive fields of its layers, and the effective one."""

from difflib import get_close_matches

import torch
from torch import Tensor, nn

from course_utils.geometry.copies import undisturbed
from course_utils.geometry.fields import NoField, ReceptiveField
from course_utils.geometry.rows import shown, tabulate
from course_utils.geometry.sizes import Shape, checked_integer
from course_utils.geometry.table import LayerTable
from course_utils.geometry.trace import Output, Trace, output_of, trace


def layer_table(model: nn.Module, input_shape: Shape) -> LayerTable:
    """Every layer of a network, in the order of computation, with its size, cost and receptive field.

    `input_shape` is without the batch: (channels, height, width) for an image. Rows are named as in
    `model.named_modules()`; a function called outside a layer (an addition, `torch.flatten`) is named after
    itself, behind the module that calls it. A layer used twice has two rows and counts its weights once in
    `.total`. The network is taken in evaluation mode, so dropout costs nothing and auxiliary heads that
    only training uses have no rows; it may be on any device, the meta device included.
    Counts are those of one input. Normalisation has weights and biases but no multiply-adds, as in
    torchvision's and torch's own counts.
    Raises ValueError, naming the layer, where the input does not fit or the shapes alone do not decide what
    is computed.
    """
    traced = trace(model, input_shape)
    return tabulate(traced, {name: p.numel() for name, p in model.named_parameters()})


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
    traced = _traced_image(model, input_shape)
    return _public(*_found(model, traced, layer))


def receptive_fields(model: nn.Module, input_shape: Shape) -> dict[str, ReceptiveField]:
    """`receptive_field` of every row of `layer_table`, by name, in the order of computation.

    A layer used more than once has the field of its last use.
    Raises ValueError at the first layer whose field no single size and stride describe.
    """
    traced = _traced_image(model, input_shape)
    return {step.name: _public(step.name, step.output) for step in shown(traced)}


def effective_receptive_field(
    model: nn.Module,
    images: Tensor,
    layer: str | None = None,
    unit: tuple[int, int] | tuple[int, int, int] | None = None,
) -> Tensor:
    """How much each input pixel moves one unit: the mean absolute gradient, scaled to a maximum of 1.

    `images` is [N, C, H, W], the result [H, W] on the CPU. The mean is over images and input channels.
    `layer` is as in `receptive_field`. `unit` is (row, column), whose channels are summed before the
    gradient is taken, or (channel, row, column) for one of them; None is the centre. Where nothing moves the
    unit, all is 0.
    Raises ValueError for a layer that is no feature map, and a unit outside it.
    Source: Luo et al. 2016, "Understanding the effective receptive field in deep convolutional neural
    networks".
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or not len(images):
        given = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be a tensor of shape [N, C, H, W] with N of at least 1, got {given}.")
    name, output = _found(model, _traced_image(model, tuple(images.shape[1:])), layer)
    place = _unit_index(name, output.shape[1:], unit)
    weight = next(model.parameters(), images)
    if weight.is_meta or images.is_meta:
        raise ValueError("A gradient needs values: give a model and images that are not on the meta device.")
    total = torch.zeros(images.shape[-2:])
    # A few at a time: the gradient keeps every activation in memory.
    for some in images.detach().to(weight.device, weight.dtype).split(8):
        some = some.clone().requires_grad_()
        with torch.enable_grad(), undisturbed(model):
            # A copy, because a first layer may work in place.
            values = output_of(model, some.clone(), name, output.use)
            (gradient,) = torch.autograd.grad(values[(slice(None), *place)].sum(), some)
        total += gradient.abs().sum((0, 1)).float().cpu()
    return total / total.max() if total.max() > 0 else total


def _traced_image(model: nn.Module, input_shape: Shape) -> Trace:
    if not isinstance(input_shape, tuple | list) or len(input_shape) != 3:
        raise ValueError(f"input_shape must be (channels, height, width), got {input_shape!r}.")
    return trace(model, input_shape)


def _found(model: nn.Module, traced: Trace, layer: str | None) -> tuple[str, Output]:
    """A layer's name, and what it puts out at the use that is meant."""
    if layer is None:
        maps = [s for s in traced.steps if s.output.sees and s.output.sees.is_map(s.output.shape)]
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
