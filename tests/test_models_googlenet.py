"""GoogLeNet against torchvision's and against the paper's table 1."""

import copy

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from course_utils.models.googlenet import (
    INCEPTION_WIDTHS,
    Inception,
    InceptionNaive,
    auxiliary_loss,
    googlenet,
    mini_googlenet,
)
from course_utils.papers import scaled

META = torch.device("meta")


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def weights(module: nn.Module) -> int:
    """Learnable weights without biases."""
    return sum(p.numel() for p in module.parameters() if p.ndim > 1)


def macs(model: nn.Module, images: torch.Tensor) -> dict[str, int]:
    """Multiply-adds of each submodule, and of the whole under "", as torch's own counter sees them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    root = type(model).__name__
    return {
        name.removeprefix(root).removeprefix("."): sum(counts.values()) // 2
        for name, counts in counter.flop_counts.items()
    }


def randomise(model: nn.Module) -> None:
    """Random weights of a sensible size, batch norm buffers included."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, fan_in**-0.5, generator=generator)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.2, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 2, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)


# torchvision


@pytest.fixture(scope="module")
def theirs():
    model = torchvision.models.googlenet(weights=None, aux_logits=True, init_weights=False).eval()
    randomise(model)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 97])
def test_outputs_are_torchvisions(theirs, size):
    ours = googlenet("torchvision").eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_auxiliary_outputs_are_torchvisions(theirs):
    ours, theirs = googlenet("torchvision"), copy.deepcopy(theirs)
    ours.load_state_dict(theirs.state_dict())
    for model in (ours, theirs):
        model.train()
        for (
            module
        ) in model.modules():  # dropout draws; batch norm by batch would turn rounding into differences
            if isinstance(module, nn.Dropout | nn.BatchNorm2d):
                module.eval()
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        outputs, expected = ours(images), theirs(images)
    assert outputs._fields == expected._fields
    for name in expected._fields:
        torch.testing.assert_close(getattr(outputs, name), getattr(expected, name), rtol=1e-5, atol=1e-5)


def test_exchange_without_auxiliary_classifiers_goes_both_ways():
    theirs = torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=False).eval()
    randomise(theirs)
    ours = googlenet("torchvision", aux_logits=False).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-5)
    theirs.load_state_dict(ours.state_dict())


# The paper


@pytest.mark.parametrize(
    ("variant", "aux_logits", "parameters"),
    [
        ("paper", False, 6_998_552),
        ("paper", True, 13_378_280),
        ("torchvision", False, 6_624_904),
        ("torchvision", True, 13_004_888),
    ],
)
def test_parameters(variant, aux_logits, parameters):
    with META:
        assert count(googlenet(variant, aux_logits)) == parameters


# Table 1: output channels and side, multiply-adds as printed (millions), exact weights, exact multiply-adds
TABLE_1 = {
    "conv1": (64, 112, 34, 9_408, 118_013_952),
    "conv2": (64, 56, None, 4_096, 12_845_056),
    "conv3": (192, 56, None, 110_592, 346_816_512),
    "inception3a": (256, 28, 128, 163_328, 128_049_152),
    "inception3b": (480, 28, 304, 388_096, 304_267_264),
    "inception4a": (512, 14, 73, 375_552, 73_608_192),
    "inception4b": (512, 14, 88, 448_512, 87_908_352),
    "inception4c": (512, 14, 100, 509_440, 99_850_240),
    "inception4d": (528, 14, 119, 604_672, 118_515_712),
    "inception4e": (832, 14, 170, 867_328, 169_996_288),
    "inception5a": (832, 7, 54, 1_042_432, 51_079_168),
    "inception5b": (1024, 7, 71, 1_442_816, 70_697_984),
    "fc": (1000, None, 1, 1_024_000, 1_024_000),
}
# Printed weights in units of 1024 (so the second convolution's 112K is 114,688 = 112 * 1024 exactly)
PRINTED_WEIGHTS = {
    "conv1": 2.7,
    "inception3a": 159,
    "inception3b": 380,
    "inception4a": 364,
    "inception4b": 437,
    "inception4c": 463,
    "inception4d": 580,
    "inception4e": 840,
    "inception5a": 1072,
    "inception5b": 1388,
    "fc": 1000,
}


@pytest.fixture(scope="module")
def paper():
    """The paper's network without weights in memory, the shape of each layer's output, and its multiply-adds."""
    shapes = {}
    with META:
        model = googlenet("paper", aux_logits=False).eval()
        for name, module in model.named_children():
            module.register_forward_hook(
                lambda _, __, output, name=name: shapes.update({name: output.shape[1:]})
            )
        counts = macs(model, torch.empty(1, 3, 224, 224))
    return model, shapes, counts


@pytest.mark.parametrize("row", TABLE_1)
def test_table_1(paper, row):
    model, shapes, counts = paper
    channels, side, _, exact_weights, exact_macs = TABLE_1[row]
    assert shapes[row] == ((channels, side, side) if side else (channels,))
    assert weights(model.get_submodule(row)) == exact_weights
    assert counts[row] == exact_macs


def test_table_1_poolings(paper):
    _, shapes, _ = paper
    rows = {"maxpool1": (64, 56), "maxpool2": (192, 28), "maxpool3": (480, 14), "maxpool4": (832, 7)}
    assert {name: (shapes[name][0], shapes[name][1]) for name in rows} == rows
    assert shapes["avgpool"] == (1024, 1, 1)


def test_table_1_operations_as_printed(paper):
    """All rows round to the printed "ops" but two.

    conv1 prints 2.7K weights and 34M operations, which is not a 7x7 convolution (9,408 and 118M); a separable
    one with eight filters per colour would fit (7*7*3*8 + 24*64 = 2,712). 5a prints 54M for 51M.
    """
    _, _, counts = paper
    wrong = [
        row
        for row, (_, _, printed, *_) in TABLE_1.items()
        if printed and abs(counts[row] / 1e6 - printed) > 1
    ]
    assert wrong == ["conv1", "inception5a"]
    assert round((counts["conv2"] + counts["conv3"]) / 1e6) == 360
    assert 7 * 7 * 3 * 8 + 24 * 64 == 2712


def test_table_1_weights_as_printed(paper):
    """The "params" column fits its own widths within 2.5 % but in three rows.

    conv1 as above; 4c prints 463K where the printed operations (100M) need 498K; 5a prints 1072K for 1018K.
    """
    model, _, _ = paper
    assert (weights(model.conv2) + weights(model.conv3)) == 112 * 1024
    deviation = {
        row: weights(model.get_submodule(row)) / 1024 / printed - 1
        for row, printed in PRINTED_WEIGHTS.items()
    }
    assert [row for row, by in deviation.items() if abs(by) > 0.025] == [
        "conv1",
        "inception4c",
        "inception5a",
    ]


def test_totals_of_the_paper(paper):
    model, _, counts = paper
    assert weights(model) == 6_990_272
    assert (
        round(counts[""] / 1e9, 3) == 1.583
        if "" in counts
        else sum(counts[row] for row in TABLE_1) == 1_582_671_872
    )


def test_auxiliary_classifiers_are_the_papers():
    with META:
        model = googlenet("paper")
        assert (count(model.aux1), count(model.aux2)) == (3_188_840, 3_190_888)  # section 5
        assert model.aux1.pool(torch.empty(1, 512, 14, 14)).shape == (1, 512, 4, 4)
        assert model.aux2.pool(torch.empty(1, 528, 14, 14)).shape == (1, 528, 4, 4)
        outputs = model(torch.empty(2, 3, 224, 224))
        assert [tuple(logits.shape) for logits in outputs] == [(2, 1000)] * 3
        assert isinstance(model.eval()(torch.empty(2, 3, 224, 224)), torch.Tensor)
    assert model.aux1.dropout.p == 0.7
    assert model.dropout.p == 0.4


def test_auxiliary_pooling_averages_5x5_windows_at_stride_3():
    maps = torch.randn(1, 3, 14, 14)
    with META:
        model = googlenet("paper")
    torch.testing.assert_close(model.aux1.pool(maps), F.avg_pool2d(maps, 5, 3))


# The module


def test_modules_put_their_branches_side_by_side():
    images = torch.randn(2, 192, 9, 9)
    module = Inception(192, INCEPTION_WIDTHS["3a"]).eval()
    parts = module(images).split((64, 128, 32, 32), dim=1)
    reduced = F.relu(F.conv2d(images, module.branch3[0].conv.weight, module.branch3[0].conv.bias))
    torch.testing.assert_close(parts[2], module.branch3[1](reduced))
    torch.testing.assert_close(parts[3], module.branch4[1](F.max_pool2d(images, 3, 1, 1)))
    naive = InceptionNaive(192, 64, 128, 32)
    assert torch.equal(naive(images)[:, 224:], F.max_pool2d(images, 3, 1, 1))


@pytest.mark.parametrize(
    ("in_channels", "widths", "naive_weights", "naive_macs", "naive_channels"),
    [(192, "3a", 387_072, 303_464_448, 416), (256, "3b", 1_089_536, 854_196_224, 672)],
)
def test_reduction_saves(in_channels, widths, naive_weights, naive_macs, naive_channels):
    w = INCEPTION_WIDTHS[widths]
    with META:
        images = torch.empty(1, in_channels, 28, 28)
        naive, reduced = InceptionNaive(in_channels, w.one, w.three, w.five), Inception(in_channels, w)
        assert naive(images).shape[1] == naive.out_channels == naive_channels
        assert reduced(images).shape[1] == reduced.out_channels == w.out_channels
        assert weights(naive) == naive_weights
        assert macs(naive, images)[""] == naive_macs
        assert weights(reduced) < weights(naive) / 2


def test_scaled_widths():
    assert [scaled(full, 16) for full in (64, 96, 128, 16, 32, 1)] == [16, 24, 32, 4, 8, 1]


# Behaviour


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        lambda: googlenet("paper", num_classes=5),
        lambda: googlenet("torchvision", num_classes=5),
        lambda: mini_googlenet(num_classes=5, in_channels=3, aux_logits=True),
        lambda: mini_googlenet(num_classes=5, in_channels=3, batch_norm=False),
        lambda: mini_googlenet(num_classes=5, in_channels=3, stem=None),
    ],
    ids=["paper", "torchvision", "mini", "mini without batch norm", "mini with the large stem"],
)
def test_gradients_reach_every_parameter(model):
    torch.manual_seed(0)
    model = model().train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    loss = auxiliary_loss(model(torch.randn(4, 3, 96, 96)), torch.tensor([0, 1, 2, 3]))
    loss.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


def test_auxiliary_loss():
    logits, targets = torch.randn(3, 8, 5), torch.randint(5, (8,))
    main, second, first = (F.cross_entropy(x, targets) for x in logits)
    torch.testing.assert_close(auxiliary_loss(tuple(logits), targets), main + 0.3 * (second + first))
    torch.testing.assert_close(auxiliary_loss(logits[0], targets), main)


def test_mini_googlenet_is_the_same_class():
    mini = mini_googlenet()
    assert type(mini) is type(googlenet("torchvision", aux_logits=False))
    assert mini.eval()(torch.randn(2, 1, 28, 28)).shape == (2, 10)
    assert len(mini_googlenet(modules=("3a", "4a")).eval()(torch.randn(1, 1, 28, 28))[0]) == 10
    full = mini_googlenet(
        1000, 3, width=64, stem=None, kernel5=3, modules=tuple(INCEPTION_WIDTHS)
    ).state_dict()
    assert full.keys() == googlenet("torchvision", aux_logits=False).state_dict().keys()


# Settings that do not fit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "training", "smallest"),
    [
        (lambda: googlenet("paper"), False, 31),
        (lambda: googlenet("torchvision"), True, 15),  # torchvision's own "min_size"
        (lambda: mini_googlenet(in_channels=3), True, 7),
        (lambda: mini_googlenet(in_channels=3, stem=(3, 1, 1)), True, 4),
    ],
)
def test_the_smallest_image_works_and_a_smaller_one_is_refused(model, training, smallest):
    with META:
        model = model().train(training)
        model(torch.empty(2, 3, smallest, smallest))
        with pytest.raises(ValueError, match=f"at least {smallest}x{smallest} pixels; got"):
            model(torch.empty(2, 3, smallest - 1, smallest - 1))
        model.min_size = 1  # what torch itself says of that size
        with pytest.raises(RuntimeError, match="Output size is too small"):
            model(torch.empty(2, 3, smallest - 1, smallest - 1))


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: googlenet("2015"), "variant must be one of 'paper', 'torchvision'; got '2015'"),
        (lambda: googlenet(num_classes=0), "num_classes must be a whole number"),
        (lambda: mini_googlenet(width=0), "width must be a whole number of at least 1; got 0"),
        (lambda: mini_googlenet(initialisation="xavier"), "initialisation must be one of"),
        (lambda: mini_googlenet(kernel5=7), "kernel5 must be one of 3, 5; got 7"),
        (lambda: mini_googlenet(modules=("4a", "3a")), "in this order"),
        (lambda: mini_googlenet(modules=()), "modules are some of"),
        (lambda: mini_googlenet(modules=("3a",), aux_logits=True), "stand on modules 4a and 4d"),
        (lambda: mini_googlenet(dropout=1.5), "dropout probability"),
        (lambda: Inception(8, (1, 2, 3)), "six widths"),
        (lambda: InceptionNaive(8, 1, 0, 1), "three must be a whole number"),
        (lambda: mini_googlenet().eval()(torch.randn(2, 3, 28, 28)), r"images \[N, 1, H, W\]"),
        (lambda: mini_googlenet().eval()(torch.randn(28, 28)), "needs a batch of float images"),
    ],
)
def test_what_does_not_fit_is_refused(build, sentence):
    with META, pytest.raises(ValueError, match=sentence):
        build()
