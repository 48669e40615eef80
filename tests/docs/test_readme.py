"""What the README shows works as it stands there."""

import re
import shlex

import pytest

from flame_metric.cli import main
from pages import README, blocks, texts

(LOOP,) = texts(README, "python")


def rows(text):
    """The lines of a table of scores: their numbers, by their first words."""
    found = re.findall(r"^(\S+(?: \S+)*?) {2,}(.*\d)$", text, re.MULTILINE)
    return {name: values.split() for name, values in found}


def numbers(values):
    return [float(value) for value in values]


def shown_after(words):
    """The fenced block that begins with some words, and the block below it."""
    found = blocks(README)
    (place,) = (index for index, block in enumerate(found) if block.text.startswith(words))
    return found[place].text, found[place + 1].text


def test_it_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 125


def test_the_loop_runs(run_python):
    printed = run_python(LOOP)
    assert re.search(r"^mean IoU +0\.\d{4}", printed, re.MULTILINE)
    assert " | k 2 | 76.0 ms | 15 fps | 8 classes | ignore 255 | coverage 0.87 | flame-metric 0.1.0" in printed


@pytest.mark.slow
def test_the_tables_are_what_the_commands_print(capsys, tmp_path, monkeypatch):
    """All but the line of this machine; persistence to the last digit, as it comes from labels only."""
    pytest.importorskip("PIL", reason="label maps are written with Pillow")
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--out", "demo-output"]) == 0
    printed = rows(capsys.readouterr().out)
    _, table = shown_after("git clone")
    shown = rows(table)
    del shown["this machine"]
    assert len(shown) == 5  # no delay, and four networks
    for name in shown:
        *settings, flame, streaming, persistence = shown[name]
        assert printed[name][:2] == settings
        assert printed[name][4] == persistence
        assert [float(value) for value in printed[name][2:4]] == pytest.approx(
            [float(flame), float(streaming)], abs=2e-3
        )

    command, table = shown_after("flame-metric evaluate demo-output")
    assert main(shlex.split(command.replace("\\\n", " "))[1:]) == 0
    printed, shown = rows(capsys.readouterr().out), rows(table)
    assert len(shown) == 11  # eight classes, the mean and its interval
    for name, values in shown.items():
        assert numbers(printed[name]) == pytest.approx(numbers(values), abs=5e-3), name
