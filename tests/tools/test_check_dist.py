"""The check of a release finds what does not belong in it, on archives made here."""

import io
import tarfile
import zipfile
from email.message import Message

import pytest
from check_dist import (
    MOST_BYTES,
    Project,
    faults,
    metadata_faults,
    source_faults,
    tag_faults,
    wheel_faults,
)

TABLE = {
    "name": "flame-metric",
    "description": "Latency",
    "requires-python": ">=3.11",
    "license": "Apache-2.0",
    "license-files": ["LICENSE"],
    "classifiers": ["Typing :: Typed"],
    "dependencies": ["numpy>=2.0"],
    "optional-dependencies": {"cli": ["pillow>=10.3"]},
}
PACKAGE = {"flame_metric/__init__.py", "flame_metric/py.typed", "flame_metric/paper/table1.toml"}
INFO = {
    f"flame_metric-1.2.0.dist-info/{name}"
    for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
}
SOURCE = {
    *(f"src/{name}" for name in PACKAGE),
    "tests/core/test_counting.py",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    ".gitignore",
}
METADATA = b"""\
Metadata-Version: 2.5
Name: flame-metric
Version: 1.2.0
Summary: Latency
License-Expression: Apache-2.0
License-File: LICENSE
Classifier: Typing :: Typed
Requires-Python: >=3.11
Requires-Dist: numpy>=2.0
Provides-Extra: cli
Requires-Dist: pillow>=10.3; extra == 'cli'
Description-Content-Type: text/markdown

# flame-metric
"""


def project(*more_in_git: str) -> Project:
    return Project(TABLE, ("src", "tests"), "1.2.0", frozenset({*SOURCE, ".ci/run", *more_in_git}))


def in_archive(names):
    return {f"flame_metric-1.2.0/{name}" for name in {*names, "PKG-INFO"}}


def as_message(changes=()):
    message = Message()
    lines = METADATA.decode().partition("\n\n")[0].splitlines()
    for header, value in (line.split(": ", 1) for line in lines):
        message[header] = value
    for header, value in changes:
        del message[header]
        message[header] = value
    return message


@pytest.fixture
def build(tmp_path):
    """Write a wheel and a source archive, right ones unless something is changed."""

    def write(wheel=(), source=(), metadata=METADATA, information=METADATA, weight=0):
        with zipfile.ZipFile(tmp_path / "flame_metric-1.2.0-py3-none-any.whl", "w") as archive:
            for name in {*PACKAGE, *INFO, *wheel}:
                archive.writestr(name, metadata if name.endswith("METADATA") else b"")
        with tarfile.open(tmp_path / "flame_metric-1.2.0.tar.gz", "w") as archive:
            for name in in_archive({*SOURCE, *source}):
                content = information if name.endswith("PKG-INFO") else b" " * weight
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return tmp_path

    return write


# ── contents ──


def test_right_archives_have_no_faults(build) -> None:
    assert list(faults(build(), project())) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("flame_metric/test_counting.py", ": tests are no part of the package"),
        ("flame_metric/tests/helpers.py", ": tests are no part of the package"),
        ("flame_metric/conftest.py", ": tests are no part of the package"),
        ("tests/core/test_counting.py", ": tests are no part of the package"),
        ("flame_metric/data/frame.png", ", expected modules of flame_metric and flame_metric/py.typed, "),
        ("flame_metric/__pycache__/bank.pyc", ", expected modules of flame_metric and flame_metric/py.typed, "),
        ("benchmarks/common.py", ", expected modules of flame_metric and flame_metric/py.typed, "),
    ],
)
def test_what_does_not_belong_in_a_wheel(name: str, why: str) -> None:
    """It is found even where it is in git beside the package."""
    (found,) = wheel_faults(PACKAGE | INFO | {name}, project(f"src/{name}"))
    assert found.startswith(f"the wheel holds {name}{why}")
    stray, again = wheel_faults(PACKAGE | INFO | {name}, project())
    assert stray == f"the wheel holds {name}, which is not in git: commit it, or have git ignore it"
    assert again == found


@pytest.mark.parametrize(
    "name", ["flame_metric/scores/bank.py", "flame_metric/report/page.css", "flame_metric/report/templates/page.html"]
)
def test_modules_and_the_files_of_the_page_belong_in_a_wheel_once_they_are_in_git(name: str) -> None:
    assert list(wheel_faults(PACKAGE | INFO | {name}, project(f"src/{name}"))) == []
    assert list(wheel_faults(PACKAGE | INFO, project(f"src/{name}"))) == [f"the wheel lacks {name}"]
    assert len(list(wheel_faults(PACKAGE | INFO | {name}, project()))) == 1


def test_a_wheel_without_licence_or_types() -> None:
    licence = "flame_metric-1.2.0.dist-info/licenses/LICENSE"
    assert list(wheel_faults((PACKAGE | INFO) - {licence}, project())) == [f"the wheel lacks {licence}"]
    bare = project()._replace(tracked=frozenset(SOURCE - {"src/flame_metric/py.typed"}))
    assert list(wheel_faults((PACKAGE | INFO) - {"flame_metric/py.typed"}, bare)) == [
        "the wheel lacks flame_metric/py.typed, which is not in git either"
    ]


@pytest.mark.parametrize(
    "name", ["tests/data/frame.png", "tests/bank.npz", "src/flame_metric/weights.pt", "tests/a.whl"]
)
def test_data_does_not_belong_in_a_source_archive(name: str) -> None:
    fault = f"the source archive holds {name}: no kind of file that SOURCE_KINDS lists"
    assert list(source_faults(in_archive(SOURCE | {name}), project(name))) == [fault]


def test_a_source_archive_with_more_or_less_than_git() -> None:
    assert list(source_faults(in_archive(SOURCE | {"tests/try.py"}), project())) == [
        "the source archive holds tests/try.py, which is not in git: commit it, or have git ignore it"
    ]
    assert list(source_faults(in_archive(SOURCE - {"README.md"}), project())) == ["the source archive lacks README.md"]
    assert list(source_faults(in_archive(SOURCE), project("tests/core/test_iou.py"))) == [
        "the source archive lacks tests/core/test_iou.py"
    ]
    more = project()._replace(include=("src", "tests", "SECURITY.md"))
    assert list(source_faults(in_archive(SOURCE), more)) == [
        "the source archive lacks SECURITY.md, which is not in git either"
    ]


def test_a_folder_with_another_version_or_an_archive_too_many(build) -> None:
    folder = build()
    (found,) = faults(folder, project()._replace(version="1.3.0"))
    assert found.endswith("expected flame_metric-1.3.0-py3-none-any.whl and flame_metric-1.3.0.tar.gz")
    (folder / "flame_metric-1.1.0.tar.gz").touch()
    (found,) = faults(folder, project())
    assert "flame_metric-1.1.0.tar.gz" in found


def test_faults_of_files_are_found_in_archives(build) -> None:
    found = list(faults(build(wheel=["flame_metric/test_x.py"], source=["tests/x.npy"]), project()))
    assert [line.split(" holds ")[0] for line in found] == ["the wheel"] * 2 + ["the source archive"] * 2


def test_an_archive_that_is_too_large(build) -> None:
    size = MOST_BYTES["source archive"] // len(SOURCE)
    (found,) = faults(build(weight=size), project())
    assert found.startswith("the source archive has ")
    assert found.endswith(" bytes, expected at most 2,500,000")


# ── metadata ──


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Version", "1.2.1"),
        ("Requires-Python", ">=3.10"),
        ("License-Expression", "MIT"),
        ("Classifier", "Private :: Do Not Upload"),
        ("Provides-Extra", "test"),
        ("Project-URL", "Source, https://example.org"),
    ],
)
def test_metadata_that_is_not_that_of_the_project(header: str, value: str) -> None:
    (found,) = metadata_faults("wheel", as_message([(header, value)]), project())
    assert found.startswith(f"the wheel says {header}: ['{value}'], expected ")


def test_requirements() -> None:
    assert list(metadata_faults("wheel", as_message(), project())) == []
    for requirement in ("numpy>=2.0,<3", "numpy @ https://example.org/numpy.whl"):
        base, capped = metadata_faults("wheel", as_message([("Requires-Dist", requirement)]), project())
        assert base.startswith("the wheel requires ['numpy")
        assert capped.endswith("expected lower bounds alone")
    (capped,) = metadata_faults("wheel", with_extra("torch==2.13.0; extra == 'cli'"), project())
    assert capped == "the wheel requires 'torch==2.13.0; extra == \"cli\"', expected lower bounds alone"


def with_extra(requirement):
    message = as_message()
    message["Requires-Dist"] = requirement
    return message


def test_wheel_and_source_archive_agree(build) -> None:
    other = METADATA.replace(b"# flame-metric", b"# Flame")
    assert list(faults(build(information=other), project())) == ["wheel and source archive differ in their metadata"]


# ── a tag ──


def test_a_tag_names_the_version_that_the_changelog_dates(tmp_path) -> None:
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text("## [Unreleased]\n\n## [1.2.0] - 2026-12-01\n\n### Added\n", encoding="utf-8")
    assert list(tag_faults("v1.2.0", project(), tmp_path)) == []
    assert list(tag_faults("1.2.0", project(), tmp_path)) == ["the tag is 1.2.0, expected v1.2.0"]
    changelog.write_text("## [Unreleased]\n", encoding="utf-8")
    assert list(tag_faults("v1.2.0", project(), tmp_path)) == ["CHANGELOG.md has no heading '## [1.2.0] - YYYY-MM-DD'"]
