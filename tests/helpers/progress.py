"""What a command in a process of its own writes beside its progress, which a busy machine shows."""

import re

_LINE = re.compile(r"^\w+: [0-9,]+ of [0-9,]+ \(.*\n", re.MULTILINE)


def without_progress(text: str) -> str:
    """Return standard error without its lines of progress."""
    return _LINE.sub("", text)
