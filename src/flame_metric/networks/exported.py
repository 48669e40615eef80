"""Programs of torch.export as ``load_network`` takes them: named as ``pt2:FILE``, since such a file is code.

PyTorch's own loader unpickles parts of the file and executes text that stands in it. So a program is opened only where
it is named as code, just as a ``module:factory`` is, and a bare path is refused. PyTorch does not compare the weights
with the checksums in the file, and forgets which sizes must be multiples; both are checked here.
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn
from torch.export.passes import move_to_device_pass

from flame_metric.errors import ConfigError, DatasetError, cut, shortened
from flame_metric.networks.network import Network
from flame_metric.torch.runner import torch_runner
from flame_metric.torch.timer import as_device

__all__ = ["load_exported"]

_AT_TRAINING = ("training", "train", "dropout_p")  # arguments of PyTorch's operators


def load_exported(
    text: str,
    *,
    num_classes: int,
    frames: int | None = None,
    output: str | None = None,
    device: str | None = None,
    **options: Any,
) -> Network:
    """Open a program that ``torch.export.save`` wrote, and make it ready to run.

    Parameters
    ----------
    text : str
        ``"pt2:FILE"``.
    num_classes : int
    frames : int, optional
        Must be as many as the program takes, if that is fixed.
    output : str, optional
        Which of several outputs: its key in the mapping that the network returned, or its number. Default: the only
        one, or ``"out"`` or ``"logits"``.
    device : str, optional
        Default: the CPU. A program that was exported on another device needs that one to be opened.
    **options : Any
        Of :func:`~flame_metric.torch.runner.torch_runner`.

    Returns
    -------
    Network

    Raises
    ------
    DatasetError
        If the file is missing or damaged, or holds a program that is not a network of frames.
    ConfigError
        If an option is out of range, or contradicts the file; when called, if the program takes other shapes.
    """
    path = Path(text.removeprefix("pt2:"))
    place = as_device("cpu" if device is None else device)
    program = _open(path, place)
    _check_mode(program, path)
    taken = _input(program, path)
    channels = taken.shape[1] if isinstance(taken.shape[1], int) else None
    if channels is not None and (channels % 3 or frames not in (None, channels // 3)):
        wanted = "a multiple of 3" if channels % 3 else f"{3 * (frames or 1)}, for `frames` {frames}"
        raise ConfigError(f"{path} takes {channels} channels, expected {wanted}")
    network = _Program(program.module(), taken, _choose_output(program, output, path), path)
    runner = torch_runner(network, boundary="end_to_end", device=place, num_classes=num_classes, **options)
    return Network(path.name, runner, frames or (channels or 3) // 3)


# ── opening ──


def _open(path: Path, device: torch.device) -> torch.export.ExportedProgram:
    try:
        file = path.open("rb")
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read ({error.strerror}), expected an exported program", path=path
        ) from error
    with file, _collect_log() as causes:
        try:
            _check_sums(file)
            return move_to_device_pass(torch.export.load(file), device)
        except Exception as error:  # of what a file holds PyTorch may raise anything
            cause = causes[0] if causes else error
            reason = str(cause).strip().partition("\n")[0][:150]
            raise DatasetError(
                f"{path} is damaged, or not a program of torch.export.save that PyTorch {torch.__version__} can open "
                f"here ({type(cause).__name__}: {reason}); export it anew",
                path=path,
            ) from error


def _check_sums(file: BinaryIO) -> None:
    with zipfile.ZipFile(file) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise zipfile.BadZipFile(f"the checksum of {cut(broken, 100)} is wrong")
    file.seek(0)


@contextmanager
def _collect_log() -> Iterator[list[BaseException]]:
    """Collect what PyTorch's loader logs in place of raising it: it tries an older format then, and fails on that."""
    causes: list[BaseException] = []

    def collect(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            causes.append(record.exc_info[1])
        return False

    logger = logging.getLogger("torch.export")
    logger.addFilter(collect)
    try:
        yield causes
    finally:
        logger.removeFilter(collect)


# ── what it takes and returns ──


def _check_mode(program: torch.export.ExportedProgram, path: Path) -> None:
    """Refuse a program that draws at random or changes itself, as in training."""
    faults = [f"changes {name}" for name in program.graph_signature.buffers_to_mutate.values()]
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is not None:
            given = dict(zip((one.name for one in schema.arguments), node.args, strict=False)) | node.kwargs
            faults += [f"calls {node.target}" for name in _AT_TRAINING if given.get(name)]
    if faults:
        raise DatasetError(f"{path} {cut(faults[0])} as in training; export it after network.eval()", path=path)


def _input(program: torch.export.ExportedProgram, path: Path) -> Tensor:
    """Return the stand-in of the only input, whose lengths may be symbols."""
    names = program.graph_signature.user_inputs
    taken = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    tensors = [one for one in taken if isinstance(one, Tensor)]
    if len(names) != 1 or len(tensors) != 1 or tensors[0].ndim != 4 or not tensors[0].is_floating_point():
        shown = shortened(f"{str(one.dtype).removeprefix('torch.')} {_show(one.shape)}" for one in tensors)
        raise DatasetError(
            f"{path} takes {len(names)} input(s) ({shown}), expected one tensor of floats (N, 3 * frames, H, W)",
            path=path,
        )
    return tensors[0]


def _show(shape: torch.Size) -> str:
    return f"({', '.join(map(str, shape))})"


def _choose_output(program: torch.export.ExportedProgram, wanted: str | None, path: Path) -> str:
    """Return the name of the output that is asked for: its key, or its number."""
    number, keys = len(program.graph_signature.user_outputs), program.call_spec.out_spec.context
    named = isinstance(keys, list) and len(keys) == number and all(isinstance(key, str) for key in keys)
    names = [*keys] if named else [str(place) for place in range(number)]
    if wanted is None and number > 1:
        wanted = next((name for name in ("out", "logits") if name in names), None)
    if wanted not in names and (wanted is not None or number != 1):
        asked = "" if wanted is None else f"{wanted!r} (`output`) is none of them: "
        raise DatasetError(
            f"{path} has {number} output(s), {asked}expected `output` to be one of {shortened(names)}", path=path
        )
    return wanted or names[0]


class _Program(nn.Module):
    """A program that says which shapes it takes when it gets another."""

    def __init__(self, run: nn.Module, taken: Tensor, output: str, path: Path) -> None:
        super().__init__()
        self.register_buffer("like", torch.empty(0, dtype=taken.dtype))  # tells torch_runner the type of the input
        self._run: Callable[[Tensor], Any] = run.__call__  # not as a part: a program has no other mode to be put into
        self._taken, self._output, self._path = _show(taken.shape), output, path
        self._multiples = [
            1 if isinstance(length, int) else int(length.node.expr.as_coeff_Mul()[0]) for length in taken.shape
        ]

    def forward(self, frames: Tensor) -> Any:
        for axis, (length, factor) in enumerate(zip(frames.shape, self._multiples, strict=True)):
            if length % factor:
                raise self._refused(frames, f"axis {axis} is not a multiple of {factor}")
        try:
            found = self._run(frames)
        except AssertionError as error:  # one of its guards
            raise self._refused(frames, str(error)) from error
        if isinstance(found, Mapping):
            return found.get(self._output, found)
        return found[int(self._output)] if isinstance(found, tuple | list) else found

    def _refused(self, frames: Tensor, reason: str) -> ConfigError:
        return ConfigError(
            f"{self._path} was exported for {self._taken}, and gets {tuple(frames.shape)} ({reason}); export it for "
            "that size, or with dynamic_shapes"
        )
