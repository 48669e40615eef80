"""Temporary files: what a killed process leaves is removed by the next one, and what another one holds is not."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from flame_metric.core import temporary
from flame_metric.core.files import check_writable, write_whole
from flame_metric.core.temporary import open_temporary, remove_left_files, temporary_folder

needs_locks = pytest.mark.skipif(not temporary.HAS_LOCKS, reason="files are locked on Unix only")

KILLED_FILE = """
import os, signal, sys
from pathlib import Path
from flame_metric.core import files

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

files.os.fsync = kill
files.write_whole(Path(sys.argv[1]), b"half of it")
"""
KILLED_FOLDER = """
import os, signal
from flame_metric.core.temporary import temporary_folder

with temporary_folder() as folder:
    (folder / "journal").write_bytes(b"lines")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def run_and_kill(program, *words):
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.strip()


@needs_locks
def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_there(tmp_path):
    for _ in range(2):
        run_and_kill(KILLED_FILE, tmp_path / "result.json")
    assert len(names(tmp_path)) == 1  # the second one removed what the first had left
    (tmp_path / ".result.json.mine").write_bytes(b"of another program")
    (tmp_path / "x.flame-metric").write_bytes(b"not hidden: nothing that this package writes")
    write_whole(tmp_path / "other.npz", b"whole")
    assert names(tmp_path) == [".result.json.mine", "other.npz", "x.flame-metric"]


@needs_locks
def test_what_another_process_writes_is_left(tmp_path):
    path, stream = open_temporary(tmp_path / "a.json")
    with stream:
        write_whole(tmp_path / "b.json", b"b")
        remove_left_files(tmp_path)
        assert names(tmp_path) == [path.name, "b.json"]
    remove_left_files(tmp_path)
    assert names(tmp_path) == ["b.json"]


@needs_locks
def test_a_file_that_was_removed_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    """Between making and locking it another process may take it for one that was left."""
    lock, calls = temporary.try_lock, []

    def remove_first(stream, *, wait=False):
        if not calls:
            (left,) = tmp_path.iterdir()
            left.unlink()
        calls.append(stream)
        return lock(stream, wait=wait)

    monkeypatch.setattr(temporary, "try_lock", remove_first)
    path, stream = open_temporary(tmp_path / "a.json")
    stream.close()
    assert len(calls) == 2
    assert path.exists()


def test_without_locks_nothing_is_removed_that_may_be_held(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no locks")

    (tmp_path / ".a.json.123.flame-metric").write_bytes(b"")
    monkeypatch.setattr(temporary, "try_lock", refuse)
    write_whole(tmp_path / "a.json", b"whole")
    assert names(tmp_path) == [".a.json.123.flame-metric", "a.json"]


@needs_locks
def test_links_and_pipes_of_others_are_left(tmp_path, monkeypatch):
    """Whoever else may write into the folder must not make this package wait, or remove something elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "lock").write_bytes(b"kept")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / ".link.flame-metric").symlink_to(tmp_path / "elsewhere" / "lock")
    os.mkfifo(tmp_path / "shared" / ".pipe.flame-metric")
    (tmp_path / "shared" / ".folder.flame-metric").mkdir()
    (tmp_path / "shared" / "flame-metric-x").symlink_to(tmp_path / "elsewhere")
    before = names(tmp_path / "shared")
    remove_left_files(tmp_path / "shared")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "shared"))
    with temporary_folder():
        pass
    assert names(tmp_path / "shared") == before
    assert (tmp_path / "elsewhere" / "lock").read_bytes() == b"kept"


@needs_locks
def test_folders_of_killed_processes_are_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    left = Path(run_and_kill(KILLED_FOLDER))
    assert left.parent == tmp_path
    (tmp_path / "flame-metric-mine").mkdir()  # without a lock it is of somebody else
    with temporary_folder() as mine:
        assert names(tmp_path) == sorted(["flame-metric-mine", mine.name])
        with temporary_folder() as other:
            assert mine.exists()
            assert other != mine
    assert names(tmp_path) == ["flame-metric-mine"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/a.json", "its folder does not exist"),
        ("folder", "it is a folder"),
        ("locked.json", "it is read-only"),
        ("x" * 256, "File name too long"),
        ("file/a.json", "its folder does not exist"),
        ("a\0b", "null"),
    ],
)
def test_what_cannot_be_written_is_known_before(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "locked.json").write_bytes(b"kept")
    (tmp_path / "locked.json").chmod(0o444)
    before = names(tmp_path)
    with pytest.raises(OSError, match=message):
        check_writable(tmp_path / name)
    assert names(tmp_path) == before


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127])
def test_the_longest_name_can_be_written(tmp_path, name):
    check_writable(tmp_path / name)
    write_whole(tmp_path / name, b"content")
    assert names(tmp_path) == [name]


def test_what_can_be_written_is_left_as_it_is(tmp_path):
    (tmp_path / "a.json").write_bytes(b"yesterday")
    (tmp_path / "link.json").symlink_to(tmp_path / "a.json")
    for path in (tmp_path / "a.json", tmp_path / "link.json", tmp_path / "new.json", Path(os.devnull)):
        check_writable(path)
    assert names(tmp_path) == ["a.json", "link.json"]
    assert (tmp_path / "a.json").read_bytes() == b"yesterday"
