"""Audit of a run: whether what was timed is what was scored, and the latency that of any frame.

After the compliance tests of MLPerf: a network that answers from memory, or that does less while it is timed, passes
every usual evaluation. Four checks:

- *outputs*: each timed call gave the very label map that was scored for its frame;
- *repetition*: a frame that is shown again and again takes as long as frames that were never shown before, and so do
  the frames that were timed;
- *seeds*: the median does not depend on which frames are shown, in which order;
- *frame offset*: k is the same for all those medians; how it would grow with the tail (p90, p99) is said.

Two latencies are alike if neither is more than a tenth and more than 0.1 ms shorter than the other. Frames are timed in
a shuffled order, so a network that answers from what it kept of the frames before gives other label maps than when it
is scored.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flame_metric.core.clock import Fps, as_fps, frame_offset
from flame_metric.core.counting import LabelSpace
from flame_metric.data.videos import VideoSequence
from flame_metric.jobs.network_source import copy_output, scored_labels
from flame_metric.latency.report import latency_report
from flame_metric.latency.trace import LatencyTrace
from flame_metric.networks.network import Network

__all__ = ["Audit", "Auditor", "Check"]

_ALIKE, _ALIKE_MS = 0.9, 0.1
_SEEDS = (0, 1, 2)
_MOST_CALLS, _FEWEST_CALLS = 30, 5  # of a kind and a seed
_BLOCK = 5
_BUDGET_MS = 60_000
_NS_PER_MS = 10**6
_NAME, _VERDICT, _WIDTH = 14, 8, 110  # columns
_FORMAT = "flame-metric audit 1"

Labels = npt.NDArray[np.uint16]
TimedFrame = tuple[VideoSequence, int, npt.NDArray[np.uint8]]


class Answer(NamedTuple):
    """A label map, and how many timed calls gave it."""

    labels: Labels
    calls: int


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes
    ----------
    name : str
    passed : bool
    found : str
        What was found, in a sentence or two.
    """

    name: str
    passed: bool
    found: str


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes
    ----------
    checks : tuple of Check
    medians_ms : dict of str to float
        Of each kind of call: ``"timed"``, ``"repeated"``, ``"seed 0"``, ...
    digests : dict of str to str
        SHA-256 of the label map that was scored for each timed frame, and of its shape, by ``"<video>/<number>"``.
    """

    checks: tuple[Check, ...]
    medians_ms: Mapping[str, float]
    digests: Mapping[str, str]

    @property
    def passed(self) -> bool:
        """Whether all checks did."""
        return all(check.passed for check in self.checks)

    def table(self) -> str:
        """Return the checks as text."""
        lines = []
        for check in self.checks:
            head = f"{check.name:<{_NAME}}{'passed' if check.passed else 'FAILED':<{_VERDICT}}"
            lines += textwrap.wrap(head + check.found, _WIDTH, subsequent_indent=" " * len(head))
        failed = [check.name for check in self.checks if not check.passed]
        verdict = "The audit passed." if not failed else f"The audit FAILED: {', '.join(failed)}."
        return "\n".join([*lines, "", verdict])

    def to_json(self) -> str:
        """Return it as JSON text."""
        return json.dumps({"format": _FORMAT, "passed": self.passed, **asdict(self)}, indent=1)


class Auditor:
    """Sees a run from its timed calls to its scores, and then makes calls of its own.

    Time ``timed_network`` in place of the network, with what :meth:`between_calls` returns as progress; pass
    :meth:`keep` as one of the outputs of the evaluation; then ask :meth:`audit`.

    Parameters
    ----------
    network : Network
    timed : sequence of (VideoSequence, int, ndarray)
        The frames on which it is timed in turn, as
        :func:`~flame_metric.jobs.network_evaluation.timed_frames` returns them.
    space : LabelSpace

    Attributes
    ----------
    timed_network : Network
        The network, with a look at its outputs.
    """

    def __init__(self, network: Network, timed: Sequence[TimedFrame], space: LabelSpace) -> None:
        self.timed_network = replace(network, runner=replace(network.runner, run=self._run))
        self._network, self._timed, self._space = network, timed, space
        self._last: Any = None
        self._answers: list[dict[bytes, Answer]] = [{} for _ in timed]
        self._calls = 0
        self._wanted = {(video.name, frame) for video, frame, _ in timed}
        self._scored: dict[tuple[str, int], Labels] = {}

    def _run(self, item: Any) -> Any:
        self._last = self._network.runner.run(item)
        return self._last

    def between_calls(self, progress: Callable[[int, int], object]) -> Callable[[int, int], object]:
        """Return what is to be called after each timed call; it passes its arguments on."""

        def look(done: int, total: int) -> None:
            answers = self._answers[self._calls % len(self._timed)]
            self._calls += 1
            output, self._last = copy_output(self._last), None  # before anything else can write over it
            labels = scored_labels(output, self._space)
            digest = _digest(labels)
            answers[digest] = Answer(labels, answers[digest].calls + 1 if digest in answers else 1)
            progress(done, total)

        return look

    def keep(self, video: VideoSequence, frame: int, labels: Labels) -> None:
        """Keep the label map that is scored for a frame, if it was timed."""
        if (video.name, frame) in self._wanted:
            self._scored[video.name, frame] = labels

    def audit(
        self, trace: LatencyTrace, *, fps: Fps, progress: Callable[[int, int], object] = lambda done, total: None
    ) -> Audit:
        """Compare what was timed with what was scored, and time the network again.

        Parameters
        ----------
        trace : LatencyTrace
            Of the timed calls, from which k followed.
        fps : int, float, Fraction or str
        progress : callable
            Called with (calls made, all calls).
        """
        medians = {"timed": trace.median_ms, **_medians(self._network, self._timed, trace, progress)}
        fresh = [median for name, median in medians.items() if name.startswith("seed")]
        checks = (
            self._outputs(),
            _repetition(medians, min(fresh)),
            _seeds(fresh),
            _offsets(trace, medians, as_fps(fps)),
        )
        digests = {f"{video}/{frame}": _digest(labels).hex() for (video, frame), labels in sorted(self._scored.items())}
        return Audit(checks, medians, digests)

    def _outputs(self) -> Check:
        calls = wrong = pixels = left_out = 0
        first = ""
        for (video, frame, _), answers in zip(self._timed, self._answers, strict=True):
            expected = self._scored.get((video.name, frame))
            if expected is None:  # its video is left out for another frame, which is damaged
                left_out += sum(answer.calls for answer in answers.values())
                continue
            for digest, answer in answers.items():
                calls += answer.calls
                if digest != _digest(expected):
                    wrong += answer.calls
                    pixels = max(pixels, _different(answer.labels, expected))
                    first = first or f"{video.name}/{video.frame_name(frame)}"
        found = f"all {calls:,} timed calls gave the label maps that were scored for their frames"
        if wrong:
            found = (
                f"{wrong:,} of {calls:,} timed calls gave another label map than was scored for their frame, first "
                f"that of {first}; up to {pixels:,} pixels differ; is it random, or does it keep what it saw before?"
            )
        if left_out:
            found += f"; {left_out:,} calls were on frames that are not scored"
        return Check("outputs", calls > 0 and not wrong, found)


def _medians(
    network: Network, timed: Sequence[TimedFrame], trace: LatencyTrace, progress: Callable[[int, int], object]
) -> dict[str, float]:
    """Time, for each seed, blocks of frames never shown before, and blocks of one frame again and again."""
    runner = network.runner
    blocks = round(min(_MOST_CALLS, max(_FEWEST_CALLS, _BUDGET_MS / (2 * len(_SEEDS) * trace.median_ms))) / _BLOCK)
    calls, total = 0, len(_SEEDS) * blocks * (2 * _BLOCK + 1)
    medians: dict[str, float] = {}
    repeated: list[int] = []

    def time(image: npt.NDArray[np.uint8]) -> int:
        nonlocal calls
        taken = runner.timer.time(runner.run, runner.prepare(image)).host_ns
        calls += 1
        progress(calls, total)
        return taken

    def image_of(generator: np.random.Generator) -> npt.NDArray[np.uint8]:
        return timed[int(generator.integers(len(timed)))][-1]

    with runner.context():
        for seed in _SEEDS:
            generator = np.random.default_rng(seed)
            new: list[int] = []
            for _ in range(blocks):
                new += [time(_altered(image_of(generator), generator)) for _ in range(_BLOCK)]
                same = image_of(generator)
                repeated += [time(same) for _ in range(_BLOCK + 1)][1:]  # the first one is new after what came before
            medians[f"seed {seed}"] = statistics.median(new) / _NS_PER_MS
    return {**medians, "repeated": statistics.median(repeated) / _NS_PER_MS}


def _altered(image: npt.NDArray[np.uint8], generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return a frame that was never shown and looks like no other: moved round its edges, half its samples off by one.

    A network that recognises frames by a few of their samples, or by a thumbnail, is to find it new as well.
    """
    shift = [int(generator.integers(size)) for size in image.shape[:2]]
    noise = generator.integers(2, size=image.shape, dtype=np.uint8)
    return np.roll(image, shift, (0, 1)) ^ noise


def _shorter(one: float, other: float) -> bool:
    """Whether a latency in milliseconds is shorter by more than clocks and chance explain."""
    return one < min(_ALIKE * other, other - _ALIKE_MS)


def _repetition(medians: Mapping[str, float], fresh: float) -> Check:
    found = f"frames never shown {fresh:.2f} ms, one frame again and again {medians['repeated']:.2f} ms, timed frames"
    found += f" {medians['timed']:.2f} ms"
    quick = [name for name in ("repeated", "timed") if _shorter(medians[name], fresh)]
    if quick:
        found += "; does it answer from memory, or is the machine busy with something else now?"
    return Check("repetition", not quick, found)


def _seeds(fresh: Sequence[float]) -> Check:
    found = "medians of " + ", ".join(f"{median:.2f}" for median in fresh) + " ms in three orders of frames"
    alike = not _shorter(min(fresh), max(fresh))
    return Check("seeds", alike, found if alike else f"{found}; audit again on a quiet machine")


def _offsets(trace: LatencyTrace, medians: Mapping[str, float], rate: Fraction) -> Check:
    report = latency_report(trace, fps=rate)
    offset = frame_offset(trace.median_ms, rate)
    tail = []
    for percent in (90, 99):
        bound = report.upper_bound_ms(percent)
        text = "too few samples" if bound is None else f"{frame_offset(bound, rate)} ({bound:.2f} ms)"
        tail.append(f"p{percent} {text}")
    others = {name: frame_offset(median, rate) for name, median in medians.items()}
    found = f"median {offset} ({trace.median_ms:.2f} ms), {', '.join(tail)}"
    unlike = [f"{name} {k}" for name, k in others.items() if k != offset]
    return Check("frame offset", not unlike, f"{found}; other medians: {', '.join(unlike)}" if unlike else found)


def _digest(labels: Labels) -> bytes:
    return hashlib.sha256(str(labels.shape).encode() + labels.tobytes()).digest()


def _different(one: Labels, other: Labels) -> int:
    return int((one != other).sum()) if one.shape == other.shape else max(one.size, other.size)
