"""The entropy model's network and its inputs against a slow model, exactly, on every instruction set."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zlib
from dataclasses import dataclass

import numpy as np
import pytest

from splat2d.format.field import Layout
from splat2d.format.network import PATH, network
from splat2d.native import core

from ..support import model
from ..support.integers import (
    CHROMA_STEP,
    ONE,
    at_places,
    layout_for,
    random_integers,
    random_moving,
    with_shapes,
)
from ..support.places import ROOT
from ..support.traversal import Known, Row, rows_of_batch, splits_of_tier

ISAS = ["base", "v3", "v4"]
SHIFTS = [(127, 6), (127, 0), (40, 3), (3, 8), (1, 0)]  # largest weight, shift: from saturated to all but 0
SHIPPED = zlib.decompress(PATH.read_bytes())


@dataclass
class Recorded:
    """What an encoder's models saw and what it coded; weights [i] is empty where event i is uniform."""

    data: bytes
    q: np.ndarray
    seen: dict[str, np.ndarray]
    weights: list[list[int]]


def record(q: np.ndarray, layout: Layout, net=None, tap=None, **options) -> Recorded:
    """Encode integers with a network, the shipped one if None."""
    tap = core().Recorder() if tap is None else tap
    data, ordered = core().encode_field(net or network(), q, *layout.arguments, tap=tap, **options)
    seen = tap.arrays()
    weights, at = [], 0
    for size in seen["sizes"].tolist():
        weights.append(seen["weights"][at : at + max(size, 0)].tolist())
        at += max(size, 0)
    assert at == len(seen["weights"])
    return Recorded(data, ordered, seen, weights)


def counts_of(q: np.ndarray, layout: Layout) -> tuple[int, ...]:
    """Return how many splats of coded integers lie in each tier."""
    said = [model.describe(row, layout.channels, CHROMA_STEP) for row in q.tolist()]
    return tuple(sum(model.tier_of(s.area) == tier for s in said) for tier in range(6))


def batches_of(recorded: Recorded, layout: Layout):
    """Give each batch: its tier, its splats, which these are in their tier, and all that are known before."""
    known, start = [], 0
    for tier, count in enumerate(counts_of(recorded.q, layout)):
        of_tier = recorded.q[start : start + count].tolist()
        for batch in range(min(count, 2)):
            chosen = range(batch, count, 2)
            yield tier, [of_tier[i] for i in chosen], chosen, list(known)
            known += of_tier[batch::2]
        start += count


def rows_of(recorded: Recorded, layout: Layout) -> list[Row]:
    """Return what is coded under heads."""
    batches = batches_of(recorded, layout)
    return [row for _, batch, *_ in batches for row in rows_of_batch(batch, layout.channels, CHROMA_STEP)]


def splats_for(case: str, channels: int) -> tuple[np.ndarray, Layout]:
    """Return random integers and their layout."""
    count, width, height, log2_s = {
        "one": (1, 170, 110, (-2, 11)),
        "few": (12, 170, 110, (-2, 11)),
        "all sizes": (250, 170, 110, (-2, 11)),
        "small": (250, 170, 110, (-1, 3)),
        "faint and round": (300, 170, 110, (-0.5, 1.5)),
        "strip": (150, 900, 7, (-1, 4)),
        "crowded": (420, 20, 12, (-1.9, -0.8)),  # buckets of more than 64, and cells of more than 255
        "one place": (330, 64, 64, (-1, 0.5)),
    }[case]
    q = random_integers(count, channels, width, height, seed=count + channels, log2_s=log2_s)
    rng = np.random.default_rng(count)
    if case == "one place":  # alike but for the sign
        q[:, :channels] = 0
        q[:, 0] = np.where(np.arange(len(q)) % 3, 1, -1)
        q = with_shapes(q[:, :channels], width, height, rng, log2_s)
        q[:, channels:] = q[0, channels:]
    if case == "faint and round":  # of few angles
        colors = rng.choice([-1, 1], (count, channels)) * rng.integers(1, 25, (count, channels))
        q = with_shapes(colors.astype(np.int32), width, height, rng, log2_s)
        q[:, channels + 1] = np.minimum(q[:, channels + 1], rng.integers(0, 7, len(q)))
    classes = core().energy_classes(np.ascontiguousarray(q[:, :channels]), CHROMA_STEP)
    if case in ("crowded", "faint and round"):
        q[:, channels + 2] %= core().angle_counts(classes, np.ascontiguousarray(q[:, channels + 1]))
        place = rng.normal([84 * ONE, 76 * ONE], 18 * ONE, (len(q), 2))
        q = at_places(q, classes, place.astype(np.int64), width, height)
    return q, layout_for(q, width, height)


CASES = [("all sizes", c) for c in (1, 2, 3, 4)] + [("one", 3), ("few", 2), ("small", 3), ("strip", 1)]
CASES += [("faint and round", 2), ("crowded", 1), ("crowded", 4), ("one place", 3), ("one place", 1)]


# Inputs.


@pytest.mark.parametrize(("case", "channels"), CASES)
def test_cells_and_their_inputs_are_the_slow_ones(case, channels):
    q, layout = splats_for(case, channels)
    recorded = record(q, layout)
    seen, events, at = recorded.seen, recorded.seen["split_events"], 0
    counts = counts_of(recorded.q, layout)
    centers = [(s.x, s.y) for s in (model.describe(r, channels, CHROMA_STEP) for r in recorded.q.tolist())]
    for tier, count in enumerate(counts):
        if not count:
            continue
        start = sum(counts[:tier])
        known = Known(centers[:start], centers[sum(counts[: max(tier - 1, 0)]) : start])
        points = centers[start : start + count]
        splits, leaves = splits_of_tier(points, known, layout, tier, counts)
        # Coded splats stand in the order of their leaves.
        assert all(leaf.holds(point) for leaf, point in zip(leaves, points, strict=True))
        these = slice(at, at + len(splits))
        assert (seen["split_tiers"][these] == tier).all()
        assert seen["split_inputs"][these].tolist() == [s.inputs for s in splits]
        assert seen["values"][events[these]].tolist() == [s.first for s in splits]
        sizes = [s.count + 1 if s.count <= 255 else -s.count - 1 for s in splits]
        assert seen["sizes"][events[these]].tolist() == sizes
        at += len(splits)
    assert at == len(events) == len(seen["split_tiers"])


@pytest.mark.parametrize("frames", [0, 2, 20, 64])
def test_places_of_a_segment_know_its_frames(frames):
    q = random_moving(40, 3, 170, 110, frames) if frames else random_integers(40, 3, 170, 110)
    place = record(q, layout_for(q, 170, 110, frames)).seen["place"]
    assert len(place)
    assert (place[:, 15] == (model.log2_q6(1 + frames) if frames else 0)).all()


@pytest.mark.parametrize(("case", "channels"), CASES)
def test_inputs_of_leaves_and_splats_are_the_slow_ones(case, channels):
    q, layout = splats_for(case, channels)
    recorded = record(q, layout)
    seen, counts = recorded.seen, counts_of(recorded.q, layout)
    leaf, row, around, corners = 0, 0, [], []
    for tier, batch, chosen, known in batches_of(recorded, layout):
        if chosen[0] == 0:
            start = sum(counts[:tier])
            said = [model.describe(r, channels, CHROMA_STEP) for r in recorded.q.tolist()]
            points = [(s.x, s.y) for s in said[start : start + counts[tier]]]
            corners = splits_of_tier(points, Known([], []), layout, tier, counts)[1]
            around = model.surroundings([[c.x, c.y] for c in corners], tier)
        leaf_of = {}
        for i in chosen:
            if corners[i] in leaf_of:
                continue
            rest = (layout.width, layout.height, channels, CHROMA_STEP, layout.step_code, counts, tier)
            assert seen["place"][leaf].tolist() == model.place_inputs(tuple(around[i]), *rest, known)
            near = model.near_inputs(list(corners[i].middle), tier, channels, CHROMA_STEP, known)
            assert seen["near"][leaf, : len(near)].tolist() == near
            assert not seen["near"][leaf, len(near) :].any()
            assert (seen["near_counts"][leaf], seen["leaf_tiers"][leaf]) == (len(near), tier)
            leaf_of[corners[i]] = leaf
            leaf += 1
        expected = list(rows_of_batch(batch, channels, CHROMA_STEP))
        these = slice(row, row + len(expected))
        assert seen["row_heads"][these].tolist() == [r.head for r in expected]
        assert seen["row_leaves"][these].tolist() == [leaf_of[corners[chosen[r.splat]]] for r in expected]
        own = [model.self_inputs(batch[r.splat], tier, channels, CHROMA_STEP, r.known) for r in expected]
        assert seen["row_self"][these].tolist() == [inputs for inputs, _ in own]
        assert seen["row_levels"][these].tolist() == [level for _, level in own]
        row += len(expected)
    assert (leaf, row) == (len(seen["place"]), len(seen["row_heads"]))


def test_the_cases_reach_what_they_should():
    q, layout = splats_for("crowded", 1)
    recorded = record(q, layout)
    assert recorded.seen["sizes"].min() < -256  # a cell of more than 255 splats
    said = [model.describe(row, 1, CHROMA_STEP) for row in recorded.q.tolist()]
    first_batch = [s for s in said if model.tier_of(s.area) == 5][::2]
    buckets = [(s.x >> 17, s.y >> 17) for s in first_batch]
    assert max(map(buckets.count, buckets)) > 64
    rows = []
    for case in ("all sizes", "faint and round"):
        for channels in (1, 2):
            q, layout = splats_for(case, channels)
            rows += rows_of(record(q, layout), layout)
    assert {0, 6, 11, 12, 16, 17, 21, 22, 26, 28, 31, 32} <= {row.folded for row in rows if row.head == 6}
    assert {1, 2, 3, 5, 7, 10, 13, 14, 40} <= {row.limit for row in rows if row.head == 4}


# Weights.


def check_weights(recorded: Recorded, layout: Layout, slow: model.SlowNetwork) -> None:
    """Compare what was coded under with what a slow network makes of what the native one was given."""
    seen = {k: v.astype(np.int64) for k, v in recorded.seen.items()}
    logs = [
        slow.splits(x[None], t)[0] for x, t in zip(seen["split_inputs"], seen["split_tiers"], strict=True)
    ]
    for event, pair in zip(seen["split_events"], logs, strict=True):
        size = int(seen["sizes"][event])
        assert recorded.weights[event] == (model.split_weights(size - 1, *pair) if size > 0 else [])
    hidden = np.zeros((len(seen["place"]), 48), np.int64)
    for tier in range(6):
        these = seen["leaf_tiers"] == tier
        if these.any():
            hidden[these] = slow.embed(seen["place"][these], seen["near"][these], tier)
    rows = rows_of(recorded, layout)
    assert len(rows) == len(seen["row_events"])
    for head in range(len(model.HEADS)):
        these = np.flatnonzero(seen["row_heads"] == head)
        states = hidden[seen["row_leaves"][these]]
        logits = slow.logits(head, states, seen["row_self"][these], seen["row_levels"][these])
        for i, row_logits in zip(these.tolist(), logits, strict=True):
            weights = model.weigh(row_logits, rows[i].limit)
            expected = model.fold(weights, rows[i].folded) if rows[i].folded else weights
            assert recorded.weights[seen["row_events"][i]] == expected


@pytest.mark.parametrize(("size", "shift"), SHIFTS)
@pytest.mark.parametrize("channels", [2, 3])
def test_weights_of_random_networks_are_the_slow_ones(size, shift, channels):
    slow = model.SlowNetwork(size + shift + channels, size, shift)
    q, layout = splats_for("few", channels)
    check_weights(record(q, layout, core().Network(slow.to_bytes())), layout, slow)


@pytest.mark.parametrize(
    ("case", "channels"), [("all sizes", 4), ("faint and round", 1), ("crowded", 1), ("strip", 3)]
)
def test_weights_of_the_shipped_network_are_the_slow_ones(case, channels):
    q, layout = splats_for(case, channels)
    slow = model.SlowNetwork.of_bytes(SHIPPED)
    assert slow.to_bytes() == SHIPPED
    check_weights(record(q, layout), layout, slow)


@pytest.mark.parametrize("hidden", ["neighbours", "own", "earlier"])
def test_what_is_hidden_from_the_models_does_not_count(hidden):
    q, layout = splats_for("few", 3)
    slow = model.SlowNetwork(7, 40, 3)
    net, tap = core().Network(slow.to_bytes()), core().Recorder(**{hidden: False})
    recorded = record(q, layout, net, tap)
    seen = recorded.seen
    check_weights(recorded, layout, slow)
    assert seen["split_inputs"][:, [1, 2, 3, 4, 8, 9]].any() == (hidden != "earlier")
    assert seen["near"].any() == (hidden == "earlier")
    assert seen["row_self"].any() == (hidden != "own")
    assert seen["place"][:, 2:7].any() == (hidden != "own")  # what follows from the header
    assert recorded.data != record(q, layout, net).data


def test_weights_sum_to_the_coders_total():
    q, layout = splats_for("all sizes", 3)
    moving = random_moving(200, 3, 100, 80, 9, seed=1)
    for recorded in (record(q, layout), record(moving, layout_for(moving, 100, 80, 9))):
        for weights in filter(None, recorded.weights):
            assert sum(weights) == 1 << 16
            assert min(weights) >= 1


def test_a_limit_leaves_one_unit_to_what_lies_beyond():
    q, layout = splats_for("all sizes", 1)
    recorded = record(q, layout)
    rows, events = rows_of(recorded, layout), recorded.seen["row_events"].tolist()
    limited = [(r.limit, recorded.weights[e]) for r, e in zip(rows, events, strict=True) if r.head == 4]
    assert any(limit < 40 for limit, _ in limited)
    assert all(weights[limit:] == [1] * (40 - limit) for limit, weights in limited)


def test_the_first_of_the_largest_gets_what_is_missing():
    assert model.normalise([3, 0, 5, 5]) == [15123, 1, 25207, 25205]
    assert model.weigh([10, -1023, 74, 74]) == [13106, 1, 26216, 26213]


# Instruction sets and threads.


def digest_of_all(threads: int) -> str:
    """What the child processes compute."""
    out = hashlib.sha256()
    for seed, (size, shift) in enumerate(SHIFTS):
        q, layout = splats_for("all sizes", 1 + seed % 4)
        slow = model.SlowNetwork(seed, size, shift)
        recorded = record(q, layout, core().Network(slow.to_bytes()), threads=threads)
        out.update(recorded.data)
        for name in sorted(recorded.seen):
            out.update(recorded.seen[name].tobytes())
    fields = [random_integers(2500, 3, 300, 200, seed=5, log2_s=(-1, 4)), random_moving(500, 4, 300, 200, 20)]
    for q, frames in zip(fields, (0, 20), strict=True):
        layout = layout_for(q, 300, 200, frames)
        for most in (16384, 300):
            options = {"most_in_part": most, "least_for_directory": 0, "threads": threads}
            data, ordered = core().encode_field(network(), q, *layout.arguments, **options)
            back, _ = core().decode_field(network(), data, *layout.arguments, threads=threads)
            assert np.array_equal(back, ordered)
            out.update(data)
            out.update(ordered.tobytes())
    return out.hexdigest()


@pytest.fixture(scope="module")
def digest() -> str:
    return digest_of_all(1)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 3])
def test_all_instruction_sets_and_threads_give_the_same_rows_and_files(isa, threads, digest):
    # The installed package comes first; the root is there for the tests alone.
    code = f"import sys; sys.path.append({str(ROOT)!r})\n"
    code += "from tests.format.test_network import core, digest_of_all\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}print(core().isa, digest_of_all({threads}))"],
        cwd=ROOT / "tests",
        env={**os.environ, "SPLAT2D_ISA": isa},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    used, found = done.stdout.split()
    assert ISAS.index(used) <= ISAS.index(isa)  # less where the processor has less
    assert found == digest


# The network's file.


def test_the_shipped_network_fits_the_codec():
    slow = model.SlowNetwork.of_bytes(SHIPPED)
    assert tuple(last.weight.shape[1] for _, last in slow.heads) == model.SYMBOLS
    core().Network(SHIPPED)


def test_malformed_networks_are_refused():
    slow = model.SlowNetwork(1, 20, 6)
    data = slow.to_bytes()
    Network = core().Network
    Network(data)
    for size in (2, 3, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(ValueError, match="the network ends early"):
            Network(data[:size])
    for size in (0, 1):  # a layer without outputs
        with pytest.raises(ValueError, match="bad layer"):
            Network(data[:size])
    with pytest.raises(ValueError, match="bytes to spare"):
        Network(data + b"\0")
    for at, value in ((1, 0), (1, 65), (2, 9), (2, 255)):
        with pytest.raises(ValueError, match="bad layer"):
            Network(data[:at] + bytes([value]) + data[at + 1 :])
    for heads in (0, 10, 12):
        with pytest.raises(ValueError, match="another number of heads"):
            Network(bytes([heads]) + data[1:])


def widened(layer: model.Layer) -> model.Layer:
    """Return a layer with its outputs twice."""
    return model.Layer(np.hstack([layer.weight] * 2), np.hstack([layer.bias] * 2), layer.shift)


def test_networks_of_other_widths_are_refused():
    rng = np.random.default_rng(1)
    for change in ("split", "near", "trunk", "head"):
        slow = model.SlowNetwork(1, 20, 6)
        if change == "split":
            slow.split_layers[2] = widened(slow.split_layers[2])
        elif change == "near":
            slow.near[1] = model.random_layer(rng, 17, 34, 1, 6, 20)
        elif change == "trunk":
            slow.trunk = model.random_layer(rng, len(slow.trunk.weight), 47, 6, 6, 20)
        else:
            slow.heads[3] = slow.heads[3][0], model.random_layer(rng, 24, 41, 1, 6, 20)
        with pytest.raises(ValueError, match="bad layer"):
            core().Network(slow.to_bytes())


@pytest.mark.parametrize("sign", [-1, 1])
def test_sums_that_floats_cannot_hold_are_refused(sign):
    slow = model.SlowNetwork(2, 127, 6)
    layer = slow.trunk
    room = (1 << 24) - 1 - 1023 * int(np.abs(layer.weight[:, -1]).sum())
    layer.bias[5, -1] = sign * room
    core().Network(slow.to_bytes())
    for bias in (sign * (room + 1), -(1 << 31), (1 << 31) - 1):
        layer.bias[5, -1] = bias
        with pytest.raises(ValueError, match="sums are not exact"):
            core().Network(slow.to_bytes())


def test_random_bytes_are_no_network():
    rng = np.random.default_rng(0)
    for _ in range(200):
        with pytest.raises(ValueError, match="the network"):
            core().Network(rng.bytes(int(rng.integers(0, 3000))))
