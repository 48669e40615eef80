"""Words and numbers of a report."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from flame_metric.core.tables import ABSENT, milliseconds_text, rate_text
from flame_metric.errors import shortened
from flame_metric.report.page_data import Grid, Network, Setting
from flame_metric.scores.ranking import Ranking
from flame_metric.scores.result import FlameResult

__all__ = [
    "UNKNOWN",
    "command_of",
    "interval_text",
    "latency_text",
    "many",
    "number",
    "rate",
    "scale_text",
    "signature",
    "summary",
    "warnings_of",
]

UNKNOWN = "–"
_MINUS = "\u2212"


def number(value: float | None, digits: int = 4) -> str:
    """Return a score with four decimals; "absent" for NaN, a dash for what is not known.

    Examples
    --------
    >>> number(0.48376), number(-0.00001), number(float("nan")), number(None)
    ('0.4838', '0.0000', 'absent', '–')
    """
    if value is None:
        return UNKNOWN
    if math.isnan(value):
        return ABSENT
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", _MINUS)


def interval_text(result: FlameResult | None, digits: int = 4) -> str:
    """Return the ends of the 95 % interval; nothing where there is none."""
    interval = None if result is None else result.interval
    return "" if interval is None else f"{number(interval.low, digits)} to {number(interval.high, digits)}"


def rate(fps: Fraction) -> str:
    """Return a frame rate to read.

    Examples
    --------
    >>> rate(Fraction(50, 3)), rate(Fraction(30)), rate(Fraction(1, 30))
    ('16.67 fps', '30 fps', '0.0333 fps')
    """
    digits = 2 if fps >= 1 else 4
    return f"{float(fps):.{digits}f}".rstrip("0").rstrip(".") + " fps"


def latency_text(setting: Setting) -> str:
    """Return the latency of a setting."""
    return milliseconds_text(setting.latency.median_ms)


def scale_text(scale: Fraction) -> str:
    """Say how fast other hardware is.

    Examples
    --------
    >>> [scale_text(Fraction(*scale)) for scale in ((1, 4), (1, 1), (2, 1))]
    ['4× faster', 'as measured', '2× slower']
    """
    if scale == 1:
        return "as measured"
    return f"{1 / scale}× faster" if scale < 1 else f"{scale}× slower"


def signature(network: Network, result: FlameResult) -> str:
    """Return the signature of a score, which says whether it is of some of the sequences alone."""
    return result.signature + (" | INCOMPLETE" if network.evaluation.incomplete else "")


def many(count: int, noun: str) -> str:
    """Return so many things.

    Examples
    --------
    >>> many(1, "frame"), many(3000, "frame")
    ('1 frame', '3,000 frames')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def command_of(network: Network, every: int, time_ns: Fraction, *, has_stream: bool = True) -> str:
    """Return the command that gives the scores of a setting, from the bank; of a stream only where that has a score.

    Examples
    --------
    >>> from flame_metric import LatencyTrace, StreamConfig
    >>> from flame_metric.jobs.evaluate import evaluate_bank
    >>> from flame_metric import OffsetBank
    >>> bank = OffsetBank(2, max_offset=1, fps=10)
    >>> bank.update_sequence([[[0]]] * 3, [[[0]]] * 3, sequence="clip")
    >>> found = evaluate_bank(bank, latency_ms=76)
    >>> network = Network("net", found, LatencyTrace([76]), False, StreamConfig(workers=2), 0, {})
    >>> command_of(network, 2, Fraction(38_000_000))
    'flame-metric rescore BANK --latency-ms 38 --every 2 --workers 2 --queue 1'
    """
    median, config = network.trace.median_ns, network.evaluation.flame.config
    if has_stream and network.is_traced and time_ns and median:
        words = ["--trace", "TRACE", *([] if time_ns == median else ["--scale", str(time_ns / median)])]
        words += ["--seed", str(network.seed)] if network.seed else []
    else:
        words = ["--latency-ms", f"{round(time_ns) / 10**6:g}"]
    if network.fps is not None and config.fps is not None and network.evaluation.bank is not None:
        words += [] if network.evaluation.bank.fps == config.fps else ["--fps", rate_text(config.fps)]
    words += [] if every == 1 else ["--every", str(every)]
    words += [] if config.before_first == "skip" else ["--before-first", config.before_first]
    return " ".join(["flame-metric rescore BANK", *words, *(_stream_options(network) if has_stream else ())])


def _stream_options(network: Network) -> Iterator[str]:
    stream = network.stream
    unlimited = {name: "unlimited" if value is None else value for name, value in vars(stream).items()}
    usual = vars(type(stream)())
    for name, value in unlimited.items():
        if name in ("workers", "queue") or value != usual[name]:
            yield from (f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value))


# ── sentences ──


def warnings_of(grid: Grid) -> Iterator[str]:
    """Say which results are of some of the sequences alone, and why."""
    for network in grid.networks:
        if network.evaluation.incomplete is not None:
            whose = f"{network.name} is " if len(grid.networks) > 1 else ""
            yield f"{whose}INCOMPLETE: {network.evaluation.incomplete}."


def summary(grid: Grid, ranking: Ranking | None) -> list[str]:
    """Say in plain words what was found."""
    if ranking is not None:
        return list(_of_several(grid, ranking))
    (network,) = grid.networks
    return list(_of_one(network))


def _of_one(network: Network) -> Iterator[str]:
    found, flame = network.evaluation, network.evaluation.flame
    delay, offset = _delay(network), flame.frame_offset or 0
    if not flame.tallies[:, 1].any():
        yield "Nothing was counted: there are no labelled frames."
        return
    if found.static is not None:
        miou = number(found.static.miou, 3)
        yield f"On the frames that it was made from, the output of {network.name} has a mean IoU of {miou}."
    if offset:
        worth = f"the same output is worth {number(flame.miou, 3)}: FLAME."
        if math.isnan(flame.miou):
            worth = "no labelled frame shows what the output is then worth: there is no FLAME."
        yield f"{delay} the scene has moved on by {many(offset, 'frame')}, and {worth}"
    else:
        yield f"{delay} the frame is still the same: FLAME is {number(flame.miou, 3)}."
    if found.streaming is not None:
        live = number(found.streaming.result.miou, 3)
        yield f"On a live stream ({found.streaming.config}), where frames wait or are missed, it is worth {live}."
    if found.persistence is not None and offset:
        yield f"A perfect network that came as late would reach {number(found.persistence.miou, 3)}."
    if found.static is not None and offset:
        yield from _worst_classes(found.static, flame)


def _delay(network: Network) -> str:
    config = network.evaluation.flame.config
    if config.latency_ms is None:
        return "When it is on screen"
    where = "" if config.hardware is None else f" on {config.hardware}"
    at = "" if config.fps is None else f" at {rate(config.fps)},"
    return f"It takes {milliseconds_text(config.latency_ms)}{where}. By then,{at}"


def _worst_classes(static: FlameResult, flame: FlameResult) -> Iterator[str]:
    lost = np.nan_to_num(static.iou - flame.iou)
    worst = [label for label in np.argsort(-lost).tolist()[:2] if lost[label] > 0.0005]
    if worst:
        named = " and ".join(f"{static.class_names[label]} ({number(float(lost[label]), 3)})" for label in worst)
        yield f"The delay costs most on {named}."


def _all_of(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last} are" if others else f"{last} is"


def _of_several(grid: Grid, ranking: Ranking) -> Iterator[str]:
    first, *others = ranking.contenders
    static = {one.name: one.static.miou for one in ranking.contenders if one.static is not None}
    if len(static) == len(ranking.contenders):
        best = max((miou for miou in static.values() if not math.isnan(miou)), default=math.nan)
        alike = [name for name, miou in static.items() if miou == best]
        if alike:
            yield f"Without delay, {_all_of(alike)} best, with a mean IoU of {number(best, 3)}."
    yield f"With the delay of each counted, {first.name} leads: FLAME {number(first.flame.miou, 3)}."
    chance = [
        other.name
        for other in others
        if (found := ranking.comparisons[first.name, other.name]) is None or not found.is_clear
    ]
    if chance:
        yield f"On this many sequences, that it is better than {shortened(chance)} may be chance."
    else:
        yield "Its lead over each of the others is beyond chance: the 95 % intervals of the differences leave out zero."
