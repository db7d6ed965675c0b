"""tests/on_a_device.py in a Python of its own: autograd counts the kinds of devices once, when it first runs."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.mark.slow
def test_what_a_reader_with_a_gpu_meets():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "on_a_device.py")]
    run = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]
