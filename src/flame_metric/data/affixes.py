"""Beginnings and ends in which the names of two sides differ, and the options that remove them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from itertools import product

from flame_metric.data.name_parts import cut_name, is_of_word, texts_of

__all__ = ["propose_affixes"]

_MOST_AFFIXES = 5
_AFFIX_OPTIONS = ("--pred-prefix {}", "--label-prefix {}", "--pred-suffix {}", "--label-suffix {}")


def propose_affixes(
    first: Iterable[str],
    second: Iterable[str],
    options: tuple[str, str, str, str] = _AFFIX_OPTIONS,
    quote: Callable[[str], str] = shlex.quote,
) -> str:
    """Say which options remove the parts in which the names of two sides differ; "" if none do, or names fit already.

    Parameters
    ----------
    first, second : iterable of str
        Names of frames.
    options : four of str
        How they are written, ``{}`` for what they remove: the prefixes of first and second, then the suffixes.
    quote : callable
        How that is written.

    Examples
    --------
    >>> propose_affixes(["a_01_leftImg8bit", "a_02_leftImg8bit"], ["a_01_gtFine_labelIds"])
    '; try --pred-suffix _leftImg8bit --label-suffix _gtFine_labelIds'
    >>> propose_affixes(["a_01", "a_02"], ["a_02", "a_03"])
    ''
    """
    names = [list(dict.fromkeys(side)) for side in (first, second)]
    if not {*names[0]}.isdisjoint(names[1]):
        return ""
    hint = _propose(names, options, quote)
    if hint:
        return hint
    kinds = [{texts_of(name): name for name in side} for side in names]
    if kinds[0].keys() & kinds[1].keys():  # other frames of the same names
        return ""
    return _propose([[*side.values()] for side in kinds], options, quote, texts_of)


def _propose(
    names: Sequence[Sequence[str]],
    options: Sequence[str],
    quote: Callable[[str], str],
    form: Callable[[str], object] = str,
) -> str:
    """Say which are the shortest affixes without which both sides have something in common."""
    left: list[dict[tuple[str, str], set[object]]] = []
    for side in names:
        affixes = product(_affixes(side, from_end=False), _affixes(side, from_end=True))
        left.append(
            {(start, end): {form(name[len(start) : len(name) - len(end)]) for name in side} for start, end in affixes}
        )
    fitting = [
        (one[0], other[0], one[1], other[1])
        for one, other in product(*left)
        if not left[0][one].isdisjoint(left[1][other])
    ]
    best = min(fitting, key=lambda way: (sum(map(len, way)), way), default=())
    used = [option.format(quote(affix)) for option, affix in zip(options, best, strict=False) if affix]
    return "; try " + " ".join(used) if used else ""


def _affixes(names: Sequence[str], *, from_end: bool) -> list[str]:
    """Return "" and what all names begin (or end) with, the shortest first, as far as it holds no frame number."""
    turned = [name[::-1] for name in names] if from_end else names
    lowest, highest = min(turned, default=""), max(turned, default="")
    differ = (place for place, (one, other) in enumerate(zip(lowest, highest, strict=False)) if one != other)
    common = lowest[: next(differ, min(len(lowest), len(highest)))]
    texts, runs = cut_name(common)
    found, length = [""], 0
    for place, text in enumerate(texts):
        if place:
            sides = (text[::-1], texts[place - 1][::-1]) if from_end else (texts[place - 1], text)
            if not is_of_word(*sides):
                break
            length += len(runs[place - 1])
        for cut in range(length + 1, length + len(text) + 1):
            is_whole = cut == length + len(text) and all("0" <= name[cut : cut + 1] <= "9" for name in turned)
            if is_whole or not common[cut - 1].isalnum():
                found.append(common[:cut])
        length += len(text)
    found = [affix for affix in found if all(len(affix) < len(name) for name in names)][:_MOST_AFFIXES]
    return [affix[::-1] for affix in found] if from_end else found
