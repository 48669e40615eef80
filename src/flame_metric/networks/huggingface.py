"""Folders of Hugging Face transformers as ``load_network`` takes them: ``pip install 'flame-metric[huggingface]'``.

A folder holds ``config.json``, weights as safetensors, and ``preprocessor_config.json``. Nothing is downloaded, no code
of the folder is run, nothing is unpickled, and weights that are missing are an error, never random.

Pixels are rescaled and normalised as the folder says, in the steps in which the image processor for Pillow does it, but
on the device. Logits are resized bilinearly to the frame and the highest is taken, as
``post_process_semantic_segmentation`` does. So labels are those of a loop with the processor, to the last pixel where
the device computes the same; and all of it is part of what is timed.

Most processors also resize frames, often to another shape of 512x512, which costs much of the quality on video. Since
either choice moves scores, ``resize`` has to make it: ``"none"`` gives the network the frame at its own size,
``"processor"`` lets the processor resize it first, on the host. ``do_reduce_labels`` is about targets: a network that
was trained with it counts its classes from the label 1, and so must the data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import transformers
from torch import Tensor, nn

from flame_metric.core.checks import check_choice
from flame_metric.errors import ConfigError, DatasetError, cut, quoted, shortened
from flame_metric.networks.network import Network
from flame_metric.torch.runner import torch_runner

__all__ = ["load_huggingface"]

_RESIZE = ("none", "processor")
_GEOMETRY = ("do_resize", "do_center_crop", "do_pad")
_AS_THEY_ARE: Mapping[str, Any] = {"mean": (0, 0, 0), "std": (1 / 255,) * 3}  # of pixels 0..255, for torch_runner


def load_huggingface(
    text: str,
    *,
    num_classes: int,
    class_names: Sequence[str] | None = None,
    resize: str | None = None,
    **options: Any,
) -> Network:
    """Load a network for semantic segmentation from a folder, and make it ready to run.

    Parameters
    ----------
    text : str
        Path of the folder, as ``save_pretrained`` of a network and of its image processor write it.
    num_classes : int
    class_names : sequence of str, optional
        Of the data. Where the folder has the same names in another order, it is refused.
    resize : {"none", "processor"}, optional
        Whether frames go into the network at their own size, or as the processor resizes them. Needed if the folder
        says that they are resized, cropped or padded.
    **options : Any
        Of :func:`~flame_metric.torch.runner.torch_runner`.

    Returns
    -------
    Network

    Raises
    ------
    DatasetError
        If a file is missing or damaged, the folder holds another kind of network, or needs more than what it holds.
    ConfigError
        If classes differ from those of the data, or an option is missing or out of range.
    """
    path = Path(text)
    if resize is not None:
        check_choice("resize", resize, _RESIZE)
    _check_folder(path)
    with _quietly(), _loading(path):
        network, found = transformers.AutoModelForSemanticSegmentation.from_pretrained(
            path, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        processor = transformers.AutoImageProcessor.from_pretrained(
            path,
            local_files_only=True,
            trust_remote_code=False,
            backend="pil",  # it needs no torchvision
        )
    _check_weights(found, path)
    _check_classes(network.config, num_classes, class_names, path)
    pixels = _Pixels.from_processor(processor)
    runner = torch_runner(
        _Segmenter(network, pixels),
        boundary="end_to_end",
        num_classes=num_classes,
        upsample="bilinear",
        preprocess=_resizer(processor, resize, path),
        **_AS_THEY_ARE,
        **options,
    )
    settings = {"resize": resize or "none", "transformers": transformers.__version__}
    return Network(path.resolve().name, replace(runner, describe=lambda: {**runner.describe(), **settings}))


# ── opening ──


def _check_folder(path: Path) -> None:
    """Refuse a folder that lacks a file, or would make transformers fetch something from elsewhere."""
    for name, what in (("config.json", "a network"), ("preprocessor_config.json", "its image processor")):
        if not (path / name).is_file():
            raise DatasetError(
                f"{path} has no {name}, expected what save_pretrained of {what} writes: its pixels and layers are "
                "unknown without",
                path=path / name,
            )
    if (path / "adapter_config.json").exists():
        raise DatasetError(
            f"{path} holds an adapter of another network, expected a whole one: merge the two and save that", path=path
        )
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path / 'config.json'} cannot be read: {error}", path=path / "config.json") from error
    elsewhere = [
        f"{cut(name, 60)}: {quoted(value)}"
        for name, value in (config.items() if isinstance(config, dict) else ())
        if (name == "use_pretrained_backbone" and value) or ("attn_implementation" in name and "/" in str(value))
    ]
    if elsewhere:
        raise DatasetError(
            f"{path / 'config.json'} asks for what lies elsewhere ({elsewhere[0]}), expected all in this folder",
            path=path / "config.json",
        )


@contextmanager
def _loading(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of a folder from outside transformers may raise anything
        lines = str(error).strip().splitlines() or [""]
        raise DatasetError(
            f"{path} cannot be loaded by transformers ({type(error).__name__}: {cut(lines[0])}), expected a network "
            "for semantic segmentation with weights as safetensors",
            path=path,
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep transformers from writing bars and warnings: what matters is looked at, and raised."""
    logging = transformers.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity(logging.CRITICAL)
        logging.disable_progress_bar()
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _check_weights(found: Mapping[str, Any], path: Path) -> None:
    lacking = sorted([*map(str, found["missing_keys"]), *map(str, found["mismatched_keys"]), *found["error_msgs"]])
    if lacking:
        raise DatasetError(
            f"{path} lacks {len(lacking)} of the network's weights, or has them of another shape "
            f"({shortened(lacking, 3)}): transformers would draw them at random; expected a network that was trained "
            "for semantic segmentation",
            path=path,
        )


def _check_classes(config: Any, num_classes: int, class_names: Sequence[str] | None, path: Path) -> None:
    names = [str(config.id2label[label]) for label in sorted(config.id2label)]
    if config.num_labels != num_classes:
        raise ConfigError(
            f"{path} distinguishes {config.num_labels} classes ({shortened(names, 3)}), expected {num_classes}, the "
            "data's (`num_classes`): take a network that was trained on these classes, or map its labels in a factory"
        )
    theirs, ours = ([name.strip().lower() for name in listed] for listed in (names, class_names or ()))
    if theirs != ours and sorted(theirs) == sorted(ours):
        place = next(place for place, (one, other) in enumerate(zip(theirs, ours, strict=True)) if one != other)
        raise ConfigError(
            f"{path} has the data's classes in another order: class {place} is {quoted(names[place])} there and "
            f"{quoted(ours[place])} here; map its labels in a factory"
        )


# ── running ──


@dataclass(frozen=True)
class _Pixels:
    """What is done to pixels 0..255: times a factor, minus a mean, divided by a deviation; each if it is not None."""

    factor: float | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    reversed: bool

    @classmethod
    def from_processor(cls, processor: Any) -> _Pixels:
        normalise = bool(getattr(processor, "do_normalize", False))
        return cls(
            factor=float(processor.rescale_factor) if getattr(processor, "do_rescale", False) else None,
            mean=_three(processor.image_mean) if normalise else None,
            std=_three(processor.image_std) if normalise else None,
            reversed=bool(getattr(processor, "do_flip_channel_order", False)),
        )


def _three(values: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in (values if isinstance(values, Sequence) else [values] * 3))


class _Segmenter(nn.Module):
    """From pixels 0..255 (N, 3, H, W) to logits, in the steps of the image processor for Pillow."""

    def __init__(self, network: nn.Module, pixels: _Pixels) -> None:
        super().__init__()
        self.network, self._pixels = network, pixels

    def forward(self, pixels: Tensor) -> Tensor:
        values, steps = pixels.float(), self._pixels
        if steps.factor is not None:
            values = (values.double() * steps.factor).float()  # rounded once
        if steps.mean is not None and steps.std is not None:
            mean, std = (values.new_tensor(three).reshape(1, -1, 1, 1) for three in (steps.mean, steps.std))
            values = (values - mean) / std
        if steps.reversed:
            values = values.flip(1)
        logits: Tensor = self.network(pixel_values=values.to(pixels.dtype)).logits
        return logits


def _resizer(
    processor: Any, resize: str | None, path: Path
) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]] | None:
    """Return what resizes a frame on the host, None if it stays as it is."""
    geometry = [name for name in _GEOMETRY if getattr(processor, name, False)]
    if resize is None and geometry:
        raise ConfigError(
            f"`resize` is missing: the processor of {path} has {', '.join(geometry)} on (size {_size(processor)}), "
            "expected 'none' (frames go into the network at their own size) or 'processor' (as transformers does it)"
        )
    if resize != "processor" or not geometry:
        return None
    if geometry != ["do_resize"]:
        raise ConfigError(
            f"`resize` is 'processor', and that of {path} has {', '.join(geometry)} on, expected only do_resize: what "
            "it cuts off or adds has no place in a label map of the frame; 'none' leaves all of it out"
        )

    def resized(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        alone = dict.fromkeys(("do_rescale", "do_normalize", "do_flip_channel_order"), False)
        kept = {name: value for name, value in alone.items() if hasattr(processor, name)}
        (planes,) = processor(frame, **kept, input_data_format="channels_last", return_tensors="np")["pixel_values"]
        if planes.dtype != np.uint8:
            raise ConfigError(f"the processor of {path} returns {planes.dtype} where it only resizes, expected uint8")
        return np.ascontiguousarray(planes.transpose(1, 2, 0))

    return resized


def _size(processor: Any) -> dict[str, int]:
    given = getattr(processor, "size", None) or {}
    return {name: given[name] for name in ("height", "width", "shortest_edge", "longest_edge") if given.get(name)}
