"""Label maps in object stores and on servers (fsspec): ``s3://bucket/labels``, ``https://host/labels``, ...

A request that fails, stalls or ends early is made again, a few times; then it is an error. Folders are listed one by
one, since fsspec's own walk passes over those that it cannot list, which would make a score of what is left. What a web
server sends is bounded: a page is read as it comes, and no more bytes of a file than were announced.
Credentials and other options come from where fsspec takes them: its configuration files, environment variables, and
those of the store's own client.
"""

from __future__ import annotations

import asyncio
import codecs
import concurrent.futures
import io
import re
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from flame_metric.data.stored import (
    MOST_FILE_BYTES,
    READERS,
    StoredFile,
    check_name,
    empty_folder,
    limit_bytes,
    reading_threads,
)
from flame_metric.errors import ConfigError, DatasetError, MissingExtraError, cut

try:
    import aiohttp
    import fsspec
except ImportError as error:
    raise MissingExtraError(
        f"reading from object stores and servers needs {error.name}: pip install 'flame-metric[remote]'"
    ) from error

__all__ = ["Patience", "RemoteFolder", "hide_secrets", "open_remote", "open_remote_file"]

T = TypeVar("T")

_WEB = fsspec.get_filesystem_class("http")

_VERSIONS = (
    *("ETag", "etag", "Content-MD5", "Digest", "md5Hash"),
    *("Last-Modified", "LastModified", "last_modified", "mtime", "updated", "created"),
)
_FINAL_STATUS = frozenset(range(400, 500)) - {408, 425, 429}  # to ask again would change nothing
_PAGES = frozenset(["", ".asp", ".aspx", ".cgi", ".htm", ".html", ".jsp", ".php", ".shtml", ".xhtml"])
_NEXT_PAGE = frozenset(  # names in the query of a page that goes on with a list, where others sort it
    (
        *("after", "continuation", "continuation-token", "cursor", "from", "marker", "next", "offset", "p", "page"),
        *("pagetoken", "pg", "skip", "start", "start-after", "token"),
    )
)
_WITH_QUERY = "https?|abfss?|az|adl|wasbs?"  # elsewhere a question mark may be part of a name
_LINK_CHARS = 2000
_LINK = re.compile(  # in HTML, and addresses anywhere; of bounded length, so that a page can be read in parts
    rf"<a\s(?:[^<>]{{0,{_LINK_CHARS}}}?\s)?href=[\"']([^\"'<>]{{1,{_LINK_CHARS}}})[\"']"
    rf"|(https?://[-\w@:%.+~#?&/=]{{1,{_LINK_CHARS}}})",
    re.IGNORECASE | re.ASCII,
)
_LONGEST_LINK = 2 * _LINK_CHARS + 100
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_COMING: ContextVar[tuple[int, bool]] = ContextVar(
    "_COMING", default=(MOST_FILE_BYTES, False)
)  # bytes; were they said?
_BUFFER_BYTES = 2**16
_POLL_S = 0.5  # how soon Ctrl-C ends a request


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a store, and how often to ask it.

    Attributes
    ----------
    attempts : int
        Requests for one thing, all together.
    pause_s : float
        Seconds before the second one; each further pause is twice as long.
    timeout_s : float
        Seconds that a request for a file may take, if it is small.
    per_mib_s : float
        Seconds more for each MiB of the file.
    list_s : float
        Seconds that a list of files may take, which comes in many parts where there are many.
    list_all_s : float
        Seconds that the lists of all folders of a web server may take together.
    list_bytes, list_entries, list_pages : int
        What these lists may come to: bytes, links, and pages, one a folder.
    """

    attempts: int = 5
    pause_s: float = 0.5
    timeout_s: float = 30.0
    per_mib_s: float = 1.0
    list_s: float = 300.0
    list_all_s: float = 3600.0
    list_bytes: int = 2**29
    list_entries: int = 500_000
    list_pages: int = 50_000


@dataclass(frozen=True, eq=False)
class RemoteFolder:
    """A folder of a file system that fsspec knows.

    Attributes
    ----------
    system : fsspec.AbstractFileSystem
    root : str
        Of the folder, as the system calls it.
    address : str
        As it is shown: without passwords.
    patience : Patience
    """

    system: Any
    root: str
    address: str
    patience: Patience = field(default_factory=Patience)

    @property
    def name(self) -> str:
        """Its own name."""
        name = self.address.rstrip("/").rpartition("/")[2]
        return unquote(name) if _is_http(self.address) else name

    def __str__(self) -> str:
        """Return its address."""
        return self.address

    def __fspath__(self) -> str:
        """Return its address."""
        return self.address

    readers = READERS
    is_local = False

    def files(self) -> list[StoredFile]:
        """Return the files in it and one folder below."""
        self.system.invalidate_cache()
        bounds = _ListBounds(self.address, self.patience)
        with reading_threads(self.readers) as (pool, stop):
            files, folders = self._list(self.root, PurePosixPath(), bounds, stop)
            lists = [pool.submit(self._list, key, place, bounds, stop) for key, place in folders]
            done, _ = concurrent.futures.wait(lists, return_when=concurrent.futures.FIRST_EXCEPTION)
            below = [file for found in done for file in found.result()[0]]
            return sorted([*files, *below], key=lambda file: file.path.parts)

    def measure(self, file: StoredFile, stop: threading.Event) -> StoredFile:
        """Return a file with what the server says of it."""
        found = self._ask(lambda: self._call("info", file.key, stop, self.patience.timeout_s), file, stop)
        return replace(file, size=found.get("size"), version=_version(found))

    def read(self, file: StoredFile, stop: threading.Event) -> bytes:
        """Return what a file holds."""
        most = limit_bytes(file)
        size = most if file.size is None else file.size

        def request() -> bytes:
            if file.size is None and not isinstance(self.system, _WEB):
                return self._stream(file, most, stop)
            token = _COMING.set((size, file.size is not None))
            try:
                content: bytes = self._call("cat_file", file.key, stop, self._seconds(size))
            finally:
                _COMING.reset(token)
            if file.size is not None and len(content) != file.size:
                raise OSError(f"{len(content):,} of {file.size:,} bytes came")
            return content

        return self._ask(request, file, stop)

    def _seconds(self, size: int) -> float:
        return self.patience.timeout_s + self.patience.per_mib_s * size / 2**20

    def _stream(self, file: StoredFile, most: int, stop: threading.Event) -> bytes:
        """Read a file whose size is unknown: it may be endless."""
        begun = time.monotonic()
        with io.BytesIO() as content, self.system.open(file.key, "rb", block_size=0) as opened:
            while part := opened.read(2**20):
                content.write(part)
                if content.tell() > most:
                    raise _too_long(most, stated=False)
                if stop.is_set() or time.monotonic() - begun > self._seconds(content.tell()):
                    raise TimeoutError
            return content.getvalue()

    def _list(
        self, key: str, place: PurePosixPath, bounds: _ListBounds, stop: threading.Event
    ) -> tuple[list[StoredFile], list[tuple[str, PurePosixPath]]]:
        """Return the files in a folder, and its folders with their places."""
        where = f"{self.address}/{place}" if place.parts else self.address
        if (web := _web_system(self.system)) is not None:
            entries = self._ask(lambda: self._page(web, key, bounds, stop), where, stop)
        else:
            entries = self._ask(lambda: self._call("ls", key, stop, self.patience.list_s, detail=True), where, stop)
        files, folders = [], []
        for entry in entries:
            name = self._name(str(entry["name"]), key)
            if name is None:
                continue
            check_name(self, name)
            if entry["type"] == "directory":
                folders.append((str(entry["name"]), place / name))
            else:
                files.append(StoredFile(self, place / name, str(entry["name"]), entry.get("size"), _version(entry)))
        if _is_http(key):
            self._check_page(where, [str(entry["name"]) for entry in entries], files if place.parts else None, folders)
        elif place.parts and not files and not folders:
            raise empty_folder(where)
        return files, [folder for folder in folders if not folder[1].name.startswith(".")]

    def _page(self, web: Any, key: str, bounds: _ListBounds, stop: threading.Event) -> list[dict[str, Any]]:
        """Return the links on a page of a server, which lists a folder."""
        bounds.add(pages=1)
        request = partial(_read_page, web, key, bounds)
        links = _await_result(request, web.loop, min(self.patience.list_s, bounds.left_s()), stop)
        return [{"name": link, "type": "directory" if link.endswith("/") else "file"} for link in links]

    def _check_page(self, where: str, links: list[str], files: list[StoredFile] | None, folders: Sequence[Any]) -> None:
        """Refuse a page of a server that is not a whole list of a clip: what it leaves out would not be scored."""
        if files is not None and not folders and all(file.suffix.lower() in _PAGES for file in files):
            raise DatasetError(
                f"{where}: is a page without links to files, such as one that asks for a password; expected the list "
                "of a folder's files; remove the folder if it is empty",
                path=where,
            )
        more = [link for link in links if parse_qs(urlsplit(link).query, keep_blank_values=True).keys() & _NEXT_PAGE]
        if more:
            raise DatasetError(
                f"{where}: is one page of several: it links to {hide_secrets(more[0])}; expected all files on one page",
                path=where,
            )

    def _name(self, key: str, folder: str) -> str | None:
        """Return the name of an entry of a folder; None if it is none: the folder itself, a link on a page."""
        if _is_http(key):
            name = key.removeprefix(f"{folder.rstrip('/')}/").rstrip("/")
            if "/" in name or "?" in name or "#" in name:
                return None
            name = unquote(name)
        else:
            name = key.rstrip("/").rpartition("/")[2]
            if key.rstrip("/") == folder.rstrip("/"):
                return None
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            return None
        return name

    def _call(self, method: str, key: str, stop: threading.Event, seconds: float, **options: Any) -> Any:
        """Call a method of the system; one that is asynchronous may take its time and no longer."""
        system = self.system
        if not system.async_impl:
            return getattr(system, method)(key, **options)
        return _await_result(lambda: getattr(system, f"_{method}")(key, **options), system.loop, seconds, stop)

    def _ask(self, request: Callable[[], T], what: object, stop: threading.Event) -> T:
        return _insist(request, what, self.patience, stop)


class _ListBounds:
    """What the lists of a web server have come to, all together: no honest one comes near what is allowed."""

    def __init__(self, address: str, patience: Patience) -> None:
        self._address, self._patience = address, patience
        self._lock, self._begun = threading.Lock(), time.monotonic()
        self._found = {"bytes": 0, "entries": 0, "pages": 0}

    def add(self, **found: int) -> None:
        """Count what came; DatasetError if it is more than may come."""
        with self._lock:
            for what, number in found.items():
                self._found[what] += number
                most = getattr(self._patience, f"list_{what}")
                if self._found[what] > most:
                    raise self._error(f"more than {most:,} {what}")
        self.left_s()

    def left_s(self) -> float:
        """Return the seconds that are left; DatasetError if there are none."""
        left = self._begun + self._patience.list_all_s - time.monotonic()
        if left <= 0:
            raise self._error(f"more than {self._patience.list_all_s:,.0f} s")
        return left

    def _error(self, excess: str) -> DatasetError:
        return DatasetError(
            f"{self._address}: its lists of files come to {excess}, expected those of a data set; name a folder in "
            "it, or pack its files into a zip archive, which needs no lists",
            path=self._address,
        )


def open_remote(address: str, *, patience: Patience | None = None) -> RemoteFolder:
    """Open a folder of a store or server; nothing is asked of it yet.

    Parameters
    ----------
    address : str
        ``"s3://bucket/labels"``, ``"https://host/labels"``: a scheme that fsspec knows.
    patience : Patience, optional

    Raises
    ------
    ConfigError
        If there is no such scheme, or the address does not fit it.
    MissingExtraError
        If the scheme needs a package that is not installed.

    Examples
    --------
    >>> import fsspec
    >>> with fsspec.open("memory://maps/clip/0001.png", "wb") as file:
    ...     _ = file.write(b"...")
    >>> [str(file) for file in open_remote("memory://maps").files()]
    ['memory://maps/clip/0001.png']
    """
    system, root = _system(address)
    return RemoteFolder(system, root.rstrip("/"), hide_secrets(address).rstrip("/"), patience or Patience())


def open_remote_file(
    address: str, *, patience: Patience | None = None
) -> tuple[IO[bytes], str, Callable[[threading.Event], None]]:
    """Open a file of a store or server, to be read anywhere in it; reads that fail are tried again.

    Parameters
    ----------
    address, patience
        As :func:`open_remote` takes them.

    Returns
    -------
    file : binary file
    version : str
        A text that changes with the content, as far as the store tells.
    heed : callable
        Takes the event after which nothing is tried again.

    Raises
    ------
    ConfigError, MissingExtraError
        As :func:`open_remote` raises them.
    DatasetError
        If it is missing or cannot be read; each later read raises it too.
    """
    system, root = _system(address)
    file = _SteadyFile(system, root, hide_secrets(address), patience or Patience())
    return io.BufferedReader(file, _BUFFER_BYTES), file.version, file.heed


class _SteadyFile(io.RawIOBase):
    """A remote file whose reads are tried again."""

    def __init__(self, system: Any, root: str, address: str, patience: Patience) -> None:
        super().__init__()
        self._address, self._patience, self._position = address, patience, 0
        self._stop = threading.Event()
        self._file = self._ask(lambda: system.open(root, "rb"))
        self.version = _version(self._ask(lambda: system.info(root)))

    def heed(self, stop: threading.Event) -> None:
        self._stop = stop

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = self._file.seek(0, io.SEEK_END) if whence == io.SEEK_END else self._position if whence else 0
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        content = self._ask(lambda: self._part(len(buffer)))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        if not self.closed and hasattr(self, "_file"):
            self._file.close()
        super().close()

    def _part(self, length: int) -> bytes:
        try:
            self._file.seek(self._position)
            content: bytes = self._file.read(length)
        except ValueError as error:  # what fsspec raises where a server gives files only from their beginning
            raise DatasetError(
                f"{self._address}: cannot be read in parts: {_reason(error)}; simplecache::{self._address} fetches all "
                "of it first",
                path=self._address,
            ) from error
        return content

    def _ask(self, request: Callable[[], T]) -> T:
        return _insist(request, self._address, self._patience, self._stop)


def _system(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and what it calls the address."""
    try:
        system, root = fsspec.core.url_to_fs(address, **_options(address))
    except ImportError as error:
        raise MissingExtraError(f"{hide_secrets(address)}: {error}") from error
    except OSError as error:  # some file systems connect at once
        raise DatasetError(
            f"{hide_secrets(address)}: cannot be opened: {_reason(error)}", path=hide_secrets(address)
        ) from error
    except Exception as error:
        raise ConfigError(
            f"{hide_secrets(address)}: cannot be opened: {_reason(error)}; expected a folder, an archive, or an "
            "address that fsspec knows"
        ) from error
    return system, str(root)


def _options(address: str) -> dict[str, Any]:
    """Return what servers are asked with: content that is compressed on the way could grow without bound."""
    scheme = address.rpartition("::")[2].partition("://")[0]
    if scheme not in ("http", "https"):
        return {}
    configured = fsspec.config.conf.get(scheme, {}).get("client_kwargs", {})  # would be replaced, not completed
    client = {
        "timeout": aiohttp.ClientTimeout(total=None, sock_connect=Patience.timeout_s, sock_read=Patience.timeout_s),
        **configured,
        "headers": {**configured.get("headers", {}), "Accept-Encoding": "identity"},
        "auto_decompress": False,
        "response_class": _BoundedResponse,
    }
    return {scheme: {"client_kwargs": client}} if "::" in address else {"client_kwargs": client}


def _insist(request: Callable[[], T], what: object, patience: Patience, stop: threading.Event) -> T:
    """Make a request until it is answered, a few times."""
    for attempt in range(1, patience.attempts + 1):
        try:
            return request()
        except DatasetError:
            raise
        except Exception as raised:
            error = _true_error(raised)
            if isinstance(error, FileNotFoundError):
                raise DatasetError(f"{what}: is missing", path=str(what)) from error
            if attempt == patience.attempts or _is_final(error) or stop.wait(patience.pause_s * 2 ** (attempt - 1)):
                times = f" after {attempt} attempts" if attempt > 1 else ""
                cause = (
                    error if hide_secrets(str(error)) == str(error) else None
                )  # a traceback would show what is secret in it
                raise DatasetError(f"{what}: cannot be read{times}: {_reason(error)}", path=str(what)) from cause
    raise AssertionError("unreachable: the last attempt returns or raises")


def _true_error(error: Exception) -> Exception:
    """Return what is behind an error: of a server that fails, fsspec says that the file is missing."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and isinstance(cause, aiohttp.ClientError | TimeoutError):
        return error if getattr(cause, "status", 0) in (404, 410) else cause
    return error


def _is_final(error: Exception) -> bool:
    if getattr(error, "status", None) in _FINAL_STATUS:
        return True
    own = (
        ValueError | TypeError | AttributeError | _TooLongError
    )  # a scheme that is put together wrongly: no server was asked
    return isinstance(error, PermissionError | IsADirectoryError | NotADirectoryError | MemoryError | own)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError | concurrent.futures.TimeoutError):
        return "no answer came in time"
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return f"the server answers {status} {cut(str(getattr(error, 'message', '')))}".rstrip()
    return cut(hide_secrets(str(error).partition("\n")[0])) or type(error).__name__


def _await_result(
    request: Callable[[], Awaitable[T]], loop: asyncio.AbstractEventLoop, seconds: float, stop: threading.Event
) -> T:
    """Wait for an asynchronous request from a thread, and give it up when its time is over."""

    async def bounded() -> T:
        return await asyncio.wait_for(request(), seconds)

    future = asyncio.run_coroutine_threadsafe(bounded(), loop)
    try:
        while True:
            done, _ = concurrent.futures.wait([future], _POLL_S)
            if done:
                return future.result()
            if stop.is_set():
                raise TimeoutError
    finally:
        future.cancel()


def _web_system(system: Any) -> Any:
    """Return what asks a web server, also where something keeps its files; None for other systems."""
    return next((each for each in (system, getattr(system, "fs", None)) if isinstance(each, _WEB)), None)


async def _read_page(system: Any, url: str, bounds: _ListBounds) -> list[str]:
    """Return the addresses below a page that it links to, each once; the page is not kept."""
    session = await system.set_session()
    async with session.get(system.encode_url(url), **system.kwargs) as response:
        if response.status in (404, 410):
            raise FileNotFoundError(url)
        response.raise_for_status()
        if "Content-Type" in response.headers and response.content_type != "text/html":
            return []
        links: dict[str, None] = {}
        rest, decode = "", _decoder(response.charset)
        async for part in response.content.iter_chunked(_BUFFER_BYTES):
            bounds.add(bytes=len(part))
            rest = _take_links(rest + decode(part), url, links, bounds, ends=False)
        _take_links(rest, url, links, bounds, ends=True)
    return list(links)


def _decoder(charset: str | None) -> Callable[[bytes], str]:
    try:
        return codecs.getincrementaldecoder(charset or "utf-8")("ignore").decode
    except LookupError:
        return codecs.getincrementaldecoder("utf-8")("ignore").decode


def _take_links(text: str, url: str, links: dict[str, None], bounds: _ListBounds, *, ends: bool) -> str:
    """Add the links of a text that lead below an address; return its end, in which a link may have begun."""
    place = 0
    for found in _LINK.finditer(text):
        if found.end() == len(text) and not ends:  # it may be longer
            break
        place = found.end()
        link = _address_below(found[1] or found[2], url)
        if link is not None and link not in links:
            bounds.add(entries=1)
            links[link] = None
    return text[max(place, len(text) - _LONGEST_LINK) :]


def _address_below(link: str, url: str) -> str | None:
    """Return the address of a link if it leads below that of the page."""
    folder = f"{url.rstrip('/')}/"
    if link.startswith("/") and len(link) > 1:
        parts = urlsplit(url)
        link = f"{parts.scheme}://{parts.netloc}{link}"
    if _is_http(link):
        plain = link.partition("://")[2]  # a page of https may name http
        return link if plain.startswith(folder.partition("://")[2]) else None
    return None if link in ("..", "../") else folder + link.removeprefix("./").lstrip("/")


class _BoundedResponse(aiohttp.ClientResponse):  # type: ignore[misc]  # mypy does not look into aiohttp
    """An answer of which no more is read than was asked for, or than may come."""

    async def read(self) -> bytes:
        if self._body is not None:
            return self._body
        part = _RANGE.fullmatch(self.request_info.headers.get("Range", ""))
        most, stated = (int(part[2]) - int(part[1]) + 1, True) if part else _COMING.get()
        with io.BytesIO() as content:  # whose memory is free at its end, though an error may keep this frame
            try:
                async for chunk in self.content.iter_any():
                    content.write(chunk)
                    if content.tell() > most:
                        break
            except BaseException:
                self.close()
                raise
            if content.tell() > most:
                self.close()
                if self.ok:  # or it is the page of an error
                    raise _too_long(most, stated=stated)
            body = content.getvalue()
        self._body: bytes | None = body
        return body


class _TooLongError(Exception):
    """More comes than may."""


def _too_long(most: int, *, stated: bool) -> _TooLongError:
    cause = "it should have that many" if stated else "the server does not say how many there are (Content-Length)"
    return _TooLongError(f"more than {most:,} bytes come, and {cause}")


def hide_secrets(text: str) -> str:
    """Return an address without what is secret in it: user, password, signature.

    Examples
    --------
    >>> hide_secrets("https://me:secret@host/all.zip?signature=0123")
    'https://host/all.zip'
    """
    without_query = re.sub(rf"\b((?:{_WITH_QUERY})://[^\s?'\"]*)\?[^\s'\"]*", r"\1", text)
    return re.sub(r"(?<=://)[^/\s]*@", "", without_query)


def _is_http(key: str) -> bool:
    return key.startswith(("http://", "https://"))


def _version(entry: Mapping[str, Any]) -> str:
    return " ".join(str(entry[name]) for name in ("size", *_VERSIONS) if entry.get(name) is not None)
