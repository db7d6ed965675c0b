"""vgg_explorer against torch: modules that are built, counted and differentiated, and the paper's figures."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from course_utils.explorers import vgg_explorer
from course_utils.explorers.vgg import draw_vgg, paths
from course_utils.models import VGG_CONFIGURATIONS, vgg

LETTERS = list(VGG_CONFIGURATIONS)
SETTINGS = st.fixed_dictionaries(
    {
        "kernel_size": st.sampled_from([1, 3, 5, 7]),
        "layers": st.integers(1, 5),
        "channels": st.integers(1, 64).map(lambda n: 8 * n),
        "size": st.integers(1, 32).map(lambda n: 7 * n),
        "left": st.sampled_from(LETTERS),
        "right": st.sampled_from(LETTERS),
    }
)
SHARED = vgg_explorer()


def convolutions(layers: int, kernel_size: int, channels: int, nonlinear: bool = True) -> nn.Sequential:
    modules = []
    for _ in range(layers):
        modules.append(nn.Conv2d(channels, channels, kernel_size, padding="same", bias=False))
        modules += [nn.ReLU()] if nonlinear else []
    return nn.Sequential(*modules)


def torch_macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    with FlopCounterMode(display=False) as counter:
        module(torch.empty(1, *shape, device="meta"))
    return counter.get_total_flops() // 2


@settings(max_examples=3 * settings.default.max_examples // 5)
@given(s=SETTINGS)
def test_both_sides_are_what_torch_counts(s, check_picture):
    e = SHARED.set(**s)
    check_picture(e.svg)
    reach = e.state["single"]["receptive_field"]
    for side, layers, kernel in (("stack", s["layers"], s["kernel_size"]), ("single", 1, reach)):
        with torch.device("meta"):
            module = convolutions(layers, kernel, s["channels"])
        state, shape = e.state[side], (s["channels"], s["size"], s["size"])
        assert state["weights"] == sum(p.numel() for p in module.parameters())
        assert state["macs"] == torch_macs(module, shape)
        assert state["nonlinearities"] == sum(isinstance(m, nn.ReLU) for m in module)
        assert state["units"] == layers * s["channels"] * s["size"] ** 2
        assert state["receptive_field"] == reach
        assert f"{state['weights']:,}" in e.svg


@settings(max_examples=20, deadline=None)
@given(layers=st.integers(1, 5), kernel=st.sampled_from([1, 3, 5, 7]))
def test_paths_are_the_gradient_of_a_stack_of_ones(layers, kernel):
    stack = convolutions(layers, kernel, 1, nonlinear=False).double()
    for weight in stack.parameters():
        nn.init.ones_(weight)
    image = torch.zeros(1, 1, 41, 41, dtype=torch.double, requires_grad=True)
    (gradient,) = torch.autograd.grad(stack(image)[0, 0, 20, 20], image)
    seen = gradient[0, 0].nonzero()
    assert seen.amin(0).tolist() == [20 - (len(paths(layers, kernel)) - 1) // 2] * 2
    ways = torch.tensor(paths(layers, kernel), dtype=torch.double)
    middle = gradient[0, 0][gradient[0, 0].abs().sum(1) > 0][:, gradient[0, 0].abs().sum(0) > 0]
    assert torch.equal(middle, ways.outer(ways))


@pytest.mark.parametrize("letter", LETTERS)
def test_a_configuration_is_the_model(letter, check_picture):
    with torch.device("meta"):
        model = vgg(letter)
    e = vgg_explorer(left=letter, right=letter)
    check_picture(e.svg)
    assert e.state["left"] == e.state["right"] and e.state["differences"] == []
    assert e.state["left"]["params"] == sum(p.numel() for p in model.parameters())
    assert e.state["left"]["macs"] == torch_macs(model, (3, 224, 224))
    assert e.state["left"]["weight_layers"] == sum(p.ndim > 1 for p in model.parameters())
    assert "same network" in e.svg


def test_sixteen_and_nineteen_differ_in_the_papers_three_layers(check_picture):
    e = vgg_explorer(left="D", right="E")
    check_picture(e.svg)
    found = [(d["stage"], d["place"], d["left"], d["right"]) for d in e.state["differences"]]
    assert found == [(3, 4, None, "conv3-256"), (4, 4, None, "conv3-512"), (5, 4, None, "conv3-512")]
    assert sum(d["params"] for d in e.state["differences"]) == 143_667_240 - 138_357_544
    assert "D and E differ in 3 places." in e.svg


@settings(max_examples=settings.default.max_examples // 3)
@given(left=st.sampled_from(LETTERS), right=st.sampled_from(LETTERS))
def test_differences_add_up_and_turn_round(left, right, check_picture):
    e = SHARED.set(left=left, right=right)
    check_picture(e.svg)
    state, there = e.state, e.state["differences"]
    for what in ("params", "macs"):
        assert sum(d[what] for d in there) == state["right"][what] - state["left"][what]
    back = SHARED.set(left=right, right=left).state["differences"]
    assert [(d["left"], d["right"], d["params"]) for d in there] == [
        (d["right"], d["left"], -d["params"]) for d in back
    ]
    assert (left == right) == (there == [])


def test_81_per_cent_more_is_45_per_cent_fewer():
    e = vgg_explorer(kernel_size=3, layers=3, channels=128)
    assert e.state["stack"]["weights"] == 27 * 128**2 and e.state["single"]["weights"] == 49 * 128**2
    assert "the stack has 45 % fewer; the single layer has 81 % more" in e.svg
    e.set(layers=2)
    assert "the stack has 28 % fewer" in e.svg  # 18 C² against 25 C²
    e.set(layers=1)
    assert "is the single layer itself" in e.svg
    e.set(layers=3, kernel_size=1)
    assert "never widen" in e.svg and e.state["single"]["receptive_field"] == 1


def test_extremes_of_every_control(check_picture):
    e = vgg_explorer()
    for name, control in e.controls.items():
        offered = getattr(control, "options", None) or (control.min, control.max)
        for value in (o[1] if isinstance(o, tuple) else o for o in offered):
            control.value = value
            assert e.problem is None, (name, value)
            check_picture(e.svg)
    e.set(kernel_size=7, layers=5, channels=512, size=224, left="A-LRN", right="E")
    check_picture(e.svg)


def test_the_function_is_pure():
    values = vgg_explorer(layers=4, left="A").values
    assert draw_vgg(dict(values)) == draw_vgg(dict(values))


def test_a_wrong_initial_value_is_refused():
    with pytest.raises(ValueError, match="There is no control 'depth'"):
        vgg_explorer(depth=3)
    with pytest.raises(ValueError, match="left can't be 'F'; it can be A, A-LRN, B, C, D, E"):
        vgg_explorer(left="F")
