"""The audit of dependencies: which versions it asks for, and what it makes of the answer."""

import re
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("packaging", reason="the tools of releases need packaging")

from audit_dependencies import complaints, floors, pins

ROOT = Path(__file__).parents[2]


def test_pins() -> None:
    assert pins("# why\nPillow==13.0.0\n\nscikit_learn==1.9.1\n") == {"pillow": "13.0.0", "scikit-learn": "1.9.1"}


def test_floors() -> None:
    project = {
        "name": "flame-metric",
        "dependencies": ["numpy>=2.0"],
        "optional-dependencies": {
            "cli": ["Pillow>=10.3"],
            "all": ["flame_metric[cli]", "pillow>=9.10", "torch==2.13.0"],
        },
    }
    assert floors(project) == {"numpy": "2.0", "pillow": "9.10", "torch": "2.13.0"}


@pytest.mark.parametrize("line", ["numpy", "numpy<3", "numpy>=1,>=2"])
def test_a_requirement_without_one_floor(line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{line!r} has ")):
        floors({"name": "a", "dependencies": [line], "optional-dependencies": {}})


def test_this_project_has_a_floor_for_each_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = floors(project)
    assert {"numpy", "scipy", "pillow", "torch", "transformers"} <= found.keys()
    assert found.keys() <= pins((ROOT / "constraints.txt").read_text(encoding="utf-8")).keys()


SOUND = {"name": "numpy", "version": "2.0", "vulns": []}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}
OLD = {
    "name": "Pillow",
    "version": "10.2",
    "vulns": [
        {"id": "GHSA-1", "fix_versions": ["10.3.0"], "aliases": ["CVE-1", "BIT-1"]},
        {"id": "GHSA-2", "fix_versions": []},
    ],
}


@pytest.mark.parametrize(
    ("packages", "asked", "found"),
    [
        ([SOUND], ["numpy"], []),
        ([SOUND, UNKNOWN], ["numpy", "torch"], ["torch: not looked up: Dependency not found on PyPI"]),
        ([SOUND], ["numpy", "torch"], ["torch: not looked up: pip-audit does not mention it"]),
        (
            [OLD],
            ["pillow"],
            [
                "pillow 10.2: GHSA-1 (CVE-1, BIT-1), fixed in 10.3.0",
                "pillow 10.2: GHSA-2 (), fixed in no version",
            ],
        ),
    ],
)
def test_what_is_no_answer_is_a_complaint_too(packages: list[dict], asked: list[str], found: list[str]) -> None:
    assert list(complaints({"dependencies": packages, "fixes": []}, asked)) == found
