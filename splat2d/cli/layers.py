"""`splat2d layers`: the layers of a .splat file, and what was done to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Optional

from splat2d.cli._marks import Positional, arg
from splat2d.cli._terminal import print_json


@dataclass(frozen=True)
class Layers:
    """List the layers of a .splat file, front to back: name, splats, bytes, box, edits."""

    file: Annotated[Positional[str], arg(metavar="FILE", help="The .splat file.")]
    as_json: Annotated[bool, arg(name="json", help="Print the layers as one JSON object.")] = False
    plot: Annotated[
        Optional[str], arg(metavar="OUT.png", help="Also draw the layers' outlines over the picture.")
    ] = None
    force: Annotated[bool, arg(help="Replace an existing plot.")] = False

    def run(self) -> None:
        """Print the table, and draw the plot if one is asked for."""
        from splat2d.cli._scene import open_document, open_drawable
        from splat2d.media.files import check_output

        if self.plot is not None:
            from splat2d.media.save import picture_format

            check_output(self.plot, force=self.force)
            picture_format(self.plot)
        document = open_document(self.file)
        rows = document.table()
        figures: dict[str, Any] = {"file": self.file, "layers": rows}
        if self.plot is not None:
            from splat2d.draw.outlines import plot_layers
            from splat2d.media.save import save_picture

            save_picture(plot_layers(open_drawable(self.file)), self.plot, force=self.force)
            figures["plot"] = self.plot
        if self.as_json:
            print_json(figures)
        else:
            _print_table(rows)


def _print_table(rows: list[dict[str, Any]]) -> None:
    """Print the layers, the frontmost first, as they lie over each other."""
    lines = [("name", "splats", "bytes", "box", "edits")]
    for row in reversed(rows):
        box = ",".join(f"{side:.4g}" for side in row["box"])
        edits = "; ".join(row["edits"]) or "none"
        lines.append((row["name"], _count(row["splats"]), f"{row['bytes']:,}", box, edits))
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    for name, splats, size, box, edits in lines:
        cells = (name.ljust(widths[0]), splats.rjust(widths[1]), size.rjust(widths[2]), box.ljust(widths[3]))
        print("  ".join((*cells, edits)))


def _count(splats: int | None) -> str:
    """Return a number of splats; a layer that moves has others in each of its segments."""
    return "moving" if splats is None else f"{splats:,}"
