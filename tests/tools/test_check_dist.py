"""The check of a release finds what does not belong in it, on archives made here; each extra has its program."""

import io
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path

import check_dist
import pytest

VERSION = "src/flame_metric/_version.py"
TRACKED = {VERSION, "tests/test_iou.py", "LICENSE", "README.md", "pyproject.toml", ".gitignore", ".ci/run"}
SETTINGS = f"""
[tool.hatch.version]
path = "{VERSION}"
[tool.hatch.build.targets.sdist]
include = ["/src", "/tests"]
"""


@pytest.fixture
def found(tmp_path, monkeypatch):
    """Make a release of a small repository, right unless something is changed, and return what is wrong with it."""
    contents = {"pyproject.toml": SETTINGS, VERSION: '"""Doc."""\n\n__version__ = "1.2.0"\n'}
    for name in TRACKED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(contents.get(name, ""), encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n\n## [1.2.0] - 2026-12-01\n", encoding="utf-8")
    answer = subprocess.CompletedProcess([], 0, "\0".join([*TRACKED, ""]).encode())
    monkeypatch.setattr(check_dist.subprocess, "run", lambda *_, **__: answer)

    def faults(wheel=frozenset(), source=frozenset(), tag=None):
        """``wheel``, ``source``: files that are there and should not, or the other way round."""
        info = "flame_metric-1.2.0.dist-info/METADATA"
        with zipfile.ZipFile(tmp_path / "flame_metric-1.2.0-py3-none-any.whl", "w") as archive:
            for name in {VERSION.removeprefix("src/"), info} ^ wheel:
                archive.writestr(name, "")
        with tarfile.open(tmp_path / "flame_metric-1.2.0.tar.gz", "w:gz") as archive:
            for name in ((TRACKED - {".ci/run"}) | {"PKG-INFO"}) ^ source:
                archive.addfile(tarfile.TarInfo(f"flame_metric-1.2.0/{name}"), io.BytesIO())
        return list(check_dist.faults(tmp_path, tmp_path, tag))

    return faults


def test_a_release_that_is_right(found) -> None:
    assert found(tag="v1.2.0") == []


def test_files_that_are_missing_or_in_excess(found) -> None:
    assert found(wheel={"flame_metric/try.py"}) == ["the wheel holds src/flame_metric/try.py, which is not in git"]
    assert found(wheel={"flame_metric/_version.py"}) == [f"the wheel lacks {VERSION}"]
    assert found(source={"tests/try.py"}) == ["the source archive holds tests/try.py, which is not in git"]
    assert found(source={"README.md"}) == ["the source archive lacks README.md"]
    assert found(source={".ci/run"}) == ["the source archive holds .ci/run, which is not in git"]


def test_a_tag_names_the_version_that_the_changelog_dates(found, tmp_path) -> None:
    assert found(tag="1.2.0") == ["the tag is 1.2.0, expected v1.2.0"]
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n", encoding="utf-8")
    assert found(tag="v1.2.0") == ["CHANGELOG.md has no heading '## [1.2.0] - YYYY-MM-DD'"]


def test_each_extra_of_users_has_a_program() -> None:
    project = tomllib.loads((check_dist.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    development = {"all", "clients", "dev", "docs", "fuzz", "mutation", "peers", "test"}
    assert check_dist.PROBES.keys() == project["optional-dependencies"].keys() - development


@pytest.mark.parametrize(
    ("extra", "printed", "is_right"),
    [
        ("cli", "", True),
        ("onnx", "Traceback\nflame_metric.errors.DatasetError: network.onnx is damaged\n", True),
        ("cli", "ModuleNotFoundError: No module named 'rich'\n", False),
        ("", "flame_metric.errors.MissingExtraError: pip install 'flame-metric[{0}]'\n", True),
        ("", "flame_metric.errors.MissingExtraError: pip install 'flame-metric[cli]'\n", False),
        ("", "", False),
    ],
)
def test_what_runs_in_an_empty_environment(extra, printed, is_right, monkeypatch) -> None:
    def run(words, folder, *, may_fail=False):
        names = [name for name, program in check_dist.PROBES.items() if program == words[-1]]
        return printed.format(*names) if may_fail else ""

    monkeypatch.setattr(check_dist, "_run", run)
    monkeypatch.setattr(check_dist.venv, "create", lambda folder, **_: Path(folder))
    if is_right:
        check_dist.check_install(Path("a.whl"), extra)
    else:
        with pytest.raises(SystemExit, match=rf"^with {extra or 'no extra'}, what needs \w+ ends with: "):
            check_dist.check_install(Path("a.whl"), extra)
