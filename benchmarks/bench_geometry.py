"""`layer_table` beside torchinfo, and receptive fields beside torchscan; the truth is the support of a gradient."""

import copy
from collections.abc import Iterator

import torch
import torchinfo
from bench_table import attempt, row, side_by_side
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model

from course_utils.geometry import layer_table, receptive_field
from course_utils.models import resnet18

REPEATS = 5
NETWORKS = ("resnet18", "googlenet", "vgg16", "resnet152", "vit_b_16")  # torchvision's
INSTALL = "it is not installed: pip install -e '.[bench]'"


class Skip(nn.Module):
    """Two 3x3 convolutions around which a 1x1 leads: the union of both paths sees 5 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 1, kernel_size=(3, 3), padding=(1, 1))
        self.second = nn.Conv2d(1, 1, kernel_size=(3, 3), padding=(1, 1))
        self.shortcut = nn.Conv2d(1, 1, kernel_size=(1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) + self.shortcut(x)


# Layer tables


def beside_torchinfo(name: str, model: nn.Module, repeats: int) -> dict:
    """Time of a table, both on the meta device; what each reports goes into the note, judged by torch's counter."""
    image = (3, 224, 224)
    model.eval()

    def summary() -> torchinfo.ModelStatistics:
        return torchinfo.summary(model, (1, *image), device="meta", verbose=0)

    seconds = side_by_side(lambda: layer_table(model, image), summary, repeats=repeats)
    ours, theirs = layer_table(model, image).total, summary()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, *image, device="meta"))
    note = (
        f"params {ours.params:,} and {theirs.total_params:,} (torch: {sum(p.numel() for p in model.parameters()):,});"
        f" macs {ours.macs:,} and {theirs.total_mult_adds:,} (torch's counter: {counter.get_total_flops() // 2:,});"
        " torchinfo has no units, connections or receptive fields"
    )
    return row(
        f"layer_table of {name} at 224 pixels; theirs: torchinfo",
        *(1e3 * s for s in seconds),
        unit="ms",
        goal="ratio <= 1.3",
        note=note,
    )


# Receptive fields: of the last convolution, in pixels


def true_field(features: nn.Module, channels: int, side: int) -> int:
    """Height of the support of the central unit's gradient.

    Every weight is 1 / fan-in, so that no two paths cancel; a max pooling, whose gradient goes to one pixel,
    is an average over the same window, and batch norm is left out.
    """
    model = copy.deepcopy(features).double().eval()
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1 / p[0].numel() if p.ndim > 1 else 0)
    image = torch.ones(1, channels, side, side, dtype=torch.double, requires_grad=True)
    out = model(image)
    (gradient,) = torch.autograd.grad(out[0, :, out.shape[2] // 2, out.shape[3] // 2].sum(), image)
    touched = (gradient[0].sum(0) != 0).any(dim=1)
    if touched[0] or touched[-1]:
        raise ValueError(f"the field is cut by an image of {side} pixels: take a larger one")
    return int(touched.sum())


def torchscan_field(features: nn.Module, channels: int, side: int) -> float:
    """What torchscan's report says of the last convolution that ran."""
    try:
        from torchscan import crawl_module
    except ImportError:
        raise RuntimeError(INSTALL) from None
    layers = crawl_module(features, (channels, side, side))["layers"]
    return [each["metrics"]["receptive_field"]["value"] for each in layers if each["type"] == "Conv2d"][-1]


def field_row(name: str, features: nn.Module, channels: int, side: int) -> dict:
    """What we and torchscan answer, against the gradient; and the times."""
    theirs = torchscan_field(features, channels, side)
    truth = true_field(features, channels, side)
    ours = receptive_field(features, (channels, side, side)).size[0]
    seconds = side_by_side(
        lambda: receptive_field(features, (channels, side, side)),
        lambda: torchscan_field(features, channels, side),
        repeats=3,
    )
    note = f"autograd: {truth} px; {1e3 * seconds[0]:.0f} and {1e3 * seconds[1]:.0f} ms"
    if theirs != truth:
        note += "; torchscan gives each layer its own kernel, not the path up to it"
    what = f"Receptive field of {name}; theirs: torchscan"
    # no ratio: an answer is right or wrong
    return row(what, ours, theirs, unit="px", goal=f"ours == {truth}", note=note) | {"ratio": None}


def rows(repeats: int = REPEATS) -> Iterator[dict]:
    """Tables of five networks, and fields of two with shortcuts."""
    for name in NETWORKS:
        with torch.device("meta"):
            model = get_model(name, **({"init_weights": False} if name == "googlenet" else {}))
        yield from attempt(
            f"geometry: torchinfo, {name}",
            lambda name=name, model=model: beside_torchinfo(name, model, repeats),
        )
    resnet = nn.Sequential(*list(resnet18().children())[:-2]).eval()
    networks = {"ResNet-18's last block": (resnet, 3, 640), "two 3x3 beside a 1x1": (Skip(), 1, 64)}
    for name, network in networks.items():
        yield from attempt(
            f"geometry: receptive field of {name}",
            lambda name=name, network=network: field_row(name, *network),
        )
