"""`splat2d decode` of a clip."""

from __future__ import annotations

import contextlib
import os
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from splat2d.cli._arguments import UsageError
from splat2d.cli._stdio import STDIO, binary_stdout
from splat2d.cli._terminal import clip_progress, print_json, warn
from splat2d.errors import BitstreamError, ConfigError, OutputError
from splat2d.media.files import check_output, shown

if TYPE_CHECKING:
    from splat2d.cli.decode import Decode
    from splat2d.scene.clip import Clip


def decode_clip(clip: Clip, command: Decode, size: dict[str, Any], start: float) -> None:
    """Render frames into a video file or images, or one moment into a picture.

    Args:
        clip: the file.
        command: the command line.
        size: size and window, as `Clip.render` takes them.
        start: when the command began, s of `time.perf_counter`.

    Raises:
        UsageError: options in contradiction.
        Splat2dError: what the file, the settings or the output are at fault for.
    """
    if command.device == "cuda":
        raise UsageError("--device cuda is for pictures; clips are drawn on the CPU")
    if command.time is not None and command.fps is not None:
        raise UsageError("--time and --fps exclude each other: one picture has no rate")
    with clip:
        if command.time is not None:
            count, sides = _one(clip, command, size), None
        else:
            count, sides = _all(clip, command, size)
    warn(clip.damaged)
    seconds = time.perf_counter() - start
    width, height = sides or (0, 0)
    if command.as_json:
        figures = {
            "input": command.input,
            "output": command.output,
            "frames": count,
            "width": width or None,
            "height": height or None,
            "seconds": seconds,
            "damaged": clip.damaged,
        }
        print_json(figures)
    else:
        shape = f"{width}x{height}, " if sides else ""
        print(f"{command.output}: {shape}{count:,} frame{'s' * (count != 1)}, {seconds:.3f} s")


def _one(clip: Clip, command: Decode, size: dict[str, Any]) -> int:
    """One moment as a picture."""
    from splat2d.media.save import picture_format, save_picture

    check_output(command.output, force=command.force)
    as_float = picture_format(command.output) == "NPY"
    render = clip.render_float if as_float else clip.render
    pixels = _named(command, lambda: render(time=command.time or 0, **size))
    save_picture(pixels, command.output, force=command.force, metadata=clip.document.container.metadata)
    return 1


def _all(clip: Clip, command: Decode, size: dict[str, Any]) -> tuple[int, tuple[int, int]]:
    """All frames; returns their number and size."""
    from splat2d.media.frames import ClipProgress
    from splat2d.media.patterns import is_numbered
    from splat2d.media.reader import parse_fps
    from splat2d.media.save import picture_format
    from splat2d.media.writer import ClipWriter, check_clip_output

    sink, output = None, command.output
    if output == STDIO:
        sink, output = binary_stdout(), f"standard output.{(command.format or 'y4m').lstrip('.')}"
    try:
        if sink is None:
            check_clip_output(command.output, force=command.force)
    except OutputError:
        picture = None
        with contextlib.suppress(ConfigError, OutputError):
            picture = picture_format(command.output)
        if picture is None or is_numbered(command.output):
            raise
        name = os.path.splitext(command.output)
        raise UsageError(
            f"{shown(command.output)} is one picture and this is a clip of {clip.count} frames: give a "
            f"--time, or a pattern such as {shown(name[0])}_%04d{name[1]}"
        ) from None
    fps = None if command.fps is None else parse_fps(command.fps)
    frames = clip.frames(fps=fps, **size)
    moment, pixels = _named(command, lambda: next(frames))
    height, width = pixels.shape[:2]
    total = clip.count if fps is None else max(int(clip.duration * fps), 1)
    rate = fps or Fraction(clip.fps)
    last = None if fps else clip.duration - clip.time_of(clip.count - 1)
    sound, warnings = (None, []) if command.no_audio else clip.heard()
    done = 0
    with (
        clip_progress("decoding") as progress,
        ClipWriter(
            output,
            width,
            height,
            rate,
            force=command.force,
            file=sink,
            last=last,
            sound=sound,
            alpha=clip.has_alpha,
            metadata=clip.document.container.metadata,
        ) as writer,
    ):
        while True:
            writer.write(pixels, moment)
            done += 1
            if progress is not None:
                progress(ClipProgress(done, total, 0))
            following = _named(command, lambda: next(frames, None))
            if following is None:
                break
            moment, pixels = following
    warn([*warnings, *writer.warnings])
    return done, (width, height)


def _named(command: Decode, work: Any) -> Any:
    """What `work` returns; damage names the file and the way around it."""
    try:
        return work()
    except BitstreamError as fault:
        raise BitstreamError(f"{shown(command.input)}: {fault}; --skip-damaged leaves it out") from None
