"""Drawing on a GPU, timed beside gsplat and what the card's memory and arithmetic allow; of gpu_check.py."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch

from splat2d.bench.machine import spread
from splat2d.errors import Splat2dError

CUTOFF = 12.25
# Width, height, splats, and the frames a second that are aimed at without and with CUDA graphs.
SCENES = [(768, 512, 10_000, 5000, 10_000), (1920, 1080, 100_000, 1000, None)]
EIGHT_K = (7680, 4320, 500_000)
EIGHT_K_GOAL = 8.0  # GiB
WINDOW = (1024, 1e-3)  # px of its sides, and the seconds that are aimed at
BATCHES, BATCH = 20, 50  # drawn in a row between two looks at the clock
GRAPH_FRAMES = 20
FORWARD_FLOPS, BACKWARD_FLOPS = 16, 30  # of one splat and one pixel with three channels


def random_splats(count: int, width: int, height: int, device: str, seed: int = 0) -> list[torch.Tensor]:
    """Splats as a fit leaves them: of all sizes, together covering each pixel about a dozen times."""
    rng = np.random.default_rng(seed)
    means = rng.uniform(0, [width, height], (count, 2))
    size = np.sqrt(width * height / count) * 0.45
    scales = np.maximum(size * np.exp(rng.normal(0, 0.6, (count, 2))), 0.42)
    turn = rng.uniform(0, np.pi, count)
    c, s = np.cos(turn), np.sin(turn)
    a, b = scales[:, 0] ** -2, scales[:, 1] ** -2
    conics = np.stack([c * c * a + s * s * b, c * s * (a - b), s * s * a + c * c * b], 1)
    arrays = means, conics, rng.normal(0, 0.1, (count, 3))
    return [torch.from_numpy(x.astype(np.float32)).to(device) for x in arrays]


def check(splats: list[torch.Tensor], width: int, height: int) -> dict[str, float]:
    """Largest differences from the CPU, of pixels and of gradients over their largest."""
    from splat2d.torch.rasterize import rasterize

    results = []
    for device in ("cpu", splats[0].device):
        leaves = [t.detach().to(device).clone().requires_grad_() for t in splats]
        picture = rasterize(leaves[0], leaves[1], leaves[2], width, height)
        picture.square().sum().backward()
        results.append([picture.detach().cpu(), *[t.grad.cpu() for t in leaves if t.grad is not None]])
    (expected, *gradients), (found, *others) = results
    return {
        "pixels": float((found - expected).abs().max()),
        "gradients": max(
            float((a - b).abs().max() / b.abs().max()) for a, b in zip(others, gradients, strict=True)
        ),
    }


def seconds(
    action: Callable[[], object], wait: Callable[[], object], fewer: int = 1, things: int = 1
) -> dict[str, float]:
    """Times of a thing that an action does, from batches of many actions queued in a row.

    Args:
        action: queues some work.
        wait: waits for it.
        fewer: by which batches are shorter than usual.
        things: that one action does.
    """
    action()
    wait()
    times, actions = [], max(BATCH // (fewer * things), 1)
    for _ in range(BATCHES):
        start = perf_counter()
        for _ in range(actions):
            action()
        wait()
        times.append((perf_counter() - start) / actions / things)
    return {"median_s": median(times), **spread(times)}


def time_ours(
    splats: list[torch.Tensor], width: int, height: int, wait: Callable[[], object], kernels: Any = None
) -> dict[str, Any]:
    """Drawing and gradients into memory that is there already.

    Args:
        splats: means, conics and colours.
        width: of the picture, px.
        height: of the picture, px.
        wait: waits for the device.
        kernels: another library than this installation's.
    """
    from splat2d.native.gpu import Session

    stream = torch.cuda.current_stream().cuda_stream
    session = Session(stream, kernels)
    shape, size = (1, len(splats[0]), 3), (width, height)
    out = torch.empty(3, height, width, device=splats[0].device)
    gradients = [torch.empty_like(t) for t in splats]
    pointers = (splats[0].data_ptr(), splats[1].data_ptr(), splats[2].data_ptr())
    to = (gradients[0].data_ptr(), gradients[1].data_ptr(), gradients[2].data_ptr())
    return {
        "forward": seconds(lambda: session.forward(pointers, shape, size, CUTOFF, out.data_ptr()), wait),
        "backward": seconds(
            lambda: session.backward(pointers, shape, size, CUTOFF, out.data_ptr(), to), wait
        ),
    }


def time_graph(splats: list[torch.Tensor], width: int, height: int) -> dict[str, Any]:
    """Drawing from a CUDA graph of several frames; the pictures must be those drawn without one."""
    from splat2d.native.gpu import Session

    stream = torch.cuda.Stream()
    session = Session(stream.cuda_stream)
    shape, size = (1, len(splats[0]), 3), (width, height)
    out = torch.zeros(3, height, width, device=splats[0].device)
    pointers = (splats[0].data_ptr(), splats[1].data_ptr(), splats[2].data_ptr())

    def draw() -> None:
        session.forward(pointers, shape, size, CUTOFF, out.data_ptr())

    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        for _ in range(3):  # until there is memory for everything
            draw()
    torch.cuda.synchronize()
    expected = out.clone()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for _ in range(GRAPH_FRAMES):
            draw()
    out.zero_()
    times = seconds(graph.replay, torch.cuda.synchronize, things=GRAPH_FRAMES)
    if not torch.equal(out, expected):
        raise Splat2dError("a graph draws another picture")
    return times


def time_gsplat(
    splats: list[torch.Tensor], width: int, height: int, wait: Callable[[], object]
) -> dict[str, Any]:
    """Its tile lists and its alpha compositing of the same splats, tiles of 16 px, forward and backward.

    It composites front to back with opacities; with small ones no pixel is done before its last splat.
    """
    from gsplat.cuda._wrapper import isect_offset_encode, isect_tiles, rasterize_to_pixels

    means, conics, colors = (t[None].contiguous() for t in splats)
    a, b, c = conics.unbind(-1)
    variances = torch.stack([c, a], -1) / (a * c - b * b)[..., None]
    radii = (CUTOFF * variances).sqrt().ceil().int()
    depths, opacities = (
        torch.arange(means.shape[1], device=means.device)[None].float(),
        0.1 * torch.ones_like(a),
    )
    tiles = (width + 15) // 16, (height + 15) // 16

    def draw(m: torch.Tensor, s: torch.Tensor, c: torch.Tensor, o: torch.Tensor) -> torch.Tensor:
        _, ids, order = isect_tiles(means, radii, depths, 16, *tiles)
        offsets = isect_offset_encode(ids, 1, *tiles)
        return rasterize_to_pixels(m, s, c, o, width, height, 16, offsets, order)[0]

    leaves = [t.detach().clone().requires_grad_() for t in (means, conics, colors, opacities)]
    cotangent = torch.rand(1, height, width, 3, device=means.device)
    picture = draw(*leaves)
    with torch.no_grad():
        forward = seconds(lambda: draw(means, conics, colors, opacities), wait)
    return {
        "forward": forward,
        "backward": seconds(lambda: torch.autograd.grad(picture, leaves, cotangent, retain_graph=True), wait),
    }


def bounds(splats: list[torch.Tensor], width: int, height: int) -> dict[str, float]:
    """Work of one frame: bytes that must move, evaluations inside the cut-off and their operations."""
    from splat2d.native import core

    means, conics, colors = (t.cpu().numpy() for t in splats)
    pairs = core().count_pairs(means, conics, colors, width, height, CUTOFF)
    return {
        "bytes": 4.0 * (8 * len(splats[0]) + 3 * width * height),
        "pairs": pairs,
        "forward_flops": FORWARD_FLOPS * pairs,
        "backward_flops": BACKWARD_FLOPS * pairs,
    }


def ceilings() -> dict[str, float]:
    """What the card can do: bytes a second of a large copy, and multiply-adds of its units at their clock."""
    source = torch.empty(1 << 28, dtype=torch.float32, device="cuda").normal_()
    to = torch.empty_like(source)
    times = seconds(lambda: to.copy_(source), torch.cuda.synchronize, fewer=5)
    query = ["nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits"]
    clock = float(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0])
    units = torch.cuda.get_device_properties(0).multi_processor_count
    return {
        "bytes_per_s": 2 * 4 * source.numel() / times["median_s"],
        "flops_per_s": units * 128 * 2 * clock * 1e6,
        "clock_mhz": clock,
        "multiprocessors": units,
    }


def scene(width: int, height: int, count: int, goal: int, graph_goal: int | None) -> dict[str, Any]:
    """Figures of one scene; an error where its picture is wrong."""
    splats = random_splats(count, width, height, "cuda")
    differences = check(splats, width, height)
    # A pixel on the cut-off may count on one side only, which is 0.0022 of an amplitude.
    if differences["pixels"] > 1 / 255 or differences["gradients"] > 1e-3:
        raise Splat2dError(f"the GPU differs from the CPU at {width}x{height}: {differences}")
    row: dict[str, Any] = {
        "width": width,
        "height": height,
        "splats": count,
        "differences": differences,
        "work": bounds(splats, width, height),
        "splat2d": time_ours(splats, width, height, torch.cuda.synchronize),
        "goal_frames_per_s": goal,
        "graph_goal_frames_per_s": graph_goal,
    }
    row["splat2d"]["graph"] = time_graph(splats, width, height)
    return row


def eight_k() -> dict[str, float]:
    """Memory of the GPU that one 8K frame and its gradients take, with its splats, and the time for them."""
    from splat2d.native.gpu import Session

    width, height, count = EIGHT_K
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info()[0]
    splats = random_splats(count, width, height, "cuda")
    out, session = (
        torch.empty(3, height, width, device="cuda"),
        Session(torch.cuda.current_stream().cuda_stream),
    )
    gradients = [torch.empty_like(t) for t in splats]
    pointers, to = ((m.data_ptr(), s.data_ptr(), c.data_ptr()) for m, s, c in (splats, gradients))
    shape, size = (1, count, 3), (width, height)
    forward = seconds(
        lambda: session.forward(pointers, shape, size, CUTOFF, out.data_ptr()),
        torch.cuda.synchronize,
        fewer=10,
    )
    backward = seconds(
        lambda: session.backward(pointers, shape, size, CUTOFF, out.data_ptr(), to),
        torch.cuda.synchronize,
        fewer=10,
    )
    used = free - torch.cuda.mem_get_info()[0]
    return {
        "gib": used / 2**30,
        "goal_gib": EIGHT_K_GOAL,
        "forward_s": forward["median_s"],
        "backward_s": backward["median_s"],
    }


def window(data: bytes) -> dict[str, Any]:
    """Time of `render_tensor` for a window of a decoded picture, from the call to its pixels on the GPU."""
    from splat2d.scene.picture import Scene
    from splat2d.torch.rasterize import render_tensor

    scene = Scene.from_bytes(data)
    side = WINDOW[0]

    def draw() -> torch.Tensor:
        picture = render_tensor(scene, crop=(160, 90, side, side), device="cuda")
        torch.cuda.synchronize()
        return picture

    expected = scene.render_float(crop=(160, 90, side, side)).transpose(2, 0, 1)
    difference = float(np.abs(draw().cpu().numpy() - expected).max())
    if difference > 1 / 255:
        raise Splat2dError(f"a window differs from the CPU's by {difference}")
    return {"side": side, "splats": scene.count, "goal_s": WINDOW[1], **seconds(draw, lambda: None)}


def measure(say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Figures of all scenes."""
    rows = []
    for width, height, count, goal, graph_goal in SCENES:
        row = scene(width, height, count, goal, graph_goal)
        rows.append(row)
        frames, graph = (1 / row["splat2d"][name]["median_s"] for name in ("forward", "graph"))
        back = 1e6 * row["splat2d"]["backward"]["median_s"]
        say(f"{width}x{height}, {count:,} splats: {frames:,.0f} frames/s (aim {goal:,}), graph {graph:,.0f}")
        say(f"  backward {back:.1f} us; {row['differences']}")
    return rows
