"""The GPU's kernels: a shared library with a plain C interface, loaded when a device is asked for.

Importing this module loads nothing. A `Session` draws splats of the CPU's memory, or into any memory of the
GPU, such as that of torch tensors.
"""

from __future__ import annotations

import ctypes
import importlib.util
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import BackendUnavailableError, ShapeError

if TYPE_CHECKING:
    from splat2d.draw.render import View

__all__ = ["Session", "library", "session", "unavailable"]

_MEMORY, _ARGUMENT = 2, 3  # kinds of fault; see cuda/api.cu
_POINTER, _INT, _FLOAT, _DOUBLE = ctypes.c_void_p, ctypes.c_int, ctypes.c_float, ctypes.c_double
_ARGUMENTS = {
    "devices": [ctypes.POINTER(_INT)],
    "open": [_POINTER, ctypes.POINTER(_POINTER)],
    "close": [_POINTER],
    "forward": [*[_POINTER] * 4, *[_INT] * 5, _FLOAT, _POINTER, _INT, _POINTER],
    "window": [*[_POINTER] * 4, *[_INT] * 2, *[_DOUBLE] * 4, *[_INT] * 2, _FLOAT, *[_POINTER] * 2],
    "backward": [*[_POINTER] * 4, *[_INT] * 5, _FLOAT, *[_POINTER] * 4],
    "render": [*[_POINTER] * 4, *[_INT] * 4, _FLOAT, _POINTER, _INT, _POINTER, _POINTER],
    "fitter_open": [
        *[_POINTER, *[_INT] * 3, _POINTER, *[_DOUBLE] * 4],
        *[*[_INT] * 3, _POINTER, _INT, _DOUBLE, _POINTER],
    ],
    "clip_fitter_open": [
        *[_POINTER, *[_INT] * 4, _POINTER, _POINTER, _INT, _INT, _POINTER, *[_DOUBLE] * 4, _INT],
        *[_POINTER, *[_INT] * 3, _POINTER],
    ],
    "views_fitter_open": [
        *[_POINTER, *[_INT] * 4, *[_POINTER] * 3, *[_DOUBLE] * 4, _INT, _POINTER, _INT, _POINTER],
    ],
    "fitter_close": [_POINTER],
    "fitter_numbers": [*[_POINTER] * 4],
    "fitter_value": [_POINTER, _POINTER],
    "fitter_set_rate": [_POINTER, _DOUBLE, _DOUBLE],
    "fitter_reweigh": [_POINTER, _POINTER, _INT, _DOUBLE],
    "fitter_retarget": [_POINTER, _POINTER],
    "fitter_prune": [_POINTER, _DOUBLE, _POINTER],
    "fitter_seed": [_POINTER, *[_DOUBLE] * 7, _INT, *[_POINTER, _INT] * 2, _POINTER, _POINTER],
    "fitter_insert": [*[_POINTER] * 4, _INT],
    "fitter_rest": [_POINTER],
    "fitter_refresh": [_POINTER],
    "fitter_step": [_POINTER, _POINTER],
    "fitter_resample_from": [_POINTER, _POINTER, _DOUBLE],
    "fitter_splats": [*[_POINTER] * 4],
    "fitter_quantize": [_POINTER, _POINTER],
    "refiner_open": [_POINTER, _POINTER, _INT, _DOUBLE, _INT, _DOUBLE, _POINTER],
    "refiner_close": [_POINTER],
    "refiner_sweep": [
        *[_POINTER, _DOUBLE, *[_POINTER] * 3, _DOUBLE, *[_POINTER] * 3],
        *[ctypes.c_uint64, _DOUBLE, _INT, _POINTER, _POINTER, _POINTER],
    ],
    "refiner_integers": [_POINTER, _POINTER],
    "refiner_classes": [_POINTER, _POINTER],
    "refiner_savings": [_POINTER, _POINTER],
    "refiner_remove": [_POINTER, _POINTER, _INT],
    "refiner_render": [_POINTER, _POINTER],
}
_WITHOUT_FAULTS = ("close", "fitter_close", "fitter_numbers", "refiner_close")


class _Library:
    """The functions of a built library, typed."""

    def __init__(self, path: str) -> None:
        self._handle = ctypes.CDLL(path)
        for name, arguments in _ARGUMENTS.items():
            function = getattr(self._handle, f"splat2d_cuda_{name}")
            function.argtypes = arguments
            function.restype = None if name in _WITHOUT_FAULTS else _INT
        self._handle.splat2d_cuda_error.restype = ctypes.c_char_p

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function; raise the fault it reports."""
        fault = getattr(self._handle, f"splat2d_cuda_{name}")(*arguments)
        if not fault:
            return
        message = " ".join(self._handle.splat2d_cuda_error().decode(errors="replace").split())
        if fault == _ARGUMENT:
            raise ShapeError(message)
        if fault == _MEMORY:
            raise BackendUnavailableError(f"the GPU's memory does not suffice ({message}); use the CPU")
        raise BackendUnavailableError(f"the GPU cannot be used: {message}")


@cache
def library() -> _Library:
    """The library of this installation.

    Raises:
        BackendUnavailableError: If it was not built, or does not load.
    """
    found = importlib.util.find_spec("splat2d._cuda")
    if found is None or not found.origin:
        raise BackendUnavailableError(
            "this installation has no GPU kernels; build splat2d where CUDA's compiler (nvcc) is installed"
        )
    try:
        return _Library(found.origin)
    except (OSError, AttributeError) as error:
        why = " ".join(str(error).split())
        raise BackendUnavailableError(f"the GPU kernels do not load ({why})") from error


@cache
def unavailable() -> str | None:
    """Why no GPU can be used; None when one can."""
    try:
        count = _INT(0)
        library().call("devices", ctypes.byref(count))
    except BackendUnavailableError as error:
        return str(error)
    return None if count.value else "there is no GPU that CUDA can use"


class Session:
    """Scratch memory and a stream of the GPU, for pictures drawn one after another.

    Pointers are addresses of float32 memory of the GPU that lies as the shapes say. Work is queued on the
    stream, in order; only `render` waits for it. Not for several threads at once.

    Args:
        stream: a cudaStream_t; 0 is the default stream.
        kernels: the library; this installation's when not given.

    Raises:
        BackendUnavailableError: If the library does not load.
    """

    def __init__(self, stream: int = 0, kernels: _Library | None = None) -> None:
        self._library = library() if kernels is None else kernels
        self._session = ctypes.c_void_p()
        self._library.call("open", stream, ctypes.byref(self._session))

    def __del__(self) -> None:
        """Free the memory."""
        session = getattr(self, "_session", None)
        if session:
            self._library.call("close", session)

    def forward(
        self,
        splats: tuple[int, int, int],  # means [F, N, 2], conics [F, N, 3], colours [F, N, C]
        shape: tuple[int, int, int],  # F, N, C
        size: tuple[int, int],  # width, height
        cutoff: float,
        out: int,  # [F, C, H, W]
        base: int = 0,
        base_is_color: bool = True,
    ) -> None:
        """Draw frames of splats: out = base + sum of splats; base is [C] or [F, C, H, W], or none."""
        self._library.call("forward", self._session, *splats, *shape, *size, cutoff, base, base_is_color, out)

    def window(
        self,
        splats: tuple[int, int, int],  # means [N, 2], conics [N, 3], colours [N, C] of the canvas
        shape: tuple[int, int],  # N, C
        view: View,
        cutoff: float,
        out: int,  # [C, H, W]
        background: int = 0,  # [C], or none
    ) -> None:
        """Draw the splats of a canvas as a view shows them."""
        corner = view.x, view.y, view.scale_x, view.scale_y
        size = view.width, view.height
        self._library.call("window", self._session, *splats, *shape, *corner, *size, cutoff, background, out)

    def backward(
        self,
        splats: tuple[int, int, int],
        shape: tuple[int, int, int],
        size: tuple[int, int],
        cutoff: float,
        v_out: int,  # [F, C, H, W]
        gradients: tuple[int, int, int],  # as splats
    ) -> None:
        """Write the gradients of a scalar with cotangent `v_out`."""
        self._library.call("backward", self._session, *splats, *shape, *size, cutoff, v_out, *gradients)

    def render(
        self,
        means: NDArray[np.float32],  # [N, 2]
        conics: NDArray[np.float32],  # [N, 3]
        colors: NDArray[np.float32],  # [N, C]
        width: int,
        height: int,
        cutoff: float,
        background: NDArray[np.float32] | None = None,  # [C]
        *,
        unpremultiply: bool = False,
        as_bytes: bool = False,
    ) -> NDArray[Any]:
        """Draw splats of the CPU's memory: [C, H, W] float32, or with `as_bytes` [H, W, C] uint8, clamped."""
        count, channels = colors.shape
        arrays = [np.ascontiguousarray(a, np.float32) for a in (means, conics, colors)]
        base = None if background is None else np.ascontiguousarray(background, np.float32)
        out = np.empty(
            (height, width, channels) if as_bytes else (channels, height, width),
            np.uint8 if as_bytes else np.float32,
        )
        planes, packed = (None, out) if as_bytes else (out, None)
        self._library.call(
            "render",
            self._session,
            *[a.ctypes.data for a in arrays],
            *(count, channels, width, height),
            cutoff,
            None if base is None else base.ctypes.data,
            unpremultiply,
            None if planes is None else planes.ctypes.data,
            None if packed is None else packed.ctypes.data,
        )
        return out


class _Sessions(threading.local):
    """The calling thread's, by device and stream; freed with the thread."""

    def __init__(self) -> None:
        self.by_stream: dict[tuple[int, int], Session] = {}


_sessions = _Sessions()


def session(device: int = 0, stream: int = 0) -> Session:
    """The calling thread's session on a stream of a device, which must be CUDA's current one."""
    key = device, stream
    if key not in _sessions.by_stream:
        _sessions.by_stream[key] = Session(stream)
    return _sessions.by_stream[key]
