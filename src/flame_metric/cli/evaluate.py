"""``flame-metric evaluate``: score a folder of predictions against a folder of labels."""

from __future__ import annotations

import argparse
from dataclasses import fields
from functools import partial

from flame_metric.cli.console import progress, silent
from flame_metric.cli.job_options import add_job_options, check_job, is_part, make_job, part_note, partial_table
from flame_metric.cli.options import (
    add_latency_options,
    add_score_options,
    add_stream_options,
    bank_note,
    check_seed,
    given_trace,
    names,
    score_options,
    write_evaluation,
)
from flame_metric.cli.output import save_bank, write
from flame_metric.cli.ranks import evaluation_of_all, joined_ranks
from flame_metric.data.lookup import LabelLookup
from flame_metric.errors import ConfigError
from flame_metric.jobs.evaluate import evaluate_folders
from flame_metric.jobs.folder_source import Files
from flame_metric.scores.evaluation import Evaluation

__all__ = ["add_parser", "run"]

_LAYOUT = """\
folders:
  PREDICTIONS and LABELS each hold <sequence>/<frame>.png, or one flat sequence of
  <frame>.png; .npy files work too. Frames are matched by name; the digits that vary in
  the names of a folder are frame numbers. Each may also be a zip or tar archive, a folder
  in one, or an address that fsspec knows: labels.zip, zip://val::all.zip,
  s3://bucket/labels.

examples:
  flame-metric evaluate out/ labels/ --num-classes 19 --fps 17 --latency-ms 76 --ignore-index 255
  flame-metric evaluate out/ gt/ --num-classes 2 --fps 24 --frame-offset 10 \\
      --pred-map '0:0,*:1' --label-map 0:0,255:1
  flame-metric evaluate out/ labels/ --num-classes 19 --fps 17 --trace latency.json --workers 1 \\
      --queue 1 --max-offset 10 --bank bank.npz
"""

_MAP_HELP = {
    "pred": "predicted labels to classes, such as '0:0,*:1' (* = every other label)",
    "label": "ground truth labels to classes, such as 0:0,255:1 or '11:255,*:*'",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "evaluate",
        help="score a folder of predictions against a folder of labels",
        description="Static mIoU, FLAME, and the persistence baseline (labels as predictions) of label maps on disk.",
        epilog=_LAYOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("predictions", metavar="PREDICTIONS", help="folder of predicted label maps, archive or address")
    parser.add_argument("labels", metavar="LABELS", help="folder of ground truth label maps, archive or address")
    parser.add_argument(
        "--num-classes", type=int, required=True, metavar="N", help="number of classes, void not counted"
    )
    parser.add_argument(
        "--fps",
        metavar="F",
        help="frames (steps) per second: 15, 29.97, 50/3, 30000/1001; may be left out with --frame-offset",
    )
    add_latency_options(parser)
    parser.add_argument("--ignore-index", type=int, metavar="I", help="label of void pixels (after the maps below)")

    files = parser.add_argument_group("files")
    for side in ("pred", "label"):
        files.add_argument(f"--{side}-map", type=_label_map, metavar="MAP", help=_MAP_HELP[side])
        files.add_argument(f"--{side}-prefix", default="", metavar="TEXT", help="beginning of names to be left out")
        files.add_argument(
            f"--{side}-suffix", default="", metavar="TEXT", help="end of names to be left out, such as _L"
        )
    files.add_argument("--step", type=int, metavar="S", help="frame numbers per frame (default: read from them)")
    files.add_argument(
        "--frame-number",
        metavar="PATTERN",
        help=r"regular expression whose one group is the frame number, such as '_(\d+)_cam'; what it does not match "
        "names the sequence (default: the digits that vary)",
    )

    parser.add_argument("--class-names", type=names, metavar="A,B,..", help="names of the classes, separated by commas")
    add_stream_options(parser)
    add_score_options(parser)
    add_job_options(parser)
    parser.add_argument(
        "--bank",
        metavar="FILE",
        help="keep the counts at every offset (.npz), as far as the scores reach and at least to --max-offset; "
        "`flame-metric rescore FILE` answers from them",
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Evaluate, then print the table, or what goes to standard output instead."""
    check_job(arguments, arguments.trace, json=arguments.json, csv=arguments.csv, bank=arguments.bank)
    check_seed(arguments, given_trace(arguments))
    with joined_ranks(arguments) as ranks, partial_table(arguments, part=ranks is not None):
        if ranks is None:
            evaluation = _evaluate(arguments)
        else:
            found = evaluation_of_all(ranks, arguments, partial(_evaluate, rank=ranks.rank))
            if found is None:
                return
            evaluation = found
    if is_part(arguments):
        write(part_note(evaluation, arguments))
        return
    more, files = [], []
    if arguments.bank is not None and evaluation.bank is not None:
        files.append(partial(save_bank, evaluation.bank, arguments.bank))
        more.append(bank_note(evaluation.bank, arguments.bank, evaluation.incomplete))
    write_evaluation(evaluation, arguments, *more, files=files)


def _evaluate(arguments: argparse.Namespace, *, rank: int = 0) -> Evaluation:
    with progress("frames") if rank == 0 else silent() as step:
        return evaluate_folders(
            arguments.predictions,
            arguments.labels,
            num_classes=arguments.num_classes,
            fps=arguments.fps,
            latency_ms=arguments.latency_ms,
            trace=given_trace(arguments),
            keep_bank=arguments.bank is not None,
            ignore_index=arguments.ignore_index,
            class_names=arguments.class_names,
            **score_options(arguments),
            files=Files(**{field.name: getattr(arguments, field.name) for field in fields(Files)}),
            job=make_job(arguments, progress=step),
        )


def _label_map(text: str) -> LabelLookup:
    try:
        return LabelLookup.parse(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
