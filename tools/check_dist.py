"""What is released is what is in git, and nothing else: contents and metadata of a wheel and a source archive.

``python tools/check_dist.py dist`` prints what is wrong with the files in ``dist``, and exits with 1 if anything is.
With ``--tag v1.2.3`` it also checks that the release is ready to be published under that tag.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from email.message import Message
from email.parser import BytesParser
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]

PACKAGE_DATA = (  # in the wheel beside modules; a name without * has to be there
    "flame_metric/py.typed",
    "flame_metric/paper/table1.toml",
    "flame_metric/report/*.css",
    "flame_metric/report/*.js",
    "flame_metric/report/templates/*.html",
)
ALWAYS_IN_SOURCE = (".gitignore", "LICENSE", "README.md", "pyproject.toml")
SOURCE_KINDS = (  # in the source archive beside the package; no label maps, frames, banks or weights
    *(f"src/{name}" for name in PACKAGE_DATA),
    *ALWAYS_IN_SOURCE,
    "*.md",
    "*.py",
    "CITATION.cff",
    "Makefile",
    "constraints.txt",
    "docs/_static/*.css",
    "docs/images/*.gif",
    "docs/images/*.png",
    "tests/networks/torchvision_keys.json",
)
MOST_BYTES = {"wheel": 600_000, "source archive": 2_500_000}


class Project(NamedTuple):
    """What the files of the repository say about a release."""

    table: dict[str, Any]  # [project] of pyproject.toml
    include: tuple[str, ...]  # what the source archive holds, from the root
    version: str
    tracked: frozenset[str]  # files in git

    @property
    def base(self) -> str:
        """Name and version, as files of a release begin."""
        return f"{canonicalize_name(self.table['name']).replace('-', '_')}-{self.version}"


def read_project(root: Path = ROOT) -> Project:
    """Read ``pyproject.toml``, ``_version.py`` and the list of files in git."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    hatch = settings["tool"]["hatch"]
    source = (root / hatch["version"]["path"]).read_text(encoding="utf-8")
    (version,) = re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, stdout=subprocess.PIPE, check=True).stdout
    tracked = frozenset(name for name in listed.decode().split("\0") if name)
    include = tuple(name.lstrip("/") for name in hatch["build"]["targets"]["sdist"]["include"])
    return Project(settings["project"], include, version, tracked)


# ── what is in them ──


def wheel_faults(names: Iterable[str], project: Project) -> Iterator[str]:
    """Compare the files of a wheel with the package in git, and each with what belongs into a package."""
    found, info = set(names), f"{project.base}.dist-info"
    package = {name.removeprefix("src/") for name in project.tracked if name.startswith("src/")}
    about = {f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
    required = {name for name in PACKAGE_DATA if "*" not in name}
    yield from _differences("wheel", found, package | about, required)
    for name in sorted(found - about):
        if _is_test(name):
            yield f"the wheel holds {name}: tests are no part of the package"
        elif not (name.startswith("flame_metric/") and name.endswith(".py")) and not _is_any(name, PACKAGE_DATA):
            yield f"the wheel holds {name}, expected modules of flame_metric and {', '.join(PACKAGE_DATA)}"


def source_faults(names: Iterable[str], project: Project) -> Iterator[str]:
    """Compare the files of a source archive with those in git that it is to hold, and each with the kinds allowed."""
    top = f"{project.base}/"
    found = {name.removeprefix(top) for name in names}
    listed = {name for name in project.tracked if any(_is_in(name, place) for place in project.include)}
    yield from _differences("source archive", found, listed | {*ALWAYS_IN_SOURCE, "PKG-INFO"}, set(project.include))
    for name in sorted(found - {"PKG-INFO"}):
        if not _is_any(name, SOURCE_KINDS):
            yield f"the source archive holds {name}: no kind of file that SOURCE_KINDS lists"


def _differences(what: str, found: set[str], expected: set[str], required: set[str]) -> Iterator[str]:
    for name in sorted(expected - found):
        yield f"the {what} lacks {name}"
    for name in sorted(found - expected):
        yield f"the {what} holds {name}, which is not in git: commit it, or have git ignore it"
    for name in sorted(required):
        if not any(_is_in(file, name) for file in found):
            yield f"the {what} lacks {name}, which is not in git either"


def _is_in(name: str, place: str) -> bool:
    return PurePosixPath(name).is_relative_to(place)


def _is_any(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_test(name: str) -> bool:
    *folders, file = PurePosixPath(name).parts
    return "tests" in folders or file.startswith("test_") or file == "conftest.py"


# ── what they say about themselves ──


def metadata_faults(what: str, metadata: Message, project: Project) -> Iterator[str]:
    """Compare metadata with ``pyproject.toml`` and ``_version.py``; requirements have neither caps nor addresses."""
    table = project.table
    wanted = {
        "Name": [table["name"]],
        "Version": [project.version],
        "Summary": [table["description"]],
        "Requires-Python": [table["requires-python"]],
        "License-Expression": [table["license"]],
        "License-File": table["license-files"],
        "Description-Content-Type": ["text/markdown"],
        "Classifier": table["classifiers"],
        "Provides-Extra": list(table["optional-dependencies"]),
        "Project-URL": [f"{name}, {address}" for name, address in table.get("urls", {}).items()],
    }
    for header, values in wanted.items():
        found = metadata.get_all(header, [])
        if sorted(found) != sorted(values):
            yield f"the {what} says {header}: {found}, expected {values}"
    requirements = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    base = sorted(str(each) for each in requirements if each.marker is None)
    if base != sorted(str(Requirement(line)) for line in table["dependencies"]):
        yield f"the {what} requires {base}, expected {table['dependencies']}"
    for each in requirements:
        if each.url or any(limit.operator != ">=" for limit in each.specifier):
            yield f"the {what} requires '{each}', expected lower bounds alone"


def tag_faults(tag: str, project: Project, root: Path = ROOT) -> Iterator[str]:
    """Compare a tag with the version, and look for that version in the changelog."""
    if tag != f"v{project.version}":
        yield f"the tag is {tag}, expected v{project.version}"
    heading = rf"^## \[{re.escape(project.version)}\] - \d{{4}}-\d\d-\d\d$"
    if not re.search(heading, (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE):
        yield f"CHANGELOG.md has no heading '## [{project.version}] - YYYY-MM-DD'"


# ── all of it ──


def faults(folder: Path, project: Project) -> Iterator[str]:
    """Go through the one wheel and the one source archive that a folder is to hold."""
    wheel = folder / f"{project.base}-py3-none-any.whl"
    source = folder / f"{project.base}.tar.gz"
    names = sorted(path.name for path in folder.iterdir())
    if names != sorted((wheel.name, source.name)):
        yield f"{folder} holds {names}, expected {wheel.name} and {source.name}"
        return
    with zipfile.ZipFile(wheel) as archive:
        yield from wheel_faults((entry.filename for entry in archive.infolist() if not entry.is_dir()), project)
        metadata = archive.read(f"{project.base}.dist-info/METADATA")
    with tarfile.open(source) as archive:
        yield from source_faults((entry.name for entry in archive.getmembers() if not entry.isdir()), project)
        file = archive.extractfile(f"{project.base}/PKG-INFO")
        information = file.read() if file else b""
    yield from metadata_faults("wheel", BytesParser().parsebytes(metadata), project)
    if information != metadata:
        yield "wheel and source archive differ in their metadata"
    for what, path in (("wheel", wheel), ("source archive", source)):
        if path.stat().st_size > MOST_BYTES[what]:
            yield f"the {what} has {path.stat().st_size:,} bytes, expected at most {MOST_BYTES[what]:,}"


def main() -> None:
    """Print the faults of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tag", metavar="vVERSION")
    arguments = parser.parse_args()
    project = read_project()
    found = [*faults(arguments.folder, project), *(tag_faults(arguments.tag, project) if arguments.tag else ())]
    if found:
        raise SystemExit("\n".join(found))
    print(f"{project.base}: wheel and source archive hold what they should.")


if __name__ == "__main__":
    main()
