"""Decode a .splat file with numpy alone, from docs/FORMAT.md and nothing else of this project.

Run: python examples/tiny_decoder.py in.splat out.ppm (.pgm for grey, .pam with alpha, or .npy)
"""
# ruff: noqa: D101, D102, D103, E731  (comments name the section that describes each function)

import bisect
import math
import sys
import zlib
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np

ONE, MARGIN, FULL, SUM = 4096, 64, 1 << 24, 1 << 16  # a pixel in Q12, px, two sums of weights
NETWORK = Path(__file__).resolve().parents[1] / "splat2d" / "format" / "network.bin"  # part of the document
AROUND = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
BAD = "the coded splats are damaged: "


def require(good, message):
    if not good:
        raise ValueError(message)


def check(data, crc, what):  # 1
    require(zlib.crc32(data).to_bytes(4, "little").startswith(crc), f"{what}: wrong checksum")


class Bytes:  # 1
    def __init__(self, data, where=""):
        self.data, self.at, self.where = data, 0, where

    def take(self, n):
        have = len(self.data) - self.at
        require(n <= have, f"{self.where}truncated: need {n} bytes at offset {self.at}, have {have}")
        self.at += n
        return self.data[self.at - n : self.at]

    def varint(self, limit):
        value = byte = shift = 0
        while shift == 0 or byte >= 128:
            require(shift < 35, f"{self.where}a number does not end within five bytes")
            byte = self.take(1)[0]
            value, shift = value | (byte & 127) << shift, shift + 7
        require(value <= limit, f"{self.where}a number is {value}, over the limit of {limit}")
        require(byte or shift < 14 or not self.where, f"{self.where}a number is longer than it must be")
        return value


def parse(data):  # 2 and 3
    require(data[:4] == b"\xc2SPL", "not a .splat file")
    r = Bytes(data)
    version, channels = r.take(6)[4:]
    require(version == 1 and 1 <= channels <= 4, f"version {version} with {channels} channels")
    file = SimpleNamespace(channels=channels, width=r.varint(65535), height=r.varint(65535))
    file.log_step = r.varint(2047) - 640  # Q6
    file.chroma, quality = r.take(2)
    file.background = list(r.take(channels))
    check(r.data[: r.at], r.take(2), "the header")
    good = 1 <= file.width * file.height <= 1 << 28 and 4 <= file.chroma <= 16 and quality <= 100
    require(good, "canvas, chroma step or quality out of range")
    file.weights = ((8, file.chroma, file.chroma, 8) if channels > 2 else (8, 8))[:channels]
    splats, sections = [], 0
    while r.at < len(data):
        start, sections, kind = r.at, sections + 1, r.take(1)[0]
        require(sections <= 64, "more than 64 sections")
        payload = r.take(r.varint(1 << 31))
        check(r.data[start : r.at], r.take(4), f"section 0x{kind:02x}")
        require(kind == 1 or kind >= 0x80, f"mandatory section 0x{kind:02x}: not for this decoder")
        splats += [payload] if kind == 1 else []
        require(len(splats) < 2, "two sections of splats, expected one")
    require(splats, "truncated: no section of splats")
    read_field(file, Bytes(splats[0], BAD))
    return file


def halved(x, y, w, h):  # 5.2 and 5.8
    dx, dy = (w // 2, 0) if w >= h else (0, h // 2)
    return (x, y, dx or w, dy or h), (x + dx, y + dy, dx or w, dy or h)


def read_field(file, r):  # 5.1 and 5.2: parts of the canvas, the splats of their tiers, their streams
    flags, bits, pieces = r.take(1)[0], 1, []
    require(flags in (0, 4), BAD + "a field of another kind, or unknown flags")
    file.counts = [r.varint(FULL - 1) for _ in range(6)]
    root = (0, 0, *(ONE << (side + 2 * MARGIN - 1).bit_length() for side in (file.width, file.height)))
    file.parts = [SimpleNamespace(cell=root, counts=[0] * 6 if flags else file.counts, stream=b"")]
    common = r.varint(6) if flags else 6

    def halve(cell):
        nonlocal bits
        if not area_weight(file, *cell):
            return
        if (cell[2] * cell[3]) >> 24 >= 1 << 17:
            bits = r.take(1)[0] | 256 if bits == 1 else bits
            bits, bit = bits >> 1, bits & 1
            if bit:
                return [halve(half) for half in halved(*cell)]
        file.parts.append(SimpleNamespace(cell=cell, counts=[0] * 6, stream=b""))

    if common < 6:
        halve(root)
        require(not bits & (bits - 1), BAD + "the directory has bits to spare")
    for _ in file.parts[1:]:  # what they can be seen in
        left, top = r.varint(file.width), r.varint(file.height)
        r.varint(file.width - left), r.varint(file.height - top)
    for tier, left in enumerate(file.counts if flags else ()):
        among = file.parts[:1] if tier < common else file.parts[1:]
        for part in among if left else ():
            part.counts[tier] = r.varint(left) if len(among) > 1 else left
            left, size = left - part.counts[tier], r.varint(1 << 31)
            pieces.append((part, tier, size, r.take(4) if size else b""))
        require(not left, BAD + "the splats of a tier's parts do not add up")
    check(r.data[: r.at], r.take(flags), BAD + "its directory")  # of four bytes, or of none
    for part, tier, size, crc in pieces or [(file.parts[0], 5, len(r.data) - r.at, b"")]:
        part.stream += r.take(size)
        check(r.data[r.at - size : r.at], crc, BAD + "a tier")
        claimed, have = sum(part.counts[: tier + 1]), len(part.stream)
        require(claimed <= 64 + 4 * have, f"{BAD}{claimed} splats are claimed in {have} bytes")


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
        self.level = min(max(self.r + 2, 1), 13)  # 5.10
        self.step = min(max(self.by_class(154116, 108976), 64), 132372)

    def by_class(self, even, odd):
        return 2 * odd if self.r < 0 else (odd if self.r % 2 else even) >> (self.r // 2)

    def area_range(self, tier):
        low, end = (4 - tier) * 132372 if tier < 5 else -262144, (5 - tier) * 132372 if tier else 1441793
        return -(-low // self.step), -(-end // self.step) - 1

    def set(self, area, aspect):
        self.area, self.aspect, self.n = area * self.step, aspect * self.step, 1
        require(-262144 <= self.area - self.aspect <= 1441792 - 2 * self.aspect, BAD + "a shape's range")
        if aspect:
            high, low = (exp2_q16(32768 * self.r + sign * self.aspect) for sign in (1, -1))
            self.n = min(1 + ((((high - low) >> 4) * 6434) >> 24), 4096)
        return self.aspect >> 10

    def turn(self, angle):
        self.theta = math.pi * angle / self.n
        a = (angle << 16) // self.n
        s, c = self.sine, self.cosine = sine_q15(a), (-1) ** (a > 32768) * sine_q15(abs(32768 - a))
        bent = min(self.aspect, 131072)  # 5.10
        self.leaning = (((c * c - s * s) >> 15) * bent) >> 25, (((2 * s * c) >> 15) * bent) >> 25
        self.inverse = [exp2_q16(-((self.area + sign * self.aspect) >> 1)) for sign in (1, -1)]
        v1, v2 = exp2_q16(self.area + self.aspect), exp2_q16(self.area - self.aspect)
        yy = max((((s * s) >> 15) * v1 + ((c * c) >> 15) * v2) >> 15, 1)
        xy = (((s * c) >> 15) * (v1 - v2)) >> 15
        sy = max(math.isqrt(yy << 16), 1)
        sx, p = (exp2_q16(self.area) << 16) // sy, self.by_class(92406, 65340)
        self.hx, self.hy = (min(max((p * v) >> 20, 64), 131072) for v in (sx, sy))
        self.shear = (xy << 12) // yy
        return self.leaning

    def rows(self, x, y, w, h):  # lattice rows in a cell: iy, the first ix, how many, where ix 0 is
        for iy in range(-(-y // self.hy), -(-(y + h) // self.hy)):
            origin = (self.shear * iy * self.hy) >> 12
            first = -((origin - x) // self.hx)
            yield iy, first, -((origin - x - w) // self.hx) - first, origin


def normalise(u):  # 5.5
    w = u * (SUM - u.shape[1]) // u.sum(1, keepdims=True) + 1
    w[np.arange(len(w)), u.argmax(1)] += SUM - w.sum(1)
    return w


def weigh(logits, limits=99):  # 5.7
    k, out = logits.shape[1], np.arange(logits.shape[1]) >= np.reshape(limits, (-1, 1))
    d = np.where(out, -1023, logits).max(1, keepdims=True) - logits
    u = np.where(out, 0, POWERS[d % 64] >> np.maximum(d // 64, 0))
    w = (u * (((SUM - k) << 15) // u.sum(1, keepdims=True)) >> 15) + 1
    w[np.arange(len(w)), (~out & (d == 0)).argmax(1)] += SUM - w.sum(1)
    return w


class RangeDecoder:  # 5.3
    def __init__(self, data):
        self.words = iter(np.frombuffer(data + bytes(-len(data) % 4), "<u4").tolist())
        self.range, self.point = (1 << 64) - 1, next(self.words, 0) << 32 | next(self.words, 0)

    def symbol(self, starts, end=SUM):
        scale = (self.range >> 24) * (FULL // end)
        q = self.point // scale
        require(q < end, BAD + "no symbol fits")
        s = bisect.bisect_right(starts, q) - 1
        width = (starts[s + 1] if s + 1 < len(starts) else end) - starts[s]
        self.point -= starts[s] * scale
        self.range = width * scale
        if self.range < 1 << 32:
            self.range, self.point = self.range << 32, self.point << 32 | next(self.words, 0)
        return s

    def uniform(self, n):
        return self.symbol(range(0, FULL // n * n, FULL // n), FULL) if n > 1 else 0

    def rows(self, weights):
        return [self.symbol(starts) for starts in (np.cumsum(weights, 1) - weights).tolist()]

    def integers(self, weights):  # 5.5
        tokens, bits = self.rows(weights), lambda token: (token - 16) // 2 + 3
        raw = lambda t: ((2 + t % 2) << bits(t)) + self.uniform(1 << bits(t))
        return np.array([t if t < 16 else raw(t) for t in tokens], np.int64)


HEADS = "luma chroma1 chroma2 alpha area aspect angle sign0 sign1 sign2 sign_alpha".split()
POWERS = np.array([min((exp2_q16(-1024 * i) + 1) >> 1, 32767) for i in range(64)])  # 5.7
cut = lambda x: np.clip(x, -1023, 1023)


def log2_q6(x):  # 5.6
    whole = np.frexp(np.asarray(x, float))[1].astype(np.int64) - 1
    return 64 * whole + (64 * np.asarray(x, np.int64) >> whole) - 64


signed_log = lambda x, one: np.sign(x) * (log2_q6(one + np.abs(x)) - log2_q6(one))  # 5.6
exact = lambda layer, x, index: np.floor((x @ layer[0] + layer[1][index]) * layer[2])  # sums below 2^24
dense = lambda layer, x, index=0, low=0: np.clip(exact(layer, x, index), low, 1023)  # 5.6


class Network:  # 5.7
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
        self.trunk = layers(16 + self.near[1][1].size, 6)[0]
        self.heads = {head: layers(self.trunk[1].shape[1] + 11, 14, 1) for head in HEADS}

    def weights(self, head, hidden, own, levels, limits=99):  # 5.7
        x = dense(self.heads[head][0], np.hstack([hidden, own]), levels)
        return weigh(dense(self.heads[head][1], x, low=-1023).astype(int), limits)


def area_weight(file, x, y, w, h):  # 5.8
    over = lambda start, size, low, high: max(min(start + size, high * ONE) - max(start, low * ONE), 0) >> 8
    right, bottom = file.width + MARGIN, file.height + MARGIN
    inside = over(x, w, MARGIN, right) * over(y, h, MARGIN, bottom)
    return 31 * inside + over(x, w, 0, right + MARGIN) * over(y, h, 0, bottom + MARGIN)


def split_weights(n, v1, v2):  # 5.8
    if n == 1:
        return weigh(np.array([[v2, v1]]))
    (alpha, beta), f = (exp2_q16(v << 10) >> 8 for v in (v1, v2)), [0] * (n + 1)
    mode = n * alpha // (alpha + beta)
    f[mode] = 1 << 20
    for k in range(mode, n):
        f[k + 1] = min(f[k] * (n - k) * (256 * k + alpha) // ((k + 1) * (256 * (n - k - 1) + beta)), FULL)
    for k in range(mode, 0, -1):
        f[k - 1] = min(f[k] * k * (256 * (n - k) + beta) // ((n - k + 1) * (256 * (k - 1) + alpha)), FULL)
    return normalise(np.array([f]))


def read_leaves(coder, network, file, tier, cell, count, known):  # 5.8: each splat's leaf, and their size
    def inputs(x, y, n):  # p, q: from the first half (i, j) to the second
        i, j, (p, q) = x // w, y // h, (1, 0) if dx else (0, 1)
        steps = (-2 * p, -2 * q), (2 * p, 2 * q), (-q, -p), (q, p)
        before, after, left, right = (cells.get((x + m * w, y + k * h), 0) for m, k in steps)
        halves = (i, j), (i + p, j + q)
        splats = [n, *(seen[k] for k in halves), *(last[k] for k in halves), before, after, left + right]
        return [*splats, before and seen[i - p, j - q], after and seen[i + 2 * p, j + 2 * q]]

    def parameters(counts, areas):
        areas = np.reshape(areas, (-1, 2))
        shares = np.maximum(log2_q6(areas) - log2_q6(areas.sum(1, keepdims=True)), -384)
        rest = [log2_q6((2 * w * h) >> 24) // 2, 64 * (not dx), *np.trunc(file.spacing / 2), file.log_step]
        splats = log2_q6(1 + np.reshape(counts, (-1, 10)))
        x = np.hstack([splats, shares, np.tile(rest, (len(counts), 1))])
        x = dense(network.split[1], dense(network.split[0], cut(x), tier))
        return np.minimum(dense(network.split[2], x, low=-256), 640).astype(int).tolist()

    cells, (w, h) = {cell[:2]: count}, cell[2:]
    while w * h > 1 << ((10, 8, 6, 4, 3, 2)[tier] + 24):
        dx, halves = w >= h, {at: halved(*at, w, h) for at in cells}
        areas = {at: [area_weight(file, *half) for half in halves[at]] for at in cells}
        w, h = (w // 2, h) if dx else (w, h // 2)
        seen = Counter((s.x // w, s.y // h) for s in known)
        last = Counter((s.x // w, s.y // h) for s in known if s.tier == tier - 1)
        first = {at: n if areas[at][0] else 0 for at, n in cells.items()}
        coded = [at for at in cells if all(areas[at])]
        pairs = parameters([inputs(*at, cells[at]) for at in coded], [areas[at] for at in coded])
        for at, pair in zip(coded, pairs, strict=True):
            n = cells[at]
            first[at] = coder.uniform(n + 1) if n > 255 else coder.rows(split_weights(n, *pair))[0]
        both = [(*halves[at], first[at], n - first[at]) for at, n in cells.items()]
        cells = {at[:2]: k for a, b, m, n in both for at, k in ((a, m), (b, n)) if k}
    return [at for at, n in cells.items() for _ in range(n)], w, h


def read_surroundings(leaves, shift):  # 5.9
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


def around(network, cells, surroundings, file, tier, known):  # 5.10: the hidden state
    m, c, own = len(known), file.channels, (9 - 2 * tier) * 33093
    table = np.array([s.row for s in known], np.int64).reshape(m, 14)
    place, near = np.zeros((len(cells), 16)), np.zeros((len(cells), 8, 22))
    place[:, [0, 1, 13, 14]] = cut(surroundings)
    means = [*np.abs(table[:, 10:]).sum(0), (table[:, 3] >> 10).sum()] // np.int64(max(m, 1))
    flags = (16 * file.chroma - 96) * (c > 2), 64 * (c % 2 == 0)
    place[:, 2:13] = cut([file.log_step, *file.spacing, *flags, *means, log2_q6(1 + m) // 2])
    buckets, shift = defaultdict(list), 18 if tier < 3 else 17
    for i, s in enumerate(known):
        buckets[s.x >> shift, s.y >> shift].append(i)
    weight = np.array([(1 << 32) // (exp2_q16(s.area) + exp2_q16(2 * own)) for s in known], np.int64)
    for p, (x, y, w, h) in enumerate(cells):
        px, py, column, row = x + w // 2, y + h // 2, (x + w // 2) >> shift, (y + h // 2) >> shift
        among = [k for j in (0, -1, 1) for i in (-1, 0, 1) for k in buckets[column + i, row + j][-64:]]
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


def decode_splats(file):  # 5.4: integers [N, C + 5] in the order of the field, and their shapes
    network, whole, tiers = Network(zlib.decompress(NETWORK.read_bytes())), [], [[] for _ in file.counts]
    spacing = log2_q6(file.width * file.height) - log2_q6(np.maximum([sum(file.counts), *file.counts], 1))
    for part in file.parts:
        (x, y, w, h), reach, coder = part.cell, 128 * ONE, RangeDecoder(part.stream)
        known = [s for s in whole if -reach <= s.x - x < w + reach and -reach <= s.y - y < h + reach]
        for tier, count in enumerate(part.counts):
            if count:
                file.spacing = spacing[[0, tier + 1]]
                leaves, w, h = read_leaves(coder, network, file, tier, part.cell, count, known)
                seen, out = read_surroundings(leaves, 14 + (6 - tier) // 2), [None] * count
                for batch in range(min(count, 2)):
                    cells = [(x, y, w, h) for x, y in leaves[batch::2]]
                    hidden = around(network, cells, seen[batch::2], file, tier, known)
                    q, shapes = read_batch(coder, network, file, tier, cells, hidden)
                    out[batch::2] = zip(q, shapes, strict=True)
                    known += shapes
                tiers[tier] += out
        whole = known if part is file.parts[0] else whole
    splats = [splat for tier in tiers for splat in tier]
    return np.array([q for q, _ in splats], np.int64).reshape(-1, file.channels + 5), [s for _, s in splats]


def read_batch(coder, network, file, tier, cells, hidden):  # 5.11
    c, n = file.channels, len(cells)
    q, own, levels = np.zeros((n, c + 5), np.int64), np.zeros((n, 11)), np.zeros(n, np.int64)
    slots = [0, 3] if c == 2 else range(c)
    for j in range(c):
        q[:, j] = coder.integers(network.weights(HEADS[slots[j]], hidden, own, levels))
        own[:, slots[j]] = cut(log2_q6(1 + q[:, j]))
    require(q.max() <= 32767 and q[:, :c].any(1).all(), BAD + "a colour is zero or out of range")
    shapes = [Shape(colors, file.weights) for colors in q[:, :c].tolist()]
    levels[:] = [s.level for s in shapes]
    low, high = np.array([s.area_range(tier) for s in shapes]).T
    limits = np.where(high - low < 16, high - low + 1, 99)
    q[:, c] = low + coder.integers(network.weights("area", hidden, own, levels, limits))
    require((q[:, c] <= high).all(), BAD + "an area is outside its tier")
    own[:, 4] = cut(((np.array([s.step for s in shapes]) * q[:, c] >> 1) - (9 - 2 * tier) * 33093) >> 10)
    q[:, c + 1] = coder.integers(network.weights("aspect", hidden, own, levels))
    own[:, 5] = [min(s.set(*row), 384) for s, row in zip(shapes, q[:, c : c + 2].tolist(), strict=True)]
    q[:, c + 2] = read_angles(coder, network.weights("angle", hidden, own, levels), [s.n for s in shapes])
    own[:, 6:8] = [s.turn(angle) for s, angle in zip(shapes, q[:, c + 2].tolist(), strict=True)]
    rows = [list(s.rows(*cell)) for s, cell in zip(shapes, cells, strict=True)]
    sizes = [sum(row[2] for row in lattice) for lattice in rows]
    require(min(sizes) >= 1 and max(sizes) <= FULL, BAD + "a cell without a position for its splat")
    for i, (s, lattice) in enumerate(zip(shapes, rows, strict=True)):
        rest = coder.uniform(sizes[i])
        for iy, first, length, origin in lattice:
            if 0 <= rest < length:
                ix = first + rest
                q[i, c + 3 :], s.x, s.y, s.tier = (iy, ix), ix * s.hx + origin, iy * s.hy, tier
            rest -= length
        inside = 0 <= s.x < (file.width + 128) * ONE and 0 <= s.y < (file.height + 128) * ONE
        require(inside and -1 << 31 <= ix < 1 << 31, BAD + "a centre is beyond the margin or 32 bits")
    for j in range(c):
        some = np.flatnonzero(q[:, j])
        weights = network.weights(HEADS[7 + slots[j]], hidden, own, levels)
        q[some, j] *= 1 - 2 * np.array(coder.rows(weights[some]), np.int64)
        own[:, min(8 + j, 10)] = 64 * np.sign(q[:, j])  # none is asked for after the last
    own[:, slots] *= np.sign(q[:, :c])
    for s, row in zip(shapes, own.astype(int).tolist(), strict=True):
        s.row = [s.x, s.y, s.area, s.aspect, s.sine, s.cosine, *s.inverse, *s.leaning, *row[:4]]
    return q, shapes


def read_angles(coder, weights, counts):  # 5.11
    out, s = np.zeros(len(counts), np.int64), np.arange(-16, 33)
    for i in [i for i, n in enumerate(counts) if 2 <= n <= 32]:
        n, t = counts[i], np.arange(counts[i])[:, None]
        ends = np.minimum((2 * t + 1) * 32, (2 * s + 1) * n)
        overlap = np.maximum(ends - np.maximum((2 * t - 1) * 32, (2 * s - 1) * n), 0)
        out[i] = coder.rows(normalise((overlap @ weights[i, s % 32])[None]))[0]
    many = [i for i, n in enumerate(counts) if n > 32]
    for i, sector in zip(many, coder.rows(weights[many]), strict=True):
        start, end = (-(counts[i] * (1 - 2 * s) // 64) for s in (sector, sector + 1))
        out[i] = (start + coder.uniform(end - start)) % counts[i]
    return out


def render(file, integers, shapes):  # 6: bytes [H, W, C], alpha straight
    c, a, b, d = file.channels, 0.57735027, 0.70710678, 0.40824829
    basis = np.array([[a, a, a, 0], [b, 0, -b, 0], [d, -2 * d, d, 0], [0, 0, 0, 1]])
    basis = basis[:c, :c] if c > 2 else np.eye(c)
    colors = 2 ** (file.log_step / 64) * (integers[:, :c] * np.array(file.weights) / 8) @ basis
    out = np.zeros((file.height, file.width, c)) + np.array(file.background) / 255
    for s, color in zip(shapes, colors, strict=True):
        area, aspect = (v * math.log(2) / 65536 for v in (s.area, s.aspect))
        i1, i2 = math.exp(-area - aspect), math.exp(aspect - area)
        cos, sin = math.cos(s.theta), math.sin(s.theta)
        xx, xy, yy = cos * cos * i1 + sin * sin * i2, cos * sin * (i1 - i2), sin * sin * i1 + cos * cos * i2
        # q <= 12.25 reaches sqrt(12.25 yy / det) to each side, and the determinant is i1 i2.
        rx, ry = math.sqrt(12.25 * yy / i1 / i2), math.sqrt(12.25 * xx / i1 / i2)
        x, y = s.x / ONE - MARGIN, s.y / ONE - MARGIN
        x0, x1 = (min(max(v, 0), file.width) for v in (math.floor(x - rx), math.ceil(x + rx)))
        y0, y1 = (min(max(v, 0), file.height) for v in (math.floor(y - ry), math.ceil(y + ry)))
        dx, dy = np.arange(x0, x1) + 0.5 - x, (np.arange(y0, y1) + 0.5 - y)[:, None]
        q = xx * dx * dx + 2 * xy * dx * dy + yy * dy * dy
        g = np.where(q <= 12.25, np.exp(-q / 2), 0) / math.sqrt(math.pi * math.exp(area))
        out[y0:y1, x0:x1] += g[:, :, None] * color
    if c in (2, 4):
        alpha = np.clip(out[:, :, -1:], 0, 1)
        out[:, :, :-1] = np.where(alpha > 0.5 / 255, out[:, :, :-1] / np.maximum(alpha, 1e-9), 0)
    return np.floor(np.clip(out, 0, 1) * 255 + 0.5).astype(np.uint8)


def save(pixels, path):
    if path.endswith(".npy"):
        return np.save(path, pixels)
    height, width, c = pixels.shape
    head = f"P{5 if c == 1 else 6}\n{width} {height}\n255\n"
    if c in (2, 4):
        name = ("GRAYSCALE", "RGB")[c > 2]
        head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {c}\nMAXVAL 255\nTUPLTYPE {name}_ALPHA\nENDHDR\n"
    Path(path).write_bytes(head.encode() + pixels.tobytes())


if __name__ == "__main__":
    try:
        require(len(sys.argv) == 3, "expected IN.splat OUT.npy, or OUT.ppm (.pgm for grey, .pam with alpha)")
        file = parse(Path(sys.argv[1]).read_bytes())
        save(render(file, *decode_splats(file)), sys.argv[2])
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
