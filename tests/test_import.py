"""`import course_utils` loads nothing, each module comes on first use, and arithmetic needs no torch."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "matplotlib", "torchvision", "ipywidgets", "pandas", "sklearn", "PIL")


def loaded_by(statement: str) -> list[str]:
    """Which of HEAVY a new Python holds after the statement."""
    code = f"import json, sys\n{statement}\nprint(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


@pytest.mark.parametrize(
    "statement",
    [
        "import course_utils",
        "import course_utils.geometry.sizes",
        "from course_utils.geometry import LayerRow, LayerTable, ReceptiveField, conv_layer",
        "from course_utils import geometry; geometry.output_size(224, 11, 4, 2)",
    ],
)
def test_nothing_heavy_is_loaded(statement):
    assert loaded_by(statement) == []


@pytest.mark.slow
def test_measuring_networks_and_reading_data_load_no_pictures():
    loaded = loaded_by("from course_utils.geometry import layer_table\nimport course_utils.data")
    assert set(loaded) <= {"torch", "numpy", "PIL"}


def test_modules_come_on_first_use():
    import course_utils

    assert course_utils.data.fashion_mnist and course_utils.plots.COLOURS
    assert course_utils.geometry.layer_table and "layer_table" in dir(course_utils.geometry)
    for module in (course_utils, course_utils.geometry):
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = module.nothing
