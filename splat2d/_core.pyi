# The native module (cpp/bind*.cpp). Arrays must be C-contiguous and of exactly these dtypes; nothing is
# converted. A wrong dtype is a TypeError, a wrong shape a ValueError.

from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

_F32 = NDArray[np.float32]
_F64 = NDArray[np.float64]
_I32 = NDArray[np.int32]
_I64 = NDArray[np.int64]
_U8 = NDArray[np.uint8]

TIERS: int
LEAF_LOG2: tuple[int, ...]  # of the leaf cells' sides, by tier
MARGIN: int  # px beyond each edge of the canvas that centres may have
MAX_COLOR: int
MAX_ANGLES: int

def granted_threads(asked: int) -> int: ...  # one at least; one in a forked process

# Rendering: means [N, 2] px, conics [N, 3] px^-2, colors [N, C], background [C].

def render(
    means: _F32,
    conics: _F32,
    colors: _F32,
    width: int,
    height: int,
    cutoff: float,
    background: _F32 | None = None,
    threads: int = 1,
    cutoffs: _F32 | None = None,  # [N], instead of cutoff
    texture: Texture | None = None,
) -> _F32: ...  # [C, H, W]
def render_into(
    means: _F32,
    conics: _F32,
    colors: _F32,
    cutoff: float,
    background: _F32 | None,
    threads: int,
    out: _F32,  # [C, H, W]
) -> None: ...
def render_bytes(
    means: _F32,
    conics: _F32,
    colors: _F32,
    width: int,
    height: int,
    cutoff: float,
    background: _F32 | None = None,
    unpremultiply: bool = False,
    threads: int = 1,
    cutoffs: _F32 | None = None,  # [N], instead of cutoff
    texture: Texture | None = None,
) -> NDArray[np.uint8]: ...  # [H, W, C]
def backward_into(
    means: _F32,
    conics: _F32,
    colors: _F32,
    v_out: _F32,  # [C, H, W]
    cutoff: float,
    threads: int,
    v_means: _F32,
    v_conics: _F32,
    v_colors: _F32,
) -> None: ...
def through_window(
    means: NDArray[np.float64],
    conics: NDArray[np.float64],
    colors: NDArray[np.float64],
    place: tuple[float, float, float, float],  # x, y, scale_x, scale_y
    width: int,
    height: int,
    cutoff: float,
    threads: int = 1,
) -> tuple[_F32, _F32, _F32, _I32]: ...  # of those that touch the window, and their indices [M]
def count_pairs(means: _F32, conics: _F32, colors: _F32, width: int, height: int, cutoff: float) -> float: ...

# Quantised splats: integers [N, C + 5] are k (C of them), area, aspect, angle, iy, ix.

def dequantize(
    integers: _I32, step: float, chroma_step: int = 10, threads: int = 1
) -> tuple[_F32, _F32, _F32]: ...
def quantize(
    means: _F32, conics: _F32, colors: _F32, width: int, height: int, step: float, chroma_step: int = 10
) -> _I32: ...  # [N, C + 5], the nearest; all zero where the colour rounds to nothing
def energy_classes(colors: _I32, chroma_step: int) -> _I32: ...  # [N, C] -> [N]
def tiers(classes: _I32, areas: _I32) -> _I32: ...  # [N]
def area_ranges(classes: _I32, tier: int) -> _I32: ...  # [N, 2], lowest and highest
def angle_counts(classes: _I32, aspects: _I32) -> _I32: ...  # [N]
def shapes_in_range(classes: _I32, shapes: _I32) -> NDArray[np.bool_]: ...  # shapes [N, 2 or more] -> [N]

# Leaf cells: corners [N, 2] (x, y), width and height in Q12 px; shapes are area, aspect, angle (, iy, ix).

def cell_points(classes: _I32, shapes: _I32, corners: _I64, width: int, height: int) -> _I64: ...  # [N]
def cell_indices(classes: _I32, shapes: _I32, corners: _I64, width: int, height: int) -> _I64: ...  # [N]
def cell_centers(
    classes: _I32, shapes: _I32, corners: _I64, width: int, height: int, indices: _I64
) -> _I32: ...  # [N, 2] iy, ix
def lattice_centers(classes: _I32, shapes: _I32) -> _I64: ...  # [N, 2] x, y, Q12 px from the margin's corner

# Coded fields (cpp/model).

ATTRIBUTES: tuple[str, ...]  # what bits are spent on

class Network:
    def __init__(self, data: bytes) -> None: ...

class Tap: ...  # looks at what is coded

class BitCounter(Tap):
    def bits(self) -> dict[str, float]: ...  # by attribute

class Recorder(BitCounter):
    def __init__(self, neighbours: bool = True, own: bool = True, earlier: bool = True) -> None: ...
    def arrays(self) -> dict[str, NDArray[np.integer]]: ...  # cpp/bind/format.cpp lists them

def encode_field(
    network: Network,
    integers: _I32,  # [N, C + 5], [N, C + 9] with frames or [N, C + 6] with eyes
    width: int,
    height: int,
    channels: int,
    chroma_step: int,
    step_code: int,
    frames: int = 0,
    eyes: tuple[int, int, int] = ...,  # views, spread and farthest of their eyes, Q8
    most_in_part: int = ...,  # splats; a field of more than four times as many is split into parts
    least_for_directory: int = ...,  # bytes
    threads: int = 1,
    tap: Tap | None = None,
) -> tuple[bytes, _I32]: ...  # and the integers in the order in which they are decoded
def code_lengths(
    network: Network,
    integers: _I32,  # [N, C + 5]; rows without colour are left out
    width: int,
    height: int,
    channels: int,
    chroma_step: int,
    step_code: int,
    threads: int = 1,
) -> NDArray[np.uint8]: ...  # [N, bytes] as the native `sweep` takes them
def decode_field(
    network: Network,
    data: bytes,
    width: int,
    height: int,
    channels: int,
    chroma_step: int,
    step_code: int,
    frames: int = 0,
    eyes: tuple[int, int, int] = ...,
    tiers: int = ...,
    window: tuple[int, int, int, int] | None = None,  # left, top, right, bottom, px
    threads: int = 1,
    tap: Tap | None = None,
) -> tuple[_I32, tuple[int, ...]]: ...  # integers, and how many of each tier

class PartReader:
    """A field that is decoded part by part; raises ValueError where it is damaged."""

    def __init__(
        self,
        network: Network,
        data: bytes,
        width: int,
        height: int,
        channels: int,
        chroma_step: int,
        step_code: int,
        tiers: int,
        threads: int,
    ) -> None: ...
    def reach(self) -> list[tuple[int, int, int, int]]: ...  # boxes, the first of the whole canvas
    def part(self, number: int) -> tuple[_I32, tuple[int, ...]]: ...  # by several threads at once

def field_index(
    data: bytes, width: int, height: int, frames: int = 0, eyes: tuple[int, int, int] = ...
) -> dict[str, Any]: ...
def disparities(
    integers: _I32,  # [N, C + 6]
    chroma_step: int,
    eyes: tuple[int, int, int],
) -> _F32: ...  # [N] px a step of the eyes' grid

# Textures: levels [bands, rows, columns, directions], 0 to 15.

AMPLITUDES: list[float]  # of the levels, in [0, 1] units

class Texture:
    def __init__(
        self,
        levels: _U8,
        cell: int,  # px
        slope: int,
        seed: int,
        gain: float,
        width: float,  # of the canvas, px
        height: float,
        map: _F64,  # [6] a canvas point (x, y) is at (m0 x + m1 y + m4, m2 x + m3 y + m5)
        blur: _F64,  # [3] px^2 of the target: xx, xy, yy
    ) -> None: ...

def encode_levels(levels: _U8) -> bytes: ...
def decode_levels(data: bytes, bands: int, rows: int, columns: int, directions: int) -> _U8 | None: ...
def choose_levels(
    costs: _F32,  # [bands, rows, columns, directions, 16]
    lmbda: float,
    start: _U8,
    rounds: int,
) -> _U8: ...

isa: str  # the instruction set in use: base, v3 or v4

def peak(rounds: int) -> tuple[float, float]: ...  # fused multiply-adds done by one thread, seconds
def windowed(planes: _F32, taps: _F32, threads: int = 1) -> _F32: ...  # [C, H, W]; borders go on

class Distortion:
    # [H, W] by level, each half of the one before; of pictures, what chroma errors count over grey ones
    def __init__(self, weights: list[_F32], chroma: float = 1.0) -> None: ...
    def evaluate(self, error: _F32, threads: int = 1) -> tuple[float, _F32]: ...  # [C, H, W] -> D, dD / 2

class Fit:  # of a picture, M = 2, F = 4 and P = 5; a clip, 3, 9 and 9; a light field, 3, 4 and 6
    @property
    def count(self) -> int: ...
    @property
    def sse(self) -> float: ...
    @property
    def bits(self) -> float: ...
    def set_rate(self, step: float, lmbda: float) -> None: ...
    def reweigh(self, distortions: list[Distortion]) -> None: ...  # refresh() afterwards
    def prune(self, factor: float) -> int: ...  # splats removed
    def seed(
        self,
        threshold: float,
        energy: float,
        smallest: float = 0.45,
        largest: float = 24.0,
        ratio: float = 1.6,
        amplitude: float = 0.8,
        separation: float = 1.2,
        random: bool = False,  # of pictures
        durations: list[float] = ...,  # of clips, frames
        disparities: list[float] = ...,  # of light fields, px a step of the eyes' grid
        flow: _F32 | None = None,  # of clips, [T, rows, columns, 2] px a frame
        block: float = 1.0,  # px of a block of the flow
    ) -> tuple[int, int]: ...  # candidates found, splats added
    def rest(self) -> None: ...  # lets go of what the next look at the state makes again
    def refresh(self) -> None: ...
    def step(self) -> bool: ...  # False when no step was found
    def resample_from(self, other: Fit, factor: float) -> None: ...
    def insert(self, means: _F32, frames: _F32, k: _F32) -> None: ...  # [N, d], [N, d * d], [N, C]
    def state(self) -> tuple[_F32, _F32, _F32]: ...  # as of insert
    def splats(self) -> tuple[_F32, _F32, _F32]: ...  # means [N, d], conics, colors
    def quantize(self) -> _I32: ...  # [N, C + P]
    def value(self) -> float: ...  # J / 2
    def natural_gradient(self) -> _F32: ...  # [N, C + P]

class Fitter(Fit):
    def __init__(
        self,
        image: _F32,  # [C, H, W] in [0, 1]
        background: _F32,  # [C]
        step: float,
        lmbda: float,
        chroma_step: float = 1.25,
        cutoff: float = 9.5,
        memory: int = 12,
        threads: int = 1,
        distortion: Distortion | None = None,  # None for SSE
        natural_units: bool = True,
        rate_term: bool = True,
    ) -> None: ...
    def retarget(self, image: _F32) -> None: ...  # [C, H, W]; refresh() afterwards

class Refinement:  # of a picture, P = 5, a clip, P = 9, or a light field, P = 6
    @overload
    def sweep(
        self,
        lmbda: float,
        color: _F32,  # [C, 3, 256] bits
        area: _F32,  # [36, 512] bits
        aspect: _F32,  # [36, 96] bits
        position: float,
        seed: int,
        patience: float = -1.0,  # D^2 a cell; splats around which less changed are passed over
        pairs: bool = True,
        own: NDArray[np.uint8] | None = None,  # of `code_lengths`
    ) -> tuple[int, int]: ...  # splats changed, removed
    @overload
    def sweep(  # of a clip
        self,
        lmbda: float,
        color: _F32,
        area: _F32,
        aspect: _F32,
        position: float,
        duration: _F32,  # [36, 64] bits
        time: _F32,  # [4, 24] bits
        speed: _F32,  # [2, 36, 129] bits
        seed: int,
        patience: float = -1.0,
        pairs: bool = False,  # ignored
    ) -> tuple[int, int]: ...
    def integers(self) -> _I32: ...  # [N, C + P]
    def classes(self) -> _I32: ...  # [N]
    def savings(self) -> _F32: ...  # [N]
    def remove(self, indices: _I32) -> None: ...
    def render(self) -> float: ...  # SSE of all frames, rendered afresh

class Refiner(Refinement):
    def __init__(
        self,
        integers: _I32,  # [N, C + 5]
        fitter: Fitter,
        step: float,
        chroma_step: int = 10,
        cutoff: float = 12.25,
    ) -> None: ...

# Splats of clips: integers [N, C + 9] are those of a picture's splat, then duration, time, vy, vx.

def sampled(picture: _F32, x: _F32, y: _F32) -> _F32: ...  # [h, w] at places [H, W], px, bilinear

MAX_FRAMES: int  # of a segment
MOTION_PLANE: int  # integers of the plane of a motion field

def longest_durations(classes: _I32, frames: int) -> _I32: ...  # [N]
def durations_in_range(classes: _I32, durations: _I32, frames: int) -> NDArray[np.bool_]: ...  # [N]
def lives(classes: _I32, durations: _I32, frames: int) -> _I32: ...  # [N], 0 to 3, the longest first
def time_steps(classes: _I32, durations: _I32, frames: int) -> _I64: ...  # [N] Q12 frames
def time_bins(classes: _I32, durations: _I32, times: _I32, frames: int) -> _I32: ...  # [N], 0 to 23
def moving_in_range(
    integers: _I32, width: int, height: int, frames: int, chroma_step: int = 10
) -> NDArray[np.bool_]: ...  # [N]
def moving_poses(
    integers: _I32, step: float, chroma_step: int, frames: int
) -> tuple[_F32, _F32, _F32, _F32, _F32]: ...  # means, velocities, conics, precisions, colors
def slice(
    means: _F32,
    velocities: _F32,
    conics: _F32,
    precisions: _F32,
    colors: _F32,
    time: float,
    shift_x: float,
    shift_y: float,
    cutoff: float = 12.25,
    field: _F32 | None = None,  # [rows, columns, 2] coefficients of the motion field then, px
    cell: float = 1.0,  # of the field, px
    margin: float = 0.0,  # from the field's second coefficient to the world's corner, px
) -> tuple[_I32, _F32, _F32, _F32, _F32]: ...  # indices [M], means [M, 2], conics, colors, cutoffs [M]

class ViewsFitter(Fit):
    def __init__(
        self,
        views: _F32,  # [K, C, H, W] in [0, 1]
        places: _F32,  # [K, 2] u, v of their eyes
        eyes: tuple[int, int, int],  # of all views of the file
        background: _F32,  # [C]
        step: float,
        lmbda: float,
        chroma_step: float = 1.25,
        cutoff: float = 9.5,
        memory: int = 12,
        threads: int = 1,
        distortions: list[Distortion] = ...,  # of the views; none for SSE
    ) -> None: ...

class ViewsRefiner(Refinement):
    def __init__(
        self,
        integers: _I32,  # [N, C + 6]
        fitter: ViewsFitter,
        step: float,
        chroma_step: int = 10,
        cutoff: float = 12.25,
    ) -> None: ...

MOVING_SPLAT_BITS: float  # of every splat of a clip, which a fit's J leaves out
MOTION_UNITS: int  # of a motion field's coefficients, to the px
MOTION_LEVELS: int  # of its lattices, coarse first

class Motion:  # a motion field that is coded or decoded, knot by knot
    def __init__(
        self, width: int, height: int, intervals: int, reference: int, cell_log2: int, step_log2: int
    ) -> None: ...
    @property
    def integers(self) -> int: ...  # of a knot
    @property
    def order(self) -> list[int]: ...  # of the knots but the reference
    @property
    def reaches(self) -> list[int]: ...  # of each in order: knots to the nearest that it is predicted from
    def shape(self, level: int) -> tuple[int, int]: ...  # rows, columns
    def predicted(self, number: int) -> _I32: ...  # [rows, columns, 2]
    def make(self, number: int, integers: _I32) -> bool: ...  # whether all is in range
    def values(self) -> _I32: ...  # [knots, rows, columns, 2]
    def encode(self, integers: _I32) -> bytes: ...  # [knots - 1, integers] in order
    def decode(self, data: bytes) -> _I32: ...  # values

class ClipFitter(Fit):
    def __init__(
        self,
        frames: _F32,  # [T, C, H, W] in [0, 1], those that are looked at
        shifts: _F32,  # [T, 2] px, never positive
        gains: _F32,  # [T] by whose squares the frames' errors count
        width: int,  # of the world that the shifts show
        height: int,
        background: _F32,  # [C]
        step: float,
        lmbda: float,
        chroma_step: float = 1.25,
        cutoff: float = 9.5,
        memory: int = 12,
        threads: int = 1,
        distortions: list[Distortion] = ...,  # of the frames; none for SSE
        every: int = 1,  # frames are every so many of the clip's
        count: int = 0,  # frames of the clip; 0 for T
        field: _F32 | None = None,  # [T, rows, columns, 2] of the motion field, px
        cell: float = 1.0,  # px
        margin: float = 0.0,  # px
    ) -> None: ...

class ClipRefiner(Refinement):
    def __init__(
        self,
        integers: _I32,  # [N, C + 9]
        fitter: ClipFitter,
        step: float,
        chroma_step: int = 10,
        cutoff: float = 12.25,
    ) -> None: ...
