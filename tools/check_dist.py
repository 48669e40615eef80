"""What is released is what is in git, and works in empty environments: with nothing but it, and with each extra.

``python tools/check_dist.py dist`` compares the wheel and the source archive in ``dist`` with git, installs the wheel,
and looks for the version of ``--tag v1.2.3``. check-wheel-contents and twine check the rest.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOAD = "from pathlib import Path; from flame_metric.networks import load_network; Path('{0}').{1}; "
LOAD += "load_network('{0}', num_classes=3)"
PROBES = {  # extra: a program that needs it; it may say that a file is damaged
    "cli": "import flame_metric.data.images; import rich",
    "fast": "import flame_metric.core.counting_numba",
    "huggingface": LOAD.format("network", "mkdir(); Path('network/config.json').write_text('{}')"),
    "onnx": LOAD.format("network.onnx", "touch()"),
    "plot": "from flame_metric.figures import plot_latencies; import flame_metric.report",
    "remote": "from flame_metric.data.remote import open_remote; open_remote('memory://nothing')",
    "torch": "from flame_metric import FlameMetric; FlameMetric(3, frame_offset=1)",
    "video": "import flame_metric.data.video_file",
}


def faults(folder: Path, root: Path = ROOT, tag: str | None = None) -> Iterator[str]:
    """Say where a wheel and a source archive differ from git, and a tag from the version and the changelog."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    (version,) = re.findall('"(.+)"', (root / settings["version"]["path"]).read_text(encoding="utf-8").splitlines()[-1])
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, stdout=subprocess.PIPE, check=True).stdout
    tracked = set(listed.decode().rstrip("\0").split("\0"))
    base = f"flame_metric-{version}"
    with zipfile.ZipFile(folder / f"{base}-py3-none-any.whl") as wheel:
        found = {f"src/{name}" for name in wheel.namelist() if not name.startswith(f"{base}.dist-info/")}
    yield from _differences("wheel", found, {name for name in tracked if name.startswith("src/")})
    places = [place.lstrip("/") for place in settings["build"]["targets"]["sdist"]["include"]]
    places += [".gitignore", "LICENSE", "README.md", "pyproject.toml"]  # of which hatchling takes care
    with tarfile.open(folder / f"{base}.tar.gz") as archive:
        found = {entry.name.removeprefix(f"{base}/") for entry in archive if entry.isfile()} - {"PKG-INFO"}
    wanted = {name for name in tracked if any(Path(name).is_relative_to(place) for place in places)}
    yield from _differences("source archive", found, wanted)
    if tag and tag != f"v{version}":
        yield f"the tag is {tag}, expected v{version}"
    if tag and f"\n## [{version}] - " not in (root / "CHANGELOG.md").read_text(encoding="utf-8"):
        yield f"CHANGELOG.md has no heading '## [{version}] - YYYY-MM-DD'"


def _differences(what: str, found: set[str], tracked: set[str]) -> Iterator[str]:
    yield from (f"the {what} lacks {name}" for name in sorted(tracked - found))
    yield from (f"the {what} holds {name}, which is not in git" for name in sorted(found - tracked))


def check_install(wheel: Path, extra: str = "") -> None:
    """Install a wheel in an empty environment, and run what it has to do there."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, symlinks=os.name != "nt")
        places = Path(folder, "Scripts" if os.name == "nt" else "bin")
        pip = [sys.executable, "-m", "pip", "--python", str(places / "python"), "install", "--quiet"]
        _run(
            [*pip, "--constraint", str(ROOT / "constraints.txt"), f"{wheel}[{extra}]" if extra else str(wheel)], folder
        )
        if not extra:
            _run([str(places / "flame-metric"), "demo"], folder)
        for name in [extra] if extra else PROBES:
            done = _run([str(places / "python"), "-I", "-W", "error", "-c", PROBES[name]], folder, may_fail=True)
            expected = r"^(.*DatasetError: .+)?$" if extra else rf"^.*MissingExtraError: .+flame-metric\[{name}\]"
            if not re.match(expected, done.strip().rpartition("\n")[2]):
                raise SystemExit(f"with {extra or 'no extra'}, what needs {name} ends with: {done}")


def _run(words: list[str], folder: str, *, may_fail: bool = False) -> str:
    without = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(words, cwd=folder, env=without, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode and not may_fail:
        raise SystemExit(f"failed with {done.returncode}: {words}\n{done.stdout}{done.stderr}")
    return done.stderr


def main() -> None:
    """Print the faults of a folder, or try its wheel."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tag", metavar="vVERSION")
    parser.add_argument("--extras", nargs="*", default=list(PROBES), choices=list(PROBES), help="default: all")
    arguments = parser.parse_args()
    if found := list(faults(arguments.folder, tag=arguments.tag)):
        raise SystemExit("\n".join(found))
    (wheel,) = arguments.folder.resolve().glob("*.whl")
    for extra in ("", *arguments.extras):
        check_install(wheel, extra)
        print(f"{wheel.name}[{extra}] works in an empty environment")


if __name__ == "__main__":
    main()
