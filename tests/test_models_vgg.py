from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.models.vgg import (
    VGG_CONFIGURATIONS,
    kernel_and_channels,
    mini_vgg,
    vgg,
    vgg11,
    vgg13,
    vgg16,
    vgg19,
)

torchvision_models = pytest.importorskip("torchvision.models")

OURS = {"vgg11": vgg11, "vgg13": vgg13, "vgg16": vgg16, "vgg19": vgg19}
NAMES = [name + suffix for name in OURS for suffix in ("", "_bn")]

# Parameters, and multiply-adds at 224x224 in units of 1e9 (Table 2 of the paper rounds to 133, 133, 134, 138, 144 M).
COUNTS = {
    "A": (132_863_336, 7.609),
    "A-LRN": (132_863_336, 7.609),
    "B": (133_047_848, 11.308),
    "C": (133_638_952, 11.771),
    "D": (138_357_544, 15.470),
    "E": (143_667_240, 19.632),
}
BATCH_NORM_PARAMETERS = {"A": 5_504, "B": 5_888, "C": 8_448, "D": 8_448, "E": 11_008}


def on_meta(make, *args, **kwargs):
    with torch.device("meta"):
        return make(*args, **kwargs)


def ours_on_meta(name):
    return on_meta(OURS[name.removesuffix("_bn")], batch_norm=name.endswith("_bn"))


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def macs(model, size):
    total = 0

    def hook(layer, inputs, output):
        nonlocal total
        total += output.numel() * layer.weight[0].numel()

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(hook)
    model(torch.empty(1, 3, size, size, device="meta"))
    return total


@pytest.mark.parametrize("letter", COUNTS)
def test_the_papers_table(letter):
    model = on_meta(vgg, letter)
    count, giga_macs = COUNTS[letter]
    assert parameters(model) == count
    assert round(macs(model, 224) / 1e9, 3) == giga_macs
    if letter in BATCH_NORM_PARAMETERS:
        assert parameters(on_meta(vgg, letter, batch_norm=True)) == count + BATCH_NORM_PARAMETERS[letter]


def test_the_share_of_the_linear_layers():
    model = on_meta(vgg16)
    assert parameters(model.classifier) == 123_642_856
    assert parameters(model.classifier[0]) == 102_764_544


@pytest.mark.parametrize("letter", ["A", "B", "D", "E"])
def test_the_configurations_are_torchvisions(letter):
    flat = []
    for stage in VGG_CONFIGURATIONS[letter]:
        assert all(kernel_and_channels(layer)[0] == 3 for layer in stage)
        flat += [*(kernel_and_channels(layer)[1] for layer in stage), "M"]
    assert flat == torchvision_models.vgg.cfgs[letter]


def test_what_tells_the_configurations_apart():
    # Table 1: C is B with a 1x1 in each of the last three stages, D has a 3x3 there, and E one more.
    b, c, d, e = (VGG_CONFIGURATIONS[letter] for letter in "BCDE")
    for stage in range(2):
        assert b[stage] == c[stage] == d[stage] == e[stage]
    for stage, channels in zip(range(2, 5), (256, 512, 512), strict=True):
        assert c[stage] == (*b[stage], f"conv1-{channels}")
        assert d[stage] == (*b[stage], f"conv3-{channels}")
        assert e[stage] == (*d[stage], f"conv3-{channels}")
    a, a_lrn = VGG_CONFIGURATIONS["A"], VGG_CONFIGURATIONS["A-LRN"]
    assert a_lrn == (("conv3-64", "LRN"), *a[1:])


@pytest.mark.parametrize(
    "name", [n if n in ("vgg11_bn", "vgg16") else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
)
def test_names_shapes_and_features_are_torchvisions(name):
    torch.manual_seed(0)
    theirs, ours = on_meta(getattr(torchvision_models, name)), ours_on_meta(name)
    shapes = lambda model: {key: value.shape for key, value in model.state_dict().items()}  # noqa: E731
    assert shapes(ours) == shapes(theirs)
    state = {
        key: 0.1 * torch.rand_like(value, device="cpu") if value.is_floating_point() else torch.tensor(1)
        for key, value in theirs.features.state_dict().items()
    }
    for model in (theirs, ours):
        model.features.load_state_dict(state, assign=True)
        model.eval()
    with torch.inference_mode():
        for height, width in ((64, 64), (32, 80)):
            images = torch.randn(1, 3, height, width)
            expected = theirs.avgpool(theirs.features(images))
            assert torch.allclose(ours.avgpool(ours.features(images)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg11", "vgg16_bn", "vgg19"])
def test_outputs_are_torchvisions(name):
    torch.manual_seed(0)
    theirs, ours = getattr(torchvision_models, name)().eval(), ours_on_meta(name)
    ours.load_state_dict(theirs.state_dict(), assign=True)
    ours.eval()
    assert parameters(ours) == parameters(theirs)
    with torch.inference_mode():
        for height, width in ((224, 224), (64, 96)):
            images = torch.randn(1, 3, height, width)
            assert torch.allclose(ours(images), theirs(images), atol=1e-5)


@pytest.mark.parametrize("letter", ["A-LRN", "C"])
def test_the_other_configurations_compute(letter):
    model = vgg(letter, num_classes=10, width=8, hidden=16)
    kernels = [layer.kernel_size[0] for layer in model.features if isinstance(layer, nn.Conv2d)]
    assert kernels == {"A-LRN": [3] * 8, "C": [3, 3, 3, 3, 3, 3, 1, 3, 3, 1, 3, 3, 1]}[letter]
    norms = [layer for layer in model.features if isinstance(layer, nn.LocalResponseNorm)]
    assert len(norms) == (letter == "A-LRN")
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    "make", [vgg11, vgg16, lambda: vgg("C", batch_norm=True), lambda: mini_vgg(in_channels=3)]
)
def test_any_size_that_fits_works_and_none_below(make):
    model = on_meta(make)
    smallest = model.min_size
    for height, width in ((smallest, smallest), (smallest, smallest + 41), (smallest + 100, smallest + 7)):
        logits = model(torch.empty(2, 3, height, width, device="meta"))
        assert logits.shape == (2, model.classifier[-1].out_features)
    too_small = torch.empty(2, 3, smallest - 1, smallest, device="meta")
    with pytest.raises(ValueError, match=f"VGG needs .* at least {smallest}x{smallest} pixels; got"):
        model(too_small)
    with pytest.raises(RuntimeError):  # torch itself
        model.features(too_small)


def test_the_smallest_image_of_the_paper_is_32_pixels():
    assert all(on_meta(vgg, letter).min_size == 32 for letter in VGG_CONFIGURATIONS)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"configuration": (2, 2, 4), "width": 8},
        {"configuration": (1, 1, 2), "batch_norm": False},
        {"configuration": (1, 2, 3), "initialisation": "glorot", "batch_norm": False},
        {"configuration": (2, 2, 2, 1), "stem": (3, 1, 1), "initialisation": "torch", "width": 16},
        {"initialisation": "normal", "dropout": 0.5, "hidden": 64},
        {"num_classes": 4, "in_channels": 3},
    ],
    ids=str,
)
def test_gradients_reach_every_parameter_of_the_small_one(options):
    torch.manual_seed(0)
    model = mini_vgg(**options)
    classes = options.get("num_classes", 10)
    logits = model(torch.rand(64, options.get("in_channels", 1), 28, 28))
    assert logits.shape == (64, classes)
    F.cross_entropy(logits, torch.arange(64) % classes).backward()
    # Batch norm subtracts the mean, and with it the bias before it: that gradient is zero but for rounding.
    idle = {
        f"features.{index}.bias"
        for index, (layer, following) in enumerate(pairwise(model.features))
        if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d)
    }
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and (name in idle or parameter.grad.abs().sum() > 0), name


def test_counts_build_as_many_layers():
    model = mini_vgg((1, 3, 2), width=8)
    channels = [layer.out_channels for layer in model.features if isinstance(layer, nn.Conv2d)]
    assert channels == [8, 16, 16, 16, 32, 32]
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in model.features) == 3


@pytest.mark.parametrize(
    ("initialisation", "std"),
    [
        ("he", lambda fan_in, fan_out: (2 / fan_in) ** 0.5),
        ("glorot", lambda fan_in, fan_out: (2 / (fan_in + fan_out)) ** 0.5),
        ("normal", lambda fan_in, fan_out: 0.1),
    ],
)
def test_initialisations_have_the_spread_they_name(initialisation, std):
    torch.manual_seed(0)
    model = mini_vgg(initialisation=initialisation, width=64, hidden=512, batch_norm=False)
    for layer in [*model.features[2:], *model.classifier]:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            fan_out = layer.weight.numel() // layer.weight.shape[1]
            assert layer.weight.std().item() == pytest.approx(std(fan_in, fan_out), rel=0.05)
            assert not layer.bias.any()


def test_he_keeps_the_signal_and_the_papers_normal_does_not_in_a_narrow_deep_net():
    images = torch.randn(32, 1, 28, 28)
    spread = {}
    for initialisation in ("he", "normal"):
        torch.manual_seed(0)
        model = mini_vgg((4, 4, 4), width=8, batch_norm=False, initialisation=initialisation)
        spread[initialisation] = model.features(images).std().item()
    assert spread["he"] > 10 * spread["normal"]


def test_settings_that_do_not_fit_get_a_sentence():
    for call, sentence in (
        (lambda: vgg("F"), "configuration must be one of 'A', 'A-LRN', 'B', 'C', 'D', 'E'; got 'F'"),
        (lambda: vgg("F"), "configuration must be one of"),
        (lambda: mini_vgg(()), "number of stages must be one of 1, 2, 3, 4, 5; got 0"),
        (lambda: mini_vgg((1, 0)), "stage 2 must be a whole number of at least 1; got 0"),
        (lambda: mini_vgg(width=0), "width must be"),
        (lambda: mini_vgg(initialisation="zero"), "initialisation must be one of"),
        (lambda: mini_vgg()(torch.rand(1, 3, 28, 28)), r"images \[N, 1, H, W\]"),
        (lambda: kernel_and_channels("LRN"), 'A convolution is "conv'),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()
