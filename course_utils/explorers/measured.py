"""What torch measures for the pictures, as what JSON can hold, under keys: the one door to it.

    MEASURED["table/VGG-16/224/blocks"]    a layer table: `rows`, `names`, `total`; or `refused`, a sentence
    MEASURED["layers/ResNet-18"]           the layers of a network that a field is drawn for, and their fields
    MEASURED["photos"]                     names of the photos; "photo/koala" is one as a data URI
    MEASURED["effective/koala/ResNet-18/effective, untrained/layer2.1/14/14"]    one unit's effective field
    MEASURED["signals/56/1/0/1.0/0"]       of an untrained network: depth, skip, norm, scale, seed
    MEASURED["guesses/koala"]              target and ordered logits of a photo; "classes" are the classes' names

In a notebook a key is measured when it is first looked up, and kept; `export` writes the files that a web site
brings instead. Drawing functions take any mapping with these keys.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from course_utils.data import Photo, fashion_mnist, imagenet_classes, photos, preprocess, to_pixels
from course_utils.explorers import network, receptive_field, residual
from course_utils.explorers.network import COUNTED, block_of, blocks, spoken_names
from course_utils.explorers.receptive_field import BOX, SIZE, TRAINED, UNTRAINED
from course_utils.geometry import LayerTable, ReceptiveField, effective_receptive_field, layer_table
from course_utils.measurements import layer_signals, main_path
from course_utils.models.alexnet import ALEXNET_WIDTHS, AlexNet, alexnet
from course_utils.models.googlenet import googlenet
from course_utils.models.imagenet import imagenet_classifier
from course_utils.models.lenet import lenet5
from course_utils.models.resnet import ResNet, resnet18, resnet50, resnet_cifar
from course_utils.models.vgg import VGG, VGG_CONFIGURATIONS, vgg16


class Measured(dict):
    """Measures what is looked up with `[key]` and keeps it; `get` and `in` see only what is there already."""

    def __missing__(self, key: str) -> Any:
        kind, *parts = key.split("/")
        if kind not in KINDS:
            raise KeyError(f"Nothing is measured under {key!r}; keys begin with {', '.join(KINDS)}.")
        self[key] = KINDS[kind](*parts)
        return self[key]


MEASURED = Measured()


def export(folder: str | Path, kinds: Iterable[str] | None = None) -> dict[str, int]:
    """Write what a site brings into `folder`; returns the bytes of each file by its name.

    `tables.json`, `layers.json`, `photos.json`, `signals.json` and `guesses.json` hold keys and what is under
    them. `effective/` holds one file for the middle unit of each layer, photo and network, named in `effective.json`.
    `kinds` are those of EXPORTED to write, all if not given. Takes minutes. Raises ValueError for another kind.
    """
    folder, written = Path(folder), {}
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, found: Any) -> None:
        text = json.dumps(found, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        written[name] = (folder / name).write_text(text + "\n", encoding="utf-8")

    for kind in EXPORTED if kinds is None else kinds:
        if kind not in EXPORTED:
            raise ValueError(f"{kind!r} is not exported; there are {', '.join(EXPORTED)}.")
        keys = list(EXPORTED[kind]())
        if kind == "effective":
            (folder / kind).mkdir(exist_ok=True)
            names = {key: f"effective/{number}.json" for number, key in enumerate(keys)}
            for key, name in names.items():
                write(name, {key: MEASURED[key]})
            write("effective.json", names)
        else:
            write(f"{kind}.json", {key: MEASURED[key] for key in keys})
    return written


_BUILD: dict[str, Callable[[int], nn.Module]] = {
    "LeNet-5": lambda size: lenet5(input_size=28 if size == 28 else 32),
    "AlexNet": lambda size: alexnet("2012"),
    "VGG-16": lambda size: vgg16(),
    "GoogLeNet": lambda size: googlenet(),
    "ResNet-18": lambda size: resnet18(),
    "ResNet-50": lambda size: resnet50(),
}
_SUMMED = ("units", "weights", "biases", "connections", "macs")


@lru_cache(128)
def whole_table(name: str, size: int) -> LayerTable | str:
    """`layer_table` of a network for images of `size` pixels a side, or the sentence that says why there is none."""
    try:
        with torch.device("meta"):  # no memory for the weights
            model = _BUILD[name](size)
        return layer_table(model, (network.NETWORKS[name].in_channels, size, size))
    except ValueError as error:
        return str(error)


def _table(name: str, size: str, by: str) -> dict[str, Any]:
    whole, depth = whole_table(name, int(size)), network.NETWORKS[name].depth
    if isinstance(whole, str):
        return {"refused": whole}
    counted = whole.only(*COUNTED)
    rows = list(counted)
    if by == "blocks":
        rows = [_block(run, depth) for run in blocks(whole, depth) if any(row.kind in COUNTED for row in run)]
    total = {n: getattr(counted.total, n) for n in _SUMMED} | {"params": whole.total.params}
    return {"names": spoken_names(rows), "rows": [_row(row) for row in rows], "total": total}


def _block(run: list, depth: int) -> Any:
    """One row for a run of layers: the sum of those that count, with the shape and field of the last."""
    if len(run) == 1:
        return run[0]
    first, last, counted = run[0], run[-1], [row for row in run if row.kind in COUNTED]
    sums = {n: sum(getattr(row, n) for row in counted) for n in _SUMMED}
    kind, field = counted[0].kind if len(counted) == 1 else "block", last.receptive_field
    name, shapes = block_of(first.name, depth), (first.in_shape, last.out_shape)
    return network.LayerRow(name, kind, *shapes, **sums, receptive_field=field)


def _row(row: Any) -> list[Any]:
    found = [row.name, row.kind, list(row.in_shape), list(row.out_shape), *(getattr(row, n) for n in _SUMMED)]
    return [*found, _field(row.receptive_field)]


def _field(field: ReceptiveField | None) -> list[list[int]] | None:
    return field and [list(field.size), list(field.stride), list(field.start)]


@dataclass(frozen=True)
class FieldNetwork:
    """A network whose fields are shown: layers whose names agree in their first `depth` parts are one block."""

    build: Callable[[], nn.Module]
    depth: int
    trained: bool = False  # whether its trained weights are on this computer


_ALEXNET = {"num_classes": 1, "in_channels": 3, "stem": (11, 4, 2), "hidden": 1, "dropout_first": True}
_FIELD_BUILD = {  # the first two without the weight of their classifiers
    "AlexNet": FieldNetwork(lambda: AlexNet(ALEXNET_WIDTHS["2014"], **_ALEXNET), 2),
    "VGG-16": FieldNetwork(lambda: VGG(VGG_CONFIGURATIONS["D"], num_classes=1, in_channels=3, hidden=1), 2),
    "GoogLeNet": FieldNetwork(lambda: googlenet(aux_logits=False), 1),
    "ResNet-18": FieldNetwork(resnet18, 2),
    "ResNet-50": FieldNetwork(resnet50, 2),
    "EfficientNet-Lite0": FieldNetwork(imagenet_classifier, 2, trained=True),
}


def _layers(name: str) -> dict[str, Any]:
    """The convolutions and pooling layers of a network, or its blocks, up to the last feature map."""
    entry = _FIELD_BUILD[name]
    with torch.device("cpu" if entry.trained else "meta"):  # no memory for the weights
        model = entry.build()
    runs = [
        run
        for run in blocks(layer_table(model, (3, SIZE, SIZE)), entry.depth)
        if any(row.kind in ("conv", "pool") for row in run) and run[-1].receptive_field.stride != (0, 0)
    ]
    ends = [run[-1] for run in runs if not run[-1].name.startswith("avgpool")]
    names = [block_of(row.name, entry.depth) for row in ends]
    labels = spoken_names(ends)
    if entry.trained:
        labels = ["stem", *(f"block {i}" for i in range(1, len(ends) - 1)), "head"]
    elif entry.depth == 1 or any(name.startswith("layer") for name in names):
        labels = names
    rows = zip(names, labels, ends, strict=True)
    return {
        "fields": [BOX, UNTRAINED, TRAINED] if entry.trained else [BOX, UNTRAINED],
        "layers": [[n, label, list(row.out_shape), *_field(row.receptive_field)] for n, label, row in rows],
    }


def _effective(photo: str, name: str, effective: str, label: str, row: str, column: str) -> dict[str, Any]:
    """The effective field of one unit on one photo."""
    layer = next(entry[0] for entry in MEASURED[f"layers/{name}"]["layers"] if entry[1] == label)
    image, unit = photo_tensor(photo)[None], (int(row), int(column))
    heat = effective_receptive_field(model_of(name, effective), image, layer, unit)
    return {"sd": list(standard_deviation(heat)), "picture": _heat_picture(heat)}


def standard_deviation(heat: Tensor) -> tuple[float, float]:
    """In pixels, of a map [H, W] taken as a distribution over rows and over columns."""
    total = heat.sum().clamp(min=1e-30)
    found = []
    for dim in (1, 0):
        weights, places = heat.sum(dim) / total, torch.arange(heat.shape[1 - dim], dtype=heat.dtype)
        centre = (weights * places).sum()
        found.append(float((weights * (places - centre) ** 2).sum().sqrt()))
    return found[0], found[1]


@lru_cache(4)
def model_of(name: str, effective: str) -> nn.Module:
    """The network with trained weights, or with fresh ones and batch norm statistics from the photos."""
    entry = _FIELD_BUILD[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = entry.build()
        if effective == UNTRAINED:
            for module in model.modules() if entry.trained else ():
                getattr(module, "reset_parameters", lambda: None)()
            # Fresh statistics would normalise nothing, and the skips would be drowned or would drown the rest.
            update_bn([torch.stack([photo_tensor(photo.name) for photo in photos()[:4]])], model)
    return model.eval().requires_grad_(False)


@cache
def photo_tensor(name: str) -> Tensor:
    """The photo as the networks take it, [3, 224, 224]."""
    return preprocess(next(photo for photo in photos() if photo.name == name).image, SIZE)


def _photo(name: str) -> str:
    pixels = (to_pixels(photo_tensor(name)) * 255).round().byte().permute(1, 2, 0)
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


_IMAGES = 16


def _signals(depth: str, skip: str, norm: str, scale: str, seed: str) -> dict[str, Any]:
    """The signals in one of the untrained networks of residual_explorer."""
    model = deepcopy(untrained(int(depth), norm == "1", int(seed)))
    for block in model.blocks:
        block.skip = skip == "1"  # shortcuts of option A have no parameters, so the twins share their weights
    with torch.no_grad():
        for layer in main_path(model):
            layer.weight.mul_(float(scale))
    found = layer_signals(model, *_images())
    # Five digits: three are shown, and the rest would double what a site sends.
    sizes = {name: [float(f"{v:.5g}") for v in getattr(found, name)] for name in ("activations", "gradients")}
    return {**sizes, "loss": found.loss}


@cache
def _images() -> tuple[Tensor, Tensor]:
    some = fashion_mnist()[1].subset(_IMAGES)
    return some.images.contiguous(memory_format=torch.channels_last), some.labels


@lru_cache(64)
def untrained(depth: int, norm: bool, seed: int) -> ResNet:
    """The network of residual_explorer before training; its shortcuts are set when it is measured."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = resnet_cifar(depth, in_channels=1, widths=residual.WIDTHS, stem=residual.STEM, norm=norm)
    return model.to(memory_format=torch.channels_last)


def _guess(name: str) -> dict[str, Any]:
    photo = next(photo for photo in photos() if photo.name == name)
    return guess(photo, imagenet_logits(photo))


def guess(photo: Photo, logits: Tensor) -> dict[str, Any]:
    """What topk_explorer draws of a photo and its logits [classes]: classes in `order`, and `logits` so ordered.

    The best come first; of classes with equal logits the target is last.
    """
    shortest = [float(str(value)) for value in logits.detach().float().cpu().numpy()]  # of single precision
    target = int(photo.label)
    order = sorted(range(len(shortest)), key=lambda i: (-shortest[i], i == target, i))
    ranked = [shortest[i] for i in order]
    return {"picture": _thumbnail(photo.image), "target": target, "order": order, "logits": ranked}


@torch.inference_mode()
def imagenet_logits(photo: Photo) -> Tensor:
    """Logits [1000] of the offline classifier."""
    return _classifier()(preprocess(photo.image)[None])[0]


@cache
def _classifier() -> nn.Module:
    return imagenet_classifier().eval()


def _thumbnail(image: Image.Image, side: int = 224) -> str:
    """The centre of a photo, as a classifier gets it, as a JPEG data URI of about 10 KB."""
    image = image.convert("RGB")
    half = min(image.size) * 7 / 16  # data.preprocess keeps the central 224 of 256 pixels
    x, y = (length / 2 for length in image.size)
    box = (x - half, y - half, x + half, y + half)
    small = image.resize((side, side), Image.Resampling.BICUBIC, box=box, reducing_gap=3)
    return _data_uri(small, "JPEG", quality=60)


KINDS: dict[str, Callable[..., Any]] = {
    "table": _table,
    "layers": _layers,
    "photos": lambda: [photo.name for photo in photos()],
    "photo": _photo,
    "effective": _effective,
    "signals": _signals,
    "guesses": _guess,
    "classes": lambda: list(imagenet_classes()),
}


def _middle_units() -> Iterator[str]:
    """Keys of the effective fields of the middle unit of each layer, on each photo."""
    for name in receptive_field.FIELD_NETWORKS:
        known = MEASURED[f"layers/{name}"]
        shown = known["fields"][1:], known["layers"], MEASURED["photos"]
        for effective, (_, label, shape, *_), photo in product(*shown):
            yield receptive_field.effective_key(photo, name, effective, label, shape[1] // 2, shape[2] // 2)


EXPORTED: dict[str, Callable[[], Iterable[str]]] = {
    "tables": network.every_key,
    "layers": lambda: [f"layers/{name}" for name in receptive_field.FIELD_NETWORKS],
    "photos": lambda: ["photos", *(f"photo/{name}" for name in MEASURED["photos"])],
    "signals": residual.every_key,
    "guesses": lambda: ["photos", "classes", *(f"guesses/{name}" for name in MEASURED["photos"])],
    "effective": _middle_units,
}
