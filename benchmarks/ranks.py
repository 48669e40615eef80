"""Sharing a job out: `evaluate` and `run` on ranks of torchrun, and in shards that are merged, equal one process.

    python benchmarks/ranks.py [--ranks 1,2,3,4,8] [--shards 1,2,3,5,8]

Seven clips of a street, of 2 to 38 frames, are scored by one process; then by so many ranks, and in so many shards,
which `merge` joins. With eight, one of them has no clip at all. Results (counts, scores, intervals, notes) and banks
are compared byte by byte. The latency is measured once, by one process, and given to all others.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import machine, markdown
from PIL import Image

import flame_metric
from flame_metric.data.synthetic import CLASS_NAMES, VOID, synthetic_video

LENGTHS = (30, 2, 17, 5, 38, 9, 24)
EVALUATE = ["evaluate", "predictions", "labels", "--num-classes", "8", "--ignore-index", "255", "--fps", "50/3"]
EVALUATE += ["--latency-ms", "76", "--workers", "1", "--max-offset", "4"]
RUN = ["run", "flame_metric.demo:segmenter", "folders:street.toml", "--max-offset", "4"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


def make_data(folder: Path) -> None:
    """Write frames and label maps, and a file that says what they are."""
    for clip, length in enumerate(LENGTHS):
        video = synthetic_video(num_frames=length, height=64, width=128, seed=clip)
        for kind, images in (("frames", video.frames), ("labels", video.targets)):
            (folder / kind / f"clip{clip}").mkdir(parents=True)
            for number, image in enumerate(images):
                Image.fromarray(np.asarray(image)).save(folder / kind / f"clip{clip}" / f"{number:04}.png")
    (folder / "street.toml").write_text(
        f'frames = "frames"\nlabels = "labels"\nfps = "50/3"\nignore_index = {VOID}\n'
        f"class_names = {list(CLASS_NAMES)!r}\n"
    )


def python(folder: Path, *words: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(flame_metric.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr}")


def outputs(name: str) -> list[str]:
    return ["--json", f"{name}.json", "--bank", f"{name}.npz"]


def on_ranks(folder: Path, words: list[str], number: int) -> None:
    python(folder, *TORCHRUN, str(number), "-m", "flame_metric", *words, *outputs("shared"))


def in_shards(folder: Path, words: list[str], number: int) -> None:
    parts = [f"part{index}.jsonl" for index in range(1, number + 1)]
    for index, part in enumerate(parts, start=1):
        share = ["--shard", f"{index}/{number}", "--journal", part, "--bank", "shared.npz"]
        python(folder, "-m", "flame_metric", *words, *share)
    python(folder, "-m", "flame_metric", "merge", *parts, *outputs("shared"))
    for part in parts:
        (folder / part).unlink()


def same(folder: Path) -> bool:
    endings = (".json", ".npz")
    equal = all((folder / f"shared{end}").read_bytes() == (folder / f"alone{end}").read_bytes() for end in endings)
    for end in endings:
        (folder / f"shared{end}").unlink()
    return equal


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=numbers, default=[1, 2, 3, 4, 8], metavar="N,...")
    parser.add_argument("--shards", type=numbers, default=[1, 2, 3, 5, 8], metavar="N,...")
    arguments = parser.parse_args()
    ways = (("ranks of torchrun", on_ranks, arguments.ranks), ("shards, merged", in_shards, arguments.shards))
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder)
        once = ["--save-trace", "trace.json", "--label-maps", "predictions"]
        python(folder, "-m", "flame_metric", *RUN, *once)
        for words in (EVALUATE, [*RUN, "--trace", "trace.json"]):
            python(folder, "-m", "flame_metric", *words, *outputs("alone"))
            for way, share_out, tried in ways:
                equal = []
                for number in tried:
                    share_out(folder, words, number)
                    if same(folder):
                        equal.append(number)
                rows.append([words[0], way, *(", ".join(map(str, values)) for values in (tried, equal))])
    print(f"{machine()}\n")
    print(markdown(["command", "shared out to", "tried", "equal"], rows))
    if any(tried != equal for *_, tried, equal in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
