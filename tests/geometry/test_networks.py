"""Whole networks: autograd, torchvision's metadata, torch's FLOP counter, torchinfo and papers are the oracles."""

import copy
import functools
from html.parser import HTMLParser
from itertools import pairwise

import psutil
import pytest
import torch
import torchinfo
import torchvision
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model

from course_utils.geometry import (
    LayerSize,
    ReceptiveField,
    effective_receptive_field,
    layer_table,
    receptive_field,
    receptive_fields,
)

# --- (a) Random networks: the box is the support of the gradient ---------------------------------------------

CHANNELS, SIDE = 4, 64


class Slices(nn.Module):
    """ResNet's shortcut without weights takes every second pixel like this."""

    def __init__(self, first, step):
        super().__init__()
        self.first, self.step = first, step

    def forward(self, x):
        return x[:, :, self.first :: self.step, :: self.step]


class Shuffle(nn.Module):
    def forward(self, x):
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class ChannelsLast(nn.Module):
    """A 1x1 convolution written as a linear layer, as ConvNeXt has it."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(CHANNELS, CHANNELS)

    def forward(self, x):
        return self.mix(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Branches(nn.Module):
    """Branches that meet: shorter ones are padded behind, so they differ in start and size, not in stride."""

    def __init__(self, branches, join):
        super().__init__()
        self.branches, self.join = nn.ModuleList(branches), join
        self.mix = nn.Conv2d(len(branches) * CHANNELS, CHANNELS, 1, groups=2)

    def forward(self, x):
        outs = [branch(x) for branch in self.branches]
        h, w = (max(out.shape[d] for out in outs) for d in (2, 3))
        # With ones, because a product with nought would hide what the other branch sees.
        outs = [F.pad(out, (0, w - out.shape[3], 0, h - out.shape[2]), value=1.0) for out in outs]
        if self.join == "cat":
            return F.relu(self.mix(torch.cat(outs, dim=1)))
        total = outs[0]
        for out in outs[1:]:
            total = total + out if self.join == "add" else total.mul(out)
        return total


axis_pair = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))  # noqa: E731


@st.composite
def convolutions(draw, stride=None):
    stride = stride or draw(axis_pair(1, 2))
    padding = draw(axis_pair(0, 3) | st.just("same") if stride == (1, 1) else axis_pair(0, 3))
    groups, dilation = draw(st.sampled_from([1, 2, CHANNELS])), draw(axis_pair(1, 2))
    return nn.Conv2d(CHANNELS, CHANNELS, draw(axis_pair(1, 4)), stride, padding, dilation, groups)


@st.composite
def poolings(draw):
    kind = draw(st.sampled_from(["max", "dilated max", "average", "lp"]))
    kernel, stride, ceil = draw(axis_pair(1, 3)), draw(axis_pair(1, 2)), draw(st.booleans())
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    if kind == "lp":
        return nn.LPPool2d(1, kernel, stride, ceil)
    if kind == "average":
        return nn.AvgPool2d(kernel, stride, padding, ceil)
    if kind == "max":
        return nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil)
    return nn.MaxPool2d(kernel, stride, padding, dilation=draw(axis_pair(2, 3)))


others = st.one_of(
    st.builds(nn.ReLU, inplace=st.booleans()),
    st.builds(nn.BatchNorm2d, st.just(CHANNELS)),
    st.builds(nn.Dropout),
    st.builds(nn.LocalResponseNorm, st.just(3)),
    st.builds(nn.ZeroPad2d, st.tuples(*[st.integers(0, 3)] * 4)),
    st.builds(nn.ZeroPad2d, st.tuples(*[st.integers(-2, 0)] * 4)),
    st.builds(Slices, st.integers(0, 2), st.integers(1, 2)),
    st.builds(Shuffle),
    st.builds(ChannelsLast),
)


@st.composite
def branched(draw):
    """Two or three branches of the same stride; one may be a shortcut."""
    stride = draw(axis_pair(1, 2))
    branches = [draw(convolutions(stride)) for _ in range(draw(st.integers(1, 2)))]
    if draw(st.booleans()):
        branches[0] = nn.Sequential(branches[0], nn.ReLU(), draw(convolutions((1, 1))))
    branches.append(nn.Identity() if stride == (1, 1) else nn.MaxPool2d(1, stride))
    return Branches(branches, draw(st.sampled_from(["add", "cat", "multiply"])))


# `|` would draw each of the nine others as often as a convolution.
layers = st.sampled_from([convolutions(), poolings(), branched(), others]).flatmap(lambda kind: kind)
networks = st.lists(layers, min_size=1, max_size=7).map(lambda chosen: nn.Sequential(*chosen))


def positive(model):
    """The same network with positive weights and sums in place of maxima: nothing cancels, all is seen."""
    model = copy.deepcopy(model).double()
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.ReLU):
            layer.inplace = False  # autograd refuses some orders of these, ours may not
        if isinstance(layer, nn.MaxPool2d):
            kernel = layer.kernel_size
            if layer.dilation == 1:
                new = nn.AvgPool2d(kernel, layer.stride, layer.padding, layer.ceil_mode)
            else:
                new = nn.Conv2d(
                    CHANNELS, CHANNELS, kernel, layer.stride, layer.padding, layer.dilation, CHANNELS
                ).double()
            model.set_submodule(name, new)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    return model.eval()


def supports(model, positions, axis):
    """For each position along the axis: first and last-but-one input pixel with a gradient."""
    image = torch.ones(len(positions), CHANNELS, SIDE, SIDE, dtype=torch.double, requires_grad=True)
    out = model(image.clone()).movedim(2 + axis, 0)
    chosen = sum(out[position, n].sum() for n, position in enumerate(positions))
    (gradient,) = torch.autograd.grad(chosen, image)
    seen = (gradient != 0).movedim(2 + axis, 1).flatten(2).any(2)
    return [
        (row.nonzero().min().item(), row.nonzero().max().item() + 1) if row.any() else None for row in seen
    ]


def check_against_autograd(model):
    """True where units away from the border showed size, stride and start; raises where they differ."""
    oracle, image = (
        positive(model),
        torch.ones(1, CHANNELS, SIDE, SIDE, dtype=torch.double, requires_grad=True),
    )
    try:
        out = oracle(image.clone())
    except RuntimeError:
        return False  # too small by now
    if not torch.autograd.grad(out.sum(), image)[0].any():
        return False  # all cut off, padding is left
    field = receptive_field(model, (CHANNELS, SIDE, SIDE), layer="")
    # Where pixels were cut off and zeros put in their place, a box inside the image may hold zeros.
    cuts = [m for m in model.modules() if isinstance(m, Slices | nn.ZeroPad2d)]
    boxes, inside = [], []
    for axis in (0, 1):
        count, margin = out.shape[2 + axis], 2 * len(cuts) * field.stride[axis]
        boxes.append([(field.box(i, i)[axis], field.box(i, i)[axis + 2]) for i in range(count)])
        inside.append([i for i, (a, b) in enumerate(boxes[axis]) if a >= margin and b <= SIDE - margin])
    # The support along one axis is taken over all positions of the other axis: some of these must be inside.
    shown = all(len(units) > 1 for units in inside)
    for axis in (0, 1):
        positions = sorted({0, out.shape[2 + axis] - 1, *inside[axis][:2], *inside[axis][-1:]})
        for i, seen in zip(positions, supports(oracle, positions, axis), strict=True):
            low, high = boxes[axis][i]
            if shown and i in inside[axis]:
                assert seen == (low, high)
            elif seen is not None:  # in part over the border: what is left lies in the box
                assert low <= seen[0] < seen[1] <= high
    return shown


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@settings(max_examples=3 * settings.default.max_examples // 5)
@given(networks)
def test_field_is_support_of_gradient(model):
    assume(check_against_autograd(model))


# --- (b) Published receptive fields --------------------------------------------------------------------------

IMAGE = (3, 224, 224)


@functools.cache
def on_meta(name):
    """A torchvision model without memory for its weights; to change it, copy it."""
    # Their initialisation is slow and warns that it is.
    settings = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        return get_model(name, **settings)


def as_in_the_paper(resnet):
    """He et al. halve the map in the first 1x1 convolution of a block; torchvision in its 3x3."""
    for block in resnet.modules():
        if isinstance(block, torchvision.models.resnet.Bottleneck):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)
    return resnet


def side(model, layer=None, shape=IMAGE):
    field = receptive_field(model, shape, layer)
    assert field.size[0] == field.size[1]
    return field.size[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("alexnet", 195),
        ("vgg11", 150),
        ("vgg13", 156),
        ("vgg16", 212),
        ("vgg19", 268),
        ("googlenet", 379),
        ("inception_v3", 1311),
        ("resnet18", 435),
        ("resnet34", 899),
        ("resnet50", 427),
        ("resnet101", 971),
        ("resnet152", 1451),
    ],
)
def test_last_feature_map(name, published):
    assert side(on_meta(name)) == published


@pytest.mark.slow
@pytest.mark.parametrize(
    ("depth", "size", "gmacs"), [(50, 483, 3.858), (101, 1027, 7.570), (152, 1507, 11.282)]
)
def test_resnets_of_the_paper(depth, size, gmacs):
    model = as_in_the_paper(copy.deepcopy(on_meta(f"resnet{depth}")))
    assert side(model) == size
    assert layer_table(model, IMAGE).total.macs / 1e9 == pytest.approx(gmacs, abs=5e-4)


def test_start_and_stride_are_google_researchs():
    """Their padding is how far output (0, 0) reaches over the border."""
    assert receptive_field(on_meta("vgg16"), IMAGE) == ReceptiveField((212, 212), (32, 32), (-90, -90))
    inception = receptive_field(on_meta("inception_v3"), (3, 299, 299))
    assert inception == ReceptiveField((1311, 1311), (32, 32), (-618, -618))


def test_layers_of_alexnet_and_vgg():
    alexnet = receptive_fields(on_meta("alexnet"), IMAGE)
    layers = [
        "features.0",
        "features.2",
        "features.3",
        "features.5",
        "features.6",
        "features.8",
        "features.10",
    ]
    assert [alexnet[name].size[0] for name in [*layers, "features.12"]] == [11, 19, 51, 67, 99, 131, 163, 195]
    for depth, pools in ((16, [6, 16, 44, 100, 212]), (19, [6, 16, 52, 124, 268])):
        table = layer_table(on_meta(f"vgg{depth}"), IMAGE).only("pool")
        assert [row.receptive_field.size[0] for row in table[:5]] == pools


@pytest.mark.slow
def test_googlenet_with_the_papers_5x5():
    model = copy.deepcopy(on_meta("googlenet"))
    for name, module in model.named_modules():
        if name.endswith("branch3.1.conv"):  # torchvision has 3x3 here
            module.padding = (2, 2)
            module.weight = nn.Parameter(torch.empty(*module.weight.shape[:2], 5, 5, device="meta"))
    model.maxpool4.kernel_size = 3  # and 2x2 here
    blocks = {
        "inception3a": 59,
        "inception3b": 91,
        "inception4a": 171,
        "inception4e": 427,
        "inception5a": 587,
    }
    assert {name: side(model, name) for name in blocks} == blocks
    assert side(model) == side(model, "inception5b") == 715


@pytest.mark.parametrize(("depth", "size"), [(20, 81), (32, 137), (44, 193), (56, 249)])
def test_cifar_resnets(depth, size):
    block = torchvision.models.resnet.BasicBlock
    layers, planes = [nn.Conv2d(3, 16, 3, padding=1)], 16
    for stage, width in enumerate((16, 32, 64)):
        for index in range((depth - 2) // 6):
            stride = 2 if stage and not index else 1
            shortcut = nn.Conv2d(planes, width, 1, stride) if stride > 1 else None
            layers.append(block(planes, width, stride, shortcut))
            planes = width
    assert side(nn.Sequential(*layers), shape=(3, 32, 32)) == size


def test_mobilenet_v1():
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    depthwise = [nn.Conv2d(8, 8, 3, stride, 1, groups=8) for stride in strides]
    assert side(nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), *depthwise)) == 315


# --- (c) torchinfo -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "resnet18"])
def test_torchinfos_totals(name):
    """torchinfo counts a multiply-add for each bias as well, and for each parameter of a normalisation."""
    model = on_meta(name)
    info = torchinfo.summary(model, input_size=(1, *IMAGE), device="meta", verbose=0)
    table = layer_table(model, IMAGE)
    biases = sum(row.biases * row.units // row.out_shape[0] for row in table.only("conv", "linear"))
    norms = sum(row.params for row in table.only("norm"))
    assert info.total_params == table.total.params
    assert info.total_mult_adds == table.total.macs + biases + norms


# --- The table -----------------------------------------------------------------------------------------------


class LeNet(nn.Module):
    """LeNet-5 as lecture 12 counts it, half of it written with functions."""

    def __init__(self):
        super().__init__()
        self.c1, self.c3 = nn.Conv2d(1, 6, 5, bias=False), nn.Conv2d(6, 16, 5, bias=False)
        self.s2 = nn.AvgPool2d(2)
        self.f5, self.f6 = nn.Linear(400, 120, bias=False), nn.Linear(120, 84, bias=False)
        self.out = nn.Linear(84, 10, bias=False)

    def forward(self, x):
        x = self.s2(torch.tanh(self.c1(x)))
        x = F.avg_pool2d(F.conv2d(x, self.c3.weight).tanh(), 2)
        x = x.view(x.size(0), -1)
        return self.out(self.f6(self.f5(x).tanh()).tanh())


def test_lenet_table_of_lecture_12():
    table = layer_table(LeNet(), (1, 32, 32)).only("conv", "pool", "linear")
    assert [(row.name, row.units, row.connections, row.weights) for row in table] == [
        ("c1", 4_704, 117_600, 150),
        ("s2", 1_176, 4_704, 0),
        ("conv2d", 1_600, 240_000, 2_400),
        ("avg_pool2d", 400, 1_600, 0),
        ("f5", 120, 48_000, 48_000),
        ("f6", 84, 10_080, 10_080),
        ("out", 10, 840, 840),
    ]
    total = table.total
    assert (total.units, total.connections, total.weights, total.biases) == (8_094, 422_824, 61_470, 0)
    assert total.macs == total.connections - 4_704 - 1_600  # pooling adds up, it multiplies nothing
    assert [row.receptive_field.size[0] for row in table[:4]] == [5, 6, 14, 16]
    assert table["f5"].receptive_field == ReceptiveField((32, 32), (0, 0), (0, 0))
    assert isinstance(total, LayerSize)


class Sharing(nn.Module):
    """One convolution used twice, one weight under two names, an addition in place, a layer never used."""

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(inplace=True)
        self.twin = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.twin.weight = self.conv.weight
        self.idle = nn.Linear(7, 7)

    def forward(self, x):
        y = self.act(self.conv(self.act(self.conv(x))))
        y += x
        return torch.cat([self.twin(y), x], 1)


def test_what_is_shared_counts_once_but_works_each_time():
    model = Sharing()
    table = layer_table(model, (4, 9, 9))
    names = ["conv", "act", "conv", "act", "add", "twin", "cat"]
    assert [row.name for row in table] == names and table["cat"].out_shape == (8, 9, 9)
    assert (table.total.weights, table.total.biases) == (144, 4) and table.unused_params == 56
    assert table["twin"].weights == 144 and table.total.macs == 3 * 144 * 81
    assert [row.receptive_field.size[0] for row in table] == [3, 3, 5, 5, 5, 7, 7]
    assert receptive_fields(model, (4, 9, 9))["conv"].size == (5, 5)  # of the last use


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel, self.shift = nn.Parameter(torch.ones(8, 2, 3, 3)), nn.Parameter(torch.ones(8))
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        y = self.scale * F.conv2d(x, self.kernel, self.shift, stride=2, padding=1, groups=2)
        y = F.avg_pool2d(F.relu(y), 2).add(1)
        gate = torch.sigmoid(y.mean(1, keepdim=True))
        y = torch.flatten(F.adaptive_max_pool2d(y * gate, 1), 1)
        return F.linear(y, self.head.weight, self.head.bias)


def test_functional_calls():
    table = layer_table(Functional(), (4, 12, 12))
    assert [(row.name, row.kind) for row in table] == [
        ("conv2d", "conv"),
        ("mul", "multiply"),
        ("relu", "activation"),
        ("avg_pool2d", "pool"),
        ("add", "add"),
        ("mean", "pool"),
        ("sigmoid", "activation"),
        ("mul_1", "multiply"),
        ("adaptive_max_pool2d", "pool"),
        ("flatten", "reshape"),
        ("linear", "linear"),
    ]
    assert (table["conv2d"].weights, table["conv2d"].biases, table["mul"].weights) == (144, 8, 8)
    assert table["conv2d"].connections == 8 * 36 * 18 and table["linear"].macs == 40
    assert table["adaptive_max_pool2d"].connections == 8 * 9
    assert table.total.params == sum(p.numel() for p in Functional().parameters())
    assert table["mul_1"].receptive_field == ReceptiveField((5, 5), (4, 4), (-1, -1))


def test_transposed_convolution_is_counted_and_its_field_refused():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ConvTranspose2d(4, 2, 3, stride=2), nn.Conv2d(2, 2, 1))
    table = layer_table(model, (1, 10, 10))
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 1, 10, 10))
    assert table.total.macs == counter.get_total_flops() // 2 and table["1"].out_shape == (2, 17, 17)
    assert [row.receptive_field is None for row in table] == [False, True, True]
    evenly = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ConvTranspose2d(4, 2, 3))
    asks = (lambda: receptive_field(model, (1, 10, 10)), lambda: receptive_fields(model, (1, 10, 10)))
    for ask in (*asks, lambda: receptive_field(evenly, (1, 10, 10))):
        with pytest.raises(ValueError, match=r"^Layer '1' \(ConvTranspose2d\) is a transposed convolution"):
            ask()


class Cells(HTMLParser):
    """The text of each cell of each row, and the share that its bar shows."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.bars = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            style = dict(attrs).get("style", "")
            if style:
                self.bars.append(float(style.removeprefix("--share: ").removesuffix("%")))

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_markdown_and_html_show_the_same():
    table = layer_table(on_meta("alexnet"), IMAGE)
    lines = [line.strip("| ").split(" | ") for line in table.to_markdown().splitlines()]
    cells = Cells(table._repr_html_())
    assert len(cells.rows) == len(lines) - 1 == len(table) + 2
    assert [row[:8] for row in cells.rows] == [lines[0][:8], *(line[:8] for line in lines[2:])]
    assert cells.rows[1][:6] == ["features.0", "conv", "64 × 55 × 55", "193,600", "23,232", "64"]
    assert cells.rows[1][8] == "11 (4)" and cells.rows[-2][8] == "whole input"
    assert lines[-1][:1] == ["total"] and lines[-1][7] == "714,188,480"
    assert max(cells.bars) == 100 and min(cells.bars) >= 0
    assert set(lines[1]) == {"---", "--:"} and lines[1][3:] == ["--:"] * 6


def test_table_is_a_sequence():
    table = layer_table(on_meta("vgg11"), IMAGE)
    assert len(table[2:5]) == 3 and table[2:5].total.macs == sum(row.macs for row in table[2:5])
    assert table[0] is table["features.0"] and table[-1].name == "classifier.6"
    assert {row.kind for row in table.only("conv", "linear")} == {"conv", "linear"}
    with pytest.raises(KeyError, match=r"features\.99"):
        table["features.99"]
    with pytest.raises(ValueError, match=r"kind 'convolution'"):
        table.only("convolution")


def test_a_layer_alone_and_a_network_without_images():
    (row,) = layer_table(nn.Conv2d(3, 8, 3), (3, 8, 8))
    assert (row.kind, row.out_shape, row.receptive_field.size) == ("conv", (8, 6, 6), (3, 3))
    table = layer_table(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)), (6,))
    assert table.total.params == 38 and table[0].receptive_field is None


# --- Semantics of the field ----------------------------------------------------------------------------------

WHOLE = ReceptiveField((16, 16), (0, 0), (0, 0))


def test_box_is_half_open_and_not_clipped():
    field = receptive_field(nn.Conv2d(1, 1, (3, 5), (2, 1), (1, 0)), (1, 16, 16))
    assert field == ReceptiveField((3, 5), (2, 1), (-1, 0))
    assert field.box(0, 0) == (-1, 0, 2, 5) and field.box(3, 2) == (5, 2, 8, 7)


@pytest.mark.parametrize(
    "layer",
    [
        nn.AdaptiveAvgPool2d(1),
        nn.GroupNorm(2, 4),
        nn.InstanceNorm2d(4),
        nn.LayerNorm([4, 16, 16]),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.Sequential(nn.Flatten(), nn.Linear(1024, 2)),
        torchvision.ops.SqueezeExcitation(4, 2),
    ],
)
def test_what_sees_the_whole_input(layer):
    """Autograd agrees: one output moves with every pixel."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), layer)
    for parameter in model.parameters():  # no ReLU is to be dead, no sigmoid saturated
        nn.init.uniform_(parameter, 0.01, 0.1)
    assert receptive_field(model, (4, 16, 16), "1") == WHOLE
    image = torch.rand(1, 4, 16, 16, dtype=torch.double, requires_grad=True)
    out = model.double().eval()(image)
    (gradient,) = torch.autograd.grad(out[(0, 0) if out.ndim == 2 else (0, 0, -1, -1)], image)
    assert (gradient.abs().sum(1) > 0).all()


@pytest.mark.parametrize(("positions", "outputs"), [(n, m) for n in range(2, 17) for m in range(2, n + 1)])
def test_adaptive_pooling_is_covered_closely(positions, outputs):
    """No window of torch's sticks out, and where they step evenly the field is theirs."""
    field = receptive_field(nn.AdaptiveAvgPool2d(outputs), (1, positions, positions), "")
    image = torch.ones(1, 1, positions, positions, requires_grad=True)
    seen = []
    for i in range(outputs):
        (gradient,) = torch.autograd.grad(F.adaptive_avg_pool2d(image, outputs)[0, 0, i, i], image)
        rows = gradient[0, 0].any(1).nonzero().flatten()
        low, high = field.box(i, i)[0], field.box(i, i)[2]
        assert low <= rows.min() and rows.max() < high
        seen.append((rows.min().item(), rows.max().item() + 1))
    steps = {(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(seen)}
    if len(steps) == 1:
        assert seen == [(field.box(i, 0)[0], field.box(i, 0)[2]) for i in range(outputs)]


class Meeting(nn.Module):
    def __init__(self, left, right):
        super().__init__()
        self.left, self.right = left, right

    def forward(self, x):
        return self.left(x) + self.right(x)


def test_branches_that_step_differently_are_refused():
    model = Meeting(nn.Conv2d(1, 1, 3, stride=2), nn.Conv2d(1, 1, 5))  # 4x4 and 5x5 -> cut to equal size
    model.right = nn.Sequential(nn.Conv2d(1, 1, 5), nn.Conv2d(1, 1, 2))
    with pytest.raises(ValueError, match=r"^Layer 'add' \(add\) joins branches .* \(strides 1 and 2\)\.$"):
        receptive_field(model, (1, 9, 9))


def test_branches_with_one_position_each_may_step_differently():
    model = Meeting(nn.Conv2d(1, 1, 3, stride=4), nn.Conv2d(1, 1, 5))
    assert receptive_field(model, (1, 5, 5)).size == (5, 5)


def test_last_feature_map_is_before_the_head():
    body = [nn.Conv2d(3, 8, 3), nn.ReLU()]
    heads = {
        "global": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)],
        "fixed": [nn.AdaptiveMaxPool2d(3), nn.Flatten(), nn.Linear(72, 2)],
        "average over all": [nn.AvgPool2d(14), nn.Flatten(), nn.Linear(8, 2)],
        "convolution as classifier": [nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.ReLU()],
        "none": [],
        "flat": [nn.Flatten(), nn.Dropout(), nn.Linear(8 * 14 * 14, 2), nn.Softmax(1)],
    }
    for head in heads.values():
        assert receptive_field(nn.Sequential(*body, *head), (3, 16, 16)).size == (3, 3)
    with pytest.raises(ValueError, match="no feature map"):
        receptive_field(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), (3, 2, 2))


class OneReLU(nn.Module):
    """The same activation before and behind the flattening."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.fc = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Linear(72, 4)

    def forward(self, x):
        return self.relu(self.fc(self.relu(self.conv(x)).flatten(1)))


def test_last_feature_map_may_come_from_an_earlier_use():
    model = OneReLU()
    nn.init.constant_(model.conv.weight, 0.1)  # no unit is to be dead
    assert receptive_field(model, (1, 8, 8)).size == (3, 3)
    assert receptive_field(model, (1, 8, 8), "relu").size == (8, 8)
    effective = effective_receptive_field(model, torch.rand(4, 1, 8, 8) + 4, unit=(0, 0))
    assert effective[:3, :3].any() and not effective[3:].any() and not effective[:, 3:].any()


def test_names_of_modules_that_hold_others():
    model = on_meta("resnet18")
    assert receptive_field(model, IMAGE, "layer4") == receptive_field(model, IMAGE, "layer4.1.relu")
    assert receptive_field(model, IMAGE, "") == ReceptiveField((224, 224), (0, 0), (0, 0))


# --- Refusals ------------------------------------------------------------------------------------------------


class Choosy(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Picky(nn.Module):
    def forward(self, x):
        return x[x > 0]


class Reading(nn.Module):
    def forward(self, x):
        return x[:, :, : int(x.mean())]


@pytest.mark.parametrize(
    ("model", "shape", "sentence"),
    [
        (nn.Sequential(nn.ReLU(), Choosy()), (1, 4, 4), r"Layer '1' \(Choosy\) cannot be traced"),
        (nn.Sequential(nn.ReLU(), Picky()), (1, 4, 4), r"Layer '1.index' \(index\) cannot be traced"),
        (nn.Sequential(nn.ReLU(), Reading()), (1, 4, 4), r"Layer '1' \(Reading\) cannot be traced"),
        (Choosy(), (1, 4, 4), r"The model \(Choosy\) cannot be traced"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), (1, 8, 8), r"Layer '0' \(Conv2d\) cannot take \(1, 8, 8\)"),
        (nn.Sequential(nn.Conv2d(1, 4, 9)), (1, 8, 8), r"Layer '0' \(Conv2d\) cannot take \(1, 8, 8\)"),
        (
            nn.Sequential(nn.Conv2d(1, 4, 3, padding=-1)),
            (1, 8, 8),
            r"Layer '0' .* padding must be at least 0",
        ),
        (nn.Sequential(nn.MaxPool2d(9)), (1, 8, 8), r"Layer '0' \(MaxPool2d\) cannot take"),
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 2)), (1, 2, 2), r"Layer '1' \(Linear\) cannot take \(4,\)"),
        (nn.Sequential(nn.BatchNorm2d(3)), (1, 8, 8), r"Layer '0' \(BatchNorm2d\) cannot take"),
        (Meeting(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 1)), (1, 8, 8), r"Layer 'add' \(add\) cannot take"),
        (nn.ReLU(), (3, 0, 4), "Each size in input_shape must be an integer of at least 1, got 0"),
        (nn.ReLU(), (3, 4.0, 4), r"Each size in input_shape must be an integer of at least 1, got 4\.0"),
        (nn.ReLU(), (), r"Each size in input_shape must be an integer of at least 1, got \(\)"),
        (nn.ReLU(), None, "Each size in input_shape must be an integer of at least 1, got None"),
    ],
)
def test_one_sentence_that_names_the_layer(model, shape, sentence):
    with pytest.raises(ValueError, match=rf"^{sentence}[^\n]*\.$"):
        layer_table(model, shape)


def test_layers_that_are_not_there():
    model = Sharing()
    with pytest.raises(ValueError, match=r"no layer 'cnov'; there are 'conv'"):
        receptive_field(model, (4, 9, 9), "cnov")
    with pytest.raises(ValueError, match=r"'idle' is not used"):
        receptive_field(model, (4, 9, 9), "idle")
    with pytest.raises(ValueError, match=r"\(channels, height, width\)"):
        receptive_field(model, (4, 9))


# --- The model stays as it was -------------------------------------------------------------------------------


class Counting(nn.Module):
    """Changes itself in forward: a buffer in place, an attribute, a list."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU())
        self.seen, self.last = [], None

    def forward(self, x):
        self.calls += 1
        self.last = x
        self.seen.append(x.shape)
        return self.inner(x)


@pytest.mark.parametrize(
    "measure",
    [
        lambda model: layer_table(model, (3, 8, 8)),
        lambda model: receptive_field(model, (3, 8, 8)),
        lambda model: receptive_fields(model, (3, 8, 8)),
        lambda model: effective_receptive_field(model, torch.ones(2, 3, 8, 8)),
    ],
)
@pytest.mark.parametrize("fails", [False, True])
def test_model_is_left_as_it_was(measure, fails):
    model = Counting()
    model.inner[1].eval()
    model.inner[0].weight.requires_grad_(False)
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    if fails:
        model.inner.append(nn.Linear(5, 5))
    fired = []
    model.inner[0].register_forward_hook(lambda *_: fired.append(1))
    model.inner[0].register_full_backward_hook(lambda *_: fired.append(1))
    attributes = [dict(vars(m)) for m in model.modules()]
    states = {name: value.clone() for name, value in model.state_dict().items()}
    grads = {name: p.grad for name, p in model.named_parameters()}
    grad_values = {name: g.clone() for name, g in grads.items() if g is not None}
    seen, generator = list(model.seen), torch.get_rng_state()
    if fails:
        with pytest.raises(ValueError, match=r"Layer 'inner\.4'"):
            measure(model)
    else:
        measure(model)
    assert [dict(vars(m)) for m in model.modules()] == attributes and model.seen == seen and not fired
    assert all(torch.equal(value, states[name]) for name, value in model.state_dict().items())
    assert all(p.grad is grads[name] for name, p in model.named_parameters())
    assert all(torch.equal(grads[name], value) for name, value in grad_values.items())
    assert torch.equal(torch.get_rng_state(), generator) and torch.is_grad_enabled()


def test_vgg19_needs_no_memory():
    process = psutil.Process()
    model = on_meta("vgg19")
    layer_table(model, IMAGE)  # torch loads its meta kernels at first
    before = process.memory_info().rss
    assert layer_table(model, IMAGE).total.params == 143_667_240
    assert process.memory_info().rss - before < 20e6
    assert all(p.is_meta for p in model.parameters())


# --- The effective field -------------------------------------------------------------------------------------


def test_effective_field_of_equal_weights_is_a_binomial():
    """Convolutions of ones compose to the binomial kernel, as Luo et al. 2016 say of their simplest case."""
    model = nn.Sequential(*[nn.Conv2d(1, 1, 2, bias=False) for _ in range(6)])
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    effective = effective_receptive_field(model, torch.rand(3, 1, 20, 20), unit=(4, 5))
    row = torch.tensor([1.0, 6, 15, 20, 15, 6, 1]) / 20
    expected = torch.zeros(20, 20)
    expected[4:11, 5:12] = row[:, None] * row
    torch.testing.assert_close(effective, expected)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_effective_field_is_autograds_and_lies_in_the_box(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 3),
        nn.ReLU(True),
    )
    images = torch.randn(11, 2, 16, 16, requires_grad=True)
    effective = effective_receptive_field(model, images, layer="3", unit=(2, 3))
    (gradient,) = torch.autograd.grad(model[:4](images)[:, :, 2, 3].sum(), images)
    expected = gradient.abs().mean((0, 1))
    torch.testing.assert_close(effective, expected / expected.max())
    top, left, bottom, right = receptive_field(model, (2, 16, 16), "3").box(2, 3)
    effective[top:bottom, left:right] = 0
    assert not effective.any() and images.grad is None


def test_effective_field_defaults_to_the_centre_of_the_last_feature_map():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    effective = effective_receptive_field(model, torch.rand(2, 1, 9, 9))
    assert effective.shape == (9, 9) and effective.max() == 1
    assert effective.nonzero().min(0).values.tolist() == [3, 3]
    assert effective.nonzero().max(0).values.tolist() == [5, 5]


def test_effective_field_takes_the_models_type_and_needs_its_values():
    model = nn.Sequential(nn.Conv2d(1, 2, 3))
    images = torch.rand(2, 1, 9, 9)
    expected = effective_receptive_field(model, images)
    torch.testing.assert_close(effective_receptive_field(model.double(), images), expected)
    with pytest.raises(ValueError, match="meta device"):
        effective_receptive_field(model.to("meta"), images)


def test_a_dead_unit_has_an_effective_field_of_noughts():
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU())
    nn.init.constant_(model[0].bias, -100.0)
    assert not effective_receptive_field(model, torch.rand(2, 1, 9, 9)).any()


class Through(nn.Module):
    def __init__(self, run):
        super().__init__()
        self.run, self.conv = run, nn.Conv2d(1, 2, 3)

    def forward(self, x):
        return self.run(self.conv, x)


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (lambda conv, x: conv(x.detach()), r"Layer 'conv' \(Conv2d\) passes no gradient back to the image\."),
        (torch.no_grad()(lambda conv, x: conv(x)), r"Layer 'conv' \(Conv2d\) passes no gradient"),
        (
            lambda conv, x: conv(x if len(x) == 1 else x[:, 1:]),
            r"The model \(Through\) cannot take \(1, 9, 9\): ",
        ),
    ],
)
def test_effective_field_without_a_gradient_is_refused(run, sentence):
    with pytest.raises(ValueError, match=rf"^{sentence}[^\n]*$"):
        effective_receptive_field(Through(run), torch.rand(2, 1, 9, 9), "conv")


@torch.inference_mode()
def test_effective_field_stops_at_the_layer_that_is_asked():
    """What comes behind it may write in place, or take none but a single image."""
    behind = nn.Hardtanh(inplace=True), nn.Flatten(0), nn.Linear(4 * 6 * 6, 2)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sigmoid(), *behind)
    assert effective_receptive_field(model, torch.rand(2, 3, 8, 8), "1").count_nonzero() == 9


def test_effective_field_in_inference_mode():
    assert effective_receptive_field(nn.Sequential(nn.Conv2d(1, 2, 3)), torch.rand(2, 1, 9, 9)).sum() > 1


@pytest.mark.parametrize(
    ("images", "settings", "sentence"),
    [
        (torch.rand(1, 9, 9), {}, r"images must be a tensor of shape \[N, C, H, W\]"),
        (torch.rand(0, 1, 9, 9), {}, r"images must be a tensor of shape \[N, C, H, W\]"),
        (torch.rand(2, 1, 9, 9), {"unit": (7, 0)}, r"unit must be \(row, column\)"),
        (torch.rand(2, 1, 9, 9), {"unit": (0,)}, r"unit must be \(row, column\)"),
        (torch.rand(2, 1, 9, 9), {"layer": "2"}, r"Layer '2' \(Flatten\) is no feature map"),
        (torch.rand(2, 3, 9, 9), {}, "Layer '0'"),
    ],
)
def test_effective_field_refuses(images, settings, sentence):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
    with pytest.raises(ValueError, match=f"^{sentence}"):
        effective_receptive_field(model, images, **settings)


def test_a_map_of_one_position():
    """Its stride and its row stay known through views, and pooling it again makes a summary of it."""
    body = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.MaxPool2d(2))
    field = ReceptiveField((5, 5), (4, 4), (-1, -1))
    for head in (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.AdaptiveMaxPool2d(1)):
        model = nn.Sequential(body, head, nn.Flatten(), nn.Linear(4, 2))
        assert receptive_field(model, (1, 4, 4)) == field
        assert receptive_field(model, (1, 4, 4), "2") == ReceptiveField((4, 4), (0, 0), (0, 0))
    padded = nn.Sequential(body, nn.Conv2d(4, 4, 3, padding=1))
    assert receptive_field(padded, (1, 4, 4)) == ReceptiveField((13, 13), (4, 4), (-5, -5))
