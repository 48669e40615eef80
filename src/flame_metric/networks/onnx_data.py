"""Where an ONNX file says that its weights lie, found before anything opens those files.

Weights may lie in files of their own, and a runtime opens whatever path the model names: not every version of ONNX
Runtime keeps to the model's folder. So the model is searched for such paths first. It is a Protocol Buffers message, of
which the fields that lead to tensors are followed, and all others skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flame_metric.errors import DatasetError

__all__ = ["check_external_data", "external_locations"]

_FIELDS = {  # message: its fields that lead to tensors, by their numbers in ONNX's definition
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {1: "key", 2: "value"},
}
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5


def check_external_data(path: Path) -> None:
    """Refuse a model whose weights lie elsewhere than in its own folder.

    Raises
    ------
    DatasetError
        If they do, or are missing, or the file is no ONNX model.
    OSError
        If the file cannot be read.
    """
    content = path.read_bytes()
    try:
        locations = sorted(set(external_locations(content)))
    except (ValueError, IndexError) as error:
        raise DatasetError(f"{path} is damaged, or no ONNX model; export it anew", path=path) from error
    homes = {path.parent.resolve(), path.resolve().parent}
    for location in locations:
        data = path.parent / location
        if "\0" in location or not any(data.resolve().is_relative_to(home) for home in homes):
            raise DatasetError(
                f"{path} wants weights from {location!r}, expected files in its own folder: no other file is opened",
                path=path,
            )
        if not data.is_file():
            raise DatasetError(
                f"{data} is missing: weights of {path.name} that lie in a file of their own; put it there", path=data
            )


def external_locations(content: bytes) -> Iterator[str]:
    """Yield the paths of external data in a model.

    Raises
    ------
    ValueError, IndexError
        If it is no Protocol Buffers message.
    """
    waiting = [("model", memoryview(content))]
    while waiting:
        kind, message = waiting.pop()
        texts: dict[str, list[bytes]] = {"key": [], "value": []}
        for number, part in _parts(message):
            inner = _FIELDS[kind].get(number)
            if inner in texts:
                texts[inner].append(bytes(part))
            elif inner is not None:
                waiting.append((inner, part))
        if kind == "entry" and b"location" in texts["key"]:
            yield from (text.decode() for text in texts["value"])


def _parts(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the fields of a message that hold bytes, with their numbers."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, wire = tag >> 3, tag & 7
        if wire == _BYTES:
            length, place = _varint(message, place)
            if place + length > len(message):
                raise ValueError("a field is longer than its message")
            yield number, message[place : place + length]
            place += length
        elif wire == _VARINT:
            _, place = _varint(message, place)
        elif wire in (_FIXED_64, _FIXED_32):
            place += 8 if wire == _FIXED_64 else 4
        else:
            raise ValueError(f"there is no wire type {wire}")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
