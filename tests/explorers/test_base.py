"""The contract that all explorers share, on a small one."""

import asyncio
import base64
import io
import re
import subprocess
import sys
from unittest.mock import MagicMock

import pytest
from fontTools.ttLib import TTFont
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import get_data_path
from PIL import Image, ImageFont

from course_utils.explorers import base, svg
from course_utils.explorers.base import Explorer
from course_utils.explorers.description import Description, Picture, choice, slider

LETTERS = {1: ("a", "b"), 2: ("b", "c", "d")}
FONTS = [f"{get_data_path()}/fonts/ttf/DejaVuSans{weight}.ttf" for weight in ("", "-Bold")]


def draw(values, data):
    """A square that must not be larger than its frame; its letters depend on the row."""
    if values["side"] > values["frame"]:
        raise ValueError(f"A square of side {values['side']} does not fit a frame of {values['frame']}.")
    area = values["side"] ** 2
    definition, hatched = svg.hatch("lines")
    body = definition + svg.rect(10, 10, 100, 100, hatched) + svg.text(150, 60, f"area {area}")
    limits = {"cell": area - 1, "letter": LETTERS[values["row"]]}
    return Picture(svg.document(880, 200, f"A square of area {area}.", body), dict(values), limits)


def explorer(function=draw, **options):
    controls = {
        "side": slider("side", 3, 1, 10),
        "frame": slider("frame", 5, 1, 10),
        "row": choice("row", (1, 2), 1),
        "letter": choice("letter", LETTERS[1], "a"),
        "cell": slider("cell", 0, 0, 8),
    }
    presets = {"large": {"side": 9, "frame": 9}, "small": {"side": 2, "frame": 5, "cell": 3}}
    options = {"presets": presets, **options}
    return Explorer(Description("A square in a frame.", controls, function, **options))


def counted():
    """`draw`, and the list of values it was called with."""
    calls = []

    def drawing(values, data):
        calls.append(values)
        return draw(values, data)

    return drawing, calls


def messages_of(widget):
    widget.comm = MagicMock()
    return lambda: [c for c in widget.comm.send.call_args_list if c.kwargs["data"]["method"] == "update"]


def test_a_control_redraws_at_once(check_picture):
    e = explorer()
    e.controls["side"].value = 4
    assert e.state["side"] == 4 and "area 16" in e.svg and "area 16" in e.view.value
    check_picture(e.svg)


def test_set_changes_several_controls_with_one_redraw():
    drawing, calls = counted()
    e = explorer(drawing)
    calls.clear()
    assert e.set(side=8, frame=9) is e
    assert len(calls) == 1 and e.problem is None and "area 64" in e.svg


def test_an_update_is_one_message_and_an_unchanged_picture_none():
    e = explorer()
    view, layout = messages_of(e.view), messages_of(e.controls["frame"].layout)
    e.controls["frame"].value = 6  # the picture does not show the frame
    assert view() == []
    e.controls["side"].value = 2
    assert len(view()) == 1 and layout() == []
    assert len(str(view()[0])) < len(e.svg) + 1000


def test_an_impossible_setting_is_a_sentence_with_ways_out(check_picture):
    e = explorer()
    e.controls["side"].value = 7
    assert e.problem == "A square of side 7 does not fit a frame of 5."
    assert e.problem in e.svg and "Move side to 5, or frame to 7." in e.svg
    assert e.state == {"problem": e.problem} and e.ways_out == {"side": 5, "frame": 7}
    check_picture(e.svg)
    marked = {
        name for name, c in e.controls.items() if "transparent" not in (c.layout.border_left or "transparent")
    }
    assert marked == {"side", "frame"}
    e.controls["frame"].value = 7
    assert e.problem is None and e.ways_out == {} and "area 49" in e.svg
    assert "transparent" in e.controls["side"].layout.border_left


@given(side=st.integers(1, 10), frame=st.integers(1, 10), first=st.sampled_from(["side", "frame"]))
def test_every_way_out_leads_out(side, frame, first):
    e = explorer()
    order = {"side": side, "frame": frame}
    for name in sorted(order, key=lambda n: n == first):
        e.controls[name].value = order[name]
    assert (e.problem is None) == (side <= frame)
    for name, value in dict(e.ways_out).items():
        e.set(**order)
        e.controls[name].value = value
        assert e.problem is None


def test_no_exception_escapes():
    def broken(values, data):
        if values["side"] == 4:
            raise ZeroDivisionError("division by zero")
        return draw(values, data)

    e = explorer(broken)
    e.controls["side"].value = 4
    assert "ZeroDivisionError" in e.problem and e.ways_out["side"] == 3
    e.controls["side"].value = 5
    assert e.problem is None


def test_where_no_single_move_helps_the_last_one_is_named():
    def never(values, data):
        raise ValueError("Nothing fits.")

    e = explorer(never)
    e.controls["side"].value = 4
    assert e.problem == "Nothing fits." and "begin with side." in e.svg
    assert e.ways_out == {} and e.marked == ("side",)


def test_presets_set_and_follow_the_controls():
    e = explorer()
    e.controls["preset"].value = "large"
    assert (e.state["side"], e.state["frame"]) == (9, 9)
    e.controls["side"].value = 8
    assert e.controls["preset"].value == "your own"
    e.set(preset="small")
    assert e.values["cell"] == 3 and e.controls["preset"].value == "small"
    e.controls["cell"].value = 2  # a place within the setting, not another setting
    assert e.controls["preset"].value == "small"


def test_limits_follow_the_other_controls():
    e = explorer()
    e.set(cell=8)
    e.controls["side"].value = 2
    assert e.controls["cell"].max == 3 and e.values["cell"] == 3 and e.state["cell"] == 3
    e.set(side=5, cell=20)
    assert e.values["cell"] == 20
    e.set(letter="b")
    e.set(row=2)
    assert e.controls["letter"].options == LETTERS[2] and e.values["letter"] == "b"
    e.set(row=1, letter="a")
    e.controls["row"].value = 2
    assert e.values["letter"] in LETTERS[2] and e.state["letter"] == e.values["letter"]
    e.set(row=1, letter="a")
    assert e.values["letter"] == "a"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"depth": 3}, "There is no control 'depth'; there are preset, side, frame"),
        ({"side": 11}, "side can't be 11; it can be a number from 1 to 10."),
        ({"side": "3"}, "side can't be '3'"),
        ({"side": 2.5}, "side can't be 2.5"),
        ({"side": True}, "side can't be True"),
        ({"row": 3}, "row can't be 3; it can be 1, 2."),
        ({"preset": ["huge"]}, r"preset can't be \['huge'\]; it can be your own, large, small."),
        ({"preset": "huge"}, "preset can't be 'huge'; it can be your own, large, small."),
        ({"cell": -1}, "cell can't be -1"),
    ],
)
def test_set_refuses_and_changes_nothing(values, sentence):
    e = explorer()
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        e.set(**{"frame": 9, **values})
    assert e.values["frame"] == 5 and e.problem is None


def test_the_mime_bundle_carries_the_picture():
    e = explorer()
    bundle = e._repr_mimebundle_()
    assert bundle["text/plain"] == repr(e) == "A square in a frame."
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == e.model_id
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).convert("RGB")
    assert picture.size == (1320, 300)
    assert picture.getpixel((1319, 299)) == (255, 255, 255)
    assert picture.crop((200, 50, 400, 100)).convert("L").getextrema()[0] < 80  # the words are drawn


def test_two_views_share_no_ids_and_their_pictures_are_equal():
    one, two = explorer(), explorer()
    assert svg.UNIQUE not in one.view.value
    assert one.view.value != two.view.value and one.svg == two.svg


def test_ids_are_unique_over_kernels():
    shown = "conv_explorer(preset='AlexNet conv1 at 224').view.value"
    code = f"from course_utils.explorers import conv_explorer; print({shown})"
    views = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout for _ in range(2)
    ]
    used = [set(re.findall(r'id="([^"]+)"', view)) for view in views]
    assert all(used) and not used[0] & used[1]
    assert all(f"url(#{name})" in view for view, names in zip(views, used, strict=True) for name in names)


def test_a_player_moves_its_slider():
    e = explorer(play="cell")
    (label, play), position = e.children[0].children[-1].children, e.controls["cell"]
    assert label.value == f"play {position.description}"
    assert (play.value, play.max, play.interval) == (0, 8, 300)
    assert [(link.source[0], link.target[0]) for link in play.links] == [(play, position), (position, play)]


def test_a_control_takes_others_along_and_remembers():
    def follow(before, values, moved, data):
        frame = values["side"] + 1 if "side" in moved and "frame" not in moved else values["frame"]
        return {**values, "frame": frame, "moves": before.get("moves", 0) + 1}

    e = explorer(follow=follow)
    e.controls["side"].value = 8
    assert e.values["frame"] == 9 and e.problem is None and "moves" not in e.values
    e.set(side=3, frame=4)
    assert e.values["frame"] == 4


def test_what_is_missing_is_measured_when_asked_for(in_a_loop, monkeypatch):
    class Lengths(dict):
        def __missing__(self, key):
            self[key] = len(key)
            return self[key]

    def drawing(values, data):
        key = "x" * values["side"]
        picture = draw(values, data)
        return Picture(picture.svg, {"length": data.get(key), "waiting": "" if key in data else key})

    description = Description("Lengths.", explorer().description.controls, drawing)
    e = Explorer(description, Lengths())
    assert e.state == {"length": None, "waiting": "xxx"}
    assert e.measure().state == {"length": 3, "waiting": ""}
    e.controls["side"].value = 4
    assert e.state["waiting"]
    monkeypatch.setattr(base, "_REST", 0)

    async def scenario():
        e.controls["side"].value = 5
        while e.state["waiting"]:
            await asyncio.sleep(0)
        return dict(e.state)

    assert in_a_loop(scenario) == {"length": 5, "waiting": ""}
    assert "xxxx" not in e.data  # moved on before it was measured


def test_an_idle_kernel_looks_up_what_is_prepared(in_a_loop, monkeypatch):
    seen = []

    class Noted(dict):
        def __missing__(self, key):
            seen.append(key)

    monkeypatch.setattr(base, "_PAUSE", 0)

    async def scenario():
        Explorer(explorer().description, Noted(), prepare=["a", "b", "c"])
        while len(seen) < 3:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)  # for a fourth that must not come

    in_a_loop(scenario)
    assert seen == ["a", "b", "c"]


def test_png_takes_the_theme(dark_theme):
    picture = svg.document(
        100, 100, "A dark square.", svg.rect(0, 0, 100, 100, svg.SURFACE), svg.text(0, 90, "x")
    )
    dark = Image.open(io.BytesIO(svg.to_png(picture, 100, "#000000", dark_theme))).convert("RGB")
    light = Image.open(io.BytesIO(svg.to_png(picture, 100))).convert("RGB")
    assert dark.getpixel((50, 50)) == (0x21, 0x21, 0x21) and light.getpixel((50, 50)) == (255, 255, 255)


@pytest.mark.parametrize("bold", [False, True])
def test_every_width_is_the_fonts(bold):
    font, known = TTFont(FONTS[bold]), svg.advances(bold)
    glyphs, advances = font.getBestCmap(), font["hmtx"]
    expected = set(map(chr, (*range(0x20, 0x7F), *range(0xA0, 0x180)))) | set("−×÷⌊⌋→≥“”…–·²₁⁻⁹◀✓✗")
    for character in expected | set(known):
        exact = 100 * advances[glyphs[ord(character)]][0] / font["head"].unitsPerEm
        assert svg.text_width(character, 100, bold) == pytest.approx(exact), character
    assert svg.text_width("한글", 10, bold) == 20


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40), st.booleans())
def test_text_width_is_pillows(words, bold):
    font = ImageFont.truetype(FONTS[bold], 1000)
    # One by one, since kerning, which moves "Ta" closer, is left out.
    exact = sum(map(font.getlength, words)) * 13 / 1000
    assert svg.text_width(words, 13, bold) == pytest.approx(exact, rel=0.01, abs=0.1)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=60), st.integers(20, 300))
def test_words_are_cut_to_fit(words, width):
    assert svg.text_width(svg.ellipsis(words, width)) <= width
