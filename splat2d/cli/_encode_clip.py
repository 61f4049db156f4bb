"""`splat2d encode` of a clip."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING

from splat2d.cli._arguments import UsageError
from splat2d.cli._terminal import clip_progress, print_json, warn

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
    for option in ("labels", "peak"):
        if getattr(command, option) is not None:
            raise UsageError(f"--{option} is for pictures")
    if command.mask:
        raise UsageError("--mask is for pictures")
    if command.keep_metadata:
        raise UsageError("--keep-metadata is for pictures")

    from splat2d.fit.clip.encode import encode_frames
    from splat2d.fit.clip.part import open_part
    from splat2d.fit.encode import checked_quality
    from splat2d.media.files import check_output, write_atomic
    from splat2d.media.reader import open_clip

    checked_quality(command.quality)
    check_output(command.output, force=command.force)
    reader = open_clip(command.input, fps=command.fps, keeps_alpha=True)
    start = time.perf_counter()
    with (
        tempfile.TemporaryFile() as packets,
        open_part(f"{command.output}.part", resume=command.resume, force=command.force) as part,
    ):
        sound = None if command.no_audio else reader.sound(packets)
        told = len(reader.warnings)
        warn([*reader.warnings, *part.warnings])
        with clip_progress("fitting") as progress:
            done = encode_frames(
                ((frame.pixels, frame.time) for frame in reader),
                reader.fps,
                None,
                quality=command.quality,
                bpp=command.bpp,
                psnr=command.psnr,
                size=size,
                preset=command.preset,
                tune=command.tune,
                seed=command.seed,
                threads=command.threads,
                device=command.device,
                jobs=command.jobs,
                scheduler=command.scheduler,
                progress=progress,
                total=_expected(reader),
                part=part,
                end=lambda: reader.end,
                sound=sound,
            )
        with write_atomic(command.output, force=command.force) as file:
            written = part.write(file, tuple(reader.notes), sound)
    warn(reader.warnings[told:])
    seconds = time.perf_counter() - start
    frames = int(done.frames)
    heard = sound.size if sound else 0
    bpp = 8 * (written - heard) / (reader.width * reader.height * frames)
    if command.as_json:
        figures = {
            "input": command.input,
            "output": command.output,
            "size": written,
            "bpp": bpp,
            "width": reader.width,
            "height": reader.height,
            "channels": reader.channels,
            "frames": frames,
            "fps": float(reader.fps),
            "seconds": seconds,
            "quality": None if size or command.bpp or command.psnr else checked_quality(command.quality),
            "preset": command.preset,
            "tune": command.tune,
            "seed": command.seed,
            "sound": {**sound.figures(), "bytes": heard} if sound else None,
            "notes": reader.notes,
            "warnings": reader.warnings,
        }
        print_json(figures)
    else:
        also = f"{heard:,} of them sound, " if heard else ""
        print(
            f"{command.output}: {written:,} bytes, {also}{bpp:.4f} bpp, "
            f"{frames:,} frame{'s' * (frames != 1)}, {seconds:.2f} s, {seconds / frames:.2f} s a frame"
        )


def _expected(reader) -> int | None:
    """About how many frames there will be."""
    if reader.count is not None or reader.duration is None:
        return reader.count
    return round(reader.duration * reader.fps)
