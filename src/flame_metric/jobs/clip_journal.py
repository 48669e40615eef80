"""Journals of counted clips: an evaluation that was killed, or was shared out among machines, resumes from them.

The first line holds the request and the names of all clips, so that a journal is also a *part*: the parts of several
machines, each with some of the clips, become one evaluation, equal to that of one machine to the integer
(:func:`join_parts`). Each clip comes with a fingerprint of the names, sizes and times of its files, and with a digest
of what they held when they were counted; files that have changed since are refused. The first line also has a digest of
the folders as they were listed, with the content of a few files: parts of two versions of a network differ in it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from flame_metric._version import __version__
from flame_metric.core.counting import sequences_from_list, sequences_to_list
from flame_metric.core.files import reading
from flame_metric.errors import FlameWarning, StateError, quoted, shortened
from flame_metric.jobs.journal import Journal, differences, parse_journal, read_journal
from flame_metric.jobs.pipeline import CountedClip
from flame_metric.jobs.plan import FLAME, STATIC, STREAMING, Plan
from flame_metric.jobs.request import Request
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.offset_counts import NETWORK, PERSISTENCE

__all__ = ["ClipJournal", "Part", "conditions_of", "join_parts", "parse_part", "read_part", "unlike_parts"]

_CLIP = "counted clip"
_LISTING, _CONDITIONS = "listing", "conditions"


class ClipJournal(Journal):
    """Keep counted clips in a journal, or resume from those that are kept there.

    Parameters
    ----------
    path : str or path
    request : Request
    plan : Plan
    about : mapping of str to JSON values
        What else can move a number, such as label maps and the network.
    notes : sequence of str
        What should be known about the data.
    listing : mapping of str to str
        Digests of all files, also of other shares: those of the beginning are kept.
    conditions : sequence of str
        What should be known about the machine; those of the beginning are kept.
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
        request: Request,
        plan: Plan,
        *,
        about: Mapping[str, Any],
        notes: Sequence[str],
        listing: Mapping[str, str] = MappingProxyType({}),
        conditions: Sequence[str] = (),
        resume: bool,
    ) -> None:
        self._request = request
        configuration = {
            "version": __version__,
            "question": request.to_dict(),
            "sequences": [clip.clip.name for clip in plan.clips],
            "frames": hashlib.sha256("".join(clip.digest for clip in plan.clips).encode()).hexdigest(),
            "notes": list(notes),
            "about": dict(about),
            _LISTING: dict(listing),
            _CONDITIONS: list(conditions),
        }
        super().__init__(path, configuration, resume=resume, may_differ=(_LISTING, _CONDITIONS))

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
                    f"{self.path}: sequence {quoted(name)} was counted from other files than are there now, or at "
                    "other frames; begin a new journal"
                )
            found[name] = _from_record(name, record, self._request, self.path)
        return found

    def check_content(self, name: str, content: str) -> None:
        """Refuse a clip that is kept if its files hold something else now.

        Parameters
        ----------
        name : str
        content : str
            A digest, or "" where none is made.

        Raises
        ------
        StateError
            If another digest is kept.
        """
        kept = self.records[name].get("content", "")
        if kept and content and kept != content:
            raise StateError(
                f"{self.path}: sequence {quoted(name)} was counted from files that held something else than they do "
                "now; begin a new journal"
            )

    def keep(self, name: str, counted: CountedClip, fingerprint: str) -> None:
        """Keep a clip that was counted."""
        self.add(
            name, {"fingerprint": fingerprint, "content": counted.content, **_to_record(name, counted, self._request)}
        )


@dataclass(frozen=True)
class Part:
    """What a journal of clips holds.

    Attributes
    ----------
    path : str
    request : Request
    sequences : tuple of str
        The clips of the whole evaluation, not only of this part.
    notes : tuple of str
    counted : mapping of str to CountedClip
        The clips of this part.
    configuration : mapping
        As it lies in the file; parts of one evaluation have the same.
    """

    path: str
    request: Request
    sequences: tuple[str, ...]
    notes: tuple[str, ...]
    counted: Mapping[str, CountedClip]
    configuration: Mapping[str, Any]

    @property
    def names(self) -> Mapping[str, Any] | None:
        """How names of files were read, if there were any."""
        about = self.configuration.get("about")
        names = about.get("names") if isinstance(about, Mapping) else None
        return names if isinstance(names, Mapping) else None


def read_part(path: str | os.PathLike[str]) -> Part:
    """Read a journal of clips, without changing it; a line that was cut is left out.

    Raises
    ------
    DatasetError
        If it cannot be read.
    StateError
        If it is not a journal of clips, damaged, or its counts contradict each other.
    """
    return _part(os.fspath(path), *read_journal(path))


def parse_part(content: bytes, name: str) -> Part:
    """Return what :func:`read_part` does, of the content of a journal; ``name`` is its name in messages.

    Raises
    ------
    StateError
        As :func:`read_part` does.
    """
    return _part(name, *parse_journal(content, name))


def _part(path: str, configuration: Mapping[str, Any], records: Mapping[str, Mapping[str, Any]]) -> Part:
    try:
        request, sequences, notes = _evaluation_of(configuration, records)
    except StateError as error:
        raise StateError(f"{path}: {error}") from error
    counted = {name: _from_record(name, record, request, path) for name, record in records.items()}
    return Part(path, request, sequences, notes, counted, configuration)


def _evaluation_of(
    configuration: Mapping[str, Any], records: Mapping[str, Any]
) -> tuple[Request, tuple[str, ...], tuple[str, ...]]:
    with reading("journal of clips"):
        request = Request.from_dict(configuration["question"])
        sequences, notes = tuple(configuration["sequences"]), tuple(configuration["notes"])
        listing, conditions = dict(configuration.get(_LISTING, {})), tuple(configuration.get(_CONDITIONS, ()))
        if not all(
            isinstance(text, str) for text in (*sequences, *notes, *listing, *listing.values(), *conditions)
        ) or not records.keys() <= set(sequences):
            raise StateError("names clips that are none of the evaluation's")
    return request, sequences, notes


def unlike_parts(parts: Sequence[Part]) -> str | None:
    """Say which of the folders of some parts held other files; None if none did, as far as they tell."""
    for side in ("predictions", "labels"):
        known = [(part.path, found) for part in parts if (found := part.configuration.get(_LISTING, {}).get(side))]
        other = next((path for path, found in known if found != known[0][1]), None)
        if other is not None:
            return f"{known[0][0]} and {other} were counted from folders of {side} that held other files"
    return None


def join_parts(
    parts: Sequence[Part], *, may_be_missing: Collection[str] | None = (), allow_unlike: bool = False
) -> tuple[Request, dict[str, CountedClip], Part]:
    """Join parts of one evaluation.

    Parameters
    ----------
    parts : sequence of Part
        At least one.
    may_be_missing : collection of str, optional
        Clips; None: any.
    allow_unlike : bool
        Whether parts may be of folders that held other files.

    Returns
    -------
    request : Request
    counted : dict of str to CountedClip
        In the order of the evaluation.
    first : Part

    Raises
    ------
    StateError
        If the parts are of different evaluations or unlike folders, two of them hold different counts of one clip, or
        clips are missing.

    Warns
    -----
    FlameWarning
        If clips are in several parts, with identical counts: each is taken once.
    """
    first = parts[0]
    counted: dict[str, CountedClip] = {}
    origin: dict[str, Part] = {}
    twice: set[str] = set()
    for part in parts:
        if unlike := list(differences(_question_of(part), _question_of(first))):
            raise StateError(
                f"{part.path} and {first.path} are parts of different evaluations: they differ in "
                f"{shortened(unlike, most=500)}"
            )
        for name, clip in part.counted.items():
            if name in counted and not _equal(counted[name], clip):
                raise StateError(
                    f"{part.path} and {origin[name].path} hold different counts of sequence {quoted(name)}, expected "
                    "each clip once, or identical copies"
                )
            twice.update({name} & counted.keys())
            counted.setdefault(name, clip)
            origin.setdefault(name, part)
    if not allow_unlike and (found := unlike_parts(parts)) is not None:
        raise StateError(
            f"{found}, such as outputs of two versions of a network; count all parts from the same files, or give "
            "--allow-unlike to flame-metric merge"
        )
    if twice:
        names = shortened(name for name in first.sequences if name in twice)
        warnings.warn(
            f"{len(twice)} sequence(s) are in several parts with identical counts and were taken once: {names}",
            FlameWarning,
            stacklevel=3,
        )
    missing = [name for name in first.sequences if name not in counted]
    if may_be_missing is not None and not set(missing) <= {*may_be_missing}:
        raise StateError(
            f"{len(missing)} of {len(first.sequences)} sequence(s) are in no part: {shortened(missing)}; give all "
            "parts, or --allow-partial for a result that is marked INCOMPLETE"
        )
    return first.request, {name: counted[name] for name in first.sequences if name in counted}, first


def _question_of(part: Part) -> dict[str, Any]:
    own = (_LISTING, _CONDITIONS)
    return {name: value for name, value in part.configuration.items() if name not in own}


def conditions_of(parts: Sequence[Part]) -> list[str]:
    """Return what should be known about the machines of all parts, each once."""
    return list(dict.fromkeys(text for part in parts for text in part.configuration.get(_CONDITIONS, ())))


def _equal(one: CountedClip, other: CountedClip) -> bool:
    if (one.bank is None) != (other.bank is None):
        return False
    banks = one.bank is None or other.bank is None or one.bank.equals(other.bank)
    plain = [(clip.num_frames, clip.labelled, clip.without_own, clip.sizes, clip.voids) for clip in (one, other)]
    return banks and plain[0] == plain[1] and _scores(one) == _scores(other)


def _scores(counted: CountedClip) -> list[dict[str, Any]]:
    return sequences_to_list({f"{score} {row}": counts for (score, row), counts in counted.scores.items()})


def _to_record(name: str, counted: CountedClip, request: Request) -> dict[str, Any]:
    bank = None
    if counted.bank is not None:
        single = _empty_bank(request, counted.bank.state.shape[-1] - 1)
        single.add_counts(counted.bank, sequence=name)
        bank = base64.b64encode(single.to_bytes()).decode("ascii")
    return {
        "num_frames": counted.num_frames,
        "labelled": list(counted.labelled),
        "without_own": list(counted.without_own),
        "scores": _scores(counted),
        "bank": bank,
        "sizes": [list(size) for size in counted.sizes],
        "voids": list(counted.voids),
    }


def _from_record(name: str, record: Mapping[str, Any], request: Request, path: object) -> CountedClip:
    try:
        with reading(_CLIP):
            written = sequences_from_list(record["scores"], request.config.num_classes)
            scores = {_score_of(key): counts for key, counts in written.items()}
            num_frames, labelled = _whole(record["num_frames"]), tuple(_whole(frame) for frame in record["labelled"])
            _check_frames(num_frames, labelled)
            _check_kinds(request, scores, record, labelled)
            bank = None
            if record["bank"] is not None:
                bank = OffsetBank.from_bytes(base64.b64decode(record["bank"], validate=True)).counts_of(name)
            return CountedClip(
                scores,
                num_frames,
                labelled,
                tuple(str(frame) for frame in record["without_own"]),
                bank,
                tuple((_whole(height), _whole(width)) for height, width in record["sizes"]),
                voids=_voids_of(record),
            )
    except StateError as error:
        raise StateError(f"{path}: sequence {quoted(name)}: {error}") from error


def _voids_of(record: Mapping[str, Any]) -> tuple[bool, bool]:
    """Return whether void pixels were seen in predictions and in labels; earlier journals do not say."""
    pred, label = record.get("voids", (False, False))
    if not isinstance(pred, bool) or not isinstance(label, bool):
        raise StateError("does not say whether there are void pixels, expected two booleans")
    return pred, label


def _check_frames(num_frames: int, labelled: Sequence[int]) -> None:
    if any(frame >= after for frame, after in pairwise((*labelled, num_frames))):
        raise StateError(f"its labelled frames do not ascend, or not within its {num_frames} frames")


def _score_of(key: str) -> tuple[str, int]:
    """Return score and row as they are written; written in another way, two could stand for one."""
    score, _, row = key.rpartition(" ")
    if key != f"{score} {int(row)}":
        raise StateError(f"names a score {quoted(key)}, expected a name and a number")
    return score, int(row)


def _check_kinds(
    request: Request, scores: Mapping[tuple[str, int], object], record: Mapping[str, Any], labelled: Sequence[int]
) -> None:
    """Refuse a clip that lacks a score that was asked for, or has another."""
    asked = [STATIC, FLAME, *([] if request.stream is None or request.latency is None else [STREAMING])]
    wanted = {(score, row) for score in asked for row in (NETWORK, PERSISTENCE)} if labelled else set()
    has_bank, wants_bank = record["bank"] is not None, request.keep_bank or request.max_offset is not None
    if scores.keys() != wanted or has_bank != wants_bank:
        raise StateError("holds other scores than were asked for")


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise StateError(f"{quoted(value)} is not a number of frames")
    return value


def _empty_bank(request: Request, max_offset: int) -> OffsetBank:
    config = request.config
    return OffsetBank(
        config.num_classes,
        max_offset=max_offset,
        fps=config.fps,
        ignore_index=config.ignore_index,
        class_names=config.class_names,
        persistence=True,
    )
