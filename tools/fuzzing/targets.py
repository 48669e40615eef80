"""Places at which bytes from strangers come in: files that show the way, and what has to hold of whatever is read.

A target raises nothing if its input was read and is sound, an error of this package if it was refused, and anything
else if a promise was broken.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

import hostile_files as hostile
import png_files as png
import sound_files as sound
from flame_metric import FlameMeter, FlameResult, LatencyTrace, OffsetBank, StreamConfig, confusion_matrix
from flame_metric.cli.inputs import read_evaluation
from flame_metric.core.clock import MAX_NS
from flame_metric.data.folders import LabelFolder
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.places import open_place
from flame_metric.data.splits import read_video_names
from flame_metric.data.vspw import read_class_names
from flame_metric.errors import ConfigError, FlameError
from flame_metric.jobs.clip_journal import read_part
from flame_metric.jobs.evaluate import merge_parts
from flame_metric.jobs.journal import Journal
from flame_metric.latency.formats import read_arrivals, read_trace
from flame_metric.scores.offset_counts import ARRAYS
from flame_metric.scores.ranking import Ranking
from fuzzing import changes
from promises import BrokenPromiseError, plain_json, require, sound_evaluation, sound_result

__all__ = ["TARGETS", "Target"]


@dataclass(frozen=True)
class Target:
    """A place where bytes come in.

    Attributes
    ----------
    name : str
    seeds : callable
        From a folder to write in to inputs that are read.
    run : callable
        Read an input, in that folder.
    parts : callable
        Takes an input apart, so that its parts can be changed.
    hostile : callable
        From the seeds to inputs that were made to do harm.
    most_mib : int
        By so much an input may raise the memory of the process at most.
    needs : tuple of str
        Packages.
    """

    name: str
    seeds: Callable[[Path], Sequence[bytes]]
    run: Callable[[bytes, Path], None]
    parts: changes.Parts
    hostile: Callable[[Sequence[bytes]], Sequence[bytes]] = hostile.texts
    most_mib: int = 256
    needs: tuple[str, ...] = ()

    @property
    def is_possible(self) -> bool:
        """Whether what it needs is installed."""
        return all(find_spec(package) for package in self.needs)


def _file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


# ── images and arrays ──


def _label_png(content: bytes, folder: Path) -> None:
    from flame_metric.data.images import read_label_png  # noqa: PLC0415 - Pillow is optional

    _as_specified(content, read_label_png(_file(folder, "labels.png", content)))


def _frame_image(content: bytes, folder: Path) -> None:
    from flame_metric.data.images import read_frame_image  # noqa: PLC0415 - Pillow is optional

    frame = read_frame_image(_file(folder, "frame.png", content))
    require(frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3, "a frame is RGB of 8 bits")
    if content.startswith(png.SIGNATURE):
        _as_specified(content, frame)


def _as_specified(content: bytes, pixels: Any) -> None:
    try:
        wanted = png.decoded(content)
    except ValueError as error:
        raise BrokenPromiseError(f"read, but the specification of PNG says: {error}") from error
    if wanted is not None:
        wanted = wanted[..., : pixels.shape[2]] if pixels.ndim == 3 else wanted
        require(pixels.shape == wanted.shape and (pixels == wanted).all(), "samples are those of the specification")


def _label_npy(content: bytes, folder: Path) -> None:
    path = _file(folder, "labels.npy", content)
    labels = LabelFolder(folder, {}).read(path, scores=True)
    target = np.zeros(labels.shape[-2:], np.uint8)
    matrix = confusion_matrix(labels, target, num_classes=12, ignore_index=255)
    require(matrix.sum() == target.size, "each pixel is counted")
    if labels.dtype.kind != "f":
        again = np.load(path, allow_pickle=False)
        require(matrix[0].tolist() == [int((again == label).sum()) for label in (*range(12), 255)], "as it lies there")
        mapped = LabelFolder(folder, {}, LabelLookup({0: 1}, "*")).read(path)
        require((mapped == np.where(again == 0, 1, again)).all(), "a label map maps")


# ── archives ──


def _label_zip(content: bytes, folder: Path) -> None:
    files = _stored(_file(folder, "labels.zip", content))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        there = {info.filename: _digest(archive.read(info)) for info in archive.infolist() if not info.is_dir()}
    require(files == there, "files are those that the archive holds")


def _label_tar(content: bytes, folder: Path) -> None:
    start = next((start for start in hostile.COMPRESSIONS if content.startswith(start)), None)
    ending, opened, _ = hostile.COMPRESSIONS[start] if start else ("", contextlib.nullcontext, None)
    files = _stored(_file(folder, f"labels.tar.{ending}".rstrip("."), content))
    with (
        contextlib.suppress(MemoryError),  # the reader takes what it is told to read
        opened(io.BytesIO(content)) as unpacked,
        tarfile.open(fileobj=unpacked, mode="r:", ignore_zeros=True) as archive,
    ):
        require(len(files) == sum(not member.isdir() for member in archive), "no file is left out")


def _stored(path: Path) -> dict[str, str]:
    """Return digests of what an archive holds, by the names that it uses."""
    place = open_place(path)
    require(not isinstance(place, Path), "an archive is not a folder")
    files = [] if isinstance(place, Path) else place.files()
    require(len({file.path for file in files}) == len(files), "each name comes once")
    require(
        not any(".." in file.path.parts or file.path.is_absolute() for file in files), "names lie below the archive"
    )
    found = {}
    for file in files:
        content = file.read()
        require(len(content) == file.size, "a file is as long as the archive says")
        found[file.key] = _digest(content)
    return found


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# ── records ──


def _result(content: bytes, _: Path) -> None:
    sound_result(FlameResult.from_json(_text(content)), _written(content))


def _written(content: bytes) -> Any:
    try:
        return plain_json(_text(content))
    except ValueError as error:
        raise BrokenPromiseError(f"read, but no strict reader of JSON would: {error}") from error


def _meter_state(content: bytes, _: Path) -> None:
    meter = FlameMeter.from_json(_text(content))
    require(FlameMeter.from_json(meter.to_json()).to_json() == meter.to_json(), "what is written is read again")
    sound_result(meter.compute(), _written(content))
    other = FlameMeter.from_config(meter.config)
    other.merge(meter)
    kept = (other.sequences == meter.sequences, other.closed == meter.closed, other.clips.ended == meter.clips.ended)
    require(all(kept), "nothing that was counted is lost in a merge")


def _bank_file(content: bytes, folder: Path) -> None:
    path = _file(folder, "bank.npz", content)
    bank = OffsetBank.load(path)
    again = OffsetBank.from_bytes(bank.to_bytes())
    written, read = _arrays(content), _arrays(bank.to_bytes())
    if list(bank.sequences) == _written(written["header"].tobytes())["sequences"]:
        require(all(np.array_equal(written[name], read[name]) for name in ARRAYS), "counts are as written")
    for offset in range(min(bank.max_offset, 4) + 1):
        with contextlib.suppress(_DECLINED):
            result = bank.score(frame_offset=offset)
            sound_result(result)
            require(again.score(frame_offset=offset) == result, "what is written is read again")
    if bank.fps is not None and all(int(bank.counts_of(name).num_frames[0]) < 1000 for name in bank.sequences):
        with contextlib.suppress(_DECLINED):
            sound_result(bank.stream(50, StreamConfig(extra_latency_ms=30)))


def _arrays(content: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {
            name: np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False) for name in ("header", *ARRAYS)
        }


_DECLINED = FlameError
"""What a question to a bank may end in: a prediction was not given, or an offset is out of reach."""


def _evaluation(content: bytes, folder: Path) -> None:
    evaluation = read_evaluation(_file(folder, "result.json", content))
    _written(content)
    sound_evaluation(evaluation)
    contender = evaluation.contender("one")
    ranking = Ranking((contender, evaluation.contender("other")))
    require(ranking.table() and ranking.to_json(), "it can be compared")


def _journal(content: bytes, folder: Path) -> None:
    path = _file(folder, "job.jsonl", content)
    part = read_part(path)
    with Journal(path, part.configuration, resume=True) as journal:
        require(journal.records.keys() == part.counted.keys(), "a job goes on with what is there")
    again = read_part(path)
    require(again.configuration == part.configuration, "going on changes nothing")
    require(again.counted.keys() == part.counted.keys(), "going on loses nothing")
    sound_evaluation(merge_parts([part], allow_partial=True))


def _trace(content: bytes, folder: Path) -> None:
    path = _file(folder, "trace", content)
    if content.startswith(b"arrival_ms"):
        arrivals = read_arrivals(path)
        require(arrivals == _column(content, "arrival_ms"), "times are as written")
        return
    with contextlib.suppress(FlameError):
        LatencyTrace.from_csv(_text(content))
    trace = read_trace(path)
    require(all(0 <= sample <= MAX_NS for sample in (*trace.samples_ns, *trace.warmup_ns)), "latencies are in range")
    require(LatencyTrace.from_json(trace.to_json()) == trace, "what is written is read again")
    require(LatencyTrace.from_csv(trace.to_csv()).samples_ns == trace.samples_ns, "and as CSV")
    require(min(trace.samples_ns) <= trace.median_ns <= max(trace.samples_ns), "a median is between")
    plain = content.removeprefix(b"\xef\xbb\xbf")
    if plain.lstrip()[:1] == b"{":
        require(list(trace.samples_ns) == _written(plain)["samples_ns"], "samples are as written")
    else:
        samples = _column(content, "latency_ms")
        require([round(sample * 10**6) for sample in samples] == list(trace.samples_ns), "samples are as written")


def _column(content: bytes, name: str) -> list[Fraction]:
    rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) if row]
    names = [heading.strip() for heading in rows[0]]
    names[0] = names[0].removeprefix("#").lstrip()
    require(names.count(name) == 1, "a column that is read is there once")
    return [Fraction(row[names.index(name)]) for row in rows[1:]]


# ── descriptions, lists, options ──


def _description(content: bytes, folder: Path) -> None:
    from flame_metric.data.toml_dataset import toml_dataset  # noqa: PLC0415 - Pillow is optional

    path = _file(folder, "data.toml", content)
    if not _stays(content, folder):
        return
    for split in (None, "val"):
        try:
            dataset = toml_dataset(path, split=split)
        except ConfigError:
            require(split, "without a split no option is wrong")
            continue
        require(dataset.sequences, "a data set has sequences")
        for video in dataset.sequences[:3]:
            require(len(video.frames) == len(video.targets), "as many label maps as frames")
            require(video.frames[0].shape[:2] == (9, 11), "frames are read")
            target = next(target for target in video.targets if target is not None)
            valid = target[target != dataset.ignore_index]
            require(valid.size == 0 or 0 <= valid.min() <= valid.max() < dataset.num_classes, "labels are classes")


def _stays(content: bytes, folder: Path) -> bool:
    """Whether what is described lies in the folder: a description may lead anywhere, and a search might last."""
    try:
        paths = [tomllib.loads(content.decode("utf-8-sig"))[key] for key in ("frames", "labels")]
        places = [Path(os.path.normpath(folder / path)) for path in paths]
    except (ValueError, KeyError, TypeError, RecursionError):
        return True
    return all(place.is_relative_to(folder) for place in places)


def _list(content: bytes, folder: Path) -> None:
    path = _file(folder, "val.txt", content)
    for of_line in (lambda line: line.partition("/")[0], *(() if b"/" in content else (str,))):
        names = read_video_names(path, of_line=of_line)
        require(names and len(set(names)) == len(names), "each video comes once")
        for name in names:
            inside = Path(os.path.normpath(folder / name))
            require(inside.parent == folder and inside.name == name, f"{name!r} is a folder of the data set")


def _colours(content: bytes, folder: Path) -> None:
    from flame_metric.data.camvid import read_colours  # noqa: PLC0415 - Pillow is optional

    colours = read_colours(_file(folder, "label_colors.txt", content))
    require(colours and all(0 <= colour < 2**24 for colour in colours), "colours have three bytes")


def _names(content: bytes, folder: Path) -> None:
    _file(folder, "label_num_dic_final.json", content)
    names = read_class_names(folder)
    written = plain_json(content.removeprefix(b"\xef\xbb\xbf"))
    require(
        len(names) == 124 and all(str(written[name]) == str(label + 1) for label, name in enumerate(names)), "as named"
    )


_IMAGES = ("PIL",)
TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        target.name: target
        for target in (
            Target("label-png", sound.png_seeds, _label_png, changes.by_chunks, hostile.images, 768, _IMAGES),
            Target("frame-image", sound.frame_seeds, _frame_image, changes.by_chunks, hostile.images, 768, _IMAGES),
            Target("label-npy", sound.npy_seeds, _label_npy, changes.as_whole, hostile.arrays),
            Target("label-zip", sound.zip_seeds, _label_zip, changes.by_members, hostile.archives, 512),
            Target("label-tar", sound.tar_seeds, _label_tar, changes.by_blocks, hostile.tars),
            Target("result", sound.result_seeds, _result, changes.as_whole, hostile.records),
            Target("meter", sound.meter_seeds, _meter_state, changes.as_whole, hostile.records),
            Target("evaluation", sound.evaluation_seeds, _evaluation, changes.as_whole, hostile.records),
            Target("bank", sound.bank_seeds, _bank_file, changes.by_members, hostile.archives),
            Target("journal", sound.journal_seeds, _journal, changes.by_entries, hostile.records),
            Target("trace", sound.trace_seeds, _trace, changes.by_lines, hostile.traces),
            Target(
                "description",
                sound.description_seeds,
                _description,
                changes.by_lines,
                hostile.descriptions,
                needs=_IMAGES,
            ),
            Target("list", sound.list_seeds, _list, changes.by_lines),
            Target("colours", sound.colours_seeds, _colours, changes.by_lines, needs=_IMAGES),
            Target("class-names", sound.names_seeds, _names, changes.as_whole, hostile.records),
        )
    }
)
"""All targets, by name."""
