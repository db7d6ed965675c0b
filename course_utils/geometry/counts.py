"""A row of the table for each step of a trace: its kind, parameters, connections and multiply-adds."""

from collections.abc import Callable
from math import prod

from course_utils.geometry.fields import Field
from course_utils.geometry.functions import (
    ACTIVATIONS,
    ADAPTIVE_POOLS,
    ATTENTION,
    CONVS,
    COPIES,
    DROPOUTS,
    JOINS,
    NORMS,
    PERMUTES,
    POOLS,
    PRODUCTS,
    PRODUCTS_OF_TWO,
    REDUCTIONS,
    RESHAPES,
    RESIZES,
    SPLITS,
    SPREADS,
    SUMS,
    TRANSPOSED,
)
from course_utils.geometry.propagation import Fields
from course_utils.geometry.rules import adaptive_windows, pool_window
from course_utils.geometry.table import KINDS, LayerRow, LayerTable
from course_utils.geometry.trace import Call, Step, Trace

_MOVES = RESHAPES | PERMUTES | SPLITS | SPREADS | {"getitem", "narrow", "pixel_shuffle"}
# They multiply by weights in ways that are not counted here; a row of noughts would be a lie.
_UNCOUNTED = frozenset(["lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "bilinear"])

_KINDS: dict[str, str] = {
    function: kind
    for functions, kind in (
        (COPIES, "copy"),
        (_MOVES, "reshape"),
        (ACTIVATIONS | {"softmax", "log_softmax"}, "activation"),
        (DROPOUTS, "dropout"),
        (NORMS, "norm"),
        (SUMS, "add"),
        (PRODUCTS_OF_TWO, "multiply"),
        (JOINS, "concat"),
        (("pad",), "pad"),
        (RESIZES, "resize"),
        (POOLS | ADAPTIVE_POOLS | REDUCTIONS, "pool"),
        (ATTENTION, "attention"),
        (PRODUCTS | {"einsum"}, "matmul"),
        (("linear",), "linear"),
        (TRANSPOSED, "conv_transpose"),
        (CONVS, "conv"),
    )
    for function in functions
}
# A layer that calls several functions (a convolution that pads its input first) is of the last of these kinds.
_RANK = {kind: rank for rank, kind in enumerate(KINDS)}


def tabulate(trace: Trace, fields: Fields | None, sizes: dict[str, int]) -> LayerTable:
    """A row for each step of the trace that changes values or their shape; `sizes` are the parameters'."""
    counts: dict[str, tuple[int, bool]] = {}
    rows = []
    for step in trace.steps:
        kind = _kind(step)
        if not step.is_module and _is_housekeeping(step, kind):
            continue
        parameters = _parameters(step)
        counts |= {name: (sizes[name], is_bias) for name, is_bias in parameters.items()}
        connections, macs = _costs(step)
        seen = fields.of.get(step.output.key) if fields else None
        rows.append(
            LayerRow(
                name=step.name,
                kind=kind,
                in_shape=step.inputs[0].shape[1:],
                out_shape=step.output.shape[1:],
                units=prod(step.output.shape[1:]),
                weights=sum(sizes[name] for name, is_bias in parameters.items() if not is_bias),
                biases=sum(sizes[name] for name, is_bias in parameters.items() if is_bias),
                connections=connections,
                macs=macs,
                receptive_field=seen.public() if isinstance(seen, Field) else None,
                parameters=tuple(parameters),
            )
        )
    unused = sum(sizes.values()) - sum(size for size, _ in counts.values())
    return LayerTable(rows, trace.input.shape[1:], counts, unused)


def _kind(step: Step) -> str:
    if not step.calls:
        return "identity"
    return max((_KINDS.get(call.function, "other") for call in step.calls), key=_RANK.__getitem__)


def _is_housekeeping(step: Step, kind: str) -> bool:
    """A copy, a piece, or the same values in another order: nothing that a reader looks for."""
    same_size = step.inputs[0].numel == step.output.numel and step.calls[0].function not in (
        "flatten",
        "reshape",
    )
    return not any(r.parameter for r in step.calls[0].inputs) and (
        kind == "copy" or (kind == "reshape" and same_size)
    )


def _parameters(step: Step) -> dict[str, bool]:
    """The names of the parameters that the step uses, and whether each is a bias."""
    found: dict[str, bool] = {}
    for call in step.calls:
        bias = None
        if call.function in CONVS | TRANSPOSED | {"linear"}:
            bias = call.bind("input weight bias").get("bias")
        for ref in call.inputs:
            if ref.parameter:
                found[ref.parameter] = ref == bias or "bias" in ref.parameter.rpartition(".")[2]
    return found


def _costs(step: Step) -> tuple[int, int]:
    """Connections and multiply-adds of one input."""
    connections = macs = 0
    for call in step.calls:
        if call.function in _UNCOUNTED:
            raise ValueError(
                f"{step.label} computes {call.function}, whose multiply-adds layer_table does not count."
            )
        joined = _CONNECTIONS.get(call.function, _none)(call)
        connections += joined
        macs += 0 if _KINDS.get(call.function) == "pool" else joined
    return connections, macs


def _none(call: Call) -> int:
    return 0


def _conv(call: Call) -> int:
    weight = call.bind("input weight")["weight"]
    return call.outputs[0].numel * prod(weight.shape[1:])


def _conv_transpose(call: Call) -> int:
    given = call.bind("input weight")
    return given["input"].numel * prod(given["weight"].shape[1:])


def _product(call: Call) -> int:
    left = call.args[1] if call.function in ("addmm", "baddbmm") else call.inputs[0]
    return call.outputs[0].numel * left.shape[-1]


def _window(call: Call) -> int:
    return call.outputs[0].numel * prod(pool_window(call)["kernel"])


def _adaptive(call: Call) -> int:
    before, after = call.inputs[0].shape, call.outputs[0].shape
    n = int(call.function.split("pool")[1][0])
    spans = (
        sum(high - low for low, high in adaptive_windows(*sizes))
        for sizes in zip(before[-n:], after[-n:], strict=True)
    )
    return prod(after[:-n]) * prod(spans)


def _einsum(call: Call) -> int:
    """Every combination of all indices, for two factors in plain letters."""
    equation, operands = call.args[0].replace(" ", ""), call.inputs
    letters = "".join(equation.partition("->")[0].split(","))
    return prod(dict(zip(letters, (n for r in operands for n in r.shape), strict=True)).values())


def _reduction(call: Call) -> int:
    return call.inputs[0].numel


def _sdpa(call: Call) -> int:
    given = call.bind("query key value")
    query, key, value = (given[name].shape for name in ("query", "key", "value"))
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _multi_head(call: Call) -> int:
    """Projections of queries, keys and values, two products of all with all, the projection of the result."""
    given = call.bind("query key value")
    query, key, value = (given[name] for name in ("query", "key", "value"))
    width, length = query.shape[-1], key.shape[0]
    projections = width * (query.numel + key.numel + value.numel + query.numel)
    return projections + 2 * query.numel * length


_CONNECTIONS: dict[str, Callable[[Call], int]] = {
    function: count
    for functions, count in (
        (CONVS, _conv),
        (TRANSPOSED, _conv_transpose),
        (PRODUCTS | {"linear"}, _product),
        (POOLS, _window),
        (ADAPTIVE_POOLS, _adaptive),
        (("einsum",), _einsum),
        (REDUCTIONS, _reduction),
        (("scaled_dot_product_attention",), _sdpa),
        (("multi_head_attention_forward",), _multi_head),
    )
    for function in functions
}
