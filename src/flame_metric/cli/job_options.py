"""Options of commands that count for hours: threads, a journal to resume from, a share of the work, damaged files."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from flame_metric.cli.options import check_printed, write_evaluation
from flame_metric.cli.output import STANDARD_OUTPUT, check_outputs
from flame_metric.errors import ConfigError
from flame_metric.jobs.evaluate import Job
from flame_metric.jobs.pipeline import Progress
from flame_metric.scores.evaluation import Evaluation, Interrupted

__all__ = ["add_job_options", "check_job", "is_part", "make_job", "part_note", "partial_table"]


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Declare the fields of :class:`~flame_metric.jobs.evaluate.Job`; :func:`make_job` reads them back."""
    group = parser.add_argument_group("the job")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    group.add_argument(
        "--jobs",
        type=int,
        default=min(cores, 8),  # beyond, decoding waits for the disk
        metavar="J",
        help="threads that decode and count (default: %(default)s)",
    )
    group.add_argument("--journal", metavar="FILE", help="keep every finished sequence there, at once")
    group.add_argument("--resume", action="store_true", help="resume from the sequences that are in the journal")
    group.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="count only every N-th sequence from the I-th on, 1/4 to 4/4; flame-metric merge joins the journals",
    )
    group.add_argument(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="skip: leave sequences with damaged files out, name them, and mark the result INCOMPLETE (default: stop)",
    )


def make_job(arguments: argparse.Namespace, progress: Progress | None = None) -> Job:
    """Return the job that was asked for."""
    return Job(
        jobs=arguments.jobs,
        progress=progress,
        journal=arguments.journal,
        resume=arguments.resume,
        shard=arguments.shard,
        on_error=arguments.on_error,
    )


def check_job(arguments: argparse.Namespace, *inputs: str | None, **files: str | None) -> None:
    """Refuse outputs that cannot be written, as :func:`~flame_metric.cli.output.check_outputs` does, and a journal too.

    Raises
    ------
    ConfigError
        If one of them cannot be written, is another one or an input, is not a file where it has to be one, or would
        hold the scores of a share.
    """
    check_outputs(*inputs, journal=arguments.journal, **files)
    check_printed(arguments, "format")
    if is_part(arguments) and arguments.format is not None:
        raise ConfigError("--format is given with --shard, expected with flame-metric merge: no table is printed")
    for option in ("journal", "bank"):
        if getattr(arguments, option) == STANDARD_OUTPUT:
            raise ConfigError(f"--{option} is -, expected a file")
    for option in ("json", "csv"):
        if is_part(arguments) and getattr(arguments, option) is not None:
            raise ConfigError(
                f"--{option} is given with --shard, expected with flame-metric merge: scores of a share would mislead"
            )


def is_part(arguments: argparse.Namespace) -> bool:
    """Whether only a share of the sequences is counted, whose scores would mislead."""
    return arguments.shard is not None


def part_note(evaluation: Evaluation, arguments: argparse.Namespace) -> str:
    """Say what was counted where, and what to do with it."""
    index, number = arguments.shard
    bank = "" if arguments.bank is None else ", and writes the bank of all with --bank"
    return (
        f"Shard {index} of {number}: {evaluation.incomplete or 'all sequences are scored'}. They are in "
        f"{arguments.journal}; flame-metric merge joins it with the others{bank}."
    )


@contextmanager
def partial_table(arguments: argparse.Namespace, *, part: bool = False) -> Iterator[None]:
    """After Ctrl-C, print what was finished, marked INCOMPLETE, and say how to resume; nothing is printed of a part."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        kept = "its other results are lost; --journal keeps them"
        if arguments.journal is not None:
            kept = f"--journal {arguments.journal} --resume continues"
        if not isinstance(stopped, Interrupted):
            raise (stopped if arguments.journal is None else KeyboardInterrupt(kept)) from None
        if not (part or is_part(arguments)):
            write_evaluation(stopped.evaluation, arguments)
        raise KeyboardInterrupt(f"{stopped.evaluation.incomplete}; {kept}") from None


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a share, expected I/N with 1 <= I <= N, such as 2/4")
    return int(found[1]), int(found[2])
