"""Each target is fuzzed a little, after what was made by hand; a promise that is broken is found, and run again."""

import contextlib
import io
import lzma
import multiprocessing
import re
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random

import fuzz
import numpy as np
import pytest
from fuzzing import engine, hostile, mutations, png, targets
from fuzzing.promises import BrokenPromiseError

from flame_metric import FlameResult
from flame_metric.errors import ConfigError

pytest.importorskip("resource", reason="memory is watched where the system tells it")

MUTATIONS = 250


@pytest.mark.slow
@pytest.mark.parametrize("name", targets.TARGETS)
def test_promises_are_kept(name: str, tmp_path: Path) -> None:
    target = targets.TARGETS[name]
    if not target.is_possible:
        pytest.skip(f"{name} needs {', '.join(target.needs)}")
    report = engine.fuzz(engine.Job(name, "mutations", MUTATIONS, 0, tmp_path / "findings"))
    assert [finding.what for finding in report.findings] == []
    assert report.accepted + report.refused == report.executions > MUTATIONS
    assert report.accepted > 2
    assert report.refused > MUTATIONS / 20


# ── the fuzzer itself: what it must not miss ──


def broken(run, **options):
    """A target that reads as ``run`` does."""
    return replace(targets.TARGETS["label-map"], name="broken", run=run, **options)


def watched(tmp_path, run, content=b"x", **options):
    job = engine.Job("broken", "mutations", 1, 0, tmp_path / "findings")
    with engine._Watch(job, broken(run, **options), tmp_path) as watch:
        watch.reads(content)
    return watch.report


def raising(error):
    def run(content, folder):
        raise error

    return run


@pytest.mark.parametrize("error", [ValueError("a\nb"), MemoryError(), RecursionError(), BrokenPromiseError("wrong")])
def test_what_is_no_error_of_this_package_is_found_and_kept(error, tmp_path):
    report = watched(tmp_path, raising(error), b"input")
    assert (report.executions, report.accepted, report.refused) == (1, 0, 0)
    (finding,) = report.findings
    assert finding.what.startswith(type(error).__name__)
    assert finding.file.read_bytes() == b"input"


def test_an_error_of_this_package_is_a_refusal_unless_it_says_nothing(tmp_path):
    assert watched(tmp_path, raising(ConfigError("no"))).refused == 1
    assert "without a message" in watched(tmp_path, raising(ConfigError(" "))).findings[0].what


def test_memory_that_ran_out_behind_an_error_is_found(tmp_path):
    def run(content, folder):
        try:
            bytearray(2**62)
        except MemoryError as error:
            raise ConfigError("is damaged") from error

    assert watched(tmp_path, run).findings[0].what.startswith("MemoryError")


def test_memory_above_the_bound_is_found(tmp_path, monkeypatch):
    before = engine._memory()
    assert 10 < before <= engine._memory()
    peaks = iter([100.0, 165.0, 100.0, 164.0])
    monkeypatch.setattr(engine, "_memory", lambda: next(peaks))
    above, within = (watched(tmp_path, lambda content, folder: None, most_mib=64) for _ in range(2))
    assert (above.accepted, above.peak_mib) == (1, 65)
    assert "65 MiB more, expected at most 64" in above.findings[0].what
    assert (within.accepted, within.peak_mib, within.findings) == (1, 64, [])


@pytest.mark.skipif(not engine._STATUS.exists(), reason="elsewhere a process cannot ask for its own peak alone")
def test_memory_is_that_of_the_process_that_is_watched():
    large = bytearray(b"x") * 300 * 2**20  # which the peak of `resource` would carry over
    assert engine._memory() > len(large) / 2**20
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        assert 5 < processes.submit(engine._memory).result() < 200


def test_an_input_without_end_is_found(tmp_path, monkeypatch):
    def run(content, folder):
        while True:
            pass

    monkeypatch.setattr(engine, "MOST_SECONDS", 0.01)
    assert watched(tmp_path, run).findings[0].what.startswith("HangError")


@pytest.mark.parametrize("start", mutations.COMPRESSIONS)
def test_a_compressed_tar_file_is_changed_behind_its_compression(start, tmp_path):
    ending, opened, _ = mutations.COMPRESSIONS[start]
    (seed,) = (seed for seed in targets.TARGETS["label-tar"].seeds(tmp_path) if seed.startswith(start))
    draw, unpacked = Random(0), []
    for _ in range(200):
        with contextlib.suppress(OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
            unpacked.append(opened(io.BytesIO(mutations.tar_file(draw, seed))).read())
    assert len(unpacked) > 170, ending  # a tenth is of the compressed bytes
    assert len(set(unpacked)) > 100


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_seed_gives_the_same_inputs(tmp_path):
    target = targets.TARGETS["bank"]
    seeds = target.seeds(tmp_path)
    jobs = [engine.Job("bank", "mutations", 500, seed, tmp_path) for seed in (3, 3, 4)]
    first, again, other = (list(engine._inputs(job, target, seeds, seeds)) for job in jobs)
    assert first == again != other


def test_a_number_that_changed_in_silence_is_found(tmp_path):
    text = targets.TARGETS["result"].seeds(tmp_path)[0]
    read = FlameResult.from_json(text.decode())
    wrong = replace(read, tallies=read.tallies + np.array([1, 1, 0, 0]))
    record = targets.plain_json(text)
    targets.sound_result(read, record)
    with pytest.raises(BrokenPromiseError, match="as written"):
        targets.sound_result(wrong, record)


@pytest.mark.parametrize("interlacing", [0, 1])
@pytest.mark.parametrize(("bits", "colour"), [*hostile.KINDS, (8, 2), (16, 2), (8, 4), (8, 6)])
def test_the_plain_decoder_agrees_with_pillow(bits, colour, interlacing, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    content = hostile.picture(bits, colour, interlacing)
    (tmp_path / "a.png").write_bytes(content)
    with image.open(tmp_path / "a.png") as opened:
        found = np.asarray(opened).astype(np.int64)
    wanted = png.decoded(content)
    if bits in (2, 4) and colour == 0:
        wanted = wanted * (255 // (2**bits - 1))  # Pillow stretches them
    if (bits, colour) == (16, 2):
        wanted = wanted // 256  # and has no 16 bits for colours
    assert np.array_equal(found, wanted)


# ── the command ──


def test_the_table_and_the_exit_code(tmp_path, capsys):
    options = ["--executions", "60", "--findings", str(tmp_path)]
    assert fuzz.main(["--target", "label-map", *options]) == 0
    row = r"\| label-map \| mutations \| \d+ \| \d+ \| \d+ \| 0 \| 256 \| \d+ \| \d+ \|\n"
    assert re.search(row, capsys.readouterr().out)
    assert fuzz.main(["--target", "nothing"]) == 2
    assert "there is no target 'nothing', expected all or one of label-png" in capsys.readouterr().out


def test_a_finding_is_run_again(tmp_path, capsys):
    (tmp_path / "input").write_bytes(b"0:0,*:1")
    assert fuzz.main(["--target", "label-map", "--replay", str(tmp_path / "input")]) == 0
    assert "was read, and is sound" in capsys.readouterr().out
    (tmp_path / "input").write_bytes(b"0:")
    with pytest.raises(ConfigError, match="is no part of a label map"):
        fuzz.main(["--target", "label-map", "--replay", str(tmp_path / "input")])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--replay", __file__], "needs that file, and --target"),
        (["--replay", "nothing", "--target", "bank"], "--replay nothing needs that file"),
        (["--executions", "-5"], "--executions is -5, expected 1 or more"),
    ],
)
def test_options_that_make_no_sense(words, problem, capsys):
    with pytest.raises(SystemExit, match="2"):
        fuzz.main(words)
    assert problem in capsys.readouterr().err


def test_atheris_follows_the_same_targets(tmp_path):
    pytest.importorskip("atheris", reason="atheris is not installed")
    report = engine.fuzz(engine.Job("label-map", "atheris", 200, 0, tmp_path))
    assert report.findings == []
    assert report.executions >= 200
