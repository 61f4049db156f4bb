"""Decode a .splat file with numpy alone, from docs/FORMAT.md and nothing else of this project.

Run: python examples/tiny_decoder.py in.splat out.ppm (.pgm for grey, .pam with alpha, or .npy)
"""
# ruff: noqa: D101, D102, D103  (comments name the section that describes each function)

import base64
import bisect
import math
import sys
import zlib
from collections import Counter, defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np

ONE, MARGIN, FULL = 4096, 64, 1 << 24  # a pixel in Q12, px, the sum of all weights
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
    file.step = 2 ** ((r.varint(2047) - 640) / 64)
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
        require(kind == 1 or kind >= 0x80, f"unknown mandatory section 0x{kind:02x}")
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
        self.step = min(max(self.by_class(154116, 108976), 64), 132372)

    def by_class(self, even, odd):
        return 2 * odd if self.r < 0 else (odd if self.r % 2 else even) >> (self.r // 2)

    def area_range(self, tier):
        low = -262144 if tier == 5 else (4 - tier) * 132372
        end = 1441793 if tier == 0 else (5 - tier) * 132372
        return -(-low // self.step), -(-end // self.step) - 1

    def set(self, area, aspect):
        self.area, self.aspect, self.n = area * self.step, aspect * self.step, 1
        require(self.area - self.aspect >= -262144, DAMAGED + "a shape is out of range")
        require(self.area + self.aspect <= 1441792, DAMAGED + "a shape is out of range")
        if aspect:
            high, low = (exp2_q16(32768 * self.r + sign * self.aspect) for sign in (1, -1))
            self.n = min(1 + ((((high - low) >> 4) * 6434) >> 24), 4096)

    def turn(self, angle):
        self.theta = math.pi * angle / self.n
        self.sector = 1 + (32 * angle + self.n) // (2 * self.n) % 16 if self.n > 1 else 0
        a = (angle << 16) // self.n
        s, c = sine_q15(a), sine_q15(32768 - a) if a <= 32768 else -sine_q15(a - 32768)
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

    def rows(self, weights):  # 5.2
        w = weights * (FULL - weights.shape[1]) // weights.sum(1, keepdims=True) + 1
        w[np.arange(len(w)), weights.argmax(1)] += FULL - w.sum(1)
        return [self.symbol(starts) for starts in (np.cumsum(w, 1) - w).tolist()]

    def split(self, n, alpha, beta, symbols):  # 5.7
        f, mode = [0] * symbols, n * alpha // (alpha + beta)
        f[mode] = 1 << 32
        for k in range(mode, n):
            up = f[k] * ((n - k) * (256 * k + alpha)) // ((k + 1) * (256 * (n - k - 1) + beta))
            f[k + 1] = min(up, 1 << 36)
        for k in range(mode, 0, -1):
            down = f[k] * (k * (256 * (n - k) + beta)) // ((n - k + 1) * (256 * (k - 1) + alpha))
            f[k - 1] = min(down, 1 << 36)
        return self.rows(np.array([f]) >> 4)[0]


class Table:  # 5.3 and 5.4
    def __init__(self, prior, fine=1):
        self.coarse, self.done = prior.copy(), 0
        self.fine = np.zeros((len(prior), fine, prior.shape[1]), np.int64)

    def read(self, coder, coarse, fine=None):
        out = []
        while len(out) < len(coarse):
            block = slice(len(out), len(out) + min(max(self.done // 4, 32), 1024))
            c, weights = coarse[block], self.coarse[coarse[block]]
            if fine is not None:
                share = 65536 * weights // weights.sum(1, keepdims=True)
                weights = 65536 * self.fine[c, fine[block]] + 12 * (share + 1)
            new = coder.rows(weights)
            np.add.at(self.coarse, (c, new), 256)
            np.add.at(self.fine, (c, 0 if fine is None else fine[block], new), 1)
            self.done += len(new)
            out += new
        return np.array(out, np.int64)

    def integers(self, coder, coarse, fine):
        out = self.read(coder, coarse, fine)
        for i in np.flatnonzero(out >= 16):
            bits = (int(out[i]) - 16) // 2 + 3
            out[i] = ((2 + out[i] % 2) << bits) + coder.uniform(1 << bits)
        return out


def models(channels):  # 5.5
    codes = zlib.decompress(base64.b85decode("".join(PRIORS.split())))
    octave = [round(2 ** (30 + i / 16)) for i in range(16)]
    weights = np.array([octave[b % 16] >> (30 - b // 16) if b else 0 for b in codes], np.int64)
    widths = [40] * 5 + [16, 16, 2]
    ends = np.cumsum(np.array([42, 36, 36, 72, 72, 16, 16, 81]) * widths)
    parts = [part.reshape(-1, k) for part, k in zip(np.split(weights, ends[:-1]), widths, strict=True)]
    luma, u, v, area, aspect, few, sector, sign = parts
    out = SimpleNamespace(area=Table(area, 8), aspect=Table(aspect, 8), few=Table(few))
    out.sector, out.signs = Table(sector, 17), [Table(sign) for _ in range(channels)]
    out.colors = [Table(luma, 8)] + [Table(p, 28) for p in ([], [u], [u, v], [u, v, u])[channels - 1]]
    return out


def read_leaves(coder, file, tier, known):  # 5.7: the leaf of each splat, and their size
    def overlap(start, size, low, high):
        return max(min(start + size, high * ONE) - max(start, low * ONE), 0) >> 8

    def area_weight(x, y):
        right, bottom = file.width + MARGIN, file.height + MARGIN
        inside = overlap(x, w, MARGIN, right) * overlap(y, h, MARGIN, bottom)
        return 31 * inside + overlap(x, w, 0, right + MARGIN) * overlap(y, h, 0, bottom + MARGIN)

    total = (16384, 4096, 2048, 1024, 1024, 1024)[tier]
    w, h = (ONE << (side + 2 * MARGIN - 1).bit_length() for side in (file.width, file.height))
    cells = [(0, 0, file.counts[tier])]
    while w * h > 1 << ((10, 8, 6, 4, 3, 2)[tier] + 24):
        dx, dy = (w // 2, 0) if w >= h else (0, h // 2)
        w, h = dx or w, dy or h
        seen = Counter((s.x // w, s.y // h) for s in known)
        first, groups = [0] * len(cells), defaultdict(list)
        for i, (x, y, n) in enumerate(cells):
            a1, a2 = area_weight(x, y), area_weight(x + dx, y + dy)
            if a1 == 0 or a2 == 0:
                first[i] = n if a2 == 0 else 0
                continue
            e1 = max(1024 * a1 // (a1 + a2) + 64 * seen[x // w, y // h], 1)
            e2 = max(1024 * a2 // (a1 + a2) + 64 * seen[(x + dx) // w, (y + dy) // h], 1)
            alpha = min(max(total * e1 // (e1 + e2), 8), total - 8)
            groups[9 if n > 256 else n.bit_length() - 1].append((i, n, alpha))
        for size in sorted(groups):
            for i, n, alpha in groups[size]:
                split = (n, alpha, total - alpha, min(2 << size, 257))
                first[i] = coder.uniform(n + 1) if size == 9 else coder.split(*split)
                require(first[i] <= n, DAMAGED + "more in a half than in its cell")
        halved = [((x, y, k), (x + dx, y + dy, n - k)) for (x, y, n), k in zip(cells, first, strict=True)]
        cells = [cell for pair in halved for cell in pair if cell[2]]
    return [(x, y) for x, y, n in cells for _ in range(n)], w, h


def neighbours(points, tier, known):  # 5.9: index (-1: none) and class of distance
    index, distance, buckets = np.full(len(points), -1), np.full(len(points), 3), defaultdict(list)
    for i, s in enumerate(known):
        buckets[s.x >> 18, s.y >> 18].append(i)
    own = exp2_q16((2 * tier - 9) * 33093)
    table = np.array([(s.x, s.y, exp2_q16(-(s.area >> 1))) for s in known], np.int64).reshape(-1, 3)
    for i, (x, y) in enumerate(points):
        among = sorted(j for dx, dy in AROUND for j in buckets.get(((x >> 18) + dx, (y >> 18) + dy), ()))
        if among:
            d = (table[among, :2] - (x, y)) >> 8
            score = ((d * d).sum(1) * table[among, 2]) >> 16
            best = int(score.argmin())  # the first of equals
            index[i] = among[best]
            distance[i] = bisect.bisect_right((1, 4, 16), (int(score[best]) * own) >> 24)
    return index, distance


def magnitude(values):  # 5.10
    return np.searchsorted([1, 2, 4, 7, 12], np.abs(values), side="right")


def decode_splats(file):  # 5.6: integers [N, C + 5] in coding order, and their shapes
    coder, tables, c = RangeDecoder(file.coded), models(file.channels), file.channels
    integers, known = np.zeros((0, c + 5), np.int64), []
    for tier, count in enumerate(file.counts):
        if count:
            leaves, w, h = read_leaves(coder, file, tier, known)
            shift = 14 + (6 - tier) // 2  # the density, 5.8
            grid = Counter((x >> shift, y >> shift) for x, y in leaves)
            around = [sum(grid[(x >> shift) + i, (y >> shift) + j] for i, j in AROUND) for x, y in leaves]
            density = np.array([min(n.bit_length() - 1, 7) for n in around])
            for batch in range(min(count, 2)):
                cells = [(x, y, w, h) for x, y in leaves[batch::2]]
                q, shapes = read_batch(coder, tables, file, tier, cells, density[batch::2], integers, known)
                integers, known = np.concatenate([integers, q]), known + shapes
    return integers, known


def read_batch(coder, tables, file, tier, cells, density, integers, known):  # 5.10 to 5.13
    c, n = file.channels, len(cells)
    index, distance = neighbours([(x + w // 2, y + h // 2) for x, y, w, h in cells], tier, known)
    # The row and the sector at the end are those of index -1, no neighbour.
    near = np.concatenate([integers[:, :c], np.zeros((1, c), np.int64)])[index]
    near_sector = np.array([*(s.sector for s in known), 0])[index]
    near_size = np.where(index[:, None] >= 0, 1 + magnitude(near), 0)
    q = np.zeros((n, c + 5), np.int64)
    q[:, 0] = tables.colors[0].integers(coder, 7 * tier + near_size[:, 0], density)
    for j in range(1, c):
        fine = 4 * near_size[:, j] + (np.minimum(q[:, 1], 3) if j == 2 else 0)
        q[:, j] = tables.colors[j].integers(coder, 6 * tier + magnitude(q[:, 0]), fine)
    require(q.max() <= 32767 and q[:, :c].any(1).all(), DAMAGED + "a colour is zero or out of range")
    shapes = [Shape(colors, file.weights) for colors in q[:, :c].tolist()]
    context = 12 * tier + np.array([min(max(s.r, 0), 11) for s in shapes])
    low, high = np.array([s.area_range(tier) for s in shapes]).T
    q[:, c] = low + tables.area.integers(coder, context, density)
    require((q[:, c] <= high).all(), DAMAGED + "an area is outside its tier")
    q[:, c + 1] = tables.aspect.integers(coder, context, density)
    for s, row in zip(shapes, q.tolist(), strict=True):
        s.set(row[c], row[c + 1])
    count = np.array([s.n for s in shapes])
    few, many = np.flatnonzero((count > 1) & (count < 16)), np.flatnonzero(count >= 16)
    q[few, c + 2] = tables.few.read(coder, count[few])
    slim = np.minimum(q[many, c + 1] // 2, 3)
    sectors = tables.sector.read(coder, 4 * distance[many] + slim, near_sector[many])
    for i, sector, m in zip(many, sectors.tolist(), count[many].tolist(), strict=True):
        start, end = (-((m - 2 * m * s) // 32) for s in (sector, sector + 1))
        q[i, c + 2] = (start + coder.uniform(end - start)) % m
    require((q[:, c + 2] < count).all(), DAMAGED + "an angle is out of range")
    for s, angle in zip(shapes, q[:, c + 2].tolist(), strict=True):
        s.turn(angle)
    rows = [list(s.rows(*cell)) for s, cell in zip(shapes, cells, strict=True)]
    sizes = [sum(row[2] for row in lattice) for lattice in rows]
    require(min(sizes) >= 1 and max(sizes) <= FULL, DAMAGED + "a cell without a position for its splat")
    for i, (s, lattice) in enumerate(zip(shapes, rows, strict=True)):
        rest = coder.uniform(sizes[i])
        for iy, first, length, origin in lattice:
            if 0 <= rest < length:
                q[i, c + 3 :], s.x, s.y = (iy, first + rest), (first + rest) * s.hx + origin, iy * s.hy
            rest -= length
    before = np.zeros(n, np.int64)
    for j in range(c):
        some = np.flatnonzero(q[:, j])
        sign = np.where(index >= 0, np.sign(near[:, j]) + 1, 1)
        context = 9 * (3 * np.minimum(distance, 2) + sign) + before
        mark = np.zeros(n, np.int64)
        mark[some] = 1 + tables.signs[j].read(coder, context[some])
        q[mark == 2, j] *= -1
        before = (3 * before + mark) % 9
    return q, shapes


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
        name = "GRAYSCALE_ALPHA" if c == 2 else "RGB_ALPHA"
        head = f"P7\nWIDTH %d\nHEIGHT %d\nDEPTH {c}\nMAXVAL 255\nTUPLTYPE {name}\nENDHDR\n"
    if path.endswith(".npy"):
        np.save(path, pixels)
    else:
        Path(path).write_bytes((head % (width, height)).encode() + pixels.tobytes())


PRIORS = """
c-oDcSyLL>+rZ}=^tD%9abcBJR8eJ7mX=nuL`_VHGVTN-C;|eqH#AGrG)*_qEDg;j$R@71Cef^#btc<P@_wYZ%`E?kHp|1+fnT5PS<h)g1cCe9E{_W|TO1anv5?GClphDJidmoo_@DT|xB>OyFs=YSo(>Sqr|2k+1VKbD2mUJonD!xlFABqu8G_*XJV}z-0P1i6^UUXe5{cy~A^<sTF6{%C!=cSkX$NJDXpNGex&xx2I2piD9MvIiw_9h)kTE<A<DhYL@h2{V1<?>@ce#wH$7WM%3S<sXk_cp8ocM_g2QUv}_gbxPi_^Mhv=);2Sc)JZ>+;ONe>tf-yA$%diaJ$6I+qvSHAo8iAwHkW`FVPPi-;%aOfrszeYnr+0J9--MJ^s1x`qKHNz*wx6(mrf$6zoUawK6h%mAa;IXs*%q-ZMUN8F&p2(PVUh*B<@?(e_G1%tWbdNvXAVQ$0$S&Uf+qLT{lUGEMElGJ*dN>PlKJto*-TSpOtVquhboeSYnnu^Eq0PaPcF3?tpMLc$en0I}>X3ybnDMbZ*Zkt)JS(0N$?ZV86u$#~A_=&@i%2t`CaUukPHjRBb;<QSHeK&>$@K~v`LDLZ&MO=1=ULUt=rFQ`S4Gto9c1kHah<n|3lSRFZSym@{xB&M$XG6DkOSyQEKpddmxS|hP)w8!aoa@T~y#CFt5}k|${a(mqS<#UWgH+VnabsLBR;m@~L<q;+kOS0flZbtJw)aMNZSRX2I@&JeQenT>Y0zs`lbCjOyc@VFcKm3&l8R$K#H2OrR12t1EflhFde7s%aw;D3K}M}=X<p=!PIqxwIIZ(|r<zORh}UM;EiFrYs}dfMg|oO1woB`&Fz$BPR<+9tOfMhmWaC`>)eUAHxX%Td4H{M0suy+N+`hK=#R#7rmJ>mj12n3ZmZbA`*<H3}07l~RL6wSl5QkB-u)J``I(wfD1ElcNqe>#|wVSj{^Rv_AE93pF+_LZNsFI9$9SpZPC!SrKzQxLE;75m5I_h(SYa03D;xsrr%+9$_52|!L;B}e}YNcesDZA6b#<jaIQ_|DJawdg3P>W?nEnS2Gc2OuEA8sb2c)$qh6bhM4H{HX^4KJS`Y|@m^1L;+Y2XkW@K6`(+md*}0(-h{m>D9_9u~^Ar=Z2OaA60X--{sIPJ)9pGD*796izf%QY?|;RR)d<+i2fFPheWDU%hMqehy5;#-e!;J^}yudO)ga5D>2a&f!z+hb7@J4fok;>i%K3HR}*B|Y0{gt29Zc4uxRu`kx+1hJFab{q6x-5+(w5=`%vswf||R)P0!rlq%ss44q|SX#i?D<;*fD!aWm`!*<=`JoY%+XK_&o#=8Z%;fP<FhnUSB@?a3Z*7h`c$kASvS{eS||t62BNe|%8MP?QN#tF^Lanap~h-R_?smlGIf2URNB+|=Z7zhq!Qz{Wj2sHS5CY}U*x=0*LYewlzZ8~~^Lc`8AM{7gExsU^~TR^>e&n`P}(GO=I)$50o<loD1$DuAvn3;8!}-<>}{$VYL=Y|^WiMN>k9h}~X-hiAJ<)aP1LF8wMR5Dmx%*bVi~NjV5=W+q1O^mTLi9i4m*tGfZOj!L<Z)1aIY-5%q0b@B$f*vCDq=O~&Ap$<?Zn-z`^N`xG?@CO|1W~gw$@ApBF!(ukAMIHLNTP#C6H_!JsDA=YoEldd+Q8n;i|I^3SoZq3InwsSej}P;N0INEH4<~7#YUa)@UKgjM1Ly!6$>m`w6Y;Kzhx&WD%mO+Zk<aRRDjp1=PMbzD#Nl*yHsBuZ=OO{W*A3e&Hk;9;4q23}ff75o*pB<xWFsR20nkJozaPdR^=J<x%`o8OVG_L8!|ecC$oqpd={G;<;k6*&9HyBP!fDpYX72EtaIYS(6K<1ErG6+`oST{w85_hkY~x)vOKY_p&R<*1ZLrfDAL_VSCu+3};A_dVC}_Q0;LA2_P)_$SU~~4jN3dQYneFfAb~Pn0FJ
gMxc;E1^Kwnq0{vJKq%@7D=oLo>&4o(7tgTN$v96BvB;l*#XNQbAUm^3D2PnW>EqpZ&(mx)9&kw7320y04(doCsdphi3^7T+DZD+ZK9?A-ICYMO8v!4<Xmo_OFMPjQdkj}Eps=s1qSF1yKS)UC{gActaksOLsKdH!T4jUp<QYW7NZ1C8zFNhM~rE(6Q5A8v805%+tYb}<R{c4w!czq6U%j#Hp^seh2i>t_-MkJE^IeNv3sO^Xu~6Qct?JzU->mz{fZR8Gfn*k)D9mu6=t?=f`_tEE19u}!(Ha-j$iHnpo4FUx+jXl!hZ&u?zeHR$0;7Z2dHu;)*QxJEqC$M0-m`tMH40iEbhZ*Sj~>31~j_T_Pzj(WgV`TW?#Xis<7tp-+odbv%SO-v&C(GmcSg4U~-S&w0Aysxi|>8Oc^{JE~V+eWwoJ{>^|!ftL$?ziKDSv=SawCeHoVIhUvRT9yy?jJ=<qm6lfS%j6qNE`F>Ki~sD4p>bm`7J))dJ$K4u(jOR(FXTro1E(IY|VY%3c8ikf-Y`X^Wk5;A+_9&)+2vDFt;;3;Jd4{9Sryuy3-yPSm+1Z82KCaV7RH_{gdA|^KsN^)#(-U3lHuKh1%Jv!Qr0XE<X2Xqx@0{uL=8m`20=|=js<8huva6?NR;w87_zOccy7%S8pE`Fw4s9*gu0bTGGptN;=}UsIM$g*o1q`94}K*1kuilR7*_)>fufypUO}eY_S^Tlj=ET1Fo9SW)rbkibUOZw`WD4(6f6wm7o$yiVXO1f5-uQplaCJ&3aA=l3srpMFUPd=5;}~ol?Oz&cZ>M(_yvR+!ojlJ6tyVc4>DVWyxJj4;Q4e>BW`V#l=P0f^30|uBWTnjTr62^qSj4{~GznOw13isTUP9BGJTfZ|~yxn4qVN$L+jk<KGv=qkY}H&Q7K-x%#EEfe(Bi?B#L)W}4~kw`X0Pb{yp5$#GlU>G9r9sSWO6tF~3nWm<BzTE4K6%jc6VxJ)LOO3_K0rl=U*gbUGREEXgwA{>rH0%*9}fD7YcoIw3PZxBHPC=xi{VCM`Dhs$a)tDH79=yVuOwMv~%x>n|H<PW!1Bb^qFj`a%|y>huD-8>Fk{Q5q5XP~>Q^U8NSn)&6Y)3(AIaQSq%E$-QAeY+j*^k{#p+6K3~U8_|J`IcO%u)dKmWC|I&IhUgu<tCD8#*IVCNMnwS1W6)@2P0%0XEYpYw0aEjc~BS$xKMYTQL*n)g`G2MtXd0Xli626ozcApZ|@!@iPf7irfvO>-eQs)r=?&1e%_YafcG!k<DQ>AZi_oQ*x%b~gWIWXR;%T5OD@mocRg3gu4kKbsYD{4pp!8wMJK3KV~+94P$YsyL&-1^jKm_1j5g>+Q8$jmFoGfo67ZZiFh!M9vZgiNx2(DCM!S6p+S@-$+F6csU*fpSpjw<;xIZ#_yPw}ZH$2GWGf|jxO~>ypxNSM++spR!_VihMdOJQjK5mDr*Z1ptZE%&%%4V&y*^*0Taz8wHeWN)Sp{RHwLB*5FWG0(#%-KDDB<v3b@jx^hBqO0m4Y-wIjasL28N;B@=k?+KrzZ{cyX2k}u4>e3HOI~c0afJiEy!BmJIyMI_^xoIue)2&#o-G1yc@dxaliXrG}Oam9Q^Ox+DO}~{V#3lZ7T8Tw|2OG1-bS3b!)DJE4Pt_{nMu{IA;1?B84lSt?eH)GaM!rbpSm8AYZe2iBz%rw$c20yE}jE*WLc<2TF<j%>_HRFe4i7;s3jT^Q(`4XXShz+p2W>{^;$2zvAg=_lrv|%gtDQr$pm0lXzF8vc;*f+eXRkNWE`>-+ireI)1WF1$}PNq}8k}N+ok1y<RduI>^8NQsvEAQLNVv^a^;qu1;o_w^-f{UdhSn$$G-0@4Tv@uU5k2u$M=h$9vnws283Ydk8eWN7^cGmh$l!0UC8v(kUsY0hfxU*7L>nWITx4F=$QZYgFgp6qQO)R3Ji<m_2AHBYo_
7(1C`CV2C6Fp<ochZTmEPa`i%Xn-{|Z9uEcu+&-{gDPnAOF(%hT8k^IF*j+A%6S41CHmNuZ2q_kpbOy-mv^!iDv);H<-OZ=HHw);canYD~dVX#}CYg{*mgK2axv-VbM+mz{dhb6K{Kf88z+*G6GRj?;7EjzY%jFZIK0)Vot-OAjFew=A{!lKn$%0Py3c7xFu!DN6{}#}V^j13F-Yq1<7N<nfG@mCnHp?4@bewd1Tq@1te53maf}+#8bUqu4_%WBqVWb)ykPtLTl4LX%i-ee9=|Q(+V)px3n}@(WK?3vo13?@O?&b4iY@B?}YPLgW2w@VY-Q)7qt2<d43#Xma=(Q#@=yF1KyU797HfzP=^iA%8Tspa;UNx_-u321)HCwq-FP7<>J&J}!VzGEqHa|ZtSye9S<C)FMR-xqgtN{K0z2W;@3Tu}nGZS}5h6nq4d%EYw#(D%Sp84u!$*AJ<uKbeI%rAG&Pb;KdJ;Q4eC)fAuyOk8-H0UOpUPwd=rD}O2n~Zo7n^H4B(&#n;iKQ}hCYww~BVnJ<>5MhtKyQ$U{*VxXVL^XA$Uak}3G#U{KOVqv9})0*4{Gd%w0d>PVl`j=A;j*6-5z9r^N`iimy~j;OrzA93~I=3HCcCR^=-CtOe$dxwTlLYMg^LccWn=g#ocN>%95w$T@Pj^WYeS5_eZ8h(~3m8Qmt1C?$v8Ia$mESw)Fe_#U|nWJL&>W&cAyvPKsXrWXpWHepKJBCj8Js3ocq>3SK7e20)#5x(Vk`WDA8{E|sPt0nn&@*yz0wgpsjCf=<Mv@i-HC(R_mm=qxUbiO)os2;%{q@SoBvtlY9iZHC-F#E<$ApV#j>-Yv3D^MORE)EXhsZF8d_1X>QNC#gjiPAL_yj>%;zo5^W2L!fPU^Qe@Wy2<fox)&xVChn`WTG6b?VyqU9Yday^jSKY;btXLP)e70%wD{imZQ<&|{OzkV(sk{<x>(n@b<c3QPioq!W6vIK(GFQlj@~<{*D{1d^=or3SlrsGm2)x7rjbl^H|CsFu29_A$R#2{zf<>c{$T^og2k9qZ7PvTQc(=|y6Fb5k_>J*6pc}_XoNZc;33~`gL}wT{VL)?2{Ih<hVdZgJt~o`vox94OfU=~h=(8`C~P?`)U>SQTHRvZ5J4b_+OD#5?e*FojkDFykV!3{pAy{>4i5D82>3H2BZ6)g|9$=XuCQOg@A{{3>gKX%))%h}?VWor4wLP0o9B;el(RLLJviAfM-by&3of#;v$s>G3A=iEyx9v;EWBPWSIfB+?li4QdhYi&;B1aCna<@hscb45#=R!I0Vg*Rt`HuAlPDgFrDB;Q3H$zqT%;DqX8nmoVzA%m^X=5pt9W_?&2AS{(E#GK8TG5n^2G<J$+TD>zv-F(_sh?6z5V9R&+YT`^Pk!$jQqE~e<lBEA63eSwd()cXB%lI?`HpPm;aW3+8h7K-|h8(<*#-rm53#al>(jotB)ETC*zrNJ{gPr_+l#+C&RIPkqQ$(zDWKgzx+b|EWe!6s2g_qV>L41azp;)P9}&F-f*NG4I`*Gl-|!^J_PnBHsiR{<sov<6A)-MIYWE6(`Yflk?YTI(?LIugre1G)Q5S4>D>&D1YCHs8V`HCULy09g6(z(9NiAWpw;4y-*`TSBe*vltHh%Sh6GdFSwD=zLAsnEeLhbhdlrYCE-xC}3<q2w1jla9ABDZaaD0P|2100<-bn{w9}=O~>8Lk=;JIfRKjiUvf+Yfm+&X9C-K+O6-@khE`j2Yv&rgrPMNdDydHvzV<=fY9KAl$o_<Ztb>G<=j_iry>e7Jo3bvyp;;@zM5ov-gMK0JSW@&45x)$E@i&%T9EKfS&D{ruIt_b)%6l>hj0_-E<K$JcK@JimDN?&9kX{q4i^Z>jCCA71=^&OG_z>rUd^r^nxslh1E2uf}@!>g(?A*N<m^R1d$rfBEt3^6hWWzV1c7eSGpA-T(6c2q+T3
"""

if __name__ == "__main__":
    try:
        require(len(sys.argv) == 3, "expected IN.splat OUT.npy, or OUT.ppm (.pgm for grey, .pam with alpha)")
        file = parse(Path(sys.argv[1]).read_bytes())
        save(render(file, *decode_splats(file)), sys.argv[2])
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
