"""``python -m flame_metric`` is ``flame-metric``.

``python -m`` searches the current folder before the installed packages. A ``torch.py`` that lies there by chance, or by
intent, would then be run in place of PyTorch: the folder is taken off the path before a command loads anything.
"""

import os
import sys
from pathlib import Path


def _leave_the_current_folder() -> None:
    """Take the entry that ``-m`` made off the path, unless this package itself lies there."""
    try:
        folder = os.getcwd()  # noqa: PTH109  `-m` writes it in the same way
    except FileNotFoundError:  # it was removed
        folder = ""
    if sys.flags.safe_path or not sys.path or sys.path[0] not in ("", folder):
        return
    if Path(__file__).parents[1] != Path(folder):
        del sys.path[0]


_leave_the_current_folder()

from flame_metric.cli import main  # noqa: E402  not before the path is that of the installed command

sys.exit(main())
