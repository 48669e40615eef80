"""Numbers of a report as text: scores, intervals, rates, latencies, signatures and commands."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from flame_metric.core.tables import ABSENT, milliseconds_text, rate_text
from flame_metric.report.grid import OWN, NetworkScores, Setting
from flame_metric.scores.result import FlameResult, few_suffix

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
    if interval is None:
        return ""
    return f"{number(interval.low, digits)} to {number(interval.high, digits)}{few_suffix([interval])}"


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
    if scale == OWN:
        return "as measured"
    return f"{1 / scale}× faster" if scale < 1 else f"{scale}× slower"


def signature(network: NetworkScores, result: FlameResult) -> str:
    """Return the signature of a score, which says whether it is of only some of the sequences."""
    return result.signature + (" | INCOMPLETE" if network.evaluation.incomplete else "")


def many(count: int, noun: str) -> str:
    """Return so many things.

    Examples
    --------
    >>> many(1, "frame"), many(3000, "frame")
    ('1 frame', '3,000 frames')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def command_of(network: NetworkScores, every: int, time_ns: Fraction, *, has_stream: bool = True) -> str:
    """Return the command that gives the scores of a setting, from the bank; of a stream only where that has a score.

    Examples
    --------
    >>> from flame_metric import LatencyTrace, StreamConfig
    >>> from flame_metric.jobs.evaluate import evaluate_bank
    >>> from flame_metric import OffsetBank
    >>> bank = OffsetBank(2, max_offset=1, fps=10)
    >>> bank.update_sequence([[[0]]] * 3, [[[0]]] * 3, sequence="clip")
    >>> found = evaluate_bank(bank, latency_ms=76)
    >>> network = NetworkScores("net", found, LatencyTrace([76]), False, StreamConfig(workers=2), 0, {})
    >>> command_of(network, 2, Fraction(38_000_000))
    'flame-metric rescore BANK --latency-ms 38 --every 2 --workers 2 --queue 1'
    """
    median, config = network.trace.median_ns, network.evaluation.flame.config
    if has_stream and network.is_traced and time_ns and median:
        words = ["--trace", "TRACE", *([] if time_ns == median else ["--scale", str(time_ns / median)])]
        words += ["--seed", str(network.seed)] if network.seed and network.trace.replay == "random" else []
    else:
        words = ["--latency-ms", f"{round(time_ns) / 10**6:g}"]
    if (bank := network.evaluation.bank) is not None:
        recorded = config.recorded_fps
        if recorded is not None and bank.fps != recorded / bank.config.every:
            words += ["--recorded-fps", rate_text(recorded)]
        every = every * config.every // bank.config.every
    words += [] if every == 1 else ["--every", str(every)]
    words += [] if config.before_first == "skip" else ["--before-first", config.before_first]
    return " ".join(["flame-metric rescore BANK", *words, *(_stream_options(network) if has_stream else ())])


def _stream_options(network: NetworkScores) -> Iterator[str]:
    stream = network.stream
    unlimited = {name: "unlimited" if value is None else value for name, value in vars(stream).items()}
    usual = vars(type(stream)())
    for name, value in unlimited.items():
        if name in ("workers", "queue") or value != usual[name]:
            yield from (f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value))
