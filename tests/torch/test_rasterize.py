"""The differentiable torch operation, and its place in a training loop."""

from __future__ import annotations

import runpy
import sys

import numpy as np
import pytest

import splat2d
from splat2d.draw.render import CUTOFF
from splat2d.errors import BackendUnavailableError, ConfigError, ShapeError
from splat2d.native import MAX_THREADS, core
from splat2d.native.backend import ALL_CORES, Backend

from ..support.places import ROOT
from ..support.scenes import clear_of_cutoff, random_splats, row_scale
from ..support.tolerances import assert_close

torch = pytest.importorskip("torch", reason="the fit floor needs torch")

from splat2d.torch.rasterize import conics_from, rasterize  # noqa: E402
from splat2d.torch.reference import _render  # noqa: E402

WIDTH, HEIGHT = 70, 40


@pytest.fixture
def splats():
    return [torch.from_numpy(v) for v in random_splats(25, 3, WIDTH, HEIGHT, seed=1)]


def test_matches_the_reference_with_random_cotangents(splats):
    background = torch.tensor([0.1, 0.5, 0.9])
    clear = clear_of_cutoff(splats[0].numpy(), splats[1].numpy(), WIDTH, HEIGHT)
    v_out = torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) * torch.from_numpy(
        clear
    )

    fast = [v.clone().requires_grad_() for v in (*splats, background)]
    slow = [v.double().requires_grad_() for v in (*splats, background)]
    picture = rasterize(*fast[:3], width=WIDTH, height=HEIGHT, background=fast[3])
    expected = _render(*slow[:3], width=WIDTH, height=HEIGHT, background=slow[3])
    assert_close("forward", picture.detach(), expected.detach(), where=clear)
    picture.backward(v_out)
    expected.backward(v_out.double())
    for found, wanted in zip(fast, slow, strict=True):
        v_found, v = (np.atleast_2d(leaf.grad.numpy()) for leaf in (found, wanted))
        assert_close("backward", v_found / row_scale(v), v / row_scale(v))


def test_gradient_of_a_sum_comes_as_an_expanded_view(splats):
    leaves = [v.clone().requires_grad_() for v in splats]
    rasterize(*leaves, width=WIDTH, height=HEIGHT).sum().backward()
    again = [v.clone().requires_grad_() for v in splats]
    (rasterize(*again, width=WIDTH, height=HEIGHT) * torch.ones(3, HEIGHT, WIDTH)).sum().backward()
    for one, other in zip(leaves, again, strict=True):
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("wanted", range(4))
def test_only_wanted_gradients_are_computed(splats, wanted, monkeypatch):
    inputs = [*splats, torch.zeros(3)]
    inputs[wanted] = inputs[wanted].clone().requires_grad_()
    picture = rasterize(*inputs[:3], width=WIDTH, height=HEIGHT, background=inputs[3])
    calls = []
    original = core().backward_into
    monkeypatch.setattr(core(), "backward_into", lambda *a: (calls.append(1), original(*a)))
    picture.sum().backward()
    assert [v.grad is not None for v in inputs] == [i == wanted for i in range(4)]
    assert len(calls) == (wanted != 3)
    if wanted == 3:
        np.testing.assert_array_equal(inputs[3].grad, np.full(3, WIDTH * HEIGHT))


def test_without_gradients(splats):
    leaf = splats[0].clone().requires_grad_()
    with torch.no_grad():
        picture = rasterize(leaf, *splats[1:], width=WIDTH, height=HEIGHT)
    assert not picture.requires_grad
    assert not rasterize(*splats, width=WIDTH, height=HEIGHT).requires_grad
    with torch.inference_mode():
        assert torch.equal(rasterize(*splats, width=WIDTH, height=HEIGHT), picture)
    assert rasterize(leaf, *splats[1:], width=WIDTH, height=HEIGHT).requires_grad


def test_second_derivatives_are_an_error(splats):
    leaves = [v.clone().requires_grad_() for v in splats]
    loss = rasterize(*leaves, width=WIDTH, height=HEIGHT).square().sum()
    (grad,) = torch.autograd.grad(loss, leaves[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_inputs_changed_in_place_before_backward_are_an_error(splats):
    colors = splats[2].clone().requires_grad_()
    picture = rasterize(splats[0], splats[1], colors, WIDTH, HEIGHT)
    with torch.no_grad():
        colors.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        picture.sum().backward()


def test_same_bits_for_any_number_of_threads(splats):
    def run(threads):
        leaves = [v.clone().requires_grad_() for v in splats]
        picture = rasterize(*leaves, width=WIDTH, height=HEIGHT, threads=threads)
        picture.square().sum().backward()
        return [picture.detach(), *(v.grad for v in leaves)]

    for threads in (2, 3, 5, None):
        assert all(map(torch.equal, run(threads), run(1)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("at", range(8), ids=["x", "y", "a", "b", "c", "red", "green", "blue"])
def test_splats_that_are_not_finite_count_for_nothing(splats, at, value):
    tensor, column = ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2))[at]
    splats[0][4] = torch.tensor([WIDTH / 2, HEIGHT / 2])  # where it would show
    bad = [v.clone() for v in splats]
    bad[tensor][4, column] = value
    rest = [torch.cat([v[:4], v[5:]]) for v in splats]
    leaves = [v.requires_grad_() for v in bad]
    picture = rasterize(*leaves, width=WIDTH, height=HEIGHT)
    assert torch.equal(picture, rasterize(*rest, width=WIDTH, height=HEIGHT))
    picture.square().sum().backward()
    for leaf in leaves:
        assert not leaf.grad[4].any()
        assert torch.isfinite(leaf.grad).all()
    assert leaves[2].grad[3].any()


def test_no_splats():
    means, conics, colors = (torch.zeros(0, n, requires_grad=True) for n in (2, 3, 4))
    background = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    picture = rasterize(means, conics, colors, 5, 3, background=background)
    assert torch.equal(picture.detach(), background.detach()[:, None, None].expand(4, 3, 5))
    picture.sum().backward()
    assert means.grad.shape == (0, 2)
    assert background.grad.tolist() == [15.0] * 4


def test_inputs_are_read_and_the_result_written_without_copies(splats, monkeypatch):
    seen = {}
    original = core().render_into

    def spy(*args):
        seen["addresses"] = [a.ctypes.data for a in args if isinstance(a, np.ndarray)]
        return original(*args)

    monkeypatch.setattr(core(), "render_into", spy)
    background = torch.zeros(3)
    picture = rasterize(*splats, width=WIDTH, height=HEIGHT, background=background)
    assert seen["addresses"] == [v.data_ptr() for v in (*splats, background, picture)]


WRONG = {
    "not a tensor": (0, lambda v: v.numpy(), r"means must be a torch\.Tensor \[N, 2\], found ndarray"),
    "columns": (1, lambda v: v[:, :2].contiguous(), r"conics must be \[25, 3\], found \[25, 2\]"),
    "rows": (2, lambda v: v[:7].contiguous(), r"colors must be \[25, C\], found \[7, 3\]"),
    "dimensions": (0, lambda v: v[0], r"means must be \[N, 2\], found \[2\]"),
    "channels": (2, lambda v: torch.zeros(25, 5), "from 1 to 4 channels, found 5"),
    "no channels": (2, lambda v: torch.zeros(25, 0), "from 1 to 4 channels, found 0"),
    "float64": (0, lambda v: v.double(), r"found torch\.float64; call means\.float\(\)"),
    "half": (1, lambda v: v.half(), r"call conics\.float\(\)"),
    "strided": (1, lambda v: v.T.contiguous().T, r"call conics\.contiguous\(\)"),
    "another device": (2, lambda v: v.to("meta"), r"on the CPU, found meta; call colors\.cpu\(\)"),
}


@pytest.mark.parametrize(("at", "change", "message"), WRONG.values(), ids=WRONG)
def test_tensors_that_do_not_fit_say_what_to_call(splats, at, change, message):
    splats[at] = change(splats[at])
    with pytest.raises(ShapeError, match=message):
        rasterize(*splats, width=WIDTH, height=HEIGHT)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"width": 0}, ShapeError, "width must be from 1"),
        ({"height": 2.5}, ShapeError, "height must be a whole number"),
        ({"width": 200_000, "height": 200_000}, ShapeError, "at most 268435456 px"),
        ({"background": torch.zeros(2)}, ShapeError, r"background must be \[3\], found \[2\]"),
        ({"cutoff": 0.0}, ConfigError, "cutoff must be above 0"),
        ({"cutoff": float("nan")}, ConfigError, "cutoff must be above 0"),
        ({"cutoff": 200.0}, ConfigError, "at most 128"),
        ({"threads": 0}, ConfigError, "threads is"),
        ({"threads": MAX_THREADS + 1}, ConfigError, "threads is"),
    ],
)
def test_settings_out_of_range(splats, options, error, message):
    with pytest.raises(error, match=message):
        rasterize(*splats, **{"width": WIDTH, "height": HEIGHT, **options})


def test_conics_from_axes():
    scales = torch.tensor([[4.0, 1.0], [2.0, 2.0], [3.0, 0.5]], dtype=torch.float64, requires_grad=True)
    rotations = torch.tensor([0.5, 1.0, -2.0], dtype=torch.float64, requires_grad=True)
    conics = conics_from(scales, rotations).detach()
    for (s1, s2), angle, (a, b, c) in zip(scales.tolist(), rotations.tolist(), conics.tolist(), strict=True):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        np.testing.assert_allclose(
            np.linalg.inv([[a, b], [b, c]]), turn @ np.diag([s1**2, s2**2]) @ turn.T, rtol=1e-12, atol=1e-12
        )
    assert torch.autograd.gradcheck(conics_from, (scales, rotations))
    assert conics_from(scales.detach().float(), rotations.detach().float()).is_contiguous()
    with pytest.raises(ShapeError, match=r"found \[3, 2\] and \[2\]"):
        conics_from(scales, rotations[:2])


def test_reference_and_core_cut_at_the_same_q():
    means, conics, colors = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0, 1.0]]), torch.ones(1, 1)
    drawn = [_render(means, conics, colors, 9, 1) != 0, rasterize(means, conics, colors, 9, 1) != 0]
    assert [d.sum().item() for d in drawn] == [4, 4]  # q = 0, 1, 4, 9
    assert CUTOFF == 12.25


def test_a_missing_core_is_one_explained_line(monkeypatch, splats):
    monkeypatch.setitem(sys.modules, "splat2d._core", None)
    monkeypatch.delattr(splat2d, "_core", raising=False)
    with pytest.raises(BackendUnavailableError, match=r"native core splat2d\._core.*pip install") as caught:
        rasterize(*splats, width=WIDTH, height=HEIGHT)
    assert "\n" not in str(caught.value)


def test_thread_count(monkeypatch):
    import os

    assert Backend(3).thread_count == Backend(3.0).thread_count == 3
    assert 1 <= ALL_CORES.thread_count <= MAX_THREADS
    monkeypatch.setattr(os, "process_cpu_count", lambda: 7, raising=False)
    assert ALL_CORES.thread_count == 7
    monkeypatch.setattr(os, "process_cpu_count", lambda: None)
    assert ALL_CORES.thread_count == 1


def test_example_training_loop_improves():
    fit = runpy.run_path(str(ROOT / "examples" / "train_loop.py"))["fit"]
    first, later = fit(iterations=0), fit(iterations=30)
    assert later > first + 5
