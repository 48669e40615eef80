"""Plan of an evaluation: which pairs of frames its scores need, and whether their files are there.

A score picks an offset for each labelled frame j: 0 (static), k (FLAME), or what a stream shows then (streaming); a
bank needs all offsets up to its own limit. The prediction of frame j - offset is then compared with the labels of frame
j. File names are enough to know all this, so what is missing is named before anything is decoded.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from flame_metric.core.schedule import NOTHING_YET, EveryOffset, Schedule, fixed_staleness
from flame_metric.data.folders import Clip, Frame
from flame_metric.data.stored import StoredFolder
from flame_metric.errors import DatasetError, FlameWarning, shortened

__all__ = ["FLAME", "STATIC", "STREAMING", "ClipPlan", "Plan"]

STATIC, FLAME, STREAMING = "static", "FLAME", "streaming"


@dataclass(frozen=True)
class ClipPlan:
    """What the scores need of one clip.

    Attributes
    ----------
    clip : Clip
    frame_offset : int
        k.
    schedule : Schedule or None
        What a stream shows at the labelled frames.
    bank_offset : int or None
        A bank needs all offsets 0..bank_offset.
    """

    clip: Clip
    frame_offset: int
    schedule: Schedule | None
    bank_offset: int | None

    @cached_property
    def labelled(self) -> list[Frame]:
        """The labelled frames."""
        return [frame for frame in self.clip.frames if frame.label]

    @cached_property
    def frames(self) -> dict[int, Frame]:
        """All frames by their index."""
        return {frame.index: frame for frame in self.clip.frames}

    @cached_property
    def predicts_unlabelled(self) -> bool:
        """Whether the network was run on frames without labels.

        A number that neither folder has is a hole, unless it was: then a hole looks like a lost prediction,
        and losing the hard ones would raise the score.
        """
        return any(frame.pred and not frame.label for frame in self.clip.frames)

    def is_hole(self, index: int) -> bool:
        """Whether nothing was recorded at an index of the timeline; a list of holes would grow with the numbers."""
        return not self.predicts_unlabelled and 0 <= index < self.num_frames and index not in self.frames

    @cached_property
    def staleness(self) -> Mapping[int, int] | None:
        """By labelled frame: how old the prediction is that the stream shows, -1 where it shows none."""
        if self.schedule is None:
            return None
        return dict(zip(self.schedule.label_frame.tolist(), self.schedule.staleness.tolist(), strict=True))

    @property
    def num_frames(self) -> int:
        """Frames from the first to the last one, holes included."""
        return self.clip.frames[-1].index + 1 if self.clip.frames else 0

    def picks(self, frame: int) -> dict[str, int]:
        """Return the offset that each score picks at a labelled frame; -1 where nothing is on screen yet."""
        picks = {STATIC: 0, FLAME: int(fixed_staleness(frame, self.frame_offset))}
        if self.staleness is not None:
            picks[STREAMING] = self.staleness[frame]
        return picks

    def sources(self, frame: int) -> list[int]:
        """Return the frames that are compared with a labelled frame, the newest first."""
        offsets = {offset for offset in self.picks(frame).values() if offset != NOTHING_YET}
        every = () if self.bank_offset is None else EveryOffset(self.bank_offset).sources(frame)
        return sorted({*every, *(frame - offset for offset in offsets)}, reverse=True)

    @cached_property
    def needed(self) -> dict[int, int]:
        """By frame: the last labelled frame that is compared with it. Frames that are not in it are not read."""
        last: dict[int, int] = {}
        for frame in self.labelled:
            last.update(dict.fromkeys(self.sources(frame.index), frame.index))
        return last

    @property
    def read(self) -> list[Frame]:
        """The frames that are read, in order."""
        return [frame for frame in self.clip.frames if frame.index in self.needed]

    def last_use(self, frame: int) -> int:
        """Return the last labelled frame that is compared with a frame, or -1 if there is none."""
        return self.needed.get(frame, NOTHING_YET)

    @property
    def digest(self) -> str:
        """A text that changes with which frames there are, and which of them have what."""
        frames = [
            (frame.index, frame.name, frame.pred is not None, frame.label is not None) for frame in self.clip.frames
        ]
        return hashlib.sha256(json.dumps(frames).encode()).hexdigest()


class _Found(NamedTuple):
    """What the folders hold for one score on one clip."""

    pairs: int
    in_holes: int  # the numbering has no frame that could be on screen: nothing was recorded there
    missing: tuple[str, ...]  # the frame exists, its prediction does not


@dataclass(frozen=True)
class Plan:
    """The plans of all clips.

    Attributes
    ----------
    where : Path, StoredFolder or str
        What the predictions are of, for messages: their folder, or the name of a data set.
    clips : tuple of ClipPlan
    frame_offset : int
    curve : int or None
        Offsets 0..curve must be complete.
    has_step : bool
        Whether the step of frame numbers is the user's choice.
    """

    where: Path | StoredFolder | str
    clips: tuple[ClipPlan, ...]
    frame_offset: int
    curve: int | None = None
    has_step: bool = True

    def check(self) -> list[str]:
        """Raise for predictions that are missing; return what should be known about what is there.

        Raises
        ------
        DatasetError
            If a prediction is missing, or a score has no pair: in all sequences, or in one with a single label.

        Warns
        -----
        FlameWarning
            If some sequences have no pair.
        """
        notes = self._check_score(FLAME)
        if any(plan.schedule is not None for plan in self.clips):
            notes += self._check_score(STREAMING)
        for offset in range(self.curve + 1 if self.curve is not None else 0):
            fixed = (fixed_staleness([frame.index for frame in plan.labelled], offset).tolist() for plan in self.clips)
            self._check_given([self._find(plan, offsets) for plan, offsets in zip(self.clips, fixed, strict=True)])
        return notes

    @property
    def _path(self) -> Path | StoredFolder | None:
        return None if isinstance(self.where, str) else self.where

    def _check_score(self, score: str) -> list[str]:
        plans = [plan for plan in self.clips if plan.labelled]
        found = [self._find(plan, [plan.picks(frame.index)[score] for frame in plan.labelled]) for plan in plans]
        self._check_given(found)
        without_pair = [plan for plan, one in zip(plans, found, strict=True) if not one.pairs]
        for plan in without_pair:
            self._check_history(plan, score)
        if without_pair:
            names = shortened(plan.clip.name for plan in without_pair)
            of_step = f" of step {without_pair[0].clip.step or 'unknown'}" if self.has_step else ""
            reason = f"have no two frames {self.frame_offset} frame(s){of_step} apart"
            if score == STREAMING:
                reason = "show no prediction at any labelled frame of the stream"
            message = f"{len(without_pair)} of {len(plans)} sequence(s) {reason}: {names}"
            if len(without_pair) == len(plans):
                remedy = "a smaller offset, or another step (--step)?" if self.has_step else "a smaller offset?"
                raise DatasetError(f"{self.where}: {message}; {remedy}", path=self._path)
            warnings.warn(f"{message}; they add nothing to {score}", FlameWarning, stacklevel=4)
        in_holes = sum(one.in_holes for one in found)
        if not in_holes:
            return []
        after = f"lie {self.frame_offset} frame(s) after" if score == FLAME else "are to show the prediction of"
        return [f"{in_holes} labelled frame(s) {after} a hole in the numbering: no pair."]

    def _check_given(self, found: list[_Found]) -> None:
        missing = list(dict.fromkeys(name for one in found for name in one.missing))
        if missing:
            raise DatasetError(
                f"{self.where}: {len(missing)} prediction(s) are missing, expected one for every frame that is "
                f"scored: {shortened(missing)}",
                path=self._path,
            )

    def _check_history(self, plan: ClipPlan, score: str) -> None:
        """Refuse an offset beyond the history of a clip's only label: that clip would silently fall out."""
        if len(plan.labelled) != 1:
            return
        (label,) = plan.labelled
        wanted = f"a prediction {self.frame_offset} frame(s) before it; a smaller offset"
        if score == STREAMING:
            wanted = "a prediction that the stream shows then; a faster network"
        step = f", or another step (--step, now {plan.clip.step or 'unknown'})" if self.has_step else ""
        raise DatasetError(
            f"{self.where}: sequence {plan.clip.name} has one label, that of frame {label.name}, and "
            f"{label.index} frame(s) before it, expected {wanted}{step}?",
            path=self._path,
        )

    @staticmethod
    def _find(plan: ClipPlan, offsets: Sequence[int]) -> _Found:
        missing: list[str] = []
        pairs = in_holes = 0
        for frame, offset in zip(plan.labelled, offsets, strict=True):
            if offset == NOTHING_YET:
                continue
            source = plan.frames.get(frame.index - offset)
            if source is not None and source.pred:
                pairs += 1
            elif source is not None:
                missing.append(f"{plan.clip.name}/{source.name}")
            elif plan.is_hole(frame.index - offset):
                in_holes += 1
            else:
                missing.append(f"{plan.clip.name}: {offset} frame(s) before {frame.name}")
        return _Found(pairs, in_holes, tuple(missing))
