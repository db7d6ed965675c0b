"""topk_explorer: a photo, a classifier's first guesses, and whether the target is among the first k."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from course_utils.explorers import svg
from course_utils.explorers.base import Explorer, Picture, choice, slider
from course_utils.metrics import target_ranks

_WIDTH, _TOP, _ROW, _ROWS = 880, 92, 30, 10
_PHOTO = 276  # pixels on each side
_RANK_X, _NAME_X, _BAR_X, _BAR_WIDTH = 330, 340, 530, 210


def topk_explorer(
    photos: Sequence[Any] | None = None,
    logits: Tensor | None = None,
    classes: Sequence[str] | None = None,
    **initial: Any,
) -> Explorer:
    """A photo beside a classifier's first guesses: is the target among the first k?

    photos: objects with `name`, `image` (PIL) and `label`, an index into `classes`; the course's own
    photographs if not given. logits: float [len(photos), len(classes)]; those of the offline ImageNet
    classifier if not given. classes: ImageNet's names if not given.
    Controls, which `initial` may set: photo (its name), k (1 to 10), temperature (the logits are divided by
    it before the softmax).
    Raises ValueError where photos, logits and classes do not fit together, and for a name or value that the
    controls do not offer.
    """
    if photos is None:
        from course_utils.data import photos as course_photos

        photos = course_photos()
        logits = _course_logits() if logits is None and classes is None else logits
    if classes is None:
        from course_utils.data import imagenet_classes

        classes = imagenet_classes()
    if logits is None:
        logits = _imagenet_logits(photos)
    guesses = {g.photo: g for g in _all_guesses(photos, logits, classes)}
    controls = {
        "photo": choice("photo", [(name.replace("_", " "), name) for name in guesses], next(iter(guesses))),
        "k": slider("k", 1, 1, min(_ROWS, len(classes))),
        "temperature": slider("temperature", 1.0, 0.1, 5.0, 0.1),
    }
    title = "A classifier's first guesses for a photo: right or wrong at k, at any temperature."
    explorer = Explorer(title, controls, lambda values: draw_topk(guesses[values["photo"]], **values))
    return explorer.set(**initial) if initial else explorer


# --- the numbers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guesses:
    """What a classifier says about one photo, best first; of classes with equal logits the target is last."""

    photo: str
    picture: str  # data URI
    target: int
    rank: int  # of the target, counted from 1
    order: tuple[int, ...]
    logits: Tensor  # in that order
    names: tuple[str, ...]  # of all classes, in their own order


def _all_guesses(photos: Sequence[Any], logits: Tensor, classes: Sequence[str]) -> list[Guesses]:
    if not photos:
        raise ValueError("topk_explorer needs at least one photo.")
    if logits.shape != (len(photos), len(classes)):
        raise ValueError(
            f"logits must be of shape [{len(photos)}, {len(classes)}] (photos, classes), "
            f"not {list(logits.shape)}."
        )
    names = [photo.name for photo in photos]
    if len(set(names)) < len(names):
        raise ValueError("Each photo needs a name of its own.")
    logits = logits.detach().float().cpu()
    ranks = target_ranks(logits, torch.tensor([photo.label for photo in photos]))
    return [
        _guesses(photo, row, int(rank) + 1, tuple(classes))
        for photo, row, rank in zip(photos, logits, ranks, strict=True)
    ]


def _guesses(photo: Any, logits: Tensor, rank: int, classes: tuple[str, ...]) -> Guesses:
    order = logits.argsort(descending=True, stable=True).tolist()
    order.remove(photo.label)
    order.insert(rank - 1, photo.label)
    return Guesses(
        photo.name, _thumbnail(photo.image), photo.label, rank, tuple(order), logits[order], classes
    )


def _thumbnail(image: Any, side: int = 224) -> str:
    """The centre of a photo, as a classifier gets it, as a JPEG data URI of about 10 KB."""
    from PIL import Image

    image = image.convert("RGB")
    half = min(image.size) * 7 / 16  # data.preprocess keeps the central 224 of 256 pixels
    x, y = (length / 2 for length in image.size)
    box = (x - half, y - half, x + half, y + half)
    image = image.resize((side, side), Image.Resampling.BICUBIC, box=box, reducing_gap=3)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


@cache
def _course_logits() -> Tensor:
    from course_utils.data import photos

    return _imagenet_logits(photos())


@torch.inference_mode()
def _imagenet_logits(photos: Sequence[Any]) -> Tensor:
    from course_utils.data import preprocess
    from course_utils.models import imagenet_classifier

    classifier = imagenet_classifier().eval()
    return torch.cat([classifier(preprocess(photo.image)[None]) for photo in photos])


# --- the picture --------------------------------------------------------------------------------------


def draw_topk(guesses: Guesses, photo: str, k: int, temperature: float) -> Picture:
    """The picture of one photo at one k and temperature."""
    probabilities = (guesses.logits / temperature).softmax(0).tolist()
    rank, right = guesses.rank, guesses.rank <= k
    shown = list(range(min(_ROWS, len(guesses.order))))
    if rank > len(shown):
        shown.append(rank - 1)
    height = _TOP + (_ROWS + 1) * _ROW + 44
    verdict, remark = _verdict(guesses, k), _remark(probabilities, k, temperature)
    body = [
        svg.text(_RANK_X - 18, 28, verdict, 16, bold=True),
        svg.text(_RANK_X - 18, 52, remark),
        svg.text(_RANK_X - 18, 72, "The ranks do not depend on the temperature.", fill=svg.MUTED),
        svg.image(12, 12, _PHOTO, _PHOTO, guesses.picture, photo),
        *_photo_words(guesses, right, k),
        *(_row(guesses, probabilities[place], place, line, k) for line, place in enumerate(shown)),
        _cut(k),
        _scale(),
    ]
    state = {
        "target": guesses.target,
        "rank": rank,
        "right": right,
        "top": guesses.order[:k],
        "probabilities": probabilities[:_ROWS],
        "target_probability": probabilities[rank - 1],
        "covered": sum(probabilities[:k]),
    }
    return Picture(svg.document(_WIDTH, height, f"{photo}: {verdict} {remark}", *body), state)


def _verdict(guesses: Guesses, k: int) -> str:
    return f"{'Right' if guesses.rank <= k else 'Wrong'} at k = {k}: the target is on rank {guesses.rank}."


def _remark(probabilities: list[float], k: int, temperature: float) -> str:
    first = "The top 1 holds" if k == 1 else f"The top {k} hold"
    change = (
        "" if round(temperature, 6) == 1 else f" ({'flatter' if temperature > 1 else 'steeper'} than at 1)"
    )
    held = _percent(sum(probabilities[:k]))
    return f"{first} {held} of the probability at temperature {temperature:.3g}{change}."


def _percent(probability: float) -> str:
    if probability >= 0.0995:
        return f"{min(100 * probability, 100):.0f} %"
    return f"{100 * probability:.1f} %" if probability >= 0.0005 else "< 0.1 %"


def _photo_words(guesses: Guesses, right: bool, k: int) -> list[str]:
    colour = svg.GREEN if right else svg.VERMILION
    name = guesses.names[guesses.target]
    return [
        svg.rect(12, 12, _PHOTO, _PHOTO, stroke=colour, stroke_width=4),
        svg.text(12, _PHOTO + 38, f"target: {name}", bold=True, width=_PHOTO),
        svg.text(12, _PHOTO + 60, f"{'✓ right' if right else '✗ wrong'} at k = {k}", fill=colour, bold=True),
    ]


def _row(guesses: Guesses, probability: float, place: int, line: int, k: int) -> str:
    number, y = guesses.order[place], _TOP + line * _ROW
    target, counted = number == guesses.target, place < k
    colour = svg.ORANGE if target else svg.BLUE if counted else svg.MUTED
    ink = svg.TEXT if counted or target else svg.MUTED
    name = guesses.names[number]
    percent_x = _BAR_X + _BAR_WIDTH + 8
    return "".join(
        [
            svg.text(_RANK_X, y + 19, place + 1, anchor="end", fill=ink),
            svg.text(_NAME_X, y + 19, name, bold=target, fill=ink, width=_BAR_X - _NAME_X - 8),
            svg.bar(_BAR_X, y + 6, _BAR_WIDTH, 17, probability, colour, title=f"{name}: {probability:.4f}"),
            svg.text(percent_x, y + 19, _percent(probability), fill=ink),
            svg.text(percent_x + 58, y + 19, "◀ target", bold=True) if target else "",
        ]
    )


def _cut(k: int) -> str:
    y = _TOP + k * _ROW
    label = svg.text(_WIDTH - 8, y + 5, f"top {k}", anchor="end", bold=True)
    return svg.line(_RANK_X - 18, y, _WIDTH - 62, y, svg.TEXT, 1.2, "5 3") + label


def _scale() -> str:
    ticks = [(0, "0"), (0.5, "50"), (1, "100 %")]
    return svg.axis(_BAR_X, _TOP + (_ROWS + 1) * _ROW + 8, _BAR_WIDTH, ticks)
