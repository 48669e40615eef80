"""Names of the paper's networks, and of the ways in which a first convolution takes more frames; needs no PyTorch."""

from __future__ import annotations

from typing import Literal

__all__ = ["INITS", "NAMES", "Init"]

NAMES = ("swiftnet-r18", "swiftnet-r18-x", "deeplab-r101", "deeplab-mn")

Init = Literal["repeat", "last", "he"]
INITS: tuple[Init, ...] = ("repeat", "last", "he")
