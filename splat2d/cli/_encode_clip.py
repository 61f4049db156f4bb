"""`splat2d encode` of a clip."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from splat2d.cli._arguments import UsageError
from splat2d.cli._terminal import clip_progress, print_json, say, warn

if TYPE_CHECKING:
    from splat2d.cli.encode import Encode


def encode_clip(command: Encode, size: int | None) -> None:
    """Fit the clip segment by segment, write the file, print one line.

    What is finished of it lies in OUTPUT.part, which becomes OUTPUT in the end.

    Args:
        command: the command line.
        size: most bytes of the file, or None.

    Raises:
        UsageError: an option that only pictures have.
        Splat2dError: what the input, the settings or the files are at fault for.
    """
    for option in ("tune", "labels", "peak"):
        if getattr(command, option) is not None:
            raise UsageError(f"--{option} is for pictures")
    if command.mask:
        raise UsageError("--mask is for pictures")
    if command.keep_metadata:
        raise UsageError("--keep-metadata is for pictures")
    if command.device == "cuda":
        raise UsageError("--device cuda is for pictures; clips are fitted on the CPU")

    from splat2d.errors import OutputError
    from splat2d.fit.clip.encode import encode_frames
    from splat2d.fit.encode import checked_quality
    from splat2d.media.files import check_output, shown
    from splat2d.media.reader import open_clip

    checked_quality(command.quality)
    check_output(command.output, force=command.force)
    part = f"{command.output}.part"
    if os.path.exists(part) and not (command.resume or command.force):
        raise OutputError(
            f"{shown(part)}: an interrupted encode left it; --resume goes on with it, --force begins anew"
        )
    reader = open_clip(command.input, fps=command.fps)
    if reader.has_audio:
        say("warning: the sound is dropped; a .splat file holds pictures only")
    told = len(reader.warnings)
    warn(reader.warnings)
    start = time.perf_counter()
    try:
        file = open(part, "r+b" if command.resume and os.path.exists(part) else "w+b")
    except OSError as fault:
        raise OutputError(f"{shown(part)}: cannot be written ({fault.strerror})") from None
    try:
        with file, clip_progress("fitting") as progress:
            done = encode_frames(
                ((frame.pixels, frame.time) for frame in reader),
                reader.fps,
                file,
                quality=command.quality,
                bpp=command.bpp,
                psnr=command.psnr,
                size=size,
                preset=command.preset,
                seed=command.seed,
                threads=command.threads,
                jobs=command.jobs,
                scheduler=command.scheduler,
                progress=progress,
                total=_expected(reader),
                resume=command.resume,
                end=lambda: reader.end,
                notes=reader.notes,
            )
    except BaseException as fault:
        _keep_or_drop(part)
        if isinstance(fault, KeyboardInterrupt) and os.path.exists(part):
            raise KeyboardInterrupt(
                f"the finished segments are kept in {shown(part)}; --resume goes on"
            ) from None
        raise
    warn(reader.warnings[told:])
    os.replace(part, os.path.realpath(command.output))
    seconds = time.perf_counter() - start
    frames = int(done.frames)
    bpp = 8 * done.size / (reader.width * reader.height * frames)
    if command.as_json:
        figures = {
            "input": command.input,
            "output": command.output,
            "size": done.size,
            "bpp": bpp,
            "width": reader.width,
            "height": reader.height,
            "frames": frames,
            "fps": float(reader.fps),
            "seconds": seconds,
            "quality": None if size or command.bpp or command.psnr else checked_quality(command.quality),
            "preset": command.preset,
            "seed": command.seed,
            "notes": reader.notes,
            "warnings": reader.warnings,
        }
        print_json(figures)
    else:
        print(
            f"{command.output}: {done.size:,} bytes, {bpp:.4f} bpp, {frames:,} frame{'s' * (frames != 1)}, "
            f"{seconds:.2f} s, {seconds / frames:.2f} s a frame"
        )


def _expected(reader) -> int | None:
    """About how many frames there will be."""
    if reader.count is not None or reader.duration is None:
        return reader.count
    return round(reader.duration * reader.fps)


def _keep_or_drop(part: str) -> None:
    """Remove what was begun unless a segment of it is finished."""
    from splat2d.errors import BitstreamError
    from splat2d.format.container import parse
    from splat2d.format.sections import Source

    try:
        with open(part, "rb") as file:
            if parse(Source(file), forgive=True).places:
                return
    except (BitstreamError, OSError):
        pass
    if os.path.exists(part):
        os.unlink(part)
