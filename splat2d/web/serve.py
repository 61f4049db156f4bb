"""A server of a folder of .splat files: IIIF Image API 3.0, the files themselves, and the viewer's page."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from splat2d.errors import BackendUnavailableError, ConfigError, OutputError, Splat2dError
from splat2d.web.bundle import FILES, STATIC, headers_of, page
from splat2d.web.iiif import FORMATS, info, parse
from splat2d.web.store import Entry, Store

if TYPE_CHECKING:
    from starlette.applications import Starlette

MOST_PIXELS = 1 << 24
"""Of a picture that is asked for, unless told otherwise."""

WORKERS = 4  # pictures that are drawn at a time
WAITING = 256  # requests that wait for them; others are sent away
PATIENCE = 30  # s that a request waits

_PROFILE = '<http://iiif.io/api/image/3/level2.json>;rel="profile"'
_OPEN = {"Access-Control-Allow-Origin": "*", "X-Content-Type-Options": "nosniff"}


def application(root: str | os.PathLike[str], *, most: int = MOST_PIXELS) -> Starlette:
    """The ASGI application.

    Args:
        root: a folder of .splat files.
        most: pixels of a picture that is asked for.

    Raises:
        BackendUnavailableError: the extra "serve" is not installed.
        InputImageError: there is no such folder.
    """
    try:
        import anyio
        import anyio.to_thread
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import (
            FileResponse,
            JSONResponse,
            PlainTextResponse,
            RedirectResponse,
            Response,
        )
        from starlette.routing import Route
    except ImportError:
        raise BackendUnavailableError(
            "the server needs starlette and uvicorn; install them with: pip install 'splat2d[serve]'"
        ) from None
    store = Store(root)
    limiter = anyio.CapacityLimiter(WORKERS)

    async def worked(function: Any, *arguments: Any) -> Any:
        """What a function gives, from a thread; None where too many wait, or it takes too long."""
        if limiter.statistics().tasks_waiting >= WAITING:
            return None
        with anyio.move_on_after(PATIENCE):
            call = functools.partial(function, *arguments)
            return await anyio.to_thread.run_sync(call, limiter=limiter, abandon_on_cancel=True)
        return None

    def refused(status: int, why: str) -> Response:
        return PlainTextResponse(f"{why}\n", status, headers=_OPEN)

    def busy() -> Response:
        response = refused(503, "too much is asked for at once")
        response.headers["Retry-After"] = "2"
        return response

    def told(entry: Entry, kind: str) -> dict[str, str]:
        from email.utils import formatdate

        tag = f'"{entry.tag}-{kind}"'
        modified = formatdate(int(entry.modified), usegmt=True)
        return {
            **_OPEN,
            "ETag": tag,
            "Last-Modified": modified,
            "Cache-Control": "public, max-age=0, must-revalidate",
        }

    def unchanged(request: Request, headers: dict[str, str], entry: Entry) -> bool:
        from email.utils import parsedate_to_datetime

        tags = request.headers.get("If-None-Match")
        if tags is not None:
            given = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
            return "*" in given or headers["ETag"] in given
        since = request.headers.get("If-Modified-Since")
        if since is None:
            return False
        try:
            return int(entry.modified) <= parsedate_to_datetime(since).timestamp()
        except (ValueError, TypeError, OverflowError):
            return False

    def address(request: Request, name: str) -> str:
        return f"{str(request.base_url).rstrip('/')}/iiif/{quote(name, safe='')}"

    async def about(request: Request, name: str, entry: Entry) -> Response:
        headers = told(entry, "info")
        headers["Link"] = _PROFILE
        if unchanged(request, headers, entry):
            return Response(status_code=304, headers=headers)
        try:
            size = await worked(store.size, entry)
        except (Splat2dError, OSError) as fault:
            return refused(500, f"the file cannot be read: {fault}")
        if size is None:
            return busy()
        wants = "application/ld+json" in request.headers.get("Accept", "")
        kind = 'application/ld+json;profile="http://iiif.io/api/image/3/context.json"'
        response = JSONResponse(info(address(request, name), *size, most=most), headers=headers)
        if wants:
            response.headers["Content-Type"] = kind
        return response

    async def image(request: Request) -> Response:
        # From the bytes of the address: a name with folders in it is one part, its slashes written %2F.
        path = request.scope.get("raw_path", b"").split(b"?")[0].decode("ascii", "replace")
        name, *parts = (unquote(part) for part in path.split("/iiif/", 1)[-1].split("/"))
        entry = store.entry(name)
        if entry is None:
            return refused(404, "no such picture")
        if parts in ([], [""]):
            return RedirectResponse(f"{address(request, name)}/info.json", 303, headers=_OPEN)
        if parts == ["info.json"]:
            return await about(request, name, entry)
        if len(parts) != 4:
            return refused(400, "expected region/size/rotation/quality.format, or info.json")
        return await picture(request, name, entry, parts)

    async def picture(request: Request, name: str, entry: Entry, parts: list[str]) -> Response:
        try:
            size = await worked(store.size, entry)
            if size is None:
                return busy()
            asked = parse(*size, *parts, most=most)
            headers = told(entry, quote(asked.canonical, safe="").replace("%", "."))
            headers["Link"] = f'<{address(request, name)}/{asked.canonical}>;rel="canonical",{_PROFILE}'
            if unchanged(request, headers, entry):
                return Response(status_code=304, headers=headers)
            data = store.find(entry, asked) or await worked(store.draw, entry, asked)
        except ConfigError as fault:
            return refused(400, str(fault))
        except (Splat2dError, OSError) as fault:
            return refused(500, f"the file cannot be read: {fault}")
        return busy() if data is None else Response(data, media_type=FORMATS[asked.format], headers=headers)

    async def file(request: Request) -> Response:
        entry = store.entry(request.path_params["name"])
        if entry is None:
            return refused(404, "no such file")
        return FileResponse(entry.path, media_type="application/octet-stream", headers=_OPEN)

    async def viewer(request: Request) -> Response:
        part = request.path_params.get("part") or "index.html"
        if part not in FILES:
            return refused(404, "no such page")
        body = page().encode() if part == "index.html" else (STATIC / part).read_bytes()
        return Response(body, headers={**_OPEN, **headers_of(part)})

    async def listing(request: Request) -> Response:
        names = await worked(store.names)
        if names is None:
            return busy()
        root = str(request.base_url).rstrip("/")
        files = [
            {
                "name": name,
                "image": address(request, name),
                "file": f"{root}/file/{quote(name)}",
                "view": f"{root}/view/?src=../file/{quote(quote(name))}",
            }
            for name in names
        ]
        return JSONResponse(files, headers=_OPEN)

    routes = [
        Route("/", listing),
        Route("/view/", viewer),
        Route("/view/{part}", viewer),
        Route("/file/{name:path}", file),
        Route("/iiif/{rest:path}", image),
    ]
    return Starlette(routes=routes)


def serve(root: str | os.PathLike[str], *, host: str, port: int, most: int = MOST_PIXELS) -> None:
    """Serve a folder until the process is interrupted.

    Args:
        root: a folder of .splat files.
        host: the address to listen on.
        port: to listen on.
        most: pixels of a picture that is asked for.

    Raises:
        BackendUnavailableError: the extra "serve" is not installed.
        InputImageError: there is no such folder.
        OutputError: the port is taken.
    """
    import socket

    app = application(root, most=most)
    import uvicorn

    try:
        listening = socket.create_server((host, port))
    except (OSError, OverflowError) as fault:
        raise OutputError(f"{host}:{port} cannot be used ({fault}); choose another") from None
    with listening:
        print(f"http://{host}:{listening.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
        # Slow clients hold a connection, not a worker: pictures are drawn before a byte is sent.
        settings = uvicorn.Config(
            app, log_level="warning", limit_concurrency=1024, timeout_keep_alive=15, server_header=False
        )
        uvicorn.Server(settings).run(sockets=[listening])
