"""The motion field of a segment: its integers, their bytes, and what a moment shows of its splats."""

import hashlib
import itertools
from dataclasses import replace

import numpy as np
import pytest

from splat2d.errors import BitstreamError
from splat2d.fit.clip.lattice import Lattice
from splat2d.format.motion import CodedMotion, Knots, read_motion
from splat2d.format.sections import Reader
from splat2d.format.segments import CodedSegment, read_span, segment_section
from splat2d.native import core
from splat2d.scene.clip import Clip

from ..support.motion import WORLD, affine_field, riding_clip


def native(frames=9, spacing=2, cell_log2=4, step_log2=5):
    return CodedMotion(cell_log2, step_log2, spacing, b"").native(WORLD, frames)


def random_integers(motion, rng):
    q = rng.integers(-3, 4, (len(motion.order), motion.integers)) * (
        rng.random((len(motion.order), motion.integers)) < 0.2
    )
    q[0, :3] = 9, -40, 3000
    q[1, 10] = -70
    q[2] = 0
    return q.astype(np.int32)


# Integers and bytes.


def test_bytes_are_those_that_were_written_first():
    motion = native()
    data = motion.encode(random_integers(motion, np.random.default_rng(0)))
    assert hashlib.sha256(data).hexdigest()[:16] == "2d372a0477c38830"


def test_a_field_decodes_to_what_its_integers_make():
    motion = native()
    q = random_integers(motion, np.random.default_rng(1))
    values = motion.decode(motion.encode(q))
    for number, row in enumerate(q):
        assert motion.make(number, row)
    assert np.array_equal(values, motion.values())
    assert np.abs(values).max() > 1000
    assert not values[Knots(9, 2).reference].any()


def test_a_plane_is_a_plane_and_a_finer_lattice_goes_on_from_a_coarser_one():
    motion = native(frames=2, spacing=1)
    row = np.zeros(motion.integers, np.int32)
    row[:6] = 5, 16, -8, 0, 0, 24
    assert motion.order == [0]
    motion.make(0, row)
    values = motion.values()[0].astype(float)
    # A step of 32 units; slopes are eighths of it for each half cell of 64 px.
    assert np.allclose(np.diff(values[..., 0], axis=1), 16 * 4 * 2 / 4, atol=1)
    assert np.allclose(np.diff(values[..., 0], axis=0), -8 * 4 * 2 / 4, atol=1)
    assert np.allclose(np.diff(values[..., 1], axis=0), 24 * 4 * 2 / 4, atol=1)

    row[:] = 0
    row[6 + 2 * 9] = 7  # x of some place of the coarsest lattice
    motion.make(0, row)
    lattices = [Lattice(16 << (2 - level), motion.shape(level)) for level in range(3)]
    own = np.zeros((*lattices[0].shape, 2), np.float32)
    own.reshape(-1)[2 * 9] = 7 * 32
    for coarse, fine in itertools.pairwise(lattices):
        own = coarse.refined(fine, own)
    assert np.abs(motion.values()[0] - own).max() <= 1.5


def test_knots_are_predicted_by_those_around_them():
    motion = native(frames=17, spacing=4)
    assert motion.order == [4, 0, 1, 3]
    assert motion.reaches == [2, 2, 1, 1]
    row = np.zeros(motion.integers, np.int32)
    row[0] = 100  # knot 4 moves by 100 steps, and all others follow in a line
    motion.make(0, row)
    for number in range(1, 4):
        motion.make(number, np.zeros_like(row))
    assert np.array_equal(motion.values()[:, 3, 3, 0], np.array([-100, -50, 0, 50, 100]) * 32)


@pytest.mark.parametrize(("frames", "spacing"), [(2, 1), (3, 2), (17, 4), (64, 1), (64, 9), (10, 9)])
def test_a_steady_motion_is_steady_between_knots_and_beyond(frames, spacing):
    knots = Knots(frames, spacing)
    middle = frames // 2
    at = middle + 0.5 + (np.arange(knots.intervals + 1) - knots.reference) * spacing
    assert at[0] <= 0.5 + 1e-9
    assert at[-1] >= frames - 0.5 - 1e-9
    for time in np.linspace(0.5, frames - 0.5, 23):
        assert knots.weights(time) @ (3 * at + 1) == pytest.approx(3 * time + 1, abs=1e-4)
    assert not knots.weights(middle + 0.5)[: knots.reference].any()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x95\x01\x00", "the cell"),
        (b"\x32\x01\x00", "the cell"),
        (b"\x42\x01\x00", "the step"),
    ],
)
def test_what_no_field_has_is_refused(data, says):
    coded = read_motion(Reader(data), 5, "a segment")
    with pytest.raises(BitstreamError, match=says):
        coded.decoded(WORLD, 5)


def test_numbers_out_of_range_and_missing_bytes_are_refused():
    for data, says in (
        (b"\x45\x00\x00", "every 0 frames"),
        (b"\x45\x05\x00", "every 5 frames"),
        (b"\x45\x01", "motion field"),
    ):
        with pytest.raises(BitstreamError, match=says):
            read_motion(Reader(data), 5, "a segment")
    with pytest.raises(BitstreamError, match="more coefficients"):
        CodedMotion(4, 5, 1, b"").decoded((4000, 3000), 64)


def test_displacements_beyond_the_limit_are_refused():
    motion = native(frames=2, spacing=1, step_log2=8)
    row = np.zeros((1, motion.integers), np.int32)
    row[0, 0] = 1 << 14
    assert motion.make(0, row[0])
    row[0, 0] += 1
    assert not motion.make(0, row[0])
    with pytest.raises(BitstreamError, match="out of range"):
        CodedMotion(4, 8, 1, motion.encode(row)).decoded(WORLD, 2)


# What a frame shows.


def test_slices_follow_the_field_and_its_slopes():
    turn = np.array([[0.02, -0.05], [0.04, 0.01]])
    field = affine_field(5, turn)[4]
    mean = np.array([[30.0, 20.0, 1.0]], np.float32)
    velocity = np.array([[2.0, -1.0]], np.float32)
    conic = np.array([[0.05, 0.01, 0.2]], np.float32)
    arrays = mean, velocity, conic, np.full(1, 1e-6, np.float32), np.ones((1, 1), np.float32)
    _, means, conics, colors, _ = core().slice(*arrays, 4.5, -3.0, -2.0, 12.25, field, 16.0, 64.0)
    place = mean[0, :2] + 3.5 * velocity[0]
    jacobian = np.eye(2) + 1.5 * turn
    assert means[0] == pytest.approx(jacobian @ place + [-3, -2], abs=1e-3)
    inverse = np.linalg.inv(jacobian)
    carried = inverse.T @ np.array([[0.05, 0.01], [0.01, 0.2]]) @ inverse
    assert conics[0] == pytest.approx([carried[0, 0], carried[0, 1], carried[1, 1]], rel=1e-3)
    assert colors[0, 0] == pytest.approx(1, abs=1e-4)


def test_shapes_stay_where_the_field_folds():
    folded = affine_field(5, [[-1.0, 0], [0, 0]])[4]
    arrays = (
        np.full((1, 3), 20, np.float32),
        np.zeros((1, 2), np.float32),
        np.array([[0.05, 0.01, 0.2]], np.float32),
    )
    arrays = *arrays, np.full(1, 1e-6, np.float32), np.ones((1, 1), np.float32)
    _, _, conics, _, _ = core().slice(*arrays, 4.5, 0.0, 0.0, 12.25, folded, 16.0, 64.0)
    assert np.array_equal(conics, arrays[2])


def test_a_clip_that_rides_is_read_as_it_was_written():
    data = riding_clip()
    clip = Clip.from_bytes(data)
    assert clip.to_bytes() == data
    flat, covered = clip.segment(0), clip.segment(0, 1)
    for segment in (flat, covered):
        assert segment.motion is not None
        assert np.abs(segment.motion.values).max() > 1
        assert not segment.motion.grid(2.5).any()
    assert covered.matte is not None
    still = replace(covered, motion=None)
    assert not np.allclose(covered.slice(4.5).matte.means, still.slice(4.5).matte.means, atol=0.1)
    assert np.array_equal(covered.slice(2.5).means, still.slice(2.5).means)


def test_flags_that_no_segment_has_are_refused():
    path = np.zeros((1, 2), np.int32)
    segment = CodedSegment(0, path, (), 200, (0, 0, 0), b"", 0, None, CodedMotion(4, 5, 1, b""))
    with pytest.raises(BitstreamError, match="flags 8"):
        read_span(segment_section(segment)[2:-4])
