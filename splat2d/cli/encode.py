"""`splat2d encode`: a picture becomes a .splat file."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal, Optional

from splat2d.cli._arguments import (
    UsageError,
    at_most_one,
    check_preset,
    in_range,
    parse_bytes,
    parse_strength,
)
from splat2d.cli._marks import Positional, UseAppendAction, arg
from splat2d.cli._names import beside, refuse_twins
from splat2d.cli._stdio import STDIO, piped
from splat2d.cli._terminal import print_json, progress_bar, warn

if TYPE_CHECKING:
    from splat2d.native.backend import Backend


@dataclass(frozen=True)
class Encode:
    """Encode a picture or a clip into a .splat file."""

    input: Annotated[
        Positional[str],
        arg(
            metavar="INPUT",
            help="Picture in any format that Pillow reads; or a clip: a video file, an animation, a folder "
            "of images or a pattern such as frame_%04d.png. - for standard input.",
        ),
    ]
    output: Annotated[
        Positional[str],
        arg(
            metavar="[OUTPUT]",
            help="The .splat file to write; - for standard output. Beside INPUT, with .splat for its suffix, "
            "when not given. With --out-dir this is one more input.",
        ),
    ] = ""
    more: Annotated[
        Positional[tuple[str, ...]], arg(metavar="[INPUT ...]", help="More inputs, with --out-dir.")
    ] = ()
    out_dir: Annotated[
        Optional[str], arg(metavar="DIR", help="Write the .splat files of all inputs there.")
    ] = None
    quality: Annotated[Optional[int], arg(metavar="1..100", help="Quality; 75 when no target is given.")] = (
        None
    )
    psnr: Annotated[Optional[float], arg(metavar="DB", help="Least RGB PSNR, in dB.")] = None
    bpp: Annotated[Optional[float], arg(metavar="B", help="Most bits per pixel of the file.")] = None
    size: Annotated[Optional[str], arg(metavar="BYTES", help="Most bytes of the file: 20000, 20k, 1.5M.")] = (
        None
    )
    preset: Annotated[
        str, arg(metavar="P", help="How long to search: fast, default, best, or a YAML file of settings.")
    ] = "default"
    tune: Annotated[
        Optional[Literal["visual", "psnr", "ms-ssim"]],
        arg(
            help="Keep errors small as eyes weigh them, their squares, or what MS-SSIM sees of them; psnr "
            "with --psnr, else the preset's when not given."
        ),
    ] = None
    texture: Annotated[
        str,
        arg(
            metavar="off|auto|S",
            help="Let decoders draw noise like the fine structure that the file lacks, for 0.01 bits a "
            "pixel: as strong as fits, or S times that. PSNR falls by it, and textures look like themselves.",
        ),
    ] = "off"
    mask: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(
            metavar="NAME=FILE",
            help="Make a layer of what this mask covers: white, a palette's index above 0, or alpha. "
            "Repeat it for more objects, back to front. Of a clip a folder, a pattern or a video of masks.",
        ),
    ] = ()
    labels: Annotated[
        Optional[str],
        arg(
            metavar="FILE",
            help='A picture of integers: each but 0 is an object, called "object 1" and so on. Of a clip a '
            "folder or a pattern of them.",
        ),
    ] = None
    views: Annotated[
        Optional[str],
        arg(
            metavar="CxR",
            help="INPUT is a light field: a folder, a pattern such as v%02d_u%02d.png or a JSON list of "
            "pictures from so many columns and rows of places; names tell which is where.",
        ),
    ] = None
    lenslet: Annotated[
        Optional[str],
        arg(
            metavar="WxH", help="INPUT is the picture of a light field with so many pixels behind each lens."
        ),
    ] = None
    peak: Annotated[
        Optional[float],
        arg(
            metavar="V", help="Sample that is white in a picture of floats or more than 8 bits; 1 for floats."
        ),
    ] = None
    seed: Annotated[int, arg(metavar="N", help="Seed of the random order of refinement.")] = 0
    threads: Annotated[
        Optional[int], arg(metavar="N", help="Threads; all cores when not given. The file is the same.")
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        arg(help="Fit on the CPU, on an NVIDIA GPU, or with auto on the GPU where there is one."),
    ] = "cpu"
    fps: Annotated[
        Optional[str],
        arg(metavar="N", help="Frames a second of a clip, as 25 or 30000/1001, instead of the file's own."),
    ] = None
    no_audio: Annotated[bool, arg(help="Leave the sound of a clip out.")] = False
    jobs: Annotated[
        int,
        arg(metavar="N", help="Segments of a clip at the same time, by processes that share the threads."),
    ] = 1
    scheduler: Annotated[
        Optional[str],
        arg(metavar="ADDRESS", help="Fit segments of a clip on the machines of a Dask scheduler."),
    ] = None
    resume: Annotated[
        bool, arg(help="Go on with a clip where an interrupted encode stopped (OUTPUT.part).")
    ] = False
    keep_metadata: Annotated[
        bool,
        arg(
            help="Keep a picture's EXIF, XMP, resolution and its profile's name, or a clip's title, artist, "
            "copyright, comment, description and date, but not the place."
        ),
    ] = False
    keep_gps: Annotated[bool, arg(help="With --keep-metadata, also keep the place.")] = False
    force: Annotated[bool, arg(help="Replace an existing OUTPUT.")] = False
    as_json: Annotated[bool, arg(name="json", help="Print all figures as one JSON object.")] = False

    @property
    def backend(self) -> Backend:
        """What fits."""
        from splat2d.native.backend import Backend

        return Backend(self.threads, self.device)

    def run(self) -> None:
        """Fit each picture or clip, write its file, print one line."""
        for one in self._each():
            with piped(one) as command:
                command._encode()
            if one.output != STDIO and not one.output.lower().endswith(".splat"):
                warn([f"{one.output!r} does not end in .splat"])

    def _each(self) -> list[Encode]:
        """One command for each input."""
        if self.out_dir is None:
            if self.more:
                raise UsageError(f"{2 + len(self.more)} files are given; several inputs need an --out-dir")
            if not self.output:
                return [replace(self, output=STDIO if self.input == STDIO else beside(self.input))]
            return [self]
        from splat2d.media.files import make_folder

        inputs = [self.input, *([self.output] if self.output else []), *self.more]
        outputs = [os.path.join(self.out_dir, os.path.basename(beside(path))) for path in inputs]
        refuse_twins(inputs, outputs)
        make_folder(self.out_dir)
        return [
            replace(self, input=path, output=output, more=(), out_dir=None)
            for path, output in zip(inputs, outputs, strict=True)
        ]

    def _encode(self) -> None:
        check_preset(self.preset)
        texture = parse_strength(self.texture, auto=True)
        at_most_one(mask=self.mask or None, labels=self.labels)
        files = self.mask_files()
        at_most_one(quality=self.quality, psnr=self.psnr, bpp=self.bpp, size=self.size)
        in_range(1, 100, quality=self.quality)
        in_range(0, above=True, psnr=self.psnr, bpp=self.bpp)
        in_range(1, threads=self.threads)
        in_range(0, 2**53, seed=self.seed)  # MAX_SEED of the fit, which is not loaded yet
        in_range(1, jobs=self.jobs)
        in_range(0, above=True, peak=self.peak)
        if self.keep_gps and not self.keep_metadata:
            raise UsageError("--keep-gps is for --keep-metadata, which is not given")
        size = None if self.size is None else parse_bytes(self.size)
        from splat2d.media.views import is_light_field

        at_most_one(views=self.views, lenslet=self.lenslet)
        if self.views or self.lenslet or is_light_field(self.input):
            from splat2d.cli._encode_views import encode_views

            if texture:
                raise UsageError("--texture is for pictures, and this is a light field")
            return encode_views(self, size)
        from splat2d.media.reader import is_clip

        if self.fps is not None or is_clip(self.input):
            from splat2d.cli._encode_clip import encode_clip

            if texture:
                raise UsageError("--texture is for pictures, and this is a clip")
            return encode_clip(self, size)
        if self.resume or self.jobs != 1 or self.scheduler is not None:
            raise UsageError("--resume, --jobs and --scheduler are for clips, and this is a picture")
        if self.no_audio:
            raise UsageError("--no-audio is for clips, and this is a picture")
        from splat2d.fit.objects.masks import load_masks
        from splat2d.media.files import check_output, write_atomic
        from splat2d.media.pictures import load_picture

        # First what fails at once, so that nobody waits for a fit that cannot be stored.
        check_output(self.output, force=self.force)
        picture = load_picture(
            self.input, peak=self.peak, keep_metadata=self.keep_metadata, keep_gps=self.keep_gps
        )
        warn(picture.warnings)
        given = self.labels or files
        masks = load_masks(given, picture.pixels.shape[1:]) if given else None

        from splat2d.fit.encode import encode_picture

        with progress_bar("fitting") as progress:
            encoded = encode_picture(
                picture,
                quality=self.quality,
                psnr=self.psnr,
                bpp=self.bpp,
                size=size,
                preset=self.preset,
                tune=self.tune,
                seed=self.seed,
                backend=self.backend,
                progress=progress,
                masks=masks,
                texture=texture,
            )
        warn(encoded.warnings)
        with write_atomic(self.output, force=self.force) as file:
            file.write(encoded.data)

        channels, height, width = picture.pixels.shape
        bpp = 8 * len(encoded.data) / (width * height)
        if self.as_json:
            figures = {
                "input": self.input,
                "output": self.output,
                "size": len(encoded.data),
                "bpp": bpp,
                "width": width,
                "height": height,
                "channels": channels,
                "splats": encoded.splats,
                "psnr": encoded.psnr,
                "seconds": encoded.seconds,
                "quality": encoded.quality,
                "step": encoded.step,
                "preset": self.preset,
                "tune": self.tune,
                "texture": texture,
                "seed": self.seed,
                "device": encoded.device,
                "notes": picture.notes,
                "warnings": (*picture.warnings, *encoded.warnings),
            }
            print_json(figures)
        else:
            print(
                f"{self.output}: {len(encoded.data):,} bytes, {bpp:.4f} bpp, {encoded.splats:,} splats, "
                f"{encoded.psnr:.2f} dB, {encoded.seconds:.2f} s"
            )

    def mask_files(self) -> dict[str, str]:
        """The masks' files by name, back to front."""
        files: dict[str, str] = {}
        for word in self.mask:
            name, _, file = word.partition("=")
            if not (name and file):
                raise UsageError(f"--mask is {word!r}, expected NAME=FILE")
            if name in files:
                raise UsageError(f"--mask names {name!r} twice")
            files[name] = file
        return files
