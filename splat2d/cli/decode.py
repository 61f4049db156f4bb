"""`splat2d decode`: a .splat file becomes a picture, at any size."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional

from splat2d.cli._arguments import UsageError, at_most_one, in_range, parse_integers, parse_strength
from splat2d.cli._marks import Positional, arg
from splat2d.cli._stdio import STDIO, piped
from splat2d.cli._terminal import print_json


@dataclass(frozen=True)
class Decode:
    """Decode a .splat file into a picture, or into a clip."""

    input: Annotated[Positional[str], arg(metavar="INPUT", help="The .splat file; - for standard input.")]
    output: Annotated[
        Positional[str],
        arg(
            metavar="OUTPUT",
            help="Picture in any format that Pillow writes, or .npy for float32. Of a clip: .mp4, .mkv, "
            ".webm, .mov, .gif, .apng, .webp, .y4m, a folder, or a pattern such as out_%04d.png. - for "
            "standard output.",
        ),
    ]
    format: Annotated[
        Optional[str],
        arg(
            metavar="F",
            help="Of standard output, by a suffix: png, webp, npy, ...; of a clip y4m, mkv, webm, mp4, gif. "
            "png or y4m when not given.",
        ),
    ] = None
    scale: Annotated[Optional[float], arg(metavar="S", help="Size over the original's: 2, 0.5.")] = None
    width: Annotated[Optional[int], arg(metavar="W", help="Width in px; the height follows.")] = None
    height: Annotated[Optional[int], arg(metavar="H", help="Height in px; the width follows.")] = None
    crop: Annotated[
        Optional[str], arg(metavar="X,Y,W,H", help="Only this window, in px of the original.")
    ] = None
    texture: Annotated[
        str, arg(metavar="off|S", help="Draw the file's texture S times as strong as it says, or not.")
    ] = "1"
    tiers: Annotated[Optional[int], arg(metavar="K", help="Only the K coarsest tiers of splats.")] = None
    time: Annotated[
        Optional[float], arg(metavar="S", help="Only this moment of a clip, in seconds, as one picture.")
    ] = None
    fps: Annotated[
        Optional[str], arg(metavar="N", help="Render a clip at so many frames a second, as 60 or 24000/1001.")
    ] = None
    no_audio: Annotated[bool, arg(help="Leave the sound of a clip out.")] = False
    view: Annotated[
        Optional[str],
        arg(metavar="U,V", help="What an eye sees of a light field, in steps of its grid from the middle."),
    ] = None
    refocus: Annotated[
        Optional[float],
        arg(metavar="D", help="A light field through a wide lens, sharp where the disparity is D px."),
    ] = None
    depth: Annotated[
        Optional[str],
        arg(metavar="FILE", help="Also write a light field's disparities, as grey or, in .npy, in px."),
    ] = None
    skip_damaged: Annotated[
        bool, arg(help="Leave damaged segments of a clip out, and say which; its last good frame stays.")
    ] = False
    threads: Annotated[Optional[int], arg(metavar="N", help="Threads; all cores when not given.")] = None
    max_pixels: Annotated[
        Optional[int], arg(metavar="N", help="Refuse a file whose canvas has more pixels.")
    ] = None
    max_splats: Annotated[Optional[int], arg(metavar="N", help="Refuse a file that has more splats.")] = None
    max_bytes: Annotated[
        Optional[int], arg(metavar="N", help="Refuse a picture whose file has more bytes.")
    ] = None
    max_frames: Annotated[Optional[int], arg(metavar="N", help="Refuse a clip that has more frames.")] = None
    max_evaluations: Annotated[
        Optional[int],
        arg(
            metavar="N",
            help="Refuse to draw what takes more evaluations of splats at pixels; 2^36 by default.",
        ),
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        arg(help="Draw on the CPU, on an NVIDIA GPU, or with auto on the GPU where there is one."),
    ] = "cpu"
    force: Annotated[bool, arg(help="Replace an existing OUTPUT.")] = False
    as_json: Annotated[bool, arg(name="json", help="Print figures as one JSON object.")] = False

    def run(self) -> None:
        """Decode the file, render the window, write the picture."""
        if self.format is not None and self.output != STDIO:
            raise UsageError("--format is of standard output; OUTPUT's suffix tells it")
        with piped(self, suffix=_suffix) as command:
            command._decode()

    def _decode(self) -> None:
        at_most_one(scale=self.scale, width=self.width, height=self.height)
        in_range(0, above=True, scale=self.scale)
        in_range(1, width=self.width, height=self.height, tiers=self.tiers, threads=self.threads)
        limits = {
            name: getattr(self, name)
            for name in ("max_pixels", "max_splats", "max_bytes", "max_frames", "max_evaluations")
        }
        in_range(1, **limits)
        texture = parse_strength(self.texture)
        crop = None
        if self.crop is not None:
            crop = parse_integers("crop", self.crop, ("X", "Y", "W", "H"))
            if min(crop[2:]) < 1:
                raise UsageError(f"--crop {self.crop!r} is empty; expected W and H of 1 or more")

        from splat2d.cli._scene import limits_of, open_drawable
        from splat2d.media.files import check_output
        from splat2d.media.save import picture_format, save_picture
        from splat2d.scene.picture import Scene

        size: dict[str, Any] = {
            "scale": self.scale,
            "width": self.width,
            "height": self.height,
            "crop": crop,
            "threads": self.threads,
        }
        start = time.perf_counter()
        drawable = open_drawable(
            self.input,
            tiers=self.tiers,
            threads=self.threads,
            skip_damaged=self.skip_damaged,
            limits=limits_of(**limits),
        )
        if not isinstance(drawable, Scene):
            from splat2d.cli._decode_clip import decode_clip

            return decode_clip(drawable, self, size, start)
        if self.time is not None or self.fps is not None:
            raise UsageError("--time and --fps are for clips, and this is a picture")
        if self.no_audio:
            raise UsageError("--no-audio is for clips, and this is a picture")
        scene = drawable
        if scene.eyes:
            from splat2d.cli._decode_views import decode_views

            return decode_views(scene, self, size | {"device": self.device, "texture": texture}, start)
        if self.view is not None or self.refocus is not None or self.depth is not None:
            raise UsageError("--view, --refocus and --depth are for light fields, and this is none")
        check_output(self.output, force=self.force)
        as_float = picture_format(self.output) == "NPY"
        size |= {"device": self.device, "texture": texture}
        pixels = scene.render_float(**size) if as_float else scene.render(**size)
        seconds = time.perf_counter() - start
        save_picture(pixels, self.output, force=self.force, metadata=scene.document.container.metadata)
        if self.as_json:
            figures = {
                "input": self.input,
                "output": self.output,
                "width": pixels.shape[1],
                "height": pixels.shape[0],
                "channels": scene.channels,
                "splats": scene.count,
                "tiers": scene.tiers if self.tiers is None else min(self.tiers, scene.tiers),
                "seconds": seconds,
            }
            print_json(figures)
        else:
            height, width = pixels.shape[:2]
            print(f"{self.output}: {width}x{height}, {scene.count:,} splats, {seconds:.3f} s")


def _suffix(command: Decode) -> str | None:
    """Of the picture for standard output; None of a clip, which goes there frame by frame."""
    from splat2d.cli._scene import is_clip_file

    if command.time is None and is_clip_file(command.input):
        return None
    return f".{(command.format or 'png').lstrip('.')}"
