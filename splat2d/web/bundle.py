"""The viewer's page as one file, with a .splat file in it or without."""

from __future__ import annotations

import base64
import html as markup
import json
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"

FILES = {
    "index.html": "text/html; charset=utf-8",
    "viewer.js": "text/javascript; charset=utf-8",
    "viewer.css": "text/css; charset=utf-8",
    "splat2d.wasm.gz": "application/wasm",
}
"""What the page is made of, and their types."""


def headers_of(name: str) -> dict[str, str]:
    """The headers that a file of the page is sent with: what a browser unpacks is compiled as it arrives."""
    encoding = {"Content-Encoding": "gzip"} if name.endswith(".gz") else {}
    return {"Content-Type": FILES[name], **encoding}


def page(server: dict[str, Any] | None = None) -> str:
    """The page, which loads the rest from beside it.

    Args:
        server: what its server can do, for its script; the file that it opens is on its way before that runs.
    """
    text = (STATIC / "index.html").read_text(encoding="utf-8")
    if server is None:
        return text
    # No text in JSON may end the element.
    told = json.dumps(server).replace("<", "\\u003c")
    text = text.replace(
        "</body>", f'<script type="application/json" id="splat2d-server">{told}</script>\n</body>'
    )
    if "open" not in server:
        return text
    opened = markup.escape(server["open"])
    return text.replace("</head>", f'<link rel="preload" href="{opened}" as="fetch" crossorigin>\n</head>')


def html(data: bytes, *, name: str = "picture.splat") -> str:
    """A page that needs nothing else and shows a file.

    Args:
        data: the whole .splat file.
        name: what the page calls it.

    Returns:
        The text of an HTML file: viewer and editor, decoder and picture, a third larger than these.
    """
    read = {file: (STATIC / file).read_text(encoding="utf-8") for file in ("viewer.js", "viewer.css")}
    script = read["viewer.js"].replace("</script", "<\\/script")
    wasm = base64.b64encode((STATIC / "splat2d.wasm.gz").read_bytes()).decode()
    shown, coded = markup.escape(name), base64.b64encode(data).decode()
    parts = {
        '<link rel="preload" href="splat2d.wasm.gz" as="fetch" crossorigin>\n': "",
        '<link rel="stylesheet" href="viewer.css">': f"<style>{read['viewer.css']}</style>",
        '<script type="module" src="viewer.js"></script>': (
            f'<script type="text/plain" id="splat2d-wasm">{wasm}</script>\n'
            f'<script type="text/plain" id="splat2d-data" data-name="{shown}">{coded}</script>\n'
            f'<script type="module">{script}</script>'
        ),
    }
    out = page()
    for old, new in parts.items():
        before, found, after = out.partition(old)
        if not found:
            raise ValueError(f"the page has no {old}")
        out = before + new + after
    return out
