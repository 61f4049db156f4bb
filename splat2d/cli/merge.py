"""`splat2d merge`: the layers of one .splat file in front of those of another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

from splat2d.cli._arguments import parse_numbers
from splat2d.cli._marks import Positional, arg
from splat2d.cli._terminal import print_json, warn

if TYPE_CHECKING:
    from splat2d.edit.document import Document


@dataclass(frozen=True)
class Merge:
    """Paste the layers of B in front of A, on A's canvas; nothing is encoded again."""

    a: Annotated[Positional[str], arg(metavar="A", help="The .splat file below.")]
    b: Annotated[Positional[str], arg(metavar="B", help="The .splat file whose layers are pasted.")]
    output: Annotated[Positional[str], arg(metavar="OUT", help="The .splat file to write.")]
    at: Annotated[
        Optional[str],
        arg(metavar="X,Y", help="Where the middle of what is seen of B goes; where it is when not given."),
    ] = None
    name: Annotated[
        Optional[str],
        arg(metavar="NAME", help="Of a pasted picture of one layer; its own, or B's file name."),
    ] = None
    force: Annotated[bool, arg(help="Replace an existing OUT.")] = False
    as_json: Annotated[bool, arg(name="json", help="Print figures as one JSON object.")] = False

    def run(self) -> None:
        """Write the merged file."""
        from splat2d.cli._scene import open_document
        from splat2d.media.files import check_output, shown, write_atomic

        at = None if self.at is None else parse_numbers("at", self.at, "X,Y")
        check_output(self.output, force=self.force)
        below, above = open_document(self.a), open_document(self.b)
        place = None if at is None else (at[0], at[1])
        document = below.merged(above, at=place, names=self._names(above))
        with write_atomic(self.output, force=self.force) as file:
            document.write(file)
            size = file.tell()
        if any(not above.coded(state).has_alpha for state in above.stack.layers if state.visible):
            warn([f"{shown(self.b)} has a layer without alpha, which covers all below it"])
        names = document.stack.names
        if self.as_json:
            print_json({"a": self.a, "b": self.b, "output": self.output, "size": size, "layers": names})
        else:
            print(f"{self.output}: {size:,} bytes, layers {', '.join(names)}")

    def _names(self, above: Document) -> list[str] | None:
        """What the pasted layers are to be called; None for their own names."""
        from splat2d.errors import ConfigError
        from splat2d.format.layers import PICTURE, check_name

        names = above.stack.names
        if self.name is not None:
            if len(names) != 1:
                raise ConfigError(f"--name names one layer, and B has {len(names)}: {', '.join(names)}")
            check_name(self.name)
            return [self.name]
        if names != (PICTURE,):
            return None
        stem = Path(self.b).stem
        try:
            check_name(stem)
        except ConfigError:
            return None
        return [stem]
