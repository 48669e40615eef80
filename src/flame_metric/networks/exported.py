"""Programs of torch.export as ``load_network`` takes them: ``.pt2`` files, which are read and never executed.

A program takes the shapes it was exported for, and knows nothing of others. What :mod:`flame_metric.networks.pt2` says
of files from strangers holds here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from flame_metric.errors import ConfigError, DatasetError
from flame_metric.networks.network import Network
from flame_metric.networks.pt2 import Program, read_program
from flame_metric.torch.runner import torch_runner
from flame_metric.torch.timer import as_device

__all__ = ["load_exported"]


def load_exported(
    text: str,
    *,
    num_classes: int,
    frames: int | None = None,
    output: str | None = None,
    device: str | None = None,
    **options: Any,
) -> Network:
    """Read a program that ``torch.export.save`` wrote, and make it ready to run.

    Parameters
    ----------
    text : str
        Path of the file.
    num_classes : int
    frames : int, optional
        Must be as many as the program takes, if that is fixed.
    output : str, optional
        As for :func:`~flame_metric.networks.pt2.read_program`.
    device : str, optional
        Default: the CPU, wherever it was exported.
    **options : Any
        Of :func:`~flame_metric.torch.runner.torch_runner`.

    Returns
    -------
    Network

    Raises
    ------
    DatasetError
        If the file is missing, damaged, or holds what is not taken.
    ConfigError
        If an option is out of range, or contradicts the file; when called, if the program takes other shapes.
    """
    path = Path(text)
    place = as_device("cpu" if device is None else device)
    program = read_program(path, device=place, output=output)
    if len(program.sizes.lengths) != 4 or not program.dtype.is_floating_point:
        raise DatasetError(
            f"{path} takes {str(program.dtype).removeprefix('torch.')} {program.sizes}, expected floats "
            "(N, 3 * frames, H, W)",
            path=path,
        )
    channels = program.sizes.fixed(1)
    if channels is not None and (channels % 3 or frames not in (None, channels // 3)):
        wanted = "a multiple of 3" if channels % 3 else f"{3 * (frames or 1)}, for `frames` {frames}"
        raise ConfigError(f"{path} takes {channels} channels, expected {wanted}")
    there = frames or (channels or 3) // 3
    runner = torch_runner(
        _Fitted(program, path), boundary="end_to_end", device=place, num_classes=num_classes, **options
    )
    return Network(path.name, runner, there)


class _Fitted(nn.Module):
    """A program that says which shapes it takes when it gets another."""

    def __init__(self, program: Program, path: Path) -> None:
        super().__init__()
        self.register_buffer("like", torch.empty(0, dtype=program.dtype))  # the first one tells the type of the input
        self.graph, self._sizes, self._path = program.graph, program.sizes, path
        self._taken: set[torch.Size] = set()

    def forward(self, frames: Tensor) -> Any:
        if frames.shape not in self._taken:
            if faults := self._sizes.faults(frames.shape):
                raise ConfigError(
                    f"{self._path} was exported for {self._sizes}, and gets {tuple(frames.shape)} ({faults[0]}); "
                    "export it for that size, or with dynamic_shapes"
                )
            self._taken.add(frames.shape)
        return self.graph(frames)
