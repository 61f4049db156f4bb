"""Which codecs of pictures there are, and which of them a command line names."""

from __future__ import annotations

from collections.abc import Iterable

from splat2d.bench.codecs import Codec, SplatCodec
from splat2d.bench.pillow_codecs import peers
from splat2d.errors import ConfigError

OURS = "splat2d"
NAMES = (OURS, *(peer.name for peer in peers() if not peer.optional))
"""What is measured unless something else is named."""


def choose(names: Iterable[str], presets: Iterable[str], threads: int | None = None) -> list[Codec]:
    """Return the codecs that a command line names, ours once for each preset.

    Args:
        names: `splat2d`; names of peers; and of families, such as `avif`, for all their settings that are
            not optional.
        presets: of splat2d: PRESET, or PRESET:TUNE, with `:texture` behind it to draw texture.
        threads: of each codec that uses more than one.

    Raises:
        ConfigError: a name, a preset or a tune that does not exist.
    """
    known = peers(threads)
    out: dict[str, Codec] = {}
    for name in names:
        if name == OURS:
            found: list[Codec] = [SplatCodec.parse(preset, threads) for preset in presets]
        else:
            found = [p for p in known if p.name == name or (p.family == name and not p.optional)]
            if not found:
                words = dict.fromkeys(word for peer in known for word in (peer.family, peer.name))
                raise ConfigError(f"codec {name!r} is unknown; expected one of {', '.join((OURS, *words))}")
        out |= {codec.name: codec for codec in found}
    return list(out.values())
