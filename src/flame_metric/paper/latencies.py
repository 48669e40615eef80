"""Latencies of an experiment's networks: the paper's, given ones, or measured here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch

from flame_metric.errors import ConfigError
from flame_metric.latency.measure import measure_latency
from flame_metric.latency.trace import LatencyTrace
from flame_metric.networks.architectures import build
from flame_metric.paper.published import paper_table
from flame_metric.torch.runner import torch_runner

__all__ = ["measure_latencies", "paper_latencies"]

_INPUTS = 4


def paper_latencies(networks: Iterable[str]) -> dict[str, float]:
    """Return the paper's latencies in milliseconds, on a GTX 1080 Ti at 1024x2048.

    Raises
    ------
    ConfigError
        If the paper does not have a network.
    """
    known = paper_table().networks
    chosen = list(networks)
    if unknown := [name for name in chosen if name not in known]:
        raise ConfigError(f"{unknown[0]!r} is not a network of the paper, expected some of {', '.join(known)}")
    return {name: known[name].latency_ms for name in chosen}


def measure_latencies(
    networks: Iterable[str],
    num_classes: int,
    *,
    height: int,
    width: int,
    device: torch.device | str = "cpu",
    measure: Callable[..., LatencyTrace] = measure_latency,
) -> dict[str, LatencyTrace]:
    """Measure networks of one frame on this machine: from a normalised frame to its label map.

    Parameters
    ----------
    networks : iterable of str
    num_classes, height, width : int
        Classes, and the size of a frame in pixels.
    device : torch.device or str
    measure : callable
        What times a runner on inputs.
    """
    generator = np.random.default_rng(0)
    inputs = [generator.standard_normal((3, height, width), np.float32) for _ in range(_INPUTS)]
    return {
        name: measure(torch_runner(build(name, num_classes), device=device), inputs, metadata={"network": name})
        for name in networks
    }
