"""Tables: rows become text, Markdown, LaTeX or CSV.

Text, Markdown and LaTeX are for reading and round numbers to four decimals; CSV is for programs and keeps them whole.
Names come from outside (files, classes, users), so each format escapes what would be more than text in it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from flame_metric.errors import ConfigError

__all__ = ["FORMATS", "Cell", "Table", "printable"]

Cell = str | int | float | None
Row = tuple[Cell, ...]

FORMATS = ("text", "markdown", "latex", "csv")
ABSENT = "absent"
"""How a NaN is shown: the class occurs nowhere, or there was nothing to score."""


@dataclass(frozen=True)
class Table:
    """Named columns, rows, and summary rows below a rule; the first column is text, the others numbers.

    Attributes
    ----------
    columns : tuple of str
    rows, summary : tuple of tuples
        As many cells each as there are columns: text, numbers, NaN (shown as "absent") or None (empty).
    notes : tuple of str
        Lines below the table; not in CSV.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    summary: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()

    def render(self, format: str = "text") -> str:
        r"""Return the table as ``"text"``, ``"markdown"``, ``"latex"`` or ``"csv"``, ending in a newline.

        LaTeX needs ``\usepackage{booktabs}`` and comes as a ``tabular`` to put into a table of your own; its notes are
        comments.

        Raises
        ------
        ConfigError
            If the format is another.

        Examples
        --------
        >>> print(Table(("class", "IoU"), (("road", 0.98123),), (("mean", 0.98123),)).render(), end="")
        class      IoU
        --------------
        road    0.9812
        --------------
        mean    0.9812
        """
        if format not in FORMATS:
            raise ConfigError(f"`format` is {format!r}, expected one of {', '.join(FORMATS)}")
        renderers = {"text": self._text, "markdown": self._markdown, "latex": self._latex, "csv": self._csv}
        return renderers[format]()

    def _text(self) -> str:
        cells = [[printable(_shown(cell)) for cell in row] for row in (self.columns, *self.rows, *self.summary)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.columns))]
        lines = [
            "   ".join(
                [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            ).rstrip()
            for row in cells
        ]
        rule = "-" * (sum(widths) + 3 * (len(widths) - 1))
        body = len(self.rows) + 1
        parts = [lines[0], rule, *lines[1:body], *([rule, *lines[body:]] if self.summary else [])]
        return "\n".join([*parts, *([""] if self.notes else []), *map(printable, self.notes)]) + "\n"

    def _markdown(self) -> str:
        def line(cells: Iterable[str]) -> str:
            return "| " + " | ".join(cells) + " |"

        def escape(row: Row) -> list[str]:
            return [_markdown_text(_shown(cell)) for cell in row]

        header = [line(escape(self.columns)), line([":--"] + ["--:"] * (len(self.columns) - 1))]
        body = [line(escape(row)) for row in self.rows]
        summary = [line(f"**{cell}**" if cell else "" for cell in escape(row)) for row in self.summary]
        notes = [line for note in self.notes for line in ("", _markdown_text(note))]
        return "\n".join([*header, *body, *summary, *notes]) + "\n"

    def _latex(self) -> str:
        def line(row: Row) -> str:
            return " & ".join(_latex_text(_shown(cell)) for cell in row) + r" \\"

        summary = [r"\midrule", *map(line, self.summary)] if self.summary else []
        lines = [
            r"\begin{tabular}{l" + "r" * (len(self.columns) - 1) + "}",
            r"\toprule",
            line(self.columns),
            r"\midrule",
            *map(line, self.rows),
            *summary,
            r"\bottomrule",
            r"\end{tabular}",
            *(f"% {printable(note)}" for note in self.notes),
        ]
        return "\n".join(lines) + "\n"

    def _csv(self) -> str:
        lines = [",".join(map(_csv_cell, row)) for row in (self.columns, *self.rows, *self.summary)]
        return "\n".join(lines) + "\n"


def printable(text: str) -> str:
    r"""Return text for a terminal, with control characters (colours, line breaks) replaced by "\\ufffd"."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def rate_text(fps: Fraction) -> str:
    """Return a frame rate as a person writes it: 15, 29.97, 50/3 or 30000/1001."""
    decimal = f"{float(fps):.6g}"
    return decimal if Fraction(decimal) == fps else str(fps)


def milliseconds_text(duration_ms: float) -> str:
    """Return a duration with one to three decimals: 26.0 ms, 66.667 ms."""
    digits = f"{duration_ms:.3f}".rstrip("0")
    return f"{digits}0 ms" if digits.endswith(".") else f"{digits} ms"


def _shown(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return ABSENT if math.isnan(cell) else f"{cell:.4f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _markdown_text(text: str) -> str:
    text = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join("\\" + character if character in "\\`*_[]|#~" else character for character in text)


_LATEX = str.maketrans(
    {
        **{character: "\\" + character for character in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "[": "{[}",  # after the end of a row or a rule, [ and * begin an option of it
        "*": "{*}",
    }
)


def _latex_text(text: str) -> str:
    return printable(text).translate(_LATEX)


_FORMULA = re.compile(
    r"^(?=[\t\r])|(^|[;,|\t\r\n])(?=\s*[=+\-@＝＋－＠])"
)  # East Asian spreadsheets take the wide ones too


def _csv_cell(cell: Cell) -> str:
    """Return a cell as CSV has it: all text in quotes; NaN is an empty cell.

    Text that a spreadsheet would run as a formula has an apostrophe before it, also behind what some of them take for
    the end of a cell, quoted or not.
    """
    if isinstance(cell, str):
        text = printable(_FORMULA.sub(lambda found: f"{found[0]}'", cell)).replace('"', '""')
        return f'"{text}"'
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return repr(float(cell)) if isinstance(cell, float) else str(cell)
