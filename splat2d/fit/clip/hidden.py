"""What is hidden in a clip's frames: what other frames show there, or else what lies around."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splat2d.fit.clip.camera import camera_path
from splat2d.fit.objects.cut import continued
from splat2d.format.segments import PATH_UNITS


def revealed(frames: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Frames that show what is hidden.

    Args:
        frames: [T, H, W, C].
        hidden: [T, H, W].

    Returns:
        The frames; hidden pixels are those of the nearest frame that shows them, as the camera moves, and
        where none does they go on smoothly from those around.
    """
    if not hidden.any():
        return frames
    path = np.rint(camera_path(frames) / PATH_UNITS).astype(int)
    out, left = frames.copy(), hidden.copy()
    for t in range(len(frames)):
        for s in sorted(range(len(frames)), key=lambda s: abs(s - t)):
            if not left[t].any():
                break
            ys, xs = np.nonzero(left[t])
            x, y = xs + path[s, 0] - path[t, 0], ys + path[s, 1] - path[t, 1]
            there = (x >= 0) & (y >= 0) & (x < frames.shape[2]) & (y < frames.shape[1])
            there[there] = ~hidden[s, y[there], x[there]]
            out[t, ys[there], xs[there]] = frames[s, y[there], x[there]]
            left[t, ys[there], xs[there]] = False
        if left[t].any():
            known = ~left[t]
            planes = out[t].transpose(2, 0, 1).astype(np.float32) / 255
            smooth = continued(planes, known) if known.any() else planes
            filled = np.rint(255 * np.clip(smooth, 0, 1)).astype(np.uint8).transpose(1, 2, 0)
            out[t][left[t]] = filled[left[t]]
    return out
