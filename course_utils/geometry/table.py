"""The table of a network's layers: counted from a trace, shown as text, Markdown or HTML."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from math import prod
from typing import overload

from course_utils.geometry.fields import Field, ReceptiveField
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
from course_utils.geometry.sizes import LayerSize, Shape
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
_RANK = {kind: rank for rank, kind in enumerate(("other", "identity", *dict.fromkeys(_KINDS.values())))}


@dataclass(frozen=True)
class LayerRow(LayerSize):
    """A layer of a network: its size, and what its outputs see of the input.

    `receptive_field` is None where there is no single size and stride (`geometry.receptive_field` says why)
    and where the input is no image. `parameters` are the names of the weights and biases that it uses.
    """

    receptive_field: ReceptiveField | None = None
    parameters: tuple[str, ...] = field(default=(), repr=False)


class LayerTable(Sequence):
    """The layers of a network in the order of computation: a sequence of rows that notebooks show as a table.

    `table[0]`, `table["conv1"]` and `table[2:5]` give a row, the (last) row of that name, and a shorter table.
    `unused_params` counts the model's parameters that are in no row, such as those of auxiliary heads.
    """

    def __init__(
        self,
        rows: Sequence[LayerRow],
        in_shape: Shape,
        counts: dict[str, tuple[int, bool]],
        unused_params: int = 0,
    ):
        self._rows, self._in_shape, self._counts = tuple(rows), in_shape, counts
        self.unused_params = unused_params

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int | str) -> LayerRow: ...
    @overload
    def __getitem__(self, index: slice) -> "LayerTable": ...
    def __getitem__(self, index):
        if isinstance(index, str):
            found = [row for row in self._rows if row.name == index]
            if not found:
                raise KeyError(f"no layer is called {index!r}")
            return found[-1]
        rows = self._rows[index]
        return self._of(rows) if isinstance(index, slice) else rows

    def _of(self, rows: Sequence[LayerRow]) -> "LayerTable":
        return LayerTable(rows, self._in_shape, self._counts)

    def only(self, *kinds: str) -> "LayerTable":
        """The rows of these kinds, such as "conv", "linear" and "pool": the ones that lecture 12 counts."""
        have = dict.fromkeys(row.kind for row in self._rows)
        for kind in kinds:
            if kind not in _RANK:
                raise ValueError(
                    f"There is no layer of kind {kind!r}; in this table there are {', '.join(have)}."
                )
        return self._of([row for row in self._rows if row.kind in kinds])

    @property
    def total(self) -> LayerSize:
        """The sum over the rows; weights and biases that several rows share count once."""
        used = [self._counts[name] for name in dict.fromkeys(n for row in self._rows for n in row.parameters)]
        return LayerSize(
            name="total",
            kind="total",
            in_shape=self._in_shape,
            out_shape=self._rows[-1].out_shape if self._rows else self._in_shape,
            units=sum(row.units for row in self._rows),
            weights=sum(size for size, is_bias in used if not is_bias),
            biases=sum(size for size, is_bias in used if is_bias),
            connections=sum(row.connections for row in self._rows),
            macs=sum(row.macs for row in self._rows),
        )

    def __repr__(self) -> str:
        total = self.total
        return f"LayerTable({len(self)} rows, {total.params:,} parameters, {total.macs:,} multiply-adds)"

    def to_markdown(self) -> str:
        """The table in Markdown, numbers to the right."""
        lines = [_HEADS, ["---"] * 3 + ["--:"] * (len(_HEADS) - 3)]
        lines += [_cells(row) for row in (*self._rows, self.total)]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _repr_html_(self) -> str:
        most = {name: max((getattr(row, name) for row in self._rows), default=0) for name in _BARS}
        head = "".join(f"<th>{name}</th>" for name in _HEADS)
        body = "".join(f"<tr>{_html_cells(row, most)}</tr>" for row in self._rows)
        total = "".join(f"<td>{cell}</td>" for cell in _cells(self.total))
        return (
            f'{_STYLE}<div class="layer-table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
            f"<tfoot><tr>{total}</tr></tfoot></table>{self._note()}</div>"
        )

    def _note(self) -> str:
        if not self.unused_params:
            return ""
        return f"<p>{self.unused_params:,} more parameters are not used in evaluation mode.</p>"


_HEADS = ["layer", "kind", "output", "units", "weights", "biases", "connections", "multiply-adds"]
_HEADS += ["receptive field (stride)"]
_NUMBERS = ("units", "weights", "biases", "connections", "macs")
_BARS = ("units", "weights", "macs")

# Bars are see-through, so the text keeps JupyterLab's own contrast in the light and the dark theme.
_STYLE = """<style>
.layer-table { max-height: 32em; overflow: auto; color: var(--jp-ui-font-color1, inherit); }
.layer-table table { border-collapse: collapse; margin: 0; font-size: 12px; color: inherit;
  font-variant-numeric: tabular-nums; }
.layer-table th, .layer-table td { padding: 2px 8px; text-align: right; white-space: nowrap; }
.layer-table th:nth-child(-n+3), .layer-table td:nth-child(-n+3) { text-align: left; }
.layer-table thead th, .layer-table tfoot td { position: sticky; font-weight: 600;
  background: var(--jp-layout-color2, Canvas); }
.layer-table thead th { top: 0; border-bottom: 1px solid var(--jp-border-color1, GrayText); }
.layer-table tfoot td { bottom: 0; border-top: 1px solid var(--jp-border-color1, GrayText); }
.layer-table td.bar { background: linear-gradient(to left,
  rgba(86, 180, 233, 0.4) var(--share), transparent var(--share)); }
</style>"""


def _cells(row: LayerSize) -> list[str]:
    numbers = [f"{getattr(row, name):,}" for name in _NUMBERS]
    seen = _field_text(row.receptive_field) if isinstance(row, LayerRow) else ""
    kind = row.kind if isinstance(row, LayerRow) else ""
    return [row.name, kind, " × ".join(map(str, row.out_shape)), *numbers, seen]


def _field_text(seen: ReceptiveField | None) -> str:
    if seen is None:
        return "–"
    if seen.stride == (0, 0):
        return "whole input" if seen.start == (0, 0) else _square(seen.size)
    return f"{_square(seen.size)} ({_square(seen.stride)})"


def _square(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]} × {pair[1]}"


def _html_cells(row: LayerRow, most: dict[str, int]) -> str:
    first, numbers, last = _cells(row)[:3], _cells(row)[3:-1], _cells(row)[-1]
    cells = [f"<td>{escape(cell)}</td>" for cell in first]
    for name, text in zip(_NUMBERS, numbers, strict=True):
        value = getattr(row, name)
        bar = name in _BARS and value > 0
        style = f' class="bar" style="--share: {100 * value / most[name]:.1f}%"' if bar else ""
        cells.append(f"<td{style}>{text}</td>")
    return "".join(cells) + f"<td>{last}</td>"


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
