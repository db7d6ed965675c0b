"""conv_explorer against torch: shapes, costs, what a unit reads and what no unit reads."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from course_utils.explorers import conv_explorer
from course_utils.explorers.conv import PRESETS, draw_conv
from course_utils.geometry import conv_layer, linear_layer

CHANNELS = st.sampled_from([1, 2, 3, 4, 6, 8, 12, 64, 96, 512])
SETTINGS = st.fixed_dictionaries(
    {
        "size": st.integers(1, 60) | st.integers(1, 256),
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "kernel_size": st.integers(1, 11),
        "stride": st.integers(1, 8),
        "padding": st.integers(0, 11) | st.sampled_from(["same", "valid"]),
        "dilation": st.integers(1, 6),
        "groups": st.just(1) | st.integers(1, 8) | CHANNELS,
        "position": st.integers(0, 300) | st.just(10**9),
    }
)
SHARED = conv_explorer()


SPATIAL = ("kernel_size", "stride", "padding", "dilation")


def torch_layer(s, **options):
    return nn.Conv2d(**{name: s[name] for name in SPATIAL}, **options)


def torch_sizes(s):
    """Output shape, parameters and multiply-adds from torch itself; None where torch refuses."""
    try:
        layer = torch_layer(
            s, in_channels=s["in_channels"], out_channels=s["out_channels"], groups=s["groups"], device="meta"
        )
        with FlopCounterMode(display=False) as counter:
            out = layer(torch.empty(1, s["in_channels"], s["size"], s["size"], device="meta"))
    except (ValueError, RuntimeError):
        return None
    return tuple(out.shape[1:]), sum(p.numel() for p in layer.parameters()), counter.get_total_flops() // 2


def read_by(s, unit=None):
    """Mask of the pixels that a unit (or any unit) reads, by autograd through a convolution of ones."""
    layer = torch_layer(s, in_channels=1, out_channels=1, bias=False)
    nn.init.ones_(layer.weight)
    pixels = torch.zeros(1, 1, s["size"], s["size"], requires_grad=True)
    out = layer(pixels)
    (out.sum() if unit is None else out[(0, 0, *unit)]).backward()
    return pixels.grad[0, 0] != 0


@settings(max_examples=3 * settings.default.max_examples)
@given(s=SETTINGS)
def test_state_is_torchs_and_geometrys(s, check_picture):
    e = SHARED.set(**s)
    check_picture(e.svg)
    sizes = torch_sizes(s)
    assert (e.problem is None) == (sizes is not None), (e.problem, sizes)
    if sizes is None:
        assert e.marked and ("Move " in e.svg or "begin with" in e.svg)
        return
    state = e.state
    assert (state["out_shape"], state["params"], state["macs"]) == sizes
    in_shape = (s["in_channels"], s["size"], s["size"])
    layer = conv_layer(in_shape, s["out_channels"], **{k: s[k] for k in SPATIAL}, groups=s["groups"])
    for name in ("out_shape", "units", "weights", "biases", "params", "connections", "macs"):
        assert state[name] == getattr(layer, name)
    linear = linear_layer(in_shape[0] * in_shape[1] * in_shape[2], layer.units)
    assert (state["linear_weights"], state["linear_connections"]) == (linear.weights, linear.connections)
    assert e.values["position"] == min(s["position"], layer.out_shape[1] ** 2 - 1)
    assert state["unit"] == divmod(e.values["position"], layer.out_shape[2])


@settings(max_examples=3 * settings.default.max_examples // 2)
@given(s=SETTINGS)
def test_what_is_read_is_what_has_a_gradient(s):
    s = {**s, "in_channels": 1, "out_channels": 1, "groups": 1}
    e = SHARED.set(**s)
    if e.problem:
        return
    assert e.state["unread_pixels"] == int((~read_by(s)).sum())
    said = re.search(r"because (\d+) is no multiple of (\d+)", e.svg)
    assert not said or int(said[1]) % int(said[2])
    assert ("Every pixel is read." in e.svg) == bool(read_by(s).all())
    inside = range(s["size"])
    mask = torch.zeros(s["size"], s["size"], dtype=torch.bool)
    for row in set(e.state["rows"]) & set(inside):
        for column in set(e.state["columns"]) & set(inside):
            mask[row, column] = True
    assert torch.equal(mask, read_by(s, e.state["unit"]))


@settings(max_examples=3 * settings.default.max_examples // 5)
@given(s=SETTINGS)
def test_ways_out_lead_out(s):
    SHARED.set(**s)
    for name, value in dict(SHARED.ways_out).items():
        SHARED.set(**s)
        SHARED.controls[name].value = value
        assert SHARED.problem is None


def test_alexnet_at_224_loses_a_row_and_a_column():
    e = conv_explorer(preset="AlexNet conv1 at 224")
    assert e.state["out_shape"] == (96, 54, 54) and e.state["unread_rows"] == (223,)
    assert e.state["unread_pixels"] == 224**2 - 223**2 == 447
    assert "447 of 50,176 pixels are never read: the last row and column" in e.svg
    hatched = re.compile(r"<path [^>]*url\(#unread-")
    assert hatched.search(e.svg)
    e.set(preset="AlexNet conv1 at 227")
    assert e.state["out_shape"] == (96, 55, 55) and e.state["unread_pixels"] == 0
    assert not hatched.search(e.svg) and "Every pixel is read." in e.svg


def test_lenet_c1_has_the_lectures_numbers():
    e = conv_explorer(preset="LeNet C1")  # CSC321 lecture 12, LeNet table
    assert (e.state["units"], e.state["weights"], e.state["connections"]) == (4_704, 150, 117_600)
    assert e.state["memory_bytes"] == 4 * (1_024 + 4_704 + 150 + 6)
    for words in (
        "= ⌊(32 + 2·0 − 1·(5 − 1) − 1) / 1⌋ + 1 = ⌊27 / 1⌋ + 1 = 28",
        "117,600",
        "nn.Conv2d(1, 6, kernel_size=5)",
    ):
        assert words in e.svg


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_can_be_drawn(preset, check_picture):
    e = conv_explorer(preset=preset)
    assert e.problem is None and e.controls["preset"].value == preset
    check_picture(e.svg)


def test_same_padding_wants_stride_1():
    e = conv_explorer(padding="same")
    e.controls["stride"].value = 2
    assert (
        "stride 1" in e.problem
        and set(e.marked) == {"stride", "padding"}
        and e.ways_out["stride"] == 1
        and "padding" in e.ways_out
    )
    e.controls["padding"].value = e.ways_out["padding"]
    assert e.problem is None


def test_even_kernels_pad_same_behind():
    assert conv_explorer(kernel_size=4, padding="same").state["padding"] == (1, 2)


def test_extremes_of_every_control(check_picture):
    e = conv_explorer()
    for control in e.controls.values():
        ends = (control.min, control.max) if hasattr(control, "max") else control.options
        for value in ends:
            control.value = value
            check_picture(e.svg)
        e.set(preset="LeNet C1")


def test_the_function_is_pure():
    values = conv_explorer(stride=3, padding=1).values
    assert draw_conv(dict(values)) == draw_conv(dict(values))


def test_a_wrong_initial_value_is_refused():
    with pytest.raises(ValueError, match="There is no control 'kernel'"):
        conv_explorer(kernel=3)
    with pytest.raises(ValueError, match="stride can't be 0; it can be a number from 1 to 8"):
        conv_explorer(stride=0)


def test_where_no_single_move_helps_the_controls_of_the_first_problem_are_marked():
    e = conv_explorer(padding="same", stride=2, groups=5)
    assert e.ways_out == {} and "groups" in e.marked
    e.set(groups=1)
    assert set(e.ways_out) == {"stride", "padding"}
