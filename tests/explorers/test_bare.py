"""All seven explorers draw in a Python that has no package at all, and draw what the kernel draws."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from site_data import export

from course_utils import explorers
from course_utils.explorers.measured import MEASURED

NAMES = ("conv", "inception", "network", "receptive_field", "residual", "topk", "vgg")
# -I and -S: no site-packages, no environment; the folder holds a copy of the package without anything beside it.
CHILD = """
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
name, data, moves = json.load(sys.stdin)
module = importlib.import_module(f"course_utils.explorers.{name}")
described = module.describe(data)
drawn, first = [], {n: control.value for n, control in described.controls.items()}
for values in [first, *moves]:
    try:
        drawn.append(described.draw(values, data).svg)
    except ValueError as error:
        drawn.append(str(error))
found = sorted({m.split(".")[0] for m in sys.modules} - set(sys.stdlib_module_names) - {"__main__"})
json.dump([repr(described.controls), drawn, found], sys.stdout)
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """A folder with the package's source and nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    source = Path(explorers.__file__).parents[1]
    shutil.copytree(source, folder / "course_utils", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def at_first(described) -> dict:
    """What the controls stand on before any move."""
    return {name: control.value for name, control in described.controls.items()}


def moves_of(explorer, count: int, seed: int) -> list[dict]:
    """Values after random single moves."""
    generator, moves = random.Random(seed), []
    for _ in range(count):
        control = generator.choice([c for n, c in explorer.controls.items() if n != "preset"])
        if hasattr(control, "options"):
            control.value = generator.choice([o[1] if isinstance(o, tuple) else o for o in control.options])
        elif hasattr(control, "max"):
            steps = int((control.max - control.min) / control.step)
            control.value = control.min + control.step * generator.randint(0, steps)
        else:
            control.value = not control.value
        moves.append(explorer.values)
        if explorer.problem:
            explorer.set(**at_first(explorer.description))
    return moves


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_bare_python_draws_what_the_kernel_draws(name, alone):
    start = {"depth": 8} if name == "residual" else {}
    e = getattr(explorers, f"{name}_explorer")(**start)
    described = e.description
    moves = moves_of(e, 25, seed=len(name))
    drawn = []
    for values in [at_first(described), *moves]:
        try:
            drawn.append(described.draw(values, MEASURED).svg)
        except ValueError as error:
            drawn.append(str(error))
    sent = json.dumps([name, MEASURED, moves])
    command = [sys.executable, "-I", "-S", "-c", CHILD, str(alone)]
    run = subprocess.run(command, input=sent, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    controls, theirs, packages = json.loads(run.stdout)
    assert packages == ["course_utils"]
    assert controls == repr(described.controls)
    assert theirs == drawn and sum(picture.startswith("<svg") for picture in drawn) > 5


def test_an_export_has_what_the_pictures_need(tmp_path):
    export(tmp_path, ["layers", "photos", "guesses"])
    files, data = sorted(tmp_path.iterdir()), {}
    assert [file.name for file in files] == ["guesses.json", "layers.json", "photos.json"]
    for file in files:
        data |= json.loads(file.read_text(encoding="utf-8"))
    for name in ("topk", "receptive_field"):
        e = getattr(explorers, f"{name}_explorer")()
        for _, photo in e.controls["photo"].options:
            values = {**at_first(e.description), "photo": photo}
            assert e.description.draw(values, data) == e.description.draw(values, MEASURED)


def test_what_is_not_measured_is_refused():
    with pytest.raises(KeyError, match="Nothing is measured under 'nothing/at all'"):
        MEASURED["nothing/at all"]
