"""``flame-metric report``: one HTML page on a network, or on several, that opens without a network."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from flame_metric.cli.console import progress
from flame_metric.cli.inputs import NetworkFiles, read_networks, split_name
from flame_metric.cli.options import add_stream_options, check_seed, stream_config
from flame_metric.cli.output import STANDARD_OUTPUT, check_outputs, write
from flame_metric.data.registry import open_dataset
from flame_metric.errors import ConfigError
from flame_metric.jobs.evaluate import evaluate_bank
from flame_metric.latency.simulate import StreamConfig
from flame_metric.scores.evaluation import Evaluation

__all__ = ["add_parser", "run"]

_EXAMPLES = """\
files:
  FILE is what `flame-metric run` or `flame-metric evaluate` wrote: a result (--json), a bank (--bank), or a
  latency trace (--save-trace). A result says what was found; with its bank, the page can show other
  latencies, cameras, hardware and streams; with its trace, streams replay what was measured. Files of one
  NAME are one network. Without NAME they are called by their files, or by their folders where files share
  a name; a single result and a single bank belong together whatever they are called.

examples:
  flame-metric report result.json bank.npz --output report.html
  flame-metric report result.json bank.npz trace.json --frames synthetic --label-maps predictions/
  flame-metric report SwiftNet=swift.json SwiftNet=swift.npz DeepLab=deeplab.json DeepLab=deeplab.npz
  flame-metric report bank.npz --latency-ms 76 --workers 1
"""
_DELAYS = ("latency_ms", "frame_offset")
_PICTURES = ("split", "clip", "max_frames", "width")
_MAX_FRAMES = 30
_WIDTH = 480


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "report",
        help="make one HTML page of scores, curves and frames, to look at and to step through",
        description="Scores with what they mean, as a page that needs no network and loads nothing.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", metavar="[NAME=]FILE", help="results, banks and latency traces, see below")
    parser.add_argument(
        "-o", "--output", default="report.html", metavar="FILE", help="default: %(default)s; - for standard output"
    )
    parser.add_argument("--title", metavar="TEXT", help="of the page (default: the networks' names)")

    pictures = parser.add_argument_group("frames to look at")
    pictures.add_argument("--frames", metavar="DATA", help="the data set, as `flame-metric run` takes it")
    pictures.add_argument("--split", metavar="NAME", help="train, val or test (default: that of the data set)")
    pictures.add_argument(
        "--label-maps",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="what `flame-metric run --label-maps` wrote; once for each network",
    )
    pictures.add_argument("--clip", metavar="VIDEO", help="which video (default: the first with labels)")
    pictures.add_argument("--max-frames", type=int, metavar="N", help=f"default: {_MAX_FRAMES}")
    pictures.add_argument("--width", type=int, metavar="W", help=f"pixels at most (default: {_WIDTH})")

    delay = parser.add_argument_group("banks without a result").add_mutually_exclusive_group()
    delay.add_argument("--latency-ms", type=float, metavar="L", help="latency of one prediction in milliseconds")
    delay.add_argument("--frame-offset", type=int, metavar="K", help="the offset in frames itself")
    parser.add_argument("--hardware", metavar="NAME", help="what that latency was measured on, for the signature")
    add_stream_options(parser)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Read what there is of each network, make the page, write it."""
    from flame_metric.report import report_page  # noqa: PLC0415  jinja2 is optional, and no other command needs it

    check_outputs(output=arguments.output)
    _check_output(arguments.output, arguments.files)
    if (arguments.frames is None) != (not arguments.label_maps):
        raise ConfigError("--frames and --label-maps are not given together, expected both for frames, or neither")
    for option in _PICTURES:
        if arguments.frames is None and getattr(arguments, option) is not None:
            raise ConfigError(f"--{option.replace('_', '-')} is given without --frames, expected frames to look at too")
    stream = stream_config(arguments)
    networks = read_networks(arguments.files, replay=arguments.replay)
    _check(networks, arguments, stream)
    evaluations = {name: _evaluation(name, found, arguments, stream) for name, found in networks.items()}
    with progress("settings") as step:
        page = report_page(
            evaluations,
            traces={name: found.trace for name, found in networks.items() if found.trace is not None},
            stream=stream,
            seed=arguments.seed or 0,
            dataset=None if arguments.frames is None else open_dataset(arguments.frames, split=arguments.split),
            label_maps=_label_maps(arguments.label_maps, list(networks)),
            clip=arguments.clip,
            max_frames=_MAX_FRAMES if arguments.max_frames is None else arguments.max_frames,
            width=_WIDTH if arguments.width is None else arguments.width,
            title=arguments.title,
            command=arguments.command,
            progress=step,
        )
    write(page, arguments.output)
    if arguments.output != STANDARD_OUTPUT:
        write(f"The report is in {arguments.output} ({len(page.encode()) / 1e6:.1f} MB): open it in a browser.")


def _check_output(output: str, files: list[str]) -> None:
    """Refuse to write the page over what it is made from: ``-o`` is easily given a result's name."""
    read = {Path(split_name(text)[1]).resolve() for text in files}
    if output != STANDARD_OUTPUT and Path(output).resolve() in read:
        raise ConfigError(f"--output {output} is one of the files to read, which it would replace: expected another")


def _check(networks: dict[str, NetworkFiles], arguments: argparse.Namespace, stream: StreamConfig | None) -> None:
    if alone := [name for name, found in networks.items() if found.result is None and found.bank is None]:
        raise ConfigError(f"{alone[0]} is only a trace, expected a result or a bank of the same name")
    delay = next((name for name in _DELAYS if getattr(arguments, name) is not None), None)
    lone = [name for name, found in networks.items() if found.result is None]
    if delay is None and (without := [name for name in lone if networks[name].trace is None]):
        raise ConfigError(
            f"{without[0]} is only a bank, which knows no latency: expected its result too, under the same name "
            "(NAME=FILE), or --latency-ms"
        )
    for option in (*_DELAYS, "hardware"):
        if getattr(arguments, option) is not None and not lone:
            raise ConfigError(f"--{option.replace('_', '-')} is given, but each network has a result that says it")
    if arguments.replay is not None and all(found.trace is None for found in networks.values()):
        raise ConfigError(f"--replay {arguments.replay} is given without a trace, expected the samples to replay")
    check_seed(arguments, *(found.trace for found in networks.values() if found.bank is not None))
    results = [found.result for found in networks.values()]
    if stream is not None and all(result is not None and result.streaming is not None for result in results):
        raise ConfigError(
            "a stream is described, but each network has a result with one: expected `rescore` to change it"
        )
    if stream is not None and all(found.bank is None for found in networks.values()):
        raise ConfigError("a stream is described, but no network has a bank, expected one to score it from")


def _evaluation(
    name: str, found: NetworkFiles, arguments: argparse.Namespace, stream: StreamConfig | None
) -> Evaluation:
    if found.result is not None:
        return replace(found.result, bank=found.bank)
    if found.bank is None:  # checked before
        raise ConfigError(f"{name} has neither a result nor a bank")
    return evaluate_bank(
        found.bank,
        latency_ms=arguments.latency_ms,
        frame_offset=arguments.frame_offset,
        trace=found.trace,
        stream=stream,
        seed=arguments.seed or 0,
        hardware=arguments.hardware,
    )


def _label_maps(texts: list[str], names: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, folder = split_name(text)
        if not name and len(names) > 1:
            raise ConfigError(f"--label-maps {text} is of no network, expected NAME=DIR with one of {', '.join(names)}")
        name = name or names[0]
        if name in found:
            raise ConfigError(f"--label-maps is given twice for {name}, expected one folder for each network")
        found[name] = folder
    return found
