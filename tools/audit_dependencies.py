"""Known advisories on what this package may be installed with: the versions that are pinned, and the lowest allowed.

``python tools/audit_dependencies.py`` asks the advisory service that pip-audit asks, for the versions in
``constraints.txt`` and for the lower bound of each requirement in ``pyproject.toml``. It prints what it finds and exits
with 1; also if a version could not be looked up, since no answer is none.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]


def pins(constraints: str) -> dict[str, str]:
    """Return the versions that a file of constraints pins, by name."""
    requirements = (Requirement(line) for line in constraints.splitlines() if line and not line.startswith("#"))
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in requirements}


def floors(project: Mapping[str, Any]) -> dict[str, str]:
    """Return the lowest version that is allowed of each requirement, of the extras too, by name.

    Parameters
    ----------
    project : Mapping
        The table ``[project]`` of ``pyproject.toml``.

    Raises
    ------
    ValueError
        If a requirement has no lower bound.
    """
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    found: dict[str, str] = {}
    for line in lines:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if name == canonicalize_name(project["name"]):
            continue
        bounds = [one.version for one in requirement.specifier if one.operator in (">=", "==")]
        if len(bounds) != 1:
            raise ValueError(f"{line!r} has {len(bounds)} lower bounds, expected one: NAME>=VERSION")
        found[name] = min(found.get(name, bounds[0]), bounds[0], key=Version)
    return found


def complaints(answer: Mapping[str, Any], asked: Iterable[str]) -> Iterator[str]:
    """Say what pip-audit found, and what it did not look up.

    Parameters
    ----------
    answer : Mapping
        What it wrote as JSON.
    asked : iterable of str
        Names.
    """
    missing = set(asked)
    for package in answer["dependencies"]:
        name = canonicalize_name(package["name"])
        missing.discard(name)
        if "skip_reason" in package:
            yield f"{name}: not looked up: {package['skip_reason']}"
        for advisory in package.get("vulns", ()):
            aliases = ", ".join(advisory.get("aliases", ()))
            fixed = ", ".join(advisory["fix_versions"]) or "no version"
            yield f"{name} {package['version']}: {advisory['id']} ({aliases}), fixed in {fixed}"
    yield from (f"{name}: not looked up: pip-audit does not mention it" for name in sorted(missing))


def audited(versions: Mapping[str, str]) -> dict[str, Any]:
    """Ask pip-audit for these versions, and for nothing that they depend on."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "requirements.txt")
        file.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()), encoding="utf-8")
        options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json", "--requirement"]
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *options, file], capture_output=True, text=True, check=False
        )
    if not done.stdout:
        raise SystemExit(f"pip-audit gave no answer: {done.stderr.strip()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> int:
    """Audit both sets, print what is found, and return 1 if that is anything."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    sets = {
        "the versions in constraints.txt": pins((ROOT / "constraints.txt").read_text(encoding="utf-8")),
        "the lowest versions in pyproject.toml": floors(project),
    }
    total = 0
    for what, versions in sets.items():
        found = list(complaints(audited(versions), versions))
        total += len(found)
        print(f"{what}: {len(versions)} packages, {len(found)} complaint(s)")
        print("".join(f"  {line}\n" for line in found), end="")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
