"""A web server on this machine that lists folders and gives files, and fails where a test wants it to."""

import contextlib
import threading
from collections import Counter
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path


class FileServer:
    """Serve a folder; ``faults`` maps the end of a path to (what goes wrong, how often: None for always).

    "500", "403", "429" are answered instead; "cut" promises more bytes than come; "reset" closes the connection;
    "stall" says nothing until the server is stopped; "endless" gives no size and never ends; "unsized" gives no size;
    "babble" is a page without end, "links" one of links; "longer" gives more than it says when it is asked for its
    size, or for a part;
    "login" is a page without links, and what begins with "<" is a page.
    """

    def __init__(self, root):
        self.faults, self.requests = {}, Counter()
        self.stalled, self.released = threading.Event(), threading.Event()
        outer = self

        class Handler(SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(root))

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                outer.answer(self, super().do_HEAD)

            def do_GET(self):
                outer.answer(self, super().do_GET)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.lock = threading.Lock()
        self.everything = False  # whether faults are those of HEAD too

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def fault(self, command, path):
        """Return what goes wrong with this request, if anything does."""
        with self.lock:
            self.requests[command, path] += 1
            for end, (kind, times) in self.faults.items():
                if (
                    path.endswith(end)
                    and times != 0
                    and (command == "GET" or self.everything or kind in ("endless", "unsized", "longer"))
                ):
                    self.faults[end] = (kind, None if times is None else times - 1)
                    return kind
        return None

    def answer(self, handler, usual):
        kind = self.fault(handler.command, handler.path)
        if kind is None:
            usual()
        elif kind.isdigit():
            handler.send_error(int(kind))
        elif kind == "stall":
            self.stalled.set()
            self.released.wait()
            handler.close_connection = True
        elif kind == "login" or kind.startswith("<"):
            page = b"Please log in" if kind == "login" else kind.encode()
            handler.send_response(200)
            handler.send_header("Content-Type", "text/html")
            handler.send_header("Content-Length", str(len(page)))
            handler.end_headers()
            handler.wfile.write(page)
        elif kind == "reset":
            handler.close_connection = True
        else:
            self.give(handler, kind)

    def give(self, handler, kind):
        is_page = kind in ("babble", "links")
        content = b"" if is_page else Path(handler.translate_path(handler.path)).read_bytes()
        part = handler.headers.get("Range") if kind == "longer" else None
        handler.send_response(206 if part else 200)
        handler.send_header("Connection", "close")  # or the client may use it for its next request
        handler.close_connection = True
        if is_page:
            handler.send_header("Content-Type", "text/html")
        if kind == "cut" or (kind == "longer" and handler.command == "HEAD"):
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        with contextlib.suppress(OSError):  # the client may have gone
            if kind == "cut":
                handler.wfile.write(content[: len(content) // 2])
            elif kind == "unsized":
                handler.wfile.write(content)
            while kind in ("endless", "longer"):
                handler.wfile.write(bytes(2**16))
            for number in count() if is_page else ():
                page = "babble " * 9000 if kind == "babble" else f'<a href="{number}.npy">{number}</a>\n'
                handler.wfile.write(page.encode())

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
