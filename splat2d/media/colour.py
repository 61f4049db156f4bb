"""Colour of a picture on the way in: Pillow's modes and ICC profiles to 8-bit grey or sRGB."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

SINGLE_MODES = {"I", "I;16", "I;16B", "I;16L", "I;16N", "F"}
"""Pillow's modes of one channel with more than 8 bits."""

GREY_MODES = SINGLE_MODES | {"1", "L", "LA", "La"}
"""Pillow's modes without colour."""

_SAME_PROFILE = 2  # levels of 255: a profile this close to sRGB everywhere is sRGB


def profile_transform(image: Image.Image, notes: list[str], *, grey: bool) -> Any:
    """Return the ICC transform from a picture's colour to sRGB, None where nothing is to convert.

    Args:
        image: The picture with its profile in `info`.
        notes: Takes a sentence on what happened, unless the profile is sRGB.
        grey: Whether the picture has no colour, whatever its mode.

    Returns:
        An ImageCms transform from L, RGB or CMYK to RGB, relative colorimetric with black point
        compensation; or None.
    """
    data = image.info.get("icc_profile")
    if not data:
        return None
    from PIL import ImageCms

    space = "GRAY" if grey else "CMYK" if image.mode == "CMYK" else "RGB"
    mode = "L" if grey else space
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        found = ImageCms.core.profile_frombytes(data).xcolor_space.strip()
        # It goes to a terminal one day, so nothing that could be a control sequence stays in it.
        text = "".join(filter(str.isprintable, ImageCms.getProfileDescription(profile).strip()))
        label = f'ICC profile "{text[:60]}"'
        if found != space:
            notes.append(f"{label} is for {found} and does not fit, so it was ignored")
            return None
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if mode != "CMYK" and _changes_nothing(transform, grey=grey):
            return None
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        notes.append("ICC profile is damaged and was ignored")
        return None
    notes.append(f"{label} converted to sRGB")
    return transform


def eight_bit_colour(image: Image.Image, notes: list[str], *, grey: bool, to_srgb: Any) -> Image.Image:
    """Return a picture of at most 8 bits as L, LA, RGB or RGBA (straight alpha) in sRGB.

    Args:
        image: A loaded picture in any of Pillow's modes except those of SINGLE_MODES.
        notes: Takes a sentence on each conversion.
        grey: Whether the picture has no colour, whatever its mode.
        to_srgb: What `profile_transform` returned.

    Returns:
        The picture; grey if it was grey, with alpha if it can be transparent.
    """
    transparent = image.has_transparency_data
    mode = ("L" if grey or _grey_palette(image) else "RGB") + ("A" if transparent else "")
    if image.mode == "CMYK":
        if to_srgb is not None:
            return _apply(to_srgb, image)
        notes.append("CMYK converted to RGB without a profile")
    elif image.mode == "LAB":
        from PIL import ImageCms

        notes.append("Lab converted to sRGB")
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return _apply(ImageCms.buildTransform(lab, srgb, "LAB", "RGB"), image)
    elif image.mode in ("YCbCr", "HSV"):
        notes.append(f"{image.mode} converted to RGB")
    elif image.mode in ("P", "PA"):
        notes.append("palette resolved")
    if image.mode != mode:
        image = image.convert(mode)
    if to_srgb is None:
        return image
    base = _apply(to_srgb, image.convert(mode.removesuffix("A")))
    if mode.startswith("L"):
        base = base.getchannel("G")  # grey becomes neutral, so any channel would do
    if transparent:
        base.putalpha(image.getchannel("A"))
    return base


def _changes_nothing(transform: Any, *, grey: bool) -> bool:
    """Return whether a transform leaves a grid of colours as it is.

    What a profile is called proves nothing, and there are dozens that are sRGB.
    """
    from PIL import Image

    levels = np.linspace(0, 255, 256 if grey else 6).round().astype(np.uint8)
    grid = levels[None] if grey else np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
    before = Image.fromarray(np.ascontiguousarray(grid))
    after = np.asarray(_apply(transform, before)).astype(int)
    return bool(np.abs(after - np.asarray(before.convert("RGB"))).max() <= _SAME_PROFILE)


def _apply(transform: Any, image: Image.Image) -> Image.Image:
    """Return a picture in sRGB after an ICC transform."""
    from PIL import ImageCms

    out = ImageCms.applyTransform(image, transform)
    assert out is not None  # it is None only with inPlace=True
    return out


def _grey_palette(image: Image.Image) -> bool:
    """Return whether a palette picture without ICC profile uses grey entries only."""
    if image.mode != "P" or image.info.get("icc_profile"):
        return False
    palette = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    used = np.unique(np.asarray(image))
    if used[-1] >= len(palette):
        return False
    entries = palette[used]
    return bool((entries == entries[:, :1]).all())
