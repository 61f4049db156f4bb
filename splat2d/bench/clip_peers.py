"""Video codecs of others, and what clips are measured by.

Frames become 4:2:0 once, by one conversion for all, and what a decoder returns becomes RGB by its inverse.
What counts is the raw stream that the decoder needs: parameter sets are in, remarks of the encoder are not.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from splat2d.bench.machine import vectors
from splat2d.bench.metrics import MS_SSIM_SIDE, psnr, require_side
from splat2d.bench.ms_ssim import ms_ssim
from splat2d.errors import ConfigError, ShapeError
from splat2d.media.convert import FromRgb, Matrix, ToRgb, load_av

# By BT.601, ffmpeg's own choice, the peers get up to 0.1 dB more in RGB than by BT.709. The inverse is told,
# so that no decoder's tags can mislead it.
_MATRIX: Matrix = "bt601"
_SITING = "left"


@dataclass(frozen=True)
class ClipPeer:
    """A setting of a video codec.

    Args:
        name: of options and files.
        label: of tables, with the setting.
        family: the codec that this is a setting of.
        optimises: the metric that the setting is made for.
        encoder: ffmpeg's name.
        decoder: ffmpeg's name.
        suffix: of raw streams.
        crfs: constant rate factors, ascending, that cover 0.15 to 0.02 bpp on easy clips and on hard ones.
        options: of the encoder.
        remarks: types of the stream's units that decoders ignore (supplemental enhancement information).
        parameters: name and value of the option by which the encoder takes its threads.
        fixed: more of that value, which does not depend on the threads asked for.
        optional: measured only when it is named, since it takes long.
    """

    name: str
    label: str
    family: str
    optimises: str
    encoder: str
    decoder: str
    suffix: str
    crfs: tuple[int, ...]
    options: dict[str, str] = field(default_factory=dict)
    remarks: tuple[int, ...] = ()
    parameters: tuple[str, str] = ("", "")
    fixed: str = ""
    optional: bool = False


# With AVX-512 the macroblock trees of the x264 in PyAV 18.1 make other files from run to run, up to 3%
# larger; with narrower vectors they are the same each time. x264 takes the name of a set that a CPU lacks
# at its word. A second thread costs it 2% of a small clip.
_X264_FIXED = "threads=1" + (":asm=avx2" if vectors() == "avx512f" else "")
_X26_CRFS = (19, 22, 25, 28, 31, 34, 37, 40, 43, 46)
_METRICS = {"psnr": "psnr", "ssim": "ms_ssim"}


def _x264(tune: str) -> ClipPeer:
    return ClipPeer(
        f"x264-{tune}",
        f"x264 slow {tune}",
        "x264",
        _METRICS[tune],
        "libx264",
        "h264",
        ".h264",
        _X26_CRFS,
        {"preset": "slow", "tune": tune},
        remarks=(6,),
        parameters=("x264-params", ""),
        fixed=_X264_FIXED,
    )


def _x265(tune: str) -> ClipPeer:
    return ClipPeer(
        f"x265-{tune}",
        f"x265 slow {tune}",
        "x265",
        _METRICS[tune],
        "libx265",
        "hevc",
        ".h265",
        _X26_CRFS,
        {"preset": "slow", "tune": tune},
        remarks=(39, 40),
        parameters=("x265-params", "log-level=none:pools={threads}:frame-threads=1"),
    )


def _svt_av1(preset: int, tune: str = "psnr", optional: bool = False) -> ClipPeer:
    return ClipPeer(
        f"svt-av1-{preset}" + ("" if tune == "psnr" else f"-{tune}"),
        f"SVT-AV1 preset {preset} {tune}",
        "svt-av1",
        _METRICS[tune],
        "libsvtav1",
        "libdav1d",
        ".obu",
        (16, 20, 26, 32, 38, 44, 50, 56, 63),
        {"preset": str(preset)},
        parameters=("svtav1-params", "lp={threads}"),
        # PSNR is its default today.
        fixed="tune=1" if tune == "psnr" else "tune=2",
        optional=optional,
    )


PEERS = {
    peer.name: peer
    for peer in (
        _svt_av1(2),
        _svt_av1(6),
        _svt_av1(0, optional=True),
        _svt_av1(2, "ssim"),
        _x265("psnr"),
        _x265("ssim"),
        _x264("psnr"),
        _x264("ssim"),
    )
}


class EncodedClip(NamedTuple):
    """What a codec made of a clip.

    Attributes:
        data: the raw stream.
        frames: [T, H, W, 3] uint8, decoded from it.
        seconds: of encoding, conversion to 4:2:0 left out.
        cpu_seconds: of all threads meanwhile.
    """

    data: bytes
    frames: NDArray[np.uint8]
    seconds: float
    cpu_seconds: float


def encode_clip(
    codec: str,
    frames: NDArray[np.uint8],  # [T, H, W, 3]
    fps: Fraction | int,
    crf: float,
    *,
    threads: int = 1,
) -> EncodedClip:
    """Encode and decode a clip with a codec of others, 4:2:0 with 8 bits.

    Args:
        codec: of `PEERS`.
        frames: uint8 sRGB, with even sides.
        fps: frames a second.
        crf: constant rate factor.
        threads: of the encoder; streams may depend on it.

    Raises:
        ConfigError: an unknown codec, or an encoder that takes no such settings.
        ShapeError: no frames, or odd sides.
        BackendUnavailableError: no PyAV.
    """
    if codec not in PEERS:
        raise ConfigError(f"codec {codec!r} is unknown; expected one of {', '.join(PEERS)}")
    if (
        frames.ndim != 4
        or not len(frames)
        or frames.shape[3] != 3
        or frames.shape[1] % 2
        or frames.shape[2] % 2
    ):
        raise ShapeError(f"expected frames [T, H, W, 3] with even sides, found {list(frames.shape)}")
    peer = PEERS[codec]
    convert = FromRgb(frames.shape[2], frames.shape[1], "yuv420p", _MATRIX, _SITING)
    os.environ.setdefault("SVT_LOG", "1")  # errors only; it prints its settings on stderr otherwise
    planes = []
    for index, pixels in enumerate(frames):
        frame = convert(pixels)
        frame.pts, frame.time_base = index, 1 / Fraction(fps)
        planes.append(frame)
    try:
        start, cpu_start = time.perf_counter(), time.process_time()
        with as_scheduled():
            data = _encode(peer, planes, Fraction(fps), crf, threads)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    except load_av().FFmpegError as fault:
        raise ConfigError(f"{peer.label} cannot encode this at crf {crf:g} ({fault})") from None
    return EncodedClip(data, decode_clip(codec, data, len(frames), threads=threads), seconds, cpu_seconds)


@contextlib.contextmanager
def as_scheduled() -> Iterator[None]:
    """Undo what an encoder does to this thread: SVT-AV1, run by root, makes it a real-time one for good.

    All that is measured afterwards, and its children, would go before everything else on the machine.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)


def _encode(peer: ClipPeer, planes: list[Any], fps: Fraction, crf: float, threads: int) -> bytes:
    """Return a raw stream, in which each parameter set stands where it is first needed."""
    context: Any = load_av().CodecContext.create(peer.encoder, "w")
    context.width, context.height, context.pix_fmt = planes[0].width, planes[0].height, "yuv420p"
    context.framerate, context.time_base = fps, 1 / fps
    option, value = peer.parameters
    value = ":".join(filter(None, (value.format(threads=threads), peer.fixed)))
    context.options = {**peer.options, "crf": f"{crf:g}", option: value}
    data = b"".join(bytes(packet) for frame in [*planes, None] for packet in context.encode(frame))
    return _without(data, peer) if peer.remarks else data


def _without(data: bytes, peer: ClipPeer) -> bytes:
    """Return a stream of H.264 or H.265 without the units that its decoder ignores."""
    shift, mask = (0, 31) if peer.decoder == "h264" else (1, 63)
    # Each unit follows a start code, which its payload cannot contain.
    empty, *parts = re.split(rb"(\x00?\x00\x00\x01)", data)
    units = zip(parts[::2], parts[1::2], strict=True)
    return empty + b"".join(
        code + unit for code, unit in units if (unit[0] >> shift) & mask not in peer.remarks
    )


def decode_clip(codec: str, data: bytes, count: int, *, threads: int = 1) -> NDArray[np.uint8]:
    """Return the frames [T, H, W, 3] of a raw stream, RGB.

    Args:
        codec: of `PEERS`.
        data: the stream.
        count: frames that it must hold.
        threads: of the decoder.
    """
    peer = PEERS[codec]
    context: Any = load_av().CodecContext.create(peer.decoder, "r")
    context.thread_count = threads
    packets = [*context.parse(data), *context.parse(b"")]
    decoded = [frame for packet in [*packets, None] for frame in context.decode(packet)]
    if len(decoded) != count:
        raise RuntimeError(f"{peer.label} returned {len(decoded)} of {count} frames")
    convert = ToRgb(decoded[0], matrix=_MATRIX, full_range=False, chroma=_SITING)
    return np.stack([convert(frame) for frame in decoded])


def frame_psnrs(x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the PSNR in dB of each frame, [T]; arguments as of `clip_psnr`."""
    return np.array([psnr(a, b) for a, b in zip(x, x_hat, strict=True)])


def clip_psnr(x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> float:
    """Return the PSNR in dB of the mean squared error over all samples of all frames; 99 for equal clips.

    Args:
        x: original [T, H, W, 3].
        x_hat: decoded [T, H, W, 3].
    """
    errors = [np.mean((a.astype(np.float64) - b) ** 2) for a, b in zip(x, x_hat, strict=True)]
    error = float(np.mean(errors))
    return 10 * np.log10(255**2 / error) if error else 99.0


def clip_ms_ssim(x: NDArray[np.uint8], x_hat: NDArray[np.uint8]) -> float:
    """Return the mean MS-SSIM of the frames [T, H, W, 3], 1 for equal clips.

    Raises:
        Unmeasurable: a side is too short.
    """
    require_side(x[0], MS_SSIM_SIDE, "MS-SSIM")
    return float(np.mean([ms_ssim(a, b) for a, b in zip(x, x_hat, strict=True)]))


def flicker(frames: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """Return how much the error changes from frame to frame, its mean absolute change in 8-bit levels.

    A clip whose error stands still has 0, however large the error; so has a clip of one frame.

    Args:
        frames: decoded [T, H, W, 3].
        reference: original [T, H, W, 3].
    """
    changes = []
    before = None
    for decoded, original in zip(frames, reference, strict=True):
        error = decoded.astype(np.int16) - original
        if before is not None:
            changes.append(np.mean(np.abs(error - before)))
        before = error
    return float(np.mean(changes)) if changes else 0.0
