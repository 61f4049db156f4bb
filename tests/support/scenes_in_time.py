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


def turning_scene(count, width=96, height=80):
    """Frames [T, H, W, 3] of a pattern that turns and grows about the middle of the middle frame.

    Also a function that says where points [n, 2] of that frame are in another one.
    """
    rng = np.random.default_rng(3)
    waves = [
        (rng.uniform(0.05, 0.35, 2) * rng.choice([-1, 1], 2), rng.uniform(0, 6), rng.uniform(8, 18, 3))
        for _ in range(9)
    ]
    middle = np.array([width / 2, height / 2])

    def matrix(t):
        angle, scale = 0.03 * (t - count // 2), 1.012 ** (t - count // 2)
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        return np.array([[c, -s], [s, c]])

    def place(points, t):
        return (points - middle) @ matrix(t).T + middle

    ys, xs = np.mgrid[0.5:height, 0.5:width]
    frames = []
    for t in range(count):
        at = (np.stack([xs, ys], -1) - middle) @ np.linalg.inv(matrix(t)).T + middle
        frames.append(128 + sum(np.sin(at @ k + phase)[..., None] * color for k, phase, color in waves))
    return np.clip(np.stack(frames), 0, 255).astype(np.uint8), place
