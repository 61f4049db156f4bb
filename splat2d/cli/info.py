"""`splat2d info`: what a .splat file holds, and where its bits go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Optional

from splat2d.cli._marks import Positional, arg
from splat2d.cli._stdio import piped
from splat2d.cli._terminal import print_json


@dataclass(frozen=True)
class Info:
    """Tell what a .splat file holds: size, splats, bits by attribute, tiers, quality."""

    file: Annotated[Positional[str], arg(metavar="FILE", help="The .splat file; - for standard input.")]
    as_json: Annotated[bool, arg(name="json", help="Print all figures as one JSON object.")] = False
    plot: Annotated[
        Optional[str], arg(metavar="OUT.png", help="Also draw the splats' ellipses over the picture.")
    ] = None
    force: Annotated[bool, arg(help="Replace an existing plot.")] = False
    verify: Annotated[
        bool,
        arg(help="Also code all splats anew with another range coder; the bytes must be those of the file."),
    ] = False

    def run(self) -> None:
        """Print the figures, and draw the plot if one is asked for."""
        with piped(self, input="file", output=None) as command:
            command._tell()

    def _tell(self) -> None:
        from splat2d.cli._scene import open_drawable
        from splat2d.media.files import check_output
        from splat2d.scene.picture import Scene

        if self.plot is not None:
            from splat2d.media.save import picture_format

            check_output(self.plot, force=self.force)
            picture_format(self.plot)
        drawable = open_drawable(self.file, count_bits=True, skip_damaged=True)
        if isinstance(drawable, Scene):
            figures = {"file": self.file, **drawable.info()}
        else:
            figures = {"file": self.file, **drawable.info(count_bits=True)}
        if self.verify:
            from splat2d.codec.oracle import verify

            figures["verified"] = verify(drawable.document)
        if self.plot is not None:
            from splat2d.draw.outlines import plot_ellipses
            from splat2d.media.save import save_picture

            save_picture(plot_ellipses(drawable), self.plot, force=self.force)
            figures["plot"] = self.plot
        if self.as_json:
            print_json(figures)
        else:
            for name, value in figures.items():
                print(f"{name.replace('_', ' '):<16} {_text(value)}")


def _text(value: Any) -> str:
    """Return a figure as a person reads it."""
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_text(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(inner) for inner in value) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else str(value)
