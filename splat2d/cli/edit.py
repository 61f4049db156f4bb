"""`splat2d edit`: move, recolour and reorder the layers of a .splat file, and bake that into its splats."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Optional

from splat2d.cli._arguments import UsageError, parse_numbers
from splat2d.cli._marks import Positional, UseCounterAction, arg
from splat2d.cli._stdio import piped
from splat2d.cli._terminal import print_json, progress_bar

if TYPE_CHECKING:
    from splat2d.edit.document import Document
    from splat2d.edit.script import Entry

_NUMBERS = ("move", "rotate", "scale", "brightness", "contrast", "saturation", "hue", "opacity", "blur")
_FLAGS = ("hide", "show", "raise", "lower", "to-front", "to-back", "delete")
_NAMED = ("tint", "duplicate", "rename")


@dataclass
class Edit:
    """Edit the layers of a .splat file: a few bytes are added, nothing is encoded again (but by --bake).

    Operations are done in the order in which they are written, and all may be repeated. Distances are px of
    the canvas, y down; angles are degrees, counter-clockwise as seen. One call is one step for --undo.
    """

    input: Annotated[Positional[str], arg(metavar="IN", help="The .splat file; - for standard input.")]
    output: Annotated[
        Positional[str],
        arg(
            metavar="OUT",
            help="The .splat file to write; with --force it may be IN. - for standard output.",
        ),
    ]
    group: Annotated[
        Optional[str],
        arg(metavar="NAME", help="The layer to edit; of several groups each concerns what follows it."),
    ] = None
    move: Annotated[Optional[str], arg(metavar="DX,DY", help="Move to the right and down, px.")] = None
    rotate: Annotated[Optional[str], arg(metavar="DEG", help="Rotate counter-clockwise.")] = None
    scale: Annotated[Optional[str], arg(metavar="S|SX,SY", help="Scale; a negative factor mirrors.")] = None
    about: Annotated[
        Optional[str],
        arg(metavar="X,Y", help="Fixed point of --rotate and --scale; else the middle of what is seen."),
    ] = None
    tint: Annotated[
        Optional[str],
        arg(metavar="#RRGGBB[,S]", help="Mix with the luminance in this colour; strength 0 to 1."),
    ] = None
    brightness: Annotated[Optional[str], arg(metavar="F", help="Multiply the colours.")] = None
    contrast: Annotated[Optional[str], arg(metavar="F", help="Multiply the distance from middle grey.")] = (
        None
    )
    saturation: Annotated[Optional[str], arg(metavar="F", help="0 is grey, 1 no change.")] = None
    hue: Annotated[Optional[str], arg(metavar="DEG", help="Turn the hue.")] = None
    opacity: Annotated[Optional[str], arg(metavar="F", help="Multiply the coverage by 0 to 1.")] = None
    blur: Annotated[Optional[str], arg(metavar="SIGMA", help="Convolve with a Gaussian, px.")] = None
    hide: Annotated[UseCounterAction[int], arg(help="Leave the layer out of the picture.")] = 0
    show: Annotated[UseCounterAction[int], arg(help="Undo --hide.")] = 0
    raise_: Annotated[UseCounterAction[int], arg(name="raise", help="In front of the next layer.")] = 0
    lower: Annotated[UseCounterAction[int], arg(help="Behind the layer before.")] = 0
    to_front: Annotated[UseCounterAction[int], arg(help="In front of all layers.")] = 0
    to_back: Annotated[UseCounterAction[int], arg(help="Behind all layers.")] = 0
    duplicate: Annotated[
        Optional[str], arg(metavar="NEW", help="A copy of this name in front of the layer.")
    ] = None
    rename: Annotated[Optional[str], arg(metavar="NEW", help="Another name.")] = None
    delete: Annotated[UseCounterAction[int], arg(help="Take the layer out; --undo brings it back.")] = 0
    script: Annotated[
        Optional[str],
        arg(metavar="FILE", help="YAML or JSON: a list of {group: NAME, move: [DX, DY], ...}, done first."),
    ] = None
    undo: Annotated[UseCounterAction[int], arg(help="Before all else, take the last call back.")] = 0
    reset: Annotated[bool, arg(help="Before all else, take all edits back.")] = False
    bake: Annotated[
        bool, arg(help="After all else, apply all edits to the splats, for good: plain layers are left.")
    ] = False
    force: Annotated[bool, arg(help="Replace an existing OUT.")] = False
    as_json: Annotated[bool, arg(name="json", help="Print figures as one JSON object.")] = False
    given: tuple[tuple[str, str], ...] = field(default=(), init=False)

    def in_order(self, argv: Sequence[str]) -> Edit:
        """The command with `given`: each operation's option and text, in the order of these arguments.

        The fields of operations are there for help and checks: of a repeated option they hold the last text.
        """
        options = {f"--{name}": name for name in ("group", *_NUMBERS, *_FLAGS, *_NAMED)}
        given, tokens = [], iter(argv)
        for token in tokens:
            option, equals, text = token.partition("=")
            name = options.get(option.replace("_", "-"))
            if name is not None:
                given.append((name, "" if name in _FLAGS else text if equals else next(tokens, "")))
        self.given = tuple(given)
        return self

    def run(self) -> None:
        """Write the edited file."""
        with piped(self) as command:
            command._edit()

    def _edit(self) -> None:
        from splat2d.cli._scene import limits_of, open_document
        from splat2d.edit.script import edited
        from splat2d.errors import ConfigError
        from splat2d.media.files import check_output, write_atomic

        check_output(self.output, force=self.force)
        if self.reset and self.undo:
            raise ConfigError("--reset and --undo contradict each other; give one of them")
        before = open_document(self.input, limits_of() if self.bake else None)
        start = time.perf_counter()
        document = before.reset() if self.reset else before.undone(self.undo)
        entries = [*self._scripted(), *self._written(document)]
        if not (entries or self.undo or self.reset or self.bake):
            raise UsageError("nothing to do; run splat2d edit --help")
        document = edited(document, entries)
        cost: dict[str, Any] = {}
        if self.bake and document.steps:
            document, cost = _baked(document)
        seconds = time.perf_counter() - start
        before_size, size = before.size, document.size
        with write_atomic(self.output, force=self.force) as file:
            document.write(file)
        if self.as_json:
            print_json(
                {
                    "input": self.input,
                    "output": self.output,
                    "size": size,
                    "growth": size - before_size,
                    "steps": len(document.steps),
                    "seconds": seconds,
                    **cost,
                }
            )
        else:
            anew = f" (fitted anew: {', '.join(cost['fitted'])})" if cost.get("fitted") else ""
            baked = f"{cost['psnr']:.1f} dB to what was edited{anew}, " if cost else ""
            print(f"{self.output}: {size:,} bytes ({size - before_size:+,}), {baked}{seconds * 1000:.1f} ms")

    def _scripted(self) -> list[Entry]:
        """What the script says."""
        if self.script is None:
            return []
        from splat2d.cli._scene import read_script
        from splat2d.edit.script import entries_of

        return entries_of(read_script(self.script))

    def _written(self, document: Document) -> list[Entry]:
        """What the options say."""
        from splat2d.edit.script import Entry
        from splat2d.errors import ConfigError

        about = None if self.about is None else parse_numbers("about", self.about, "X,Y")
        names = document.stack.names
        groups = [text for name, text in self.given if name == "group"]
        # One group may stand anywhere; of several, each concerns what follows it.
        group = groups[0] if len(groups) == 1 else names[0] if len(names) == 1 else None
        entries: list[Entry] = []
        actions: list[tuple[str, Any]] = []
        for name, text in self.given:
            if name == "group":
                group, actions = text, []
                continue
            if group is None:
                raise ConfigError(f"--{name} concerns no layer yet; give --group, one of {', '.join(names)}")
            if not actions:
                entries.append(Entry(group, actions, about))
            actions.append((name, _value(name, text)))
        return entries


def _baked(document: Document) -> tuple[Document, dict[str, Any]]:
    """A file whose edits are part of its splats, and what that cost."""
    from splat2d.fit.objects.bake import bake
    from splat2d.scene.picture import Scene

    with progress_bar("baking") as progress:
        baked = bake(Scene.of(document), progress=progress)
    return baked.scene.document, {"psnr": baked.psnr, "fitted": baked.fitted}


def _value(name: str, text: str) -> Any:
    """What an edit script would say for an option's text."""
    if name in _FLAGS:
        return True
    if name in ("duplicate", "rename"):
        return text
    if name == "tint":
        color, comma, strength = text.partition(",")
        return [color, *parse_numbers("tint strength", strength, "S")] if comma else color
    return parse_numbers(name, text, "numbers with commas between them")
