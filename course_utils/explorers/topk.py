"""topk_explorer: a photo, a classifier's first guesses, and whether the target is among the first k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING, Any

from course_utils.explorers import svg_old as svg
from course_utils.explorers.description import Description, Picture, choice, slider

if TYPE_CHECKING:
    from torch import Tensor

    from course_utils.explorers.base import Explorer

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
    from course_utils.explorers.base import Explorer
    from course_utils.explorers.measured import MEASURED

    data = (
        MEASURED
        if photos is None and logits is None and classes is None
        else _own_data(photos, logits, classes)
    )
    return Explorer(describe(data), data, initial, prepare=[f"guesses/{name}" for name in data["photos"]])


def describe(data: Mapping[str, Any]) -> Description:
    """Controls and drawing function for `data["photos"]`; a photo needs its guesses, all need the classes."""
    names = data["photos"]
    controls = {
        "photo": choice("photo", [(name.replace("_", " "), name) for name in names], names[0]),
        "k": slider("k", 1, 1, min(_ROWS, len(data["classes"]))),
        "temperature": slider("temperature", 1.0, 0.1, 5.0, 0.1),
    }
    title = "A classifier's first guesses for a photo: right or wrong at k, at any temperature."
    return Description(
        title, controls, draw_topk, needs=lambda v: ["photos", "classes", f"guesses/{v['photo']}"]
    )


def _own_data(
    photos: Sequence[Any] | None, logits: Tensor | None, classes: Sequence[str] | None
) -> dict[str, Any]:
    """Photos, logits and classes as a reader brings them, under the keys of `measured`."""
    import torch

    from course_utils.data import imagenet_classes
    from course_utils.data import photos as course_photos
    from course_utils.explorers.measured import guess, imagenet_logits
    from course_utils.metrics import target_ranks

    photos = course_photos() if photos is None else photos
    classes = imagenet_classes() if classes is None else classes
    if not photos:
        raise ValueError("topk_explorer needs at least one photo.")
    if logits is None:
        logits = torch.stack([imagenet_logits(photo) for photo in photos])
    if logits.shape != (len(photos), len(classes)):
        raise ValueError(
            f"logits must be of shape [{len(photos)}, {len(classes)}] (photos, classes), "
            f"not {list(logits.shape)}."
        )
    names = [photo.name for photo in photos]
    if len(set(names)) < len(names):
        raise ValueError("Each photo needs a name of its own.")
    target_ranks(
        logits, torch.tensor([photo.label for photo in photos])
    )  # refuses NaN and labels without a class
    guesses = {f"guesses/{p.name}": guess(p, row) for p, row in zip(photos, logits, strict=True)}
    return {"photos": names, "classes": list(classes), **guesses}


# --- the numbers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guesses:
    """What a classifier says about one photo, best first; of classes with equal logits the target is last."""

    picture: str  # data URI
    target: int
    rank: int  # of the target, counted from 1
    order: tuple[int, ...]
    logits: tuple[float, ...]  # in that order
    names: Sequence[str]  # of all classes, in their own order

    def probabilities(self, temperature: float) -> list[float]:
        """The softmax of the logits divided by the temperature, best first."""
        powers = [exp((logit - self.logits[0]) / temperature) for logit in self.logits]
        total = sum(powers)
        return [power / total for power in powers]


def read_guesses(photo: str, data: Mapping[str, Any]) -> Guesses:
    """The guesses for a photo."""
    found = data[f"guesses/{photo}"]
    order, target = tuple(found["order"]), found["target"]
    return Guesses(
        found["picture"], target, order.index(target) + 1, order, tuple(found["logits"]), data["classes"]
    )


# --- the picture --------------------------------------------------------------------------------------


def draw_topk(values: Mapping[str, Any], data: Mapping[str, Any]) -> Picture:
    """The picture of one photo at one k and temperature."""
    photo, k, temperature = values["photo"], values["k"], values["temperature"]
    guesses = read_guesses(photo, data)
    probabilities = guesses.probabilities(temperature)
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
