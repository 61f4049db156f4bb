"""What pictures say beside their pixels: found, stripped of what must not travel, shown and written again."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from splat2d.format.metadata import MAX_METADATA, Metadata
from splat2d.media.texts import shown_texts

if TYPE_CHECKING:
    from PIL import Image

# EXIF tags.
_DESCRIPTION, _ARTIST, _COPYRIGHT, _ORIENTATION = 0x010E, 0x013B, 0x8298, 0x0112
_EXIF_IFD, _GPS_IFD, _MAKER_NOTE = 0x8769, 0x8825, 0x927C
_MAKE, _MODEL, _SOFTWARE, _DATE = 0x010F, 0x0110, 0x0131, 0x0132
_TAKEN = 0x9003
# Others say how the samples lie in their file.
_PLAIN = {_DESCRIPTION, _ARTIST, _COPYRIGHT, _MAKE, _MODEL, _SOFTWARE, _DATE, *range(0x9C9B, 0x9CA0)}
# Versions, colour space and size, which programs write without being asked.
_NO_NEWS = {0x9000, 0x9101, 0xA000, 0xA001, 0xA002, 0xA003, 0xA005}
_TEXTS = {"Description": _DESCRIPTION, "Author": _ARTIST, "Copyright": _COPYRIGHT}  # of PNG
_XMP_TAG = 700  # of TIFF
_SCREENS = (72, 96)  # px an inch that programs write where nobody knows

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": _RDF[1:-1],
    "exif": "http://ns.adobe.com/exif/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
}
_WRITERS = {"JPEG", "PNG", "WEBP", "TIFF", "AVIF"}


@dataclass(frozen=True)
class Keep:
    """What of a file's metadata is kept.

    Args:
        metadata: anything.
        gps: the place, too.
    """

    metadata: bool = False
    gps: bool = False


NOTHING = Keep()


@dataclass(frozen=True)
class Found:
    """What a file said.

    Args:
        kept: what goes into the .splat file; None for nothing.
        dropped: what does not, by name.
    """

    kept: Metadata | None
    dropped: tuple[str, ...]

    @property
    def note(self) -> str:
        """What is dropped, in a sentence; empty for nothing."""
        return f"dropped: {', '.join(self.dropped)}" if self.dropped else ""

    def alert(self, *, keep: bool) -> str:
        """The same for who may not know that it could be kept."""
        return self.note if keep or not self.note else f"{self.note}; --keep-metadata keeps what can be kept"


def metadata_of(image: Image.Image, *, keep: bool = False, keep_gps: bool = False) -> Found:
    """Return what a picture's file said, and what of it is dropped.

    Orientation is not kept, as the picture is upright, nor are thumbnails, the maker's notes, or, unless
    asked for, where the picture was taken.

    Args:
        image: opened by Pillow.
        keep: whether to keep anything.
        keep_gps: whether to keep the place, too.
    """
    exif, gps = _exif(image, keep_gps)
    xmp, placed = _xmp(image, keep_gps)
    resolution = _resolution(image)
    names = {
        f"resolution ({resolution[0]:.4g} dpi)" if resolution else "": resolution is not None,
        "author": _ARTIST in exif,
        "copyright": _COPYRIGHT in exif,
        "description": _DESCRIPTION in exif,
        "camera data": bool({_MAKE, _MODEL} & set(exif) or set(exif.get_ifd(_EXIF_IFD)) - _NO_NEWS),
        "XMP": bool(xmp),
    }
    lost = {
        "GPS position": gps or placed,
        "IPTC": "photoshop" in image.info,
        "comment": bool(image.info.get("comment")) and image.format in ("JPEG", "PNG"),
    }
    dropped = [name for name, there in lost.items() if there]
    if not keep:
        return Found(None, (*(name for name, there in names.items() if there), *dropped))
    blob = exif.tobytes().removeprefix(b"Exif\0\0") if len(exif) else b""
    kept = Metadata(blob, xmp, _profile(image), resolution)
    for name in ("xmp", "exif"):
        if len(kept.entries()) > MAX_METADATA:
            kept = replace(kept, **{name: b""})
            dropped.append(f"{name.upper()}, too long")
    return Found(kept if kept.entries() else None, tuple(dropped))


def save_options(metadata: Metadata | None, format_name: str) -> dict[str, Any]:
    """Return options of Pillow's `save` that write metadata; none for formats that hold none.

    Args:
        metadata: of the picture.
        format_name: Pillow's.
    """
    if metadata is None or format_name not in _WRITERS:
        return {}
    options: dict[str, Any] = {}
    if metadata.exif:
        options["exif"] = b"Exif\0\0" + metadata.exif
    if metadata.resolution and format_name in ("JPEG", "PNG", "TIFF"):
        dpi = metadata.resolution
        options["dpi"] = dpi if format_name != "JPEG" else tuple(round(side) for side in dpi)
    if metadata.xmp and format_name == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode())
        options["pnginfo"] = info
    elif metadata.xmp and format_name == "TIFF":
        exif = _loaded(metadata.exif)
        exif[_XMP_TAG] = metadata.xmp
        options["exif"] = exif.tobytes()  # of an object Pillow would write the first directory only
    elif metadata.xmp:
        options["xmp"] = metadata.xmp
    return options


def summary(metadata: Metadata) -> dict[str, Any]:
    """Return what metadata says, for people and JSON."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of damage
        return _summary(metadata)


def _summary(metadata: Metadata) -> dict[str, Any]:
    exif = _loaded(metadata.exif)
    inner = exif.get_ifd(_EXIF_IFD)
    place = exif.get_ifd(_GPS_IFD)
    camera = " ".join(str(exif[tag]) for tag in (_MAKE, _MODEL) if tag in exif)
    words = {
        "author": exif.get(_ARTIST),
        "copyright": exif.get(_COPYRIGHT),
        "description": exif.get(_DESCRIPTION),
        "camera": camera or None,
        "taken": inner.get(_TAKEN) or exif.get(_DATE),
        "profile": metadata.profile or None,
    }
    shown: dict[str, Any] = {
        name: "".join(filter(str.isprintable, str(value)))[:200] for name, value in words.items() if value
    }
    if metadata.resolution:
        shown["dpi"] = list(metadata.resolution)
    shown |= shown_texts(metadata.texts)
    if place:
        shown["place"] = "kept"
    if metadata.texts and not (metadata.exif or metadata.xmp):
        return shown  # of a video, which has neither
    return {**shown, "exif_bytes": len(metadata.exif), "xmp_bytes": len(metadata.xmp)}


def _loaded(data: bytes) -> Any:
    """Return Pillow's EXIF of a TIFF structure; an empty one of damage."""
    from PIL import Image

    exif = Image.Exif()
    try:
        if data:
            exif.load(b"Exif\0\0" + data)
            for directory in (_EXIF_IFD, _GPS_IFD):
                exif.get_ifd(directory)
    except Exception:  # damage makes it raise almost anything, and the picture is worth having
        return Image.Exif()
    return exif


def _exif(image: Image.Image, keep_gps: bool) -> tuple[Any, bool]:
    """Return EXIF without what is not kept, and whether it told the place."""
    from PIL import Image

    exif = Image.Exif()
    placed = False
    try:
        found = image.getexif()
        for tag in _PLAIN & set(found):
            exif[tag] = found[tag]
        inner = {tag: v for tag, v in found.get_ifd(_EXIF_IFD).items() if tag != _MAKER_NOTE}
        place = dict(found.get_ifd(_GPS_IFD))
        if inner:
            exif.get_ifd(_EXIF_IFD).update(inner)
            exif[_EXIF_IFD] = exif.get_ifd(_EXIF_IFD)
        if place and keep_gps:
            exif.get_ifd(_GPS_IFD).update(place)
            exif[_GPS_IFD] = exif.get_ifd(_GPS_IFD)
        placed = bool(place) and not keep_gps
        for name, tag in _TEXTS.items():
            text = image.info.get(name)
            if tag not in exif and isinstance(text, str) and image.format == "PNG":
                exif[tag] = text
        exif.tobytes()
    except Exception:  # the pixels are worth having whatever is wrong with the metadata
        return Image.Exif(), placed
    return exif, placed


def _xmp(image: Image.Image, keep_gps: bool) -> tuple[bytes, bool]:
    """Return the XMP packet without what is not kept, and whether it told the place."""
    packet: Any = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    if not packet and image.format == "TIFF":
        packet = getattr(image, "tag_v2", {}).get(_XMP_TAG, b"")
    packet = packet.encode() if isinstance(packet, str) else bytes(packet)
    packet = packet.strip(b"\0 \n\r\t")
    placed = b"GPS" in packet and not keep_gps
    if not packet:
        return b"", False
    try:
        packet.decode()
        if placed or b"Orientation" in packet:
            packet = _cleaned(packet, keep_gps)
    except (SyntaxError, UnicodeDecodeError):  # a parser's error is a SyntaxError
        return b"", placed
    return packet, placed


def _cleaned(packet: bytes, keep_gps: bool) -> bytes:
    """Return an XMP packet of an upright picture, and of no place unless that is kept.

    Raises:
        SyntaxError: it is no XML.
    """
    from xml.etree import ElementTree

    if b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        raise SyntaxError("entities have no place in XMP")
    for prefix, uri in _NAMESPACES.items():
        ElementTree.register_namespace(prefix, uri)
    text = re.sub(rb"<\?xpacket.*?\?>", b"", packet, flags=re.DOTALL)
    root = ElementTree.fromstring(text)

    def goes(name: str) -> bool:
        local = name.rpartition("}")[2]
        return local == "Orientation" or (local.startswith("GPS") and not keep_gps)

    for element in root.iter():
        for name in [name for name in element.attrib if goes(name)]:
            del element.attrib[name]
        for child in [child for child in element if goes(child.tag)]:
            element.remove(child)
    out = io.BytesIO()
    ElementTree.ElementTree(root).write(out, encoding="utf-8")
    return out.getvalue()


def _resolution(image: Image.Image) -> tuple[float, float] | None:
    """Return px an inch, across and down; None where the file does not tell, or tells what screens have."""
    try:
        across, down = (float(side) for side in image.info.get("dpi", (0, 0)))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not (1 < across < 1e6 and 1 < down < 1e6):
        return None
    if round(across) == round(down) and round(across) in _SCREENS:
        return None
    return across, down


def _profile(image: Image.Image) -> str:
    """Return the name of the ICC profile."""
    data = image.info.get("icc_profile")
    if not data:
        return ""
    from PIL import ImageCms

    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(data)))
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return ""
    return "".join(filter(str.isprintable, name.strip()))[:200]
