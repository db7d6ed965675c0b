"""From the steps of a trace to the rows of a table: the kind of each layer, and what is left out."""

import re
from math import prod

from torch import nn

from course_utils.geometry.fields import NoField, ReceptiveField
from course_utils.geometry.table import LayerRow, LayerTable
from course_utils.geometry.trace import Step, Trace

# By the file of torch.nn.modules that a layer, or the layer of a function's name, is written in.
_KINDS = {"batchnorm": "norm", "channelshuffle": "reshape", "flatten": "reshape", "instancenorm": "norm"}
_KINDS |= {"normalization": "norm", "padding": "pad", "pixelshuffle": "reshape", "pooling": "pool"}
_KINDS |= {"rnn": "recurrent", "upsampling": "resize"}
_KINDS |= {name: name for name in ("activation", "conv", "dropout", "linear")}
_SPECIAL = {"Identity": "identity", "Bilinear": "other", "MultiheadAttention": "attention"}
_FUNCTIONS = {
    "copy": "to float half double bfloat16 type type_as contiguous clone detach data cpu cuda requires_grad",
    "add": "add sub subtract",
    "multiply": "mul multiply div divide true_divide",
    "concat": "cat concat concatenate stack",
    "pad": "pad constant_pad_nd",
    "resize": "interpolate upsample",
    "pool": "mean sum amax amin max min std var norm vector_norm logsumexp prod max_pool2d_with_indices",
    "attention": "scaled_dot_product_attention multi_head_attention_forward",
    "matmul": "matmul mm bmm mv addmm baddbmm einsum inner tensordot multi_dot",
    "conv": "convolution",
    "norm": "normalize native_batch_norm native_layer_norm native_group_norm",
}


def _kind_of_class(cls: type) -> str:
    own = next((c for c in cls.__mro__ if c.__module__.startswith("torch.nn.modules.")), cls)
    kind = _SPECIAL.get(own.__name__) or _KINDS.get(own.__module__.rpartition(".")[2], "other")
    return "conv_transpose" if "ConvTranspose" in own.__name__ else kind


def _flat(name: str) -> str:
    return re.sub(r"_|[123]d", "", name).lower()


_BY_NAME = {_flat(name): _kind_of_class(cls) for name, cls in vars(nn).items() if isinstance(cls, type)}
_BY_NAME |= {_flat(name): kind for kind, names in _FUNCTIONS.items() for name in names.split()}


def kind_of(step: Step) -> str:
    if step.module is not None:
        return _kind_of_class(type(step.module))
    return _BY_NAME.get(_flat(step.function)) or ("reshape" if step.moves else "other")


def tabulate(trace: Trace, sizes: dict[str, int]) -> LayerTable:
    """A row for each step of the trace that changes values or their shape; `sizes` are the parameters'.

    Raises ValueError, naming the layer, where multiply-adds are not known.
    """
    rows, counts = [], {}
    for step in shown(trace):
        if step.uncounted:
            what = f"computes {step.uncounted}, whose multiply-adds layer_table does not count"
            raise ValueError(f"{step.label} {what}.")
        names = sorted(step.parameters, key=step.parameters.get)  # weights before biases
        counts |= {name: (sizes[name], step.parameters[name]) for name in names}
        weights, biases = (
            sum(sizes[n] for n in names if step.parameters[n] == is_bias) for is_bias in (False, True)
        )
        units, kind = prod(step.output.shape), kind_of(step)
        shapes = [shape[1:] if shape[:1] == (1,) else shape for shape in (step.in_shape, step.output.shape)]
        connections = step.windows if kind == "pool" else step.macs
        costs = (units, weights, biases, connections, step.macs)
        rows.append(LayerRow(step.name, kind, *shapes, *costs, _seen(trace, step), tuple(names)))
    unused = sum(sizes.values()) - sum(size for size, _ in counts.values())
    return LayerTable(rows, trace.in_shape, counts, unused)


def shown(trace: Trace) -> list[Step]:
    """The steps without copies, pieces, and the same values in another order: nothing that a reader looks for."""
    return [step for step in trace.steps if step.module is not None or not _is_housekeeping(step)]


def _is_housekeeping(step: Step) -> bool:
    kind = kind_of(step)
    same_size = prod(step.in_shape) == prod(step.output.shape) and step.function not in ("flatten", "reshape")
    return not step.parameters and (kind == "copy" or (kind == "reshape" and same_size))


def _seen(trace: Trace, step: Step) -> ReceptiveField | None:
    sees = step.output.sees if len(trace.in_shape) == 3 else None
    try:
        return sees and sees.public(step.output.shape)
    except NoField:
        return None
