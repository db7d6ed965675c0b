"""`import course_utils` costs little more than `import torch`, and draws nothing in but torch."""

import json
import subprocess
import sys

import pytest

CODE = """
import json, sys, time
import torch
start = time.perf_counter()
import course_utils
seconds = time.perf_counter() - start
heavy = ("matplotlib", "torchvision", "ipywidgets", "pandas", "sklearn", "PIL")
print(json.dumps({"seconds": seconds, "loaded": [name for name in heavy if name in sys.modules]}))
"""


@pytest.fixture(scope="module")
def imported() -> dict:
    runs = [
        subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    return min((json.loads(run.stdout) for run in runs), key=lambda run: run["seconds"])


def test_no_plotting_and_no_torchvision(imported):
    assert imported["loaded"] == []


def test_it_is_quick(imported):
    assert imported["seconds"] < 0.3


def test_modules_come_on_first_use():
    import course_utils

    assert course_utils.data.fashion_mnist and course_utils.plots.COLOURS
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = course_utils.nothing
