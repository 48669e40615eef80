"""``flame-metric run``: measure a network here, run it over videos, and score what it says when it says it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flame_metric.cli.console import progress, report, silent
from flame_metric.cli.job_options import add_job_options, check_job, is_part, make_job, part_note, partial_table
from flame_metric.cli.network_options import add_timing_options, add_torch_options, timing_options, torch_options
from flame_metric.cli.options import (
    add_latency_options,
    add_score_options,
    add_stream_options,
    bank_note,
    check_seed,
    names,
    score_options,
    write_evaluation,
)
from flame_metric.cli.output import check_folders, save_bank, write, writing
from flame_metric.cli.ranks import evaluation_of_all, joined_ranks, journal_of, local_device, several_ranks
from flame_metric.core.files import digest_of
from flame_metric.data.registry import DATASETS, open_dataset
from flame_metric.data.videos import VideoDataset
from flame_metric.errors import ConfigError
from flame_metric.jobs.outputs import evaluate_line
from flame_metric.jobs.run import Display, NetworkRun, measure_network, read_latency, run_network
from flame_metric.latency.formats import read_trace
from flame_metric.latency.report import latency_report
from flame_metric.latency.trace import LatencyTrace
from flame_metric.networks.load import MODEL_FORMS, load_network
from flame_metric.networks.network import Network

if TYPE_CHECKING:
    from flame_metric.torch.ranks import Ranks

__all__ = ["add_parser", "run"]

_AUDIT_FAILED = 1
_LATENCIES = ("latency_ms", "frame_offset", "trace")
_MODEL = ("weights", "frames", "translations", "mean", "std", "output", "upsample", "resize", "dtype")
_DATA_FORMS = "\n".join(f"{kind.form}\n    {kind.about}" for kind in DATASETS.values())
_EPILOG = f"""\
MODEL is one of:
{MODEL_FORMS}
DATA is one of:
{_DATA_FORMS}

examples:
  flame-metric run swiftnet-r18 cityscapes:/data/cityscapes --weights swiftnet.pt --device cuda
  flame-metric run my_network:build synthetic --audit
  flame-metric run segformer/ camvid:/data/camvid,step=2 --bank bank.npz --overlays pictures/
  flame-metric run network.onnx synthetic --trace jetson.json --label-maps predictions/
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "run",
        help="run a network over videos and score it with its own latency",
        description="Measures the latency of a network on this machine, runs it on the frames that its scores need, "
        "and prints static mIoU, FLAME, the score on a stream, and the persistence baseline.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="see below")
    parser.add_argument("data", metavar="DATA", help="see below")
    parser.add_argument("--split", metavar="NAME", help="train, val or test (default: that of the data set)")

    model = parser.add_argument_group("network")
    model.add_argument("--weights", metavar="FILE", help="trained weights of a named network, or 'random'")
    model.add_argument("--frames", type=int, metavar="N", help="input frames, the oldest first (default: 1)")
    model.add_argument(
        "--translations", type=int, metavar="N", help="of SwiftNet-R18 with weights for a stem of N moved copies"
    )
    model.add_argument("--mean", type=_numbers, metavar="R,G,B", help="of pixels 0..1 (default: ImageNet's)")
    model.add_argument("--std", type=_numbers, metavar="R,G,B", help="the same: standard deviation")
    model.add_argument("--output", metavar="NAME", help="which of several outputs of a file")
    model.add_argument(
        "--resize",
        choices=("none", "processor"),
        help="whether a folder's network gets frames at their own size or as its image processor resizes them",
    )
    model.add_argument(
        "--upsample", choices=("bilinear",), help="enlarge scores of a lower resolution, as part of what is timed"
    )
    add_torch_options(model)

    add_latency_options(parser, required=False)
    timing = parser.add_argument_group("latency, where it is measured")
    add_timing_options(timing)
    timing.add_argument("--pace", action="store_true", help="make calls at the frame rate of the videos")
    add_stream_options(parser)
    add_score_options(parser)
    add_job_options(parser)
    files = parser.add_argument_group("files and checks")
    files.add_argument("--save-trace", metavar="FILE", help="write the measured latencies as JSON")
    files.add_argument(
        "--bank", metavar="FILE", help="keep the counts at every offset (.npz), for flame-metric rescore"
    )
    files.add_argument("--label-maps", metavar="DIR", help="write the label maps of all frames that are run, as PNG")
    files.add_argument(
        "--overlays", metavar="DIR", help="write pictures: predictions over their frame and the current one"
    )
    files.add_argument(
        "--overlay-frames", type=names, default=(), metavar="VIDEO/FRAME,..", help="which (default: one of 4 videos)"
    )
    files.add_argument(
        "--audit", action="store_true", help="check that what was timed is what was scored; exit code 1 if it is not"
    )
    files.add_argument("--audit-json", metavar="FILE", help="write what the audit found")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Run the network and print the scores; 1 if an audit failed."""
    _check(arguments)
    with joined_ranks(arguments) as ranks, partial_table(arguments, part=ranks is not None):
        if ranks is None:
            network, dataset = _load(arguments)
            found = _run(arguments, network, dataset)
        else:
            of_all = _run_on(ranks, arguments)
            if of_all is None:
                return 0
            found, dataset = of_all
    if is_part(arguments):
        write(part_note(found.evaluation, arguments))
    else:
        _write(found, dataset, arguments)
    return 0 if found.audit is None or found.audit.passed else _AUDIT_FAILED


def _load(arguments: argparse.Namespace) -> tuple[Network, VideoDataset]:
    dataset = open_dataset(arguments.data, split=arguments.split)
    given = {name: getattr(arguments, name) for name in _MODEL if getattr(arguments, name) is not None}
    options = torch_options(arguments)
    if "device" in options:
        options["device"] = local_device(options["device"])
    network = load_network(
        arguments.model, num_classes=dataset.num_classes, class_names=dataset.class_names, **given, **options
    )
    return network, dataset


def _run(
    arguments: argparse.Namespace,
    network: Network,
    dataset: VideoDataset,
    *,
    trace: LatencyTrace | None = None,
    display: Display = progress,
) -> NetworkRun:
    """Run a network; ``trace`` is what was measured for all ranks."""
    if arguments.trace is not None:
        trace = read_trace(arguments.trace, arguments.replay)
    with writing():
        return run_network(
            network,
            dataset,
            latency_ms=arguments.latency_ms,
            trace=trace,
            replay=arguments.replay or "random",
            timing=_timing(arguments, dataset),
            audit=arguments.audit,
            label_maps=arguments.label_maps,
            overlays=arguments.overlays,
            overlay_frames=arguments.overlay_frames,
            display=display,
            keep_bank=arguments.bank is not None,
            **score_options(arguments),
            about=_about(arguments),
            job=make_job(arguments),
        )


def _run_on(ranks: Ranks, arguments: argparse.Namespace) -> tuple[NetworkRun, VideoDataset] | None:
    """Run a network on several ranks, with the latency that rank 0 measures; None on the others."""
    loaded: list[tuple[Network, VideoDataset]] = []
    is_given = any(getattr(arguments, name) is not None for name in _LATENCIES)
    replay, show = arguments.replay or "random", progress if ranks.rank == 0 else silent

    def load() -> bytes:
        loaded.append(_load(arguments))
        kept = None
        if arguments.resume and arguments.journal is not None and not is_given:
            kept = read_latency(journal_of(ranks, arguments.journal))
        return b"" if kept is None else kept.to_json().encode()

    def measure() -> bytes:
        if ranks.rank != 0:
            return b""
        timing = _timing(arguments, dataset)
        with show("samples", background=False) as step:
            return measure_network(network, dataset, progress=step, **timing).replayed(replay).to_json().encode()

    found = [content for content in ranks.from_all(load) if content]
    network, dataset = loaded[0]
    trace = None
    if not is_given:
        trace = LatencyTrace.from_json((found or ranks.from_all(measure))[0].decode()).replayed(replay)
    evaluation = evaluation_of_all(
        ranks, arguments, lambda mine: _run(mine, network, dataset, trace=trace, display=show).evaluation
    )
    return None if evaluation is None else (NetworkRun(evaluation, trace), dataset)


def _timing(arguments: argparse.Namespace, dataset: VideoDataset) -> dict[str, Any]:
    return {**timing_options(arguments), "pace_fps": dataset.fps if arguments.pace else None}


def _about(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what distinguishes a network in a journal; on which device it runs, and how fast, is left open."""
    about = {name: getattr(arguments, name) for name in (*_MODEL, "amp") if getattr(arguments, name) is not None}
    for name in ("model", "weights"):
        file = Path((getattr(arguments, name) or "").removeprefix("pt2:"))
        if file.name and file.exists():  # else it is a name, which is kept as it is
            about[name] = digest_of(file)
    return about


def _check(arguments: argparse.Namespace) -> None:
    files = {name: getattr(arguments, name) for name in ("json", "csv", "save_trace", "bank", "audit_json")}
    check_job(arguments, arguments.trace, **files)
    check_folders(label_maps=arguments.label_maps, overlays=arguments.overlays)
    latency = next((name for name in _LATENCIES if getattr(arguments, name) is not None), None)
    if arguments.audit and several_ranks():
        raise ConfigError(
            "--audit is given on several ranks of torchrun, expected one process: it compares all outputs"
        )
    for name in ("save_trace", "audit", "pace", "samples", "warmup", "time_cap"):
        value = getattr(arguments, name)
        if latency is not None and value is not None and value is not False:
            raise ConfigError(
                f"--{name.replace('_', '-')} is given with --{latency.replace('_', '-')}, expected a latency that is "
                "measured here"
            )
    if arguments.replay is not None and latency in ("latency_ms", "frame_offset"):
        raise ConfigError(f"--replay {arguments.replay} is given without samples to replay")
    if arguments.trace is not None:
        check_seed(arguments, read_trace(arguments.trace, arguments.replay))
    elif latency is not None or arguments.replay not in (None, "random"):
        check_seed(arguments)
    if arguments.audit_json is not None and not arguments.audit:
        raise ConfigError("--audit-json is given without --audit")


def _write(found: NetworkRun, dataset: VideoDataset, arguments: argparse.Namespace) -> None:
    measured = arguments.trace is None and found.trace is not None
    more: list[str] = []
    files: list[Callable[[], None]] = []
    if found.trace is not None and measured:
        more += [latency_report(found.trace, fps=found.evaluation.flame.config.fps).table(), ""]
        if arguments.save_trace is not None:
            files.append(partial(write, found.trace.to_json(), arguments.save_trace))
    bank = found.evaluation.bank
    if arguments.bank is not None and bank is not None:
        files.append(partial(save_bank, bank, arguments.bank))
        more.append(bank_note(bank, arguments.bank, found.evaluation.incomplete))
    if arguments.label_maps is not None:
        labels = "label maps that hold classes" if dataset.label_options is None else "the label maps of the videos"
        line = evaluate_line(arguments.label_maps, dataset, found.evaluation.flame.config)
        more += [f"Label maps are in {arguments.label_maps}. With {labels} in LABELS, this scores them again:", line]
    more += [f"Overlays are in {arguments.overlays}."] if arguments.overlays is not None else []
    if found.audit is not None:
        more += ["", found.audit.table()]
        if arguments.audit_json is not None:
            files.append(partial(write, found.audit.to_json(), arguments.audit_json))
    write_evaluation(found.evaluation, arguments, *more, files=files)
    if found.audit is not None and not found.audit.passed:
        report(
            "audit", f"failed: {'; '.join(f'{one.name}: {one.found}' for one in found.audit.checks if not one.passed)}"
        )


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} are not numbers, expected such as 0.485,0.456,0.406") from None
