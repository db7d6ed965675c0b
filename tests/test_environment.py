"""pyproject.toml, constraints.txt and environment.yml say the same, and it is what is installed."""

import importlib.metadata
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"pytorch": "torch"}
# what torch pins for itself, and what only macOS and Windows need
LEFT_TO_PIP = re.compile(r"nvidia-|cuda-|triton$|appnope$|colorama$|pywinpty$")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def declared() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = project["dependencies"] + extras["lab"] + extras["test"]
    return {canonicalize_name(each.name): each for each in map(Requirement, lines)}


def holds(marker: Marker | None, python: str, extra: str = "") -> bool:
    """Whether a requirement's marker asks for it on this system with another Python."""
    settings = {"python_version": python, "python_full_version": f"{python}.0", "extra": extra}
    return marker is None or marker.evaluate(settings)


def pins(python: str = HERE) -> dict[str, Version]:
    """The versions that constraints.txt gives to one Python."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if not line.startswith("#")]
    asked = [each for each in requirements if holds(each.marker, python)]
    return {each.name: Version(str(each.specifier).removeprefix("==")) for each in asked}


def conda() -> dict[str, Requirement]:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    from_pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    lines = [entry for entry in [*entries, *from_pip] if isinstance(entry, str) and entry != "-e ."]
    requirements = map(Requirement, lines)
    return {canonicalize_name(CONDA_NAMES.get(each.name, each.name)): each for each in requirements}


def closure(python: str = HERE) -> set[str]:
    """Names of all packages that the declared ones need here, themselves included, with one Python.

    What only another Python needs is not installed here, and so its own needs are not known.
    """
    todo, seen = list(declared().values()), set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        key = (name, *sorted(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        extras = requirement.extras or {""}
        todo += [each for each in needs(name) if any(holds(each.marker, python, extra) for extra in extras)]
    return {name for name, *_ in seen}


def needs(name: str) -> list[Requirement]:
    """What an installed package requires, whatever the markers say."""
    try:
        return list(map(Requirement, importlib.metadata.requires(name) or []))
    except importlib.metadata.PackageNotFoundError:
        return []


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
    for name in sorted(closure()):
        if not LEFT_TO_PIP.match(name):
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


@pytest.mark.parametrize("python", PYTHONS)
def test_what_a_python_needs_is_pinned_for_it_and_nothing_else(python):
    needed = {name for name in closure(python) if not LEFT_TO_PIP.match(name)}
    assert set(pins(python)) == needed


def test_what_builds_the_site_has_exact_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "site" / "constraints.txt").read_text().splitlines()
    versions = {r.name: r.specifier for r in map(Requirement, (x for x in lines if not x.startswith("#")))}
    known = {name: Version(str(each).removeprefix("==")) for name, each in versions.items()} | pins()
    for requirement in map(Requirement, project["optional-dependencies"]["site"]):
        assert known[requirement.name] in requirement.specifier, requirement.name
    assert not set(versions) & set(pins()), "constraints.txt has these already"
    assert all(version[0].isdigit() for version in npm_versions().values())


def npm_versions() -> dict[str, str]:
    package = json.loads((ROOT / "site" / "package.json").read_text())
    return package["dependencies"] | package["devDependencies"]
