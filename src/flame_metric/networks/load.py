"""Networks from what a command line can name: a name with weights, a factory in Python, or a file of some framework.

Whatever it was made with, a network then runs from a raw frame in the memory of the host to its label map there. That
is what is timed, and that is what is scored.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from flame_metric.core.checks import check_integer
from flame_metric.errors import ConfigError, MissingExtraError
from flame_metric.networks.factory import load_factory, refuse_options
from flame_metric.networks.names import NAMES, is_program
from flame_metric.networks.network import Network

__all__ = ["MODEL_FORMS", "load_network"]

MODEL_FORMS = f"""\
{", ".join(NAMES)}
    a network of the paper, with trained weights from a file (a state_dict that torch.save
    wrote, or the checkpoint.pt of `flame-metric reproduce`), or random ones
MODULE:FACTORY
    a function in Python, of an installed module or else of one in the current folder. It is
    called with num_classes= and frames= if it has such parameters, and returns a
    torch.nn.Module, from normalised (1, 3 * frames, H, W) to scores (1, C, H, W) or labels
    (1, H, W); or any other callable, from uint8 (H, W, 3 * frames), oldest frame first, to
    labels (H, W) or scores (C, H, W)
pt2:FILE
    a program that torch.export.save wrote, for one tensor like that of a module; to open it
    runs code that stands in it, so name only files that you trust
FILE.onnx
    a model for ONNX Runtime: from floats like those of a module or uint8 as they are, both
    (1, 3 * frames, H, W) or (1, H, W, 3 * frames), to scores (1, C, H, W) or labels (1, H, W) or
    (1, 1, H, W)
FOLDER
    a network of Hugging Face transformers for semantic segmentation, with its image processor:
    config.json, model.safetensors, preprocessor_config.json
"""
"""What ``load_network`` takes, for the help of a command."""

_TORCH = ("device", "dtype", "autocast", "channels_last", "compile", "cudnn_benchmark", "threads")
_EXTRAS = {"torch": "torch", "onnxruntime": "onnx", "transformers": "huggingface"}  # package: extra


@dataclass(frozen=True)
class _Form:
    """A kind of network: what it is called, which options change it, what loads it, and whether it names classes."""

    what: str
    options: tuple[str, ...]
    load: Callable[..., Network]
    names_classes: bool = False


def load_network(
    text: str,
    *,
    num_classes: int,
    class_names: Sequence[str] | None = None,
    frames: int | None = None,
    weights: str | os.PathLike[str] | None = None,
    translations: int | Sequence[tuple[int, int]] | None = None,
    seed: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    output: str | None = None,
    upsample: str | None = None,
    resize: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    autocast: str | None = None,
    channels_last: bool = False,
    compile: str | None = None,
    cudnn_benchmark: bool = False,
    threads: int | None = None,
) -> Network:
    """Make a network ready to be run over videos and to be timed.

    An option that would change nothing is refused.

    Parameters
    ----------
    text : str
        What ``MODEL_FORMS`` describes: the name of a network of the paper, ``"module:factory"``, or the path of a file
        or folder.
    num_classes : int
        Of the data; scores must have as many channels.
    class_names : sequence of str, optional
        Of the data, to be compared with those that a folder holds.
    frames : int, optional
        Input frames. Default: what the file tells, or the whole number ``frames`` of what a factory builds; else 1.
    weights : str or path, optional
        For a network of the paper: a file that ``read_state`` reads, or ``"random"``.
    translations : int or sequence of (int, int), optional
        For SwiftNet-R18, as in ``build``: its translation stem.
    seed : int, optional
        Of random weights. Default: 0.
    mean, std : sequence of float, optional
        Of each channel, for pixels 0..1. Default: ImageNet's.
    output : str, optional
        Which of several outputs of a file: its name.
    upsample : {"bilinear"}, optional
        Resize scores of another size to that of the frame, as part of what is timed. Default: they are refused.
    resize : {"none", "processor"}, optional
        Whether a network of transformers gets frames at their own size, or resized by its processor.
    device : str, optional
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``. Default: where a factory leaves its module, else the CPU.
    dtype, autocast, channels_last, compile, cudnn_benchmark, threads
        As ``torch_runner`` takes them.

    Returns
    -------
    Network
        Its runner goes from an 8-bit frame to labels, or what another callable returns, in the memory of the host.

    Raises
    ------
    ConfigError
        If there is no such network, or an option is out of range, would change nothing, or contradicts another.
    DatasetError
        If a file is missing, damaged, or of another network.
    MissingExtraError
        If what runs it is not installed.

    Examples
    --------
    >>> network = load_network("swiftnet-r18", num_classes=19, weights="random")
    >>> import numpy as np
    >>> network.runner(np.zeros((32, 64, 3), np.uint8)).shape
    torch.Size([32, 64])
    """
    values = dict(locals())
    if not isinstance(text, str) or not text:
        raise ConfigError(f"`text` is {text!r}, expected the name of a network, such as 'swiftnet-r18'")
    num_classes = check_integer("num_classes", num_classes, 1, unit="classes")
    if frames is not None:
        check_integer("frames", frames, 1, unit="input frames")
    form = _form(text)
    given = {
        name: value
        for name, value in values.items()
        if name not in ("text", "num_classes", "class_names") and value is not None and value is not False
    }
    refuse_options([name for name in given if name not in form.options], text, form.what, form.options)
    about = {"class_names": class_names} if form.names_classes else {}
    return form.load(text, num_classes=num_classes, **about, **given)


def _form(text: str) -> _Form:
    if text in NAMES:
        options: tuple[str, ...] = ("frames", "weights", "translations", "seed", "mean", "std", *_TORCH)
        return _Form(
            "a network of the paper", options, _by(text, "flame_metric.networks.architectures", "load_architecture")
        )
    if text.startswith("pt2:"):
        options = ("frames", "mean", "std", "output", "upsample", "device", "autocast", "cudnn_benchmark", "threads")
        return _Form("an exported program", options, _by(text, "flame_metric.networks.exported", "load_exported"))
    suffix = Path(text).suffix.lower()
    if suffix == ".onnx":
        options = ("frames", "mean", "std", "output", "upsample", "device", "threads")
        return _Form("an ONNX model", options, _by(text, "flame_metric.networks.onnx", "load_onnx"))
    if is_program(text):
        file = text[4:] if text[:4].lower() == "pt2:" else text
        raise ConfigError(
            f"the network is {text!r}, a program of torch.export, which is code from a file: write pt2:{file} if you "
            "trust it"
        )
    if Path(text).is_dir():
        load = _by(text, "flame_metric.networks.huggingface", "load_huggingface")
        return _Form("a folder of transformers", ("resize", *_TORCH), load, names_classes=True)
    if ":" in text:
        return _Form("a factory", ("frames", "mean", "std", "upsample", *_TORCH), load_factory)
    hint = ""
    if suffix in (".pt", ".pth", ".ckpt", ".bin", ".safetensors"):
        hint = f"; weights need a network: give {text} as `weights` of one"
    raise ConfigError(
        f"the network is {text!r}{hint}, expected one of {', '.join(NAMES)}, MODULE:FACTORY, pt2:FILE, a FILE.onnx, "
        "or the FOLDER of a Hugging Face model"
    )


def _by(text: str, module: str, function: str) -> Callable[..., Network]:
    """Return a function of an edge, which is imported now."""
    try:
        return getattr(import_module(module), function)  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in _EXTRAS:
            raise
        raise MissingExtraError(f"{text} needs {package}: pip install 'flame-metric[{_EXTRAS[package]}]'") from error
