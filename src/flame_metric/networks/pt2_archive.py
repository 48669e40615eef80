"""The archive of an exported program: a zip of records, of which JSON and tensors of plain bytes are read alone."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["DTYPES", "Archive", "RefusedError", "one_of"]

DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}


_NOTHING = torch.empty(0, dtype=torch.uint8)


class RefusedError(Exception):
    """What a file holds is sound, and yet not taken; says what and why."""


class Archive:
    """Records of an archive, by their names without the common folder."""

    def __init__(self, zipped: zipfile.ZipFile) -> None:
        self._zipped = zipped
        infos = zipped.infolist()
        if min((info.header_offset for info in infos), default=0):  # of a cut file an inner archive may be found
            raise RefusedError("is cut, or begins with what is no archive; get it anew")
        if compressed := [info.filename for info in infos if info.compress_type != zipfile.ZIP_STORED]:
            raise RefusedError(f"holds {compressed[0]} compressed, expected records as torch.export.save wrote them")
        self._records = {info.filename.partition("/")[2] or info.filename: info for info in infos}
        if "byteorder" in self._records and self.bytes("byteorder") != sys.byteorder.encode():
            raise RefusedError(f"was written on a machine that is not {sys.byteorder}-endian; export it anew")

    def program(self) -> str:
        """Return the name of the only program."""
        names = [name[len("models/") : -len(".json")] for name in self._records if name.startswith("models/")]
        if len(names) == 1:
            return names[0]
        if "data.pkl" in self._records:
            raise RefusedError("was written by torch.save, expected torch.export.save; weights go with a name")
        if "serialized_exported_program.json" in self._records or "version" in self._records:
            raise RefusedError("was written by an older PyTorch, in a format with pickled weights; export it anew")
        compiled = any(name.startswith("data/aotinductor/") for name in self._records)
        what = "compiled code, which is not loaded" if compiled and not names else f"{len(names)} programs"
        raise RefusedError(f"holds {what}, expected one program of torch.export.save")

    def bytes(self, name: str) -> bytes:
        """Return a record; its checksum is verified."""
        return self._zipped.read(self._records[name])

    def json(self, name: str) -> Any:
        """Return a record of JSON."""
        return json.loads(self.bytes(name))

    def tensors(self, kind: str, program: str) -> dict[str, Tensor]:
        """Return the tensors of a kind ("weights" or "constants"), by their names in the network."""
        if f"data/{kind}/{program}.pt" in self._records:
            raise RefusedError(f"holds its {kind} pickled, as older versions of PyTorch wrote them; export it anew")
        flat: dict[str, Tensor] = {}
        found = {}
        for name, entry in self.json(f"data/{kind}/{program}_{kind}_config.json")["config"].items():
            record = entry["path_name"]
            if entry["use_pickle"] or entry["tensor_meta"] is None:
                raise RefusedError(f"holds {name!r} pickled: it is no plain tensor, and nothing is unpickled")
            meta = entry["tensor_meta"]
            if record not in flat:
                content = bytearray(self.bytes(f"data/{kind}/{record}"))
                flat[record] = torch.frombuffer(content, dtype=torch.uint8) if content else _NOTHING
            size, stride = ([length["as_int"] for length in meta[which]] for which in ("sizes", "strides"))
            values = flat[record].view(one_of(DTYPES, meta["dtype"], "type"))
            found[name] = values.as_strided(size, stride, meta["storage_offset"]["as_int"])
        return found


def one_of(table: Mapping[Any, Any], value: Any, what: str) -> Any:
    """Return what a table has for a value; one that it has not is refused."""
    if value not in table:
        raise RefusedError(f"has a {what} {value!r}, expected one of {', '.join(map(str, table))}")
    return table[value]
