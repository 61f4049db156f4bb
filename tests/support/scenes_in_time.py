"""Small clips whose motion is known."""

import numpy as np


def moving_scene(frames, *, width=96, height=64, pan=(0.0, 0.0), seed=0):
    """[T, H, W, 3] uint8: smooth blobs that go by at `pan` px a frame, and a disc that crosses them."""
    rng = np.random.default_rng(seed)
    blobs = [(*rng.uniform(-40, 140, 2), rng.uniform(3, 12), rng.uniform(-0.5, 0.5, 3)) for _ in range(60)]
    y, x = np.mgrid[:height, :width] + 0.5
    out = []
    for t in range(frames):
        picture = np.full((height, width, 3), 0.5)
        for bx, by, size, color in blobs:
            dx, dy = x - bx - pan[0] * t, y - by - pan[1] * t
            picture += color * np.exp(-(dx * dx + dy * dy) / (2 * size * size))[..., None]
        disc = np.clip(9 - np.hypot(x - 20 - 3 * t, y - 30), 0, 1)[..., None]
        picture = picture * (1 - disc) + np.array([0.9, 0.2, 0.1]) * disc
        out.append((np.clip(picture, 0, 1) * 255).round().astype(np.uint8))
    return np.stack(out)
