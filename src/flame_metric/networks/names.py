"""Names of networks, without PyTorch: those of the paper, which :mod:`flame_metric.networks.architectures` builds."""

from __future__ import annotations

from pathlib import Path

__all__ = ["NAMES", "is_program"]

NAMES = ("swiftnet-r18", "swiftnet-r18-x", "deeplab-r101", "deeplab-mn")


def is_program(name: str) -> bool:
    """Whether a name is one of a program of ``torch.export``, which is code, and not the name of anything else.

    Examples
    --------
    >>> is_program("pt2:network"), is_program("sub/Network.PT2"), is_program("pt2_networks:build")
    (True, True, False)
    """
    return name[:4].lower() == "pt2:" or Path(name).suffix.lower() == ".pt2"
