"""No file of the current folder stands in for an installed package: a named module is looked for there, last."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flame_metric
from damaged_files import png, write_label_maps
from flame_metric.cli import main
from flame_metric.errors import ConfigError
from flame_metric.networks.factory import call_factory

PACKAGE = Path(flame_metric.__file__).parent


def packages_of(source: str) -> Iterator[str]:
    """Packages that are neither Python's nor this one, and that a file imports wherever in it."""
    for node in ast.walk(ast.parse(source)):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module or ""]
        for module in modules:
            name = module.split(".")[0]
            if name not in sys.stdlib_module_names and name != "flame_metric":
                yield name


AT_ONCE = {"numpy"}  # comes with the package itself, which `python -m` imports before anything of it can run
NO_COMMAND = {"matplotlib", "torchmetrics"}  # for figures and metrics in Python
SHADOWED = {name for file in PACKAGE.rglob("*.py") for name in packages_of(file.read_text(encoding="utf-8"))} - AT_ONCE

SHADOW = """\
from pathlib import Path
(Path(__file__).parent / f"{Path(__file__).stem}.ran").touch()
raise SystemExit(f"{__file__} was run")
"""
MINE = """\
import beside_mine

def build():
    return lambda image: image[..., 0] // 64

def torch_module():
    import torch
    return torch.nn.Conv2d(3, 2, 1)
"""
LAUNCHER = """\
import atexit, json, os, sys
from pathlib import Path
from flame_metric.core import compiled
from flame_metric.cli import main
if "COMPILED" in os.environ:
    compiled.LOAD_AFTER = 0
atexit.register(lambda: Path(__file__).with_suffix(".json").write_text(json.dumps(sorted(sys.modules))))
sys.exit(main())
"""


@dataclass(frozen=True)
class Command:
    """Words of a command, its exit code, and the packages that it imports."""

    words: str
    packages: set[str] = field(default_factory=set)
    code: int = 0


VIDEOS = "synthetic:videos=1,num_frames=3,height=32,width=64"
SCORE = "--num-classes 3 --fps 10 --frame-offset 1"
COMMANDS = [
    Command(f"run mine:build {VIDEOS} --latency-ms 60 --workers 1 --overlays pictures", {"PIL", "rich"}),
    Command("run mine:build folders:videos.toml --frame-offset 1", {"av"}, 3),
    Command(f"run network.onnx {VIDEOS} --frame-offset 1", {"onnxruntime"}, 3),
    Command(f"run network.pt2 {VIDEOS} --frame-offset 1", code=2),
    Command("latency mine:build --shape 8,8,3 --samples 20", {"scipy"}),
    Command(f"evaluate preds labels {SCORE} --max-offset 2", {"PIL", "rich"}),
    Command(f"evaluate preds labels {SCORE}", {"numba"}),
    Command(f"evaluate memory://preds memory://labels {SCORE}", {"fsspec", "aiohttp"}, 3),
    Command("rescore bank.npz --latency-ms 50 --target-miou 0.1"),
    Command("compare A=result.json B=result.json"),
    Command("merge part.jsonl"),
    Command("simulate --latency-ms 76 --fps 15"),
    Command("report result.json bank.npz --output page.html", {"jinja2"}),
    Command("demo --json videos", code=2),  # a folder: refused when all is imported, before 10 seconds of work
]
PROGRAM = Command(f"run pt2:network.pt2 {VIDEOS} --frame-offset 1", {"torch"}, 3)
REPRODUCE = Command(f"reproduce --data {VIDEOS} --device nowhere", {"torch"}, 2)
SLOW_COMMANDS = [
    Command(f"run flame_metric.demo:segmenter {VIDEOS} --frame-offset 1"),
    Command(f"run huggingface {VIDEOS} --frame-offset 1", {"torch", "transformers"}, 3),
    Command("latency mine:torch_module --shape 3,4,4 --samples 3", {"torch"}),
    PROGRAM,
    Command(f"run swiftnet-r18 {VIDEOS} --weights random --frame-offset 1", {"torch"}),
    REPRODUCE,
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files for all commands, and one beside them in the name of each package."""
    folder = tmp_path_factory.mktemp("world")
    maps = np.arange(48).reshape(6, 8) % 3
    form, content = ("png", png(maps)) if find_spec("PIL") else ("npy", maps)
    names = [f"{side}/clip/{frame}.{form}" for side in ("preds", "labels") for frame in range(4)]
    write_label_maps(folder, dict.fromkeys(names, content))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        kept = ["--max-offset", "2", "--bank", "bank.npz", "--json", "result.json"]
        assert main(["evaluate", "preds", "labels", *SCORE.split(), *kept, "--journal", "part.jsonl"]) == 0
    hugging_face = {
        "config": {"model_type": "segformer", "num_labels": 8},
        "preprocessor_config": {"image_processor_type": "SegformerImageProcessor", "do_resize": False},
    }
    (folder / "huggingface").mkdir()
    for name, record in hugging_face.items():
        (folder / "huggingface" / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
    description = 'frames = "videos"\nlabels = "labels"\nfps = 10\nclasses = 3\n'
    (folder / "videos.toml").write_text(description, encoding="utf-8")
    (folder / "videos").mkdir()
    for name in ("network.onnx", "network.pt2", "videos/clip.mkv"):
        (folder / name).touch()
    (folder / "mine.py").write_text(MINE, encoding="utf-8")
    (folder / "beside_mine.py").touch()
    for name in SHADOWED:
        (folder / f"{name}.py").write_text(SHADOW, encoding="utf-8")
    return folder


def started(folder: Path, launcher: list[str], words: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; ``PYTHONPATH`` holds this package alone, as a full path."""
    shutil.rmtree(folder / "pictures", ignore_errors=True)  # of the command before, as are marks
    for mark in folder.glob("*.ran"):
        mark.unlink()
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), **more}
    environment.pop("PYTHONSAFEPATH", None)
    return subprocess.run(
        [sys.executable, *launcher, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def check_no_shadow_runs(command: Command, folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    """Look for what a shadow leaves; without a package that is needed the exit code is another."""
    assert [path.name for path in folder.glob("*.ran")] == []
    assert "was run" not in done.stdout + done.stderr
    if all(find_spec(package) for package in command.packages):
        assert done.returncode == command.code, done.stderr


def each(commands: list[Command], *, slow: bool) -> list[Any]:
    marks = [pytest.mark.slow] if slow else []
    return [pytest.param(command, id=command.words, marks=marks) for command in commands]


@pytest.mark.parametrize("command", [*each(COMMANDS, slow=False), *each(SLOW_COMMANDS, slow=True)])
def test_an_installed_command_runs_no_shadow(command: Command, world: Path, tmp_path: Path) -> None:
    """Its path begins with the folder of the script, as that of the installed one does."""
    script = tmp_path / "flame_metric_script.py"
    script.write_text(LAUNCHER, encoding="utf-8")
    compiled = {"COMPILED": "1"} if "numba" in command.packages else {}
    done = started(world, [str(script)], command.words.split(), **compiled)
    check_no_shadow_runs(command, world, done)
    loaded = json.loads(script.with_suffix(".json").read_text(encoding="utf-8"))
    if all(find_spec(package) for package in command.packages):
        assert command.packages <= set(loaded), "the command no longer imports what it is here for"


def test_a_module_that_is_started_runs_no_shadow(world: Path) -> None:
    """``python -m`` puts the current folder first."""
    for command in COMMANDS:
        check_no_shadow_runs(command, world, started(world, ["-m", "flame_metric"], command.words.split()))


@pytest.mark.parametrize("command", each([PROGRAM, REPRODUCE], slow=True))
def test_a_module_that_is_started_runs_no_shadow_of_pytorch(command: Command, world: Path) -> None:
    check_no_shadow_runs(command, world, started(world, ["-m", "flame_metric"], command.words.split()))


def test_all_commands_and_packages_are_tried(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    names = {
        line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ") and line[4] != " "
    }
    tried = [*COMMANDS, *SLOW_COMMANDS]
    assert {command.words.split()[0] for command in tried} == names
    assert set().union(*(command.packages for command in tried)) == SHADOWED - NO_COMMAND


def test_a_shadow_would_be_seen(world: Path) -> None:
    done = started(world, ["-c", "import torchmetrics"], [])
    assert "was run" in done.stderr
    assert (world / "torchmetrics.ran").exists()


# ── the path ──

SEEN = "import json, sys\nseen = list(sys.path)\ndef build():\n    return lambda image: image\n"
AT_THE_CALL = "import json, sys\ndef build():\n    print(json.dumps(sys.path))\n    return lambda image: image\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder; modules of these tests are forgotten."""
    folder, before = tmp_path / "here", set(sys.modules)
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield folder
    for name in set(sys.modules) - before:
        if name.endswith("_of_path_tests"):
            del sys.modules[name]


def test_the_folder_is_last_and_only_while_a_module_is_imported(here: Path) -> None:
    (here / "seen_of_path_tests.py").write_text(SEEN, encoding="utf-8")
    before = list(sys.path)
    assert call_factory("seen_of_path_tests:build")(3) == 3
    assert sys.modules["seen_of_path_tests"].seen == [*before, str(Path.cwd())]
    assert sys.path == before


def test_of_two_modules_the_installed_one_is_taken(here: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    installed.mkdir()
    for folder in (installed, here):
        text = f"def build():\n    return lambda image: {folder.name!r}\n"
        (folder / "twice_of_path_tests.py").write_text(text, encoding="utf-8")
    sys.path.append(str(installed))
    assert call_factory("twice_of_path_tests:build")(0) == "installed"


@pytest.mark.parametrize("text", ["raise SystemExit(3)", "import not_installed", "def", "raise KeyboardInterrupt"])
def test_the_path_is_restored_if_an_import_fails(text: str, here: Path) -> None:
    (here / "fails_of_path_tests.py").write_text(text, encoding="utf-8")
    before = list(sys.path)
    with pytest.raises((ConfigError, KeyboardInterrupt)):
        call_factory("fails_of_path_tests:build")
    assert sys.path == before
    with pytest.raises(
        ConfigError, match=r"there is no module 'nowhere_of_path_tests' in .*here or among the packages"
    ):
        call_factory("nowhere_of_path_tests:build")
    assert sys.path == before


def test_what_a_module_adds_to_the_path_stays(here: Path) -> None:
    own = str(here / "own")
    text = f"import sys\nsys.path.insert(0, {own!r})\nsys.path.append({own!r})\n{SEEN}"
    (here / "adds_of_path_tests.py").write_text(text, encoding="utf-8")
    before = list(sys.path)
    call_factory("adds_of_path_tests:build")
    assert sys.path == [own, *before, own]


def test_a_module_may_empty_the_path(here: Path) -> None:
    (here / "empties_of_path_tests.py").write_text(f"{SEEN}sys.path.clear()\n", encoding="utf-8")
    call_factory("empties_of_path_tests:build")
    assert sys.path == []


def test_a_factory_finds_installed_packages_alone(here: Path) -> None:
    text = "def build():\n    import beside_of_path_tests"
    (here / "lazy_of_path_tests.py").write_text(text, encoding="utf-8")
    (here / "beside_of_path_tests.py").touch()
    with pytest.raises(ConfigError, match=r"build\(\) failed: ModuleNotFoundError: No module named 'beside_of"):
        call_factory("lazy_of_path_tests:build")


def test_a_package_in_the_current_folder_is_not_taken_off_the_path(tmp_path: Path) -> None:
    """As in the folder ``src`` of a checkout."""
    for name in ("alone", "source"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(AT_THE_CALL, encoding="utf-8")
    (tmp_path / "source" / "flame_metric").symlink_to(PACKAGE, target_is_directory=True)
    words = ["latency", "mine:build", "--shape", "1,2", "--samples", "1", "--warmup", "0"]
    for name, first in (("alone", False), ("source", True)):
        done = started(tmp_path / name, ["-m", "flame_metric"], words)
        assert done.returncode == 0, done.stderr
        path = json.loads(done.stdout.splitlines()[0])
        assert (path[0] == str((tmp_path / name).resolve())) is first
        assert first or str((tmp_path / name).resolve()) not in path
