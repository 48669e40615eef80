"""What stays out of a step that ``torch.compile`` compiles: counting, and keeping what waits between steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

__all__ = ["run_eagerly"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def run_eagerly(function: _Function) -> _Function:
    """Return a function that runs as it is, though a compiled one calls it."""
    eager: _Function = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    return eager
