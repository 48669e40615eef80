"""``flame-metric simulate``: what runs and what is on screen, for a latency and a frame rate."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from typing import Any

from flame_metric.cli.options import add_stream_options, check_printed, check_seed, stream_config
from flame_metric.cli.output import STANDARD_OUTPUT, check_outputs, write
from flame_metric.core.clock import milliseconds_to_ns
from flame_metric.errors import ConfigError
from flame_metric.latency.formats import read_arrivals, read_trace
from flame_metric.latency.simulate import StreamConfig, simulate_stream
from flame_metric.latency.stream_report import stream_record, stream_table, stream_title
from flame_metric.latency.timeline import stream_timeline
from flame_metric.latency.trace import LatencyTrace

__all__ = ["add_parser", "run"]

_FRAMES = 20
_DRAWN = 60
_WIDTH = 80, 100  # columns: at least, even in a narrow terminal; at most, and where there is no terminal

_HOW_TO_READ = """\
how to read it:
  Columns are time. '0>>>>' is an inference on frame 0, as long as it takes. Below it stand the
  frames that were dropped, the frame whose prediction is on screen when a frame arrives ('-' for
  nothing yet), and how many frames old that prediction is.

files:
  TRACE is a latency trace: the JSON of LatencyTrace, or a CSV with a column latency_ms. Its median
  gives the fixed offset k that the stream is compared with.

examples:
  flame-metric simulate --latency-ms 76 --fps 15
  flame-metric simulate --latency-ms 76 --fps 15 --workers 2
  flame-metric simulate trace.json --fps 30 --scale 1/2 --queue unlimited --frames 100
  flame-metric simulate trace.csv --replay random --arrivals camera.csv --json stream.json
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "simulate",
        help="show what runs and what is on screen on a live stream",
        description="Draw a live stream over time: what runs, what is dropped, what is on screen and how old it is.",
        epilog=_HOW_TO_READ,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("trace", nargs="?", metavar="TRACE", help="latency trace (JSON or CSV)")
    parser.add_argument(
        "--latency-ms", type=float, metavar="L", help="instead of TRACE: every inference takes L milliseconds"
    )
    parser.add_argument(
        "--scale", metavar="X", help="factor of the latency, for another device: 0.5 or 1/2 is twice as fast"
    )
    parser.add_argument("--fps", metavar="F", help="frames per second: 15, 29.97, 50/3, 30000/1001")
    parser.add_argument(
        "--frames", type=int, metavar="N", help=f"number of frames (default: {_FRAMES}, or as many as TRACE can serve)"
    )
    parser.add_argument(
        "--arrivals", metavar="FILE", help="instead of both: CSV with a column arrival_ms, when each frame arrives"
    )
    add_stream_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--draw", type=int, metavar="N", help=f"draw the first N frames (default: {_DRAWN})")
    output.add_argument(
        "--json", metavar="FILE", help="write the stream as JSON, times in nanoseconds; - for standard output"
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Simulate, then print the drawing and the table, or what goes to standard output instead."""
    check_outputs(arguments.trace, arguments.arrivals, json=arguments.json)
    check_printed(arguments, "draw")
    latency = _latency(arguments)
    check_seed(arguments, None if arguments.latency_ms is not None else latency)
    draw, seed = _DRAWN if arguments.draw is None else arguments.draw, arguments.seed or 0
    config = stream_config(arguments) or StreamConfig()
    schedule = simulate_stream(latency, config, seed=seed, **_frames(arguments, latency))
    timeline = stream_timeline(schedule, draw=draw, width=_width())
    if arguments.json is not None:
        record = stream_record(schedule, latency, config, fps=arguments.fps, seed=seed)
        write(json.dumps(record), arguments.json)
    if arguments.json != STANDARD_OUTPUT:
        title = stream_title(schedule, latency, config, fps=arguments.fps)
        table = stream_table(schedule, latency, fps=arguments.fps)
        write("\n".join([f"{title}\n", timeline, table.render()]))


def _latency(arguments: argparse.Namespace) -> LatencyTrace:
    if arguments.latency_ms is not None and arguments.trace is not None:
        raise ConfigError("TRACE and --latency-ms are both given, expected one of the two")
    if arguments.trace is not None:
        latency = read_trace(arguments.trace, arguments.replay)
    elif arguments.latency_ms is None:
        raise ConfigError("no latency is given, expected TRACE (a file) or --latency-ms")
    elif arguments.replay is not None:
        raise ConfigError("--replay is given with --latency-ms, expected it with the samples of TRACE")
    else:
        latency = LatencyTrace.from_ns([milliseconds_to_ns(arguments.latency_ms)], replay="random")
    return latency if arguments.scale is None else latency.scaled(arguments.scale)


def _frames(arguments: argparse.Namespace, latency: LatencyTrace) -> Mapping[str, Any]:
    if arguments.arrivals is not None:
        if arguments.fps is not None or arguments.frames is not None:
            raise ConfigError("--arrivals is given beside --fps or --frames, expected one or the others")
        return {"arrivals_ms": read_arrivals(arguments.arrivals)}
    if arguments.fps is None:
        raise ConfigError("no frame rate is given, expected --fps, or --arrivals with the time of each frame")
    served = _FRAMES if latency.replay == "random" else min(_FRAMES, len(latency))
    return {"num_frames": served if arguments.frames is None else arguments.frames, "fps": arguments.fps}


def _width() -> int:
    least, most = _WIDTH
    return min(most, max(least, shutil.get_terminal_size((most, 24)).columns))
