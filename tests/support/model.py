"""The entropy model once more, slow and plain: Python integers, one splat and one input at a time."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXP2 = [round(2 ** (30 + i / 256)) for i in range(257)]
SINE = [round(32768 * math.sin(math.pi * i / 512)) for i in range(257)]
EDGES = [(1518500250 << r) >> 26 for r in range(1, 36)]
LIMIT = 1023
HEADS = (
    *("luma", "chroma1", "chroma2", "alpha", "area", "aspect"),
    *("angle", "sign0", "sign1", "sign2", "sign_alpha"),
)
SYMBOLS = (40, 40, 40, 40, 40, 40, 32, 2, 2, 2, 2)


def log2_q6(x: int) -> int:
    """Return log2 of x >= 1 in Q6: the largest power of two, and the way to the next."""
    whole = 0
    while x >> (whole + 1):
        whole += 1
    return 64 * whole + (64 * (x - (1 << whole)) >> whole)


def signed_log(x: int, unit: int) -> int:
    """Return the sign of x times log2(1 + |x| / unit) in Q6."""
    value = log2_q6(unit + abs(x)) - log2_q6(unit)
    return value if x >= 0 else -value


def exp2_q16(x: int) -> int:
    """Return 2^(x / 65536) in Q16."""
    i, shift = (x & 65535) >> 8, min(max(x >> 16, -30), 30) - 14
    m = EXP2[i] + (((EXP2[i + 1] - EXP2[i]) * (x & 255)) >> 8)
    return m << shift if shift >= 0 else m >> -shift


def sine_q15(x: int) -> int:
    """Return sin(pi x / 65536) in Q15."""
    x = min(x, 65536 - x)
    i = min(x >> 7, 255)
    return SINE[i] + (((SINE[i + 1] - SINE[i]) * (x - 128 * i)) >> 7)


def cut(x: int) -> int:
    """Return an input within its range."""
    return min(max(x, -LIMIT), LIMIT)


@dataclass(frozen=True)
class Splat:
    """What the model asks of a splat: its class, logs of its shape, where its axis points, and its centre."""

    level: int
    area: int
    aspect: int
    sine: int
    cosine: int
    leaning: tuple[int, int]
    angles: int
    areas: int
    x: int
    y: int


def describe(q: list[int], channels: int, chroma_step: int) -> Splat:
    """Return a splat of integers [C + 5]."""
    return _describe(tuple(q), channels, chroma_step)


@functools.lru_cache(100_000)
def _describe(q: tuple[int, ...], channels: int, chroma_step: int) -> Splat:
    weights = (8, chroma_step, chroma_step, 8) if channels > 2 else (8, 8)
    energy = sum((k * w) ** 2 for k, w in zip(q[:channels], weights, strict=False))
    r = sum(edge <= energy for edge in EDGES) - 1

    def by_class(even: int, odd: int) -> int:
        value = even if r % 2 == 0 else odd
        return 2 * value if r < 0 else value >> (r // 2)

    step = min(max(by_class(154116, 108976), 64), 132372)
    area, aspect, angles = q[channels] * step, q[channels + 1] * step, 1
    if aspect:
        apart = (exp2_q16(32768 * r + aspect) - exp2_q16(32768 * r - aspect)) >> 4
        angles = min(1 + ((apart * 6434) >> 24), 4096)
    turn = (q[channels + 2] << 16) // angles
    sine, cosine = sine_q15(turn), sine_q15(32768 - turn) if turn <= 32768 else -sine_q15(turn - 32768)
    bent = min(aspect, 2 << 16)
    across = (((cosine * cosine - sine * sine) >> 15) * bent) >> 25
    diagonal = (((2 * sine * cosine) >> 15) * bent) >> 25
    v1, v2 = exp2_q16(area + aspect), exp2_q16(area - aspect)
    yy = max((((sine * sine) >> 15) * v1 + ((cosine * cosine) >> 15) * v2) >> 15, 1)
    sy = max(math.isqrt(yy << 16), 1)
    hx, hy = (
        min(max((by_class(92406, 65340) * s) >> 20, 64), 131072) for s in ((exp2_q16(area) << 16) // sy, sy)
    )
    y = q[channels + 3] * hy
    x = q[channels + 4] * hx + ((((((sine * cosine) >> 15) * (v1 - v2)) >> 15 << 12) // yy * y) >> 12)
    tier = tier_of(area)
    low = -262144 if tier == 5 else (4 - tier) * 132372
    high = 1441793 if tier == 0 else (5 - tier) * 132372
    areas = -(-high // step) + (-low // step)
    level, leaning = min(max(r + 2, 1), 13), (across, diagonal)
    return Splat(level, area, aspect, sine, cosine, leaning, angles, areas, x, y)


def tier_of(area: int) -> int:
    """Return the tier of log2(s1 s2) in Q16."""
    return min(max(4 - area // 132372, 0), 5)


def slot(j: int, channels: int) -> int:
    """Return where a component stands: luma, two opponents, alpha."""
    return 3 if channels in (2, 4) and j == channels - 1 else j


def place_inputs(
    surroundings: tuple[int, int, int, int],
    width: int,
    height: int,
    channels: int,
    chroma_step: int,
    step_code: int,
    counts: tuple[int, ...],
    tier: int,
    known: list[list[int]],
    frames: int = 0,
) -> list[int]:
    """Return the 16 inputs of a place, when splats `known` are decoded."""
    canvas, m = log2_q6(width * height), len(known)
    sums = [0] * 5
    for q in known:
        for j in range(channels):
            sums[slot(j, channels)] += log2_q6(1 + abs(q[j]))
        sums[4] += describe(q, channels, chroma_step).aspect >> 10
    out = [
        *surroundings[:2],
        step_code - 640,
        canvas - log2_q6(sum(counts)),
        canvas - log2_q6(max(counts[tier], 1)),
    ]
    out += [16 * chroma_step - 96 if channels >= 3 else 0, 64 if channels % 2 == 0 else 0]
    out += [s // m if m else 0 for s in sums]
    return [cut(v) for v in [*out, log2_q6(1 + m) // 2, *surroundings[2:], log2_q6(1 + frames)]]


def surroundings(points: list[list[int]], tier: int) -> list[list[int]]:
    """Return what points of a tier say of each other, four numbers each."""
    out = []
    for x, y in points:
        row, cosine, sine = [], 0, 0
        for shift in (14 + (6 - tier) // 2, 16 + (6 - tier) // 2):
            near = [
                (a - x, b - y)
                for a, b in points
                if abs((a >> shift) - (x >> shift)) <= 1 and abs((b >> shift) - (y >> shift)) <= 1
            ]
            row.append(log2_q6(len(near)))
            if len(row) == 1:
                reach = 1 << (2 * (shift - 6) - 2)
                for u, v in ((a >> 6, b >> 6) for a, b in near):
                    if square := u * u + v * v:
                        weight = 64 * reach // (reach + square)
                        cosine += weight * (u * u - v * v) // square
                        sine += weight * 2 * u * v // square
        out.append([*row, cosine, sine])
    return out


def near_inputs(
    point: list[int],
    tier: int,
    channels: int,
    chroma_step: int,
    known: list[list[int]],
) -> list[list[int]]:
    """Return the inputs of up to eight decoded splats near a point, 22 each."""
    own, shift = (9 - 2 * tier) * 33093, 18 if tier < 3 else 17
    found, looked_at = [], [[0] * 3 for _ in range(3)]
    for i in range(len(known) - 1, -1, -1):  # the latest 64 of each bucket
        s = describe(known[i], channels, chroma_step)
        column, row = (s.x >> shift) - (point[0] >> shift), (s.y >> shift) - (point[1] >> shift)
        if abs(column) <= 1 and abs(row) <= 1 and looked_at[row][column] < 64:
            looked_at[row][column] += 1
            size = exp2_q16(s.area) + exp2_q16(2 * own)
            squares = ((s.x - point[0]) >> 8) ** 2 + ((s.y - point[1]) >> 8) ** 2
            found.append(((squares * (2**32 // size)) >> 16, (0, -1, 1).index(row), column, i))
    out = []
    for score, _, _, i in sorted(found)[:8]:
        s = describe(known[i], channels, chroma_step)
        dx, dy = s.x - point[0], s.y - point[1]
        along, away = (dx * s.cosine + dy * s.sine) >> 15, (dy * s.cosine - dx * s.sine) >> 15
        close = exp2_q16(-(score << 8)) >> 10
        logs = [0] * 4
        for j in range(channels):
            logs[slot(j, channels)] = signed_log(known[i][j], 1)
        row = [64, *(signed_log((v * exp2_q16(-own)) >> 22, 64) for v in (dx, dy))]
        row += [((s.area >> 1) - own) >> 10, min(s.aspect >> 10, 320), *s.leaning, *logs, close]
        for v, log in ((along, s.area + s.aspect), (away, s.area - s.aspect)):
            row.append(log2_q6(64 + ((abs(v) * exp2_q16(-(log >> 1))) >> 22)) - 384)
        u, v = dx >> 6, dy >> 6
        inverse = 2**30 // (u * u + v * v + 1)
        toward, across = ((u * u - v * v) * inverse) >> 24, (2 * u * v * inverse) >> 24
        cosine2, sine2 = (s.cosine**2 - s.sine**2) >> 15, (2 * s.sine * s.cosine) >> 15
        row.append((toward * cosine2 + across * sine2) >> 15)
        row += [(close * w) >> 6 for w in (*logs[:3], *s.leaning, toward, across)]
        out.append([cut(v) for v in row])
    return out


def self_inputs(
    q: list[int], tier: int, channels: int, chroma_step: int, known: int
) -> tuple[list[int], int]:
    """Return the 11 inputs and the level of a splat of which `known` integers are decoded."""
    out = [0] * 11
    for j in range(min(known, channels)):
        out[slot(j, channels)] = log2_q6(1 + abs(q[j]))
    if known < channels:
        return out, 0
    s = describe(q, channels, chroma_step)
    if known > channels:
        out[4] = cut(((s.area >> 1) - (9 - 2 * tier) * 33093) >> 10)
    if known > channels + 1:
        out[5] = min(s.aspect >> 10, 384)
    if known > channels + 2:
        out[6:8] = s.leaning
    for j in range(min(known - channels - 3, 3)):
        out[8 + j] = 64 * ((q[j] > 0) - (q[j] < 0))
    return out, s.level


# Networks.


@dataclass
class Layer:
    """Weights [inputs, outputs], biases [rows, outputs] and a shift, all integers."""

    weight: NDArray[np.int64]
    bias: NDArray[np.int64]
    shift: int

    def __call__(self, x: NDArray[np.int64], row: Any = 0, low: int = 0) -> NDArray[np.int64]:
        """Return the outputs of inputs [n, inputs]."""
        return np.clip((x @ self.weight + self.bias[row]) >> self.shift, low, LIMIT)

    def to_bytes(self) -> bytes:
        """Return the layer as the network file has it."""
        head = bytes([self.weight.shape[1], self.shift])
        return head + self.weight.astype(np.int8).tobytes() + self.bias.astype("<i4").tobytes()


def random_layer(
    rng: np.random.Generator, inputs: int, outputs: int, rows: int, shift: int, size: int
) -> Layer:
    """Return a layer with weights up to `size`, whose largest sums are just exact or much smaller."""
    weight = rng.integers(-size, size + 1, (inputs, outputs))
    room = (1 << 24) - 1 - LIMIT * np.abs(weight).sum(0)
    assert room.min() >= 0
    bias = rng.integers(-np.minimum(room, 1 << 12), np.minimum(room, 1 << 12) + 1, (rows, outputs))
    if size == 127:
        bias[0] = room
    return Layer(weight, bias, shift)


class SlowNetwork:
    """A network of random layers: their bytes, and what they compute, in int64."""

    def __init__(self, seed: int, size: int, shift: int, symbols: tuple[int, ...] = SYMBOLS) -> None:
        rng = np.random.default_rng(seed)
        near, hidden = int(rng.integers(1, 33)), 48

        def layer(inputs: int, outputs: int, rows: int = 1) -> Layer:
            return random_layer(rng, inputs, outputs, rows, shift, size)

        self.split_layers = [layer(17, 20, 6), layer(20, 7), layer(7, 2)]
        self.near = [layer(22, 17), layer(17, near)]
        self.trunk = layer(16 + near, hidden, 6)
        self.heads = [(layer(hidden + 11, 24, 14), layer(24, n)) for n in symbols]

    @classmethod
    def of_bytes(cls, data: bytes) -> SlowNetwork:
        """Return the network of an inflated file."""
        self, at = cls.__new__(cls), 1

        def layer(inputs: int, rows: int = 1) -> Layer:
            nonlocal at
            outputs, shift = data[at : at + 2]
            weight = np.frombuffer(data, np.int8, inputs * outputs, at + 2).reshape(inputs, outputs)
            at += 2 + weight.size
            bias = np.frombuffer(data, "<i4", rows * outputs, at).reshape(rows, outputs)
            at += 4 * bias.size
            return Layer(weight.astype(np.int64), bias.astype(np.int64), shift)

        def layers(inputs: int, *rows: int) -> list[Layer]:
            out: list[Layer] = []
            for r in rows:
                out.append(layer(out[-1].weight.shape[1] if out else inputs, r))
            return out

        self.split_layers, self.near = layers(17, 6, 1, 1), layers(22, 1, 1)
        self.trunk = layer(16 + self.near[1].weight.shape[1], 6)
        hidden = self.trunk.weight.shape[1]
        self.heads = [(h[0], h[1]) for h in (layers(hidden + 11, 14, 1) for _ in range(data[0]))]
        assert at == len(data)
        return self

    def to_bytes(self) -> bytes:
        """Return the inflated file."""
        layers = [*self.split_layers, *self.near, self.trunk, *(part for head in self.heads for part in head)]
        return bytes([len(self.heads)]) + b"".join(part.to_bytes() for part in layers)

    def embed(self, place: NDArray[np.int64], near: NDArray[np.int64], tier: int) -> NDArray[np.int64]:
        """Return the hidden state [n, H] of places [n, 16] and near splats [n, 8, 22]."""
        parts = self.near[1](self.near[0](near.reshape(-1, 22))).reshape(len(near), 8, -1)
        parts = parts * (near[:, :, :1] != 0)
        return self.trunk(np.hstack([place, np.minimum(parts.sum(1), LIMIT)]), tier)

    def logits(
        self, head: int, hidden: NDArray[np.int64], own: NDArray[np.int64], levels: NDArray[np.int64]
    ) -> list[list[int]]:
        """Return the logits [n, K] of a head's symbols."""
        first, last = self.heads[head]
        return last(first(np.hstack([hidden, own]), levels), low=-LIMIT).tolist()

    def splits(self, inputs: NDArray[np.int64], tier: int) -> list[list[int]]:
        """Return the logs [n, 2] of the parameters of cells [n, 17]."""
        first, second, third = self.split_layers
        return np.minimum(third(second(first(inputs, tier)), low=-256), 640).tolist()


# Weights.


def normalise(shares: list[int]) -> list[int]:
    """Return weights >= 1 that sum to 2^16."""
    out = [w * ((1 << 16) - len(shares)) // sum(shares) + 1 for w in shares]
    out[shares.index(max(shares))] += (1 << 16) - sum(out)
    return out


def weigh(logits: list[int], limit: int | None = None) -> list[int]:
    """Return weights that sum to 2^16 of logits in Q6, 1 from `limit` on."""
    allowed = logits[:limit]
    top = max(allowed)
    shares = []
    for logit in allowed:
        octaves, rest = divmod(top - logit, 64)
        shares.append(min((exp2_q16(-1024 * rest) + 1) >> 1, 32767) >> octaves)
    factor = ((65536 - len(logits)) << 15) // sum(shares)
    out = [((share * factor) >> 15) + 1 for share in shares] + [1] * (len(logits) - len(allowed))
    out[allowed.index(top)] += 65536 - sum(out)
    return out


def shares_of_angles(weights: list[int], count: int) -> list[int]:
    """Return what `count` angles share with sectors of so many weights, by units of the half turn."""
    k = len(weights)
    units = [0] * count
    for unit in range(2 * k * count):  # of the half turn, from the middle of sector 0 and of angle 0
        sector = (unit + count) // (2 * count) % k
        units[(unit + k) // (2 * k) % count] += weights[sector]
    return units


def fold(weights: list[int], count: int) -> list[int]:
    """Return weights of `count` angles from those of sectors, each angle by the units it shares with each."""
    return normalise(shares_of_angles(weights, count))


def split_weights(n: int, v1: int, v2: int) -> list[int]:
    """Return weights of how many of 1 to 255 splats lie in the first half, of logs of parameters in Q6."""
    if n == 1:
        return weigh([v2, v1])
    alpha, beta = (exp2_q16(1024 * v) >> 8 for v in (v1, v2))
    mode = n * alpha // (alpha + beta)
    f = {mode: 1 << 20}
    for k in range(mode, n):
        odds = (n - k) * (256 * k + alpha), (k + 1) * (256 * (n - k - 1) + beta)
        f[k + 1] = min(f[k] * odds[0] // odds[1], 1 << 24)
    for k in range(mode, 0, -1):
        odds = k * (256 * (n - k) + beta), (n - k + 1) * (256 * (k - 1) + alpha)
        f[k - 1] = min(f[k] * odds[0] // odds[1], 1 << 24)
    return normalise([f[k] for k in range(n + 1)])
