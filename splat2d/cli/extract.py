"""`splat2d extract`: one layer of a .splat file as a file of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from splat2d.cli._marks import Positional, arg
from splat2d.cli._terminal import print_json


@dataclass(frozen=True)
class Extract:
    """Write one layer as a file of its own: the same canvas, transparent around, nothing encoded again."""

    input: Annotated[Positional[str], arg(metavar="IN", help="The .splat file.")]
    output: Annotated[Positional[str], arg(metavar="OUT", help="The .splat file to write.")]
    group: Annotated[str, arg(metavar="NAME", help="The layer.")]
    force: Annotated[bool, arg(help="Replace an existing OUT.")] = False
    as_json: Annotated[bool, arg(name="json", help="Print figures as one JSON object.")] = False

    def run(self) -> None:
        """Write the layer."""
        from splat2d.cli._scene import open_document
        from splat2d.media.files import check_output, write_atomic

        check_output(self.output, force=self.force)
        document = open_document(self.input).extracted(self.group)
        with write_atomic(self.output, force=self.force) as file:
            document.write(file)
            size = file.tell()
        if self.as_json:
            print_json({"input": self.input, "output": self.output, "size": size, "group": self.group})
        else:
            print(f"{self.output}: {size:,} bytes, {self.group}")
