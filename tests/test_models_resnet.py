"""Residual networks against torchvision's and against the paper's tables."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from course_utils.models.resnet import (
    BasicBlock,
    Bottleneck,
    PadShortcut,
    ResNet,
    plain18,
    plain34,
    plain_cifar,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnet_cifar,
)

META = torch.device("meta")
FAMILY = {18: resnet18, 34: resnet34, 50: resnet50, 101: resnet101, 152: resnet152}
PARAMETERS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
QUICK_AND_SLOW = [
    18,
    34,
    50,
    pytest.param(101, marks=pytest.mark.slow),
    pytest.param(152, marks=pytest.mark.slow),
]


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def macs(model: nn.Module, size: int = 224, in_channels: int = 3) -> int:
    """Multiply-adds as torch's own counter sees them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.empty(1, in_channels, size, size, device="meta"))
    return counter.get_total_flops() // 2


def randomise(model: nn.Module) -> None:
    """Random weights that keep the size of the signal, batch norm buffers included."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, fan_in**-0.5, generator=generator)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.2, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.2, 0.8, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)


# torchvision


@pytest.mark.slow
@pytest.mark.parametrize("depth", QUICK_AND_SLOW)
def test_outputs_are_torchvisions(depth):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"resnet{depth}")()
        ours = FAMILY[depth]()
    theirs, ours = theirs.to_empty(device="cpu").eval(), ours.to_empty(device="cpu").eval()
    randomise(theirs)
    ours.load_state_dict(theirs.state_dict())
    for size in (64, 97):
        images = torch.randn(2, 3, size, size)
        with torch.no_grad():
            torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-5)
    theirs.load_state_dict(ours.state_dict())


# The paper, table 1


@pytest.mark.parametrize("variant", ["v1.5", "v1"])
@pytest.mark.parametrize("depth", FAMILY)
def test_parameters(depth, variant):
    with META:
        assert count(FAMILY[depth](variant)) == PARAMETERS[depth]


@pytest.mark.parametrize("variant", ["v1.5", "v1"])
@pytest.mark.parametrize("depth", QUICK_AND_SLOW)
def test_table_1_output_sizes(depth, variant):
    sizes = {}
    with META:
        model = FAMILY[depth](variant).eval()
        for name, module in model.named_children():
            module.register_forward_hook(
                lambda _, __, out, name=name: sizes.update({name: tuple(out.shape[1:])})
            )
        model(torch.empty(1, 3, 224, 224))
    expansion = 1 if depth < 50 else 4
    assert sizes["conv1"] == (64, 112, 112)
    assert sizes["layer1"] == (64 * expansion, 56, 56)
    assert sizes["layer2"] == (128 * expansion, 28, 28)
    assert sizes["layer3"] == (256 * expansion, 14, 14)
    assert sizes["layer4"] == (512 * expansion, 7, 7)
    assert sizes["avgpool"] == (512 * expansion, 1, 1)
    assert sizes["fc"] == (1000,)


# Table 1, rows conv1 to conv5_x and fc: weights without biases and batch norm, counted by hand from the bracketed
# kernels, with the projection shortcuts of option B
def stage_weights(
    blocks: int, kernels: list[tuple[int, int, int]], in_channels: int, projection: bool
) -> int:
    first = (in_channels, *[out for *_, out in kernels])
    rest = (kernels[-1][2], *[out for *_, out in kernels])
    cost = lambda channels: sum(k * k * a * b for (k, _, b), a in zip(kernels, channels, strict=False))  # noqa: E731
    return cost(first) + (blocks - 1) * cost(rest) + (in_channels * kernels[-1][2] if projection else 0)


@pytest.mark.parametrize(
    ("depth", "blocks"),
    [(18, (2, 2, 2, 2)), (34, (3, 4, 6, 3)), (50, (3, 4, 6, 3)), (101, (3, 4, 23, 3)), (152, (3, 8, 36, 3))],
)
def test_table_1_weights_by_row(depth, blocks):
    with META:
        model = FAMILY[depth]("v1")
    in_channels = 64
    assert model.conv1.weight.shape == (64, 3, 7, 7)
    for index, (number, width) in enumerate(zip(blocks, (64, 128, 256, 512), strict=True)):
        kernels = [(3, 0, width)] * 2 if depth < 50 else [(1, 0, width), (3, 0, width), (1, 0, 4 * width)]
        expected = stage_weights(number, kernels, in_channels, projection=in_channels != kernels[-1][2])
        stage = model.get_submodule(f"layer{index + 1}")
        assert len(stage) == number
        assert sum(p.numel() for p in stage.parameters() if p.ndim > 1) == expected
        in_channels = kernels[-1][2]
    assert model.fc.weight.shape == (1000, in_channels)


@pytest.mark.slow
def test_depth_counts_the_weight_layers():
    with META:
        for depth, build in FAMILY.items():
            layers = [
                m
                for n, m in build().named_modules()
                if isinstance(m, nn.Conv2d | nn.Linear) and "down" not in n
            ]
            assert len(layers) == depth


# "FLOPs" of table 1 are multiply-adds; the paper's own (v1) and torchvision's (v1.5), 10^9, to three decimals
@pytest.mark.parametrize(
    ("depth", "printed", "v1", "v1_5"),
    [
        (18, 1.8, 1.814, 1.814),
        pytest.param(34, 3.6, 3.664, 3.664, marks=pytest.mark.slow),
        pytest.param(50, 3.8, 3.858, 4.089, marks=pytest.mark.slow),
        pytest.param(101, 7.6, 7.570, 7.801, marks=pytest.mark.slow),
        pytest.param(152, 11.3, 11.282, 11.514, marks=pytest.mark.slow),
    ],
)
def test_table_1_operations(depth, printed, v1, v1_5):
    with META:
        assert round(macs(FAMILY[depth]("v1")) / 1e9, 3) == v1
        assert round(macs(FAMILY[depth]("v1.5")) / 1e9, 3) == v1_5
    weights = getattr(torchvision.models, f"ResNet{depth}_Weights").IMAGENET1K_V1
    assert weights.meta["num_params"] == PARAMETERS[depth]
    assert weights.meta["_ops"] == v1_5
    assert abs(v1 - printed) < 0.07  # the paper cuts 3.664 and 3.858 down


@pytest.mark.slow
@pytest.mark.parametrize(("plain", "residual"), [(plain18, resnet18), (plain34, resnet34)])
def test_plain_networks_are_the_residual_ones_without_shortcuts(plain, residual):
    with META:
        plain, option_a = plain(), residual(shortcut="A")
        assert plain.state_dict().keys() == option_a.state_dict().keys()
        assert count(plain) == count(option_a)
        assert macs(plain) == macs(option_a)


def test_options_a_b_c_of_resnet34():
    """A adds nothing; B three projections with batch norm; C one in every block (section 4.1, table 3)."""
    with META:
        a, b, c = (resnet34(shortcut=option) for option in "ABC")
    projections = sum(i * o + 2 * o for i, o in ((64, 128), (128, 256), (256, 512)))
    squares = sum(n * (w * w + 2 * w) for n, w in ((3, 64), (3, 128), (5, 256), (2, 512)))
    assert count(b) - count(a) == projections
    assert count(c) - count(b) == squares


# The CIFAR networks, section 4.2 and table 6

CIFAR = {
    20: (0.27, 269_722),
    32: (0.46, 464_154),
    44: (0.66, 658_586),
    56: (0.85, 853_018),
    110: (1.7, 1_727_962),
    1202: (19.4, 19_421_274),
}


@pytest.mark.parametrize(
    "depth", [20, 32, 44, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (56, 110, 1202))]
)
def test_cifar_parameters(depth):
    printed, exact = CIFAR[depth]
    with META:
        model = resnet_cifar(depth)
        assert count(model) == exact
        if depth < 100:
            assert count(plain_cifar(depth)) == exact
            assert count(resnet_cifar(depth, in_channels=1)) == exact - 2 * 9 * 16
    assert round(exact / 1e6, 2 if printed < 1 else 1) == printed
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) == depth
    assert len(model.blocks) == (depth - 2) // 2


def test_cifar_output_sizes():
    with META:
        x = model_input = torch.empty(1, 3, 32, 32)
        model = resnet_cifar(20)
        shapes = []
        for name in ("conv1", "layer1", "layer2", "layer3"):
            x = model.get_submodule(name)(x)
            shapes.append(tuple(x.shape[1:]))
        assert shapes == [(16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8)]
        assert model(model_input).shape == (1, 10)
        assert resnet_cifar(20, stem=(3, 2, 1)).conv1(model_input).shape == (1, 16, 16, 16)


# Blocks and shortcuts


@settings(max_examples=30, deadline=None)
@given(
    channels=st.integers(1, 6),
    new=st.integers(0, 6),
    stride=st.integers(1, 3),
    side=st.integers(1, 9),
)
def test_shortcut_a_is_every_nth_pixel_and_zeros(channels, new, stride, side):
    images = torch.randn(2, channels, side, side)
    result = PadShortcut(new, stride)(images)
    assert torch.equal(result[:, :channels], images[:, :, ::stride, ::stride])
    assert result.shape[1] == channels + new
    assert not result[:, channels:].any()


@pytest.mark.parametrize("block", [BasicBlock(6, 6), Bottleneck(24, 6), BasicBlock(6, 6, norm=False)])
def test_a_block_adds_its_input(block):
    block.eval()
    images = torch.randn(2, block.conv1.in_channels, 5, 5)
    torch.testing.assert_close(block(images), F.relu(images + block.residual(images)))
    block.skip = False
    torch.testing.assert_close(block(images), F.relu(block.residual(images)))


def test_a_block_with_zero_weights_is_the_identity():
    block = BasicBlock(4, 4, norm=False)
    for parameter in block.parameters():
        parameter.data.zero_()
    images = torch.rand(2, 4, 5, 5)
    assert torch.equal(block(images), images)


def test_v1_strides_in_the_first_convolution():
    with META:
        v1, v1_5 = resnet50("v1").layer2[0], resnet50("v1.5").layer2[0]
    assert (v1.conv1.stride, v1.conv2.stride) == ((2, 2), (1, 1))
    assert (v1_5.conv1.stride, v1_5.conv2.stride) == ((1, 1), (2, 2))


MODELS = {
    "resnet18": lambda: resnet18(num_classes=5),
    "plain18": lambda: plain18(num_classes=5),
    "resnet50 v1": lambda: ResNet(Bottleneck, (1, 2, 1, 1), 5, widths=(8, 8, 16, 16), variant="v1"),
    "bottleneck A": lambda: ResNet(Bottleneck, (1, 2, 1, 1), 5, widths=(8, 8, 16, 16), shortcut="A"),
    "cifar A": lambda: resnet_cifar(20, 5),
    "cifar B": lambda: resnet_cifar(8, 5, shortcut="B"),
    "cifar C": lambda: resnet_cifar(8, 5, shortcut="C"),
    "cifar C without norm": lambda: resnet_cifar(8, 5, shortcut="C", norm=False),
    "plain cifar": lambda: plain_cifar(8, 5, stem=(3, 2, 1), widths=(4, 8, 12)),
    "plain cifar without norm": lambda: plain_cifar(8, 5, norm=False),
}


@pytest.mark.parametrize("name", MODELS)
def test_gradients_reach_every_parameter(name):
    torch.manual_seed(0)
    model = MODELS[name]().train()
    F.cross_entropy(model(torch.randn(4, 3, 33, 33)), torch.tensor([0, 1, 2, 3])).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.slow
def test_any_image_size_works():
    with META, warnings.catch_warnings(action="error"):
        for size in (1, 2, 17, 224, 301):
            assert resnet18().eval()(torch.empty(1, 3, size, size + 3)).shape == (1, 1000)


# Lesions


def test_a_deleted_block_leaves_its_shortcut():
    model = resnet_cifar(20, shortcut="B").eval()
    whole = copy.deepcopy(model)
    images = torch.randn(2, 3, 32, 32)
    for index in (1, 3):  # inside a stage, and where the shape changes
        model.delete_block(index)
    expected = F.relu(whole.bn1(whole.conv1(images)))
    for index, block in enumerate(whole.blocks):
        if index not in (1, 3):
            expected = block(expected)
        elif index == 3:
            expected = block.downsample(expected)
    expected = whole.fc(expected.mean((2, 3)))
    torch.testing.assert_close(model(images), expected)
    assert len(model.blocks) == len(whole.blocks)


def test_swapped_blocks():
    model = resnet_cifar(20).eval()
    before = model.blocks
    images = torch.randn(1, 3, 32, 32)
    output = model(images)
    model.swap_blocks(4, 5)
    assert model.blocks == [*before[:4], before[5], before[4], *before[6:]]
    assert not torch.allclose(model(images), output)
    model.swap_blocks(5, 4)
    torch.testing.assert_close(model(images), output)


def test_lesions_that_cannot_be():
    with META:
        plain, residual = plain_cifar(14), resnet_cifar(14)
        plain.delete_block(1)
        with pytest.raises(ValueError, match="Block 2 of this plain network changes the shape"):
            plain.delete_block(2)
        with pytest.raises(ValueError, match="has blocks 0 to 5; got 6"):
            residual.delete_block(6)
        with pytest.raises(ValueError, match="Blocks 2 and 3 have different shapes"):
            residual.swap_blocks(2, 3)
        with pytest.raises(ValueError, match="Blocks 1 and 3 have different shapes"):
            residual.swap_blocks(1, 3)


# Settings that do not fit


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: resnet_cifar(21), r"depth must be 6n \+ 2 .* got 21"),
        (lambda: resnet_cifar(2), "got 2"),
        (lambda: plain_cifar(20.0), "depth must be a whole number"),
        (lambda: resnet50("v2"), "variant must be one of 'v1.5', 'v1'; got 'v2'"),
        (lambda: resnet_cifar(20, shortcut="D"), "shortcut must be one of 'A', 'B', 'C'; got 'D'"),
        (lambda: resnet_cifar(20, widths=(16, 32)), "number of widths must be one of 3; got 2"),
        (lambda: resnet_cifar(20, widths=(16, 8, 32)), "cannot go from 16 to 8"),
        (lambda: resnet18(num_classes=0), "num_classes must be"),
        (lambda: ResNet(BasicBlock, (1, 1)), "number of widths must be one of 2; got 4"),
        (lambda: resnet18().eval()(torch.empty(2, 1, 64, 64)), r"images \[N, 3, H, W\]"),
        (lambda: resnet18().eval()(torch.empty(3, 64, 64)), "needs a batch of float images"),
        (lambda: resnet18().eval()(torch.empty(1, 3, 0, 64)), "at least 1x1 pixels"),
    ],
)
def test_what_does_not_fit_is_refused(build, sentence):
    with META, pytest.raises(ValueError, match=sentence):
        build()
