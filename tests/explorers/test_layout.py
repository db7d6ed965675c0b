"""Blocks: what is drawn lies inside the size that a block says, nothing lies on its neighbour, columns align."""

from itertools import accumulate, combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.explorers import layout, svg

SIZES = st.integers(1, 60)
BOXES = st.builds(layout.box, SIZES, SIZES)
GAPS = st.integers(0, 12)
ALIGN = st.sampled_from("lcr")


def rows_of(cells):
    """Rows of `cells`, equally long."""
    return st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=4)
    )


def tables(cells):
    return st.builds(
        lambda rows, align, gap, least: layout.table(rows, align * len(rows[0]), gap, [least] * len(rows[0])),
        rows_of(cells), ALIGN, GAPS, SIZES,
    )  # fmt: skip


def nested(inner):
    """Rows, columns and tables of blocks."""
    parts = st.lists(inner, min_size=1, max_size=4)
    rows = st.builds(lambda blocks, gap, align: layout.row(*blocks, gap=gap, align=align), parts, GAPS, ALIGN)
    columns = st.builds(
        lambda blocks, gap, align: layout.column(*blocks, gap=gap, align=align), parts, GAPS, ALIGN
    )
    return rows | columns | tables(inner)


def rectangles(block, x=0, y=0):
    root = ElementTree.fromstring(f"<svg>{block.draw(x, y)}</svg>")
    return [tuple(float(r.get(name)) for name in ("x", "y", "width", "height")) for r in root.iter("rect")]


@given(st.recursive(BOXES, nested, max_leaves=20), SIZES, SIZES)
def test_boxes_lie_inside_and_apart(block, x, y):
    drawn = rectangles(block, x, y)
    slack = 0.3  # places are rounded to a tenth of a pixel
    for left, top, width, height in drawn:
        assert x - slack <= left and left + width <= x + block.width + slack
        assert y - slack <= top and top + height <= y + block.height + slack
    for a, b in combinations(drawn, 2):
        across, down = (min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
        assert across <= slack or down <= slack


@given(rows_of(BOXES), GAPS, st.integers(1, 90))
def test_a_tables_columns_begin_below_each_other(rows, gap, least):
    table = layout.table(rows, "l" * len(rows[0]), gap, [least] * len(rows[0]))
    widths = [max(least, *(block.width for block in column)) for column in zip(*rows, strict=True)]
    expected = [*accumulate((width + gap for width in widths[:-1]), initial=0)]
    assert [left for left, *_ in rectangles(table)] == expected * len(rows)
    assert table.width == sum(widths) + gap * (len(widths) - 1)
    assert table.height == sum(max(block.height for block in row) for row in rows)


@given(
    st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=0x17F), max_size=20), min_size=1),
    ALIGN,
    SIZES,
)
def test_words_are_as_wide_as_the_widest_line(lines, align, least):
    block = layout.words(*lines, align=align, least=least)
    assert block.width == pytest.approx(max(least, *(svg.text_width(line) for line in lines)))
    root = ElementTree.fromstring(f"<svg>{block.draw(0, 0)}</svg>")
    assert [text.text for text in root.iter("text")] == [line for line in lines if line]
    ends = {"l": 0, "c": block.width / 2, "r": block.width}
    assert all(float(text.get("x")) == pytest.approx(ends[align], abs=0.06) for text in root.iter("text"))


def test_what_may_stand_somewhere_keeps_its_room():
    widest = layout.words("8,888")
    assert layout.words("1", least="8,888").width == widest.width == layout.words("8,888", least="1").width
    assert layout.words("an inception module", most=60).width <= 60


def test_every_page_is_equally_wide(check_picture):
    for n in (1, 40):
        picture = layout.page(
            "Some words.", layout.words("word " * n, most=800), layout.bar(0.001 * n, 100, svg.BLUE)
        )
        assert f'viewBox="0 0 {layout.WIDTH} ' in picture
        check_picture(picture, may_shorten=True)
