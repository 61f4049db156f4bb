"""What a file's edits make of its layers: places, colours, names and order.

docs/FORMAT.md, section 6.6, is this file in words.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import ConfigError
from splat2d.format.edits import Operation, Step
from splat2d.format.layers import MAX_LAYERS

LUMA = np.array([0.213, 0.715, 0.072])
"""Weights of luminance, as the Filter Effects specification has them."""

_GREY = np.tile(LUMA, (3, 1))
_HUE_SINE = np.array([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]])
_DETERMINANTS = (1e-8, 1e8)
_LARGEST = 1e9  # of any number of a state

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class State:
    """A layer with its edits added up.

    Attributes:
        number: of the layer, as operations name it.
        source: number of the coded layer whose splats it shows.
        name: what it is called now.
        matrix: [2, 2] A; a splat at m stands at A m + t, with the covariance A S A^T + B.
        offset: [2] t, px.
        blur: [2, 2] B, px^2.
        color: [3, 4] K and k; a premultiplied colour c becomes K c + k a, where a is the coverage.
        opacity: factor of colour and coverage.
        visible: whether it is drawn.
        operations: what was done to it, order, names and copies included.
    """

    number: int
    source: int
    name: str
    matrix: Matrix = field(default_factory=lambda: np.eye(2))
    offset: Matrix = field(default_factory=lambda: np.zeros(2))
    blur: Matrix = field(default_factory=lambda: np.zeros((2, 2)))
    color: Matrix = field(default_factory=lambda: np.eye(3, 4))
    opacity: float = 1.0
    visible: bool = True
    operations: Step = ()

    @property
    def is_placed(self) -> bool:
        """Whether the layer stands elsewhere, or is blurred."""
        unmoved = np.array_equal(self.matrix, np.eye(2)) and not self.offset.any()
        return not unmoved or bool(self.blur.any())

    @property
    def is_recolored(self) -> bool:
        """Whether its colours differ from the coded ones."""
        return not np.array_equal(self.color, np.eye(3, 4))

    @property
    def changes_look(self) -> bool:
        """Whether the layer looks otherwise than it was coded, wherever it stands in the stack."""
        return self.is_placed or self.is_recolored or self.opacity != 1

    def apply(self, point: Sequence[float]) -> tuple[float, float]:
        """Where a point of the coded layer stands now, px."""
        x, y = self.matrix @ point + self.offset
        return float(x), float(y)

    def after(self, operation: Operation) -> State:
        """The state after an operation that concerns no other layer.

        Raises:
            ConfigError: a transform without an inverse, or numbers beyond all bounds.
        """
        v = operation.values
        new = replace(self, operations=(*self.operations, operation))
        match operation.kind:
            case "move":
                new = new._moved(np.eye(2), np.array(v))
            case "rotate":
                new = new._about(rotation(v[0]), v[1:])
            case "scale":
                new = new._about(np.diag(v[:2]), v[2:])
            case "blur":
                new = replace(new, blur=self.blur + v[0] ** 2 * np.eye(2))
            case "opacity":
                new = replace(new, opacity=self.opacity * v[0])
            case "hide" | "show":
                new = replace(new, visible=operation.kind == "show")
            case "rename":
                new = replace(new, name=operation.name)
            case "brightness" | "contrast" | "saturation" | "hue" | "tint":
                matrix, shift = color_matrix(operation.kind, v)
                color = matrix @ self.color
                color[:, 3] += shift
                new = replace(new, color=color)
        new._check(operation)
        return new

    def _about(self, matrix: Matrix, point: Sequence[float]) -> State:
        """A linear map that keeps a point."""
        return self._moved(matrix, np.array(point) - matrix @ point)

    def _moved(self, matrix: Matrix, offset: Matrix) -> State:
        return replace(
            self,
            matrix=matrix @ self.matrix,
            offset=matrix @ self.offset + offset,
            blur=matrix @ self.blur @ matrix.T,
        )

    def _check(self, operation: Operation) -> None:
        """Refuse what cannot be drawn."""
        (a, b), (c, d) = self.matrix.tolist()
        low, high = _DETERMINANTS
        if not low <= abs(a * d - b * c) <= high:
            raise ConfigError(
                f"{operation} leaves layer {self.name!r} without a size that can be drawn; scale it by less"
            )
        numbers = [*self.offset, *self.matrix.flat, *self.blur.flat, *self.color.flat]
        if max(numbers) > _LARGEST or min(numbers) < -_LARGEST:
            raise ConfigError(f"{operation} takes layer {self.name!r} beyond all bounds")


def rotation(degrees: float) -> Matrix:
    """The rotation counter-clockwise as seen, y pointing down; exact for quarter turns."""
    turns, rest = divmod(degrees, 90)
    c, s = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    for _ in range(int(turns) % 4):
        c, s = -s, c
    return np.array([[c, s], [-s, c]])


def color_matrix(kind: str, values: Sequence[float]) -> tuple[Matrix, float]:
    """K [3, 3] of a colour operation, and its k, the same for all channels.

    Source: Filter Effects Module Level 1, W3C (brightness, contrast, saturate, hueRotate). Unlike there
    nothing is clamped between operations. Tint mixes the colour with its luminance times a tint.
    """
    v = values[0]
    if kind == "brightness":
        return v * np.eye(3), 0.0
    if kind == "contrast":
        return v * np.eye(3), 0.5 - 0.5 * v
    if kind == "saturation":
        return v * np.eye(3) + (1 - v) * _GREY, 0.0
    if kind == "hue":
        c, s = rotation(v)[0]
        return _GREY + c * (np.eye(3) - _GREY) + s * _HUE_SINE, 0.0
    tint, strength = np.array(values[:3]) / 255, values[3]
    return (1 - strength) * np.eye(3) + strength * np.outer(tint, LUMA), 0.0


@dataclass(frozen=True, eq=False)
class Stack:
    """The layers of a picture, back to front.

    Attributes:
        layers: those that are not deleted.
        count: numbers given so far, to deleted layers too.
    """

    layers: tuple[State, ...]
    count: int

    @classmethod
    def of(cls, names: Iterable[str], steps: Iterable[Step] = ()) -> Stack:
        """The coded layers of these names after some steps of edits.

        Raises:
            ConfigError: a step that cannot be done.
        """
        layers = tuple(State(i, i, name) for i, name in enumerate(names))
        stack = cls(layers, len(layers))
        for step in steps:
            for operation in step:
                stack = stack.after(operation)
        return stack

    @property
    def names(self) -> tuple[str, ...]:
        """Of all layers, back to front."""
        return tuple(layer.name for layer in self.layers)

    def find(self, name: str) -> State:
        """The layer of a name, the frontmost where a name was given twice.

        Raises:
            ConfigError: no layer has that name; lists those that there are and the nearest.
        """
        for layer in reversed(self.layers):
            if layer.name == name:
                return layer
        close = difflib.get_close_matches(name, self.names, 1, 0.5)
        hint = f"; did you mean {close[0]!r}?" if close else "; choose another."
        raise ConfigError(f"no group is called {name!r}{hint} Groups: {', '.join(self.names) or 'none'}")

    def after(self, operation: Operation) -> Stack:
        """The stack after an operation.

        Raises:
            ConfigError: an operation that cannot be done.
        """
        at = next((i for i, layer in enumerate(self.layers) if layer.number == operation.layer), None)
        if at is None:
            raise ConfigError(f"{operation.kind} of layer {operation.layer}, which is not there")
        layers = list(self.layers)
        layer = layers.pop(at).after(operation)
        match operation.kind:
            case "delete":
                return Stack(tuple(layers), self.count)
            case "duplicate":
                if self.count == MAX_LAYERS:
                    raise ConfigError(f"more than {MAX_LAYERS} layers, deleted ones included")
                copy = replace(layer, number=self.count, name=operation.name)
                layers[at:at] = [layer, copy]
                return Stack(tuple(layers), self.count + 1)
            case "raise":
                at += 1
            case "lower":
                at = max(at - 1, 0)
            case "to-front":
                at = len(layers)
            case "to-back":
                at = 0
        layers.insert(at, layer)
        return Stack(tuple(layers), self.count)
