"""Baking: a scene's edits become part of its splats, which leaves plain layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from splat2d.codec.layer import code_layer, container_of, splats_of
from splat2d.draw.compose import Floats, Splats, develop, draw, draw_coverage, output_colors, place
from splat2d.draw.render import CUTOFF, View, render
from splat2d.edit.document import Document, unique_name
from splat2d.edit.stack import State
from splat2d.errors import ConfigError
from splat2d.fit.config import load_config
from splat2d.fit.fitter import OnProgress, PictureFit, psnr_of
from splat2d.format.header import STEP_SHIFT, Header
from splat2d.format.layers import CodedLayer
from splat2d.format.texture import renumbered
from splat2d.native import core
from splat2d.native.backend import ALL_CORES, Backend
from splat2d.scene.picture import Scene

FINER = STEP_SHIFT
"""Step codes by which splats that are quantised again are finer than before: half the step."""

CLOSE = 42.0
"""PSNR in dB of a layer's quantised splats to what its edits show, below which it is fitted anew."""

_UNSEEN = 0.005  # weight of errors of colours where they are not covered by the matte


@dataclass(frozen=True, eq=False)
class _Part:
    """A layer's colours, or its matte, as edited.

    Attributes:
        splats: edited as if nothing were ever clamped, on the file's canvas.
        target: [C, H, W] what they should show when clamped.
        weights: [H, W] of squared errors; None for one everywhere.
        area: px that the layer covers.
        header: steps that they were coded with, canvas, channels and base colour as edited.
    """

    splats: Splats
    target: Floats
    weights: Floats | None
    area: float
    header: Header


@dataclass(frozen=True, eq=False)
class Baked:
    """A scene whose edits are part of its splats.

    Attributes:
        scene: without edits.
        psnr: dB to the edited scene, over all samples (premultiplied with alpha).
        fitted: names of layers of which something was fitted anew.
    """

    scene: Scene
    psnr: float
    fitted: tuple[str, ...]


def bake(
    scene: Scene,
    *,
    preset: str = "default",
    backend: Backend = ALL_CORES,
    progress: OnProgress | None = None,
) -> Baked:
    """Apply all edits to the splats.

    Layers that look as they were coded keep their bytes. The splats of others are moved, blurred and
    recoloured, and quantised again at half the step; their textures are left out. Colours and opacity act on
    what is drawn, after clamping, which sums of splats cannot always show: such a layer is fitted anew, at
    its own step, and so is one whose splats leave what a file can hold. Hidden and deleted layers are left
    out.

    Args:
        scene: with any edits; decoded whole, if it was not.
        preset: of fits, where they are needed: fast, default or best, or the path of a YAML file.
        backend: fits.
        progress: called after each step of the optimiser.

    Returns:
        The scene without edits, and what that cost.

    Raises:
        ConfigError: no layer is visible, or no such preset.
        BackendUnavailableError: the backend is "cuda", and there is no GPU to use.
    """
    document = scene.document
    document.refuse_eyes("baked")
    before = Scene.of(document, backend=backend)  # the given one may be of its first tiers only
    shown = [(state, layer.splats) for state, layer in zip(document.stack.layers, before.layers, strict=True)]
    shown = [(state, splats.textured(0)) for state, splats in shown if state.visible]
    if not shown:
        raise ConfigError("no layer is visible, so nothing is left to bake; show one first")
    backend.uses_gpu()  # or there is none, which is said at once
    config, cpu = load_config(preset).tuned("psnr"), backend.on_cpu
    view = View.whole(scene.width, scene.height)
    shares = pairwise(np.linspace(0, 1, len(shown) + 1).tolist())

    def fit(part: _Part, share: tuple[float, float], on: Backend) -> NDArray[np.int32]:
        fitted = PictureFit(
            np.ascontiguousarray(part.target, np.float32),
            replace(config, chroma_step=part.header.chroma_step / 8),
            part.header.step,
            weights=part.weights,
            background=part.header.background,
            backend=on,
            on_progress=progress,
            share_of_work=share,
        )
        return fitted.refined().integers()

    layers: list[CodedLayer] = []
    fitted: list[str] = []
    textured: dict[int, int] = {}
    for (state, splats), share in zip(shown, shares, strict=True):
        name = unique_name(state.name, [layer.name for layer in layers])
        if not state.changes_look:
            textured[state.source] = len(layers)
            layers.append(document.whole(state, name))
            continue
        coded = []
        for part in _parts(state, splats, document.coded(state), view, cpu):
            header, integers = _quantized(part)
            error = _error(header, integers, part, cpu)
            if psnr_of(error, 1) < CLOSE:
                anew = backend.run(partial(fit, part, share))
                if _error(part.header, anew, part, cpu) < error:
                    header, integers = part.header, anew
                    fitted.append(name)
            coded.append((header, integers))
        matte = coded[1] if len(coded) > 1 else None
        layers.append(code_layer(name, *coded[0], matte=matte, backend=cpu))
    container = container_of(scene.width, scene.height, layers, scene.notes)
    textures = renumbered(document.container.textures, textured)
    container = replace(container, metadata=document.container.metadata, textures=textures)
    after = Scene.of(Document.of(container), backend=backend)
    difference = np.clip(after.render_float(threads=backend.threads, texture="off"), 0, 1)
    difference -= np.clip(before.render_float(threads=backend.threads, texture="off"), 0, 1)
    psnr = psnr_of(float(np.square(difference).sum(dtype=np.float64)), difference.size)
    return Baked(after, psnr, tuple(dict.fromkeys(fitted)))


def _parts(state: State, splats: Splats, coded: CodedLayer, view: View, backend: Backend) -> list[_Part]:
    """The colours of an edited layer, and its matte if it has one or needs one."""
    flat, matte = replace(splats, matte=None), splats.matte
    covers = flat.has_alpha
    shape = replace(state, color=np.eye(3, 4))
    if matte is None and not covers and state.opacity != 1:
        # It covers everything, wherever it was moved.
        matte, shape = _opaque(splats.size), State(0, 0, state.name, opacity=state.opacity)
    # Opacity is the matte's where there is one.
    look = state if matte is None else replace(state, opacity=1.0)
    channels = output_colors(state, splats)
    color, coverage = develop(look, *draw(state, flat, view, backend=backend), channels)
    target = np.concatenate([color, coverage[None]]) if covers else color
    edited = _edited(look, flat, view, channels)
    if matte is None:
        weights = None
    else:
        coverage = draw_coverage(shape, replace(flat, matte=matte), view, backend=backend)
        weights = np.maximum(coverage**2, np.float32(_UNSEEN))
    area = max(float(coverage.sum(dtype=np.float64)), 1.0)
    parts = [_Part(edited, target, weights, area, _header(coded.header, edited, view))]
    if matte is not None:
        edited = _edited(shape, matte, view, 1)
        header = coded.header if coded.matte is None else coded.matte.header
        target = coverage[None] * np.float32(state.opacity)
        parts.append(_Part(edited, target, None, area, _header(header, edited, view)))
    return parts


def _opaque(size: tuple[int, int]) -> Splats:
    """The matte of a layer that covers everything."""
    means, conics, colors = (np.zeros((0, columns), np.float32) for columns in (2, 3, 1))
    return Splats(means, conics, colors, np.ones(1, np.float32), (0,) * core().TIERS, size)


def _header(header: Header, splats: Splats, view: View) -> Header:
    """What splats are coded with: the steps of a header, the canvas of a view, their own base colour."""
    base = tuple(round(255 * float(value)) for value in np.clip(splats.background, 0, 1))
    return replace(header, width=view.width, height=view.height, channels=splats.channels, background=base)


def _edited(state: State, splats: Splats, view: View, channels: int) -> Splats:
    """Splats of colours, or of a matte, as edited if nothing is clamped; with `channels` of colour."""
    means, conics, amplitudes = splats.means, splats.conics, splats.colors
    if state.is_placed:
        means, conics, amplitudes = place(state, splats, view)
    rows = np.vstack([amplitudes, splats.background])  # the base colour is edited as splats are
    if splats.has_alpha:
        color, alpha = rows[:, :-1], rows[:, -1:]
    else:
        color, alpha = rows, np.zeros((len(rows), 1))
        alpha[-1] = 1
    color = np.broadcast_to(color, (len(rows), 3)) @ state.color[:, :3].T + alpha * state.color[:, 3]
    rows = np.hstack([color[:, :channels], *([alpha] if splats.has_alpha else [])]) * state.opacity
    colors, base = rows[:-1].astype(np.float32), rows[-1].astype(np.float32)
    return replace(splats, means=means, conics=conics, colors=colors, background=base)


def _quantized(part: _Part) -> tuple[Header, NDArray[np.int32]]:
    """The nearest integers [N, C + 5] at a finer step, and the header that goes with them."""
    header = replace(part.header, step_code=max(part.header.step_code - FINER, 0))
    arrays = (part.splats.means, part.splats.conics, part.splats.colors)
    means, conics, colors = (np.ascontiguousarray(array, np.float32) for array in arrays)
    a, b, c = conics.T.astype(np.float64)
    det = a * c - b * b
    with np.errstate(invalid="ignore", divide="ignore"):
        reach = np.sqrt(CUTOFF * np.stack([c, a], 1) / det[:, None])
    # What is off the canvas is not seen any more.
    on_canvas = ((means + reach > 0) & (means - reach < (header.width, header.height))).all(1)
    kept = (det > 0) & np.isfinite(det) & on_canvas
    integers = core().quantize(
        *(means[kept], conics[kept], colors[kept]),
        *(header.width, header.height, header.step, header.chroma_step),
    )
    return header, np.ascontiguousarray(integers[integers[:, : header.channels].any(1)])


def _error(header: Header, integers: NDArray[np.int32], part: _Part, backend: Backend) -> float:
    """Mean squared error of a part as coded to what it should show."""
    splats = splats_of(integers, header, ())
    arrays = splats.means, splats.conics, splats.colors
    view = View.whole(header.width, header.height)
    planes = render(*arrays, view, background=splats.background, backend=backend)
    limit = np.clip(planes[-1], 0, 1) if header.channels in (2, 4) else 1.0
    squares = np.square(np.clip(planes, 0, limit) - part.target)
    if part.weights is not None:
        squares *= part.weights
    return float(squares.sum(dtype=np.float64)) / (len(planes) * part.area)
