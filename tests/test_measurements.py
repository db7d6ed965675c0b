"""Signals against autograd and hooks; a measured model is as it was."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import models
from course_utils.measurements import layer_signals, unchanged

IMAGES, LABELS = torch.randn(6, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(6)


def small(**options) -> models.ResNet:
    torch.manual_seed(1)
    return models.resnet_cifar(8, in_channels=1, widths=(4, 6, 8), stem=(5, 4, 2), **options)


def with_a_deleted_block():
    model = small()
    model.delete_block(1)
    model.delete_block(0)
    return model


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


def test_blocks_that_were_deleted_have_no_signals():
    assert len(layer_signals(with_a_deleted_block(), IMAGES, LABELS).gradients) == 1 + 2


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training):
    model = small().train(training)
    model.bn1.train(not training)  # a mode of its own
    modes = {name: module.training for name, module in model.named_modules()}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    layer_signals(model, IMAGES, LABELS)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert modes == {name: module.training for name, module in model.named_modules()}
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


def test_a_failure_leaves_it_as_it_was_too():
    model = small().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ZeroDivisionError), unchanged(model):
        model.train()(IMAGES)
        _ = 1 / 0
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model.training
    with pytest.raises(ValueError, match=r"images \[N, 1, H, W\]"):
        layer_signals(model, IMAGES.repeat(1, 3, 1, 1), LABELS)
    assert not any(m._forward_hooks for m in model.modules())
