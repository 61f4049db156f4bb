"""`splat2d group`: an object becomes a layer of its own, after the fact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Optional

from splat2d.cli._arguments import UsageError, check_preset, in_range, parse_numbers
from splat2d.cli._marks import Positional, arg
from splat2d.cli._terminal import print_json, progress_bar, warn


@dataclass(frozen=True)
class Group:
    """Cut an object out of a .splat file of one layer: both sides are fitted anew.

    Say where the object is in one way. Distances are px of the canvas, y down.
    """

    input: Annotated[Positional[str], arg(metavar="IN", help="The .splat file, of one layer.")]
    output: Annotated[
        Positional[str], arg(metavar="OUT", help="The .splat file to write; with --force it may be IN.")
    ]
    name: Annotated[str, arg(metavar="NAME", help="Of the object's layer.")]
    box: Annotated[
        Optional[str], arg(metavar="X,Y,W,H", help="A box around the object, which GrabCut finds in it.")
    ] = None
    polygon: Annotated[Optional[str], arg(metavar="X,Y,X,Y,...", help="The object's corners.")] = None
    point: Annotated[
        Optional[str], arg(metavar="X,Y", help="A point in it: the region of similar colour around.")
    ] = None
    color: Annotated[Optional[str], arg(metavar="#RRGGBB", help="Everything of about this colour.")] = None
    mask: Annotated[
        Optional[str],
        arg(metavar="FILE", help="A picture: white, a palette's index above 0, or alpha is the object."),
    ] = None
    tolerance: Annotated[
        Optional[float],
        arg(metavar="0..255", help="Largest difference of similar colours in any channel; else 24."),
    ] = None
    quality: Annotated[
        Optional[int], arg(metavar="1..100", help="Quality; that of the file when not given.")
    ] = None
    preset: Annotated[
        str, arg(metavar="P", help="How long to search: fast, default, best, or a YAML file of settings.")
    ] = "default"
    threads: Annotated[Optional[int], arg(metavar="N", help="Threads; all cores when not given.")] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        arg(help="Fit on the CPU, on an NVIDIA GPU, or with auto on the GPU where there is one."),
    ] = "cpu"
    force: Annotated[bool, arg(help="Replace an existing OUT.")] = False
    as_json: Annotated[bool, arg(name="json", help="Print figures as one JSON object.")] = False

    def run(self) -> None:
        """Write the file with two layers, print one line."""
        check_preset(self.preset)
        in_range(1, 100, quality=self.quality)
        in_range(1, threads=self.threads)
        box = None if self.box is None else parse_numbers("box", self.box, "X,Y,W,H")
        point = None if self.point is None else parse_numbers("point", self.point, "X,Y")
        polygon = None if self.polygon is None else _pairs(self.polygon)

        from splat2d.cli._scene import limits_of, open_drawable
        from splat2d.media.files import check_output, write_atomic
        from splat2d.scene.picture import Scene

        check_output(self.output, force=self.force)
        scene = open_drawable(self.input, threads=self.threads, limits=limits_of())
        if not isinstance(scene, Scene):
            raise UsageError("objects are cut out of pictures, and this is a clip")

        from splat2d.fit.objects.group import group
        from splat2d.native.backend import Backend

        with progress_bar("fitting") as progress:
            encoded, coverage = group(
                scene,
                self.name,
                box=box,
                polygon=polygon,
                point=point,
                color=self.color,
                mask=self.mask,
                tolerance=self.tolerance,
                quality=self.quality,
                preset=self.preset,
                backend=Backend(self.threads, self.device),
                progress=progress,
            )
        warn(encoded.warnings)
        with write_atomic(self.output, force=self.force) as file:
            file.write(encoded.data)
        before, size = len(scene.to_bytes()), len(encoded.data)
        if self.as_json:
            figures = {
                "input": self.input,
                "output": self.output,
                "name": self.name,
                "covered": coverage.mean(),
                "size_before": before,
                "size": size,
                "psnr": encoded.psnr,
                "splats": encoded.splats,
                "quality": encoded.quality,
                "preset": self.preset,
                "device": encoded.device,
                "seconds": encoded.seconds,
                "warnings": encoded.warnings,
            }
            print_json(figures)
        else:
            print(
                f"{self.output}: {size:,} bytes ({before:,} before, {size / before - 1:+.1%}), "
                f"{encoded.psnr:.2f} dB to the picture before, "
                f"{self.name} is {coverage.mean():.1%} of it, {encoded.seconds:.2f} s"
            )


def _pairs(text: str) -> list[list[float]]:
    """Corners [N, 2] of a polygon that is written with commas only."""
    numbers = parse_numbers("polygon", text, "X,Y,X,Y,... in px")
    if len(numbers) % 2:
        raise UsageError(f"--polygon has {len(numbers)} numbers; expected two for each corner, X,Y,X,Y,...")
    return [numbers[i : i + 2] for i in range(0, len(numbers), 2)]
