"""A command on the ranks that torchrun started: each counts its share, and rank 0 prints and writes the whole.

A share is what ``--shard`` counts, kept in a journal of its own: ``FILE.1-of-2`` and ``FILE.2-of-2`` for ``--journal
FILE``, and else in files that go when the command ends. One gather brings the journals together, and they are merged.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flame_metric.cli.console import tell
from flame_metric.core.temporary import temporary_folder
from flame_metric.errors import ConfigError, FlameError, FlameWarning, MissingExtraError
from flame_metric.jobs.clip_journal import parse_part
from flame_metric.jobs.evaluate import merge_parts
from flame_metric.scores.evaluation import Evaluation

if TYPE_CHECKING:
    from flame_metric.torch.ranks import Ranks

__all__ = ["RankEnded", "evaluation_of_all", "joined_ranks", "journal_of", "local_device", "several_ranks"]

_ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class RankEnded(Exception):  # noqa: N818
    """What ends a rank, and which rank 0 prints, or has printed.

    Attributes
    ----------
    error : FlameError or KeyboardInterrupt
    """

    def __init__(self, error: FlameError | KeyboardInterrupt) -> None:
        super().__init__(str(error))
        self.error = error


def several_ranks() -> bool:
    """Whether the environment says that there are several ranks."""
    given = [os.environ.get(name, "") for name in _ENVIRONMENT]
    return all(given) and given[1].isdecimal() and int(given[1]) > 1


@contextmanager
def joined_ranks(arguments: argparse.Namespace) -> Iterator[Ranks | None]:
    """Join the ranks, and yield this one; None without torchrun.

    Raises
    ------
    ConfigError
        If a shard is asked for too.
    MissingExtraError
        If PyTorch is not installed.
    RankEnded
        Instead of an error, which rank 0 has printed.
    """
    if not several_ranks():
        yield None
        return
    if arguments.shard is not None:
        raise ConfigError(
            "--shard is given on several ranks of torchrun, expected one of them: ranks have their shares"
        )
    try:
        from flame_metric.torch.ranks import joined_by_torchrun  # noqa: PLC0415  PyTorch is optional
    except ModuleNotFoundError as error:
        raise MissingExtraError("torchrun needs PyTorch: pip install 'flame-metric[torch]'") from error
    with joined_by_torchrun() as ranks:
        try:
            yield ranks
        except FlameError as error:
            if ranks.rank == 0:
                tell(error, debug=arguments.debug)
            ranks.wait()  # torchrun ends all ranks as soon as one has failed: not before this was printed
            raise RankEnded(error) from error
        except KeyboardInterrupt as error:
            if ranks.rank == 0:
                raise
            raise RankEnded(error) from error


def evaluation_of_all(
    ranks: Ranks, arguments: argparse.Namespace, evaluate: Callable[[argparse.Namespace], Evaluation]
) -> Evaluation | None:
    """Evaluate a share on each rank, and return the evaluation of all on rank 0.

    Parameters
    ----------
    ranks : Ranks
    arguments : Namespace
        With the options of :func:`~flame_metric.cli.job_options.add_job_options`.
    evaluate : callable
        Takes arguments with a shard and a journal.
    """
    with _journal_or_other(ranks, arguments.journal) as journal:
        shard = (ranks.rank + 1, ranks.number)
        mine = argparse.Namespace(**{**vars(arguments), "journal": journal, "shard": shard})

        def count() -> bytes:
            with warnings.catch_warnings(record=True) as caught:
                found = evaluate(mine)
            said = [str(warning.message) for warning in caught]
            content = Path(journal).read_bytes().decode("ascii")
            return json.dumps({"part": content, "left_out": found.left_out, "warnings": said}).encode()

        reports = [json.loads(content) for content in ranks.from_all(count)]
    if ranks.rank != 0:
        return None
    for message in dict.fromkeys(message for report in reports for message in report["warnings"]):
        warnings.warn(message, FlameWarning, stacklevel=2)
    parts = [parse_part(report["part"].encode("ascii"), f"rank {rank}") for rank, report in enumerate(reports)]
    return merge_parts(parts, left_out=[name for report in reports for name in report["left_out"]])


def local_device(device: str | None) -> str | None:
    """Return the GPU with the number of this rank on its machine for "cuda", and any other device as it is."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" and several_ranks() else device


def journal_of(ranks: Ranks, journal: str) -> str:
    """Return where this rank keeps its share."""
    return f"{journal}.{ranks.rank + 1}-of-{ranks.number}"


@contextmanager
def _journal_or_other(ranks: Ranks, given: str | None) -> Iterator[str]:
    if given is not None:
        yield journal_of(ranks, given)
        return
    with temporary_folder() as folder:
        yield str(folder / "journal")
