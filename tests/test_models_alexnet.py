import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.models.alexnet import alexnet, mini_alexnet

torchvision_alexnet = pytest.importorskip("torchvision.models").alexnet

# Krizhevsky et al. 2012, section 3.5: output, units, weights, connections, parameters (recomputed with 55x55x96).
PAPER = [
    ((96, 55, 55), 290_400, 34_848, 105_415_200, 34_944),
    ((256, 27, 27), 186_624, 307_200, 223_948_800, 307_456),
    ((384, 13, 13), 64_896, 884_736, 149_520_384, 885_120),
    ((384, 13, 13), 64_896, 663_552, 112_140_288, 663_936),
    ((256, 13, 13), 43_264, 442_368, 74_760_192, 442_624),
    ((4096,), 4_096, 37_748_736, 37_748_736, 37_752_832),
    ((4096,), 4_096, 16_777_216, 16_777_216, 16_781_312),
    ((1000,), 1_000, 4_096_000, 4_096_000, 4_097_000),
]


def on_meta(make, *args, **kwargs):
    with torch.device("meta"):
        return make(*args, **kwargs)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def rows(model, size):
    """Output shape, units, weights, connections and parameters of each layer with weights."""
    table = []

    def hook(layer, inputs, output):
        shape = tuple(output.shape[1:])
        units, weights = output.numel(), layer.weight.numel()
        table.append((shape, units, weights, units * layer.weight[0].numel(), weights + layer.bias.numel()))

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(hook)
    model(torch.empty(1, 3, size, size, device="meta"))
    return table


def test_the_papers_table_row_by_row():
    model = on_meta(alexnet, "2012")
    assert rows(model, 227) == PAPER
    assert parameters(model) == 60_965_224


def test_the_papers_pooled_maps():
    model, sizes = on_meta(alexnet, "2012"), []
    for layer in model.features:
        if isinstance(layer, nn.MaxPool2d):
            layer.register_forward_hook(lambda layer, inputs, output: sizes.append(tuple(output.shape[1:])))
    model(torch.empty(1, 3, 227, 227, device="meta"))
    assert sizes == [(96, 27, 27), (256, 13, 13), (256, 6, 6)]


@pytest.mark.slow
def test_the_2014_network_is_torchvisions():
    torch.manual_seed(0)
    theirs, ours = torchvision_alexnet().eval(), on_meta(alexnet)
    ours.load_state_dict(theirs.state_dict(), assign=True)
    ours.eval()
    assert parameters(ours) == parameters(theirs) == 61_100_840
    with torch.inference_mode():
        for height, width in ((224, 224), (63, 130)):
            images = torch.randn(2, 3, height, width)
            assert torch.allclose(ours(images), theirs(images), atol=1e-5)


def test_the_2014_network_drops_where_torchvisions_drops():
    kinds = lambda model: [type(layer) for layer in model.classifier]  # noqa: E731
    assert kinds(on_meta(alexnet)) == kinds(on_meta(torchvision_alexnet))


def test_local_response_normalisation_is_the_papers():
    norm = next(
        layer for layer in on_meta(alexnet, "2012").features if isinstance(layer, nn.LocalResponseNorm)
    )
    maps = 50 * torch.rand(1, 12, 3, 3)  # as large as the sums in the formula need to matter
    expected = torch.empty_like(maps)
    for i in range(12):  # section 3.3: k = 2, n = 5, alpha = 1e-4, beta = 0.75
        neighbours = maps[:, max(0, i - 2) : min(12, i + 3)]
        expected[:, i] = maps[:, i] / (2 + 1e-4 * neighbours.square().sum(1)) ** 0.75
    assert torch.allclose(norm(maps), expected, rtol=1e-5)


def test_order_of_the_2012_layers():
    names = [type(layer).__name__ for layer in on_meta(alexnet, "2012").features]
    first = ["Conv2d", "ReLU", "LocalResponseNorm", "MaxPool2d"]
    assert names == [*first, *first, "Conv2d", "ReLU", "Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d"]


def test_the_two_towers_meet_in_conv3_only():
    # Section 3.5: kernels of layers 2, 4 and 5 see only the maps on the same GPU.
    convolutions = [layer for layer in alexnet("2012").features if isinstance(layer, nn.Conv2d)]
    for number, layer in enumerate(convolutions[1:], start=2):
        maps = torch.rand(1, layer.in_channels, 5, 5, requires_grad=True)
        layer(maps)[:, : layer.out_channels // 2].sum().backward()
        other_tower = maps.grad[:, layer.in_channels // 2 :]
        assert (other_tower.abs().sum() == 0) == (number in (2, 4, 5))


@pytest.mark.parametrize(
    ("make", "channels"),
    [
        (lambda: alexnet("2012"), 3),
        (lambda: alexnet("2014"), 3),
        (lambda: mini_alexnet(), 1),
        (lambda: mini_alexnet(overlapping=False, groups=2), 1),
        (lambda: mini_alexnet(in_channels=3, stem=(3, 1, 1), lrn=True), 3),
    ],
)
def test_any_size_that_fits_works_and_none_below(make, channels):
    model = on_meta(make)
    smallest = model.min_size
    for height, width in ((smallest, smallest), (smallest, smallest + 41), (smallest + 100, smallest + 7)):
        logits = model(torch.empty(2, channels, height, width, device="meta"))
        assert logits.shape == (2, model.classifier[-1].out_features)
    too_small = torch.empty(2, channels, smallest - 1, smallest, device="meta")
    with pytest.raises(ValueError, match=f"AlexNet needs .* at least {smallest}x{smallest} pixels; got"):
        model(too_small)
    with pytest.raises(RuntimeError):  # torch itself
        model.features(too_small)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"groups": 2},
        {"lrn": True},
        {"overlapping": False},
        {"activation": "tanh", "initialisation": "glorot"},
        {"activation": "sigmoid", "initialisation": "torch"},
        {"dropout": 0.0, "initialisation": "normal"},
        {"width": 9, "hidden": 32, "num_classes": 4, "in_channels": 3},
    ],
    ids=str,
)
def test_gradients_reach_every_parameter_of_the_small_one(options):
    torch.manual_seed(0)
    model = mini_alexnet(**options)
    classes = options.get("num_classes", 10)
    logits = model(torch.rand(64, options.get("in_channels", 1), 28, 28))
    assert logits.shape == (64, classes)
    F.cross_entropy(logits, torch.arange(64) % classes).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_pooling_and_groups_change_nothing_else():
    shapes = []
    for options in ({}, {"overlapping": False}):
        model, seen = on_meta(mini_alexnet, **options), []
        for layer in model.features:
            layer.register_forward_hook(lambda layer, inputs, output, seen=seen: seen.append(output.shape))
        model(torch.empty(1, 1, 28, 28, device="meta"))
        shapes.append(seen)
    assert shapes[0] == shapes[1]
    one, two = (
        [layer for layer in on_meta(mini_alexnet, groups=groups).features if isinstance(layer, nn.Conv2d)]
        for groups in (1, 2)
    )
    assert [c.out_channels for c in one] == [c.out_channels for c in two]
    assert [a.weight.numel() // b.weight.numel() for a, b in zip(one, two, strict=True)] == [1, 2, 1, 2, 2]


def test_settings_that_do_not_fit_get_a_sentence():
    for call, sentence in (
        (lambda: alexnet("2013"), "variant must be one of '2012', '2014'; got '2013'"),
        (lambda: alexnet(initialisation="zero"), "initialisation must be one of"),
        (lambda: alexnet(dropout=1.5), "dropout probability"),
        (lambda: mini_alexnet(width=0), "width must be"),
        (lambda: mini_alexnet(groups=0), "groups must be"),
        (lambda: mini_alexnet(activation="swish"), "activation must be one of"),
        (lambda: mini_alexnet()(torch.rand(1, 3, 28, 28)), r"images \[N, 1, H, W\]"),
    ):
        with torch.device("meta"), pytest.raises(ValueError, match=sentence):
            call()
