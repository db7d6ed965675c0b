"""topk_explorer: a photo, a classifier's first guesses, and whether the target is among the first k."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, fsum
from typing import TYPE_CHECKING, Any, NamedTuple

from course_utils.explorers import layout, svg
from course_utils.explorers.description import Description, Picture, Values, choice, opened, slider
from course_utils.explorers.layout import Block, words
from course_utils.words import percent

if TYPE_CHECKING:
    from course_utils.explorers.base import Explorer

_ROWS, _PITCH = 10, 30  # rows that are always shown, and pixels from one to the next
_PHOTO, _NAME, _BAR = 256, 168, 172


def topk_explorer(photos: Any = None, logits: Any = None, classes: Any = None, **initial: Any) -> Explorer:
    """A photo beside a classifier's first guesses: is the target among the first k?

    photos: objects with `name`, `image` (PIL) and `label`, an index into `classes`; the course's own
    photographs if not given. logits: float [len(photos), len(classes)]; those of the offline ImageNet
    classifier if not given. classes: ImageNet's names if not given.
    Controls, which `initial` may set: photo (its name), k (1 to 10), temperature (the logits are divided by
    it before the softmax).
    Raises ValueError where photos, logits and classes do not fit together, and for a name or value that the
    controls do not offer.
    """
    if photos is None and logits is None and classes is None:
        return opened(describe, initial)
    from course_utils.explorers.measured import own_guesses

    return opened(describe, initial, own_guesses(photos, logits, classes))


def describe(data: Values) -> Description:
    """Controls and drawing function for `data["photos"]`; a photo needs its guesses, all need the classes."""
    names = data["photos"]
    controls = {
        "photo": choice("photo", [(name.replace("_", " "), name) for name in names], names[0]),
        "k": slider("k", 1, 1, min(_ROWS, len(data["classes"]))),
        "temperature": slider("temperature", 1.0, 0.1, 5.0, 0.1),
    }
    title = "A classifier's first guesses for a photo: right or wrong at k, at any temperature."
    return Description(title, controls, draw_topk, prepare=[f"guesses/{name}" for name in names])


class Guesses(NamedTuple):
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
        total = fsum(powers)
        return [power / total for power in powers]


def read_guesses(photo: str, data: Values) -> Guesses:
    """The guesses for a photo."""
    found, classes = data[f"guesses/{photo}"], data["classes"]
    order, target = tuple(found["order"]), found["target"]
    return Guesses(found["picture"], target, order.index(target) + 1, order, tuple(found["logits"]), classes)


def draw_topk(values: Values, data: Values) -> Picture:
    """The picture of one photo at one k and temperature."""
    photo, k, temperature = values["photo"], values["k"], values["temperature"]
    guesses = read_guesses(photo, data)
    probabilities, rank = guesses.probabilities(temperature), guesses.rank
    verdict = f"{'Right' if rank <= k else 'Wrong'} at k = {k}: the target is on rank {rank}."
    remark = _remark(probabilities, k, temperature)
    facts = layout.column(
        words(verdict, size=16, bold=True),
        words(remark),
        words("The ranks do not depend on the temperature.", fill=svg.MUTED),
    )
    right = layout.column(facts, _table(guesses, probabilities, k), gap=8)
    picture = layout.page(
        f"{photo}: {verdict} {remark}", layout.row(_photo(guesses, photo, k), right, gap=12, align="l")
    )
    state = {
        "target": guesses.target,
        "rank": rank,
        "right": rank <= k,
        "top": guesses.order[:k],
        "probabilities": probabilities[:_ROWS],
        "target_probability": probabilities[rank - 1],
        "covered": fsum(probabilities[:k]),
    }
    return Picture(picture, state)


def _remark(probabilities: list[float], k: int, temperature: float) -> str:
    first = "The top 1 holds" if k == 1 else f"The top {k} hold"
    change = (
        "" if round(temperature, 6) == 1 else f" ({'flatter' if temperature > 1 else 'steeper'} than at 1)"
    )
    held = percent(min(fsum(probabilities[:k]), 1))
    return f"{first} {held} of the probability at temperature {temperature:.3g}{change}."


def _photo(guesses: Guesses, photo: str, k: int) -> Block:
    """The photo in a frame that says right or wrong, and its target."""
    colour, said = (svg.GREEN, "✓ right") if guesses.rank <= k else (svg.VERMILION, "✗ wrong")
    picture = Block(_PHOTO, _PHOTO, lambda x, y: svg.image(x, y, _PHOTO, guesses.picture, photo))
    return layout.column(
        layout.over(picture, layout.box(_PHOTO, _PHOTO, stroke=colour, stroke_width=4)),
        words(f"target: {guesses.names[guesses.target]}", bold=True, most=_PHOTO),
        words(f"{said} at k = {k}", fill=colour, bold=True),
    )


def _table(guesses: Guesses, probabilities: list[float], k: int) -> Block:
    """The first guesses, the target below them if it is none of them, and a line behind the first k."""
    places = list(range(min(_ROWS, len(guesses.order))))
    rows = [_row(guesses, probabilities[place], place, k) for place in places]
    if guesses.rank > len(places):
        rows.append(_row(guesses, probabilities[guesses.rank - 1], guesses.rank - 1, k))
    rows += [[""] * 5] * (_ROWS + 1 - len(rows))
    ticks = [(0, "0"), (_BAR / 2, "50"), (_BAR, "100 %")]
    scale = Block(_BAR, 24, lambda x, y: svg.axis(x, y, _BAR, ticks))
    table = layout.table(
        [*rows, ["", "", scale, "", ""]],
        "rllrl",
        gap=8,
        least=("1000", _NAME, _BAR, "> 99.9 %", 74),
        pitch=_PITCH,
    )
    line = Block(table.width, 0, lambda x, y: svg.line([(x, y), (x + table.width, y)], svg.TEXT, 1.2, "5 3"))
    cut = layout.row(words(f"top {k}", bold=True, least=52), line, gap=0)
    return layout.over(layout.shift(table, 52), layout.shift(cut, 0, k * _PITCH - cut.height / 2))


def _row(guesses: Guesses, probability: float, place: int, k: int) -> list[Block | str]:
    number, counted = guesses.order[place], place < k
    target, name = number == guesses.target, guesses.names[number]
    colour = svg.ORANGE if target else svg.BLUE if counted else svg.MUTED
    ink = svg.TEXT if counted or target else svg.MUTED
    return [
        words(place + 1, fill=ink, align="r"),
        words(name, bold=target, fill=ink, most=_NAME),
        layout.bar(probability, _BAR, colour, 17, title=f"{name}: {probability:.4f}"),
        words(percent(probability), fill=ink, align="r"),
        words("◀ target", bold=True) if target else "",
    ]
