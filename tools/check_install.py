"""The wheel in empty environments: what runs with nothing but it, and with each extra alone.

``python tools/check_install.py dist`` installs the wheel in ``dist`` without extras: its commands run, and whatever
needs an extra says which. Then, in a new environment for each of ``--extras``, what the extra is for has to work.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from email.parser import BytesParser
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
MOST_SECONDS = 600  # for one installation or one program

PROBES = {  # extra: a program that needs it
    "cli": """
from pathlib import Path
import numpy as np
from flame_metric.data.images import write_png
from flame_metric.data.images import read_label_png
import rich
write_png(Path("map.png"), np.eye(4, dtype=np.uint8))
assert (read_label_png(Path("map.png")) == np.eye(4)).all()
""",
    "fast": """
import numpy as np
from flame_metric.core.counting_numba import run_starts
assert run_starts(np.array([1, 1, 2, 2, 2, 1], np.uint8), 6).tolist() == [0, 2, 5]
""",
    "huggingface": """
from pathlib import Path
import numpy as np
from flame_metric import DatasetError
from flame_metric.networks import load_network
Path("network").mkdir()
Path("network/config.json").write_text("{}")
try:
    load_network("network", num_classes=3)
except DatasetError:  # it has no weights
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor
    SegformerForSemanticSegmentation(SegformerConfig(num_labels=3)).save_pretrained("network")
    SegformerImageProcessor(do_resize=False).save_pretrained("network")
network = load_network("network", num_classes=3)
assert network.runner(np.zeros((32, 64, 3), np.uint8)).shape == (32, 64)
""",
    "onnx": """
from base64 import b64decode
from pathlib import Path
import numpy as np
from flame_metric.networks import load_network
Path("network.onnx").write_bytes(b64decode(  # scores are the three channels of the frame
    "CAgSADpVChAKAXgSAXkiCElkZW50aXR5EgFnWh4KAXgSGQoXCAESEwoDEgFuCgIIAwoDEgFoCgMSAXdi"
    "HgoBeRIZChcIARITCgMSAW4KAggDCgMSAWgKAxIBd0IECgAQDQ=="
))
network = load_network("network.onnx", num_classes=3)
assert network.runner(np.full((2, 2, 3), [0, 255, 0], np.uint8)).tolist() == [[1, 1], [1, 1]]
""",
    "plot": """
from flame_metric import LatencyTrace, latency_report
from flame_metric.figures import plot_latencies
figure, axes = plot_latencies(latency_report(LatencyTrace([26, 27, 25, 40]), fps=17))
figure.savefig("latencies.png")
from flame_metric import OffsetBank
from flame_metric.jobs.evaluate import evaluate_bank
from flame_metric.report import write_report
bank = OffsetBank(2, max_offset=1, fps=10)
bank.update_sequence([[[0, 1]]] * 3, [[[0, 1]]] * 3, sequence="clip")
write_report("report.html", {"network": evaluate_bank(bank, latency_ms=70)})
""",
    "remote": """
import numpy as np
from flame_metric.data.remote import open_remote
import fsspec
with fsspec.open("memory://maps/clip/1.npy", "wb") as file:
    np.save(file, np.eye(4, dtype=np.uint8))
(file,) = open_remote("memory://maps").files()
assert file.read().startswith(b"\\x93NUMPY")
""",
    "torch": """
from flame_metric import FlameMetric
import torch
metric = FlameMetric(3, frame_offset=1)
labels = torch.arange(3).repeat(4, 8, 1)
metric.update_sequence(labels, labels, sequence="clip")
assert metric.compute() == 1
""",
    "video": """
import numpy as np
from flame_metric.data.video_file import VideoFile
import av
with av.open("grey.avi", "w") as output:
    stream = output.add_stream("ffv1", rate=17)
    stream.height, stream.width, stream.pix_fmt = 16, 32, "bgr0"
    for level in (10, 20):
        picture = av.VideoFrame.from_ndarray(np.full((16, 32, 3), level, np.uint8), format="rgb24")
        output.mux(stream.encode(picture.reformat(format="bgr0")))
    output.mux(stream.encode())
assert np.unique(VideoFile.open("grey.avi").frame(1)).tolist() == [20]
""",
}
# Those above together, and what development needs.
NOT_TRIED = {"all", "clients", "dev", "docs", "fuzz", "mutation", "peers", "test"}

PACKAGE = """
import sys
import flame_metric
from flame_metric.paper.published import paper_table
assert flame_metric.__file__.startswith(sys.prefix), flame_metric.__file__
assert paper_table()
"""


class Environment:
    """An empty virtual environment into which the pip of this interpreter installs; what runs in it stays there."""

    def __init__(self, folder: Path, requirement: str) -> None:
        builder = venv.EnvBuilder(symlinks=os.name != "nt")
        builder.create(folder)
        places = builder.ensure_directories(folder)
        self.folder, self.python, self.scripts = folder, places.env_exe, Path(places.bin_path)
        constraints = str(ROOT / "constraints.txt")
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--python",
            self.python,
            "install",
            "--quiet",
        ]
        _printed(self._run([*pip, "--constraint", constraints, requirement]))

    def program(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run a program in Python; warnings are errors."""
        return self._run([self.python, "-I", "-W", "error", "-c", text])

    def command(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run an installed command."""
        return self._run([str(self.scripts / name), *words])

    def _run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        without = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(
            words, cwd=self.folder, env=without, capture_output=True, text=True, timeout=MOST_SECONDS, check=False
        )


def _printed(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a program printed, or stop with it if the program failed."""
    if done.returncode:
        raise SystemExit(f"failed with {done.returncode}: {done.args}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def check_base(environment: Environment, version: str) -> None:
    """Run what needs NumPy and SciPy alone; whatever needs an extra has to say which."""
    _printed(environment.program(PACKAGE))
    if (shown := _printed(environment.command("flame-metric", "--version"))) != f"flame-metric {version}":
        raise SystemExit(f"flame-metric --version prints {shown!r}, expected 'flame-metric {version}'")
    if "persistence" not in _printed(environment.command("flame-metric", "demo")):
        raise SystemExit("flame-metric demo prints no table")
    for extra, program in PROBES.items():
        last = environment.program(program).stderr.strip().rpartition("\n")[2]
        kind, _, message = last.partition(": ")
        if kind != "flame_metric.errors.MissingExtraError" or f"pip install 'flame-metric[{extra}]'" not in message:
            raise SystemExit(f"without {extra}: {last!r}, expected a MissingExtraError that names it")
        print(f"  without {extra}: {message}")


def read_wheel(folder: Path) -> tuple[Path, str]:
    """Find the one wheel in a folder, its version, and its extras, each of which has to be known here."""
    (wheel,) = folder.resolve().glob("*.whl")
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = BytesParser().parsebytes(archive.read(name))
    extras = set(metadata.get_all("Provides-Extra", []))
    if unknown := extras - PROBES.keys() - NOT_TRIED:
        raise SystemExit(f"the wheel has the extras {sorted(unknown)}: give PROBES a program for each")
    if missing := PROBES.keys() - extras:
        raise SystemExit(f"the wheel lacks the extras {sorted(missing)}")
    return wheel, metadata["Version"]


def main() -> None:
    """Install and try, and print the seconds that each environment took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--extras", nargs="*", default=list(PROBES), choices=list(PROBES), help="default: all")
    arguments = parser.parse_args()
    wheel, version = read_wheel(arguments.folder)
    for extra in ("", *arguments.extras):
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            environment = Environment(Path(folder), f"{wheel}[{extra}]" if extra else str(wheel))
            installed = time.monotonic()
            if extra:
                _printed(environment.program(PROBES[extra]))
            else:
                check_base(environment, version)
            end = time.monotonic()
        print(f"{wheel.name}[{extra}] works: {installed - start:.0f} s to install, {end - installed:.0f} s to try")


if __name__ == "__main__":
    main()
