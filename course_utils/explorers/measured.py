"""What torch measures for the pictures, as what JSON can hold, under keys such as "photo/koala": see KINDS.

In a notebook a key is measured once, when it is first looked up; a site brings files of tools/site_data.py.
"""

import base64
import io
from collections.abc import Callable, Iterable
from dataclasses import astuple, replace
from functools import cache, lru_cache
from itertools import groupby
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from course_utils import data, models
from course_utils.explorers import network, residual
from course_utils.explorers.description import MEASURED
from course_utils.explorers.receptive_field import BOX, SIZE, TRAINED, UNTRAINED
from course_utils.geometry import LayerRow, LayerTable, effective_receptive_field, layer_table
from course_utils.measurements import layer_signals, main_path

COUNTED = ("conv", "pool", "linear")  # the layers whose units and connections lecture 12 counts
_SUMMED = ("units", "weights", "biases", "connections", "macs")
_CLASSIFIER = "EfficientNet-Lite0"  # whose trained weights are on this computer
FIELD_BUILD: dict[str, Callable[[], nn.Module]] = {  # the first two without the weight of their classifiers
    "AlexNet": lambda: models.alexnet(num_classes=1, hidden=1),
    "VGG-16": lambda: models.vgg16(num_classes=1, hidden=1),
    "GoogLeNet": lambda: models.googlenet(aux_logits=False),
    "ResNet-18": models.resnet18,
    "ResNet-50": models.resnet50,
    _CLASSIFIER: models.imagenet_classifier,
}


def measure(key: str) -> Any:
    """What is under a key; raises KeyError for one of another kind."""
    kind, *parts = key.split("/")
    if kind not in KINDS:
        raise KeyError(f"Nothing is measured under {key!r}; keys begin with {', '.join(KINDS)}.")
    return KINDS[kind](*parts)


def _table(name: str, size: str, by: str) -> dict[str, Any]:
    try:
        with torch.device("meta"):  # no memory for the weights
            model = eval(network.call(name, int(size)), vars(models))  # just what the picture names
        whole = layer_table(model, (network.NETWORKS[name].in_channels, int(size), int(size)))
    except ValueError as error:
        return {"refused": str(error)}
    counted = whole.only(*COUNTED)
    rows, total = list(counted) if by == "layers" else _block_rows(whole, name), counted.total
    sums = {n: getattr(total, n) for n in _SUMMED} | {"params": whole.total.params}
    return {"names": _spoken_names(rows), "rows": [astuple(row)[:-1] for row in rows], "total": sums}


def _block_rows(table: LayerTable, name: str) -> list[LayerRow]:
    """A row for each block with layers that count: the sum of these, with the shape and field of its last layer."""
    rows, depth = [], 1 if name == "GoogLeNet" else 2  # parts of a layer's name that name its block
    for block, run in groupby(table, lambda row: ".".join(row.name.split(".")[:depth])):
        first, *more = run
        counted = [row for row in (first, *more) if row.kind in COUNTED]
        if counted and more:
            sums = {n: sum(getattr(row, n) for row in counted) for n in _SUMMED}
            kind = counted[0].kind if len(counted) == 1 else "block"
            counted = [replace(more[-1], name=block, kind=kind, in_shape=first.in_shape, **sums)]
        rows += counted
    return rows


def _spoken_names(rows: Iterable[LayerRow]) -> list[str]:
    """What to call each layer: numbered by kind where its own name only says its place ("features.3")."""
    names, weighted, pools = [], 0, 0
    for row in rows:
        weighted += row.kind in ("conv", "linear")
        pools += row.kind == "pool"
        word = {"conv": f"conv{weighted}", "linear": f"fc{weighted}", "pool": f"pool{pools}"}
        placed = row.name.split(".")[0] in ("features", "classifier") or row.name.isdigit()
        names.append(word.get(row.kind, row.name) if placed else row.name)
    return names


def _layers(name: str) -> dict[str, Any]:
    """The convolutions and pooling layers of a network, or its blocks, up to the last feature map."""
    with torch.device("meta"):
        table = layer_table(FIELD_BUILD[name](), (3, SIZE, SIZE))
    rows = _block_rows(table, name)
    rows = [r for r in rows if r.kind != "linear" and r.name != "avgpool" and r.receptive_field.stride[0]]
    fields, labels = [BOX, UNTRAINED], _spoken_names(rows)
    if name == _CLASSIFIER:
        fields.append(TRAINED)
        labels = ["stem", *(f"block {i}" for i in range(1, len(rows) - 1)), "head"]
    named = zip(rows, labels, strict=True)
    layers = [[row.name, label, row.out_shape, *astuple(row.receptive_field)] for row, label in named]
    return {"fields": fields, "layers": layers}


def _effective(photo: str, name: str, effective: str, label: str, row: str, column: str) -> dict[str, Any]:
    """The effective field of one unit on one photo."""
    layer = next(entry[0] for entry in MEASURED[f"layers/{name}"]["layers"] if entry[1] == label)
    image = data.preprocess(photos()[photo].image, SIZE)[None]
    heat = effective_receptive_field(model_of(name, effective), image, layer, (int(row), int(column)))
    return {"sd": standard_deviation(heat), "picture": _heat_picture(heat)}


def standard_deviation(heat: Tensor) -> tuple[float, float]:
    """In pixels, of a map [H, W] taken as a distribution over rows and over columns."""
    found = []
    for weights in (heat.sum(1), heat.sum(0)):
        shares, places = weights / weights.sum().clamp(min=1e-30), torch.arange(len(weights))
        found.append(float((shares * (places - (shares * places).sum()) ** 2).sum().sqrt()))
    return found[0], found[1]


@lru_cache(4)
def model_of(name: str, effective: str) -> nn.Module:
    """The network with trained weights, or with fresh ones and batch norm statistics from the photos."""
    if effective == TRAINED:
        return models.imagenet_classifier().requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = FIELD_BUILD[name]()
        for layer in model.modules() if name == _CLASSIFIER else ():
            getattr(layer, "reset_parameters", lambda: None)()
        four = [*photos().values()][:4]  # fresh statistics normalise nothing: skips drown, or drown the rest
        update_bn([torch.stack([data.preprocess(photo.image, SIZE) for photo in four])], model)
    return model.eval().requires_grad_(False)


@cache
def photos() -> dict[str, data.Photo]:
    """The course's photographs by name."""
    return {photo.name: photo for photo in data.photos()}


def picture(photo: data.Photo) -> str:
    """The part of a photo that networks see, as a JPEG data URI of about 10 KB."""
    pixels = (data.to_pixels(data.preprocess(photo.image, SIZE)) * 255).round().byte().permute(1, 2, 0)
    return _data_uri(Image.fromarray(pixels.numpy()), "JPEG", quality=62)


def _data_uri(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, optimize=True, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode()


def _heat_picture(heat: Tensor, cell: int = 4, levels: int = 32) -> str:
    """The map in cells of 4 × 4 pixels, from transparent over purple and orange to yellow, as a PNG data URI."""
    cells = nn.functional.avg_pool2d(heat[None, None], cell)[0, 0]
    # the square root, because most of what is worth seeing is far below the peak
    level = ((cells / cells.max().clamp(min=1e-30)).sqrt() * (levels - 1)).round().byte()
    stops = torch.tensor([[60.0, 213, 255], [10, 94, 240], [110, 0, 120]])  # red, green, blue
    colours = nn.functional.interpolate(stops[None], levels, mode="linear", align_corners=True)[0].T
    picture = Image.fromarray(level.numpy()).convert("P")
    picture.putpalette(colours.round().int().flatten().tolist())
    opacity = bytes([0, *(min(225, round(40 + 400 * n / levels)) for n in range(1, levels))])
    return _data_uri(picture, "PNG", transparency=opacity)


def _signals(depth: str, skip: str, norm: str, scale: str, seed: str) -> dict[str, Any]:
    """The signals in one of the untrained networks of residual_explorer; twins have the same weights."""
    options = {"widths": residual.WIDTHS, "stem": residual.STEM, "skip": skip == "1", "norm": norm == "1"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed))
        model = models.resnet_cifar(int(depth), in_channels=1, **options)
    model.to(memory_format=torch.channels_last)
    for layer in main_path(model):
        layer.weight.data *= float(scale)
    found = layer_signals(model, *_images())
    # Five digits: three are shown, and the rest would double what a site sends.
    sizes = {name: [float(f"{v:.5g}") for v in getattr(found, name)] for name in ("activations", "gradients")}
    return {**sizes, "loss": found.loss}


@cache
def _images() -> tuple[Tensor, Tensor]:
    some = data.fashion_mnist()[1].subset(16)
    return some.images.contiguous(memory_format=torch.channels_last), some.labels


def guess(photo: data.Photo, logits: Tensor) -> dict[str, Any]:
    """What topk_explorer draws of a photo and its logits [classes]: best first, and of equal ones the target last."""
    shortest = [float(str(value)) for value in logits.detach().float().cpu().numpy()]  # of single precision
    target = int(photo.label)
    order = sorted(range(len(shortest)), key=lambda i: (-shortest[i], i == target, i))
    return {"target": target, "order": order, "logits": [shortest[i] for i in order]}


@torch.inference_mode()
def imagenet_logits(photo: data.Photo) -> Tensor:
    """Logits [1000] of the offline classifier."""
    return model_of(_CLASSIFIER, TRAINED)(data.preprocess(photo.image)[None])[0]


KINDS: dict[str, Callable[..., Any]] = {  # of keys, each with an example
    "table": _table,  # table/VGG-16/224/blocks: its `rows`, `names`, `total`; or `refused`, a sentence
    "layers": _layers,  # layers/ResNet-18: the layers that a field is drawn for, and their fields
    "photos": lambda: [*photos()],  # their names
    "photo": lambda name: picture(photos()[name]),  # photo/koala: as a data URI
    "effective": _effective,  # effective/koala/ResNet-18/effective, untrained/layer2.1/14/14: of a unit
    "signals": _signals,  # signals/56/1/0/1.0/0: of an untrained network: depth, skip, norm, scale, seed
    "guesses": lambda name: guess(photos()[name], imagenet_logits(photos()[name])),  # guesses/koala
    "classes": lambda: list(data.imagenet_classes()),  # their names
}
