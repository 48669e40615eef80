"""How many examples a law has that says so itself."""

from typing import Any

from hypothesis import settings

FULL = 60
"""Examples of all other laws in `make test-all`; see tests/conftest.py for those in `make test`."""


def examples(number: int, **options: Any) -> settings:
    """Return settings with so many examples in `make test-all`, and elsewhere as large a share as other laws have."""
    return settings(max_examples=max(1, number * settings().max_examples // FULL), **options)
