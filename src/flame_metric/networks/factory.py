"""Networks named as MODULE:FACTORY: what is imported and called to build one, and one line for whatever fails there."""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from flame_metric.errors import ConfigError, blaming
from flame_metric.latency.output import finish_output
from flame_metric.latency.runner import Runner
from flame_metric.networks.names import is_program
from flame_metric.networks.network import Network

__all__ = ["call_factory", "load_factory", "refuse_options"]


def call_factory(text: str, **offered: object) -> Callable[[Any], Any]:
    """Import what ``text`` names, and call it.

    The module may lie in the current folder. That is searched last, and only while the module is imported: of two
    modules of one name the installed one is taken, and no other file of the folder stands in for an installed package.
    What the module needs from its folder it has to import at its top, not when the factory is called.

    Parameters
    ----------
    text : str
        ``"MODULE:FACTORY"``; FACTORY may lie deeper, as ``"my_networks:Family.build"``.
    **offered : Any
        Keyword arguments for the factory: those that its signature names are passed, all others are not.

    Returns
    -------
    callable
        What the factory returns.

    Raises
    ------
    ConfigError
        If there is no such module or factory, one of the two fails, or what is built cannot be called.

    Examples
    --------
    >>> call_factory("operator:itemgetter")
    Traceback (most recent call last):
    ...
    flame_metric.errors.ConfigError: operator:itemgetter() failed: TypeError: itemgetter expected 1 argument, got 0
    """
    if is_program(text):
        raise ConfigError(
            f"the network is {text!r}, a program of torch.export, expected MODULE:FACTORY; `flame-metric run` takes "
            "such a program as pt2:FILE"
        )
    name, _, factory_name = text.partition(":")
    if not name or not factory_name:
        raise ConfigError(f"the network is {text!r}, expected MODULE:FACTORY, such as my_network:build")
    with blaming(f"{name} cannot be imported"):
        try:
            with _current_folder_searched_last():
                module = import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # the module is there, but not what it imports
            hint = "; a module is named without folder and .py" if name.endswith(".py") or "/" in name else ""
            raise ConfigError(f"there is no module {name!r} in {Path.cwd()} or among the packages{hint}") from error
    try:
        factory = operator.attrgetter(factory_name)(module)
    except AttributeError as error:
        raise ConfigError(f"{name} has no {factory_name!r}, expected a function that builds the network") from error
    if not callable(factory):
        raise ConfigError(f"{text} is {type(factory).__name__}, expected a function that builds the network")
    with blaming(f"{text}() failed"):
        built = factory(**_accepted(factory, offered))
    if not callable(built):
        raise ConfigError(f"{text}() returns {type(built).__name__}, expected a torch.nn.Module or another callable")
    return built  # type: ignore[no-any-return]


def _accepted(factory: Callable[..., Any], offered: dict[str, object]) -> dict[str, object]:
    try:
        parameters = inspect.signature(factory).parameters
    except ValueError:  # some of C's functions do not tell
        return {}
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: value for name, value in offered.items() if name in parameters and parameters[name].kind in named}


@contextmanager
def _current_folder_searched_last() -> Iterator[None]:
    """Find modules in the current folder too, behind all others; what else changes the path in the meantime stays."""
    folder = str(Path.cwd())
    sys.path.append(folder)
    try:
        yield
    finally:
        found = (index for index in reversed(range(len(sys.path))) if sys.path[index] is folder)
        if (index := next(found, None)) is not None:
            del sys.path[index]


# ── as a network ──


def load_factory(text: str, *, num_classes: int, frames: int | None = None, **options: Any) -> Network:
    """Build what a factory makes, and make it ready to run.

    Parameters
    ----------
    text : str
        As :func:`call_factory` takes it.
    num_classes : int
    frames : int, optional
        Must be as many as what is built says that it takes.
    **options : Any
        Of :func:`~flame_metric.torch.runner.torch_runner`, for a ``torch.nn.Module``.

    Returns
    -------
    Network

    Raises
    ------
    ConfigError
        As :func:`call_factory` does, or if an option would change nothing, or contradicts what is built.
    """
    offered = {"num_classes": num_classes} if frames is None else {"num_classes": num_classes, "frames": frames}
    built = call_factory(text, **offered)
    there = getattr(built, "frames", None)
    if isinstance(there, int) and frames not in (None, there):
        raise ConfigError(f"`frames` is {frames}, and what {text} builds takes {there}, expected the same number")
    frames = frames or (there if isinstance(there, int) else 1)
    torch = sys.modules.get("torch")  # without it nothing is a module
    if torch is None or not isinstance(built, torch.nn.Module):
        refuse_options(list(options), text, f"{type(built).__name__}, no torch.nn.Module", ("frames",))
        return Network(text, Runner(_check_on_host(built, text), boundary="end_to_end"), frames)
    from flame_metric.torch.runner import torch_runner  # noqa: PLC0415  PyTorch is optional, and here already

    return Network(text, torch_runner(built, boundary="end_to_end", num_classes=num_classes, **options), frames)


def _check_on_host(network: Callable[[Any], Any], text: str) -> Callable[[Any], Any]:
    """Return a network that refuses to leave its output on a device, or to return one that is not computed yet."""

    def run(frame: Any) -> Any:
        output = network(frame)
        device = getattr(output, "device", "cpu")
        if getattr(device, "type", device) != "cpu":
            raise ConfigError(
                f"{text} returns what lies on {device}, expected labels in the memory of the host: to copy them there "
                "is part of the latency"
            )
        if isinstance(output, np.ndarray) or hasattr(output, "detach"):
            return output
        try:
            array = np.asarray(output)  # as a lazy array, which would do its work when it is scored, after it was timed
        except ValueError:  # lists of unlike lengths
            array = np.asarray(None)
        if array.dtype.hasobject:
            finish_output(output)
            raise ConfigError(
                f"{text} returns a {type(output).__name__}, expected the labels or scores of a frame as one array"
            )
        return array

    return run


def refuse_options(unused: Sequence[str], text: str, what: str, options: Sequence[str]) -> None:
    """Refuse options that would change nothing.

    Raises
    ------
    ConfigError
        If there are any.
    """
    if unused:
        raise ConfigError(
            f"{', '.join(f'`{name}`' for name in unused)} would change nothing: {text} is {what}, which takes "
            f"{', '.join(options)}"
        )
