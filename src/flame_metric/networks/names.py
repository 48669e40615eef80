"""Names of the paper's networks, without PyTorch: :mod:`flame_metric.networks.architectures` builds them."""

from __future__ import annotations

__all__ = ["NAMES"]

NAMES = ("swiftnet-r18", "swiftnet-r18-x", "deeplab-r101", "deeplab-mn")
