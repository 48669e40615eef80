"""What a score depends on besides the pixels: classes, void label, frame offset, and where the offset comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import Any

from flame_metric.core.checks import check_choice, check_integer
from flame_metric.core.clock import MAX_FRAMES, Fps, Milliseconds, as_fps, milliseconds_to_ns, offset_of_ns
from flame_metric.core.labels import LabelSpace
from flame_metric.core.tables import rate_text
from flame_metric.errors import ConfigError, quoted, shortened

__all__ = ["ScoreConfig", "make_config"]

BEFORE_FIRST = ("skip", "void")

_IN_JSON = {"hardware": "device"}  # files of all releases have it under this name
_USUAL = {"every": 1}  # what a record leaves out where it is usual: so older releases read it


@dataclass(frozen=True)
class ScoreConfig:
    """What a score depends on besides the pixels. Counts of unlike configurations are never added.

    Attributes
    ----------
    num_classes : int
    frame_offset : int or None
        k >= 0; None under a schedule.
    latency_ms : float or None
    fps : Fraction or None
    ignore_index : int or None
    class_names : tuple of str or None
    before_first : {"skip", "void"}
        A labelled frame before the first output is left out, or all its pixels are missed.
    hardware : str or None
        Free text for the signature: what the latency was measured on.
    schedule : str or None
        Free text for the signature: what decided which prediction was on screen, where no fixed offset did.
    every : int
        The camera takes frames 0, m, 2 m, ... of those that were recorded, m >= 1; ``fps`` is its own rate.
    """

    num_classes: int
    frame_offset: int | None = 0
    latency_ms: float | None = None
    fps: Fraction | None = None
    ignore_index: int | None = None
    class_names: tuple[str, ...] | None = None
    before_first: str = "skip"
    hardware: str | None = None
    schedule: str | None = None
    every: int = 1

    def __post_init__(self) -> None:
        space = LabelSpace(self.num_classes, self.ignore_index)  # checks both
        object.__setattr__(self, "num_classes", space.num_classes)
        object.__setattr__(self, "ignore_index", space.ignore_index)
        if self.frame_offset is not None:
            offset = check_integer("frame_offset", self.frame_offset, 0, unit="frames")
            object.__setattr__(self, "frame_offset", offset)
        if self.latency_ms is not None:
            self._check_latency(self.latency_ms)
        for name in ("hardware", "schedule"):
            if not isinstance(getattr(self, name), str | None):
                raise ConfigError(f"`{name}` is {quoted(getattr(self, name))}, expected text")
        if self.class_names is not None and len(self.class_names) != self.num_classes:
            raise ConfigError(
                f"`class_names` holds {len(self.class_names)} names, expected {self.num_classes}, one for each class"
            )
        check_choice("before_first", self.before_first, BEFORE_FIRST)
        object.__setattr__(self, "every", check_integer("every", self.every, 1, most=MAX_FRAMES, unit="frames"))

    def _check_latency(self, latency_ms: float) -> None:
        latency_ns = milliseconds_to_ns(latency_ms)
        if self.fps is None:
            raise ConfigError(f"`latency_ms` is {latency_ms} without `fps`, expected the frame rate too")
        offset = offset_of_ns(latency_ns, self.fps)
        if self.frame_offset not in (None, offset):
            raise ConfigError(
                f"`frame_offset` is {self.frame_offset}, but {latency_ms} ms at {self.fps} fps give {offset}"
            )

    @property
    def recorded_fps(self) -> Fraction | None:
        """Frames per second that were recorded, of which the camera takes each ``every``-th."""
        return None if self.fps is None else self.fps * self.every

    @property
    def camera(self) -> str | None:
        """Which of the recorded frames the camera takes, for the signature; None if all of them."""
        if self.every == 1:
            return None
        rate = "" if self.recorded_fps is None else f" of {rate_text(self.recorded_fps)} fps"
        return f"frames 0, {self.every}, {2 * self.every}, ..{rate}"

    @property
    def space(self) -> LabelSpace:
        """The labels that maps may hold."""
        return LabelSpace(self.num_classes, self.ignore_index)

    def differences(self, other: ScoreConfig) -> list[str]:
        """Describe every field in which another configuration differs, as "name: this / that"."""
        pairs = ((name, value, getattr(other, name)) for name, value in vars(self).items())
        return [f"{name}: {mine} / {theirs}" for name, mine, theirs in pairs if mine != theirs]

    def to_dict(self) -> dict[str, Any]:
        """Return it in types that JSON knows."""
        record = {**asdict(self), "fps": None if self.fps is None else str(self.fps)}
        known = {_IN_JSON.get(name, name): value for name, value in record.items()}
        return {name: value for name, value in known.items() if name not in _USUAL or value != _USUAL[name]}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ScoreConfig:
        """Build it from what :meth:`to_dict` returned.

        Raises
        ------
        ConfigError
            If a field is missing, unknown or out of range.
        """
        names = {_IN_JSON.get(known.name, known.name): known.name for known in fields(cls)}
        record = {**_USUAL, **record}
        if record.keys() != names.keys():
            found = shortened(map(repr, sorted(record)), 20)
            raise ConfigError(f"the configuration has the fields [{found}], expected {sorted(names)}")
        values = {names[written]: value for written, value in record.items()}
        if values["fps"] is not None:
            values["fps"] = as_fps(values["fps"])
        values["class_names"] = check_class_names(values["class_names"])
        return cls(**values)


def make_config(
    num_classes: int,
    *,
    latency_ms: Milliseconds | None = None,
    fps: Fps | None = None,
    frame_offset: int | None = None,
    ignore_index: int | None = None,
    class_names: Sequence[str] | None = None,
    before_first: str = "skip",
    hardware: str | None = None,
) -> ScoreConfig:
    """Build a configuration; k is given, or follows from latency and frame rate (Eq. 5).

    Raises
    ------
    ConfigError
        If both or only half of that is given, or a value is out of range.
    """
    rate = None if fps is None else as_fps(fps)
    if latency_ms is not None and frame_offset is not None:
        raise ConfigError(
            "`latency_ms` and `frame_offset` are both given, expected one: the offset follows from the latency"
        )
    if rate is not None and latency_ms is None and frame_offset is None:
        raise ConfigError(f"`fps` is {fps} without `latency_ms`, expected the latency too")
    latency_ns = None if latency_ms is None else milliseconds_to_ns(latency_ms)
    offset = 0 if frame_offset is None else frame_offset
    if latency_ns is not None and rate is not None:
        offset = offset_of_ns(latency_ns, rate)
    return ScoreConfig(
        num_classes=num_classes,
        frame_offset=offset,
        latency_ms=None if latency_ns is None else latency_ns / 1e6,
        fps=rate,
        ignore_index=ignore_index,
        class_names=check_class_names(class_names),
        before_first=before_first,
        hardware=hardware,
    )


def check_class_names(names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return names as a tuple of text.

    Raises
    ------
    ConfigError
        If they are one text, or no texts.
    """
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"`class_names` is {quoted(names)}, expected a list of names")
    return tuple(str(name) for name in names)
