"""Every target reads its own files and refuses or reads hostile ones; a promise that is broken is found and kept."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("PIL", reason="the files of targets are written with Pillow")
import fuzz
from fuzzing import changes, targets

import hostile_files
import png_files
from flame_metric import FlameResult
from flame_metric.errors import ConfigError, DatasetError
from promises import BrokenPromiseError

pytestmark = pytest.mark.skipif(not hasattr(fuzz.signal, "SIGALRM"), reason="a hang is ended by a signal")


@pytest.fixture
def law(tmp_path):
    """Make the law of a target, and run it."""
    tmp_path.joinpath("files").mkdir()

    def run(target, examples=25):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fuzz.law(target, tmp_path / "files", tmp_path / "findings", examples=examples)()

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", targets.TARGETS)
def test_promises_are_kept(name: str, law) -> None:
    target = targets.TARGETS[name]
    if not target.is_possible:
        pytest.skip(f"{name} needs {', '.join(target.needs)}")
    law(target)


# ── the fuzzer itself: what it must not miss ──


def planted(name, is_faulty):
    """A target that fails where a file that is read is faulty."""
    target = targets.TARGETS[name]

    def run(content, folder):
        target.run(content, folder)
        if is_faulty(content):
            raise ZeroDivisionError("planted")

    return replace(target, run=run, hostile=lambda seeds: ())


@pytest.mark.parametrize(
    ("name", "is_faulty"),
    [
        ("list", lambda content: content.count(b"\n") == 1),
        ("label-zip", lambda content: len(changes.by_members(content)[0]) == 2),  # behind lengths and checksums
        ("label-tar", lambda content: len(changes.by_blocks(content)[0]) % 20),  # and behind compression
        ("journal", lambda content: len(content.splitlines()) == 2),
    ],
)
def test_a_planted_fault_is_found_and_kept(name, is_faulty, law, tmp_path):
    with pytest.raises(ZeroDivisionError, match="planted") as raised:
        law(planted(name, is_faulty), examples=300)
    *_, command = raised.value.__notes__[:1]
    assert command.startswith(f"python tools/fuzz.py --target {name} --replay ")
    assert is_faulty(Path(command.rpartition(" ")[2]).read_bytes())


def read(tmp_path, run, **options):
    target = replace(targets.TARGETS["list"], name="broken", run=run, **options)
    return fuzz.read(target, b"input", tmp_path, tmp_path / "findings")


def raising(error):
    def run(content, folder):
        raise error

    return run


@pytest.mark.parametrize("error", [ValueError("a\nb"), MemoryError(), RecursionError(), BrokenPromiseError("wrong")])
def test_what_is_no_error_of_this_package_is_found_and_kept(error, tmp_path):
    with pytest.raises(type(error)):
        read(tmp_path, raising(error))
    (file,) = tmp_path.joinpath("findings").iterdir()
    assert file.read_bytes() == b"input"


def test_an_error_of_this_package_is_a_refusal_unless_it_says_nothing(tmp_path):
    assert read(tmp_path, lambda content, folder: None) is True
    assert read(tmp_path, raising(ConfigError("no"))) is False
    with pytest.raises(ValueError, match="ConfigError without a message"):
        read(tmp_path, raising(ConfigError(" ")))


def test_memory_that_ran_out_behind_an_error_is_found(tmp_path):
    def run(content, folder):
        try:
            bytearray(2**62)
        except MemoryError as error:
            raise ConfigError("is damaged") from error

    with pytest.raises(MemoryError):
        read(tmp_path, run)


def test_memory_above_the_bound_is_found(tmp_path, monkeypatch):
    peaks = iter([100.0, 164.0, 100.0, 165.0])
    monkeypatch.setattr(fuzz, "_peak_mib", lambda: next(peaks))
    assert read(tmp_path, lambda content, folder: None, most_mib=64)
    with pytest.raises(MemoryError, match="65 MiB more, expected at most 64"):
        read(tmp_path, lambda content, folder: None, most_mib=64)


def test_an_input_without_end_is_found(tmp_path, monkeypatch):
    def run(content, folder):
        while True:
            pass

    monkeypatch.setattr(fuzz, "MOST_SECONDS", 0.01)
    with pytest.raises(fuzz.HangError):
        read(tmp_path, run)


@pytest.mark.parametrize("name", ["label-png", "label-zip", "label-tar", "journal", "trace", "result"])
def test_a_file_is_put_together_as_it_was(name, tmp_path):
    target = targets.TARGETS[name]
    if not target.is_possible:
        pytest.skip(f"{name} needs {', '.join(target.needs)}")
    for seed in target.seeds(tmp_path):
        parts, joined = target.parts(seed)
        again, _ = target.parts(joined(parts))
        assert again == parts
        target.run(joined(parts), tmp_path)


def test_a_number_that_changed_in_silence_is_found(tmp_path):
    text = targets.TARGETS["result"].seeds(tmp_path)[0]
    result = FlameResult.from_json(text.decode())
    wrong = replace(result, tallies=result.tallies + np.array([1, 1, 0, 0]))
    record = targets.plain_json(text)
    targets.sound_result(result, record)
    with pytest.raises(BrokenPromiseError, match="as written"):
        targets.sound_result(wrong, record)


@pytest.mark.parametrize("interlacing", [0, 1])
@pytest.mark.parametrize(("bits", "colour"), [*hostile_files.KINDS, (8, 2), (16, 2), (8, 4), (8, 6)])
def test_the_plain_decoder_agrees_with_pillow(bits, colour, interlacing, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    content = hostile_files.picture(bits, colour, interlacing)
    (tmp_path / "a.png").write_bytes(content)
    with image.open(tmp_path / "a.png") as opened:
        found = np.asarray(opened).astype(np.int64)
    wanted = png_files.decoded(content)
    if bits in (2, 4) and colour == 0:
        wanted = wanted * (255 // (2**bits - 1))  # Pillow stretches them
    if (bits, colour) == (16, 2):
        wanted = wanted // 256  # and has no 16 bits for colours
    assert np.array_equal(found, wanted)


# ── the command ──


def test_a_target_is_fuzzed(tmp_path, capsys):
    assert fuzz.main(["--target", "list", "--examples", "5", "--findings", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "list: 5 examples, hypothesis\n"
    assert not list(tmp_path.iterdir())


def test_all_targets_are_run_each_in_a_process(monkeypatch):
    called = []
    monkeypatch.setattr(fuzz.subprocess, "call", lambda words: called.append(words[3]) or words[3] == "bank")
    assert fuzz.main(["--examples", "7"]) == 1
    assert called == list(targets.TARGETS)


def test_a_finding_is_run_again(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_bytes(b"monday\n")
    assert fuzz.main(["--target", "list", "--replay", str(file)]) == 0
    assert "was read, and is sound" in capsys.readouterr().out
    file.write_bytes(b"")
    with pytest.raises(DatasetError):
        fuzz.main(["--target", "list", "--replay", str(file)])


@pytest.mark.parametrize("words", [["--replay", __file__], ["--target", "nothing"], ["--examples", "-5"]])
def test_options_that_make_no_sense(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        fuzz.main(words)
    assert "expected --examples above 0, and --target one of label-png, " in capsys.readouterr().err
