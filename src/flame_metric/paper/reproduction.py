"""The paper's experiments, from a few choices to finished tables: what ``flame-metric reproduce`` calls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from flame_metric.core.checks import check_choice, check_integer
from flame_metric.core.clock import milliseconds_to_ns, unit_notes
from flame_metric.core.files import write_whole
from flame_metric.data.videos import VideoDataset
from flame_metric.errors import ConfigError
from flame_metric.latency.conditions import Conditions
from flame_metric.latency.measure import describe_host
from flame_metric.latency.trace import LatencyTrace
from flame_metric.networks.names import NAMES
from flame_metric.paper.experiment import Experiment, Progress, silent
from flame_metric.paper.interrupts import Stopped
from flame_metric.paper.latencies import measure_latencies, paper_latencies
from flame_metric.paper.parallel import join_ranks
from flame_metric.paper.presets import PRESETS, Preset
from flame_metric.paper.table1 import Table1, make_table1
from flame_metric.paper.translations import NETWORK, TranslationTable, make_translation_table
from flame_metric.paper.videos import open_training_and_test
from flame_metric.torch.ranks import this_rank
from flame_metric.torch.timer import as_device, describe_torch

__all__ = ["EXPERIMENTS", "reproduce"]

EXPERIMENTS = ("table1", "translations")
_TRANSLATIONS = (9, 17)


def reproduce(
    preset: Preset | str = "quick",
    *,
    experiment: str = "table1",
    networks: Sequence[str] | None = None,
    translations: Sequence[int] | None = None,
    data: str = "synthetic",
    latency: str | Mapping[str, float] = "paper",
    seed: int = 0,
    device: str = "cpu",
    weights: str | None = None,
    workers: int = 0,
    amp: str | None = None,
    compile: str | None = None,
    out: Path | None = None,
    progress: Progress = silent,
    clock: Callable[[], float] = time.monotonic,
) -> Table1 | TranslationTable:
    """Train networks of the paper and score them.

    Under torchrun the ranks share each training and each scoring, and all return the same table.

    Parameters
    ----------
    preset : Preset or {"quick", "paper"}
        Recipes, and the networks if none are named.
    experiment : {"table1", "translations"}
        Table 1, or section 5.4, which is only of SwiftNet-R18.
    networks : sequence of str, optional
    translations : sequence of int, optional
        The N of section 5.4; default: 9 and 17. It has no meaning in Table 1.
    data : str
        As :func:`~flame_metric.paper.videos.open_training_and_test` takes it.
    latency : {"paper", "measured"} or Mapping of str to float
        Milliseconds of each network, from which its k follows: the paper's, measured on ``device`` at the size of the
        test frames, or given.
    seed : int
        Of everything that is drawn.
    device : str
        ``"cpu"``, ``"cuda"``, ... Under torchrun ``"cuda"`` is the GPU of each rank.
    weights : str, optional
        File or address for the backbones, in place of those that the preset begins from.
    workers, amp, compile
        As :func:`~flame_metric.paper.training.train` takes them.
    out : Path, optional
        Folder for the tables (JSON, Markdown, LaTeX), checkpoints, logs, counts of test videos and measured latencies.
        A second call resumes where the first was stopped.
    progress : callable, optional
        From a text to a context manager that yields what is called with (done, all).
    clock : callable
        Seconds.

    Raises
    ------
    ConfigError
        If an option is out of range, or options contradict each other.
    DatasetError
        If data or weights are missing or damaged.
    StateError
        If a checkpoint in ``out`` is of another training.
    Stopped
        After Ctrl-C, if a training was finished and scored; with the table of those that were.
    """
    begun = clock()
    check_choice("experiment", experiment, EXPERIMENTS)
    if isinstance(preset, str):
        check_choice("preset", preset, tuple(PRESETS))
        preset = PRESETS[preset]
    chosen = _chosen(networks, preset, experiment)
    check_integer("seed", seed, 0)
    if translations is not None and experiment != "translations":
        raise ConfigError(
            f"`translations` changes nothing in {experiment}, expected `experiment` 'translations' beside it"
        )
    if weights is not None and preset.weights is None:
        raise ConfigError(
            f"`weights` is {weights!r} with the preset {preset.name!r}, whose networks begin from random weights; "
            "expected a preset that begins from weights, such as 'paper'"
        )
    if out is not None:
        _check_folder(out)
    training, test = open_training_and_test(data)
    with join_ranks(device) as place:
        found, remarks = this_rank().from_first(lambda: _latencies(latency, chosen, test, place, out, amp=amp))
        setting = Experiment(
            training=training,
            test=test,
            recipe=preset.recipe,
            start=preset.start,
            seed=seed,
            device=place,
            out=out,
            weights=weights or preset.weights,
            amp=amp,
            channels_last=True,
            workers=workers,
            compile=compile,
            progress=progress if this_rank().rank == 0 else silent,
        )
        about: dict[str, Any] = {
            "preset": preset.name,
            "data": data,
            "training": {"videos": len(training.sequences), "frames": _frames(training)},
            "test": {"videos": len(test.sequences), "frames": _frames(test), "size": _size(test)},
            "fps": str(test.fps),
            "weights": weights or preset.weights,
            "latency": latency if isinstance(latency, str) else "given",
            "latency_notes": remarks,
            "seed": seed,
            "amp": amp,
            "host": describe_host(),
            "torch": describe_torch(as_device(place)),
        }
        table: Table1 | TranslationTable
        try:
            if experiment == "table1":
                table = make_table1(setting, found, about=about)
            else:
                table = make_translation_table(
                    setting, found[NETWORK], _TRANSLATIONS if translations is None else translations, about=about
                )
        except Stopped as stopped:
            raise Stopped(replace(stopped.table, about={**about, "seconds": clock() - begun})) from None
        table = replace(table, about={**about, "seconds": clock() - begun})
        if out is not None:
            this_rank().from_first(lambda: _write(table, out, experiment))
    return table


def _chosen(networks: Sequence[str] | None, preset: Preset, experiment: str) -> tuple[str, ...]:
    if experiment == "translations":
        if networks is not None and tuple(networks) != (NETWORK,):
            raise ConfigError(f"`networks` is {', '.join(networks)}, expected only {NETWORK} for translations")
        return (NETWORK,)
    chosen = preset.networks if networks is None else tuple(dict.fromkeys(networks))
    for network in chosen:
        check_choice("networks", network, NAMES)
    if not chosen:
        raise ConfigError(f"`networks` is empty, expected some of {', '.join(NAMES)}")
    return chosen


def _latencies(
    latency: str | Mapping[str, float],
    networks: Sequence[str],
    test: VideoDataset,
    device: torch.device,
    out: Path | None,
    *,
    amp: str | None,
) -> tuple[dict[str, float], list[str]]:
    """Return the latency of each network, and where it was measured under other conditions than it is scored."""
    if latency == "paper":
        return paper_latencies(networks), []
    if latency == "measured":
        traces = {name: _measured(name, test, device, out) for name in networks}
        here = Conditions.from_metadata(
            {**describe_host(), **describe_torch(device), "dtype": "float32", "autocast": amp}
        )
        conditions = {name: Conditions.of_trace(trace) for name, trace in traces.items()}
        remarks = [
            f"{name}: {note}"
            for name, there in conditions.items()
            for note in (*there.notes(sizes={_size(test)}), *there.differences(here))
        ]
        found = {name: trace.median_ms for name, trace in traces.items()}
        return found, [*remarks, *_unit_notes(found, test)]
    if isinstance(latency, str):
        raise ConfigError(f"`latency` is {latency!r}, expected 'paper', 'measured', or milliseconds by network")
    missing = [name for name in networks if name not in latency]
    unused = [name for name in latency if name not in networks]
    if missing or unused:
        raise ConfigError(
            f"`latency` gives {', '.join(latency) or 'none'}, expected one for each of {', '.join(networks)}"
        )
    for milliseconds in latency.values():
        milliseconds_to_ns(milliseconds)
    found = {name: float(latency[name]) for name in networks}
    return found, _unit_notes(found, test)


def _unit_notes(latencies_ms: Mapping[str, float], test: VideoDataset) -> list[str]:
    return [f"{name}: {note}" for name, latency in latencies_ms.items() for note in unit_notes(latency, test.fps)]


def _measured(network: str, test: VideoDataset, device: torch.device, out: Path | None) -> LatencyTrace:
    """Measure a network, or read what was measured before: a run that resumes keeps its k."""
    kept = None if out is None else out / network / "latency.json"
    if kept is not None and kept.exists():
        return LatencyTrace.from_json(kept.read_text(encoding="utf-8"))
    height, width = _size(test)
    trace = measure_latencies([network], test.num_classes, height=height, width=width, device=device)[network]
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, trace.to_json().encode())
    return trace


def _size(dataset: VideoDataset) -> tuple[int, int]:
    """Return height and width of the first labelled frame."""
    first = dataset.sequences[0]
    height, width, _ = first.frames[first.labelled[0]].shape
    return height, width


def _check_folder(out: Path) -> None:
    """Make the folder, or say that it cannot be: now, not after hours of training."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"`out` is {out}, expected a folder, or a place to make one: {error.strerror}") from error
    if not os.access(out, os.W_OK):
        raise ConfigError(f"`out` is {out}, expected a folder that may be written")


def _frames(dataset: VideoDataset) -> int:
    return sum(len(video.frames) for video in dataset.sequences)


def _write(table: Table1 | TranslationTable, out: Path, experiment: str) -> None:
    write_whole(out / f"{experiment}.json", table.to_json().encode())
    for ending, format in (("md", "markdown"), ("tex", "latex")):
        write_whole(out / f"{experiment}.{ending}", table.render(format).encode())
