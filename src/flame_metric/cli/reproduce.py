"""``flame-metric reproduce``: train the paper's networks and print its Table 1, with what the paper could not give."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flame_metric.cli.console import progress
from flame_metric.cli.output import check_outputs, write
from flame_metric.cli.ranks import RankEnded
from flame_metric.errors import ConfigError, MissingExtraError, StateError
from flame_metric.networks.names import NAMES
from flame_metric.paper.interrupts import Stopped
from flame_metric.paper.presets import PRESETS, Preset
from flame_metric.paper.recipes import explain

if TYPE_CHECKING:
    from flame_metric.paper.table1 import Table1
    from flame_metric.paper.translations import TranslationTable

__all__ = ["add_parser", "run"]

_OF_TRAINING = (
    *("experiment", "latency", "translations", "data", "seed", "weights", "device", "workers", "amp", "compile"),
    *("out", "json"),
)

_TEXT = """\
Trains each network three times, from I_t to S_t, from I_t to S_t+k, and from I_t-1 and I_t to S_t+k, k
being the frame offset of its latency, and scores it on other videos: without delay, with FLAME, and on a
stream of one worker. Prints Table 1 beside the paper's; every score with an interval over the test
videos; and what each step of the paper changes, in pairs on the same videos.

presets:
  quick   small synthetic frames, 40 minutes on two CPU cores. In place of ImageNet each network is
          first trained once on (I_t, S_t); the three trainings start from there with equal steps.
  paper   the paper's recipe: crops of 768x768, ImageNet, 200 or 220 epochs. Takes a GPU and days.

examples:
  flame-metric reproduce --out table1
  flame-metric reproduce --networks swiftnet-r18,deeplab-mn --latency measured --device cuda
  flame-metric reproduce --preset paper --data cityscapes:ROOT --device cuda --workers 8 --out table1
  flame-metric reproduce --data camvid:ROOT --networks swiftnet-r18 --crop 256,352
  flame-metric reproduce --experiment translations --translations 9,17
  torchrun --standalone --nproc-per-node 4 -m flame_metric reproduce --preset paper --data cityscapes:ROOT --device cuda
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "reproduce",
        help="train the paper's networks and print its Table 1",
        description="The paper's experiments (sections 4 and 5) on synthetic video or on data of yours.",
        epilog=_TEXT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--preset", choices=tuple(PRESETS), default="quick", help="default: %(default)s")
    parser.add_argument(
        "--experiment",
        choices=("table1", "translations"),
        help="Table 1 (default), or section 5.4: translated copies of I_t-1 as input",
    )
    parser.add_argument(
        "--networks", metavar="LIST", help=f"of {', '.join(NAMES)} (default: both SwiftNets; all with --preset paper)"
    )
    parser.add_argument(
        "--latency",
        metavar="L",
        help="'paper' (default), 'measured' on --device, or given in ms: swiftnet-r18=26,deeplab-mn=76",
    )

    parser.add_argument(
        "--translations", type=_numbers, metavar="N,...", help="copies of I_t-1 in section 5.4 (default: 9,17)"
    )

    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        metavar="D",
        help="synthetic (default), synthetic:videos=N,height=H,width=W,..., cityscapes:ROOT, camvid:ROOT, davis:ROOT, "
        "kitti_step:ROOT, vspw:ROOT, vipseg:ROOT or folders:FILE.toml",
    )

    training = parser.add_argument_group("training")
    training.add_argument("--seed", type=int, metavar="S", help="of everything drawn (default: 0)")
    training.add_argument("--iterations", type=int, metavar="N", help="steps of each training, not the recipe's")
    training.add_argument("--crop", type=_numbers, metavar="H,W", help="of training frames, in place of the recipe's")
    training.add_argument("--weights", metavar="FILE", help="or address, of the backbone, not ImageNet's")
    training.add_argument("--device", metavar="D", help="cpu (default), cuda, cuda:1")
    training.add_argument("--workers", type=int, metavar="N", help="processes that prepare frames (default: 0)")
    training.add_argument("--amp", choices=("float16", "bfloat16"), help="train and run under autocast")
    training.add_argument("--compile", nargs="?", const="default", metavar="MODE", help="torch.compile the training")

    output = parser.add_argument_group("output")
    output.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="keep tables (JSON, Markdown, LaTeX), checkpoints, scores and logs there; a second run resumes where it "
        "stopped",
    )
    output.add_argument("--json", metavar="FILE", help="write all scores and counts as JSON; - for standard output")
    output.add_argument("--recipe", action="store_true", help="print the recipes and who decided what, and end")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Train, score, and print the tables."""
    check_outputs(json=arguments.json)
    preset = _preset(arguments)
    networks = None if arguments.networks is None else [name.strip() for name in arguments.networks.split(",")]
    if arguments.recipe:
        recipes = _explained(preset, networks or preset.networks)
        if given := next((name for name in _OF_TRAINING if getattr(arguments, name) is not None), None):
            raise ConfigError(f"--{given} is given with --recipe, which trains nothing, expected one of the two")
        write(recipes)
        return
    try:
        # PyTorch is optional, and takes seconds to load.
        from flame_metric.paper.reproduction import reproduce  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "torch":
            raise
        raise MissingExtraError("reproduce needs torch: pip install 'flame-metric[torch]'") from error
    with _said_plainly(arguments):
        table = reproduce(
            preset,
            experiment=arguments.experiment or "table1",
            networks=networks,
            translations=arguments.translations,
            data=arguments.data or "synthetic",
            latency=_latency(arguments.latency or "paper"),
            seed=arguments.seed or 0,
            device=arguments.device or "cpu",
            weights=arguments.weights,
            workers=arguments.workers or 0,
            amp=arguments.amp,
            compile=arguments.compile,
            out=arguments.out,
            progress=progress,
        )
    if _speaks():
        _show(table, arguments)


def _speaks() -> bool:
    """Whether this is the rank that prints: under torchrun only one does."""
    return os.environ.get("RANK", "0") == "0"


def _show(table: Table1 | TranslationTable, arguments: argparse.Namespace) -> None:
    if arguments.json is not None:
        write(table.to_json(), arguments.json)
    if arguments.json != "-":
        write(table.render() + _about(table, arguments.out))


@contextmanager
def _said_plainly(arguments: argparse.Namespace) -> Iterator[None]:
    """Say what a full disk means for a run that keeps its checkpoints; after Ctrl-C, show what was finished too."""
    out = arguments.out
    try:
        yield
    except OSError as error:
        raise StateError(
            f"{error.filename or 'a file'}: {error.strerror or error}. What was kept in {out} is whole: once that is "
            "mended, the same command resumes from there"
            if out is not None
            else f"{error.filename or 'a file'}: {error.strerror or error}"
        ) from error
    except KeyboardInterrupt as stopped:
        if not _speaks():
            raise RankEnded(stopped) from None
        if not isinstance(stopped, Stopped):
            raise (stopped if out is None else KeyboardInterrupt(_how_to_resume(out))) from None
        _show(stopped.table, arguments)
        raise KeyboardInterrupt(f"{stopped}; {_how_to_resume(out)}") from None


def _how_to_resume(out: Path | None) -> str:
    if out is None:
        return "its other results are lost; --out keeps them"
    return f"the same command resumes from what is kept in {out}"


def _about(table: Table1 | TranslationTable, out: Path | None) -> str:
    about = table.about
    minutes, seconds = divmod(round(about["seconds"]), 60)
    kept = "Tables, checkpoints" if table.incomplete is None else "Checkpoints"
    where = "" if out is None else f"\n{kept}, scores and logs are in {out}."
    what = f"Preset {about['preset']} on {about['data']}, seed {about['seed']}"
    return f"\n{what}: this run took {minutes} min {seconds} s.{where}\n"


def _preset(arguments: argparse.Namespace) -> Preset:
    crop = arguments.crop
    if crop is not None and len(crop) != 2:
        raise ConfigError(f"--crop has {len(crop)} number(s), expected two: H,W")
    return PRESETS[arguments.preset].changed(iterations=arguments.iterations, crop=crop)


def _explained(preset: Preset, networks: Sequence[str]) -> str:
    recipes = [of(network) for network in networks for of in (preset.start, preset.recipe) if of is not None]
    return "\n\n".join(map(explain, recipes))


def _latency(text: str) -> str | dict[str, float]:
    """Return a word, or the milliseconds of each network."""
    if "=" not in text:
        return text
    try:
        return {name.strip(): float(value) for name, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise ConfigError(
            f"--latency is {text!r}, expected milliseconds such as swiftnet-r18=26,deeplab-mn=76"
        ) from None


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} are not whole numbers, expected such as 128,256") from None
