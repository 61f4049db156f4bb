"""Train the entropy model: `python benchmarks/train_network.py record FILES...`, then `train`.

`record` decodes .splat files and keeps, for every splat and every split of the position tree, the network's
inputs and the symbols that were coded; `train` fits the network to them and writes
splat2d/format/network.bin. Changing that file changes the format. Train on pictures and clips that no
benchmark measures, encoded with all tunes at many qualities.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from torch import nn
from torch.nn import functional as F

from splat2d.edit.document import Document
from splat2d.format.field import Layout
from splat2d.format.network import PATH, network
from splat2d.native import core

HEADS = "luma chroma1 chroma2 alpha area aspect angle sign0 sign1 sign2 sign_alpha".split()
DIRECT, TOKENS, SECTORS = 16, 40, 32
FRAMES = 15  # of a place's inputs
SPLIT_INPUTS, PLACE_INPUTS, NEAR_INPUTS, SELF_INPUTS, LEVELS = 17, 16, 22, 11, 14
MAGNITUDES, AREA, ASPECT, ANGLE, SIGNS = range(4), 4, 5, 6, range(7, 11)
SYMBOLS = {**dict.fromkeys(range(6), TOKENS), ANGLE: SECTORS, **dict.fromkeys(SIGNS, 2)}
# Which of a splat's own inputs each head may see: those that are decoded before it.
SEEN = (0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11)
LARGEST_TABLE = 256
# The same cell seen from its other half.
MIRRORED = [0, 2, 1, 4, 3, 6, 5, 7, 9, 8, 11, 10, *range(12, 17)]
ONE = 64  # of the integers that stand for a real one
MOST = 1023
REACH = 127 / 64  # of a weight at shift 6


# Recording


@dataclass
class Record:
    """What the network sees and should say of one picture's splats.

    Args:
        place: [N, P] int16 inputs.
        near: [N, K, F] int16.
        own: [N, S] int16, all that is known of a splat at its end.
        targets: [N, 16] int16: six tokens, angle, angles, four signs, limit of the area, level, tier,
            channels.
        splits: [M, 20] int16: inputs, splats of the cell, splats in its first half, tier.
    """

    place: np.ndarray
    near: np.ndarray
    own: np.ndarray
    targets: np.ndarray
    splits: np.ndarray


def to_token(values: np.ndarray) -> np.ndarray:
    """Tokens of integers from 0 on, as docs/FORMAT.md has them in section 5.5."""
    bits = np.maximum(np.frexp(np.maximum(values, 1).astype(float))[1] - 2, 0)
    return np.where(values < DIRECT, values, DIRECT + 2 * (bits - 3) + (values >> bits) - 2)


def record_splats(integers: np.ndarray, layout: Layout) -> Record:
    """Encode a picture's integers [N, C + 5] and keep what the network sees."""
    native, recorder, channels = core(), core().Recorder(), layout.channels
    # In one stream, that batches follow each other.
    _, q = native.encode_field(
        network(), integers, *layout.arguments, most_in_part=len(integers) + 1, tap=recorder
    )
    seen = recorder.arrays()
    classes = native.energy_classes(np.ascontiguousarray(q[:, :channels]), layout.chroma_step)
    angles = native.angle_counts(classes, np.ascontiguousarray(q[:, channels + 1]))
    tiers = native.tiers(classes, np.ascontiguousarray(q[:, channels]))
    slots = [0, 3] if channels == 2 else list(range(channels))
    k = np.zeros((len(q), 4), np.int64)
    k[:, slots] = q[:, :channels]
    low, high = np.zeros((2, len(q)), np.int64)
    for tier in range(native.TIERS):
        low[tiers == tier], high[tiers == tier] = native.area_ranges(classes[tiers == tier], tier).T
    leaves, levels, own = (np.zeros((len(q), *shape), np.int64) for shape in ((), (), (SELF_INPUTS,)))
    row = 0
    for tier in range(native.TIERS):
        of_tier = np.flatnonzero(tiers == tier)
        for batch in (of_tier[::2], of_tier[1::2]):
            leaves[batch] = seen["row_leaves"][row : row + len(batch)]
            # Past magnitudes, areas, aspects and angles; a sign's row knows all that is decoded before it.
            row += (channels + 2) * len(batch) + np.count_nonzero(angles[batch] > 1)
            for slot in slots:
                signed = batch[k[batch, slot] != 0]
                own[signed] = seen["row_self"][row : row + len(signed)]
                levels[signed] = seen["row_levels"][row : row + len(signed)]
                row += len(signed)
    assert row == len(seen["row_leaves"])
    own[:, 8 : 8 + min(channels, 3)] = ONE * np.sign(q[:, : min(channels, 3)])
    counts = high - low + 1
    values = np.column_stack([np.abs(k), q[:, channels] - low, q[:, channels + 1]]).astype(np.int64)
    targets = np.column_stack(
        [
            to_token(values),
            q[:, channels + 2],
            angles,
            np.sign(k),
            np.where(counts <= DIRECT, counts, TOKENS),
            levels,
            tiers,
            np.full(len(q), channels),
        ]
    )
    sizes, firsts = seen["sizes"][seen["split_events"]], seen["values"][seen["split_events"]]
    splats = np.abs(sizes) - 1
    splits = np.column_stack([seen["split_inputs"], splats, firsts, seen["split_tiers"]])
    parts = (seen["place"][leaves], seen["near"][leaves], own, targets, splits[splats <= LARGEST_TABLE])
    return Record(*(part.astype(np.int16) for part in parts))


# Training


class _Round(torch.autograd.Function):
    """Rounding whose gradient is that of the identity."""

    @staticmethod
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        return x.round()

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return gradient


class Layer(nn.Module):
    """A dense layer as the codec computes it, with as many biases as there are indices."""

    def __init__(self, inputs: int, outputs: int, biases: int = 1) -> None:
        super().__init__()
        start = nn.Linear(inputs, outputs)
        self.weight = nn.Parameter(start.weight.detach().t().contiguous())
        self.bias = nn.Parameter(start.bias.detach()[None].repeat(biases, 1).contiguous())
        self.shift = 5
        self.exact = False

    def forward(self, x: torch.Tensor, index: torch.Tensor | None = None, low: float = 0.0) -> torch.Tensor:
        """Activations [n, outputs] of x [n, inputs], cut at `low` and 1023 / 64."""
        weight, bias, scale = self.weight, self.bias, 2.0**self.shift
        if self.exact:
            weight = _Round.apply((weight * scale).clamp(-127, 127)) / scale  # type: ignore[operator]
            bias = _Round.apply(bias * scale * ONE) / (scale * ONE)  # type: ignore[operator]
        y = x @ weight + (bias[0] if index is None else bias[index])
        if self.exact:  # the floor that the shift is
            y = _Round.apply(y * ONE - 0.5 + 0.5 / scale) / ONE  # type: ignore[operator]
        return y.clamp(low, MOST / ONE)

    def choose_shift(self) -> None:
        """The finest step of the weights that reaches the largest of them; from now on exact."""
        largest = float(self.weight.detach().abs().max())
        self.shift = min(6, max(2, math.floor(math.log2(127 / largest))))
        self.exact = True

    def to_bytes(self) -> bytes:
        """As cpp/model/network.cpp reads a layer."""
        scale = 2.0**self.shift
        weight = (self.weight.detach() * scale).clamp(-127, 127).round().to(torch.int8).numpy()
        bias = (self.bias.detach() * scale * ONE).round().to(torch.int32).numpy()
        return bytes([weight.shape[1], self.shift]) + weight.tobytes() + bias.astype("<i4").tobytes()

    def read(self, data: bytes) -> bytes:
        """Take what `to_bytes` wrote at the beginning of data; returns the rest."""
        inputs, outputs = self.weight.shape
        weights, end = inputs * outputs, 2 + inputs * outputs + 4 * self.bias.numel()
        scale = 2.0 ** data[1]
        weight = np.frombuffer(data, np.int8, weights, 2).reshape(inputs, outputs)
        bias = np.frombuffer(data, "<i4", self.bias.numel(), 2 + weights).reshape(-1, outputs)
        self.weight.data = torch.from_numpy(weight / scale).float()
        self.bias.data = torch.from_numpy(bias / (scale * ONE)).float()
        return data[end:]


class TrainedNetwork(nn.Module):
    """The network of cpp/model/network.hpp in real units."""

    def __init__(self, near: int = 24, summed: int = 32, hidden: int = 48, width: int = 24) -> None:
        super().__init__()
        native = core()
        self.split = nn.ModuleList([Layer(SPLIT_INPUTS, 24, native.TIERS), Layer(24, 16), Layer(16, 2)])
        self.near = nn.ModuleList([Layer(NEAR_INPUTS, near), Layer(near, summed)])
        self.trunk = Layer(PLACE_INPUTS + summed, hidden, native.TIERS)
        inputs = hidden + SELF_INPUTS
        self.first = nn.ModuleList([Layer(inputs, width, LEVELS) for _ in HEADS])
        self.last = nn.ModuleList([Layer(width, SYMBOLS[h]) for h in range(len(HEADS))])
        mask = torch.arange(SELF_INPUTS)[None] < torch.tensor(SEEN)[:, None]
        self.register_buffer("mask", mask.float())

    def layers(self) -> list[Layer]:
        """In the order of the file."""
        heads = [layer for pair in zip(self.first, self.last, strict=True) for layer in pair]
        return [*self.split, *self.near, self.trunk, *heads]  # type: ignore[list-item]

    def to_bytes(self) -> bytes:
        """As cpp/model/network.cpp reads it."""
        return bytes([len(HEADS)]) + b"".join(layer.to_bytes() for layer in self.layers())

    def read(self, data: bytes) -> None:
        """Take the weights that `to_bytes` wrote."""
        rest = data[1:]
        for layer in self.layers():
            rest = layer.read(rest)
        assert not rest

    def split_loss(self, rows: torch.Tensor) -> torch.Tensor:
        """Code length in nats of splits [n, 20]."""
        rows = rows.float()
        flip = (torch.rand(len(rows)) < 0.5) if self.training else torch.zeros(len(rows), dtype=torch.bool)
        x = torch.where(flip[:, None], rows[:, MIRRORED], rows[:, :SPLIT_INPUTS]) / ONE
        n = rows[:, 17]
        k = torch.where(flip, n - rows[:, 18], rows[:, 18])
        a, b, c = self.split
        logs = c(b(a(x, rows[:, 19].long())), low=-4.0).clamp(max=10.0)
        alpha, beta = torch.exp2(logs[:, 0]), torch.exp2(logs[:, 1])

        def log_beta(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return torch.lgamma(x) + torch.lgamma(y) - torch.lgamma(x + y)

        choose = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
        return -(choose + log_beta(k + alpha, n - k + beta) - log_beta(alpha, beta))

    def losses(
        self, place: torch.Tensor, near: torch.Tensor, own: torch.Tensor, targets: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Code length in nats of each head's symbols, [n] each."""
        found = near[:, :, :1] > 0
        summed = (self.near[1](self.near[0](near)) * found).sum(1).clamp(max=MOST / ONE)
        hidden = self.trunk(torch.cat([place, summed], 1), targets[:, 14])
        color, alpha = targets[:, 15] >= 3, targets[:, 15] % 2 == 0
        nothing = torch.zeros(len(targets))
        out = {}
        for h, name in enumerate(HEADS):
            x = torch.cat([hidden, own * self.mask[h]], 1)  # type: ignore[index]
            level = torch.zeros_like(targets[:, 13]) if h in MAGNITUDES else targets[:, 13]
            logits = self.last[h](self.first[h](x, level), low=-MOST / ONE) * math.log(2)
            if h == ANGLE:
                out[name] = self._angle_loss(logits, targets[:, 6].float(), targets[:, 7].float())
                continue
            if h == AREA:
                logits = logits.masked_fill(torch.arange(TOKENS)[None] >= targets[:, 12:13], -60.0)
            sign = targets[:, 8 + h - SIGNS[0]] if h in SIGNS else None
            symbols = targets[:, h] if sign is None else (sign < 0).long()
            used = sign != 0 if sign is not None else color if h in (1, 2) else alpha if h == 3 else None
            loss = F.cross_entropy(logits, symbols, reduction="none")
            out[name] = loss if used is None else torch.where(used, loss, nothing)
        return out

    @staticmethod
    def _angle_loss(logits: torch.Tensor, angle: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        """An angle's share of a density that is even within each sector."""
        p = torch.softmax(logits, 1)
        below = torch.cat([torch.zeros(len(p), 1), p.cumsum(1)], 1)

        def cumulative(u: torch.Tensor) -> torch.Tensor:
            turns = torch.floor(u / SECTORS)
            rest = u - turns * SECTORS
            i = rest.long().clamp(0, SECTORS - 1)[:, None]
            return turns + below.gather(1, i)[:, 0] + p.gather(1, i)[:, 0] * (rest - i[:, 0])

        high = cumulative((angle + 0.5) / count * SECTORS + 0.5)
        share = high - cumulative((angle - 0.5) / count * SECTORS + 0.5)
        return torch.where(count > 1, -torch.log(share.clamp(min=1e-7)), torch.zeros_like(share))


def augmented(
    place: torch.Tensor, near: torch.Tensor, own: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """The same splats in a picture that is mirrored, transposed, negative, or any of these."""
    n = len(targets)
    mirror, transpose = torch.rand(n) < 0.5, torch.rand(n) < 0.5
    negative = torch.where(torch.rand(n) < 0.5, -1, 1)[:, None]
    place, near, own, targets = place.clone(), near.clone(), own.clone(), targets.clone()
    flip = torch.where(mirror, -1.0, 1.0)
    for column in (1, 6, 19, 21):
        near[:, :, column] *= flip[:, None]
    place[:, 14] *= flip
    own[:, 7] *= flip
    dx, dy = near[:, :, 1].clone(), near[:, :, 2].clone()
    near[:, :, 1] = torch.where(transpose[:, None], dy, dx)
    near[:, :, 2] = torch.where(transpose[:, None], dx, dy)
    turn = torch.where(transpose, -1.0, 1.0)
    for column in (5, 18, 20):
        near[:, :, column] *= turn[:, None]
    place[:, 13] *= turn
    own[:, 6] *= turn
    angle, count = targets[:, 6], targets[:, 7]
    angle = torch.where(mirror, (count - angle) % count, angle)
    half = (count + (torch.rand(n) < 0.5).long() * (count % 2)) // 2
    targets[:, 6] = torch.where(transpose, (half - angle) % count, angle)
    near[:, :, 7:10] *= negative[:, :, None]
    near[:, :, 15:18] *= negative[:, :, None]
    own[:, 8:11] *= negative
    targets[:, 8:11] *= negative
    return place, near, own, targets


# Commands


class Sample:
    """Rows of many records, so that small ones count: a record is drawn by the root of its rows.

    Args:
        arrays: [n, ...] of each record.
        favour: of each record, times that it is drawn more often.
    """

    def __init__(self, arrays: list[np.ndarray], favour: np.ndarray) -> None:
        self.counts = torch.tensor([len(array) for array in arrays])
        self.starts = self.counts.cumsum(0) - self.counts
        self.shares = self.counts.sqrt() * torch.from_numpy(favour)

    def __call__(self, count: int) -> torch.Tensor:
        """Indices [count] into the rows of all records."""
        of = torch.multinomial(self.shares, count, replacement=True)
        return self.starts[of] + (torch.rand(count) * self.counts[of]).long()


def record(files: tuple[Path, ...], out: Path = Path("build/records")) -> None:
    """Keep what the network sees of files' splats.

    Args:
        files: .splat files of pictures of about 768 x 512, of clips and of light fields.
        out: folder for the records.
    """
    out.mkdir(parents=True, exist_ok=True)
    for path in files:
        for number, (_, field) in enumerate(Document.from_bytes(path.read_bytes()).fields()):
            if not field.count:
                continue
            q, _ = field.decode()
            np.savez(out / f"{path.stem}-{number}.npz", **vars(record_splats(q, field.layout)))
            print(f"{path.stem}: {len(q)} splats", flush=True)


def train(
    records: Path = Path("build/records"),
    steps: int = 20_000,
    exact: float = 0.2,
    batch: int = 1024,
    rate: float = 6e-3,
    moving: float = 3.0,
    start: Path | None = None,
    out: Path = PATH,
) -> None:
    """Train on records and write the network.

    Args:
        records: folder of `record`.
        steps: optimiser steps.
        exact: part of the steps, the last, with weights and activations rounded as the codec rounds them.
        batch: splats a step.
        rate: the largest learning rate.
        moving: how much more often a segment of a clip is drawn than a picture of as many splats.
        start: a network to go on from.
        out: the file that the codec reads, unless given.
    """
    torch.manual_seed(0)
    data = [np.load(path) for path in sorted(records.glob("*.npz"))]
    names = ("place", "near", "own", "targets", "splits")
    arrays = {name: [d[name] for d in data] for name in names}
    place, near, own, targets, splits = (torch.from_numpy(np.concatenate(arrays[name])) for name in names)
    favour = np.array([moving if rows[0, FRAMES] else 1.0 for rows in arrays["place"]], np.float32)
    draw, draw_splits = (Sample(arrays[name], favour) for name in ("place", "splits"))
    net = TrainedNetwork()
    if start:
        net.read(zlib.decompress(start.read_bytes()))
    optimiser = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps + 1, pct_start=0.15)
    mean = 0.0
    for i in range(steps):
        if i == round(steps * (1 - exact)):
            for layer in net.layers():
                layer.choose_shift()
        j, k = draw(batch), draw_splits(2 * batch)
        real = (x[j].float() / ONE for x in (place, near, own))
        losses = net.losses(*augmented(*real, targets[j].long()))  # type: ignore[arg-type]
        # About four splits to a splat.
        loss = torch.stack([v.mean() for v in losses.values()]).sum() + 4 * net.split_loss(splits[k]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        with torch.no_grad():  # within reach of the finest shift
            for layer in net.layers():
                layer.weight.clamp_(-REACH, REACH)
        mean += loss.item() / math.log(2) / 500
        if i % 500 == 499:
            print(f"{i + 1}: {mean:.3f} bits a splat", flush=True)
            mean = 0.0
    data_bytes = zlib.compress(net.to_bytes(), 9)
    out.write_bytes(data_bytes)
    print(f"{len(place)} splats; {len(data_bytes)} bytes in {out}")


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"record": record, "train": train})
