"""Evaluations of archives, object stores and servers: the integers of folders on disk, or an error."""

import importlib
import json
import os
import shutil
import tarfile
import threading
import tracemalloc

import numpy as np
import pytest

from file_server import FileServer
from flame_metric.cli import main
from flame_metric.data.stored import read_ahead
from flame_metric.errors import DatasetError, FlameWarning, StateError
from flame_metric.jobs import pipeline as clip_counts
from flame_metric.jobs.clip_journal import read_part
from flame_metric.jobs.evaluate import merge_parts
from flat_options import evaluate_folders

OPTIONS = {"num_classes": 4, "fps": 30, "latency_ms": 50, "ignore_index": 255, "keep_bank": True}
WORDS = ["--num-classes", "4", "--fps", "30", "--latency-ms", "50", "--ignore-index", "255"]
CLIPS, FRAMES = 3, 6


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Clips of noise whose score depends on every single file."""
    root = tmp_path_factory.mktemp("folders")
    generator = np.random.default_rng(0)
    for side in ("preds", "labels"):
        for clip in range(CLIPS):
            (root / side / f"clip {clip}").mkdir(parents=True)
            for frame in range(FRAMES):
                labels = generator.integers(0, 4, (8, 10), np.uint8)
                np.save(root / side / f"clip {clip}" / f"{frame:03}.npy", labels)
    for side in ("preds", "labels"):
        shutil.make_archive(str(root / f"{side}-packed"), "zip", root / side)
        shutil.make_archive(str(root / f"{side}-packed"), "gztar", root / side)
    shutil.make_archive(str(root / "both"), "tar", root, ".")
    return root


@pytest.fixture(scope="module")
def whole(folders):
    return told(evaluate_folders(folders / "preds", folders / "labels", **OPTIONS))


@pytest.fixture
def hasty(monkeypatch):
    """Requests that fail fast; the module that makes them."""
    for package in ("fsspec", "aiohttp"):
        pytest.importorskip(package, reason=f"addresses need {package}")
    remote = importlib.import_module("flame_metric.data.remote")
    monkeypatch.setattr(remote.Patience, "__init__", patient)
    return remote


def patient(self, timeout_s=600):
    """Stand in for the constructor of a frozen record."""
    for name, value in (("attempts", 3), ("pause_s", 0.0), ("timeout_s", timeout_s), ("list_s", 600)):
        object.__setattr__(self, name, value)


@pytest.fixture
def server(request, folders, hasty, monkeypatch):
    if getattr(request.node, "callspec", None) and request.node.callspec.params.get("fault") == "stall":
        monkeypatch.setattr(hasty.Patience, "__init__", lambda self: patient(self, timeout_s=1))
    with FileServer(folders) as running:
        yield running


def told(evaluation):
    """All that an evaluation says, its bank included."""
    return evaluation.to_json(), evaluation.bank.to_bytes()


@pytest.mark.parametrize(
    ("preds", "labels"),
    [
        ("{0}/preds-packed.zip", "{0}/labels-packed.tar.gz"),
        ("{0}/preds", "zip::{0}/labels-packed.zip"),
        ("tar://preds::{0}/both.tar", "tar://labels::{0}/both.tar"),
    ],
)
def test_archives_on_disk(folders, whole, preds, labels):
    for jobs in (1, 3):
        assert told(evaluate_folders(preds.format(folders), labels.format(folders), **OPTIONS, jobs=jobs)) == whole


@pytest.mark.parametrize(
    ("preds", "labels"),
    [
        ("{0}/preds", "{0}/labels"),
        ("file://{1}/preds", "{1}/labels"),
        ("{1}/preds", "memory://evaluation/labels"),
        ("zip://preds::memory://evaluation/both.zip", "tar::file://{1}/labels-packed.tar.gz"),
        ("file://{1}/preds-packed.zip", "memory://evaluation/labels/"),
    ],
)
def test_addresses(folders, whole, server, preds, labels):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    for file in (folders / "labels").rglob("*.npy"):
        memory.pipe_file(f"evaluation/labels/{file.relative_to(folders / 'labels')}", file.read_bytes())
    shutil.make_archive(str(folders / "inner"), "zip", folders, "preds")
    memory.pipe_file("evaluation/both.zip", (folders / "inner.zip").read_bytes())
    places = [place.format(server.address, folders) for place in (preds, labels)]
    for jobs in (1, 3):
        assert told(evaluate_folders(*places, **OPTIONS, jobs=jobs)) == whole
    memory.rm("evaluation", recursive=True)


def test_an_archive_on_a_server_that_gives_no_parts(server, folders, whole, monkeypatch):
    """One that is fetched at once is read; of a larger one the message says what to do."""
    places = f"tar://preds::{server.address}/both.tar", f"tar://labels::{server.address}/both.tar"
    assert told(evaluate_folders(*places, **OPTIONS)) == whole
    server.faults = {"both.tar": ("unsized", None)}
    with pytest.raises(DatasetError, match=r"both\.tar: cannot be read in parts: .*; simplecache::http"):
        evaluate_folders(*places, **OPTIONS)
    server.faults = {}
    kept = [place.replace("::http", "::simplecache::http") for place in places]
    assert told(evaluate_folders(*kept, **OPTIONS)) == whole


@pytest.mark.parametrize("on_error", ["stop", "skip"])
@pytest.mark.parametrize("fault", ["unsized", "none"])
def test_an_error_keeps_no_contents(tmp_path, hasty, monkeypatch, on_error, fault):
    """Files that fill what may be held come one frame at a time, with a length or without, damaged or not."""
    size = 2 * 10**6
    for side in ("preds", "labels"):
        for clip in range(12):
            file = tmp_path / side / f"{clip:02}" / "0.npy"
            file.parent.mkdir(parents=True)
            np.save(file, np.zeros((1, 1), np.uint8))
            if clip:
                file.write_bytes(file.read_bytes() + bytes(size))
    monkeypatch.setitem(read_ahead.__kwdefaults__, "ahead_bytes", size)
    options = {"num_classes": 2, "fps": 10, "frame_offset": 0, "on_error": on_error, "jobs": 8}
    with FileServer(tmp_path) as running:
        running.faults = {"0.npy": (fault, None if fault == "unsized" else 0)}
        tracemalloc.start()
        try:
            if on_error == "stop":
                with pytest.raises(DatasetError, match="goes on behind its array"):
                    evaluate_folders(f"{running.address}/preds", f"{running.address}/labels", **options)
            else:
                with pytest.warns(FlameWarning, match="is left out"):
                    found = evaluate_folders(f"{running.address}/preds", f"{running.address}/labels", **options)
                assert found.incomplete.startswith("1 of 12 sequence(s) are scored")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 8 * size  # a frame is two files; the server, in this process too, has others


@pytest.mark.parametrize("fault", ["500", "cut", "reset", "stall"])
def test_a_server_that_fails_now_and_then_changes_nothing(server, whole, fault):
    server.faults = {f"clip%20{clip}/00{clip}.npy": (fault, 2) for clip in range(CLIPS)}
    found = evaluate_folders(f"{server.address}/preds", f"{server.address}/labels", **OPTIONS, jobs=2)
    assert told(found) == whole


@pytest.mark.parametrize("fault", ["500", "cut", "reset", "stall", "404"])
def test_never_a_short_score(server, folders, capsys, fault):
    server.faults = {"labels/clip%201/002.npy": (fault, None)}
    places = [f"{server.address}/preds", f"{server.address}/labels"]
    assert main(["evaluate", *places, *WORDS]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith(f"flame-metric: error: {server.address}/labels/clip 1/002.npy: ")
    assert main(["evaluate", *places, *WORDS, "--on-error", "skip", "--json", "-"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["incomplete"] == "2 of 3 sequence(s) are scored; 1 left out for damaged files: clip 1"
    assert "INCOMPLETE" not in printed.out
    assert "clip 1 is left out" in printed.err


def test_a_list_that_fails_is_no_shorter_list(server, capsys):
    server.faults = {"labels/clip%201/": ("500", None)}
    assert main(["evaluate", f"{server.address}/preds", f"{server.address}/labels", *WORDS]) == 3
    assert "/labels/clip 1: cannot be read after 3 attempts: the server answers 500" in capsys.readouterr().err


def test_a_journal_goes_on_and_notices_other_files(server, folders, whole, tmp_path, monkeypatch):
    journal = {"journal": tmp_path / "job.jsonl", "resume": True}
    shutil.copytree(folders / "labels", tmp_path / "labels")
    with FileServer(tmp_path) as labels:
        places = f"{server.address}/preds", f"{labels.address}/labels"
        server.faults = {"preds/clip%202/005.npy": ("500", None)}
        with pytest.raises(DatasetError, match="the server answers 500"):
            evaluate_folders(*places, **OPTIONS, **journal)
        assert len(journal["journal"].read_bytes().splitlines()) > 1
        server.faults, before = {}, server.requests.copy()
        assert told(evaluate_folders(*places, **OPTIONS, **journal)) == whole
        asked = server.requests - before
        assert not any(
            path.startswith("/preds/clip%200/") and command == "GET" and path[-1] != "/" for command, path in asked
        )
        np.save(tmp_path / "labels/clip 0/003.npy", np.zeros((8, 10), np.uint8))  # as many bytes as before
        os.utime(tmp_path / "labels/clip 0/003.npy", (0, 0))  # a server tells whole seconds
        with pytest.raises(StateError, match="was counted from other files than are there now"):
            evaluate_folders(*places, **OPTIONS, **journal)


def test_a_journal_notices_another_archive_on_a_server(folders, hasty, tmp_path):
    """Files in a tar have no checksums, and these are of equal sizes and times."""
    journal = {"journal": tmp_path / "job.jsonl", "resume": True}
    shutil.copytree(folders / "labels", tmp_path / "labels")

    def timeless(member):
        member.mtime = 0
        return member

    def pack(time):
        with tarfile.open(tmp_path / "labels.tar", "w") as archive:
            archive.add(tmp_path / "labels", ".", filter=timeless)
        os.utime(tmp_path / "labels.tar", (time, time))

    pack(1_000_000_000)
    with FileServer(tmp_path) as labels:
        places = folders / "preds", f"{labels.address}/labels.tar"
        before = told(evaluate_folders(*places, **OPTIONS, **journal))
        pack(1_000_000_000)
        assert told(evaluate_folders(*places, **OPTIONS, **journal)) == before
        file = tmp_path / "labels/clip 0/003.npy"
        np.save(file, 3 - np.load(file))
        pack(1_000_000_001)
        with pytest.raises(StateError, match="was counted from other files than are there now"):
            evaluate_folders(*places, **OPTIONS, **journal)


def test_parts_of_one_evaluation_may_lie_in_different_places(folders, whole, tmp_path):
    """A share on a machine that has the archive, and one on a machine that has the folder."""
    for name in ("preds", "labels"):
        shutil.copy(folders / f"{name}-packed.zip", tmp_path / f"{name}.zip")
    shares = [
        (folders / "preds", folders / "labels"),
        (f"{tmp_path}/preds.zip", f"{tmp_path}/labels.zip"),
    ]
    for index, places in enumerate(shares, start=1):
        evaluate_folders(*places, **OPTIONS, shard=(index, 2), journal=tmp_path / f"part{index}.jsonl")
    assert told(merge_parts([read_part(tmp_path / f"part{index}.jsonl") for index in (1, 2)])) == whole


def test_pngs_and_damage_in_an_archive(tmp_path):
    pytest.importorskip("PIL", reason="PNG files need Pillow")
    write_png = importlib.import_module("flame_metric.data.images").write_png
    for side in ("preds", "labels"):
        (tmp_path / side / "clip").mkdir(parents=True)
        for frame in range(3):
            write_png(tmp_path / side / "clip" / f"{frame}.png", np.full((4, 6), frame, np.uint8))
    damaged = bytearray((tmp_path / "labels/clip/1.png").read_bytes())
    damaged[45] ^= 1
    options = {"num_classes": 3, "fps": 30, "frame_offset": 1}
    with tarfile.open(tmp_path / "labels.tar", "w") as archive:
        archive.add(tmp_path / "labels", ".")
    on_disk = evaluate_folders(tmp_path / "preds", tmp_path / "labels", **options)
    packed = evaluate_folders(tmp_path / "preds", tmp_path / "labels.tar", **options)
    assert packed.to_json() == on_disk.to_json()
    (tmp_path / "labels/clip/1.png").write_bytes(damaged)
    with tarfile.open(tmp_path / "labels.tar", "w") as archive:
        archive.add(tmp_path / "labels", ".")
    with pytest.raises(DatasetError, match=r"labels\.tar/clip/1\.png: is damaged or cut short"):
        evaluate_folders(tmp_path / "preds", tmp_path / "labels.tar", **options)


def test_sizes_are_compared_before_anything_is_decoded(folders, tmp_path):
    for name, shape in (("preds", (4, 4)), ("labels", (4, 5))):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "1.npy", np.zeros(shape, np.uint8))
        shutil.make_archive(str(tmp_path / name), "zip", tmp_path / name)
    with pytest.raises(DatasetError, match=r"preds\.zip/1\.npy: has shape \(4, 4\), expected \(4, 5\); nothing"):
        evaluate_folders(f"{tmp_path}/preds.zip", f"{tmp_path}/labels.zip", num_classes=2, fps=30, frame_offset=0)


def test_after_an_error_nothing_is_read_any_more(server):
    """As long as somebody holds the error, its traceback holds what was running."""
    server.faults = {"labels/clip%200/001.npy": ("403", None), "labels/clip%202/003.npy": ("stall", None)}
    with pytest.raises(DatasetError, match="403") as raised:
        evaluate_folders(f"{server.address}/preds", f"{server.address}/labels", **OPTIONS)
    for thread in threading.enumerate():
        if thread.name.startswith("reading"):
            thread.join(60)
            assert not thread.is_alive(), raised


def test_an_address_without_fsspec(run_python):
    program = """
import sys
sys.modules["fsspec"] = None
from flame_metric.jobs import pipeline as clip_counts
from flame_metric.cli import main
from flame_metric.data.stored import read_ahead
from flame_metric.jobs.clip_journal import read_part
print(main(["evaluate", "memory://x", "memory://y", "--num-classes", "2", "--fps", "30", "--frame-offset", "0"]))
"""
    assert run_python(program + "sys.stdout.flush()").endswith("2")


def test_ctrl_c_while_a_server_stalls(server, monkeypatch, capsys):
    """The partial table comes at once, though a request is still waiting for its answer."""
    server.faults = {"labels/clip%202/003.npy": ("stall", None)}
    usual = clip_counts.in_order

    def interrupted(items, ahead):
        for number, found in enumerate(usual(items, ahead)):
            if number == FRAMES + 1:
                server.stalled.wait(60)
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(clip_counts, "in_order", interrupted)
    places = [f"{server.address}/preds", f"{server.address}/labels"]
    assert main(["evaluate", *places, *WORDS, "--jobs", "1"]) == 130
    assert "INCOMPLETE: 1 of 3 sequence(s) are scored" in capsys.readouterr().out
