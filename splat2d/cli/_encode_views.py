"""`splat2d encode` of the views of a light field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from splat2d.cli._arguments import UsageError
from splat2d.cli._terminal import print_json, progress_bar, warn

if TYPE_CHECKING:
    from splat2d.cli.encode import Encode

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


def parse_grid(option: str, text: str) -> tuple[int, int]:
    """Columns and rows, or width and height, from `5x5`.

    Raises:
        UsageError: it is no such text.
    """
    match = _SIZE.fullmatch(text.lower())
    if not match or "0" in (match[1].lstrip("0") or "0", match[2].lstrip("0") or "0"):
        raise UsageError(f"--{option} {text!r} is not understood; expected columns and rows, as 5x5")
    return int(match[1]), int(match[2])


def encode_views(command: Encode, size: int | None) -> None:
    """Fit the views, write the file, print one line.

    Args:
        command: the command line.
        size: most bytes of the file, or None.

    Raises:
        UsageError: an option that only pictures or clips have.
        Splat2dError: what the input, the settings or the files are at fault for.
    """
    for option in ("labels", "peak", "fps", "scheduler"):
        if getattr(command, option) is not None:
            raise UsageError(f"--{option} is not for light fields")
    if command.mask or command.keep_metadata or command.resume or command.jobs != 1:
        raise UsageError("--mask, --keep-metadata, --resume and --jobs are not for light fields")

    from splat2d.fit.views.encode import encode_views
    from splat2d.fit.views.planes import doubt
    from splat2d.media.files import check_output, write_atomic
    from splat2d.media.views import cut_views, load_views

    check_output(command.output, force=command.force)
    if command.lenslet is not None:
        views = cut_views(command.input, parse_grid("lenslet", command.lenslet))
    else:
        views = load_views(command.input, parse_grid("views", command.views or "") if command.views else None)
    warn(views.warnings)
    if doubtful := doubt(views.pixels, views.eyes):
        warn([doubtful])
    with progress_bar("fitting") as progress:
        encoded = encode_views(
            views.pixels,
            views.eyes,
            quality=command.quality,
            psnr=command.psnr,
            bpp=command.bpp,
            size=size,
            preset=command.preset,
            tune=command.tune,
            seed=command.seed,
            backend=command.backend,
            progress=progress,
        )
    with write_atomic(command.output, force=command.force) as file:
        file.write(encoded.data)
    count, height, width, channels = views.pixels.shape
    bpp = 8 * len(encoded.data) / (count * width * height)
    if command.as_json:
        print_json(
            {
                "input": command.input,
                "output": command.output,
                "size": len(encoded.data),
                "bpp": bpp,
                "width": width,
                "height": height,
                "channels": channels,
                "views": count,
                "splats": encoded.splats,
                "psnr": encoded.psnr,
                "seconds": encoded.seconds,
                "quality": encoded.quality,
                "preset": command.preset,
                "tune": command.tune,
                "seed": command.seed,
                "warnings": [*views.warnings, *filter(None, [doubtful])],
            }
        )
    else:
        print(
            f"{command.output}: {len(encoded.data):,} bytes, {bpp:.4f} bpp, {count} views, "
            f"{encoded.splats:,} splats, {encoded.psnr:.2f} dB, {encoded.seconds:.2f} s"
        )
