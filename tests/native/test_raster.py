"""The native rasteriser against the reference, and the same bits on any machine."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import splat2d
from splat2d.draw.render import CUTOFF
from splat2d.native import core

from ..support.places import ROOT
from ..support.scenes import all_outputs, backward, clear_of_cutoff, q_values, random_splats, row_scale
from ..support.tolerances import assert_close

torch = pytest.importorskip("torch", reason="the reference needs torch")

SIZES = [(1, 1), (17, 3), (513, 33), (1100, 70)]


def reference(means, conics, colors, width, height, background=None, v_out=None, cutoff=CUTOFF):
    """Return the reference's picture, and with a cotangent the gradients of means, conics, colours."""
    from splat2d.torch.reference import _render

    leaves = [torch.from_numpy(v).double().requires_grad_() for v in (means, conics, colors)]
    base = None if background is None else torch.from_numpy(background).double()
    picture = _render(*leaves, width=width, height=height, cutoff=cutoff, background=base)
    if v_out is None:
        return picture.detach().numpy()
    grads = torch.autograd.grad(picture, leaves, torch.from_numpy(v_out).double())
    return picture.detach().numpy(), *(g.numpy() for g in grads)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_forward_and_backward_match_the_reference(width, height, channels):
    count = 8 if width == 1 else 40
    splats = random_splats(count, channels, width, height, seed=width + channels)
    rng = np.random.default_rng(channels)
    background = rng.random(channels).astype(np.float32)
    clear = clear_of_cutoff(*splats[:2], width, height)
    v_out = (rng.normal(size=(channels, height, width)) * clear).astype(np.float32)

    picture, *grads = reference(*splats, width, height, background, v_out)

    found = core().render(*splats, width, height, CUTOFF, background)
    assert_close("forward", found, picture, where=clear)
    for v_found, v in zip(backward(*splats, v_out), grads, strict=True):
        scale = row_scale(v)
        assert_close("backward", v_found / scale, v / scale)


@pytest.mark.parametrize("cutoff", [0.5, 9.5, 40.0])
def test_other_cutoffs(cutoff):
    splats = random_splats(30, 3, 90, 40, seed=5)
    clear = clear_of_cutoff(*splats[:2], 90, 40, cutoff=cutoff)
    v_out = np.random.default_rng(1).normal(size=(3, 40, 90)) * clear
    picture, *grads = reference(*splats, 90, 40, v_out=v_out, cutoff=cutoff)
    assert_close("forward", core().render(*splats, 90, 40, cutoff), picture, where=clear)
    for v_found, v in zip(backward(*splats, v_out.astype(np.float32), cutoff=cutoff), grads, strict=True):
        assert_close("backward", v_found / row_scale(v), v / row_scale(v))


def test_needles():
    # Float32 conics of thin splats cancel: at an aspect of 100 the error of q is about 1e-2 at the rim.
    splats = random_splats(40, 3, 200, 150, seed=7, scales=(2.0, 10.0), aspect=100.0)
    clear = clear_of_cutoff(*splats[:2], 200, 150, margin=2e-2)
    assert clear.mean() > 0.9
    assert_close(
        "needles", core().render(*splats, 200, 150, CUTOFF), reference(*splats, 200, 150), where=clear
    )


def test_no_splats_give_the_background():
    means, conics, colors = (np.zeros((0, n), np.float32) for n in (2, 3, 2))
    empty = means, conics, colors
    background = np.array([0.25, -3.0], np.float32)
    picture = core().render(*empty, 5, 4, CUTOFF, background)
    np.testing.assert_array_equal(picture, np.broadcast_to(background[:, None, None], (2, 4, 5)))
    assert not core().render(*empty, 5, 4, CUTOFF).any()
    assert [v.shape for v in backward(*empty, picture)] == [(0, 2), (0, 3), (0, 2)]
    assert core().count_pairs(*empty, 5, 4, CUTOFF) == 0


def test_one_splat_by_hand():
    means, conics = np.array([[2.5, 1.5]], np.float32), np.array([[1.0, 0.0, 0.25]], np.float32)
    colors = np.array([[2.0]], np.float32)
    picture = core().render(means, conics, colors, 9, 4, CUTOFF)[0]
    assert picture[1, 2] == 2.0
    assert picture[1, 3] == pytest.approx(2 * np.exp(-0.5), rel=1e-5)
    assert picture[3, 2] == pytest.approx(2 * np.exp(-0.5), rel=1e-5)
    assert picture[1, 5] == pytest.approx(2 * np.exp(-4.5), rel=1e-5)
    assert picture[1, 6] == 0.0  # q = 16


@pytest.mark.parametrize("mean", [(-80.0, 20.0), (30.0, -80.0), (120.0, 20.0), (30.0, 120.0), (1e30, 1e30)])
def test_off_canvas_adds_nothing(mean):
    means = np.array([mean], np.float32)
    conics, colors = np.array([[0.04, 0.01, 0.05]], np.float32), np.ones((1, 3), np.float32)
    assert not core().render(means, conics, colors, 60, 40, CUTOFF).any()
    for v in backward(means, conics, colors, np.ones((3, 40, 60), np.float32)):
        np.testing.assert_array_equal(v, 0)


def test_count_pairs_is_the_number_of_drawn_pixels():
    means, conics, colors = random_splats(50, 1, 120, 60, seed=2)
    q = q_values(means, conics, 120, 60)
    least, most = (q <= CUTOFF - 1e-4).sum(), (q <= CUTOFF + 1e-4).sum()
    assert least <= core().count_pairs(means, conics, colors, 120, 60, CUTOFF) <= most
    assert most - least <= 2


NAN, INF = np.nan, np.inf
DEGENERATE = {
    "zero determinant": (10, 10, 1, 1, 1),
    "negative determinant": (10, 10, 1, 2, 1),
    "negative a and c": (10, 10, -1, 0, -1),
    "zero a": (10, 10, 0, 0, 1),
    "zero c": (10, 10, 1, 0, 0),
    "all zero": (10, 10, 0, 0, 0),
    **{
        f"{value} {name}": tuple(value if i == at else v for i, v in enumerate((10, 10, 1, 0.1, 1)))
        for value in (NAN, INF, -INF)
        for at, name in enumerate(("x", "y", "a", "b", "c"))
    },
    "overflowing determinant": (10, 10, 1e30, 0, 1e30),
    "vanishing determinant": (10, 10, 1e-30, 0, 1e-30),
}


@pytest.mark.parametrize("row", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_splats_contribute_nothing(row):
    healthy = random_splats(6, 3, 40, 30, seed=3)
    bad = np.array([row[:2]]), np.array([row[2:]]), np.array([[5.0, 6.0, 7.0]])
    means, conics, colors = (
        np.insert(g, 3, b[0].astype(np.float32), axis=0) for g, b in zip(healthy, bad, strict=True)
    )
    mixed = means, conics, colors
    v_out = np.random.default_rng(0).normal(size=(3, 30, 40)).astype(np.float32)

    np.testing.assert_array_equal(
        core().render(*mixed, 40, 30, CUTOFF), core().render(*healthy, 40, 30, CUTOFF)
    )
    for v_mixed, v_healthy in zip(backward(*mixed, v_out), backward(*healthy, v_out), strict=True):
        np.testing.assert_array_equal(v_mixed[3], 0)
        np.testing.assert_array_equal(np.delete(v_mixed, 3, axis=0), v_healthy)
    if row[2] not in (1e30, 1e-30):  # those are limits of float32, which the float64 reference lacks
        picture, *grads = reference(*mixed, 40, 30, v_out=v_out)
        np.testing.assert_array_equal(picture, reference(*healthy, 40, 30))
        assert not any(g[3].any() for g in grads)


@pytest.mark.parametrize("size", [1e-25, 1e-12, 1e-3, 1e-2, 1e3, 1e5, 1e8, 1e12, 1e25])
def test_extreme_sizes_are_finite(size):
    # The first sits on a pixel centre, the second between centres.
    means = np.array([[4.5, 3.5], [6.0, 6.0]], np.float32)
    with np.errstate(over="ignore", under="ignore"):
        conic = np.array([size**-2, 0.3 * size**-2, size**-2]).astype(np.float32)
    conics, colors = np.tile(conic, (2, 1)), np.array([[1.0], [0.5]], np.float32)
    picture = core().render(means, conics, colors, 20, 10, CUTOFF)
    assert np.isfinite(picture).all()
    if 1e-8 < size < 1e-1:
        assert picture[0, 3, 4] == 1.0
        assert np.count_nonzero(picture) == 1
    elif 1e2 < size < 1e9:
        np.testing.assert_allclose(picture, 1.5, rtol=2e-3)
    for v in backward(means, conics, colors, np.ones((1, 10, 20), np.float32)):
        assert np.isfinite(v).all()


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_same_bits_for_any_number_of_threads(threads):
    for found, expected in zip(all_outputs(threads), all_outputs(1), strict=True):
        np.testing.assert_array_equal(found.view(np.uint8), expected.view(np.uint8))


def cpu_flags():
    """Return what the processor says it can do; empty where it does not say."""
    try:
        found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return set()
    return set(found.group(1).split()) if found else set()


NEEDS = {
    "base": set(),
    "v3": {"avx2", "fma"},
    "v4": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd"},
}


@pytest.mark.parametrize("level", NEEDS)
def test_same_bits_for_any_instruction_set(level):
    if not NEEDS[level] <= cpu_flags():
        pytest.skip(f"this processor does not say that it has {level}")
    script = (
        f"import sys, hashlib; sys.path.append({str(ROOT)!r}); "
        "from tests.support.scenes import all_outputs; "
        "print(*(hashlib.sha256(v.tobytes()).hexdigest() for v in all_outputs(2)))"
    )
    env = {**os.environ, "SPLAT2D_ISA": level}
    run = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [hashlib.sha256(v.tobytes()).hexdigest() for v in all_outputs(1)]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("unpremultiply", [False, True])
def test_bytes_are_the_rounded_render(channels, unpremultiply):
    splats = random_splats(60, channels, 530, 40, seed=channels)
    background = np.full(channels, 0.4, np.float32)
    picture = core().render(*splats, 530, 40, CUTOFF, background)
    if unpremultiply and channels > 1:
        alpha = np.clip(picture[-1], 0, 1)
        seen = alpha > np.float32(0.5 / 255)
        picture[:-1] = np.where(seen, picture[:-1] / np.where(seen, alpha, 1), 0)
    expected = (np.clip(picture, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    found = core().render_bytes(*splats, 530, 40, CUTOFF, background, unpremultiply)
    np.testing.assert_array_equal(found, expected.transpose(1, 2, 0))
    assert found.min() == 0
    assert found.max() == 255


def test_arrays_that_do_not_fit_are_refused():
    means, conics, colors = random_splats(4, 3, 20, 20)
    for wrong in (means.astype(np.float64), np.asfortranarray(means), means[::2]):
        with pytest.raises((TypeError, ValueError)):
            core().render(wrong, conics, colors, 20, 20, CUTOFF)
    with pytest.raises(ValueError, match="C from 1 to 4"):
        core().render(means, conics, np.zeros((4, 5), np.float32), 20, 20, CUTOFF)
    with pytest.raises(ValueError, match="positive"):
        core().render(means, conics, colors, 0, 20, CUTOFF)
    with pytest.raises(ValueError, match="one value a channel"):
        core().render(means, conics, colors, 20, 20, CUTOFF, np.zeros(2, np.float32))


def test_gradcheck_of_the_reference():
    from splat2d.torch.reference import _render

    # The cut-off is far from every pixel: gradcheck's steps cannot cross it.
    means, conics, colors = (torch.from_numpy(v).double() for v in random_splats(4, 2, 7, 5, scales=(2, 4)))
    means = means.clamp(1, 5)
    background = torch.tensor([0.1, 0.2], dtype=torch.float64)
    q = q_values(means.numpy(), conics.numpy(), 7, 5)
    assert np.abs(q - CUTOFF).min() > 1e-3
    leaves = [v.requires_grad_() for v in (means, conics, colors, background)]
    assert torch.autograd.gradcheck(lambda m, s, c, b: _render(m, s, c, 7, 5, CUTOFF, b), leaves)
    assert _render(*leaves[:3], width=7, height=5).dtype == torch.float64


def test_stub_names_what_the_module_has():
    stub = ast.parse((Path(splat2d.__file__).parent / "_core.pyi").read_text())
    functions = {node.name: node for node in stub.body if isinstance(node, ast.FunctionDef)}
    classes = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef)}
    constants = {ast.unparse(node.target) for node in stub.body if isinstance(node, ast.AnnAssign)}
    assert {*functions, *classes, *constants} == {name for name in dir(core()) if not name.startswith("_")}
    for owner, members in [(core(), functions)] + [
        (getattr(core(), name), {m.name: m for m in node.body if isinstance(m, ast.FunctionDef)})
        for name, node in classes.items()
    ]:
        if owner is not core():
            assert {*members} - {"__init__"} == {name for name in vars(owner) if not name.startswith("_")}
        for name, node in members.items():
            # A line an overload.
            signature = " ".join(s.split(" -> ")[0] for s in getattr(owner, name).__doc__.splitlines())
            names = re.findall(r"(\w+)(?=: |[,)])", re.sub(r"ndarray\[.*?\]", "", signature))
            if names:  # properties show no signature
                stubbed = [a.arg for a in node.args.args]
                assert [n for n in stubbed if n not in names] == [], f"{name}: {signature}"


def test_cutoff_has_one_value():
    assert f"cutoff: float = {CUTOFF}" in str(core().Refiner.__init__.__doc__)
