"""topk_explorer: a photo, a classifier's first guesses, and whether the target is among the first k."""

from math import exp, fsum

from course_utils.explorers import layout, svg
from course_utils.explorers.description import Description, Picture, Values, choice, slider
from course_utils.explorers.layout import Block, words
from course_utils.words import percent

_ROWS, _PITCH = 10, 30  # rows that are always shown, and pixels from one to the next
_PHOTO, _NAME, _BAR = 256, 168, 172


def describe(data: Values) -> Description:
    """A photo beside a classifier's first guesses: is the target among the first k?

    The photos are the course's, the guesses those of the offline ImageNet classifier. `initial` sets any of photo (its
    name), k (1 to 10) and temperature (the logits are divided by it before the softmax).
    """
    names = data["photos"]
    controls = {
        "photo": choice("photo", [(name.replace("_", " "), name) for name in names], names[0]),
        "k": slider("k", 1, 1, min(_ROWS, len(data["classes"]))),
        "temperature": slider("temperature", 1.0, 0.1, 5.0, 0.1),
    }
    title = "A classifier's first guesses for a photo: right or wrong at k, at any temperature."
    return Description(title, controls, draw_topk, prepare=[f"guesses/{name}" for name in names])


def draw_topk(values: Values, data: Values) -> Picture:
    """The picture of one photo at one k and temperature."""
    photo, k, temperature = values["photo"], values["k"], values["temperature"]
    found, classes = data[f"guesses/{photo}"], data["classes"]
    order, target = found["order"], found["target"]
    powers = [exp((logit - found["logits"][0]) / temperature) for logit in found["logits"]]
    total, rank = fsum(powers), order.index(target) + 1
    probabilities = [power / total for power in powers]
    covered, right = fsum(probabilities[:k]), rank <= k
    verdict = f"{'Right' if right else 'Wrong'} at k = {k}: the target is on rank {rank}."
    held = f"The top {k} hold{'s' if k == 1 else ''} {percent(min(covered, 1))} of the probability"
    flat = "flatter" if temperature > 1 else "steeper"
    change = f" ({flat} than at 1)" if round(temperature, 6) != 1 else ""
    remark = f"{held} at temperature {temperature:.3g}{change}."
    places = sorted({*range(min(_ROWS, len(order))), rank - 1})  # the target last if it is none of the first
    guesses = [(place, classes[order[place]], probabilities[place], place == rank - 1) for place in places]
    heading, unmoved = words(verdict, size=16, bold=True), "The ranks do not depend on the temperature."
    below = layout.space(), _table(guesses, k)
    guessed = layout.column(heading, remark, words(unmoved, fill=svg.MUTED), *below)
    seen = _photo(data[f"photo/{photo}"], photo, classes[target], right, k)
    picture = layout.page(f"{photo}: {verdict} {remark}", layout.row(seen, guessed, gap=12, align="l"))
    state = {"target": target, "rank": rank, "right": right, "top": tuple(order[:k]), "covered": covered}
    shown = {"probabilities": probabilities[:_ROWS], "target_probability": probabilities[rank - 1]}
    return Picture(picture, state | shown)


def _photo(data_uri: str, photo: str, target: str, right: bool, k: int) -> Block:
    """The photo in a frame that says right or wrong, and its target."""
    colour, said = (svg.GREEN, "✓ right") if right else (svg.VERMILION, "✗ wrong")
    picture = Block(_PHOTO, _PHOTO, lambda x, y: svg.image(x, y, _PHOTO, data_uri, photo))
    return layout.column(
        layout.over(picture, layout.box(_PHOTO, _PHOTO, stroke=colour, stroke_width=4)),
        words(f"target: {target}", bold=True, most=_PHOTO),
        words(f"{said} at k = {k}", fill=colour, bold=True),
    )


def _table(guesses: list[tuple[int, str, float, bool]], k: int) -> Block:
    """A row for each guess, always as high, and a line behind the first k."""
    axis = Block(_BAR, 24, lambda x, y: svg.axis(x, y, _BAR, [(0, "0"), (_BAR / 2, "50"), (_BAR, "100 %")]))
    empty = [[""] * 5] * (_ROWS + 1 - len(guesses))
    rows = [*(_row(*guess, k) for guess in guesses), *empty, ["", "", axis, "", ""]]
    table = layout.table(rows, "rllrl", gap=8, least=("1000", _NAME, _BAR, "> 99.9 %", 74), pitch=_PITCH)
    line = Block(table.width, 0, lambda x, y: svg.line([(x, y), (x + table.width, y)], svg.TEXT, 1.2, "5 3"))
    cut = layout.row(words(f"top {k}", bold=True, least=52), line, gap=0)
    return layout.over(layout.shift(table, 52), layout.shift(cut, 0, k * _PITCH - cut.height / 2))


def _row(place: int, name: str, probability: float, is_target: bool, k: int) -> list[Block | str]:
    colour = svg.ORANGE if is_target else svg.BLUE if place < k else svg.MUTED
    ink = svg.TEXT if place < k or is_target else svg.MUTED
    return [
        words(place + 1, fill=ink, align="r"),
        words(name, bold=is_target, fill=ink, most=_NAME),
        layout.bar(probability, _BAR, colour, 17, title=f"{name}: {probability:.4f}"),
        words(percent(probability), fill=ink, align="r"),
        words("◀ target", bold=True) if is_target else "",
    ]
