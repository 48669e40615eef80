"""Files of networks on the command line: their names, what is in them, and which belong together."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flame_metric.errors import ConfigError, DatasetError
from flame_metric.latency.formats import read_trace
from flame_metric.latency.trace import LatencyTrace
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.evaluation import Evaluation

__all__ = ["NetworkFiles", "named_files", "read_evaluation", "read_networks", "split_name"]

_KINDS = ("result", "bank", "trace")
_BEGINNINGS = {"flame-metric evaluation": "result", "flame-metric latency trace": "trace"}


def split_name(text: str) -> tuple[str, str]:
    """Return the name before "=" and the file behind it; no name where there is none, or the text is a file itself.

    Examples
    --------
    >>> split_name("SwiftNet=a/result.json"), split_name("result.json")
    (('SwiftNet', 'a/result.json'), ('', 'result.json'))
    """
    if os.path.exists(text):  # noqa: PTH110 - Path.exists raises where no file can have such a name
        return "", text
    name, _, file = text.rpartition("=")
    return name, file


def named_files(texts: Sequence[str]) -> list[tuple[str, Path]]:
    """Return each file with what stands before "=", or its own name, or its folder's where files share a name."""
    split = [split_name(text) for text in texts]
    stems = [Path(file).stem for _, file in split]
    return [
        (name or (stem if stems.count(stem) == 1 else Path(file).resolve().parent.name), Path(file))
        for (name, file), stem in zip(split, stems, strict=True)
    ]


def read_evaluation(path: Path) -> Evaluation:
    """Read what ``--json`` wrote.

    Raises
    ------
    DatasetError
        If the file cannot be read.
    StateError
        If it holds something else.
    """
    return Evaluation.load(path)


@dataclass(frozen=True)
class NetworkFiles:
    """What the files of a network hold.

    Attributes
    ----------
    result : Evaluation or None
    bank : OffsetBank or None
    trace : LatencyTrace or None
    """

    result: Evaluation | None = None
    bank: OffsetBank | None = None
    trace: LatencyTrace | None = None


def read_networks(texts: Sequence[str], *, replay: str | None = None) -> dict[str, NetworkFiles]:
    """Read results, banks and traces; those of one name are one network, and so are single ones without a name.

    Raises
    ------
    ConfigError
        If a network has two files of one kind.
    DatasetError, StateError
        If a file cannot be read, or holds something else.
    """
    kinds = [_kind(Path(split_name(text)[1])) for text in texts]
    networks: dict[str, NetworkFiles] = {}
    for kind, name, path in _named(kinds, texts):
        found = networks.get(name, NetworkFiles())
        if getattr(found, kind) is not None:
            raise ConfigError(f"{name} has two {kind}s, {path} is one of them: expected different names, NAME={path}")
        if kind == "result":
            networks[name] = replace(found, result=read_evaluation(path))
        elif kind == "bank":
            networks[name] = replace(found, bank=OffsetBank.load(path))
        else:
            networks[name] = replace(found, trace=read_trace(path, replay))
    return networks


def _named(kinds: Sequence[str], texts: Sequence[str]) -> list[tuple[str, str, Path]]:
    """Return the kind, the network's name and the path of each file, results first."""
    by_kind = {kind: [text for other, text in zip(kinds, texts, strict=True) if other == kind] for kind in _KINDS}
    named = [(kind, *file) for kind, group in by_kind.items() for file in named_files(group)]
    is_one = all(len(group) < 2 for group in by_kind.values()) and not any(split_name(text)[0] for text in texts)
    return [(kind, named[0][1] if is_one else name, path) for kind, name, path in named]


def _kind(path: Path) -> str:
    """Say what a file holds: "result", "bank" or "trace"."""
    try:
        with path.open("rb") as file:
            if file.read(4) == b"PK\3\4":
                return "bank"
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}", path=path) from error
    text = _text(path)
    try:
        written = str(json.loads(text)["format"])
    except (ValueError, LookupError, TypeError, RecursionError):
        written = ""
    for beginning, kind in _BEGINNINGS.items():
        if written.startswith(beginning):
            return kind
    if "latency_ms" in text.partition("\n")[0] and text.lstrip()[:1] != "{":
        return "trace"  # as CSV
    raise DatasetError(
        f"{path}: is neither a result, a bank nor a trace, expected what --json, --bank or --save-trace of "
        "`flame-metric run` wrote",
        path=path,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}", path=path) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not text, expected what `evaluate --json` wrote", path=path) from error
