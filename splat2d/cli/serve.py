"""`splat2d serve`: the .splat files of a folder by the IIIF Image API, for viewers of huge pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from splat2d.cli._arguments import in_range
from splat2d.cli._marks import Positional, arg


@dataclass(frozen=True)
class Serve:
    """Serve the .splat files of a folder: IIIF Image API 3.0 (level 2), the files, and the viewer's page."""

    folder: Annotated[Positional[str], arg(metavar="DIR", help="With .splat files, in it and below.")]
    host: Annotated[str, arg(metavar="ADDRESS", help="To listen on; 0.0.0.0 for other machines too.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, arg(metavar="N", help="To listen on; 0 for any that is free.")] = 8000
    max_pixels: Annotated[int, arg(metavar="N", help="Largest picture that is drawn for a request.")] = (
        1 << 24
    )

    def run(self) -> None:
        """Serve until Ctrl-C."""
        in_range(0, 65535, port=self.port)
        in_range(512 * 512, 1 << 28, max_pixels=self.max_pixels)
        from splat2d.web.serve import serve

        serve(self.folder, host=self.host, port=self.port, most=self.max_pixels)
