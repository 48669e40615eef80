"""The 124 classes of VSPW, and of VIPSeg, which labels the same videos with the same ones.

The numbers of the classes in label maps are 1..124; as labels they are 0..123, and 255 is void. Their names lie beside
the videos, in ``label_num_dic_final.json``; they tell classes apart in tables and move no score.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flame_metric.data.paths import exists
from flame_metric.errors import DatasetError

__all__ = ["NUM_CLASSES", "VOID", "read_class_names"]

NUM_CLASSES = 124
VOID = 255
_FILE = "label_num_dic_final.json"


def read_class_names(root: Path) -> tuple[str, ...]:
    """Return the names of labels 0..123.

    Parameters
    ----------
    root : Path
        The folder in which ``label_num_dic_final.json`` may lie: an object from name to number. Where it does not,
        the names are ``"class 0"`` to ``"class 123"``.

    Raises
    ------
    DatasetError
        If it is there and cannot be read, or does not give each number 1..124 one name.
    """
    path = root / _FILE
    if not exists(path):
        return tuple(f"class {label}" for label in range(NUM_CLASSES))
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: cannot be read as JSON: {error}", path=path) from error
    named: dict[str, Any] = content if isinstance(content, dict) else {}
    names = {str(number): name for name, number in named.items()}
    missing = [number for number in range(1, NUM_CLASSES + 1) if str(number) not in names]
    if missing or len(names) < len(named):
        found = f"{len(missing)} of the numbers 1..{NUM_CLASSES} have no name" if missing else "numbers have two names"
        raise DatasetError(
            f'{path}: {found}, expected an object such as {{"wall": "1", "ceiling": "2", ...}}', path=path
        )
    return tuple(names[str(number)] for number in range(1, NUM_CLASSES + 1))
