"""Options that several commands share: the latency, how a stream is served, and where scores go."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import fields
from typing import TypedDict

from flame_metric.cli.console import progress
from flame_metric.cli.output import STANDARD_OUTPUT, write
from flame_metric.core.iou import MEANS
from flame_metric.core.tables import FORMATS
from flame_metric.errors import ConfigError
from flame_metric.latency.formats import read_trace
from flame_metric.latency.simulate import StreamConfig
from flame_metric.latency.trace import LatencyTrace
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.evaluation import Evaluation

__all__ = [
    "add_latency_options",
    "add_mean_option",
    "add_output_options",
    "add_score_options",
    "add_stream_options",
    "bank_note",
    "check_printed",
    "check_seed",
    "given_trace",
    "names",
    "score_options",
    "stream_config",
    "write_evaluation",
]

_UNLIMITED = "unlimited"
_STREAM_FIELDS = tuple(field.name for field in fields(StreamConfig))


def add_stream_options(parser: argparse.ArgumentParser) -> None:
    """Declare the fields of :class:`StreamConfig`; :func:`stream_config` reads them back."""
    group = parser.add_argument_group("stream")
    group.add_argument(
        "--workers", type=_count, metavar="W", help=f"inferences at a time, or '{_UNLIMITED}' (default: 1)"
    )
    group.add_argument(
        "--queue",
        type=_count,
        metavar="Q",
        help=f"frames that may wait: 1 drops all but the newest (default), '{_UNLIMITED}' drops none",
    )
    group.add_argument(
        "--policy", choices=("greedy", "tail"), help="take a frame at once, or wait where that shows it fresher"
    )
    group.add_argument("--stride", type=int, metavar="S", help="admit only every S-th frame (default: 1)")
    group.add_argument(
        "--tie", choices=("inclusive", "strict"), help="whether a result that is ready just in time counts"
    )
    group.add_argument(
        "--show", choices=("freshest", "last_finished"), help="what is on screen when results overtake each other"
    )
    group.add_argument(
        "--extra-latency-ms", type=float, metavar="X", help="milliseconds by which a result may be late (default: 0)"
    )
    group.add_argument(
        "--replay", choices=("call", "frame", "random"), help="how samples of the trace are used (default: its own)"
    )
    group.add_argument("--seed", type=int, help="seed of a random replay (default: 0)")


def add_latency_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Declare where the delay comes from: a latency, an offset or a trace."""
    delay = parser.add_mutually_exclusive_group(required=required)
    delay.add_argument("--latency-ms", type=float, metavar="L", help="latency of one prediction in milliseconds")
    delay.add_argument("--frame-offset", type=int, metavar="K", help="the offset in frames itself")
    delay.add_argument(
        "--trace",
        metavar="FILE",
        help="measured latencies (JSON, or CSV with a column latency_ms): their median gives the offset, and a stream "
        "is scored that replays them",
    )


def add_score_options(parser: argparse.ArgumentParser) -> None:
    """Declare how much is scored, and where it goes."""
    scores = parser.add_argument_group("scores")
    scores.add_argument(
        "--before-first",
        choices=("skip", "void"),
        default="skip",
        help="leave out labelled frames before the first output, or count them as missed (default: %(default)s)",
    )
    add_mean_option(scores)
    scores.add_argument("--max-offset", type=int, metavar="K", help="print the curve over all offsets up to K")
    scores.add_argument("--hardware", metavar="NAME", help="what the latency was measured on, for the signature")
    add_output_options(parser)


def add_mean_option(group: argparse._ActionsContainer, default: str | None = MEANS[0]) -> None:
    """Declare over which classes scores are means."""
    group.add_argument(
        "--mean-over",
        choices=MEANS,
        default=default,
        help="take means over classes that occur in predictions or labels, in labels, or over all, absent ones as 0 "
        + ("(default: %(default)s)" if default else "(default: as the results have it; labelled where these differ)"),
    )


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Declare where results go; :func:`write_evaluation` reads it back."""
    output = parser.add_argument_group("output")
    output.add_argument("--format", choices=FORMATS, help="of the table that is printed (default: text)")
    output.add_argument("--json", metavar="FILE", help="write counts and scores as JSON; - for standard output")
    output.add_argument("--csv", metavar="FILE", help="write the table as CSV; - for standard output")


def check_seed(arguments: argparse.Namespace, *traces: LatencyTrace | None) -> None:
    """Refuse a seed where no stream replays one of these traces at random.

    Raises
    ------
    ConfigError
        If one is given.
    """
    if arguments.seed is not None and not any(trace is not None and trace.replay == "random" for trace in traces):
        raise ConfigError(
            "--seed is given, but would change nothing: expected samples that a stream replays at random "
            "(--replay random)"
        )


def check_printed(arguments: argparse.Namespace, *options: str) -> None:
    """Refuse options of what is printed where something else goes to standard output.

    Parameters
    ----------
    arguments : Namespace
    *options : str
        Their names, as attributes.

    Raises
    ------
    ConfigError
        If one is given.
    """
    other = next((name for name in ("out", "json", "csv") if getattr(arguments, name, None) == STANDARD_OUTPUT), None)
    given = next((name for name in options if getattr(arguments, name) is not None), None)
    if other is not None and given is not None:
        raise ConfigError(
            f"--{given.replace('_', '-')} is given with --{other} -, in place of which nothing else is printed: "
            f"expected --{other} FILE"
        )


def bank_note(bank: OffsetBank, file: str, incomplete: str | None = None) -> str:
    """Say what to do with a bank that was written; ``incomplete`` is what it lacks, which it cannot say itself."""
    lacks = "" if incomplete is None else f"; INCOMPLETE, and so is what they answer: {incomplete}"
    return f"The counts at offsets 0..{bank.max_offset} are in {file}: flame-metric rescore {file} ...{lacks}"


def names(text: str) -> list[str]:
    """Return names that commas separate."""
    return [name.strip() for name in text.split(",")]


def given_trace(arguments: argparse.Namespace) -> LatencyTrace | None:
    """Return the trace of :func:`add_latency_options`, replayed as :func:`add_stream_options` says.

    Raises
    ------
    DatasetError
        If its file cannot be read or holds no trace.
    ConfigError
        If there is none, but a replay was asked for.
    """
    if arguments.trace is not None:
        return read_trace(arguments.trace, arguments.replay)
    if arguments.replay is not None:
        raise ConfigError(f"--replay {arguments.replay} is given without --trace, expected the samples to replay")
    return None


class AskedScores(TypedDict):
    """What the commands that score ask for in the same words."""

    frame_offset: int | None
    stream: StreamConfig | None
    seed: int
    before_first: str
    mean_over: str
    max_offset: int | None
    hardware: str | None


def score_options(arguments: argparse.Namespace) -> AskedScores:
    """Return what the options of latency, stream and scores ask for, by the names of the library's options."""
    return {
        "frame_offset": arguments.frame_offset,
        "stream": stream_config(arguments),
        "seed": arguments.seed or 0,
        "before_first": arguments.before_first,
        "mean_over": arguments.mean_over,
        "max_offset": arguments.max_offset,
        "hardware": arguments.hardware,
    }


def write_evaluation(
    evaluation: Evaluation, arguments: argparse.Namespace, *more: str, files: Sequence[Callable[[], None]] = ()
) -> None:
    """Write an evaluation as :func:`add_output_options` says; ``more`` stands below the table if that is plain text.

    The table comes first, then JSON and CSV, then ``files``, each of which writes one: hours of counting are not lost
    because one of them cannot be written.
    """
    with progress("resamples") as step:
        evaluation.draw_intervals(step)
    with ExitStack() as outputs:  # calls all of them, the last one first, and raises what was raised after that
        for write_file in reversed(files):
            outputs.callback(write_file)
        if arguments.csv is not None:
            outputs.callback(write, evaluation.table("csv"), arguments.csv)
        if arguments.json is not None:
            outputs.callback(write, evaluation.to_json(), arguments.json)
        if STANDARD_OUTPUT not in (arguments.json, arguments.csv):
            format = arguments.format or "text"
            more = more if format == "text" else ()
            outputs.callback(write, "\n".join([evaluation.table(format), *more]))


def stream_config(arguments: argparse.Namespace) -> StreamConfig | None:
    """Return the stream that was asked for; None if no option of :func:`add_stream_options` was given.

    Raises
    ------
    ConfigError
        If one is out of range, or would change nothing.
    """
    given = {name: getattr(arguments, name) for name in _STREAM_FIELDS if getattr(arguments, name) is not None}
    if arguments.show == "last_finished" and arguments.workers in (None, 1):
        raise ConfigError("--show last_finished would change nothing: results of one worker never overtake each other")
    unlimited = {name: None for name, value in given.items() if value == _UNLIMITED}
    return StreamConfig(**{**given, **unlimited}) if given else None


def _count(text: str) -> int | str:
    if text == _UNLIMITED:
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor '{_UNLIMITED}'") from None
