"""One interface through which splat2d and video codecs run side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from splat2d.bench.clip_peers import PEERS, decode_clip, encode_clip
from splat2d.bench.codecs import Described, Setting, SplatCodec, own_version
from splat2d.errors import BackendUnavailableError, ConfigError

OURS = "splat2d"
NAMES = (OURS, *(name for name, peer in PEERS.items() if not peer.optional))
"""What is measured unless something else is named."""


class Coded(NamedTuple):
    """A clip's bytes, and what they took.

    Attributes:
        data: the file, or the raw stream.
        seconds: of encoding.
        cpu_seconds: of all threads meanwhile.
    """

    data: bytes
    seconds: float
    cpu_seconds: float


class ClipCodec(Described, Protocol):
    """A codec of clips of 8-bit RGB frames."""

    def settings(self, qualities: Sequence[float], crfs: Sequence[float]) -> tuple[Setting, ...]:
        """Return the settings to measure.

        Args:
            qualities: of splat2d.
            crfs: of the others; each one's own grid when empty.
        """
        ...

    def encode(self, frames: NDArray[np.uint8], fps: Fraction, setting: Setting) -> Coded:
        """Encode a clip [T, H, W, 3]."""
        ...

    def decode(self, data: bytes, count: int) -> NDArray[np.uint8]:
        """Return the frames [T, H, W, 3] of a file that holds so many."""
        ...


@dataclass(frozen=True)
class SplatClips:
    """Splat2d with a preset.

    Args:
        preset: fast, default or best, or the path of a YAML file.
        threads: of encoder and decoder.
    """

    preset: str
    threads: int
    ours = True
    family = OURS
    optimises = "psnr"
    suffix = ".splat"

    @property
    def name(self) -> str:
        """`splat2d-` and the preset."""
        return f"{OURS}-{_stem(self.preset)}"

    @property
    def label(self) -> str:
        """Of tables."""
        return f"{OURS} {_stem(self.preset)}"

    def version(self) -> str:
        """Return its version, and a digest of code and preset."""
        from splat2d.fit.config import load_clip_config

        return own_version(repr(load_clip_config(self.preset).tuned("psnr")))

    def unavailable(self) -> str | None:
        """Return why the native core does not load; None when it does."""
        return SplatCodec(self.preset).unavailable()

    def settings(self, qualities: Sequence[float], crfs: Sequence[float]) -> tuple[Setting, ...]:
        """Return its qualities."""
        return tuple(Setting("quality", value) for value in qualities)

    def encode(self, frames: NDArray[np.uint8], fps: Fraction, setting: Setting) -> Coded:
        """Encode a clip [T, H, W, 3]."""
        import splat2d

        start, cpu_start = time.perf_counter(), time.process_time()
        # As the others, for squared errors, by which they are compared.
        options = {"preset": self.preset, "tune": "psnr", "threads": self.threads}
        data = splat2d.encode(frames, fps=fps, quality=round(setting.value), **options)
        return Coded(data, time.perf_counter() - start, time.process_time() - cpu_start)

    def decode(self, data: bytes, count: int) -> NDArray[np.uint8]:
        """Return all frames [T, H, W, 3] of a file."""
        from splat2d.scene.clip import Clip

        clip = Clip.from_bytes(data, threads=self.threads)
        frames = np.stack([pixels for _, pixels in clip.frames(threads=self.threads)])
        # A clip without colour is coded as one plane.
        return np.ascontiguousarray(np.broadcast_to(frames, (*frames.shape[:3], 3)))


@dataclass(frozen=True)
class Peer:
    """A setting of a video codec of others.

    Args:
        name: of `PEERS`.
        threads: of encoder and decoder.
    """

    name: str
    threads: int
    ours = False

    @property
    def label(self) -> str:
        """Of tables."""
        return PEERS[self.name].label

    @property
    def suffix(self) -> str:
        """Of raw streams."""
        return PEERS[self.name].suffix

    @property
    def family(self) -> str:
        """The codec that it is a setting of."""
        return PEERS[self.name].family

    @property
    def optimises(self) -> str:
        """The metric that it is made for."""
        return PEERS[self.name].optimises

    def version(self) -> str:
        """Return the versions of what encodes, and its options."""
        from splat2d.media.convert import load_av

        av = load_av()
        peer = PEERS[self.name]
        library = ".".join(map(str, av.library_versions["libavcodec"]))
        options = ", ".join(
            filter(None, [*(f"{key} {value}" for key, value in peer.options.items()), peer.fixed])
        )
        return f"{peer.encoder} of PyAV {av.__version__}, libavcodec {library}, {options}"

    def unavailable(self) -> str | None:
        """Return why it cannot run here."""
        from splat2d.media.convert import load_av

        try:
            av = load_av()
        except BackendUnavailableError as fault:
            return str(fault)
        peer = PEERS[self.name]
        lacking = [name for name in (peer.encoder, peer.decoder) if name not in av.codecs_available]
        return f"{peer.label} needs a PyAV with {lacking[0]}" if lacking else None

    def settings(self, qualities: Sequence[float], crfs: Sequence[float]) -> tuple[Setting, ...]:
        """Return its constant rate factors."""
        return tuple(Setting("crf", value) for value in crfs or PEERS[self.name].crfs)

    def encode(self, frames: NDArray[np.uint8], fps: Fraction, setting: Setting) -> Coded:
        """Encode a clip [T, H, W, 3]; converting it to 4:2:0 is not timed."""
        found = encode_clip(self.name, frames, fps, setting.value, threads=self.threads)
        return Coded(found.data, found.seconds, found.cpu_seconds)

    def decode(self, data: bytes, count: int) -> NDArray[np.uint8]:
        """Return the frames [T, H, W, 3] of a raw stream."""
        return decode_clip(self.name, data, count, threads=self.threads)


def choose(names: Sequence[str], presets: Sequence[str], threads: int = 1) -> list[ClipCodec]:
    """Return the codecs that a command line names, ours once for each preset.

    Args:
        names: `splat2d`; of `PEERS`; and of families, such as `x265`, for all their settings that are not
            optional.
        presets: of splat2d.
        threads: of each codec.

    Raises:
        ConfigError: a name or a preset that does not exist.
    """
    out: dict[str, ClipCodec] = {}
    for name in names:
        if name == OURS:
            found: list[ClipCodec] = [SplatClips(preset, threads) for preset in presets]
        else:
            settings = [p for p in PEERS.values() if p.name == name or (p.family == name and not p.optional)]
            found = [Peer(peer.name, threads) for peer in settings]
            if not found:
                words = dict.fromkeys(word for peer in PEERS.values() for word in (peer.family, peer.name))
                raise ConfigError(f"codec {name!r} is unknown; expected one of {', '.join((OURS, *words))}")
        out |= {codec.name: codec for codec in found}
    for codec in out.values():
        if isinstance(codec, SplatClips):
            codec.version()  # a preset that does not exist shows here
    return list(out.values())


def segment_facts(data: bytes) -> tuple[int, list[int]]:
    """Return how many splats a .splat clip holds, and the first frame of each segment but the first."""
    from splat2d.scene.clip import Clip

    clip = Clip.from_bytes(data)
    spans = [place.span for place in clip.document.container.places]
    return clip.info()["splats"], [span.first for span in spans[1:] if span is not None]


def _stem(preset: str) -> str:
    return Path(preset).stem
