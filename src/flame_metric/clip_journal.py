"""Journals of counted clips: an evaluation that was killed, or was shared out among machines, goes on from them.

The first line holds the question and the names of all clips, so that a journal is also a *part*: the parts of several
machines, each with some of the clips, become one evaluation (:func:`merge_parts`), equal to that of one machine to the
integer. Each clip comes with a fingerprint of what was counted; files that have changed since are not believed.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flame_metric._version import __version__
from flame_metric.bank import OffsetBank
from flame_metric.clip_counts import CountedClip
from flame_metric.errors import StateError, shortened
from flame_metric.journal import Journal, read_journal
from flame_metric.plan import Plan
from flame_metric.question import Question
from flame_metric.record import reading, sequences_from_list, sequences_to_list

__all__ = ["ClipJournal", "Part", "merge_parts", "read_part"]

_CLIP = "counted clip"


class ClipJournal(Journal):
    """Keep counted clips in a journal, or go on with those that are kept there.

    Parameters
    ----------
    path : str or path
    question : Question
    plan : Plan
    about : mapping of str to JSON values
        What else can move a number, such as label maps and the network.
    notes : sequence of str
        What should be known about the data.
    resume : bool
        Whether it may hold clips already.

    Raises
    ------
    StateError, DatasetError
        As :class:`Journal` raises them.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        question: Question,
        plan: Plan,
        *,
        about: Mapping[str, Any],
        notes: Sequence[str],
        resume: bool,
    ) -> None:
        self._question = question
        configuration = {
            "version": __version__,
            "question": question.to_dict(),
            "sequences": sorted(clip.clip.name for clip in plan.clips),
            "notes": list(notes),
            "about": dict(about),
        }
        super().__init__(path, configuration, resume=resume)

    def finished(self, fingerprints: Mapping[str, str]) -> dict[str, CountedClip]:
        """Return the clips that are kept.

        Parameters
        ----------
        fingerprints : mapping of str to str
            Of the clips as they are now.

        Raises
        ------
        StateError
            If one has changed, or its counts contradict each other.
        """
        found = {}
        for name, record in self.records.items():
            if name not in fingerprints or record.get("fingerprint") != fingerprints[name]:
                raise StateError(
                    f"{self.path}: sequence {name!r} was counted from other files than are there now, or at other "
                    "frames; begin a new journal"
                )
            found[name] = _from_record(name, record, self._question, self.path)
        return found

    def keep(self, name: str, counted: CountedClip, fingerprint: str) -> None:
        """Keep a clip that was counted."""
        self.add(name, {"fingerprint": fingerprint, **_to_record(name, counted, self._question)})


@dataclass(frozen=True)
class Part:
    """What a journal of clips holds.

    Attributes
    ----------
    path : str
    question : Question
    sequences : tuple of str
        The clips of the whole evaluation, not of this part alone.
    notes : tuple of str
    counted : mapping of str to CountedClip
        The clips of this part.
    configuration : mapping
        As it lies in the file; parts of one evaluation have the same.
    """

    path: str
    question: Question
    sequences: tuple[str, ...]
    notes: tuple[str, ...]
    counted: Mapping[str, CountedClip]
    configuration: Mapping[str, Any]


def read_part(path: str | os.PathLike[str]) -> Part:
    """Read a journal of clips, without changing it; a line that was cut is left out.

    Raises
    ------
    DatasetError
        If it cannot be read.
    StateError
        If it is no journal of clips, damaged, or its counts contradict each other.
    """
    configuration, records = read_journal(path)
    with reading("journal of clips"):
        question = Question.from_dict(configuration["question"])
        sequences, notes = configuration["sequences"], configuration["notes"]
        texts = [*sequences, *notes]
        if not all(isinstance(text, str) for text in texts) or not records.keys() <= set(sequences):
            raise StateError(f"{path}: names clips that are none of the evaluation's")
    counted = {name: _from_record(name, record, question, path) for name, record in records.items()}
    return Part(os.fspath(path), question, tuple(sequences), tuple(notes), counted, configuration)


def merge_parts(parts: Sequence[Part], *, allow_partial: bool = False) -> tuple[Question, dict[str, CountedClip], Part]:
    """Join parts of one evaluation.

    Parameters
    ----------
    parts : sequence of Part
        At least one.
    allow_partial : bool
        Whether clips may be missing.

    Returns
    -------
    question : Question
    counted : dict of str to CountedClip
        In the order of the evaluation.
    first : Part

    Raises
    ------
    StateError
        If the parts are of different evaluations, two of them hold different counts of one clip, or clips are missing.
    """
    first = parts[0]
    counted: dict[str, CountedClip] = {}
    origin: dict[str, Part] = {}
    for part in parts:
        if part.configuration != first.configuration:
            unlike = [
                name
                for name in sorted({*part.configuration, *first.configuration})
                if part.configuration.get(name) != first.configuration.get(name)
            ]
            raise StateError(
                f"{part.path} and {first.path} are parts of different evaluations: they differ in {shortened(unlike)}"
            )
        for name, clip in part.counted.items():
            if name in counted and not _equal(counted[name], clip):
                raise StateError(
                    f"{part.path} and {origin[name].path} hold different counts of sequence {name!r}, expected each "
                    "clip once, or identical copies"
                )
            counted.setdefault(name, clip)
            origin.setdefault(name, part)
    missing = [name for name in first.sequences if name not in counted]
    if missing and not allow_partial:
        raise StateError(
            f"{len(missing)} of {len(first.sequences)} sequence(s) are in no part: {shortened(missing)}; give all "
            "parts, or --allow-partial for a result that is marked INCOMPLETE"
        )
    return first.question, {name: counted[name] for name in first.sequences if name in counted}, first


def _equal(one: CountedClip, other: CountedClip) -> bool:
    if (one.bank is None) != (other.bank is None):
        return False
    banks = one.bank is None or other.bank is None or one.bank.equals(other.bank)
    same = (one.num_frames, one.labelled, one.without_own) == (other.num_frames, other.labelled, other.without_own)
    return banks and same and _scores(one) == _scores(other)


def _scores(counted: CountedClip) -> list[dict[str, Any]]:
    return sequences_to_list({f"{score} {row}": counts for (score, row), counts in counted.scores.items()})


def _to_record(name: str, counted: CountedClip, question: Question) -> dict[str, Any]:
    bank = None
    if counted.bank is not None:
        alone = _empty_bank(question, counted.bank.state.shape[-1] - 1)
        alone.add_counts(counted.bank, sequence=name)
        bank = base64.b64encode(alone.to_bytes()).decode("ascii")
    return {
        "num_frames": counted.num_frames,
        "labelled": list(counted.labelled),
        "without_own": list(counted.without_own),
        "scores": _scores(counted),
        "bank": bank,
    }


def _from_record(name: str, record: Mapping[str, Any], question: Question, path: object) -> CountedClip:
    try:
        with reading(_CLIP):
            scores = {}
            for key, counts in sequences_from_list(record["scores"], question.config.num_classes).items():
                score, _, row = key.rpartition(" ")
                scores[score, int(row)] = counts
            bank = None
            if record["bank"] is not None:
                bank = OffsetBank.from_bytes(base64.b64decode(record["bank"], validate=True)).counts_of(name)
            return CountedClip(
                scores,
                _whole(record["num_frames"]),
                tuple(_whole(frame) for frame in record["labelled"]),
                tuple(str(frame) for frame in record["without_own"]),
                bank,
            )
    except StateError as error:
        raise StateError(f"{path}: sequence {name!r}: {error}") from error


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise StateError(f"{value!r} is no number of frames")
    return value


def _empty_bank(question: Question, max_offset: int) -> OffsetBank:
    config = question.config
    return OffsetBank(
        config.num_classes,
        max_offset=max_offset,
        fps=config.fps,
        ignore_index=config.ignore_index,
        class_names=config.class_names,
        persistence=True,
    )
