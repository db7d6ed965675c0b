"""inception_explorer against the model classes, counted by torch, and the figures of the paper's table 1."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from course_utils.explorers import inception_explorer
from course_utils.explorers.inception import PRESETS, draw_inception
from course_utils.models import INCEPTION_WIDTHS, Inception, InceptionNaive

CHANNELS = st.integers(1, 64).map(lambda n: 8 * n)
SETTINGS = st.fixed_dictionaries(
    {
        "size": st.integers(1, 56),
        "in_channels": st.integers(1, 128).map(lambda n: 8 * n),
        "one": CHANNELS,
        "reduce3": st.integers(1, 32).map(lambda n: 8 * n),
        "three": CHANNELS,
        "reduce5": st.integers(1, 32).map(lambda n: 8 * n),
        "five": st.integers(1, 32).map(lambda n: 8 * n),
        "pool": st.integers(1, 32).map(lambda n: 8 * n),
    }
)
SHARED = inception_explorer()
NAMES = ("1×1", "3×3", "5×5", "pooling")  # branch1 to branch4


def counted(module: nn.Module, s: dict) -> dict:
    """Weights, multiply-adds and channels of a module and its branches, as torch sees them."""
    images = torch.empty(1, s["in_channels"], s["size"], s["size"], device="meta")
    out = {}
    for name, branch in zip(NAMES, module.children(), strict=True):
        with FlopCounterMode(display=False) as counter:
            channels = branch(images).shape[1]
        weights = sum(p.numel() for p in branch.parameters() if p.ndim > 1)
        out[name] = (weights, counter.get_total_flops() // 2, channels)
    with FlopCounterMode(display=False) as counter:
        shape = module(images).shape
    assert shape == (1, sum(c for *_, c in out.values()), s["size"], s["size"])
    return {"branches": out, "macs": counter.get_total_flops() // 2, "out_channels": shape[1]}


def naive_and_reduced(s: dict) -> dict[str, nn.Module]:
    widths = [s[name] for name in ("one", "reduce3", "three", "reduce5", "five", "pool")]
    with torch.device("meta"):
        return {
            "naive": InceptionNaive(s["in_channels"], s["one"], s["three"], s["five"]),
            "reduced": Inception(s["in_channels"], widths),
        }


@settings(max_examples=2 * settings.default.max_examples // 5)
@given(s=SETTINGS)
def test_state_is_what_torch_counts_in_the_modules(s, check_picture):
    e = SHARED.set(**s)
    check_picture(e.svg)
    for kind, module in naive_and_reduced(s).items():
        state, torchs = e.state[kind], counted(module, s)
        assert (state["macs"], state["out_channels"]) == (torchs["macs"], torchs["out_channels"])
        assert state["weights"] == sum(w for w, *_ in torchs["branches"].values())
        for name, numbers in torchs["branches"].items():
            ours = tuple(state[f"branch_{what}"][name] for what in ("weights", "macs", "channels"))
            assert ours == numbers
        assert f"{state['weights']:,} weights, {state['macs']:,} multiply-adds" in e.svg
    assert ("do not pay" in e.svg) == (e.state["naive"]["weights"] < e.state["reduced"]["weights"])


# Table 1: side of the maps, input and output channels, operations as printed, in millions
TABLE_1 = {
    "3a": (28, 192, 256, 128),
    "3b": (28, 256, 480, 304),
    "4a": (14, 480, 512, 73),
    "4b": (14, 512, 512, 88),
    "4c": (14, 512, 512, 100),
    "4d": (14, 512, 528, 119),
    "4e": (14, 528, 832, 170),
    "5a": (7, 832, 832, 54),
    "5b": (7, 832, 1024, 71),
}


@pytest.mark.parametrize("name", TABLE_1)
def test_presets_are_the_nine_modules_of_the_paper(name, check_picture):
    size, channels, out, printed = TABLE_1[name]
    e = inception_explorer(preset=f"inception ({name})")
    check_picture(e.svg)
    assert e.problem is None and e.controls["preset"].value == f"inception ({name})"
    assert (e.values["size"], e.values["in_channels"]) == (size, channels)
    assert tuple(e.values[w] for w in INCEPTION_WIDTHS[name]._fields) == INCEPTION_WIDTHS[name]
    assert e.state["reduced"]["out_channels"] == out
    slip = 3e6 if name == "5a" else 1e6  # 5a prints 54M; its own widths give 51M
    assert abs(e.state["reduced"]["macs"] - printed * 1e6) < slip
    assert len(PRESETS) == len(TABLE_1) == 9


def test_the_naive_3b_is_the_lectures_example():
    e = inception_explorer(preset="inception (3b)")  # CS231n, lecture 9: 854M operations, 672 channels
    assert (e.state["naive"]["macs"], e.state["naive"]["out_channels"]) == (854_196_224, 672)
    assert e.state["ratio"] == pytest.approx(854_196_224 / 304_267_264)


def test_a_reduction_wider_than_its_input_is_called_a_loss():
    e = inception_explorer(in_channels=32, reduce3=256, reduce5=256)
    assert e.state["ratio"] < 1 and "do not pay" in e.svg
    e.set(reduce3=8, reduce5=8)
    assert e.state["ratio"] > 1 and "do not pay" not in e.svg


def test_extremes_of_every_control(check_picture):
    e = inception_explorer()
    for name, control in e.controls.items():
        ends = (control.min, control.max) if hasattr(control, "max") else control.options
        for value in ends:
            control.value = value
            assert e.problem is None, (name, value)
            check_picture(e.svg)
        e.set(preset="inception (3a)")
    e.set(**{name: control.max for name, control in e.controls.items() if name != "preset"})
    check_picture(e.svg)


def test_moving_a_width_leaves_the_preset():
    e = inception_explorer(preset="inception (4a)")
    e.controls["five"].value += 8
    assert e.controls["preset"].value == "your own"


def test_the_function_is_pure():
    values = inception_explorer(size=9, one=16).values
    assert draw_inception(dict(values)) == draw_inception(dict(values))


def test_a_wrong_initial_value_is_refused():
    with pytest.raises(ValueError, match="There is no control 'width'"):
        inception_explorer(width=3)
    with pytest.raises(ValueError, match="one can't be 0; it can be a number from 8 to 512"):
        inception_explorer(one=0)
