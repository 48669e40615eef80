"""Tables: the exact text of each format, and names from outside that must stay text."""

import csv
import io
import math
from fractions import Fraction

import numpy as np
import pytest

from flame_metric.core.tables import FORMATS, Table, printable, rate_text
from flame_metric.errors import ConfigError

NAN = float("nan")


@pytest.fixture
def table():
    return Table(
        ("class", "IoU", "pixels"),
        (("road", 0.98123, 1_234_567), ("sky", NAN, 0)),
        (("mean", 0.5, None),),
        ("95 % interval", "k 1 | fps 30"),
    )


def test_text(table):
    assert table.render("text") == (
        "class      IoU      pixels\n"
        "--------------------------\n"
        "road    0.9812   1,234,567\n"
        "sky     absent           0\n"
        "--------------------------\n"
        "mean    0.5000\n"
        "\n"
        "95 % interval\n"
        "k 1 | fps 30\n"
    )


def test_text_is_the_default(table):
    assert table.render() == table.render("text")


def test_markdown(table):
    assert table.render("markdown") == (
        "| class | IoU | pixels |\n"
        "| :-- | --: | --: |\n"
        "| road | 0.9812 | 1,234,567 |\n"
        "| sky | absent | 0 |\n"
        "| **mean** | **0.5000** |  |\n"
        "\n"
        "95 % interval\n"
        "\n"
        "k 1 \\| fps 30\n"
    )


def test_latex(table):
    assert table.render("latex") == (
        "\\begin{tabular}{lrr}\n"
        "\\toprule\n"
        "class & IoU & pixels \\\\\n"
        "\\midrule\n"
        "road & 0.9812 & 1,234,567 \\\\\n"
        "sky & absent & 0 \\\\\n"
        "\\midrule\n"
        "mean & 0.5000 &  \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "% 95 % interval\n"
        "% k 1 | fps 30\n"
    )


def test_csv(table):
    assert table.render("csv") == '"class","IoU","pixels"\n"road",0.98123,1234567\n"sky",,0\n"mean",0.5,\n'


def test_without_summary_and_notes():
    table = Table(("name", "k"), (("a", 1), ("bcd", 22)))
    assert table.render("text") == "name    k\n---------\na       1\nbcd    22\n"
    assert table.render("markdown") == "| name | k |\n| :-- | --: |\n| a | 1 |\n| bcd | 22 |\n"
    assert table.render("csv") == '"name","k"\n"a",1\n"bcd",22\n'


def test_without_rows():
    assert Table(("name", "k"), ()).render("text") == "name   k\n--------\n"
    assert Table(("name", "k"), ()).render("csv") == '"name","k"\n'


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("100 %", r"100 \%"),
        ("a & b", r"a \& b"),
        ("S_{t+k}", r"S\_\{t+k\}"),
        ("$x$ #1", r"\$x\$ \#1"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("\\input{secret}", r"\textbackslash{}input\{secret\}"),
        ("a<b>|c", r"a\textless{}b\textgreater{}\textbar{}c"),
        ("two\nlines", "two\ufffdlines"),
        ("[2mm] x", "{[}2mm] x"),
        ("* x", "{*} x"),
    ],
)
def test_latex_escapes(name, escaped):
    lines = Table((name, "k"), ((name, 1),), notes=(f"{name}\n\\input{{secret}}",)).render("latex").splitlines()
    assert lines[2] == f"{escaped} & k \\\\"
    assert lines[4] == f"{escaped} & 1 \\\\"
    assert lines[-1].startswith("% ")  # a line break in a note cannot end the comment
    assert len(lines) == 8


@pytest.mark.parametrize("format", ["html", "", "TEXT", None, "latex "])
def test_unknown_format(table, format):
    with pytest.raises(ConfigError, match=r"`format` is .*expected one of text, markdown"):
        table.render(format)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_ends_in_one_newline(table, format):
    text = table.render(format)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


# ── numbers ──


def test_reading_rounds_and_csv_keeps():
    table = Table(("x", "y"), (("a", 1 / 3),))
    assert "0.3333\n" in table.render("text")
    assert "| 0.3333 |" in table.render("markdown")
    assert table.render("csv") == f'"x","y"\n"a",{1 / 3!r}\n'


@pytest.mark.parametrize("value", [np.float64(0.25), np.float64("nan")])
def test_numpy_floats_are_floats(value):
    table = Table(("x", "y"), (("a", value),))
    assert table.render("csv") == ('"x","y"\n"a",\n' if math.isnan(value) else '"x","y"\n"a",0.25\n')


@pytest.mark.parametrize(
    ("fps", "text"),
    [
        (Fraction(30), "30"),
        (Fraction(2997, 100), "29.97"),
        (Fraction(50, 3), "50/3"),
        (Fraction(30000, 1001), "30000/1001"),
        (Fraction(25, 2), "12.5"),
    ],
)
def test_frame_rates_as_people_write_them(fps, text):
    assert rate_text(fps) == text


# ── names from outside ──


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("<script>", "&lt;script&gt;"),
        ("a & b", "a &amp; b"),
        ("*bold*", r"\*bold\*"),
        ("snake_case", r"snake\_case"),
        ("`code`", r"\`code\`"),
        ("[x](y)", r"\[x\](y)"),
        ("# head", r"\# head"),
        ("back\\slash", r"back\\slash"),
        ("two\nlines", "two\ufffdlines"),
        ("\x1b[31mred", "\ufffd\\[31mred"),
    ],
)
def test_markdown_escapes(name, escaped):
    assert Table((name, "k"), ((name, 1),), notes=(name,)).render("markdown") == (
        f"| {escaped} | k |\n| :-- | --: |\n| {escaped} | 1 |\n\n{escaped}\n"
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_csv_cells_that_a_spreadsheet_would_run_are_quoted(start):
    name = start + "1+1"
    assert csv_rows(Table((name, "k"), ((name, -0.5),))) == [["'" + name, "k"], ["'" + name, "-0.5"]]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        (";=1+cmd|' /C calc'!A0", "\";'=1+cmd|' /C calc'!A0\""),
        ("a;@b", '"a;\'@b"'),
        ("a; -b", '"a;\' -b"'),
        ("a,+b", '"a,\'+b"'),
        ("a\t=b", '"a\ufffd\'=b"'),
        (" =b", '"\' =b"'),
        ("a;=b;=c", "\"a;'=b;'=c\""),
        ('a";=b', '"a"";\'=b"'),
        ("road-side", '"road-side"'),
        ("a;b", '"a;b"'),
    ],
)
def test_csv_text_is_quoted_and_holds_no_formula_wherever_a_reader_splits_it(name, cell):
    lines = Table((name, name), ((name, 0.5),)).render("csv").splitlines()
    assert lines == [f"{cell},{cell}", f"{cell},0.5"]
    for separator in ";,\t|":
        for row in csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE):
            assert not [part for part in row if part.strip().strip('"').strip().startswith(tuple("=+-@"))]


def csv_rows(table):
    return list(csv.reader(io.StringIO(table.render("csv"), newline="")))


@pytest.mark.parametrize("name", ["\t=1", "\r=1"])
def test_csv_cells_with_a_formula_behind_a_control_character(name):
    rows = csv_rows(Table(("x", "k"), ((name, 1),)))
    assert rows[1][0].startswith("'")


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n"])
def test_csv_rows_stay_rows(line_break):
    rows = csv_rows(Table(("x" + line_break + "y", "k"), (("a" + line_break + "=b", 1), ("c", 2))))
    assert [len(row) for row in rows] == [2, 2, 2]
    assert [row[1] for row in rows] == ["k", "1", "2"]


@pytest.mark.parametrize("name", ["a,b", 'say "x"', "a;b", "ünïcödé", "|<x"])
def test_csv_cells_read_back_as_they_were(name):
    assert csv_rows(Table(("x", "k"), ((name, 1),))) == [["x", "k"], [name, "1"]]


@pytest.mark.parametrize("control", ["\x00", "\x07", "\x1b", "\n", "\r", "\t", "\x7f", "\u202e", "\u2028"])
def test_text_holds_no_control_characters(control):
    text = Table(("x" + control, "k"), (("a" + control + "b", 1),), notes=("n" + control,)).render("text")
    assert text.count("\ufffd") == 3
    assert [line for line in text.split("\n") if not line.isprintable()] == []
    assert text == "x\ufffd    k\n-------\na\ufffdb   1\n\nn\ufffd\n"


def test_printable_keeps_what_can_be_read():
    assert printable("Straße 42 – café, 道路") == "Straße 42 – café, 道路"
    assert printable("a\x1b[31mb\n") == "a\ufffd[31mb\ufffd"
