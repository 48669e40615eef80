"""Versions that stand in several files of the project agree."""

import re
import tomllib
from pathlib import Path

import pytest

import flame_metric

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CI, HOOKS = ROOT / ".github" / "workflows" / "ci.yml", ROOT / ".pre-commit-config.yaml"

PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)

only_in_git = pytest.mark.skipif(not CI.exists(), reason="a source archive has no workflows and no hooks")


def test_the_citation_is_of_this_version() -> None:
    (version,) = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert version == flame_metric.__version__


@only_in_git
def test_the_versions_of_python_that_are_named_are_those_that_are_tested() -> None:
    (matrix,) = re.findall(r"^ +python: \[(.+)\]$", CI.read_text(encoding="utf-8"), re.MULTILINE)
    tested = matrix.replace('"', "").split(", ")
    classifiers = "\n".join(PYPROJECT["project"]["classifiers"])
    assert re.findall(r" :: Python :: (3\..+)", classifiers) == tested
    assert PYPROJECT["project"]["requires-python"] == f">={tested[0]}"
    assert PYPROJECT["tool"]["mypy"]["python_version"] == tested[0]


@only_in_git
def test_hooks_are_of_the_versions_that_are_pinned() -> None:
    revisions = r"github\.com/[\w-]+/(ruff|codespell)(?:-pre-commit)?\n +rev: v(.+)$"
    hooks = re.findall(revisions, HOOKS.read_text(encoding="utf-8"), re.MULTILINE)
    assert hooks == [(name, PINS[name]) for name in ("ruff", "codespell")]


def test_each_requirement_is_pinned() -> None:
    project = PYPROJECT["project"]
    lines = {*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)}
    names = {re.split(r"[^\w-]", line)[0] for line in lines} - {"flame-metric"}
    assert names - PINS.keys() == set()
