"""Object stores and servers: files are read whole or not at all, and a list that is not whole is not a list."""

import os
import threading
import traceback
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import PurePosixPath
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_server import FileServer
from flame_metric.data.stored import StoredFile
from flame_metric.errors import ConfigError, DatasetError, MissingExtraError

pytest.importorskip("aiohttp", reason="addresses need aiohttp")
fsspec = pytest.importorskip("fsspec", reason="addresses need fsspec")
remote = pytest.importorskip("flame_metric.data.remote", reason="addresses need fsspec and aiohttp")


def hasty(fault=""):
    """Ask three times without a pause; no time limit ends a request but one that waits for nothing."""
    seconds = 1 if fault == "stall" else 600
    return remote.Patience(attempts=3, pause_s=0.0, timeout_s=seconds, list_s=seconds)


def clear(system):
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")  # one for all tests, and for the examples of docstrings
    clear(system)
    yield system
    clear(system)


@pytest.fixture
def tree(tmp_path):
    for clip, frame in (("a", 1), ("a", 2), ("b clip", 1)):
        (tmp_path / "labels" / clip).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "labels" / clip / f"{frame:04}.npy", np.full((2, 3), frame, np.uint8))
    return tmp_path


@pytest.fixture
def server(tree):
    with FileServer(tree) as running:
        yield running


def opened(server, folder="labels", fault=""):
    return remote.open_remote(f"{server.address}/{folder}", patience=hasty(fault))


def test_a_store_in_memory(memory):
    for path in ("maps/b/2.npy", "maps/b/1.npy", "maps/0.npy", "maps/.git/3.npy", "maps/a/deep/4.npy", "other/5.npy"):
        memory.pipe_file(path, path.encode())
    folder = remote.open_remote("memory://maps/")
    files = folder.files()
    assert [str(file.path) for file in files] == ["0.npy", "b/1.npy", "b/2.npy"]
    assert (folder.name, str(folder), str(files[1])) == ("maps", "memory://maps", "memory://maps/b/1.npy")
    assert files[1].read() == b"maps/b/1.npy"
    before = files[1].version
    memory.pipe_file("maps/b/1.npy", b"longer than it was before")
    assert folder.files()[1].version != before


def test_a_store_that_has_changed_is_listed_anew(memory):
    memory.pipe_file("maps/1.npy", b"1")
    assert len(remote.open_remote("memory://maps").files()) == 1
    memory.pipe_file("maps/2.npy", b"2")
    assert len(remote.open_remote("memory://maps").files()) == 2


def test_a_file_that_is_gone_or_has_grown(memory):
    memory.pipe_file("maps/1.npy", b"1")
    (file,) = remote.open_remote("memory://maps", patience=hasty()).files()
    memory.pipe_file("maps/1.npy", b"12")
    with pytest.raises(DatasetError, match=r"1\.npy: cannot be read after 3 attempts: 2 of 1 bytes came"):
        file.read()
    memory.rm("maps/1.npy")
    with pytest.raises(DatasetError, match=r"memory://maps/1\.npy: is missing") as caught:
        file.read()
    assert caught.value.path == "memory://maps/1.npy"


def test_a_server(server, tree):
    files = opened(server).files()
    assert [str(file.path) for file in files] == ["a/0001.npy", "a/0002.npy", "b clip/0001.npy"]
    assert files[2].read() == (tree / "labels/b clip/0001.npy").read_bytes()
    asked = [files[0].measure(threading.Event()) for _ in range(2)]
    assert asked[0] == asked[1]
    assert asked[0].size == (tree / "labels/a/0001.npy").stat().st_size


def test_a_server_tells_when_a_file_has_changed(server, tree):
    file, stop = opened(server).files()[0], threading.Event()
    before = file.measure(stop).version
    os.utime(tree / "labels/a/0001.npy", (0, 0))
    assert file.measure(stop).version != before


@pytest.mark.parametrize("fault", ["500", "429", "cut", "reset", "stall"])
def test_what_fails_is_tried_again(server, tree, fault):
    server.faults["0002.npy"] = (fault, 2)
    file = opened(server, fault=fault).files()[1]
    assert file.read() == (tree / "labels/a/0002.npy").read_bytes()
    assert server.faults["0002.npy"] == (fault, 0)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("500", "the server answers 500 Internal Server Error"),
        ("cut", ""),
        ("reset", "Server disconnected"),
        ("stall", "no answer came in time"),
    ],
)
def test_a_limit_and_then_an_error(server, fault, reason):
    server.faults["0002.npy"] = (fault, None)
    file = opened(server, fault=fault).files()[1]
    with pytest.raises(DatasetError, match=rf"/labels/a/0002\.npy: cannot be read after 3 attempts: .*{reason}"):
        file.read()
    # The client by itself asks again, once, where a connection that was open has been closed.
    assert server.requests["GET", "/labels/a/0002.npy"] in ((3, 4, 5, 6) if fault == "reset" else (3,))


@pytest.mark.parametrize(("status", "message"), [("503", "the server answers 503"), ("403", "the server answers 403")])
def test_a_server_that_fails_has_lost_nothing(server, tree, status, message):
    """fsspec tells of any failure to ask for a file's size as of a file that is missing."""
    server.everything = True
    server.faults["0002.npy"] = (status, None)
    with pytest.raises(DatasetError, match=f"cannot be read.*{message}"):
        opened(server).files()[1].read()
    server.faults["0002.npy"] = ("503", 2)  # once its size, once itself
    assert opened(server).files()[1].read() == (tree / "labels/a/0002.npy").read_bytes()


def test_a_page_without_links_is_no_empty_folder(server):
    server.faults["/labels/b%20clip/"] = ("login", None)
    with pytest.raises(DatasetError, match=r"/labels/b clip: is a page without links to files, .* expected the list"):
        opened(server).files()


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ('<a href="login?next=x">log in</a>', "without links to files"),
        ('<a href="/login">log in</a>', "without links to files"),
        ('<a href="?C=N;O=D">Name</a><a href="../">Parent</a>', "without links to files"),
        ('<a href="index.html">i</a><a href="help.php">h</a>', "without links to files"),
        ('<a href="0001.npy">1</a><a href="?page=1">next</a>', "one page of several: it links to http://"),
        ('<a href="0001.npy">1</a><a href="?sort=name&marker=0001.npy">next</a>', "one page of several"),
    ],
)
def test_a_page_that_is_no_whole_list(server, page, problem):
    server.faults["/labels/b%20clip/"] = (page, None)
    with pytest.raises(DatasetError, match=f"/labels/b clip: is .*{problem}"):
        opened(server).files()


def test_links_that_sort_a_list_are_no_files(server):
    page = '<a href="?C=N;O=D">Name</a><a href="?sort=size&order=asc">Size</a><a href="../">..</a><a href="1.npy">1</a>'
    server.faults["/labels/b%20clip/"] = (page, None)
    assert [str(file.path) for file in opened(server).files()] == ["a/0001.npy", "a/0002.npy", "b clip/1.npy"]


def test_a_folder_without_files_is_not_passed_over(memory):
    memory.pipe("/maps/a/1.npy", b"1")
    memory.mkdir("/maps/b")
    with pytest.raises(DatasetError, match="memory://maps/b: is empty, expected label maps; remove the folder"):
        remote.open_remote("memory://maps").files()


def test_what_is_put_together_wrongly_is_not_tried_again(tmp_path):
    with pytest.raises(DatasetError, match=r"cannot be read: "):
        remote.open_remote(f"dir::file://{tmp_path}").files()


def test_what_is_final_is_asked_once(server):
    server.faults["0002.npy"] = ("403", None)
    with pytest.raises(DatasetError, match=r"cannot be read: the server answers 403 Forbidden"):
        opened(server).files()[1].read()
    assert server.requests["GET", "/labels/a/0002.npy"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["500", "cut", "reset", "stall"])
@pytest.mark.parametrize("folder", ["/labels/", "/labels/b%20clip/"])
def test_a_folder_that_cannot_be_listed_is_an_error(server, folder, fault):
    """fsspec's walk leaves such a folder out, and the score would be one of fewer labels."""
    if fault == "cut":  # a page is not a file
        server.give = lambda handler, _: handler.send_error(503)
    server.faults[folder] = (fault, 2)
    assert len(opened(server, fault=fault).files()) == 3
    server.faults[folder] = (fault, None)
    with pytest.raises(DatasetError, match="cannot be read after 3 attempts"):
        opened(server, fault=fault).files()


def test_a_folder_that_cannot_be_listed_ends_waiting_for_others(server):
    server.faults = {"/labels/a/": ("stall", None), "/labels/b%20clip/": ("403", None)}
    with pytest.raises(DatasetError, match="403") as raised:
        opened(server).files()
    for thread in threading.enumerate():
        if thread.name.startswith("reading"):
            thread.join(60)
            assert not thread.is_alive(), raised


def test_no_such_folder(server, memory):
    with pytest.raises(DatasetError, match=r"/nothing: is missing"):
        opened(server, "nothing").files()
    with pytest.raises(DatasetError, match="memory://nothing: is missing"):
        remote.open_remote("memory://nothing").files()


def test_sizes_that_nobody_tells(server):
    server.faults["0001.npy"] = ("unsized", None)
    files = opened(server).files()
    assert files[0].read() == files[0].read() != b""


def test_a_file_without_end(server, monkeypatch):
    server.faults["0001.npy"] = ("endless", None)
    monkeypatch.setattr("flame_metric.data.stored.AHEAD_BYTES", 300_000)
    message = r"0001\.npy: cannot be read: more than 300,000 bytes come, and the server does not say how many there are"
    with pytest.raises(DatasetError, match=message):
        opened(server).files()[0].read()
    assert server.requests["GET", "/labels/a/0001.npy"] == 2  # for its size, and for itself


def test_a_file_that_is_longer_than_announced(server, tree):
    server.faults["0001.npy"] = ("longer", None)
    size = (tree / "labels/a/0001.npy").stat().st_size
    message = rf"0001\.npy: cannot be read: more than {size} bytes come, and it should have that many"
    with pytest.raises(DatasetError, match=message):
        opened(server).files()[0].read()


def test_a_part_that_is_longer_than_it_should_be(server):
    server.faults["0001.npy"] = ("longer", None)
    file, _, _ = remote.open_remote_file(f"{server.address}/labels/a/0001.npy", patience=hasty())
    with file, pytest.raises(DatasetError, match=r"0001\.npy: cannot be read: more than \d+ bytes come, and it should"):
        file.read(8)


class Endless:
    """A system without asyncio, which knows no sizes."""

    async_impl = False

    @contextmanager
    def open(self, key, mode, block_size):
        yield SimpleNamespace(read=bytes)


def test_a_file_without_end_of_other_systems(monkeypatch):
    monkeypatch.setattr("flame_metric.data.stored.AHEAD_BYTES", 3 * 2**20)
    folder = remote.RemoteFolder(Endless(), "maps", "sftp://maps", hasty())
    with pytest.raises(DatasetError, match=r"1\.npy: cannot be read: more than 3,145,728 bytes come, and the server"):
        folder.read(StoredFile(folder, PurePosixPath("1.npy"), "maps/1.npy"), threading.Event())


def test_a_file_without_end_that_comes_slowly(monkeypatch):
    folder = remote.RemoteFolder(Endless(), "maps", "sftp://maps", remote.Patience(attempts=1, timeout_s=30))
    monkeypatch.setattr(remote, "time", SimpleNamespace(monotonic=count(step=20).__next__))
    with pytest.raises(DatasetError, match="no answer came in time"):
        folder.read(StoredFile(folder, PurePosixPath("1.npy"), "maps/1.npy"), threading.Event())


@pytest.mark.parametrize(
    ("fault", "bounds", "message"),
    [
        ("babble", {"list_bytes": 10**6}, r"more than 1,000,000 bytes, expected those of a data set; name a folder in"),
        ("links", {"list_bytes": 10**6}, "more than 1,000,000 bytes"),
        ("links", {"list_entries": 1000}, "more than 1,000 entries"),
    ],
)
@pytest.mark.parametrize("folder", ["/labels/", "/labels/b%20clip/"])
def test_a_list_without_end(server, fault, bounds, message, folder):
    server.faults[folder] = (fault, None)
    patience = remote.Patience(attempts=3, pause_s=0.0, timeout_s=600, list_s=600, **bounds)
    with pytest.raises(DatasetError, match=f"/labels: its lists of files come to {message}"):
        remote.open_remote(f"{server.address}/labels", patience=patience).files()
    assert server.requests["GET", folder] == 1


def test_a_list_without_end_whose_files_are_kept(server, tree):
    address = f"simplecache::{server.address}/labels"
    files = remote.open_remote(address, patience=hasty()).files()
    assert [str(file.path) for file in files] == ["a/0001.npy", "a/0002.npy", "b clip/0001.npy"]
    assert files[2].read() == (tree / "labels/b clip/0001.npy").read_bytes()
    server.faults["/labels/"] = ("babble", None)
    with pytest.raises(DatasetError, match=r"/labels: its lists of files come to more than 1,000,000 bytes, expected"):
        remote.open_remote(address, patience=replace(hasty(), list_bytes=10**6)).files()


def test_more_folders_than_may_be_asked_for(server):
    server.faults["/labels/"] = ("".join(f'<a href="{number}/">x</a>' for number in range(9)), None)
    server.faults["/"] = ('<a href="1.npy">x</a>', None)
    patience = replace(hasty(), list_pages=10)
    assert len(remote.open_remote(f"{server.address}/labels", patience=patience).files()) == 9
    with pytest.raises(DatasetError, match="/labels: its lists of files come to more than 9 pages"):
        remote.open_remote(f"{server.address}/labels", patience=replace(patience, list_pages=9)).files()


def test_lists_that_take_too_long_together(server, monkeypatch):
    monkeypatch.setattr(remote, "time", SimpleNamespace(monotonic=count(step=20).__next__))
    with pytest.raises(DatasetError, match=r"/labels: its lists of files come to more than 50 s, expected"):
        remote.open_remote(f"{server.address}/labels", patience=replace(hasty(), list_all_s=50)).files()


def test_a_list_without_end_takes_little_memory(server):
    """What is not a link is not kept, and neither is a link that came before."""
    server.faults["/labels/"] = ("babble", None)
    patience = remote.Patience(attempts=1, timeout_s=600, list_s=600, list_bytes=2**26)
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match="more than 67,108,864 bytes"):
            remote.open_remote(f"{server.address}/labels", patience=patience).files()
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


@given(st.lists(st.integers(1, 300), min_size=1, max_size=30), st.sampled_from(["ascii", "utf-8", "nonsense", None]))
def test_links_are_found_wherever_a_page_is_parted(cuts, charset):
    page = (
        b'<a href="1.npy">1</a> <A class="x"\nHREF=\'2.npy\'>2</A><a href="/m/3.npy">3</a> http://h/m/4.npy <a>'
        b'<a href="https://h/m/5.npy">5</a><a href="../">up</a><a href="./6%20a.npy">6</a><a href="http://other/m/7.npy">'
    )
    links, bounds, rest, place = {}, remote._ListBounds("x", remote.Patience()), "", 0
    decode = remote._decoder(charset)
    for cut in cuts:
        rest = remote._take_links(rest + decode(page[place : place + cut]), "http://h/m", links, bounds, ends=False)
        place += cut
    remote._take_links(rest + decode(page[place:]), "http://h/m", links, bounds, ends=True)
    found = {link.partition("://")[2].removeprefix("h/m/") for link in links}
    assert found == {"1.npy", "2.npy", "3.npy", "4.npy", "5.npy", "6%20a.npy"}


@pytest.mark.parametrize("text", ["<a " * 10**5, "<a" + " " * 10**5, "<a href='" + "x" * 10**5, "http://" * 10**5])
def test_links_are_looked_for_in_linear_time(text):
    """Each of these once took time that grew with the square of its length, or faster."""
    bounds = remote._ListBounds("x", remote.Patience())
    rest = remote._take_links(text, "http://h/m", {}, bounds, ends=False)
    assert len(rest) <= remote._LONGEST_LINK


def test_larger_than_any_label_map(memory, monkeypatch):
    monkeypatch.setattr("flame_metric.data.stored._MOST_BYTES", {".png": 10})
    memory.pipe_file("maps/1.png", bytes(11))
    (file,) = remote.open_remote("memory://maps").files()
    with pytest.raises(DatasetError, match=r"1\.png: has 11 bytes, expected at most 10"):
        file.read()


def test_nothing_is_tried_again_once_it_is_stopped(server):
    server.faults["0002.npy"] = ("500", None)
    file, stop = opened(server).files()[1], threading.Event()
    stop.set()
    with pytest.raises(DatasetError, match=r"0002\.npy: cannot be read: "):
        file.read(stop)
    assert server.requests["GET", "/labels/a/0002.npy"] == 1


def test_a_request_that_stalls_ends_when_it_is_stopped(server, monkeypatch):
    monkeypatch.setattr(remote, "_POLL_S", 0.01)
    server.faults["0002.npy"] = ("stall", None)
    file = replace(opened(server), patience=remote.Patience(timeout_s=3600)).files()[1]
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(file.read, stop)
        server.stalled.wait(60)
        stop.set()
        assert isinstance(reading.exception(60), DatasetError)


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("nothing://x", ConfigError, "nothing://x: cannot be opened: Protocol not known: nothing; expected a folder"),
        ("s3://bucket/labels", MissingExtraError, "s3://bucket/labels: Install s3fs"),
    ],
)
def test_addresses_that_cannot_be_opened(address, error, message):
    with pytest.raises(error, match=message):
        remote.open_remote(address)


def test_passwords_are_not_shown():
    assert remote.hide_secrets("ftp://me:secret@host/x") == "ftp://host/x"
    assert remote.hide_secrets("ftp://me:p@ss@host/x") == "ftp://host/x"
    assert remote.hide_secrets("abfs://container/x?sig=1") == "abfs://container/x"
    assert remote.hide_secrets("zip://a::https://u:p@host/x.zip?sig=1#z") == "zip://a::https://host/x.zip"
    assert remote.hide_secrets("s3://bucket/what?") == "s3://bucket/what?"
    reason = remote._reason(ValueError("no https://u:p@host/x?sig=1 here\nmore"))
    assert reason == "no https://host/x here"


def test_a_traceback_shows_no_signature(server):
    server.faults["signed=1"] = ("403", None)
    folder = remote.RemoteFolder(opened(server).system, f"{server.address}/labels?signed=1", "labels", hasty())
    with pytest.raises(DatasetError, match="labels: cannot be read: the server answers 403") as raised:
        folder.files()
    assert "signed" not in "".join(traceback.format_exception(raised.value))


def test_a_page_may_link_to_more_than_files(tmp_path):
    (tmp_path / "labels").mkdir()
    links = (
        "1.npy",
        "1.npy",
        "?C=N;O=D",
        "../",
        "sub/x.npy",
        "https://elsewhere/2.npy",
        "%2e%2e%2f3.npy",
        "#top",
        "4%20a.npy",
    )
    page = "".join(f'<a href="{link}">x</a>' for link in links)
    (tmp_path / "labels" / "index.html").write_text(page)
    with FileServer(tmp_path) as server:
        assert [file.name for file in opened(server).files()] == ["1.npy", "4 a.npy"]


def test_an_answer_that_is_packed_on_the_way_is_not_unpacked(server):
    """A few bytes could become gigabytes."""
    client = remote._options("https://host/x")["client_kwargs"]
    assert client["headers"] == {"Accept-Encoding": "identity"}
    assert client["auto_decompress"] is False
    assert client["response_class"] is remote._BoundedResponse
    assert remote._options("zip::https://host/x.zip") == {"https": {"client_kwargs": client}}
    assert remote._options("s3://bucket") == {}


def test_what_is_configured_for_servers_is_kept(monkeypatch):
    monkeypatch.setitem(fsspec.config.conf, "https", {"client_kwargs": {"trust_env": True, "headers": {"X-Key": "1"}}})
    client = remote._options("https://host/x")["client_kwargs"]
    assert client["trust_env"] is True
    assert client["headers"] == {"X-Key": "1", "Accept-Encoding": "identity"}


def test_names_longer_than_any_file_system_allows():
    with fsspec.open(f"memory://long/{'1' * 300}.png", "wb") as file:
        file.write(b"one")
    with pytest.raises(DatasetError, match=r"memory://long: holds a name of 304 characters, '1+'\.\., exp"):
        remote.open_remote("memory://long").files()
