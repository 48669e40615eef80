"""Running clips: what an object that is given clips frame by frame has to remember of each of them.

One call brings one time step of a clip, or several of one or many clips. It moves time in three moves, so that a call
that raises has not happened, for no clip of it:

1. :meth:`RunningClips.hold` takes the clips of the call out of the hands of other threads;
2. :meth:`TimeSteps.step` says, frame by frame, what is on screen; nothing has changed yet, and the caller counts;
3. :meth:`TimeSteps.commit` moves all of these clips on.

What waits on a clip's :class:`~flame_metric.scores.pairs.Line` is for the caller to choose: coded label maps, tensors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, Self, TypeVar

from flame_metric.core.checks import check_integer, of_sequence
from flame_metric.core.schedule import FixedOffset, ScheduleTimeline
from flame_metric.errors import ConfigError, StateError, located, quoted, shortened
from flame_metric.scores.pairs import Line
from flame_metric.scores.time_step import TimeStep

__all__ = ["ClipFrame", "RunningClips", "TimeSteps", "check_sequence_is_named", "count_steps"]

T = TypeVar("T")
Changed = TypeVar("Changed")
Counted = TypeVar("Counted", bound="Adds")


class Adds(Protocol):
    """Counts of any kind."""

    def __add__(self, other: Self, /) -> Self:
        """Return the sum."""


NO_SEQUENCE = (
    "`sequence` is missing, expected the id of the clip, as the prediction of frame t is paired with the ground truth "
    "of frame t + {offset} of the same clip: pass sequence=.., or call update_pair(pred, target) with pairs that are "
    "{offset} frame(s) apart already"
)


def check_sequence_is_named(sequence: object, frame: object, offset: int) -> None:
    """Refuse time steps of no clip where predictions wait, and frame numbers of no clip.

    Raises
    ------
    ConfigError
        If ``sequence`` is None or "" and either ``offset`` > 0 or there is a frame number.
    """
    if sequence is not None and not (isinstance(sequence, str) and not sequence):
        return
    if offset:
        raise ConfigError(NO_SEQUENCE.format(offset=offset))
    if frame is not None:
        raise ConfigError("`frame` is given without `sequence`, expected the id of the clip whose frames are numbered")


@dataclass(frozen=True)
class ClipFrame:
    """One frame of a clip, at the time when it comes.

    Attributes
    ----------
    sequence : str
    number : int
        That of the frame.
    is_shown, is_shown_later : bool
        Whether its prediction is ever on screen at a labelled frame, from this frame on or after it.
    """

    sequence: str
    number: int
    is_shown: bool
    is_shown_later: bool

    def __str__(self) -> str:
        return f"frame {self.number}{of_sequence(self.sequence)}"


@dataclass(frozen=True, eq=False)
class RunningClip(Generic[T]):
    """A clip in progress: its line, which counts from 0, and the number of its first frame."""

    line: Line[T]
    first: int = 0

    @property
    def next_number(self) -> int:
        """The number of the frame that comes next where numbers have no gap."""
        return self.first + self.line.frame


class RunningClips(Generic[T]):
    """The clips of one object that come frame by frame: at most ``max_sequences`` at a time.

    Parameters
    ----------
    offset : int or None
        The frame offset of all clips; None: ``timeline_of`` gives the schedule of each.
    max_sequences : int
        Beyond it, the clip whose last time step is oldest is given up, and only its id is kept. At ``offset`` 0
        nothing waits, and no clip is given up.
    timeline_of : callable from a sequence's id to a ScheduleTimeline, optional

    Attributes
    ----------
    lock : threading.RLock
        Held while clips move; whoever changes counts together with clips holds it too. Copies have one of their own.
    running : dict of str to RunningClip
        The one whose last time step is oldest comes first.
    ended, given_up : set of str
        Ids whose clips are over, and those whose waiting predictions are not held here any more.
    by_order : bool
        Whether frames were counted by calls, as they came without numbers, where predictions wait.

    Raises
    ------
    ConfigError
        If ``max_sequences`` is not a whole number >= 1.

    Examples
    --------
    >>> clips = RunningClips(1)
    >>> for pred in "ab":
    ...     with clips.hold(["clip"]) as steps:
    ...         frame = steps.frame("clip")
    ...         print(frame, steps.step(frame, pred, labelled=True))
    ...         steps.commit()
    frame 0 of sequence 'clip' {}
    frame 1 of sequence 'clip' {0: 'a'}
    """

    def __init__(
        self,
        offset: int | None,
        *,
        max_sequences: int = 16,
        timeline_of: Callable[[str], ScheduleTimeline] | None = None,
    ) -> None:
        self._offset = offset
        self._timeline_of = timeline_of
        self.max_sequences = check_integer("max_sequences", max_sequences, 1)
        self.lock = threading.RLock()
        self._busy: set[str] = set()
        self.clear()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the lock out of copies and pickles, and what other threads are at."""
        with self.lock:
            state = {name: value for name, value in vars(self).items() if name not in ("lock", "_busy")}
            return {**state, "running": dict(self.running), "ended": set(self.ended), "given_up": set(self.given_up)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.lock = threading.RLock()
        self._busy = set()

    def __contains__(self, sequence: object) -> bool:
        """Whether a sequence was stepped."""
        return sequence in self.running or sequence in self.ended or sequence in self.given_up

    @property
    def offset(self) -> int | None:
        """The frame offset of all clips; None under schedules."""
        return self._offset

    @property
    def names(self) -> set[str]:
        """The ids of all sequences that were stepped."""
        return {*self.running, *self.ended, *self.given_up}

    @property
    def unfinished(self) -> set[str]:
        """The ids of those that were never ended."""
        return {*self.running, *self.given_up}

    @property
    def have_only_begun(self) -> bool:
        """Whether clips run, and none has come to its first prediction on screen, nor has any ended."""
        begun = all(clip.line.frame <= (self._offset or 0) for clip in self.running.values())
        return bool(self.unfinished) and not self.ended and begun

    def clear(self) -> None:
        """Forget all clips."""
        with self.lock:
            self.running: dict[str, RunningClip[T]] = {}
            self.ended: set[str] = set()
            self.given_up: set[str] = set()
            self.by_order = False

    @contextmanager
    def hold(self, sequences: Iterable[str]) -> Iterator[TimeSteps[T]]:
        """Hold some clips for the time steps of one call; no other thread can step them meanwhile.

        Raises
        ------
        StateError
            If a clip was given up, or another thread is stepping it where predictions wait.
        """
        names = dict.fromkeys(sequences)
        with self.lock:
            for name in names:
                if name in self.given_up:
                    raise StateError(
                        f"sequence {quoted(name)} was given up, as more than {self.max_sequences} clips "
                        "ran at a time or it "
                        "came from a merge, and its waiting predictions are not held any more: raise `max_sequences`, "
                        "or call end(sequence) where a clip is over"
                    )
            # Where nothing waits, frames have no order that two threads could mix up.
            if self._offset != 0 and (busy := sorted(self._busy & names.keys())):
                raise StateError(
                    f"sequence {quoted(busy[0])} is stepped by two threads at a time, expected one thread "
                    "for each id, as "
                    "its frames have an order"
                )
            self._busy |= names.keys()
        try:
            yield TimeSteps(self, {name: self._clip(name) for name in names})
        finally:
            with self.lock:
                self._busy -= names.keys()

    def _clip(self, sequence: str) -> RunningClip[T] | None:
        """Return a clip in progress, or a new one that is known to begin at frame 0; None: at its first number."""
        if sequence in self.running:
            return self.running[sequence]
        return None if self._timeline_of is None else RunningClip(Line(self._timeline_of(sequence)))

    def _move_on(self, clips: Mapping[str, RunningClip[T]], by_order: bool) -> None:
        if self._offset == 0:  # "" stands for frames of no clip there
            clips = {name: clip for name, clip in clips.items() if name}
        for name in clips:
            self.running.pop(name, None)
        self.running |= clips
        self.ended -= clips.keys()
        self.given_up -= clips.keys()
        self.by_order |= by_order and self._offset != 0
        if self._offset == 0:
            return
        for idle in [name for name in self.running if name not in self._busy]:
            if len(self.running) <= max(self.max_sequences, len(clips)):
                break
            del self.running[idle]
            self.given_up.add(idle)

    def without_waiting(self) -> RunningClips[T]:
        """Return a copy that remembers the clips, and holds none of their predictions."""
        bare = copy(self)
        bare.running = {name: replace(clip, line=replace(clip.line, waiting={})) for name, clip in bare.running.items()}
        return bare

    def with_waiting(self, change: Callable[[T], Changed]) -> RunningClips[Changed]:
        """Return a copy in which everything that waits is changed, such as moved to another device."""
        changed: RunningClips[Any] = copy(self)
        changed.running = {
            name: replace(clip, line=replace(clip.line, waiting=_change_all(clip.line.waiting, change)))
            for name, clip in changed.running.items()
        }
        return changed

    def end(self, sequence: str) -> None:
        """Let go what waits of a sequence, and let its id start anew; nothing happens if it was never stepped.

        Raises
        ------
        ConfigError
            If the clip's schedule continues after its last frame; the clip has ended all the same.
        """
        with self.lock:
            if sequence not in self:
                return
            clip = self.running.pop(sequence, None)
            self.given_up.discard(sequence)
            self.ended.add(sequence)
        if clip is not None and isinstance(clip.line.timeline, ScheduleTimeline):
            clip.line.timeline.check_length(clip.line.frame)

    def check_merge(self, other: RunningClips[Any]) -> None:
        """Refuse clips that were stepped on both sides and not ended, where predictions wait.

        Raises
        ------
        StateError
            If there are some.
        """
        if both := sorted(self.unfinished & other.unfinished if self._offset != 0 else ()):
            raise StateError(
                f"sequence(s) {shortened(map(repr, both))} were stepped on both sides and not ended, so their frames "
                "were paired across a gap: give whole clips to each process (a sampler over clips, not over frames), "
                "and call end(sequence) where a clip is over"
            )

    def merge(self, other: RunningClips[Any]) -> None:
        """Remember the ids that another object stepped; what waits there is not taken over."""
        own = self.names
        self.ended |= other.ended - own
        if self._offset != 0:
            self.given_up |= other.unfinished - own
        self.by_order |= other.by_order

    # ── records ──

    def to_dict(self, write: Callable[[T], Any] | None) -> dict[str, Any]:
        """Return what is remembered in types that JSON knows, with what waits as ``write`` gives it; None: without."""
        return {
            "max_sequences": self.max_sequences,
            "by_order": self.by_order,
            "ended": sorted(self.ended),
            "given_up": sorted(self.given_up),
            "running": [
                {
                    "id": name,
                    "first": clip.first,
                    "frames": clip.line.frame,
                    "waiting": [
                        {"frame": frame, "pred": pred}
                        for frame, pred in (_change_all(clip.line.waiting, write) if write else {}).items()
                    ],
                }
                for name, clip in self.running.items()
            ],
        }

    @classmethod
    def from_dict(
        cls,
        record: Mapping[str, Any],
        offset: int | None,
        read: Callable[[Any], T],
        timeline_of: Callable[[str], ScheduleTimeline] | None = None,
    ) -> RunningClips[T]:
        """Read what :meth:`to_dict` returned of clips with the same offset or schedules.

        Raises
        ------
        StateError
            If an id is there twice, or what waits is not of the last ``offset`` frames.
        """
        clips: RunningClips[T] = cls(offset, max_sequences=record["max_sequences"], timeline_of=timeline_of)
        for entry in record["running"]:
            waiting = {
                _whole(step["frame"]): None if step["pred"] is None else read(step["pred"]) for step in entry["waiting"]
            }
            timeline = FixedOffset(offset or 0) if timeline_of is None else timeline_of(_text(entry["id"]))
            line: Line[T] = Line(timeline, _whole(entry["frames"]), waiting)
            if sorted(waiting) != list(waiting) or any(
                frame >= line.frame or timeline.last_use(frame) < line.frame for frame in waiting
            ):
                raise StateError(f"sequence {quoted(entry['id'])} has predictions waiting that nothing waits for")
            clips.running[_text(entry["id"])] = RunningClip(line, _whole(entry["first"]))
        clips.ended, clips.given_up = ({_text(name) for name in record[kind]} for kind in ("ended", "given_up"))
        clips.by_order = bool(record["by_order"])
        if len(clips.names) < sum(len(record[kind]) for kind in ("running", "ended", "given_up")):
            raise StateError("a sequence is there twice among those that were stepped")
        return clips


class TimeSteps(Generic[T]):
    """The time steps of one call: what :meth:`RunningClips.hold` gives; nothing has happened before :meth:`commit`."""

    def __init__(self, clips: RunningClips[T], held: Mapping[str, RunningClip[T] | None]) -> None:
        self._clips = clips
        self._held = dict(held)
        self._by_order = False

    def frame(self, sequence: str, number: int | None = None) -> ClipFrame:
        """Return the next frame of a clip: that of the number given, or the one after the last.

        Raises
        ------
        StateError
            If numbers do not rise.
        """
        clip = self._held[sequence]
        if clip is None:
            clip = self._held[sequence] = RunningClip(Line(FixedOffset(self._clips.offset or 0)), number or 0)
        self._by_order |= number is None
        found = clip.next_number if number is None else number
        if found < clip.next_number:
            raise StateError(
                f"frame {found} of sequence {quoted(sequence)} came after frame {clip.next_number - 1}, "
                "expected rising "
                "numbers: one id for each clip, its frames in order, and end(sequence) before an id comes again"
            )
        now, last_use = found - clip.first, clip.line.timeline.last_use(found - clip.first)
        return ClipFrame(sequence, found, last_use >= now, last_use > now)

    def step(self, frame: ClipFrame, pred: T | None, *, labelled: bool) -> dict[int, T]:
        """Let a frame pass, and return what is on screen at it, by the number of the frame it was predicted for.

        Parameters
        ----------
        frame : ClipFrame
            What :meth:`frame` returned last for this clip.
        pred : T or None
            The prediction of that frame; None where the network was not run.
        labelled : bool
            Whether the frame has ground truth; nothing is on screen where there is none to compare with.

        Raises
        ------
        StateError
            If the network was not run on a frame whose prediction is on screen.
        """
        clip = self._held[frame.sequence]
        assert clip is not None  # frame() has seen to that
        shown, line = clip.line.step(pred, frame=frame.number - clip.first, labelled=labelled)
        by_number: dict[int, T] = {}
        for source, found in shown.items():
            if found is None:
                raise StateError(
                    f"the prediction of frame {source + clip.first}{of_sequence(frame.sequence)} is None or did not "
                    f"come, but is on screen at frame {frame.number}, which is labelled: run the network there too; "
                    "a stream that drops frames is scored by a schedule"
                )
            by_number[source + clip.first] = found
        self._held[frame.sequence] = replace(clip, line=line)
        return by_number

    def commit(self) -> None:
        """Move all clips of the call on; this cannot fail."""
        with self._clips.lock:
            self._clips._move_on({name: clip for name, clip in self._held.items() if clip}, self._by_order)


def count_steps(
    steps: Iterable[TimeStep],
    clips: TimeSteps[T],
    code: Callable[[TimeStep], T],
    count: Callable[[Mapping[int, T], Any], Counted],
) -> dict[str, Counted]:
    """Count what some time steps show, by sequence.

    Parameters
    ----------
    steps : iterable of TimeStep
        In order.
    clips : TimeSteps
        The clips that they belong to.
    code : callable
        Returns the prediction of a step as it waits. It is called at once, as the caller may overwrite the array, and
        not for predictions that are never shown.
    count : callable
        Takes what is on screen, by frame number (nothing yet: an empty mapping), and the ground truth; returns counts,
        which add.
    """
    counted: dict[str, Counted] = {}
    for step in steps:
        frame = clips.frame(step.sequence, step.number)
        with located(str(frame)):
            is_read = step.pred is not None and frame.is_shown
            shown = clips.step(frame, code(step) if is_read else None, labelled=step.target is not None)
            if step.target is not None:
                found = count(shown, step.target)
                counted[step.sequence] = counted[step.sequence] + found if step.sequence in counted else found
    return counted


def _change_all(waiting: Mapping[int, T | None], change: Callable[[T], Changed]) -> dict[int, Changed | None]:
    return {frame: None if pred is None else change(pred) for frame, pred in waiting.items()}


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise StateError(f"a frame number is {value!r}, expected a whole number >= 0")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise StateError(f"a sequence id is {value!r}, expected text")
    return value
