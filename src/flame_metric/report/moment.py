"""Whose prediction is on screen at each picture of a clip, and the moment that a report opens with."""

from __future__ import annotations

from dataclasses import dataclass

from flame_metric.core.schedule import NOTHING_YET, Schedule
from flame_metric.latency.simulate import simulate_stream
from flame_metric.report.clip import Layer, PictureClip
from flame_metric.report.grid import Grid, NetworkScores, Setting
from flame_metric.report.text import many

__all__ = ["Moment", "Screen", "find_moment", "shown_frames"]

_NOT_TAKEN = -2  # in place of a frame that is on screen: the camera has not taken this one


@dataclass(frozen=True)
class Screen:
    """A picture with layers over it.

    Attributes
    ----------
    name, caption : str
    frame : int or None
        Which of the video; None where nothing is on screen yet.
    picture : str
        The frame as a data URI; where nothing is on screen, one that keeps its place.
    layers : tuple of (str, str or None)
        Names, and pictures as data URIs.
    """

    name: str
    caption: str
    frame: int | None
    picture: str
    layers: tuple[tuple[str, Layer], ...]

    @property
    def text(self) -> str:
        """Which frame it shows."""
        return "nothing on screen yet" if self.frame is None else f"frame {self.frame}"


@dataclass(frozen=True)
class Moment:
    """One picture of a clip, and what is on screen then.

    Attributes
    ----------
    clip : str
        The name of the video.
    picture : int
        Which picture of the clip is current.
    pictures : int
        How many there are.
    size : (int, int)
        Height and width of a picture.
    text : str
    screens : tuple of Screen
        What the network saw, what is on screen, the truth.
    """

    clip: str
    picture: int
    pictures: int
    size: tuple[int, int]
    text: str
    screens: tuple[Screen, ...]


def find_moment(grid: Grid, clip: PictureClip) -> Moment:
    """Return a moment late in the clip that has all there is to show, of the first network with predictions."""
    name = next(iter(clip.predictions))
    network = next(network for network in grid.networks if network.name == name)
    source, _ = shown_frames(network, network.own, 1, clip)
    answers = clip.predictions[name]
    now = _latest(clip, source, answers)
    then = clip.index(source[now])
    answer = ("prediction", answers[then] if then >= 0 else None)
    frame = clip.first + now
    seen = clip.first + then if then >= 0 else None
    screens = (
        Screen("seen", "what the network saw, with its answer", seen, clip.frames[max(0, then)], (answer,)),
        Screen("now", "what is on screen", frame, clip.frames[now], (answer, ("outline", clip.outlines[now]))),
        Screen("truth", "the truth", frame, clip.frames[now], (("truth", clip.truth[now]),)),
    )
    told = "Nothing is on screen yet."
    if source[now] >= 0:
        told = f"On screen is the prediction for frame {source[now]}, {many(frame - source[now], 'frame')} before."
    return Moment(clip.name, now, len(clip.frames), clip.size, f"Frame {frame} is current. {told}", screens)


def _latest(clip: PictureClip, source: tuple[int, ...], answers: tuple[Layer, ...]) -> int:
    """Return the last picture that has all there is to show; the last of all if none has."""
    for picture in reversed(range(len(clip.frames))):
        then = clip.index(source[picture])
        if clip.truth[picture] is not None and then >= 0 and answers[then] is not None:
            return picture
    return len(clip.frames) - 1


def shown_frames(
    network: NetworkScores, setting: Setting, every: int, clip: PictureClip
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Return whose prediction is on screen at each picture of a clip: at the fixed offset, and on the stream.

    Frames are numbers of the video, -1 for nothing yet, -2 where the camera takes no frame. The stream is None where it
    has no score.
    """
    recorded = every * network.evaluation.flame.config.every
    taken = range(0, clip.length, recorded)
    fixed = Schedule.fixed(len(taken), setting.frame_offset)
    if setting.streaming is None or network.fps is None:
        return _of_pictures(fixed, recorded, clip), None
    stream = simulate_stream(
        setting.latency,
        network.stream,
        num_frames=len(taken),
        fps=network.fps / every,
        seed=network.seed,
        sequence=clip.name,
    )
    return _of_pictures(fixed, recorded, clip), _of_pictures(stream, recorded, clip)


def _of_pictures(schedule: Schedule, every: int, clip: PictureClip) -> tuple[int, ...]:
    source = schedule.source.tolist()
    found = []
    for frame in range(clip.first, clip.first + len(clip.frames)):
        shown = source[frame // every] if frame % every == 0 else _NOT_TAKEN
        found.append(shown * every if shown > NOTHING_YET else shown)
    return tuple(found)
