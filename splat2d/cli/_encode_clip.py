"""`splat2d encode` of a clip."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from splat2d.cli._arguments import UsageError
from splat2d.cli._terminal import clip_progress, print_json, warn
from splat2d.errors import OutputError

if TYPE_CHECKING:
    from splat2d.cli.encode import Encode
    from splat2d.fit.clip.part import Part, Parts
    from splat2d.format.sound import Sound
    from splat2d.media.frames import ClipReader


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
    if command.peak is not None:
        raise UsageError("--peak is for pictures")
    masks = command.labels or command.mask_files()
    from splat2d.fit.clip.part import Parts, open_part
    from splat2d.fit.encode import WINDOW, checked_quality
    from splat2d.media.files import check_output
    from splat2d.media.reader import open_clip

    checked_quality(command.quality)
    check_output(command.output, force=command.force)
    reader = open_clip(
        command.input,
        fps=command.fps,
        keeps_alpha=True,
        keep_metadata=command.keep_metadata,
        keep_gps=command.keep_gps,
    )
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        packets = stack.enter_context(tempfile.TemporaryFile())
        begun: dict[str, Any] = {"resume": command.resume, "force": command.force}
        kept: Part | Parts = stack.enter_context(
            Parts(command.output, **begun) if masks else open_part(f"{command.output}.part", **begun)
        )
        sound = None if command.no_audio else reader.sound(packets)
        told = len(reader.warnings)
        warn([*reader.warnings, *kept.warnings])
        if isinstance(kept, Parts):
            written, frames = _objects(command, reader, sound, size, masks, kept)
            warn(kept.warnings)
        else:
            written, frames = _segments(command, reader, sound, size, kept)
    if size is not None and written < (1 - WINDOW) * size:
        reader.warnings.append(
            f"the largest file found that fits has {written} bytes, {1 - written / size:.0%} below the size"
        )
    warn(reader.warnings[told:])
    seconds = time.perf_counter() - start
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


def _options(command: Encode) -> dict[str, Any]:
    """What all ways of encoding take."""
    names = ("quality", "bpp", "psnr", "preset", "tune", "seed", "backend", "jobs", "scheduler")
    return {name: getattr(command, name) for name in names}


def _segments(
    command: Encode, reader: ClipReader, sound: Sound | None, size: int | None, part: Part
) -> tuple[int, int]:
    """Encode a clip of one layer; returns bytes and frames."""
    from splat2d.fit.clip.encode import encode_frames
    from splat2d.media.files import write_atomic

    with clip_progress("fitting") as progress:
        done = encode_frames(
            ((frame.pixels, frame.time) for frame in reader),
            reader.fps,
            None,
            size=size,
            progress=progress,
            total=reader.expected,
            part=part,
            end=lambda: reader.end,
            sound=sound,
            metadata=reader.metadata,
            **_options(command),
        )
    try:
        with write_atomic(command.output, force=command.force) as file:
            return part.write(file, tuple(reader.notes), sound, reader.metadata), int(done.frames)
    except OutputError as fault:
        kept = f"the finished segments are kept in {part.name}; --resume goes on"
        raise OutputError(f"{fault}; {kept}") from None


def _objects(
    command: Encode,
    reader: ClipReader,
    sound: Sound | None,
    size: int | None,
    masks: Mapping[str, str] | str,
    parts: Parts,
) -> tuple[int, int]:
    """Encode a clip with a layer for each mask; returns bytes and frames."""
    from splat2d.fit.clip.objects import encode_objects
    from splat2d.media.files import write_atomic

    with write_atomic(command.output, force=command.force) as file, clip_progress("fitting") as progress:
        done = encode_objects(
            lambda: ((frame.pixels, frame.time) for frame in reader),
            masks,
            reader.fps,
            file,
            progress=progress,
            end=lambda: reader.end,
            sound=sound,
            metadata=reader.metadata,
            notes=reader.notes,
            size=size,
            part_of=parts.of,
            **_options(command),
        )
    return done.size, int(done.frames)
