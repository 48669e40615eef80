"""Files that this package reads, of every kind: small, and written by itself or as their formats have it."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import hostile_files as hostile
from flame_metric import FlameMeter, LatencyTrace, OffsetBank, StreamConfig
from flame_metric.jobs.evaluate import Job, evaluate_folders


def png_seeds(_: Path) -> list[bytes]:
    return [hostile.picture(bits, colour, interlacing) for bits, colour in hostile.KINDS for interlacing in (0, 1)]


def frame_seeds(folder: Path) -> list[bytes]:
    from PIL import Image  # noqa: PLC0415 - Pillow is optional

    seeds = [hostile.picture(8, colour, interlacing, opaque=True) for colour in (2, 6) for interlacing in (0, 1)]
    for options in ({}, {"progressive": True}, {"quality": 95, "subsampling": 0}):
        buffer = io.BytesIO()
        pixels = np.random.default_rng(0).integers(0, 256, (13, 17, 3), np.uint8)
        Image.fromarray(pixels).save(buffer, "JPEG", **options)
        seeds.append(buffer.getvalue())
    return seeds


def npy_seeds(_: Path) -> list[bytes]:
    arrays = [np.arange(12).reshape(3, 4).astype(dtype) for dtype in ("uint8", "<i8", ">i2", "uint16")]
    arrays += [np.asfortranarray(arrays[1]), np.random.default_rng(0).random((12, 3, 4), np.float32)]
    return [hostile.npy(array) for array in arrays]


def zip_seeds(_: Path) -> list[bytes]:
    seeds = []
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        names = ("monday/0001.npy", "monday/0002.npy", "tuesday/0001.npy")
        members = [(name, hostile.npy(np.full((3, 4), place)), packing) for place, name in enumerate(names)]
        seeds.append(hostile.zipped(members))
    return seeds


def tar_seeds(_: Path) -> list[bytes]:
    seeds = []
    for kind in ("w", "w:gz", "w:bz2", "w:xz"):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=kind) as archive:
            for place, name in enumerate(("monday/0001.npy", "./monday/0002.npy", f"tuesday/{'long' * 30}/0001.npy")):
                content = hostile.npy(np.full((3, 4), place))
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        seeds.append(buffer.getvalue())
    return seeds


_ONE, _BOTH = ("a",), ("a", "b")  # with one sequence there is no interval, which takes the most time


def _clips() -> dict[str, list[Any]]:
    draw = np.random.default_rng(1)
    labels = draw.choice([0, 1, 2, 255], (2, 5, 3, 4), p=[0.4, 0.3, 0.2, 0.1]).astype(np.uint8)
    return {name: list(maps) for name, maps in zip(_BOTH, labels, strict=True)}


def _meter(names: Sequence[str] = _BOTH, **options: Any) -> FlameMeter:
    meter = FlameMeter(3, **{"latency_ms": 26, "fps": "50/3", "ignore_index": 255, **options})
    for name in names:
        meter.update_sequence(_clips()[name], _clips()["a"], sequence=name)
    meter.update_pair([[0, 1]], [[0, 2]], sequence="open" if names else "")
    return meter


def result_seeds(_: Path) -> list[bytes]:
    return [_meter().compute().to_json().encode(), _meter((), class_names=["x", "y", "z"]).compute().to_json().encode()]


def meter_seeds(_: Path) -> list[bytes]:
    return [_meter().to_json().encode(), _meter((), hardware="GTX").to_json().encode()]


def _bank(names: Sequence[str], *, persistence: bool) -> OffsetBank:
    bank = OffsetBank(3, max_offset=2, fps=15, ignore_index=255, persistence=persistence)
    for name in names:
        labels = _clips()[name]
        targets = [labels[0], None, *labels[2:]]
        bank.update_sequence(_clips()["a"], targets, sequence=name)
    return bank


def bank_seeds(_: Path) -> list[bytes]:
    return [_bank(_ONE, persistence=True).to_bytes(), _bank(_BOTH, persistence=False).to_bytes()]


def _job(folder: Path, names: Sequence[str], job: Job | None = None, **options: Any) -> Any:
    folder = folder / "-".join(names)
    for side in ("preds", "labels"):
        for name in names:
            (folder / side / name).mkdir(parents=True, exist_ok=True)
            for number, array in enumerate(_clips()[name if side == "labels" else "a"]):
                np.save(folder / side / name / f"{number:04}.npy", array)
    settings = {"num_classes": 3, "fps": 15, "latency_ms": 60, "ignore_index": 255, **options}
    return evaluate_folders(folder / "preds", folder / "labels", job=job, **settings)


def evaluation_seeds(folder: Path) -> list[bytes]:
    whole = _job(folder, _ONE, stream=StreamConfig(), max_offset=2, class_names=["x", "y", "z"])
    return [_job(folder, _BOTH).to_json().encode(), whole.to_json().encode()]


def journal_seeds(folder: Path) -> list[bytes]:
    trace = LatencyTrace([40.0, 60.0, 95.5], replay="random")
    seeds = []
    banked = {"latency_ms": None, "trace": trace, "keep_bank": True, "max_offset": 2}
    for names, options in ((_BOTH, {}), (_ONE, banked)):
        path = folder / f"{len(names)}.jsonl"
        _job(folder, names, Job(journal=path), **options)
        seeds.append(path.read_bytes())
    return seeds


def trace_seeds(_: Path) -> list[bytes]:
    trace = LatencyTrace([70, 76.5, 82, 90], warmup_ms=[200], metadata={"device": "GTX 1080 Ti", "batch": 1})
    table = b'time,latency_ms,note\r\n0,70,\r\n1,76.5,"a, b"\r\n2,1/3,x\r\n'
    return [trace.to_json().encode(), trace.to_csv().encode(), b"\xef\xbb\xbf" + table, b"arrival_ms\n0\n33.5\n70\n"]


def description_seeds(folder: Path) -> list[bytes]:
    for video, shift in (("monday", 0), ("tuesday", 1)):
        for side, kind in (("frames", 2), ("labels", 0)):
            (folder / side / video).mkdir(parents=True, exist_ok=True)
            for number in (0, 2, 4):
                content = hostile.picture(8, kind, 0, classes=3, shift=shift)
                (folder / side / video / f"f_{number:04}.png").write_bytes(content)
    everything = """name = "street"
frames = "frames"
labels = "labels"
fps = "30000/1001"
class_names = ["road", "sky", "car"]
ignore_index = 255
label_map = "0:0,1:1,2:2,*:255"
label_prefix = "f_"
frame_prefix = "f_"
step = 2
train = ["monday"]
val = [
  "tuesday", # a comment
]
"""
    return [everything.encode(), b"frames='frames'\nlabels='labels'\nfps=15.5\nclasses=3\n"]


def list_seeds(_: Path) -> list[bytes]:
    return [b"monday\ntuesday\n", b"\xef\xbb\xbfgoat/00000.jpg\r\ngoat/00001.jpg\r\n\r\ncamel/00000.jpg"]


def colours_seeds(_: Path) -> list[bytes]:
    return [b"64 128 64\tAnimal\n192 0 128\t\tArchway\n0 0 0 Void\n"]


def names_seeds(_: Path) -> list[bytes]:
    return [json.dumps({f"name {number}": str(number) for number in range(1, 125)}).encode()]
