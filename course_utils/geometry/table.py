"""The table of a network's layers: a sequence of rows, shown as text, Markdown or HTML."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from course_utils.geometry.fields import ReceptiveField
from course_utils.geometry.sizes import LayerSize, Shape

# A layer with several operations is of the last of their kinds.
KINDS = ["identity", "copy", "reshape", "other", "activation", "dropout", "norm", "add", "multiply", "concat"]
KINDS += ["pad", "resize", "pool", "attention", "matmul", "recurrent", "linear", "conv_transpose", "conv"]


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

    def __init__(self, rows: Sequence[LayerRow], in_shape: Shape, counts: dict[str, tuple], unused: int = 0):
        """`counts` has the size of each parameter in a row, and whether it is a bias."""
        self._rows, self._in_shape, self._counts, self.unused_params = tuple(rows), in_shape, counts, unused

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return LayerTable(self._rows[index], self._in_shape, self._counts)
        if not isinstance(index, str):
            return self._rows[index]
        if not (named := [row for row in self._rows if row.name == index]):
            raise KeyError(f"no layer is called {index!r}")
        return named[-1]

    def only(self, *kinds: str) -> "LayerTable":
        """The rows of these kinds, such as "conv", "linear" and "pool": the ones that lecture 12 counts."""
        for kind in kinds:
            if kind not in KINDS:
                have = ", ".join(dict.fromkeys(row.kind for row in self._rows))
                raise ValueError(f"There is no layer of kind {kind!r}; in this table there are {have}.")
        return LayerTable([row for row in self._rows if row.kind in kinds], self._in_shape, self._counts)

    @property
    def total(self) -> LayerSize:
        """The sum over the rows; weights and biases that several rows share count once."""
        names = ("units", "connections", "macs")
        units, connections, macs = (sum(getattr(row, name) for row in self) for name in names)
        used = [self._counts[name] for name in {name for row in self for name in row.parameters}]
        weights, biases = (sum(size for size, is_bias in used if is_bias == kind) for kind in (False, True))
        shapes = (self._in_shape, self._rows[-1].out_shape if self._rows else self._in_shape)
        return LayerSize("total", "total", *shapes, units, weights, biases, connections, macs)

    def __repr__(self) -> str:
        total = self.total
        return f"LayerTable({len(self)} rows, {total.params:,} parameters, {total.macs:,} multiply-adds)"

    def to_markdown(self) -> str:
        """The table in Markdown, numbers to the right."""
        lines = [_HEADS, ["---"] * 3 + ["--:"] * 6, *map(_cells, (*self, self.total))]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _repr_html_(self) -> str:
        most = {n: max((getattr(r, n) for r in self), default=0) for n in ("units", "weights", "macs")}
        head = "".join(f"<th>{name}</th>" for name in _HEADS)
        body = "".join(f"<tr>{_html_cells(row, most)}</tr>" for row in self)
        foot = f"<tr>{_html_cells(self.total, {})}</tr>"
        unused = f"<p>{self.unused_params:,} more parameters are not used in evaluation mode.</p>"
        table = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody><tfoot>{foot}</tfoot>"
        return f'{_STYLE}<div class="layer-table"><table>{table}</table>{unused if self.unused_params else ""}</div>'


_NUMBERS = ("units", "weights", "biases", "connections", "macs")
_HEADS = ["layer", "kind", "output", *_NUMBERS[:-1], "multiply-adds", "receptive field (stride)"]

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
    kind, seen = (row.kind, _field_text(row.receptive_field)) if isinstance(row, LayerRow) else ("", "")
    return [row.name, kind, " × ".join(map(str, row.out_shape)), *numbers, seen]


def _field_text(seen: ReceptiveField | None) -> str:
    if seen is None:
        return "–"
    size, stride = (f"{a}" if a == b else f"{a} × {b}" for a, b in (seen.size, seen.stride))
    if seen.stride == (0, 0):
        return "whole input" if seen.start == (0, 0) else size
    return f"{size} ({stride})"


def _html_cells(row: LayerSize, most: dict[str, int]) -> str:
    """Cells of a row; behind some of the numbers a bar, as long as the number's share of the largest one."""
    shares = [getattr(row, name) / most[name] if most.get(name) else 0 for name in _NUMBERS]
    bars = [f' class="bar" style="--share: {share:.1%}"' if share else "" for share in (0, 0, 0, *shares, 0)]
    return "".join(f"<td{bar}>{escape(cell)}</td>" for bar, cell in zip(bars, _cells(row), strict=True))
