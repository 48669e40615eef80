"""Networks named as MODULE:FACTORY: what is imported and called to build one, and one line for whatever fails there."""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from flame_metric.errors import ConfigError, blaming

__all__ = ["call_factory"]


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
