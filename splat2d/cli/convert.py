"""`splat2d convert`: a .splat file in other programs' formats, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Optional

from splat2d.cli._arguments import UsageError, in_range
from splat2d.cli._marks import Positional, arg
from splat2d.cli._terminal import print_json, warn


@dataclass(frozen=True)
class Convert:
    """Convert a .splat file to SVG, PLY of 3D viewers, layered ORA or PSD, or arrays; or arrays to .splat.

    What the other format cannot show is said. Flat pictures and video files are made by decode.
    """

    input: Annotated[Positional[str], arg(metavar="INPUT", help="A .splat file, or .npz that it became.")]
    output: Annotated[
        Positional[str], arg(metavar="OUTPUT", help=".svg, .ply, .ora, .psd or .npz; of an .npz .splat.")
    ]
    time: Annotated[Optional[float], arg(metavar="S", help="The moment of a clip to show, in seconds.")] = (
        None
    )
    force: Annotated[bool, arg(help="Replace an existing OUTPUT.")] = False
    as_json: Annotated[bool, arg(name="json", help="Print figures as one JSON object.")] = False

    def run(self) -> None:
        """Write the file, print one line, warn of what is lost."""
        in_range(0, time=self.time)
        from splat2d.convert.formats import IMPORTS, PAINTED, check_export, export, load, suffix_of
        from splat2d.media.files import check_output, write_atomic

        check_output(self.output, force=self.force)
        if suffix_of(self.input) in IMPORTS:
            if suffix_of(self.output) != ".splat":
                raise UsageError(f"{suffix_of(self.input)} is converted to .splat only")
            if self.time is not None:
                raise UsageError("--time is for clips, and this is a picture")
            data = load(self.input)
            with write_atomic(self.output, force=self.force) as file:
                file.write(data)
            return self._tell(())
        check_export(self.output)
        from splat2d.cli._scene import limits_of, open_drawable

        options = {"limits": limits_of()} if suffix_of(self.output) in PAINTED else {}
        drawable = open_drawable(self.input, **options)
        if drawable.document.is_clip and self.time is None:
            raise UsageError("this is a clip, of which a moment can be converted: give a --time")
        if not drawable.document.is_clip and self.time is not None:
            raise UsageError("--time is for clips, and this is a picture")
        notes = export(drawable, self.output, time=self.time or 0, force=self.force)
        warn(notes)
        self._tell(notes)

    def _tell(self, notes: tuple[str, ...]) -> None:
        import os

        size = os.path.getsize(self.output)
        if self.as_json:
            print_json({"input": self.input, "output": self.output, "size": size, "notes": notes})
        else:
            print(f"{self.output}: {size:,} bytes")
