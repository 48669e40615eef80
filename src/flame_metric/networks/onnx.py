"""ONNX files as ``load_network`` takes them, run by ONNX Runtime: ``pip install 'flame-metric[onnx]'``.

The model takes one tensor, (N, 3 * frames, H, W) or (N, H, W, 3 * frames): floats, normalised here as for PyTorch, or
uint8 frames as they are. It returns scores (N, C, H, W) or labels (N, H, W) or (N, 1, H, W). What
is timed begins with a frame and ends with its label map, both in the memory of the host: a model that ends in ArgMax
need not copy its scores there.

ONNX has no checksums: a file with other weights is another network, and nothing can tell.

Weights may lie in files of their own, and a model names their paths. ONNX Runtime opens none outside the folder of the
model; measured with 1.28 (the lower bound) and 1.32, and held by tests:

==================================================  =======================================
where a model says that its weights lie             what ONNX Runtime does
==================================================  =======================================
``../w``, ``x/../../w``                             refuses
an absolute path, ``/dev/zero``, an address         refuses
a link in the folder to a file outside              refuses
a folder, an empty name, a missing file             refuses
outside, in a tensor that nothing uses              runs, and does not look for the file
in the folder, also as ``../folder/w``              runs
where links of a model hub's cache lead             runs
==================================================  =======================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from flame_metric.core.checks import check_choice, check_integer
from flame_metric.core.labels import is_classes_last, labels_of_scores
from flame_metric.data.normalisation import centre_and_scale
from flame_metric.errors import ConfigError, DatasetError, MissingExtraError, cut, shortened
from flame_metric.latency.runner import Runner
from flame_metric.networks.network import Network

__all__ = ["load_onnx"]

_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_BYTES = "tensor(uint8)"
_ERRORS_ALONE = 3  # of ONNX Runtime's levels of logging
_MAPS = (3, 4)  # numbers of axes of labels and scores, with that of the batch


def load_onnx(
    text: str,
    *,
    num_classes: int,
    frames: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    output: str | None = None,
    upsample: str | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> Network:
    """Open an ONNX file, and make it ready to run.

    Parameters
    ----------
    text : str
        Path of the file. Weights in files of their own must lie in its folder.
    num_classes : int
    frames : int, optional
        Must be as many as the model takes, if that is fixed. Default: those, else 1.
    mean, std : sequence of float, optional
        Of each channel, for pixels 0..1, if the model takes floats. Default: ImageNet's.
    output : str, optional
        Which of several outputs. Default: the only one that may hold scores or labels.
    upsample : {"bilinear"}, optional
        Resize scores of another size to that of the frame, by PyTorch. Default: they are refused.
    device : str, optional
        ``"cpu"`` (default), or ``"cuda"`` or ``"cuda:1"`` if this ONNX Runtime has CUDA.
    threads : int, optional
        Threads on the CPU.

    Returns
    -------
    Network

    Raises
    ------
    DatasetError
        If the file is missing or damaged, or what it takes or returns is not taken here.
    ConfigError
        If an option is out of range, or contradicts the file; when called, if it takes or returns other shapes.
    LabelError
        When called, if scores are NaN, or +inf for two or more classes of a pixel.
    """
    path = Path(text)
    if upsample is not None:
        check_choice("upsample", upsample, ("bilinear",))
    providers = _providers(device)
    session = _session(path, providers, threads)
    source = _source(session, path, frames)
    if source.raw and (mean is not None or std is not None):
        raise ConfigError(f"`mean` or `std` would change nothing: {path} takes frames of bytes as they are")
    centre, scale = (_repeat_for_channels(values, source) for values in centre_and_scale(mean, std))
    call = _OnnxCall(
        session=session,
        path=path,
        source=source,
        output=_choose_output(session, path, output),
        num_classes=num_classes,
        enlarge=None if upsample is None else _enlarger(path),
        centre=centre,
        scale=scale,
    )
    settings = {
        "device": device or "cpu",
        "onnxruntime": onnxruntime.__version__,
        "provider": session.get_providers()[0],
        "session_threads": threads or "default",
        "upsample": upsample,
    }
    runner = Runner(
        call.run,
        boundary="end_to_end",
        prepare=call.prepare,
        describe=lambda: settings,
    )
    return Network(path.name, runner, source.frames)


# ── opening ──


def _providers(device: str | None) -> list[Any]:
    if device in (None, "cpu"):
        return ["CPUExecutionProvider"]
    cuda = re.fullmatch(r"cuda(?::(\d+))?", device or "")
    if cuda is None:
        raise ConfigError(f"`device` is {device!r}, expected 'cpu', 'cuda' or 'cuda:1'")
    there = onnxruntime.get_available_providers()
    if "CUDAExecutionProvider" not in there:
        raise ConfigError(
            f"`device` is {device!r}, and this ONNX Runtime {onnxruntime.__version__} has only {', '.join(there)}, "
            "expected one with CUDA, such as the package onnxruntime-gpu, or 'cpu'"
        )
    return [("CUDAExecutionProvider", {"device_id": int(cuda[1] or 0)}), "CPUExecutionProvider"]


def _session(path: Path, providers: list[Any], threads: int | None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ALONE + 1  # errors are raised, and said once
    if threads is not None:
        options.intra_op_num_threads = check_integer("threads", threads, 1)
    try:
        path.open("rb").close()
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}), expected an ONNX model", path=path) from error
    except Exception as error:  # ONNX Runtime's errors have no class of their own in common
        raise DatasetError(f"{path} cannot be opened by ONNX Runtime: {_first_line(error)}", path=path) from error
    wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if session.get_providers()[0] != wanted:  # it falls back to the CPU in silence
        raise ConfigError(
            f"ONNX Runtime cannot use {wanted} here, expected its libraries and a device, or device 'cpu'"
        )
    return session


# ── what it takes and returns ──


def _source(session: Any, path: Path, frames: int | None) -> _ModelInput:
    inputs = session.get_inputs()
    shown = shortened(f"{one.name}: {one.type} {one.shape}" for one in inputs)
    fixed = [length if isinstance(length, int) else None for length in inputs[0].shape] if inputs else []
    raw = bool(inputs) and inputs[0].type == _BYTES
    if len(inputs) != 1 or len(fixed) != 4 or not (raw or inputs[0].type in _FLOATS):
        raise DatasetError(
            f"{path} takes {shown}, expected one tensor: floats (N, 3 * frames, H, W), or uint8 frames", path=path
        )
    if fixed[0] not in (1, None):
        raise DatasetError(f"{path} takes {shown}: batches of {fixed[0]}, expected 1 or any number", path=path)
    axis = _channel_axis(fixed, raw, frames)
    if axis is None:
        wanted = "a multiple of 3" if frames is None else f"{3 * frames}, for `frames` {frames}"
        raise ConfigError(
            f"{path} takes {shown}, expected {wanted} channels, on axis 1 (N, C, H, W) or 3 (N, H, W, C) only"
            f"{'; give `frames` if both are' if frames is None else ''}"
        )
    channels = fixed.pop(axis)
    return _ModelInput(
        name=inputs[0].name,
        dtype=np.uint8 if raw else _FLOATS[inputs[0].type],
        raw=raw,
        channels_last=axis == 3,
        frames=frames or (channels or 3) // 3,
        size=(fixed[1], fixed[2]),
    )


def _channel_axis(fixed: Sequence[int | None], raw: bool, frames: int | None) -> int | None:
    """Return the axis of the channels; None if there is none, or it might be either."""
    exact = [axis for axis in (1, 3) if fixed[axis] == 3 * (frames or 1)]
    several = [axis for axis in (1, 3) if frames is None and (fixed[axis] or 1) % 3 == 0]
    found = exact or several
    if raw:
        return found[0] if len(found) == 1 else None
    if exact == [3] or (several == [3] and fixed[3] < min(length or 0 for length in fixed[1:3])):  # type: ignore[operator]
        return 3
    if fixed[1] is None or 1 in exact:
        return 1
    least = min((length for length in fixed[2:] if length is not None), default=fixed[1])
    return 1 if 1 in several and fixed[1] <= least else None


def _repeat_for_channels(values: npt.NDArray[np.float64], source: _ModelInput) -> npt.NDArray[np.float32]:
    """Return a number for each channel of the input, (C, 1, 1) or (C,)."""
    times, rest = divmod(3 * source.frames, len(values))
    if rest:
        raise ConfigError(
            f"`mean` has {len(values)} numbers, expected 3, or one for each of {3 * source.frames} channels"
        )
    repeated = np.tile(values.astype(np.float32), times)
    return repeated if source.channels_last else repeated.reshape(-1, 1, 1)


def _choose_output(session: Any, path: Path, output: str | None) -> str:
    outputs = session.get_outputs()
    names = [str(one.name) for one in outputs]
    kinds = {str(one.name): str(one.type) for one in outputs}
    maps = [name for name, one in zip(names, outputs, strict=True) if len(one.shape or ()) in _MAPS]
    if len(names) == 1:
        maps = names
    if output is None:
        output = maps[0] if len(maps) == 1 else next((name for name in ("out", "logits") if name in maps), None)
    if output not in names:
        shown = shortened(f"{one.name}: {one.type} {one.shape}" for one in outputs)
        raise ConfigError(f"{path} returns {shown}; expected `output` to be the name of scores or labels among them")
    if not kinds[output].startswith("tensor("):
        raise ConfigError(
            f"{path} returns {output}: {kinds[output]}, expected one tensor; export what is in it as outputs of their "
            "own (SequenceAt takes a tensor out of a sequence)"
        )
    return output


# ── running ──


@dataclass(frozen=True)
class _ModelInput:
    """The input of a model: None where an axis may have any size."""

    name: str
    dtype: Any
    raw: bool
    channels_last: bool
    frames: int
    size: tuple[int | None, int | None]


@dataclass(frozen=True)
class _OnnxCall:
    """A session and what lies around it."""

    session: Any
    path: Path
    source: _ModelInput
    output: str
    num_classes: int
    enlarge: Callable[[npt.NDArray[Any], tuple[int, int]], npt.NDArray[Any]] | None
    centre: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]

    def prepare(self, item: Any) -> npt.NDArray[np.uint8]:
        """Check a raw frame (H, W, 3 * frames)."""
        frame = np.asarray(item)
        channels = 3 * self.source.frames
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != channels:
            raise ConfigError(f"the input is {frame.dtype} {frame.shape}, expected a frame uint8 (H, W, {channels})")
        if any(fixed not in (None, length) for fixed, length in zip(self.source.size, frame.shape[:2], strict=True)):
            height, width = ("any" if length is None else length for length in self.source.size)
            raise ConfigError(
                f"{self.path} takes frames of {height}x{width}, and this one has {frame.shape[0]}x{frame.shape[1]}; "
                "export it for that size, or with dynamic axes"
            )
        return np.ascontiguousarray(frame)

    def run(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """From a raw frame to its labels (H, W)."""
        found = self._scores(frame)
        return np.asarray((labels_of_scores(found) if found.ndim == 4 else found)[0])

    def _scores(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Return scores (1, C, H, W) or labels (1, H, W) of a frame."""
        batch = self._input(frame)[None]
        try:
            (found,) = self.session.run([self.output], {self.source.name: batch})
        except Exception as error:  # ONNX Runtime's errors have no class of their own in common
            raise ConfigError(
                f"{self.path} fails on {batch.dtype} {batch.shape}: {_first_line(error)}; export it for that shape, "
                "with the lengths of its axes that are fixed"
            ) from error
        return self._check_output(found, frame.shape[:2])

    def _input(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        planes = frame if self.source.channels_last else frame.transpose(2, 0, 1)
        if self.source.raw:
            return np.ascontiguousarray(planes)
        values = planes.astype(np.float32, order="C")  # in the steps that torch_runner makes
        values -= self.centre
        values *= self.scale
        return values.astype(self.source.dtype, copy=False)

    def _check_output(self, found: Any, size: tuple[int, ...]) -> npt.NDArray[Any]:
        kind = found.dtype.kind if isinstance(found, np.ndarray) else ""
        scores = kind == "f" and found.ndim == 4 and found.shape[1] > 1
        if kind in "iu" and found.ndim == 4 and found.shape[1] == 1:
            found = found[:, 0]
        labels = kind in "iu" and found.ndim == 3
        if kind and is_classes_last(found.shape, self.num_classes if kind == "f" else 1, size):
            raise ConfigError(
                f"{self.path} returns {found.dtype} {found.shape}: classes on the last axis (NHWC), expected scores "
                "(1, C, H, W) or labels (1, H, W) or (1, 1, H, W); export it with a Transpose at its end, or as labels"
            )
        if scores and found.shape[1] != self.num_classes:
            raise ConfigError(
                f"{self.path} returns scores of {found.shape[1]} classes, expected {self.num_classes}, the data's "
                "(`num_classes`): it was made for other data"
            )
        if scores and self.enlarge is not None and found.shape[2:] != size:
            found = self.enlarge(found, (size[0], size[1]))
        if not (scores or labels) or len(found) != 1 or found.shape[-2:] != size:
            what = f"{found.dtype} {found.shape}" if kind else type(found).__name__
            raise ConfigError(
                f"{self.path} returns {what} for a frame of {tuple(size)}, expected scores (1, C, H, W) or labels "
                "(1, H, W) or (1, 1, H, W) of that size: to enlarge scores is part of the latency, and "
                "upsample='bilinear' does it"
            )
        checked: npt.NDArray[Any] = found
        return checked


def _enlarger(path: Path) -> Callable[[npt.NDArray[Any], tuple[int, int]], npt.NDArray[Any]]:
    """Return what resizes scores (N, C, h, w) to a size, as PyTorch does."""
    try:
        import torch  # noqa: PLC0415  needed only here
        from torch.nn import functional  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"`upsample` for {path} needs torch: pip install 'flame-metric[torch]'") from error

    def enlarge(scores: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
        given = torch.from_numpy(scores.astype(np.float32, copy=False))
        resized = functional.interpolate(given, size=size, mode="bilinear", align_corners=False)
        return resized.numpy()

    return enlarge


def _first_line(error: Exception) -> str:
    """Return what an error says first; it may repeat text of the file, of any length."""
    line = str(error).strip().partition("\n")[0]
    words = line.rpartition(" : FAIL : ")[2].split(" ")
    return " ".join(cut(word, 40) for word in words)[:200] or type(error).__name__
