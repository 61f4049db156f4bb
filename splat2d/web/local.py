"""The viewer on this machine: its page, one file, and encoding of pictures that are dropped on it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import splat2d
from splat2d.errors import BitstreamError, InputImageError, OutputError, Splat2dError
from splat2d.media.files import read_bytes
from splat2d.web.bundle import FILES, STATIC, headers_of, page

MAX_UPLOAD = 1 << 28
"""Largest picture that is taken, bytes."""

_TIMEOUT = 60  # s that a client may take for its next bytes
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' blob:; worker-src blob:; style-src 'self' "
    "'unsafe-inline'; img-src 'self' data: blob:; connect-src *; base-uri 'none'; frame-ancestors 'none'"
)


class LocalServer(ThreadingHTTPServer):
    """Serves the page on the loopback interface, to this machine alone.

    Args:
        path: a file that the page opens at once; None for none.
        port: to listen on; 0 for any that is free.

    Raises:
        BitstreamError: the file cannot be read.
        OutputError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, path: str | os.PathLike[str] | None = None, *, port: int = 0) -> None:
        if path is not None:
            read_bytes(path, error=BitstreamError)  # so that its faults are told before a browser opens
        self.path = path
        self.token = secrets.token_urlsafe(16)
        self.fitting = threading.Lock()
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as fault:
            raise OutputError(f"port {port} cannot be used ({fault.strerror}); choose another") from None

    @property
    def url(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    @property
    def told(self) -> dict[str, Any]:
        """What the page is told of its server."""
        told: dict[str, Any] = {"encode": "/encode", "group": "/group", "token": self.token}
        if self.path is not None:
            told["open"] = "/file/" + quote(os.path.basename(self.path), safe="")
        return told

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _TIMEOUT

    @property
    def own(self) -> LocalServer:
        """The server of this request."""
        assert isinstance(self.server, LocalServer)
        return self.server

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the terminal is the user's."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not self._is_own():
            return self._refuse(403, "this page is of this machine alone")
        if path == "/":
            return self._send(page(self.own.told).encode(), headers_of("index.html"))
        if path[1:] in FILES and path != "/index.html":
            return self._send((STATIC / path[1:]).read_bytes(), headers_of(path[1:]))
        if self.own.path is not None and path == self.own.told["open"]:
            try:
                data = read_bytes(self.own.path, error=BitstreamError)
                return self._send(data, {"Content-Type": "application/octet-stream"})
            except Splat2dError as fault:
                return self._refuse(404, str(fault))
        self._refuse(404, "no such page")

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        # Other pages cannot know the token, and browsers ask before they send such a header for them.
        token = self.headers.get("X-Splat2d", "")
        if not (self._is_own() and secrets.compare_digest(token.encode(), self.own.token.encode())):
            return self._refuse(403, "this page is of this machine alone")
        fit = {"/encode": _encoded, "/group": _grouped}.get(url.path)
        if fit is None:
            return self._refuse(404, "no such page")
        length, query = self.headers.get("Content-Length", ""), parse_qs(url.query)
        if not (length.isdigit() and 0 < int(length) <= MAX_UPLOAD):
            return self._refuse(413, f"expected a picture of at most {MAX_UPLOAD:,} bytes")
        numbers = {name: query.get(name, [least])[0] for name, least in (("quality", "75"), ("splat", "0"))}
        if not all(re.fullmatch(r"[0-9]{1,9}", number) for number in numbers.values()):
            return self._refuse(400, "quality and splat are numbers")
        if not 1 <= int(numbers["quality"]) <= 100:
            return self._refuse(400, f"the quality is {numbers['quality']}, expected 1 to 100")
        data = self.rfile.read(int(length))
        if not self.own.fitting.acquire(blocking=False):
            return self._refuse(503, "another picture is being fitted")
        try:
            asked = {name: int(number) for name, number in numbers.items()}
            self._fit(lambda progress: fit(data, progress, name=query.get("name", [""])[0], **asked))
        finally:
            self.own.fitting.release()

    def _fit(self, make: Callable[[Any], bytes]) -> None:
        """Answer with lines of JSON, and behind the last with the file."""
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.end_headers()

        def line(**told: Any) -> None:
            self.wfile.write(json.dumps(told).encode() + b"\n")
            self.wfile.flush()

        def progress(now: Any) -> None:
            # A client that went away ends the fit here.
            line(share=round(now.fraction, 3), text=f"{now.psnr:.1f} dB, about {now.estimated_bytes:,} bytes")

        try:
            coded = make(progress)
        except Splat2dError as fault:
            return line(error=str(fault))
        line(size=len(coded))
        self.wfile.write(coded)

    def _is_own(self) -> bool:
        """Whether the request was meant for this server, by the name it was asked under and by its page."""
        port = self.own.server_address[1]
        names = {f"127.0.0.1:{port}", f"localhost:{port}"}
        origin = self.headers.get("Origin")
        return self.headers.get("Host") in names and origin in (None, *(f"http://{name}" for name in names))

    def _send(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, why: str) -> None:
        self._send(why.encode(), {"Content-Type": "text/plain; charset=utf-8"}, status)


def _picture(data: bytes) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(io.BytesIO(data))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        raise InputImageError("it is no picture that can be read") from None


def _encoded(data: bytes, progress: Any, *, quality: int, **_: Any) -> bytes:
    """A picture's file."""
    return splat2d.encode(_picture(data), quality=quality, progress=progress)


def _grouped(data: bytes, progress: Any, *, splat: int, name: str, **_: Any) -> bytes:
    """A file of one layer, cut in two by a mask: a picture behind the file's bytes."""
    import numpy as np

    from splat2d.scene.picture import Scene

    mask = np.asarray(_picture(data[splat:]).convert("L"))
    return splat2d.group(Scene.from_bytes(data[:splat]), name, mask=mask, progress=progress).to_bytes()


@contextlib.contextmanager
def serving(server: LocalServer) -> Iterator[str]:
    """Serve while the block runs, from a thread; gives the page's URL."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
