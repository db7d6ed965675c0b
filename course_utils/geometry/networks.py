"""A whole network: its layer table, the receptive fields of its layers, and the effective one."""

from difflib import get_close_matches
from math import prod

import torch
from torch import Tensor, nn

from course_utils.geometry.fields import ReceptiveField
from course_utils.geometry.operations import KIND_OF
from course_utils.geometry.restoring import replaced
from course_utils.geometry.sizes import Shape, checked_integer
from course_utils.geometry.table import LayerRow, LayerTable
from course_utils.geometry.trace import Step, Trace, sentence, tensors_in, torchs, trace


def layer_table(model: nn.Module, input_shape: Shape) -> LayerTable:
    """Every layer of a network, in the order of computation, with its size, cost and receptive field.

    `input_shape` is without the batch: (channels, height, width) for an image. Rows are named as in
    `model.named_modules()`; an operation outside of layers (an addition, `torch.flatten`) is named after itself, behind
    the module that calls it. A layer used twice has two rows; `.total` counts its weights once. The network, on any
    device, is taken in evaluation mode, so heads that only training uses have no rows. Counts are those of one input;
    normalisation has no multiply-adds, as in torchvision's and torch's own counts. Raises ValueError, naming the layer,
    where the input does not fit, shapes alone do not decide what is computed, or multiply-adds are not known.
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
            seen = _public(step) if traced.image.ndim == 4 else None
        except ValueError:
            seen = None
        costs = (prod(step.shape), weights, biases, connections, step.macs)
        rows.append(LayerRow(step.name, kind, *shapes, *costs, seen, tuple(names)))
    unused = sum(sizes.values()) - sum(size for size, _ in counts.values())
    return LayerTable(rows, tuple(traced.image.shape[1:]), counts, unused)


def receptive_field(model: nn.Module, input_shape: Shape, layer: str | None = None) -> ReceptiveField:
    """What one output of a layer sees of the input image.

    `input_shape` is (channels, height, width). `layer` is a module's name or a row of `layer_table` (its last use);
    None is the last feature map: the last output before global or adaptive pooling, flattening or a linear layer.
    The field is theoretical: not clipped at the border, and the union over all channels and branches. What summarises
    the image sees the whole of it: global pooling, flattening, group and instance normalisation, and thus also every
    layer behind a squeeze-and-excitation block. Raises ValueError where no single size and stride describe the field:
    after upsampling, say, or where branches of different stride meet.
    """
    return _public(_found(model, trace(model, input_shape, True), layer))


def receptive_fields(model: nn.Module, input_shape: Shape) -> dict[str, ReceptiveField]:
    """`receptive_field` of every row of `layer_table`, by name, in the order of computation.

    Raises ValueError at the first layer whose field no single size and stride describe.
    """
    return {step.name: _public(step) for step in _shown(trace(model, input_shape, True))}


def effective_receptive_field(
    model: nn.Module, images: Tensor, layer: str | None = None, unit: tuple[int, int] | None = None
) -> Tensor:
    """How much each input pixel moves one unit: the mean absolute gradient, scaled to a maximum of 1.

    `images` is [N, C, H, W], the result [H, W] on the CPU. The mean is over images and input channels.
    `layer` is a module's name, or None as in `receptive_field`. `unit` is (row, column), whose channels are
    summed before the gradient is taken; None is the centre. Where nothing moves the unit, all is 0.
    Raises ValueError for a layer that is no module or no feature map, a unit outside it, or no gradient.
    Source: Luo et al. 2016, "Understanding the effective receptive field in deep convolutional neural networks".
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or not len(images):
        given = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be a tensor of shape [N, C, H, W] with N of at least 1, got {given}.")
    traced = trace(model, images.shape[1:], True)
    step = _found(model, traced, layer)
    # The module around an operation may put out the same.
    uses = [s for s in (step, *traced.outputs.values()) if s.module is not None and s.sees is step.sees]
    if not uses or len(step.shape) != 4:
        raise ValueError(f"{step.label} is no feature map of a module; it has shape {step.shape[1:]}.")
    (step, *_), (height, width) = uses, step.shape[2:]
    try:
        row, column = (height // 2, width // 2) if unit is None else (checked_integer("", i, 0) for i in unit)
    except (TypeError, ValueError):
        row = column = height + width
    if row >= height or column >= width:
        raise ValueError(f"unit must be (row, column) inside {height} x {width} outputs, got {unit!r}.")
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
            moved = values[:, :, row, column].sum()
            (gradient,) = torch.autograd.grad(moved, some, materialize_grads=True)
        total += gradient.abs().sum((0, 1)).float().cpu()
    return total / total.max() if total.max() > 0 else total


def _output_of(model: nn.Module, step: Step, images: Tensor) -> Tensor:
    """What a module of the model puts out at this use of it, for real images, in evaluation mode."""
    outputs, Reached = [], type("Reached", (BaseException,), {})  # no error, hence no Exception

    def stop(_module: nn.Module, _given: tuple, output: object) -> None:
        outputs.append(output)
        if len(outputs) == step.use:
            raise Reached

    with replaced(model, Tensor.clone):  # and without the hook afterwards
        step.module.register_forward_hook(stop)
        try:
            model(images.clone())  # a copy, because a first layer may work in place
        except Reached:
            return tensors_in(outputs[-1])[0]
        except Exception as error:
            whole = Step("", type(model).__name__)
            raise ValueError(sentence(error, whole, [tuple(images.shape)])) from error
    raise ValueError(f"{step.label} is not computed for these images, unlike for their shape alone.")


def _found(model: nn.Module, traced: Trace, layer: str | None) -> Step:
    """The use of a layer that is meant."""
    if layer is None:
        maps = [step for step in traced.steps if step.sees and len(step.shape) == 4 and not step.sees.pooled]
        if not maps:
            raise ValueError("The model has no feature map before pooling, flattening or a linear layer.")
        return maps[-1]
    if layer in list(traced.outputs):
        return traced.outputs[layer]
    if layer in [name for name, _ in model.named_modules()]:
        raise ValueError(f"Layer {layer!r} is not used when the model runs in evaluation mode.")
    near = ", ".join(map(repr, get_close_matches(str(layer), traced.outputs, 3, 0)))
    raise ValueError(f"There is no layer {layer!r}; there are {near} and maybe others.")


def _public(step: Step) -> ReceptiveField:
    if step.sees is None:
        raise ValueError(f"{step.label} does not see the input at all.")
    return step.sees.public(step.shape, step.label)


def _kind(step: Step) -> str:
    """A layer's by its class or file in torch.nn.modules, an operation's by its name, else that of what it did."""
    layer = next(iter(torchs(step.module)), None)
    names = (layer.__name__, layer.__module__.rpartition(".")[2]) if layer else (step.function,)
    return next((KIND_OF[name] for name in names if name in KIND_OF), step.kind)


def _shown(traced: Trace) -> list[Step]:
    """The steps but for operations that copy or reorder values: nothing that a reader looks for."""
    shown = []
    for step in traced.steps:
        same_size = prod(step.in_shape) == prod(step.shape) and step.function not in ("flatten", "reshape")
        moves = step.kind in ("identity", "copy") or (step.kind == "reshape" and same_size)
        shown += [step] if step.module is not None or step.parameters or not moves else []
    return shown
