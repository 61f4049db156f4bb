"""`splat2d view`: the viewer and editor, in the browser of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Optional

from splat2d.cli._arguments import in_range
from splat2d.cli._marks import Positional, arg


@dataclass(frozen=True)
class View:
    """Open a .splat file in the browser: zoom, layers, edits, clips; pictures dropped there are encoded."""

    file: Annotated[
        Positional[Optional[str]], arg(metavar="FILE", help="The .splat file; none for an empty page.")
    ] = None
    port: Annotated[
        int, arg(metavar="N", help="To listen on, on this machine alone; 0 for any that is free.")
    ] = 0
    no_browser: Annotated[bool, arg(help="Print the page's address, and open no browser.")] = False

    def run(self) -> None:
        """Serve until Ctrl-C."""
        in_range(0, 65535, port=self.port)
        import threading
        import webbrowser

        from splat2d.web.local import LocalServer, serving

        with serving(LocalServer(self.file, port=self.port)) as url:
            print(f"{url} (Ctrl-C ends it)", flush=True)
            if not self.no_browser:
                webbrowser.open(url)
            threading.Event().wait()
