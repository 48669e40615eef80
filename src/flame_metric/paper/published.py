"""The paper's Table 1 as data: scores, latencies and frame offsets of its four networks, on Cityscapes.

They stand in ``table1.toml`` and nowhere else. Scores are mean IoU, 0..1, with the digits that were printed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from types import MappingProxyType

__all__ = ["PaperNetwork", "PaperTable", "paper_table"]


@dataclass(frozen=True)
class PaperNetwork:
    """A column of Table 1.

    Attributes
    ----------
    name : str
        As the paper writes it.
    static, flame : float
        Trained on (I_t, S_t): scored on S_t, and on S_{t+k}.
    flame_future, flame_two_frames : float
        Scored on S_{t+k}: trained on (I_t, S_{t+k}), and on (I_{t-1}, I_t, S_{t+k}).
    frame_offset : int
        k.
    latency_ms : float
    fps : float
        Frames per second of the network, one after the other.
    """

    name: str
    static: float
    flame: float
    flame_future: float
    flame_two_frames: float
    frame_offset: int
    latency_ms: float
    fps: float


@dataclass(frozen=True)
class PaperTable:
    """Table 1.

    Attributes
    ----------
    dataset, device : str
        On which data it was scored, and on what the latencies were measured.
    frame_interval_ms : float
        d, from which k follows.
    networks : Mapping of str to PaperNetwork
        By the names that ``models.build`` knows, in the table's order.
    """

    dataset: str
    device: str
    frame_interval_ms: float
    networks: Mapping[str, PaperNetwork]

    @property
    def fps(self) -> Fraction:
        """Frames per second of the videos."""
        return 1000 / Fraction(self.frame_interval_ms)


@cache
def paper_table() -> PaperTable:
    """Return Table 1.

    Examples
    --------
    >>> table = paper_table()
    >>> table.networks["deeplab-mn"].latency_ms, table.networks["deeplab-mn"].frame_offset, table.fps
    (76, 2, Fraction(50, 3))
    """
    text = files(__package__).joinpath("table1.toml").read_text(encoding="utf-8")
    record = tomllib.loads(text)
    networks = {name: PaperNetwork(**column) for name, column in record.pop("networks").items()}
    return PaperTable(networks=MappingProxyType(networks), **record)
