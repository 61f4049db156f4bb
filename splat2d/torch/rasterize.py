"""Rendering as a differentiable torch operation, for anyone's training loop.

To turn a finished scene into pixels use `splat2d.draw.render`, which does not need torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from splat2d.draw.render import CUTOFF, MAX_CHANNELS, View, check_cutoff, check_output_size
from splat2d.errors import BackendUnavailableError, ShapeError
from splat2d.format.field import check_tiers
from splat2d.native import core, gpu
from splat2d.native.backend import Backend
from splat2d.scene.picture import Scene


def rasterize(
    means: Tensor,  # [N, 2]
    conics: Tensor,  # [N, 3]
    colors: Tensor,  # [N, C]
    width: int,
    height: int,
    *,
    background: Tensor | None = None,  # [C]
    cutoff: float = CUTOFF,
    threads: int | None = None,
) -> Tensor:  # [C, H, W]
    """Render the sum of 2D Gaussians, differentiable by means, conics, colours and background.

    The picture is background + sum_i colors_i exp(-q_i / 2), each Gaussian cut to 0 where q_i > cutoff,
    sampled at pixel centres (i + 0.5, j + 0.5), and not clamped. The cut-off counts as constant: no gradient
    flows through which pixels it drops. Splats with a number that is not finite, or whose conic is not
    positive definite in float32, add nothing and have zero gradients.

    The tensors' own memory is read and written, so they must be contiguous float32, all on the CPU or all on
    one CUDA device, where the work is queued on torch's current stream. The result, and every gradient, is
    the same bits for any number of threads; the GPU's differ from the CPU's in the last digits. Gradients of
    gradients are an error.

    Args:
        means: Centres [N, 2] (x, y), float32, px.
        conics: Upper triangles of the inverse covariances [N, 3], float32, px^-2; `conics_from` makes them.
        colors: Amplitudes [N, C], float32, C from 1 to 4, of any sign.
        width: Width of the picture in px.
        height: Height of the picture in px.
        background: Colour [C] under all splats, float32; black when None.
        cutoff: Largest q that is drawn, above 0 and at most 128.
        threads: Number of threads of the CPU; None uses all cores of this process.

    Returns:
        The picture [C, H, W], float32.

    Raises:
        ShapeError: If a tensor has another shape, dtype, device or layout, or the picture is too large.
        ConfigError: If `cutoff` or `threads` is out of range.
        BackendUnavailableError: If the native core does not load, or for CUDA tensors the GPU's kernels.
    """
    check_output_size(width, height)
    check_cutoff(cutoff)
    backend = Backend(threads)
    device = means.device if isinstance(means, Tensor) else torch.device("cpu")
    if device.type not in ("cpu", "cuda"):
        raise ShapeError(f"means must be on the CPU or a CUDA device, found {device}; call means.cpu()")
    _check(means, "means", ("N", 2), device)
    _check(conics, "conics", (means.shape[0], 3), device)
    _check(colors, "colors", (means.shape[0], "C"), device)
    if not 1 <= colors.shape[1] <= MAX_CHANNELS:
        raise ShapeError(f"colors must have from 1 to {MAX_CHANNELS} channels, found {colors.shape[1]}")
    if background is not None:
        _check(background, "background", (colors.shape[1],), device)
    picture: Any = _Rasterize.apply(means, conics, colors, background, width, height, cutoff, backend)
    return picture


def render_tensor(
    scene: Scene,
    *,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    crop: Sequence[float] | None = None,
    tiers: int | None = None,
    device: str = "cuda",
) -> Tensor:  # [C, H, W]
    """Render a window of a scene into a tensor of a device; pixels of a GPU stay there.

    Args:
        scene: of one visible layer, without edits.
        scale: as of `Scene.render`, like the next four.
        width: see `Scene.render`.
        height: see `Scene.render`.
        crop: see `Scene.render`.
        tiers: see `Scene.render`.
        device: as torch names it: "cuda", "cuda:1", "cpu".

    Returns:
        The window [C, H, W], float32, premultiplied and not clamped, queued on torch's current stream.

    Raises:
        ConfigError: If settings are out of range, or the scene has several visible layers or edits.
        BackendUnavailableError: If there is no such device, or the GPU's kernels do not load.
    """
    asked = {"scale": scale, "width": width, "height": height, "crop": crop}
    if torch.device(device).type != "cuda":
        splats, view = scene.window(**asked, tiers=tiers)
        means, conics, colors, background = (_moved(array, device) for array in splats)
        with torch.no_grad():
            return rasterize(means, conics, colors, view.width, view.height, background=background)
    view = View.asked(scene.width, scene.height, scale, width, height, crop)
    flat = scene.flat
    count = flat.first(check_tiers(tiers)).count
    if device not in scene._by_device:
        arrays = flat.means, flat.conics, flat.colors, flat.background
        scene._by_device[device] = tuple(_moved(array, device) for array in arrays)
    means, conics, colors, background = scene._by_device[device]
    out = torch.empty(flat.channels, view.height, view.width, dtype=torch.float32, device=device)
    with _session(means.device) as session:
        shape = count, flat.channels
        pointers = _pointers(means, conics, colors)
        session.window(pointers, shape, view, CUTOFF, out.data_ptr(), background.data_ptr())
    return out


def _moved(array: NDArray[np.float32], device: str) -> Tensor:
    """Return a copy on a device."""
    try:
        return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device)
    except (RuntimeError, AssertionError) as error:
        why = " ".join(str(error).split())
        raise BackendUnavailableError(f"torch cannot use the device {device!r}: {why}") from error


def conics_from(
    scales: Tensor,  # [N, 2]
    rotations: Tensor,  # [N]
) -> Tensor:  # [N, 3]
    """Return the conics of Gaussians given by their axes, differentiable.

    Args:
        scales: Standard deviations [N, 2] along the first and the second axis, px.
        rotations: Angles [N] of the first axis from the x axis towards the y axis, rad.

    Returns:
        Upper triangles (a, b, c) of the inverse covariances [N, 3], px^-2, contiguous, in the inputs' dtype.

    Raises:
        ShapeError: If the shapes are not [N, 2] and [N].
    """
    if scales.ndim != 2 or scales.shape[1] != 2 or rotations.shape != scales.shape[:1]:
        raise ShapeError(
            "scales must be [N, 2] and rotations [N] with the same N, "
            f"found {list(scales.shape)} and {list(rotations.shape)}"
        )
    first, second = (scales**-2).unbind(1)
    cosine, sine = torch.cos(rotations), torch.sin(rotations)
    a = cosine**2 * first + sine**2 * second
    b = cosine * sine * (first - second)
    c = sine**2 * first + cosine**2 * second
    return torch.stack([a, b, c], 1)


def _check(tensor: Any, name: str, shape: tuple[int | str, ...], device: torch.device) -> None:
    """Raise ShapeError unless the core can use the tensor's memory as it is."""
    wanted = f"[{', '.join(map(str, shape))}]"
    if not isinstance(tensor, Tensor):
        raise ShapeError(f"{name} must be a torch.Tensor {wanted}, found {type(tensor).__name__}")
    fits = tensor.ndim == len(shape) and all(
        isinstance(want, str) or have == want for have, want in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        raise ShapeError(f"{name} must be {wanted}, found {list(tensor.shape)}")
    if tensor.dtype != torch.float32:
        raise ShapeError(f"{name} must be torch.float32, found {tensor.dtype}; call {name}.float()")
    if tensor.device != device:
        where, call = ("the CPU", "cpu()") if device.type == "cpu" else (f"{device}", f'to("{device}")')
        raise ShapeError(f"{name} must be on {where}, found {tensor.device}; call {name}.{call}")
    if tensor.layout != torch.strided or not tensor.is_contiguous():
        raise ShapeError(f"{name} must be contiguous, found strides of a view; call {name}.contiguous()")


class _Rasterize(torch.autograd.Function):
    """The core's forward and backward passes on the memory of torch tensors."""

    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        conics: Tensor,
        colors: Tensor,
        background: Tensor | None,
        width: int,
        height: int,
        cutoff: float,
        backend: Backend,
    ) -> Tensor:
        ctx.save_for_backward(means, conics, colors)
        ctx.cutoff, ctx.backend = cutoff, backend
        out = torch.empty(colors.shape[1], height, width, dtype=torch.float32, device=means.device)
        usable = _finite(colors)
        if means.is_cuda:
            shape = (1, colors.shape[0], colors.shape[1])
            base = 0 if background is None else background.data_ptr()
            with _session(means.device) as session:
                session.forward(
                    _pointers(means, conics, usable), shape, (width, height), cutoff, out.data_ptr(), base
                )
            return out
        core().render_into(
            means.detach().numpy(),
            conics.detach().numpy(),
            usable.numpy(),
            cutoff,
            None if background is None else background.detach().numpy(),
            backend.thread_count,
            out.numpy(),
        )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v_out: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        means, conics, colors = ctx.saved_tensors
        needs_means, needs_conics, needs_colors, needs_background = ctx.needs_input_grad[:4]
        v_means = v_conics = v_colors = None
        if needs_means or needs_conics or needs_colors:
            usable = _finite(colors)
            v_means, v_conics, v_colors = map(torch.empty_like, (means, conics, colors))
            # Autograd hands over expanded views, of a sum for example.
            v_picture = v_out.detach().contiguous()
            if means.is_cuda:
                size = (v_out.shape[2], v_out.shape[1])
                with _session(means.device) as session:
                    session.backward(
                        _pointers(means, conics, usable),
                        (1, colors.shape[0], colors.shape[1]),
                        size,
                        ctx.cutoff,
                        v_picture.data_ptr(),
                        _pointers(v_means, v_conics, v_colors),
                    )
            else:
                core().backward_into(
                    means.detach().numpy(),
                    conics.detach().numpy(),
                    usable.numpy(),
                    v_picture.numpy(),
                    ctx.cutoff,
                    ctx.backend.thread_count,
                    v_means.numpy(),
                    v_conics.numpy(),
                    v_colors.numpy(),
                )
            if usable is not colors:
                v_colors.masked_fill_(~torch.isfinite(colors).all(1, keepdim=True), 0.0)
        return (
            v_means if needs_means else None,
            v_conics if needs_conics else None,
            v_colors if needs_colors else None,
            v_out.sum((1, 2)) if needs_background else None,
            None,
            None,
            None,
            None,
        )


@contextmanager
def _session(device: torch.device) -> Iterator[gpu.Session]:
    """The calling thread's session on torch's current stream of a GPU."""
    with torch.cuda.device(device):
        stream = torch.cuda.current_stream(device).cuda_stream
        yield gpu.session(torch.cuda.current_device(), stream)


def _pointers(means: Tensor, conics: Tensor, colors: Tensor) -> tuple[int, int, int]:
    return means.data_ptr(), conics.data_ptr(), colors.data_ptr()


def _finite(colors: Tensor) -> Tensor:
    """Return the colours' own memory, or a copy with zeros in place of every row that is not finite.

    The core multiplies a colour with 0 around its splat, where NaN and infinity would spread.
    """
    colors = colors.detach()
    finite = torch.isfinite(colors).all(1, keepdim=True)
    return colors if finite.all() else colors.masked_fill(~finite, 0.0)
