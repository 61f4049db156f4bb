"""What a clip's container says beside pictures and sound: found, kept on demand, written again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from splat2d.format.metadata import MAX_METADATA, Metadata

# Names of texts, and the keys of containers that say them, the best one first.
_KEYS = {
    "title": ("title", "com.apple.quicktime.title"),
    "artist": ("artist", "author", "com.apple.quicktime.artist", "com.apple.quicktime.author"),
    "copyright": ("copyright", "com.apple.quicktime.copyright"),
    "comment": ("comment", "com.apple.quicktime.comment"),
    "description": ("description", "com.apple.quicktime.description"),
    "date": ("com.apple.quicktime.creationdate", "date", "creation_time"),
    "location": ("com.apple.quicktime.location.iso6709", "location", "location-eng"),
}
_PLACE = "location"
_SHOWN = {"artist": "author", "date": "taken"}  # as of pictures
_DROPPED = {"artist": "author", _PLACE: "GPS position"}
# Never kept.
_CAMERA = {
    *("make", "model", "com.apple.quicktime.make", "com.apple.quicktime.model"),
    *("com.android.manufacturer", "com.android.model"),
}
_NO_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
# What these muxers write; others have no place for texts.
_HELD = {
    "mp4": set(_KEYS),
    "matroska": set(_KEYS),
    "webm": set(_KEYS),
    "mov": set(_KEYS) - {"description"},
    "avi": set(_KEYS) - {"description", _PLACE},
}


def texts_of(
    tags: Mapping[str, str], *, keep: bool = False, keep_gps: bool = False
) -> tuple[Metadata | None, tuple[str, ...]]:
    """Return what is kept of a container's tags, and by name what of them is dropped.

    Args:
        tags: by the container's keys.
        keep: whether to keep anything.
        keep_gps: whether to keep the place, too.
    """
    said = {key.lower(): text for key, value in tags.items() if (text := _NO_TEXT.sub("", value).strip())}
    found: dict[str, str] = {}
    for name, keys in _KEYS.items():
        if values := [said[key] for key in keys if key in said]:
            found[name] = values[0]
    kept = {name: text for name, text in found.items() if keep and (name != _PLACE or keep_gps)}
    dropped = [_DROPPED.get(name) or name for name in found if name not in kept]
    dropped += ["camera data"] if _CAMERA & set(said) else []
    metadata = Metadata(texts=tuple(kept.items()))
    while len(metadata.entries()) > MAX_METADATA:
        longest = max(metadata.texts, key=lambda text: len(text[1]))
        metadata = replace(metadata, texts=tuple(text for text in metadata.texts if text != longest))
        dropped.append(f"{_DROPPED.get(longest[0]) or longest[0]}, too long")
    return (metadata if metadata.texts else None), tuple(dropped)


def tags_for(metadata: Metadata | None, muxer: str) -> tuple[dict[str, str], str]:
    """Return the tags that a container gets, and what a user should be told of the rest.

    Args:
        metadata: of the clip.
        muxer: ffmpeg's name of the container.
    """
    if metadata is None:
        return {}, ""
    held = _HELD.get(muxer, set())
    tags = {name: value for name, value in metadata.texts if name in held}
    if _MOMENT.match(tags.get("date", "")):
        tags["creation_time"] = tags["date"]
    lost = [name for name in metadata.names if name not in tags and name != "profile"]
    return tags, f"this output has no place for metadata: {', '.join(lost)}" if lost else ""


def shown_texts(texts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return texts as `info` shows them, in one line each; of a place that there is one."""
    known = {name: value for name, value in texts if name in _KEYS}
    shown = {
        _SHOWN.get(name, name): "".join(filter(str.isprintable, " ".join(value.split())))[:200]
        for name, value in known.items()
        if name != _PLACE
    }
    return {**shown, "place": "kept"} if _PLACE in known else shown
