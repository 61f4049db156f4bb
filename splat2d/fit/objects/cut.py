"""Pictures cut into objects: what each layer should look like, and how much of it is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import ConfigError, ShapeError
from splat2d.format.layers import MAX_LAYERS, PICTURE, check_name

Floats = NDArray[np.floating]

HIDDEN_WEIGHT = 0.25  # of errors where a layer is covered; its colour there only has to be plausible
_LEAST = 1 / 255  # coverage that counts
_CONTRAST = 0.1  # squared distance of two colours whose mixture is half trusted
_BAND = 2  # px around a mask's edge whose colours are a mixture of both sides
_MATTE_WEIGHTS = (0.3, 3.0)  # least and most of errors of coverage; the squared contrast is in between
_MIXED_WEIGHT = 0.02  # of a smooth continuation where a layer is seen in part
_NEAR_WEIGHT, _FAR_WEIGHT = 0.05, 0.005  # of an object's continuation outside, near its edge and beyond
_NEAR = 12  # px
LEAST_SHARE = 0.05  # of an object in a mixture from which its colour is told


@dataclass(frozen=True, eq=False)
class LayerTarget:
    """What a layer is fitted to.

    Attributes:
        name: of the layer.
        pixels: [C, H, W] premultiplied; with alpha last, but for a backmost layer without one.
        weights: [H, W] of squared errors; None for one everywhere.
        background: base colour in bytes, one a channel; None for the mean colour.
    """

    name: str
    pixels: Floats
    weights: Floats | None = None
    background: tuple[int, ...] | None = None


@dataclass(eq=False)
class _Object:
    """An object while the picture is taken apart.

    Attributes:
        pixels: [C, H, W] the picture with all that is in front of it taken off.
        seen: [H, W] how much of it is not covered.
        front: [C, H, W] its colours, continued beyond its edge.
        back: [C, H, W] those behind it, continued under it.
        cover: [H, W] coverage.
        matte: what its matte is fitted to first.
    """

    pixels: Floats
    seen: Floats
    front: Floats
    back: Floats
    cover: Floats
    matte: LayerTarget


class Cut:
    """A picture without alpha, taken apart into objects of straight colours and mattes, and a background.

    Fits go in turn, each against what those before left over: the mattes front to back (`matte`, `matted`),
    the background (`background`, `drawn`), then the colours back to front (`colors`, `drawn`).

    Attributes:
        names: of the objects, back to front.
        channels: of the picture.
        warnings: about the masks.
        picture: [C, H, W] as it was.
        covers: softened masks [H, W] by name.
        objects: by name, as far as they were taken off.
        decoded: [C, H, W] what layers' colours decode to, as far as they were drawn.
    """

    def __init__(self, pixels: Floats, masks: Mapping[str, Floats]) -> None:
        """Check and soften the masks; arguments and exceptions as of `cut`."""
        self.covers, self.warnings = _covers(pixels, masks)
        self.names = list(self.covers)
        self.channels = len(pixels)
        self.picture = pixels
        self.begin()

    def begin(self) -> None:
        """Take it apart afresh."""
        self.objects: dict[str, _Object] = {}
        self.decoded: dict[str, Floats] = {}
        self.continued_background = self._pixels = self._drawn = self.picture
        self._seen = np.ones(self.picture.shape[1:], np.float32)

    def matte(self, name: str) -> LayerTarget:
        """The coverage [1, H, W] of the next object from the front."""
        front, back, cover = _sides(self._pixels, self.covers[name])
        # An error of coverage is one of the picture where both sides differ.
        contrast = np.square(front - back).sum(0) * self._seen**2
        weights = np.clip(contrast, *_MATTE_WEIGHTS).astype(np.float32)
        target = LayerTarget(name, cover[None], weights, (0,))
        self.objects[name] = _Object(self._pixels, self._seen, front, back, cover, target)
        return target

    def matted(self, name: str, cover: Floats) -> None:
        """Take the object off: its coverage [H, W] is what its matte decodes to."""
        thing = self.objects[name]
        thing.cover = cover
        # What neither side explains goes to both, to the one that shows more for the most part.
        missing = (thing.pixels - cover * thing.front - (1 - cover) * thing.back) / (
            cover**2 + (1 - cover) ** 2
        )
        self._pixels = np.clip(thing.back + (1 - cover) * missing, 0, 1)
        self.continued_background = np.where(cover > 0.01, thing.back, self.continued_background)
        self._seen = self._seen * (1 - cover)

    def background(self) -> LayerTarget:
        """The picture behind all objects."""
        seen = self._seen
        mixed = (seen < 0.99) & (seen > 0.01)
        hidden = np.where(mixed, _MIXED_WEIGHT, HIDDEN_WEIGHT) * (1 - seen)
        return blended(PICTURE, self._pixels, seen**2, self.continued_background, hidden)

    def colors(self, name: str) -> LayerTarget:
        """Straight colours of an object: what is missing over all that is drawn behind it."""
        thing = self.objects[name]
        cover = thing.cover
        wanted = (thing.pixels - (1 - cover) * self._drawn) / np.maximum(cover, LEAST_SHARE)
        core = cover >= 0.5 * cover.max()
        base = tuple(round(255 * float(plane[core].mean(dtype=np.float64))) for plane in thing.pixels)
        weight = np.square(cover * thing.seen)
        rest = self.continuation_weights(cover)
        return blended(name, np.clip(wanted, 0, 1), weight, thing.front, rest, base)

    @staticmethod
    def continuation_weights(cover: Floats) -> Floats:
        """Weights [H, W] of an object's colours as continued beyond its edge, by its coverage."""
        inside = cover > 0.01
        near = ~eroded(~inside, _NEAR)
        return np.where(inside, _MIXED_WEIGHT, np.where(near, _NEAR_WEIGHT, _FAR_WEIGHT))

    def drawn(self, name: str, planes: Floats) -> None:
        """Put the colours [C, H, W] that a layer decodes to over what is drawn."""
        self.decoded[name] = planes
        cover = 1 if name == PICTURE else self.objects[name].cover
        self._drawn = cover * planes + (1 - cover) * self._drawn


def blended(
    name: str,
    pixels: Floats,
    weight: Floats,
    rest: Floats,
    rest_weight: Floats,
    background: tuple[int, ...] | None = None,
) -> LayerTarget:
    """Two targets with weights [H, W] of squared errors, as one."""
    weights = weight + rest_weight
    both = (weight * pixels + rest_weight * rest) / weights
    return LayerTarget(name, np.ascontiguousarray(both, np.float32), weights.astype(np.float32), background)


def cut(pixels: Floats, masks: Mapping[str, Floats]) -> tuple[list[LayerTarget], list[str]]:
    """Cut a picture into a background and objects, premultiplied with an alpha channel of their own.

    That is what pictures with alpha are cut into; others are a `Cut`.

    Args:
        pixels: [C, H, W] in [0, 1], premultiplied where there is alpha.
        masks: coverage [H, W] in [0, 1] of each object, back to front. One of two levels is softened by a
            pixel, as the edges of a picture are.

    Returns:
        The layers' targets, back to front, and warnings.

    Raises:
        ConfigError: names or masks that cannot be used.
        ShapeError: a mask of another size.
    """
    covers, warnings = _covers(pixels, masks)
    targets = []
    seen, rest = np.ones(pixels.shape[1:], np.float32), pixels
    # From the front on each object is taken off, and the picture continued under it.
    for name, cover in reversed(covers.items()):
        own, alpha, pixels, smooth = _peeled(pixels, cover)
        targets.append(LayerTarget(name, own, _weights(seen), (0,) * len(own)))
        seen = seen * (1 - alpha)
        rest = np.where(alpha > 0.01, smooth, rest)
    # Where little is seen, what was continued counts more than the rest of a mixture of colours.
    targets.append(blended(PICTURE, pixels, seen**2, rest, HIDDEN_WEIGHT * (1 - seen)))
    return targets[::-1], warnings


def _covers(pixels: Floats, masks: Mapping[str, Floats]) -> tuple[dict[str, Floats], list[str]]:
    """Checked and softened masks, and warnings."""
    if not masks:
        raise ConfigError("no masks given")
    if len(masks) >= MAX_LAYERS:
        raise ConfigError(f"{len(masks)} objects and a background, over the limit of {MAX_LAYERS} layers")
    size = pixels.shape[1:]
    warnings: list[str] = []
    covers: dict[str, Floats] = {}
    total = np.zeros(size, np.float32)
    for name, mask in masks.items():
        check_name(name)
        if name == PICTURE:
            raise ConfigError(f"an object cannot be called {PICTURE!r}, which is the background's name")
        if mask.shape != size:
            raise ShapeError(
                f"the mask of {name!r} is {_size(mask.shape)} px; expected the picture's {_size(size)}"
            )
        if not mask.max() >= 0.5:
            raise ConfigError(f"the mask of {name!r} is empty: it covers no pixel")
        if mask.min() >= 0.5:
            raise ConfigError(f"the mask of {name!r} covers the whole picture; nothing is left around it")
        overlap = [other for other, cover in covers.items() if (np.minimum(cover, mask) > 0.75).any()]
        if overlap:
            warnings.append(f"{name!r} lies over {_list(overlap)} where their masks overlap")
        covers[name] = _softened(mask.astype(np.float32))
        total = np.maximum(total, covers[name])
    if total.min() >= 0.5:
        raise ConfigError("the masks cover the whole picture; nothing is left for the background")
    return covers, warnings


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[0]}"


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _softened(mask: Floats) -> Floats:
    """A mask of two levels with edges a pixel wide; others as they are."""
    if ((mask > 0.02) & (mask < 0.98)).any():
        return mask
    return _binomial(mask)


def _binomial(plane: Floats) -> Floats:
    """A plane after the filter (1, 2, 1) / 4 in both directions; borders are continued."""
    for axis in (0, 1):
        padded = np.pad(plane, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        side = plane.shape[axis]
        plane = (padded.take(range(side), axis) + 2 * plane + padded.take(range(2, side + 2), axis)) / 4
    return plane


def near_edge(cover: Floats) -> NDArray[np.bool_]:
    """Where [H, W] the colours of a mask's both sides mix."""
    return ~(eroded(cover >= 0.99, _BAND) | eroded(cover <= 0.01, _BAND))


def eroded(inside: NDArray[np.bool_], px: int) -> NDArray[np.bool_]:
    """What lies more than `px` from everything outside."""
    for _ in range(px):
        padded = np.pad(inside, 1, mode="edge")
        inside = (
            padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        )
    return inside


def _peeled(pixels: Floats, cover: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Take an object off a picture.

    Returns:
        The object, premultiplied, with alpha; its coverage [H, W]; the picture behind it; and that picture
        where it is only continued. Object over picture is what they came from.
    """
    front, back, cover = _sides(pixels, cover)
    # What neither side explains goes to the one that shows more, so that the other stays clean.
    missing = pixels - cover * front - (1 - cover) * back
    part = np.clip((cover - 0.3) / 0.4, 0, 1)
    front = np.clip(front + part * missing / np.maximum(cover, 0.3), 0, 1)
    smooth, back = back, np.clip(back + (1 - part) * missing / np.maximum(1 - cover, 0.3), 0, 1)
    if len(pixels) not in (2, 4):
        front = np.concatenate([front, np.ones_like(cover)[None]])
    return (front * cover).astype(np.float32), cover, back.astype(np.float32), smooth


def _sides(pixels: Floats, cover: Floats) -> tuple[Floats, Floats, Floats]:
    """Colours of an object and of what is behind it, continued at its edge, and its coverage there."""
    inside, outside = eroded(cover >= 0.99, _BAND), eroded(cover <= 0.01, _BAND)
    if not inside.any():
        inside = cover >= cover.max() - 0.01
    front, back = (np.where(known, pixels, continued(pixels, known)) for known in (inside, outside))
    return front, back, _matted(pixels, cover, front, back, ~(inside | outside))


def _matted(
    pixels: Floats, cover: Floats, front: Floats, back: Floats, edge: NDArray[np.bool_]
) -> Floats:  # [H, W]
    """Coverage at the edge from the mixture of colours, where both sides differ enough to tell."""
    contrast = front - back
    energy = np.square(contrast).sum(0)
    mixed = np.clip((contrast * (pixels - back)).sum(0) / np.maximum(energy, 1e-6), 0, 1)
    trust = np.where(edge, energy / (energy + _CONTRAST), 0)
    return (cover + trust * (mixed - cover)).astype(np.float32)


def _weights(seen: Floats) -> Floats | None:
    """Weights of errors of a layer of which this part is seen."""
    if seen.min() >= 1 - _LEAST:
        return None
    return np.maximum(seen * seen, HIDDEN_WEIGHT).astype(np.float32)


def continued(planes: Floats, known: NDArray[np.bool_]) -> Floats:
    """Planes [C, H, W] continued smoothly from where they are known: means over ever larger blocks.

    Source: Gortler, Grzeszczuk, Szeliski, Cohen, The Lumigraph, SIGGRAPH 1996, section 3.4 (pull-push).
    """
    weight = known.astype(np.float32)
    return _push(planes * weight, weight)


def _push(sums: Floats, weight: Floats) -> Floats:
    """Weighed sums [C, H, W] over their weights [H, W], gaps filled from half the size."""
    present = np.minimum(weight, 1)
    own = sums / np.maximum(weight, 1e-6)
    if weight.min() >= 1 or weight.shape == (1, 1):
        return own
    small = _push(_halved(sums), _halved(weight[None])[0])
    return own * present + _doubled(small, weight.shape) * (1 - present)


def _halved(planes: Floats) -> Floats:
    """Sums of 2 x 2 px, a last odd row or column alone."""
    c, h, w = planes.shape
    even = np.pad(planes, ((0, 0), (0, h % 2), (0, w % 2)))
    return even.reshape(c, (h + 1) // 2, 2, (w + 1) // 2, 2).sum((2, 4))


def _doubled(planes: Floats, size: tuple[int, ...]) -> Floats:
    """Bilinear enlargement to `size`, borders continued."""
    for axis, side in ((1, size[0]), (2, size[1])):
        at = (np.arange(side) + 0.5) / 2 - 0.5
        low = np.floor(at).astype(int)
        part = (at - low).astype(np.float32)
        last = planes.shape[axis] - 1
        shape = [1, 1, 1]
        shape[axis] = side
        part = part.reshape(shape)
        planes = (
            np.take(planes, np.clip(low, 0, last), axis) * (1 - part)
            + np.take(planes, np.clip(low + 1, 0, last), axis) * part
        )
    return planes
