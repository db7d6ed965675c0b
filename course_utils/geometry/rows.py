"""From the steps of a trace to the rows of a table: the kind of each layer, and what is left out."""

import re
from math import prod

from torch import nn

from course_utils.geometry.fields import Field, NoField, ReceptiveField
from course_utils.geometry.sizes import Shape
from course_utils.geometry.table import LayerRow, LayerTable
from course_utils.geometry.trace import Step, Trace

# The file of torch.nn.modules that a layer, or the layer of a function's name, is written in.
_FILES = {
    "activation": "activation",
    "batchnorm": "norm",
    "channelshuffle": "reshape",
    "conv": "conv",
    "dropout": "dropout",
    "flatten": "reshape",
    "instancenorm": "norm",
    "linear": "linear",
    "normalization": "norm",
    "padding": "pad",
    "pixelshuffle": "reshape",
    "pooling": "pool",
    "rnn": "recurrent",
    "upsampling": "resize",
}
_SPECIAL = {"Identity": "identity", "Bilinear": "other", "MultiheadAttention": "attention"}
_FUNCTIONS = {
    name: kind
    for names, kind in (
        (
            "to float half double bfloat16 type type_as contiguous clone detach data cpu cuda requires_grad",
            "copy",
        ),
        ("add sub subtract", "add"),
        ("mul multiply div divide true_divide", "multiply"),
        ("cat concat concatenate stack", "concat"),
        ("pad constant_pad_nd", "pad"),
        ("interpolate upsample", "resize"),
        ("mean sum amax amin max min std var norm vector_norm logsumexp median prod argmax argmin", "pool"),
        ("scaled_dot_product_attention multi_head_attention_forward", "attention"),
        ("matmul mm bmm mv addmm baddbmm einsum inner tensordot multi_dot", "matmul"),
        ("convolution", "conv"),
        ("normalize native_batch_norm native_layer_norm native_group_norm", "norm"),
        ("max_pool2d_with_indices", "pool"),
    )
    for name in names.split()
}


def _kind_of_class(cls: type) -> str:
    own = next((c for c in cls.__mro__ if c.__module__.startswith("torch.nn.modules.")), None)
    if own is None:
        return "other"
    if own.__name__ in _SPECIAL:
        return _SPECIAL[own.__name__]
    kind = _FILES.get(own.__module__.rpartition(".")[2], "other")
    return "conv_transpose" if "ConvTranspose" in own.__name__ else kind


def _flat(name: str) -> str:
    return re.sub(r"_|[123]d", "", name).lower()


_BY_NAME = {_flat(name): _kind_of_class(cls) for name, cls in vars(nn).items() if isinstance(cls, type)}


def kind_of(step: Step) -> str:
    if step.module is not None:
        return _kind_of_class(type(step.module))
    name = step.function
    return _FUNCTIONS.get(name) or _BY_NAME.get(_flat(name)) or ("reshape" if step.moves else "other")


def tabulate(trace: Trace, sizes: dict[str, int]) -> LayerTable:
    """A row for each step of the trace that changes values or their shape; `sizes` are the parameters'.

    Raises ValueError, naming the layer, where multiply-adds are not known.
    """
    counts: dict[str, tuple[int, bool]] = {}
    rows = []
    for step in shown(trace):
        if step.uncounted:
            raise ValueError(
                f"{step.label} computes {step.uncounted}, whose multiply-adds layer_table does not count."
            )
        kind = kind_of(step)
        parameters = dict(sorted(step.parameters.items(), key=lambda item: item[1]))  # weights before biases
        counts |= {name: (sizes[name], is_bias) for name, is_bias in parameters.items()}
        rows.append(
            LayerRow(
                name=step.name,
                kind=kind,
                in_shape=_unbatched(step.in_shape),
                out_shape=_unbatched(step.out_shape),
                units=prod(step.out_shape),
                weights=sum(sizes[name] for name, is_bias in parameters.items() if not is_bias),
                biases=sum(sizes[name] for name, is_bias in parameters.items() if is_bias),
                connections=step.windows if kind == "pool" else step.macs,
                macs=step.macs,
                receptive_field=_seen(trace, step),
                parameters=tuple(parameters),
            )
        )
    unused = sum(sizes.values()) - sum(size for size, _ in counts.values())
    return LayerTable(rows, trace.in_shape, counts, unused)


def shown(trace: Trace) -> list[Step]:
    """The steps without copies, pieces, and the same values in another order: nothing that a reader looks for."""
    return [step for step in trace.steps if step.module is not None or not _is_housekeeping(step)]


def _is_housekeeping(step: Step) -> bool:
    kind = kind_of(step)
    same_size = prod(step.in_shape) == prod(step.out_shape) and step.function not in ("flatten", "reshape")
    return not step.parameters and (kind == "copy" or (kind == "reshape" and same_size))


def _unbatched(shape: Shape) -> Shape:
    """Without the batch of one where it comes first; elsewhere all dimensions, so that units are their product."""
    return shape[1:] if shape[:1] == (1,) else shape


def _seen(trace: Trace, step: Step) -> ReceptiveField | None:
    if len(trace.in_shape) != 3 or not isinstance(step.sees, Field):
        return None
    try:
        return step.sees.public(step.out_shape)
    except NoField:
        return None
