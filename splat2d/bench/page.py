"""A page on which a person sees the codecs' pictures side by side, at about equal rate."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from splat2d.bench.codecs import Codec, SplatCodec
from splat2d.bench.once import load_pixels
from splat2d.bench.pillow_codecs import peers
from splat2d.bench.results import Rows, good_rows
from splat2d.errors import Splat2dError

RATES = (0.12, 0.25, 0.5)  # bits a pixel
_FIGURES = ("setting", "bytes", "bpp", "psnr", "ms_ssim", "ssimulacra2", "texture", "encode_s")


def write_page(
    result: dict[str, Any],
    out: Path,
    sources: Sequence[Path],
    rates: Sequence[float] = RATES,
    note: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write index.html and, in pictures/, the originals and what the codecs' files decode to.

    Of each picture and codec only the files nearest to `rates` are decoded: they are what the page shows.
    What is there already is not decoded again.

    Args:
        result: of a finished run.
        out: folder of the result, with the coded files.
        sources: paths of the originals; of a picture without one the page shows none.
        rates: bits a pixel.
        note: told of files that are gone or do not decode.

    Returns:
        The path of index.html.
    """
    rows = good_rows(result)
    known = _decoders(result)
    stems = {path.stem: path for path in reversed(sources)}
    pictures: list[dict[str, Any]] = []
    lacking: set[str] = set()
    for picture in sorted(result["pictures"].values(), key=lambda p: p["name"]):
        name = picture["name"]
        folder = out / "pictures" / name
        source = stems.get(name) or stems.get(name.rpartition("-")[0])
        choices = nearest_rows(rows, name, rates)
        if source is None or not choices:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        _save(folder / "original.png", lambda path=source: load_pixels(path))
        views = []
        for rate in rates:
            shown = []
            for codec, row in choices[rate].items():
                file = out / row["file"] if row.get("file") else None
                decoded = folder / f"{codec}-{row['setting'].replace('=', '-')}.png"
                if codec not in known or file is None or not file.is_file():
                    lacking.add(f"{name}, {codec}")
                    continue
                # An older picture is of an older file.
                if decoded.exists() and decoded.stat().st_mtime < file.stat().st_mtime:
                    decoded.unlink()
                try:
                    _save(decoded, lambda c=known[codec], f=file: c.decode(f.read_bytes()))
                except Splat2dError as fault:
                    note(f"{name}, {codec}: {fault}")
                    continue
                figures = {key: row.get(key) for key in _FIGURES}
                label = result["codecs"][codec]["label"]
                shown.append({"label": label, "png": decoded.relative_to(out).as_posix(), **figures})
            views.append({"rate": rate, "codecs": shown})
        original = f"pictures/{name}/original.png"
        pictures.append({"original": original, "views": views, **picture})
    if lacking:
        some = f"{min(lacking)} and {len(lacking) - 1} more" if len(lacking) > 1 else min(lacking)
        note(f"the page lacks {some}: no coded file, or nothing to decode it")
    template = files("splat2d.bench").joinpath("page.html").read_text(encoding="utf-8")
    # Inside a script element only "<" could end it.
    data = json.dumps(pictures).replace("<", "\\u003c")
    page = out / "index.html"
    page.write_text(template.replace("/*PICTURES*/[]", data), encoding="utf-8")
    return page


def _decoders(result: dict[str, Any]) -> dict[str, Codec]:
    """Return what decodes each codec's files here; those of earlier runs are shown too."""
    others = {peer.name: peer for peer in peers()}
    found = {n: SplatCodec() if c["ours"] else others.get(n) for n, c in result["codecs"].items()}
    return {name: codec for name, codec in found.items() if codec and not codec.unavailable()}


def nearest_rows(rows: Rows, name: str, rates: Sequence[float]) -> dict[float, dict[str, dict[str, Any]]]:
    """Return, by rate and codec, the row of a picture that comes nearest to the rate as a ratio."""
    having = {codec: found[name] for codec, found in rows.items() if found.get(name)}
    if not having:
        return {}
    return {
        rate: {
            codec: min(points, key=lambda row: abs(math.log(row["bpp"] / rate)))
            for codec, points in having.items()
        }
        for rate in rates
    }


def _save(path: Path, pixels: Callable[[], Any]) -> None:
    if path.exists():
        return
    from PIL import Image

    # Quick rather than small: a folder of these is looked at, not sent.
    Image.fromarray(pixels()).save(path, compress_level=1)
