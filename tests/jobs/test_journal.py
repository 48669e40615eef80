"""Journals: nothing finished is lost, nothing unfinished or foreign is believed."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric.errors import ConfigError, DatasetError, FlameWarning, StateError
from flame_metric.jobs.journal import Journal, differences
from laws import examples

CONFIGURATION = {"classes": 19, "fps": "50/3", "names": ["a", "b"], "latency_ms": 76.5}
RECORDS = {"one": {"pairs": 3, "counts": [[1, 2], [3, 4]]}, "two\n\u2028": {"pairs": 2**62}, "drei ü": {}}


def written(path: Path, records=RECORDS) -> bytes:
    with Journal(path, CONFIGURATION) as journal:
        for sequence, record in records.items():
            journal.add(sequence, record)
    return path.read_bytes()


def read(path: Path, configuration=CONFIGURATION, *, resume: bool = True) -> dict:
    with Journal(path, configuration, resume=resume) as journal:
        return journal.records


def test_what_was_finished_is_there_again(tmp_path: Path) -> None:
    written(tmp_path / "j")
    assert read(tmp_path / "j") == RECORDS
    assert list(read(tmp_path / "j")) == list(RECORDS)


def test_lines_are_json(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in written(tmp_path / "j").decode("ascii").splitlines()]
    assert lines[0]["format"] == "flame-metric journal 1"
    assert lines[0]["configuration"] == CONFIGURATION
    assert [line["sequence"] for line in lines[1:]] == list(RECORDS)


@examples(30)  # each line is flushed to the disk
@given(st.data())
def test_cut_anywhere_all_whole_lines_are_left(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    content = written(path)
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    found = read(path)
    assert list(found) == list(RECORDS)[: max(0, whole - 1)]
    with Journal(path, CONFIGURATION, resume=True) as journal:  # and it goes on from there
        for sequence in list(RECORDS)[max(0, whole - 1) :]:
            journal.add(sequence, RECORDS[sequence])
    assert path.read_bytes() == content


@examples(30)
@given(st.data())
def test_a_changed_byte_is_never_believed(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    content = bytearray(written(path))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        found = read(path)
    except StateError:
        return
    assert all(RECORDS.get(sequence) == record for sequence, record in found.items())


def test_some_are_kept_and_the_others_may_be_added_again(tmp_path: Path) -> None:
    content = written(tmp_path / "j")
    with Journal(tmp_path / "j", CONFIGURATION, resume=True) as journal:
        journal.keep_only(["one", "drei ü", "never there"])
        assert list(journal.records) == ["one", "drei ü"]
        journal.add("two\n\u2028", {"pairs": 7})
        with pytest.raises(StateError, match=r"1 sequence\(s\) were added, expected none before some are kept"):
            journal.keep_only(["one"])
    assert read(tmp_path / "j") == {"one": RECORDS["one"], "drei ü": {}, "two\n\u2028": {"pairs": 7}}
    (tmp_path / "j").write_bytes(content)
    with Journal(tmp_path / "j", CONFIGURATION, resume=True) as journal:
        journal.keep_only(RECORDS)
    assert (tmp_path / "j").read_bytes() == content


def test_what_is_soon_made_again_may_be_replaced(tmp_path: Path) -> None:
    content = written(tmp_path / "j")
    with Journal(tmp_path / "j", CONFIGURATION, resume=True, replace=True) as journal:
        assert journal.records == RECORDS
    assert (tmp_path / "j").read_bytes() == content
    other = {**CONFIGURATION, "classes": 20}
    with Journal(tmp_path / "j", other, resume=True, replace=True) as journal:
        assert journal.records == {}
        journal.add("one", {"pairs": 4})
    assert read(tmp_path / "j", other) == {"one": {"pairs": 4}}
    with pytest.raises(StateError, match=r"holds 1 finished sequence\(s\) already"):
        Journal(tmp_path / "j", CONFIGURATION, replace=True)


def test_damage_before_the_end_is_an_error(tmp_path: Path) -> None:
    lines = written(tmp_path / "j").splitlines(keepends=True)
    (tmp_path / "j").write_bytes(b"".join([*lines[:2], lines[2][:-5] + b"\n", lines[3]]))
    with pytest.raises(
        StateError, match=r"line 3 is damaged, or this is not a journal; .* remove the file and begin anew"
    ):
        read(tmp_path / "j")


@pytest.mark.parametrize("text", ["hello\n", '{"format": "flame-metric bank 1"}\n', "[1]\n", "\n", "{}\nmore"])
def test_another_file_is_not_written_into(tmp_path: Path, text: str) -> None:
    (tmp_path / "j").write_text(text)
    with pytest.raises(StateError, match="not a journal"):
        read(tmp_path / "j")
    assert (tmp_path / "j").read_text() == text


def test_a_journal_of_another_kind(tmp_path: Path) -> None:
    written(tmp_path / "j")
    first = (tmp_path / "j").read_bytes().splitlines(keepends=True)[1]
    (tmp_path / "j").write_bytes(first)
    with pytest.raises(StateError, match="begins with another record, expected 'flame-metric journal 1'"):
        read(tmp_path / "j")


def test_another_configuration_is_refused_with_what_differs(tmp_path: Path) -> None:
    before = written(tmp_path / "j")
    with pytest.raises(
        StateError,
        match=r'is of another job \(fps: "50/3" / null, latency_ms: 76.5 / 80, new: null / 1: there / here\)',
    ):
        read(tmp_path / "j", {"classes": 19, "names": ("a", "b"), "latency_ms": 80, "new": 1})
    assert (tmp_path / "j").read_bytes() == before


def test_to_go_on_must_be_said(tmp_path: Path) -> None:
    written(tmp_path / "j")
    with pytest.raises(StateError, match=r"holds 3 finished sequence\(s\) already; resume from them \(--resume\)"):
        read(tmp_path / "j", resume=False)
    written(tmp_path / "empty", {})
    assert read(tmp_path / "empty", resume=False) == {}  # nothing is finished: nothing to decide


def test_each_sequence_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}) as journal:
        journal.add("a", {})
        with pytest.raises(StateError, match="sequence 'a' is in the journal already"):
            journal.add("a", {})
    line = (tmp_path / "j").read_bytes().splitlines(keepends=True)[1]
    with (tmp_path / "j").open("ab") as file:
        file.write(line)
    with pytest.raises(StateError, match="line 3 holds no sequence, or one that came before"):
        read(tmp_path / "j", {})


def test_one_process_at_a_time(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="files are locked on Unix alone")
    with (
        Journal(tmp_path / "j", {}),
        pytest.raises(StateError, match="is being written by another process"),
        Journal(tmp_path / "j", {}),
    ):
        pass
    assert read(tmp_path / "j", {}) == {}


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="missing/j: cannot be written: No such file or directory"):
        Journal(tmp_path / "missing" / "j", {})
    with pytest.raises(DatasetError, match="cannot be written: Is a directory"):
        Journal(tmp_path, {})
    with pytest.raises(ConfigError):
        Journal("", {})


# ── files that are not journals, disks that are full ──


@pytest.mark.parametrize("content", [b"precious", b"\x93NUMPY\x01\x00v\x00{", b'{"format":"x"}', b"\x00" * 64])
def test_a_file_without_a_line_is_not_taken_for_one_that_was_cut(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "j").write_bytes(content)
    with pytest.raises(StateError, match="is not a journal"):
        read(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == content


def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no pipes with names here")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/full"), Path("/dev/null")):  # /dev/full never ends when it is read
        with pytest.raises(DatasetError, match="is a pipe or a device, expected a file"):
            Journal(path, {})


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "j")
    written(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert read(tmp_path / "j") == RECORDS


@pytest.fixture
def full_disk():
    """From a call on, no file may grow beyond some bytes: what is written there ends in an error of the system."""
    resource = pytest.importorskip("resource", reason="there is no limit of file sizes here")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (before[0] if size is None else size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_what_is_finished(tmp_path: Path, full_disk) -> None:
    with Journal(tmp_path / "j", CONFIGURATION) as journal:
        journal.add("one", {"pairs": 3})
        before = (tmp_path / "j").read_bytes()
        full_disk(len(before) + 50)
        with pytest.raises(DatasetError, match=r"j: cannot be written: File too large"):
            journal.add("two", {"pairs": list(range(100))})
        assert (tmp_path / "j").read_bytes() == before  # no half of a line
        full_disk(None)
        journal.add("two", {"pairs": 4})
    assert read(tmp_path / "j") == {"one": {"pairs": 3}, "two": {"pairs": 4}}


def test_a_full_disk_from_the_beginning(tmp_path: Path, full_disk) -> None:
    full_disk(20)
    with pytest.raises(DatasetError, match=r"j: cannot be written: File too large"):
        Journal(tmp_path / "j", CONFIGURATION)
    full_disk(None)
    assert written(tmp_path / "j").count(b"\n") == 1 + len(RECORDS)


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch) -> None:
    fcntl = pytest.importorskip("fcntl", reason="files are locked on Unix alone")

    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(DatasetError, match="cannot be locked against other processes: No locks available; put the"):
        Journal(tmp_path / "j", {})


def test_a_system_without_locks_says_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("flame_metric.jobs.journal.HAS_LOCKS", False)
    with pytest.warns(FlameWarning, match="j: cannot be locked against other processes on this system; start only one"):
        Journal(tmp_path / "j", {}).close()


WITHOUT_LOCKS = """
import sys
sys.modules["fcntl"] = None  # as on Windows
from flame_metric.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_command_line_says_so_on_windows(tmp_path: Path) -> None:
    for folder in ("preds", "labels"):
        (tmp_path / folder / "clip").mkdir(parents=True)
        for frame in range(3):
            np.save(tmp_path / folder / "clip" / f"{frame}.npy", np.zeros((2, 2), np.uint8))
    folders = [str(tmp_path / name) for name in ("preds", "labels")]
    files = ["--journal", str(tmp_path / "j"), "--json", str(tmp_path / "a.json")]
    words = ["evaluate", *folders, "--num-classes", "2", "--fps", "10", "--frame-offset", "1", *files]
    command = [sys.executable, "-c", WITHOUT_LOCKS, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = f"flame-metric: warning: {tmp_path / 'j'}: cannot be locked against other processes on this system; start"
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if line.startswith(said)]
    assert (tmp_path / "a.json").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "j", "labels", "preds"]


def test_a_job_that_finished_nothing_leaves_nothing_to_decide(tmp_path: Path) -> None:
    written(tmp_path / "j", {})
    with pytest.raises(StateError, match="is of another job"):
        read(tmp_path / "j", {"classes": 20})
    assert read(tmp_path / "j", {"classes": 20}, resume=False) == {}
    assert read(tmp_path / "j", {"classes": 20}) == {}


def test_finished_sequences_come_first(tmp_path: Path) -> None:
    """Whoever forgets --resume is told so, and not that something else differs, such as a latency measured anew."""
    written(tmp_path / "j")
    with pytest.raises(StateError, match=r"holds 3 finished sequence\(s\) already; resume from them \(--resume\)"):
        read(tmp_path / "j", {"classes": 20}, resume=False)


def test_differences_are_told_by_their_place() -> None:
    there = {"a": {"b": {"c": 1, "d": [1, 2]}, "e": None}, "f": "x" * 99}
    here = {"a": {"b": {"c": 2, "d": [1, 2]}, "e": {"g": 1}}, "h": 0}
    assert list(differences(there, here)) == [
        "a.b.c: 1 / 2",
        'a.e: null / {"g": 1}',
        f'f: "{"x" * 36}... / null',
        "h: null / 0",
    ]
