"""pyproject.toml, constraints.txt and environment.yml say the same, and it is what is installed."""

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"pytorch": "torch"}
# torch pins these for itself, on Linux only
CUDA = re.compile(r"nvidia-|cuda-|triton$")


def declared() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["test"]
    return {canonicalize_name(each.name): each for each in map(Requirement, lines)}


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {name: Version(version) for name, version in pairs}


def conda() -> dict[str, Requirement]:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    from_pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    lines = [entry for entry in [*entries, *from_pip] if isinstance(entry, str) and entry != "-e ."]
    requirements = map(Requirement, lines)
    return {canonicalize_name(CONDA_NAMES.get(each.name, each.name)): each for each in requirements}


def installed_closure() -> set[str]:
    """Names of all packages that the declared ones need on this machine, themselves included."""
    todo, seen = list(declared().values()), set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        key = (name, *sorted(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        for line in importlib.metadata.requires(name) or []:
            needed = Requirement(line)
            extras = requirement.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                todo.append(needed)
    return {name for name, *_ in seen}


def test_conda_names_the_same_packages_and_ranges():
    ours, theirs = declared(), conda()
    assert set(theirs) - {"python", "pip"} == set(ours)
    for name, requirement in ours.items():
        assert theirs[name].specifier == requirement.specifier, name


def test_conda_wants_the_same_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert str(conda()["python"].specifier) == project["requires-python"]


def test_every_declared_package_is_pinned_within_its_range():
    for name, requirement in declared().items():
        assert name in pins(), f"{name} has no line in constraints.txt"
        assert pins()[name] in requirement.specifier, name


def test_torch_and_torchvision_go_together():
    torchvision = importlib.metadata.requires("torchvision")
    wanted = next(each for each in map(Requirement, torchvision) if each.name == "torch")
    assert pins()["torch"] in wanted.specifier


@pytest.mark.skipif((Path(sys.prefix) / "conda-meta").is_dir(), reason="conda chooses its own versions")
def test_installed_versions_are_the_pinned_ones():
    known = pins()
    for name in sorted(installed_closure()):
        if not CUDA.match(name):
            assert name in known, f"{name} is needed and has no line in constraints.txt"
            installed = Version(importlib.metadata.version(name))
            assert Version(installed.public) == known[name], name  # torch may be 2.14.1+cpu


def test_pinned_versions_admit_the_oldest_python():
    oldest = (
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].strip(">=") + ".0"
    )
    for name in pins():
        wanted = importlib.metadata.metadata(name)["Requires-Python"]
        assert wanted is None or oldest in SpecifierSet(wanted), f"{name} needs Python {wanted}"


def test_nothing_is_pinned_that_nobody_needs():
    # packages for other Python versions would be exceptions; there are none at present
    assert set(pins()) <= installed_closure()
