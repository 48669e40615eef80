"""Wrong usage is one line with the nearest option, and an option that would change nothing is refused."""

import argparse

import numpy as np
import pytest

from flame_metric import LatencyTrace, OffsetBank
from flame_metric.cli import _parser, main

EVALUATE = "evaluate preds labels --num-classes 2 --fps 10"


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch):
    """Folders of one clip, a bank, traces and a network, in the current folder."""
    monkeypatch.chdir(tmp_path)
    maps = np.random.default_rng(0).integers(0, 2, (6, 4, 5)).astype(np.uint8)
    for folder in ("preds", "labels"):
        (tmp_path / folder / "clip").mkdir(parents=True)
        for frame, labels in enumerate(maps):
            np.save(tmp_path / folder / "clip" / f"{frame}.npy", labels)
    bank = OffsetBank(2, max_offset=3, fps=10)
    bank.update_sequence(maps, maps, sequence="clip")
    bank.save("bank.npz")
    LatencyTrace([100] * 9).save("calls.json")
    LatencyTrace([100, 200], replay="random").save("random.json")
    (tmp_path / "net.py").write_text("def build():\n    return lambda frame: frame[..., 0] // 32\n")
    return tmp_path


def run(words):
    try:
        return main(words.split())
    except SystemExit as ended:
        return ended.code


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("evaluate p l --num_classes 2", "evaluate: error: unknown option --num_classes, did you mean --num-classes?"),
        ("evaluate --latncy-ms=3 p l", "evaluate: error: unknown option --latncy-ms, did you mean --latency-ms?"),
        ("evaluate p l --labels-map 0:0", "unknown option --labels-map, did you mean --label-map?"),
        ("rescore bank.npz --target_miou 1", "unknown option --target_miou, did you mean --target-miou?"),
        ("run a b --zzz", "flame-metric run: error: unknown option --zzz; flame-metric run --help shows the usage\n"),
        ("report -x", "unknown option -x;"),
        ("--verzion", "flame-metric: error: unknown option --verzion, did you mean --version?"),
        ("evaluat a b", "'evaluat' is none of run, evaluate,"),
        ("evaluat a b", ", did you mean evaluate?"),
        ("", "the following arguments are required: COMMAND"),
        ("compare a --format mardown", "is none of text, markdown, latex, csv, did you mean markdown?"),
        (f"{EVALUATE} --frame-offset 1 more", "unrecognized arguments: more"),
        (f"{EVALUATE} --frame-offset one", "argument --frame-offset: invalid int value: 'one'"),
        (f"{EVALUATE} --l 3", "ambiguous option: --l could match"),
        ("evaluate preds", "the following arguments are required: LABELS, --num-classes"),
    ],
)
def test_wrong_usage_is_one_line(words, message, capsys):
    assert run(words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert err.endswith(" --help shows the usage\n")


@pytest.mark.parametrize(
    "words",
    [
        f"{EVALUATE} --frame-off 1",  # a beginning that is enough
        f"{EVALUATE} --frame-offset=1",
        f"{EVALUATE} --frame-offset 1 --hardware=--x",
        "evaluate --num-classes 2 --fps 10 --frame-offset 1 -- preds labels",
        "report bank.npz --latency-ms 100 -opage.html",
    ],
)
def test_right_usage_stays_right(words):
    if words.startswith("report"):
        pytest.importorskip("jinja2")
    assert run(words) == 0


def test_a_negative_number_is_no_option(capsys):
    assert run(f"{EVALUATE} --frame-offset -1") == 2
    assert "`frame_offset` is -1" in capsys.readouterr().err


def test_usage_is_shown_by_help(capsys):
    assert run("evaluate --help") == 0
    assert capsys.readouterr().out.startswith("usage: flame-metric evaluate")


# ── options that would change nothing ──

STDOUT = "in place of which nothing else is printed"
CHANGE_NOTHING = [
    (f"{EVALUATE} --latency-ms 100 --seed 3", "--seed is given, but would change nothing"),
    (f"{EVALUATE} --latency-ms 100 --workers 2 --seed 0", "--seed is given"),
    (f"{EVALUATE} --frame-offset 1 --seed 3", "--seed is given"),
    (f"{EVALUATE} --trace calls.json --seed 3", "--seed is given"),
    (f"{EVALUATE} --trace random.json --replay call --seed 3", "--seed is given"),
    (f"{EVALUATE} --latency-ms 100 --replay random", "--replay random is given without --trace"),
    (f"{EVALUATE} --frame-offset 1 --workers 2", "`stream` is given with `frame_offset`"),
    (f"{EVALUATE} --frame-offset 1 --json - --format csv", f"--format is given with --json -, {STDOUT}"),
    (f"{EVALUATE} --frame-offset 1 --csv - --format text", f"--format is given with --csv -, {STDOUT}"),
    (f"{EVALUATE} --latency-ms 100 --show last_finished", "--show last_finished would change nothing"),
    ("simulate --latency-ms 76 --fps 15 --workers 1 --show last_finished", "--show last_finished would change nothing"),
    (f"{EVALUATE} --frame-offset 1 --resume", "`resume` is given without `journal`"),
    (f"{EVALUATE} --frame-offset 1 --shard 1/2", "`shard` is given without `journal`"),
    (f"{EVALUATE} --frame-offset 1 --shard 1/2 --journal j --format csv", "--format is given with --shard"),
    (f"{EVALUATE} --frame-offset 1 --shard 1/2 --journal j --json x", "--json is given with --shard"),
    (f"{EVALUATE} --frame-offset 1 --shard 1/2 --journal j --csv x", "--csv is given with --shard"),
    ("merge j --json - --format csv", f"--format is given with --json -, {STDOUT}"),
    ("rescore bank.npz --latency-ms 100 --seed 1", "--seed is given"),
    ("rescore bank.npz --trace calls.json --seed 1", "--seed is given"),
    ("rescore bank.npz --frame-offset 1 --scale 2", "--scale is given with --frame-offset"),
    ("rescore bank.npz --frame-offset 1 --json - --format csv", f"--format is given with --json -, {STDOUT}"),
    ("rescore bank.npz --frame-offset 1 --json - --target-miou 0.5", f"--target-miou is given with --json -, {STDOUT}"),
    ("rescore bank.npz --frame-offset 1 --format csv --target-miou 0.5", "--target-miou is given with --format csv"),
    ("compare a.json b.json --json - --format csv", f"--format is given with --json -, {STDOUT}"),
    ("simulate --latency-ms 76 --fps 15 --seed 1", "--seed is given"),
    ("simulate calls.json --fps 15 --seed 1", "--seed is given"),
    ("simulate --latency-ms 76 --fps 15 --replay call", "--replay is given with --latency-ms"),
    ("simulate --latency-ms 76 --fps 15 --json - --draw 3", f"--draw is given with --json -, {STDOUT}"),
    ("latency net:build --shape 4,4,3 --out - --fps 3", f"--fps is given with --out -, {STDOUT}"),
    ("latency net:build --shape 4,4,3 --pace", "--pace is given without --fps"),
    ("latency net:build --shape 4,4,3 --threads 2", "--threads would change nothing"),
    ("report bank.npz --latency-ms 100 --seed 1", "--seed is given"),
    ("report bank.npz calls.json --seed 1", "--seed is given"),
    ("report bank.npz --latency-ms 100 --split val", "--split is given without --frames"),
    ("report bank.npz --latency-ms 100 --clip a", "--clip is given without --frames"),
    ("report bank.npz --latency-ms 100 --max-frames 30", "--max-frames is given without --frames"),
    ("report bank.npz --latency-ms 100 --width 480", "--width is given without --frames"),
    ("report bank.npz --latency-ms 100 --replay call", "--replay call is given without a trace"),
    ("run net:build synthetic --latency-ms 9 --seed 1", "--seed is given"),
    ("run net:build synthetic --frame-offset 1 --seed 1", "--seed is given"),
    ("run net:build synthetic --replay call --seed 1", "--seed is given"),
    ("run net:build synthetic --trace calls.json --seed 1", "--seed is given"),
    ("run net:build synthetic --latency-ms 9 --samples 5", "--samples is given with --latency-ms"),
    ("run net:build synthetic --latency-ms 9 --warmup 5", "--warmup is given with --latency-ms"),
    ("run net:build synthetic --frame-offset 1 --time-cap 5", "--time-cap is given with --frame-offset"),
    ("run net:build synthetic --trace calls.json --pace", "--pace is given with --trace"),
    ("run net:build synthetic --trace calls.json --save-trace x", "--save-trace is given with --trace"),
    ("run net:build synthetic --latency-ms 9 --audit", "--audit is given with --latency-ms"),
    ("run net:build synthetic --latency-ms 9 --replay call", "--replay call is given without samples"),
    ("run net:build synthetic --audit-json x", "--audit-json is given without --audit"),
    ("run net:build synthetic --overlay-frames a/1 --latency-ms 9", "`overlay_frames` is given without `overlays`"),
    ("run net:build synthetic --json - --format csv", f"--format is given with --json -, {STDOUT}"),
    *(
        (f"reproduce --recipe {words}", f"{words.split(maxsplit=1)[0]} is given with --recipe")
        for words in (
            *("--seed 0", "--device cpu", "--workers 0", "--amp float16", "--compile", "--weights x", "--out x"),
            *("--data synthetic", "--latency paper", "--experiment table1", "--translations 9", "--json x"),
        )
    ),
]


@pytest.mark.parametrize(("words", "message"), CHANGE_NOTHING)
def test_an_option_that_would_change_nothing_is_refused(words, message, world, capsys):
    before = sorted(world.rglob("*"))
    if words.startswith("report"):
        pytest.importorskip("jinja2")
    if words.startswith("run"):
        pytest.importorskip("torch")
    assert run(words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert [path for path in world.rglob("*") if "__pycache__" not in str(path) and path not in before] == []


@pytest.mark.parametrize(
    "words",
    [
        f"{EVALUATE} --trace random.json --seed 3",
        f"{EVALUATE} --trace calls.json --replay random --seed 3",
        f"{EVALUATE} --frame-offset 1 --format csv --json x.json",
        "rescore bank.npz --trace random.json --seed 3",
        "rescore bank.npz --latency-ms 100 --target-miou 0.5 --json x.json",
        "simulate --latency-ms 76 --fps 15 --workers 2 --show last_finished",
        "simulate random.json --fps 15 --seed 1 --frames 5",
        "simulate --latency-ms 76 --fps 15 --draw 3 --json x.json",
    ],
)
def test_options_that_change_something_are_taken(words):
    assert run(words) == 0


def test_every_option_has_no_default_or_one_that_always_counts():
    """A default hides whether an option was given: whoever adds one says here that nothing can make it vain."""
    always = {"--jobs", "--on-error", "--before-first", "--scale", "--every", "--output", "--label-maps", "--preset"}
    always |= {f"--{side}-{end}" for side in ("pred", "label") for end in ("prefix", "suffix")}
    always |= {"--overlay-frames"}  # refused by what runs a network
    always |= {"--mean-over"}
    (commands,) = (action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    with_default = {
        action.option_strings[-1]
        for command in commands.choices.values()
        for action in command._actions
        if action.option_strings and action.default not in (None, False, argparse.SUPPRESS)
    }
    assert with_default <= always | {"--seed"}  # of `latency`, which draws its frames
