"""residual_explorer against autograd, hooks and what theory says of scaled weights."""

from functools import cache
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils import data, models
from course_utils.explorers import layout, residual, residual_explorer
from course_utils.explorers.measured import MEASURED
from course_utils.explorers.residual import PRESETS
from course_utils.measurements import Signals, layer_signals


def signals(depth, skip, norm, scale, seed):
    return Signals(
        **{
            k: tuple(v) if isinstance(v, list) else v
            for k, v in MEASURED[key(depth, skip, norm, scale, seed)].items()
        }
    )


def key(depth, skip, norm, scale, seed):
    return f"signals/{depth}/{skip:d}/{norm:d}/{scale}/{seed}"


SHARED = cache(residual_explorer)  # built by the first test that calls it
IMAGES, LABELS = torch.randn(6, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(6)


def small(**options) -> models.ResNet:
    torch.manual_seed(1)
    return models.resnet_cifar(8, in_channels=1, widths=(4, 6, 8), stem=(5, 4, 2), **options)


NETWORKS = {
    "residual": small,
    "plain": lambda: small(skip=False),
    "without norm": lambda: small(norm=False),
    "projections": lambda: small(shortcut="C"),
    "projections without norm": lambda: small(shortcut="C", norm=False),
    "bottleneck": lambda: models.ResNet(models.Bottleneck, (1, 2), 10, 1, widths=(4, 8), stem=(3, 2, 1)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_signals_are_autograds_and_what_the_next_layer_receives(name):
    model = NETWORKS[name]()
    found = layer_signals(model, IMAGES, LABELS)
    main = [m for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and "downsample" not in n]
    received = []
    for module in (*main, model.avgpool):
        module.register_forward_pre_hook(lambda _, inputs: received.append(inputs[0].square().mean().sqrt()))
    loss = F.cross_entropy(model.train()(IMAGES), LABELS)
    loss.backward()
    assert found.loss == pytest.approx(loss.item())
    assert found.activations == pytest.approx([size.item() for size in received[1:]], rel=1e-4)
    assert found.gradients == pytest.approx([m.weight.grad.norm().item() for m in main], rel=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training):
    model = small().train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    layer_signals(model, IMAGES, LABELS)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training == training and all(m.training == training for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.slow
@pytest.mark.parametrize("skip", [True, False])
def test_the_networks_are_those_a_reader_builds(skip):
    torch.manual_seed(3)
    build = models.resnet_cifar if skip else models.plain_cifar
    model = build(14, in_channels=1, widths=residual.WIDTHS, stem=residual.STEM)
    some = data.fashion_mnist()[1].subset(16)
    own = layer_signals(model, some.images, some.labels)
    e = residual_explorer(depth=14, skip=skip, seed=3)
    assert e.state["activations"] == pytest.approx(own.activations, rel=1e-3)
    assert e.state["gradients"] == pytest.approx(own.gradients, rel=1e-3)
    assert e.set(skip=not skip).state["twin_gradients"] == pytest.approx(own.gradients, rel=1e-3)


@pytest.mark.parametrize("scale", [0.5, 1.4, 2.0])
def test_scaled_weights_do_what_theory_says(scale):
    plain = signals(
        8, False, False, 1.0, 0
    )  # ReLU networks without biases: each layer multiplies by the scale
    expected = [size * scale ** (n + 1) for n, size in enumerate(plain.activations)]
    assert signals(8, False, False, scale, 0).activations == pytest.approx(expected, rel=1e-3)
    for skip in (True, False):  # with batch norm the scale cancels, and gradients shrink by it
        as_they_are, scaled = signals(8, skip, True, 1.0, 0), signals(8, skip, True, scale, 0)
        assert scaled.activations == pytest.approx(as_they_are.activations, rel=1e-2)
        assert scaled.gradients == pytest.approx([g / scale for g in as_they_are.gradients], rel=1e-2)


def test_asking_again_gives_the_same_and_leaves_the_random_state_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = signals(20, True, True, 1.4, 7)
    del MEASURED[key(20, True, True, 1.4, 7)]
    assert signals(20, True, True, 1.4, 7) == first
    assert torch.equal(torch.get_rng_state(), before)
    assert signals(20, True, True, 1.4, 6) != first


def test_every_key_is_all_that_the_controls_can_ask_for():
    keys = list(residual.every_key())
    names = ("depth", "skip", "norm", "scale", "seed")
    every = product(residual.DEPTHS, (True, False), (True, False), residual.SCALES, residual.SEEDS)
    asked = {k for values in every for k in residual.signal_keys(dict(zip(names, values, strict=True)))}
    assert set(keys) == asked and len(keys) == len(asked) == 6 * 2 * 2 * 5 * 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_what_the_lecture_says_of_56_layers(seed):
    """Gradients of the plain network with batch norm grow towards the front; shortcuts keep them level."""
    at = {"depth": 56, "seed": seed, "scale": 1.0}
    plain, shortcut = (
        SHARED().set(norm=True, skip=skip, **at).state["gradient_ratio"] for skip in (False, True)
    )
    assert plain > 300 and shortcut < plain / 10
    assert SHARED().set(norm=False, skip=False, **at).state["activation_ratio"] < 0.01
    assert SHARED().set(norm=False, skip=True, **at).state["activation_ratio"] > 100


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    depth=st.sampled_from(residual.DEPTHS[:4]),
    skip=st.booleans(),
    norm=st.booleans(),
    scale=st.sampled_from(residual.SCALES),
    seed=st.integers(0, 9),
)
def test_every_setting_has_a_picture(check_picture, depth, skip, norm, scale, seed):
    e = SHARED().set(depth=depth, skip=skip, norm=norm, scale=scale, seed=seed)
    assert e.problem is None and len(e.state["gradients"]) == depth - 1
    check_picture(e.svg)
    assert f"{'residual' if skip else 'plain'}, {depth} layers" in e.svg


@pytest.mark.slow
@pytest.mark.parametrize("scale", [min(residual.SCALES), max(residual.SCALES)])
@pytest.mark.parametrize("preset", PRESETS)
def test_extreme_networks_have_a_picture(preset, scale, check_picture):
    e = SHARED().set(preset=preset, seed=0)
    assert e.controls["preset"].value == preset
    check_picture(e.svg)
    check_picture(e.set(scale=scale).svg)


def test_nothing_that_arrives_is_said_and_drawn(check_picture):
    none = Signals((1.0, 0.5, 0.1, 0.0), (0.0, 0.1, 0.5, 1.0), 2.3)
    assert residual._sentences(none._asdict())[0].endswith("0 after layer 4: nothing arrives at the end.")
    curve = residual._plot("size", none.activations, none.gradients, True)
    check_picture(layout.page("A curve that falls to nothing.", curve))


def test_what_the_controls_do_not_offer_is_refused():
    with pytest.raises(ValueError, match="depth can't be 21"):
        residual_explorer(depth=21)
    with pytest.raises(ValueError, match="There is no control 'width'"):
        residual_explorer(width=16)
