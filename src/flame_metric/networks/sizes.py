"""What an exported program demands of the sizes of its input; parsed, never executed.

A size is a number, or a symbol within a range, or a multiple of one. Conditions are comparisons of whole numbers, such
as ``L['x'].size()[2] % 32 == 0``.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Sizes"]

_SYMBOL = re.compile(r"(?:Symbol\('(\w+)'[^()]*\)|([A-Za-z_]\w*))")
_MULTIPLE = re.compile(r"(?:Mul\(Integer\((\d+)\), Symbol\('(\w+)'[^()]*\)\)|(\d+)\*([A-Za-z_]\w*))")
_ARITHMETIC: Mapping[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "max": max,
    "min": min,
    "Max": max,
    "Min": min,
    "Mod": operator.mod,
    "PythonMod": operator.mod,
    "FloorDiv": operator.floordiv,
    "Eq": operator.eq,
    "Ne": operator.ne,
}
_SPECIALISED = 2
"""The exporter takes sizes 0 and 1 apart, and writes 2 as the least of all others; such a program still takes 1."""


@dataclass(frozen=True)
class _Length:
    """One size: a factor of 0 is the number itself, otherwise ``factor`` times what ``symbol`` stands for."""

    number: int
    factor: int = 0
    symbol: str = ""


@dataclass(frozen=True)
class Sizes:
    """The shapes that a program takes.

    Attributes
    ----------
    lengths : tuple
        Of each axis.
    ranges : mapping
        Least and greatest number of each symbol, None where there is no limit.
    conditions : mapping
        What must be true besides, as text and as a function of the shape.
    """

    lengths: tuple[_Length, ...]
    ranges: Mapping[str, tuple[int | None, int | None]]
    conditions: Mapping[str, Callable[[Sequence[int]], Any]]

    @classmethod
    def read(cls, sizes: Sequence[Any], ranges: Mapping[str, Any], conditions: Sequence[str]) -> Sizes | None:
        """Read what a file says; None if that is not understood."""
        lengths = [_length(size) for size in sizes]
        known = tuple(length for length in lengths if length is not None)
        if len(known) < len(lengths):
            return None
        limits = {name: (limit.get("min_val"), limit.get("max_val")) for name, limit in ranges.items()}
        try:
            return cls(known, limits, {text: _parsed(text, len(known)) for text in conditions})
        except (ValueError, SyntaxError):
            return None

    def fixed(self, axis: int) -> int | None:
        """Return the size of an axis, None if it may vary."""
        return None if self.lengths[axis].factor else self.lengths[axis].number

    def __str__(self) -> str:
        """Write a shape, with names where it may vary: ``(1, 3, s0, 8*s1)``."""
        shown = [str(length.number) if not length.factor else _multiple(length) for length in self.lengths]
        return f"({', '.join(shown)})"

    def faults(self, shape: Sequence[int]) -> list[str]:
        """Say why a shape is not taken; nothing if it is.

        Examples
        --------
        >>> sizes = Sizes.read([{"as_int": 1}, {"as_expr": {"expr_str": "4*s0"}}], {}, ["L[0].size()[1] > 8"])
        >>> sizes.faults((1, 12)), sizes.faults((1, 10)), sizes.faults((1, 4))
        ([], ['axis 1 is no multiple of 4'], ['not L[0].size()[1] > 8'])
        """
        if len(shape) != len(self.lengths):
            return [f"{len(shape)} axes"]
        found, symbols = [], dict[str, int]()
        for axis, (length, size) in enumerate(zip(self.lengths, shape, strict=True)):
            if not length.factor:
                found += [] if size == length.number else [f"axis {axis} is {size}"]
                continue
            number, rest = divmod(size, length.factor)
            least, most = self.ranges.get(length.symbol, (None, None))
            if rest:
                found.append(f"axis {axis} is no multiple of {length.factor}")
            elif symbols.setdefault(length.symbol, number) != number:
                found.append(f"axis {axis} is not the size that it shares")
            elif (least or 0) > max(number, _SPECIALISED) or (most is not None and number > most):
                found.append(f"{length.symbol} is {number}, outside {least}..{'' if most is None else most}")
        return found or [f"not {text}" for text, holds in self.conditions.items() if not _safely(holds, shape)]


def _multiple(length: _Length) -> str:
    return length.symbol if length.factor == 1 else f"{length.factor}*{length.symbol}"


def _length(size: Mapping[str, Any]) -> _Length | None:
    if "as_int" in size:
        return _Length(int(size["as_int"]))
    text = str(size["as_expr"]["expr_str"])
    if symbol := _SYMBOL.fullmatch(text):
        return _Length(0, 1, symbol[1] or symbol[2])
    if multiple := _MULTIPLE.fullmatch(text):
        return _Length(0, int(multiple[1] or multiple[3]), multiple[2] or multiple[4])
    return None


def _safely(holds: Callable[[Sequence[int]], Any], shape: Sequence[int]) -> bool:
    try:
        return bool(holds(shape))
    except ZeroDivisionError:  # a remainder by a size that is too small
        return False


def _parsed(text: str, axes: int) -> Callable[[Sequence[int]], Any]:
    """Return a condition as a function of the shape.

    Raises
    ------
    ValueError, SyntaxError
        If it is more than arithmetic on sizes.
    """

    def part(node: ast.AST) -> Callable[[Sequence[int]], Any]:  # noqa: PLR0911 - a table of kinds
        match node:
            case ast.Constant(value=bool() | int() as constant):
                return lambda shape: constant
            case ast.Subscript(
                value=ast.Call(func=ast.Attribute(attr="size"), args=[], keywords=[]),
                slice=ast.Constant(value=int() as axis),
            ) if 0 <= axis < axes:
                return operator.itemgetter(axis)  # a program has one input: whatever it is called, this is its size
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _ARITHMETIC:
                return _applied(_ARITHMETIC[type(op)], part(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _applied(_ARITHMETIC[type(op)], part(left), part(right))
            case ast.BoolOp(op=op, values=values):
                return _applied(_all if isinstance(op, ast.And) else _any, *map(part, values))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _ARITHMETIC:
                return _applied(_ARITHMETIC[type(op)], part(left), part(right))
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
                return _applied(_FUNCTIONS[name], *map(part, arguments))
        raise ValueError(f"{text} is no arithmetic on sizes")

    return part(ast.parse(text, mode="eval").body)


def _applied(function: Callable[..., Any], *parts: Callable[[Sequence[int]], Any]) -> Callable[[Sequence[int]], Any]:
    return lambda shape: function(*(part(shape) for part in parts))


def _all(*values: object) -> bool:
    return all(values)


def _any(*values: object) -> bool:
    return any(values)
