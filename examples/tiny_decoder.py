"""Decode a .splat file with numpy alone, from docs/FORMAT.md and nothing else of this project.

Run: python examples/tiny_decoder.py in.splat out.ppm (.pgm for grey, .pam with alpha, or .npy)
"""
# ruff: noqa: D101, D102, D103  (comments name the section that describes each function)

import bisect
import functools
import math
import sys
import zlib
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np

ONE, MARGIN, FULL = 4096, 64, 1 << 24  # a pixel in Q12, px, the sum of all weights
NETWORK = Path(__file__).resolve().parents[1] / "splat2d" / "codec" / "network.bin"  # part of the document
AROUND = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
DAMAGED = "the coded splats are damaged: "


def require(good, message):
    if not good:
        raise ValueError(message)


class Bytes:  # 1
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        have = len(self.data) - self.at
        require(n <= have, f"truncated: need {n} bytes at offset {self.at}, have {have}")
        self.at += n
        return self.data[self.at - n : self.at]

    def varint(self, limit):
        value = byte = shift = 0
        while shift == 0 or byte >= 128:
            require(shift < 35, "a number does not end within five bytes")
            byte = self.take(1)[0]
            value, shift = value | (byte & 127) << shift, shift + 7
        require(value <= limit, f"a number is {value}, over the limit of {limit}")
        return value

    def check(self, start, size, what):
        crc = zlib.crc32(self.data[start : self.at]).to_bytes(4, "little")
        require(self.take(size) == crc[:size], f"the checksum of {what} does not match: the file is damaged")


def parse(data):  # 2 and 3
    require(data[:4] == b"\xc2SPL", "not a .splat file")
    r = Bytes(data)
    version, channels = r.take(6)[4:]
    require(version == 1, f"format version {version}, expected 1")
    require(1 <= channels <= 4, f"channels is {channels}, expected 1 to 4")
    file = SimpleNamespace(channels=channels, width=r.varint(65535), height=r.varint(65535))
    file.log_step = r.varint(2047) - 640  # Q6
    file.step = 2 ** (file.log_step / 64)
    file.chroma, quality = r.take(2)
    file.background = list(r.take(channels))
    r.check(0, 2, "the header")
    require(1 <= file.width * file.height <= 1 << 28, f"the canvas is {file.width} x {file.height}")
    require(4 <= file.chroma <= 16 and quality <= 100, "the chroma step or the quality is out of range")
    file.weights = ((8, file.chroma, file.chroma, 8) if channels > 2 else (8, 8))[:channels]
    splats, sections = [], 0
    while r.at < len(data):
        start, sections, kind = r.at, sections + 1, r.take(1)[0]
        require(sections <= 64, "more than 64 sections")
        payload = r.take(r.varint(1 << 31))
        r.check(start, 4, f"section 0x{kind:02x}")
        what = {2: "layers", 4: "edits"}.get(kind, "unknown")
        require(kind == 1 or kind >= 0x80, f"mandatory section 0x{kind:02x} ({what}): not for this decoder")
        splats += [payload] if kind == 1 else []
        require(len(splats) < 2, "two sections of splats, expected one")
    require(splats, "truncated: no section of splats")
    r = Bytes(splats[0])
    file.counts = [r.varint(FULL - 1) for _ in range(6)]
    file.coded, claimed, have = r.data[r.at :], sum(file.counts), len(r.data) - r.at
    require(claimed <= min(FULL - 1, 8 * have), f"the file claims {claimed} splats in {have} bytes")
    return file


# 4. Python's // and >> round down, and its integers do not overflow.
EXP2 = [round(2 ** (30 + i / 256)) for i in range(257)]
SINE = [round(32768 * math.sin(math.pi * i / 512)) for i in range(257)]
CLASS_EDGES = [(1518500250 << r) >> 26 for r in range(1, 36)]


def exp2_q16(x):  # 4.1
    i, shift = (x & 65535) >> 8, min(max(x >> 16, -30), 30) - 14
    m = EXP2[i] + (((EXP2[i + 1] - EXP2[i]) * (x & 255)) >> 8)
    return m << shift if shift >= 0 else m >> -shift


def sine_q15(x):  # 4.1
    x = min(x, 65536 - x)
    i = min(x >> 7, 255)
    return SINE[i] + (((SINE[i + 1] - SINE[i]) * (x - 128 * i)) >> 7)


class Shape:  # 4.2 to 4.8
    def __init__(self, colors, weights):
        energy = sum((k * w) ** 2 for k, w in zip(colors, weights, strict=True))
        self.r = bisect.bisect_right(CLASS_EDGES, energy) - 1
        self.level = min(max(self.r + 2, 1), 13)  # 5.6
        self.step = min(max(self.by_class(154116, 108976), 64), 132372)

    def by_class(self, even, odd):
        return 2 * odd if self.r < 0 else (odd if self.r % 2 else even) >> (self.r // 2)

    def area_range(self, tier):
        low = -262144 if tier == 5 else (4 - tier) * 132372
        end = 1441793 if tier == 0 else (5 - tier) * 132372
        return -(-low // self.step), -(-end // self.step) - 1

    def set(self, area, aspect):
        self.area, self.aspect, self.n = area * self.step, aspect * self.step, 1
        good = self.area - self.aspect >= -262144 and self.area + self.aspect <= 1441792
        require(good, DAMAGED + "a shape is out of range")
        if aspect:
            high, low = (exp2_q16(32768 * self.r + sign * self.aspect) for sign in (1, -1))
            self.n = min(1 + ((((high - low) >> 4) * 6434) >> 24), 4096)

    def turn(self, angle):
        self.theta = math.pi * angle / self.n
        a = (angle << 16) // self.n
        s, c = sine_q15(a), sine_q15(32768 - a) if a <= 32768 else -sine_q15(a - 32768)
        bent = min(self.aspect, 131072)  # 5.6
        self.leaning = (((c * c - s * s) >> 15) * bent) >> 25, (((2 * s * c) >> 15) * bent) >> 25
        self.sine, self.cosine = s, c
        self.inverse = [exp2_q16(-((self.area + sign * self.aspect) >> 1)) for sign in (1, -1)]
        v1, v2 = exp2_q16(self.area + self.aspect), exp2_q16(self.area - self.aspect)
        yy = max((((s * s) >> 15) * v1 + ((c * c) >> 15) * v2) >> 15, 1)
        xy = (((s * c) >> 15) * (v1 - v2)) >> 15
        sy = max(math.isqrt(yy << 16), 1)
        sx, p = (exp2_q16(self.area) << 16) // sy, self.by_class(92406, 65340)
        self.hx, self.hy = (min(max((p * v) >> 20, 64), 131072) for v in (sx, sy))
        self.shear = (xy << 12) // yy

    def rows(self, x, y, w, h):  # lattice rows in a cell: iy, the first ix, how many, where ix 0 is
        for iy in range(-(-y // self.hy), -(-(y + h) // self.hy)):
            origin = (self.shear * iy * self.hy) >> 12
            first = -((origin - x) // self.hx)
            yield iy, first, -((origin - x - w) // self.hx) - first, origin


def normalise(weights):  # 5.3
    w = weights * (FULL - weights.shape[1]) // weights.sum(1, keepdims=True) + 1
    w[np.arange(len(w)), weights.argmax(1)] += FULL - w.sum(1)
    return w


class RangeDecoder:  # 5.1
    def __init__(self, data):
        self.words = iter(np.frombuffer(data + bytes(-len(data) % 4), "<u4").tolist())
        self.range, self.point = (1 << 64) - 1, next(self.words, 0) << 32 | next(self.words, 0)

    def symbol(self, starts):
        scale = self.range >> 24
        q = self.point // scale
        require(q < FULL, DAMAGED + "no symbol fits")
        s = bisect.bisect_right(starts, q) - 1
        end = starts[s + 1] if s + 1 < len(starts) else FULL
        self.point -= starts[s] * scale
        self.range = (end - starts[s]) * scale
        if self.range < 1 << 32:
            self.range, self.point = self.range << 32, self.point << 32 | next(self.words, 0)
        return s

    def uniform(self, n):
        return self.symbol(range(0, FULL // n * n, FULL // n)) if n > 1 else 0

    def rows(self, weights):
        w = normalise(weights)
        return [self.symbol(starts) for starts in (np.cumsum(w, 1) - w).tolist()]

    def split(self, n, alpha, beta, symbols):  # 5.8
        f, mode = [0] * symbols, n * alpha // (alpha + beta)
        f[mode] = 1 << 32
        for k in range(mode, n):
            f[k + 1] = f[k] * ((n - k) * (256 * k + alpha)) // ((k + 1) * (256 * (n - k - 1) + beta))
            f[k + 1] = min(f[k + 1], 1 << 36)
        for k in range(mode, 0, -1):
            down = f[k] * (k * (256 * (n - k) + beta)) // ((n - k + 1) * (256 * (k - 1) + alpha))
            f[k - 1] = min(down, 1 << 36)
        return self.rows(np.array([f]) >> 8)[0]

    def integers(self, weights):  # 5.3
        out = np.array(self.rows(weights), np.int64)
        for i in np.flatnonzero(out >= 16):
            bits = (int(out[i]) - 16) // 2 + 3
            out[i] = ((2 + out[i] % 2) << bits) + self.uniform(1 << bits)
        return out


WEIGHTS = np.array([exp2_q16(-1024 * d) for d in range(2047)])  # 5.5
HEADS = "luma chroma1 chroma2 alpha area aspect angle sign0 sign1 sign2 sign_alpha".split()
cut = functools.partial(np.clip, a_min=-1023, a_max=1023)


def log2_q6(x):  # 5.4
    x = np.asarray(x, np.int64)
    whole = np.frexp(x.astype(float))[1].astype(np.int64) - 1
    return 64 * whole + (64 * x >> whole) - 64


def signed_log(x, one):  # 5.4
    return np.sign(x) * (log2_q6(one + np.abs(x)) - log2_q6(one))


def dense(layer, x, index=0, low=0):  # 5.4; sums stay below 2^24: exact in float64
    return np.clip(np.floor((x @ layer[0] + layer[1][index]) * layer[2]), low, 1023)


class Network:  # 5.5
    def __init__(self, data):
        r = Bytes(data[1:])  # without the number of heads

        def layers(inputs, *biases):
            out = []
            for b in biases:
                outputs, shift = r.take(2)
                weight = np.frombuffer(r.take(inputs * outputs), np.int8).reshape(inputs, outputs)
                bias = np.frombuffer(r.take(4 * b * outputs), "<i4").reshape(b, outputs)
                out, inputs = [*out, (weight.astype(float), bias, 2.0**-shift)], outputs
            return out

        self.split, self.near = layers(17, 6, 1, 1), layers(22, 1, 1)
        self.trunk = layers(15 + self.near[1][1].size, 6)[0]
        self.heads = {head: layers(self.trunk[1].shape[1] + 11, 14, 1) for head in HEADS}

    def weights(self, head, hidden, own, levels, limits=None):  # 5.5
        x = dense(self.heads[head][0], np.hstack([hidden, own]), levels)
        logits = dense(self.heads[head][1], x, low=-1023).astype(int)
        out = np.arange(logits.shape[1]) >= (99 if limits is None else limits[:, None])
        top = np.where(out, -1023, logits).max(1, keepdims=True)
        return np.where(out, 0, WEIGHTS[np.maximum(top - logits, 0)])


def read_leaves(coder, network, file, tier, known):  # 5.8: the leaf of each splat, and their size
    def overlap(start, size, low, high):
        return max(min(start + size, high * ONE) - max(start, low * ONE), 0) >> 8

    def area_weight(x, y):
        right, bottom = file.width + MARGIN, file.height + MARGIN
        inside = overlap(x, w, MARGIN, right) * overlap(y, h, MARGIN, bottom)
        return 31 * inside + overlap(x, w, 0, right + MARGIN) * overlap(y, h, 0, bottom + MARGIN)

    def inputs(x, y, n):  # p, q: from the first half (i, j) to the second
        i, j, (p, q) = x // w, y // h, (1, 0) if dx else (0, 1)
        steps = (-2 * p, -2 * q), (2 * p, 2 * q), (-q, -p), (q, p)
        before, after, left, right = (cells.get((x + m * w, y + k * h), 0) for m, k in steps)
        halves = (i, j), (i + p, j + q)
        splats = [n, *(seen[k] for k in halves), *(last[k] for k in halves), before, after, left + right]
        # Those beside count only where the cell beside has splats of this tier.
        return [*splats, before and seen[i - p, j - q], after and seen[i + 2 * p, j + 2 * q]]

    def parameters(counts, areas):
        areas = np.reshape(areas, (-1, 2))
        shares = np.maximum(log2_q6(areas) - log2_q6(areas.sum(1, keepdims=True)), -384)
        rest = [log2_q6((2 * w * h) >> 24) // 2, 64 * (dy > 0), *np.trunc(file.spacing / 2), file.log_step]
        splats = log2_q6(1 + np.reshape(counts, (-1, 10)))
        x = np.hstack([splats, shares, np.tile(rest, (len(counts), 1))])
        x = dense(network.split[1], dense(network.split[0], cut(x), tier))
        logs = np.minimum(dense(network.split[2], x, low=-256), 640).astype(int).tolist()
        return [[exp2_q16(v << 10) >> 8 for v in pair] for pair in logs]

    w, h = (ONE << (side + 2 * MARGIN - 1).bit_length() for side in (file.width, file.height))
    cells, recent = {(0, 0): file.counts[tier]}, len(known) - (file.counts[tier - 1] if tier else 0)
    while w * h > 1 << ((10, 8, 6, 4, 3, 2)[tier] + 24):
        dx, dy = (w // 2, 0) if w >= h else (0, h // 2)
        w, h = dx or w, dy or h
        seen = Counter((s.x // w, s.y // h) for s in known)
        last = Counter((s.x // w, s.y // h) for s in known[recent:])
        areas = {(x, y): (area_weight(x, y), area_weight(x + dx, y + dy)) for x, y in cells}
        first = {at: n if areas[at][0] else 0 for at, n in cells.items()}
        coded, groups = [at for at in cells if all(areas[at])], defaultdict(list)
        pairs = parameters([inputs(*at, cells[at]) for at in coded], [areas[at] for at in coded])
        for at, pair in zip(coded, pairs, strict=True):
            groups[bisect.bisect_left((1, 3, 15, 255), cells[at])].append((at, cells[at], *pair))
        for size in sorted(groups):
            for at, n, *pair in groups[size]:
                first[at] = (
                    coder.uniform(n + 1) if size == 4 else coder.split(n, *pair, (2, 4, 16, 256)[size])
                )
                require(first[at] <= n, DAMAGED + "more in a half than in its cell")
        halves = [at for x, y in cells for at in ((x, y), (x + dx, y + dy))]
        counts = [k for at, n in cells.items() for k in (first[at], n - first[at])]
        cells = {at: k for at, k in zip(halves, counts, strict=True) if k}
    return [at for at, n in cells.items() for _ in range(n)], w, h


def read_surroundings(leaves, shift):  # 5.7
    squares, coarse = defaultdict(list), Counter((x >> (shift + 2), y >> (shift + 2)) for x, y in leaves)
    for x, y in leaves:
        squares[x >> shift, y >> shift].append((x, y))
    out, reach = [], 1 << (2 * (shift - 6) - 2)
    for x, y in leaves:
        near = [p for i, j in AROUND for p in squares.get(((x >> shift) + i, (y >> shift) + j), ())]
        many = sum(coarse[(x >> (shift + 2)) + i, (y >> (shift + 2)) + j] for i, j in AROUND)
        u, v = ((np.array(near, np.int64) - (x, y)) >> 6).T
        d = u * u + v * v
        weight = np.where(d > 0, 64 * reach // (reach + d), 0)
        turns = [(weight * w // np.maximum(d, 1)).sum() for w in (u * u - v * v, 2 * u * v)]
        out.append([log2_q6(len(near)), log2_q6(many), *turns])
    return np.array(out)


def around(network, cells, surroundings, file, tier, known):  # 5.6: the hidden state
    m, c, own = len(known), file.channels, (9 - 2 * tier) * 33093
    table = np.array([s.row for s in known], np.int64).reshape(m, 14)
    place, near = np.zeros((len(cells), 15)), np.zeros((len(cells), 8, 22))
    place[:, [0, 1, 13, 14]] = cut(surroundings)
    means = [*np.abs(table[:, 10:]).sum(0), (table[:, 3] >> 10).sum()] // np.int64(max(m, 1))
    flags = 64 * (c > 2), 64 * (c % 2 == 0)
    place[:, 2:13] = cut([file.log_step, *file.spacing, *flags, *means, log2_q6(1 + m) // 2])
    buckets, shift = defaultdict(list), 18 if tier < 3 else 17
    for i, s in enumerate(known):
        buckets[s.x >> shift, s.y >> shift].append(i)
    weight = np.array([(1 << 32) // (exp2_q16(s.area) + exp2_q16(2 * own)) for s in known], np.int64)
    for p, (x, y, w, h) in enumerate(cells):
        px, py, column, row = x + w // 2, y + h // 2, (x + w // 2) >> shift, (y + h // 2) >> shift
        among = [k for j in (0, -1, 1) for i in (-1, 0, 1) for k in buckets.get((column + i, row + j), ())]
        d = (table[among, :2] - (px, py)) >> 8
        score = ((d * d).sum(1) * weight[among]) >> 16
        best = score.argsort(kind="stable")[:8]
        x, y, area, aspect, sine, cosine, i1, i2, lean1, lean2, *logs = table[among][best].T
        dx, dy = x - px, y - py
        along, away = (dx * cosine + dy * sine) >> 15, (dy * cosine - dx * sine) >> 15
        close = np.array([exp2_q16(-(v << 8)) >> 10 for v in score[best].tolist()], np.int64)
        shift_x, shift_y = (signed_log((v * exp2_q16(-own)) >> 22, 64) for v in (dx, dy))
        far = [log2_q6(64 + ((np.abs(v) * i) >> 22)) - 384 for v, i in ((along, i1), (away, i2))]
        u, v = dx >> 6, dy >> 6
        inverse = (1 << 30) // (u * u + v * v + 1)
        toward, across = ((u * u - v * v) * inverse) >> 24, (2 * u * v * inverse) >> 24
        cosine2, sine2 = (cosine * cosine - sine * sine) >> 15, (2 * sine * cosine) >> 15
        columns = [shift_x, shift_y, ((area >> 1) - own) >> 10, np.minimum(aspect >> 10, 320), lean1, lean2]
        columns += [*logs, close, *far, (toward * cosine2 + across * sine2) >> 15]
        columns += [(close * w) >> 6 for w in (*logs[:3], lean1, lean2, toward, across)]
        near[p, : len(best)] = cut(np.stack([np.full(len(best), 64), *columns], 1))
    parts = dense(network.near[1], dense(network.near[0], near)) * (near[:, :, :1] != 0)
    return dense(network.trunk, np.hstack([place, np.minimum(parts.sum(1), 1023)]), tier)


def decode_splats(file):  # 5.2: integers [N, C + 5] in coding order, and their shapes
    coder, network = RangeDecoder(file.coded), Network(zlib.decompress(NETWORK.read_bytes()))
    integers, known = np.zeros((0, file.channels + 5), np.int64), []
    for tier, count in enumerate(file.counts):
        if count:
            file.spacing = log2_q6(file.width * file.height) - log2_q6([sum(file.counts), count])
            leaves, w, h = read_leaves(coder, network, file, tier, known)
            seen = read_surroundings(leaves, 14 + (6 - tier) // 2)
            for batch in range(min(count, 2)):
                cells = [(x, y, w, h) for x, y in leaves[batch::2]]
                hidden = around(network, cells, seen[batch::2], file, tier, known)
                q, shapes = read_batch(coder, network, file, tier, cells, hidden)
                integers, known = np.concatenate([integers, q]), known + shapes
    return integers, known


def read_batch(coder, network, file, tier, cells, hidden):  # 5.9
    c, n = file.channels, len(cells)
    q, own, levels = np.zeros((n, c + 5), np.int64), np.zeros((n, 11)), np.zeros(n, np.int64)
    slots = [0, 3] if c == 2 else range(c)
    for j in range(c):
        q[:, j] = coder.integers(network.weights(HEADS[slots[j]], hidden, own, levels))
        own[:, slots[j]] = cut(log2_q6(1 + q[:, j]))
    require(q.max() <= 32767 and q[:, :c].any(1).all(), DAMAGED + "a colour is zero or out of range")
    shapes = [Shape(colors, file.weights) for colors in q[:, :c].tolist()]
    levels[:] = [s.level for s in shapes]
    low, high = np.array([s.area_range(tier) for s in shapes]).T
    limits = np.where(high - low < 16, high - low + 1, 99)
    q[:, c] = low + coder.integers(network.weights("area", hidden, own, levels, limits))
    require((q[:, c] <= high).all(), DAMAGED + "an area is outside its tier")
    steps = np.array([s.step for s in shapes])
    own[:, 4] = cut(((steps * q[:, c] >> 1) - (9 - 2 * tier) * 33093) >> 10)
    q[:, c + 1] = coder.integers(network.weights("aspect", hidden, own, levels))
    for s, row in zip(shapes, q.tolist(), strict=True):
        s.set(row[c], row[c + 1])
    own[:, 5] = [min(s.aspect >> 10, 384) for s in shapes]
    q[:, c + 2] = read_angles(coder, network.weights("angle", hidden, own, levels), [s.n for s in shapes])
    for s, angle in zip(shapes, q[:, c + 2].tolist(), strict=True):
        s.turn(angle)
    own[:, 6:8] = [s.leaning for s in shapes]
    rows = [list(s.rows(*cell)) for s, cell in zip(shapes, cells, strict=True)]
    sizes = [sum(row[2] for row in lattice) for lattice in rows]
    require(min(sizes) >= 1 and max(sizes) <= FULL, DAMAGED + "a cell without a position for its splat")
    for i, (s, lattice) in enumerate(zip(shapes, rows, strict=True)):
        rest = coder.uniform(sizes[i])
        for iy, first, length, origin in lattice:
            if 0 <= rest < length:
                q[i, c + 3 :], s.x, s.y = (iy, first + rest), (first + rest) * s.hx + origin, iy * s.hy
            rest -= length
    for j in range(c):
        some = np.flatnonzero(q[:, j])
        weights = network.weights(HEADS[7 + slots[j]], hidden, own, levels)
        q[some, j] *= 1 - 2 * np.array(coder.rows(weights[some]), np.int64)
        if j < 3:
            own[:, 8 + j] = 64 * np.sign(q[:, j])
    own[:, slots] *= np.sign(q[:, :c])
    for s, row in zip(shapes, own.astype(int).tolist(), strict=True):
        s.row = [s.x, s.y, s.area, s.aspect, s.sine, s.cosine, *s.inverse, *s.leaning, *row[:4]]
    return q, shapes


def read_angles(coder, weights, counts):  # 5.9
    out, normal = np.zeros(len(counts), np.int64), normalise(weights)
    few = [i for i, n in enumerate(counts) if 1 < n <= 32]
    folded, s = np.zeros((len(few), 32), np.int64), np.arange(-16, 33)
    for row, i in zip(folded, few, strict=True):
        t, n = np.arange(counts[i])[:, None], counts[i]
        overlap = np.minimum((2 * t + 1) * 32, (2 * s + 1) * n) - np.maximum(
            (2 * t - 1) * 32, (2 * s - 1) * n
        )
        row[:n] = np.maximum(overlap, 0) @ normal[i, s % 32]
    out[few] = coder.rows(folded >> 2)
    many = [i for i, n in enumerate(counts) if n > 32]
    for i, sector in zip(many, coder.rows(weights[many]), strict=True):
        n = counts[i]
        start, end = (-((n - 2 * n * s) // 64) for s in (sector, sector + 1))
        out[i] = (start + coder.uniform(end - start)) % n
    require((out < counts).all(), DAMAGED + "an angle is out of range")
    return out


def render(file, integers, shapes):  # 6: bytes [H, W, C], alpha straight
    c, a, b, d = file.channels, 0.57735027, 0.70710678, 0.40824829
    basis = np.array([[a, a, a, 0], [b, 0, -b, 0], [d, -2 * d, d, 0], [0, 0, 0, 1]])
    basis = basis[:c, :c] if c > 2 else np.eye(c)
    colors = file.step * (integers[:, :c] * np.array(file.weights) / 8) @ basis
    out = np.zeros((file.height, file.width, c)) + np.array(file.background) / 255
    for s, color in zip(shapes, colors, strict=True):
        area, aspect = (v * math.log(2) / 65536 for v in (s.area, s.aspect))
        i1, i2 = math.exp(-area - aspect), math.exp(aspect - area)
        cos, sin = math.cos(s.theta), math.sin(s.theta)
        xx, xy, yy = cos * cos * i1 + sin * sin * i2, cos * sin * (i1 - i2), sin * sin * i1 + cos * cos * i2
        # q <= 12.25 reaches sqrt(12.25 yy / det) to each side, and the determinant is i1 i2.
        rx, ry = math.sqrt(12.25 * yy / i1 / i2), math.sqrt(12.25 * xx / i1 / i2)
        x, y = s.x / ONE - MARGIN, s.y / ONE - MARGIN
        x0, x1 = max(math.floor(x - rx), 0), min(math.ceil(x + rx), file.width)
        y0, y1 = max(math.floor(y - ry), 0), min(math.ceil(y + ry), file.height)
        if x0 < x1 and y0 < y1:
            dx, dy = np.arange(x0, x1) + 0.5 - x, (np.arange(y0, y1) + 0.5 - y)[:, None]
            q = xx * dx * dx + 2 * xy * dx * dy + yy * dy * dy
            g = np.where(q <= 12.25, np.exp(-q / 2), 0) / math.sqrt(math.pi * math.exp(area))
            out[y0:y1, x0:x1] += g[:, :, None] * color
    if c in (2, 4):
        alpha = np.clip(out[:, :, -1:], 0, 1)
        out[:, :, :-1] = np.where(alpha > 0.5 / 255, out[:, :, :-1] / np.maximum(alpha, 1e-9), 0)
    return np.floor(np.clip(out, 0, 1) * 255 + 0.5).astype(np.uint8)


def save(pixels, path):
    (height, width, c), head = pixels.shape, f"P{5 if pixels.shape[2] == 1 else 6}\n%d %d\n255\n"
    if c in (2, 4):
        name = ("GRAYSCALE", "RGB")[c > 2]
        head = f"P7\nWIDTH %d\nHEIGHT %d\nDEPTH {c}\nMAXVAL 255\nTUPLTYPE {name}_ALPHA\nENDHDR\n"
    if path.endswith(".npy"):
        np.save(path, pixels)
    else:
        Path(path).write_bytes((head % (width, height)).encode() + pixels.tobytes())


if __name__ == "__main__":
    try:
        require(len(sys.argv) == 3, "expected IN.splat OUT.npy, or OUT.ppm (.pgm for grey, .pam with alpha)")
        file = parse(Path(sys.argv[1]).read_bytes())
        save(render(file, *decode_splats(file)), sys.argv[2])
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
