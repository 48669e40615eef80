"""Networks, and whatever else can be run on a frame: ``load_network`` makes one ready, of whatever framework.

Each kind has a file: ``architectures`` (the paper's networks by name), ``factory`` (``MODULE:FACTORY``), ``exported``
(``pt2:FILE``), ``onnx`` and ``huggingface``. All end in a ``Network``, which runs from a frame in the memory of the
host to its label map there.

The paper's architectures in plain PyTorch (``pip install 'flame-metric[torch]'``) lie here and not in
``flame_metric.paper``, since ``load_network("swiftnet-r18")`` builds them, and the paper's experiments stand above the
jobs that run networks. ``build(name, num_classes)`` makes one of ``NAMES``; ``transfer`` carries weights from one frame
to two. Names are loaded on first use, so that importing this package loads no PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flame_metric.errors import MissingExtraError
from flame_metric.networks.names import NAMES as NAMES

if TYPE_CHECKING:
    from flame_metric.networks.architectures import build as build
    from flame_metric.networks.cost import NetworkCost as NetworkCost
    from flame_metric.networks.cost import network_cost as network_cost
    from flame_metric.networks.deeplab import DeepLabV3Plus as DeepLabV3Plus
    from flame_metric.networks.load import MODEL_FORMS as MODEL_FORMS
    from flame_metric.networks.load import load_network as load_network
    from flame_metric.networks.segmentation_network import SegmentationNetwork as SegmentationNetwork
    from flame_metric.networks.stems import translation_grid as translation_grid
    from flame_metric.networks.swiftnet import SwiftNet as SwiftNet
    from flame_metric.networks.transferring import transfer as transfer
    from flame_metric.networks.weights import read_state as read_state

_ON_FIRST_USE = {  # name: module
    "MODEL_FORMS": "flame_metric.networks.load",
    "DeepLabV3Plus": "flame_metric.networks.deeplab",
    "NetworkCost": "flame_metric.networks.cost",
    "SegmentationNetwork": "flame_metric.networks.segmentation_network",
    "SwiftNet": "flame_metric.networks.swiftnet",
    "build": "flame_metric.networks.architectures",
    "load_network": "flame_metric.networks.load",
    "network_cost": "flame_metric.networks.cost",
    "read_state": "flame_metric.networks.weights",
    "transfer": "flame_metric.networks.transferring",
    "translation_grid": "flame_metric.networks.stems",
}
_WITHOUT_TORCH = ("MODEL_FORMS", "load_network")


def __getattr__(name: str) -> Any:
    """Load a name on first use (PEP 562)."""
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_ON_FIRST_USE[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "torch":
            raise
        raise MissingExtraError(f"{name} needs torch: pip install 'flame-metric[torch]'") from error


def __dir__() -> list[str]:
    """List only names that can be had: ``help`` and ``inspect.getmembers`` look each of them up."""
    return sorted({*globals(), *(_ON_FIRST_USE if find_spec("torch") else _WITHOUT_TORCH)})
