"""Measure anew what the site's explorers show of torch, into site/data: python tools/site_data.py (half an hour)."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path

from course_utils.explorers import network, receptive_field, residual
from course_utils.explorers.measured import MEASURED

DATA = Path(__file__).resolve().parents[1] / "site" / "data"


def middle_units() -> Iterator[str]:
    """Keys of the effective fields of the middle unit of each layer, on each photo."""
    for name in receptive_field.FIELD_NETWORKS:
        known = MEASURED[f"layers/{name}"]
        every = product(known["fields"][1:], known["layers"], MEASURED["photos"])
        for effective, (_, label, shape, *_), photo in every:
            yield receptive_field.effective_key(photo, name, effective, label, shape[1] // 2, shape[2] // 2)


EXPORTED: dict[str, Callable[[], Iterable[str]]] = {
    "tables": network.every_key,
    "layers": lambda: [f"layers/{name}" for name in receptive_field.FIELD_NETWORKS],
    "photos": lambda: ["photos", *(f"photo/{name}" for name in MEASURED["photos"])],
    "signals": residual.every_key,
    "guesses": lambda: ["photos", "classes", *(f"guesses/{name}" for name in MEASURED["photos"])],
    "effective": middle_units,
}


def export(folder: Path, kinds: Iterable[str]) -> None:
    """Write a file for each of these kinds: an object of keys and what is under them, a key a line."""
    for kind in kinds:
        lines = (f"{_written(key)}:{_written(MEASURED[key])}" for key in EXPORTED[kind]())
        (folder / f"{kind}.json").write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


def _written(found: object) -> str:
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


if __name__ == "__main__":
    export(DATA, EXPORTED)
