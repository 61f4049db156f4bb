"""Fit 200 Gaussians to a small picture with Adam, through `splat2d.torch.rasterize.rasterize`.

This shows the differentiable operation in a loop of one's own; `splat2d encode` fits far better and faster.
Run: python examples/train_loop.py
"""

from __future__ import annotations

import argparse
import math

import torch

from splat2d.torch.rasterize import conics_from, rasterize


def picture(width: int, height: int) -> torch.Tensor:  # [3, H, W]
    """Return a sky with a sun and waves, in [0, 1]."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1.5, width), indexing="ij")
    sun = ((x - 1.0) ** 2 + (y - 0.3) ** 2 < 0.03).float()
    waves = (y > 0.6) * (0.5 + 0.3 * torch.sin(40 * y + 3 * torch.sin(9 * x)))
    return torch.stack([0.2 + 0.7 * sun, 0.4 * (1 - y) + 0.5 * sun, 0.9 - 0.5 * y - 0.2 * sun]) * (
        1 - 0.7 * waves
    )


def fit(iterations: int = 400, count: int = 200, width: int = 96, height: int = 64) -> float:
    """Return the PSNR of the fitted picture in dB."""
    torch.manual_seed(0)
    target = picture(width, height)
    means = torch.rand(count, 2) * torch.tensor([width, height])
    log_scales = torch.full((count, 2), math.log(4.0))
    rotations, colors = torch.zeros(count), torch.zeros(count, 3)
    background = target.mean((1, 2))
    rates = {means: 0.2, log_scales: 0.02, rotations: 0.05, colors: 0.02, background: 0.01}
    adam = torch.optim.Adam([{"params": [p.requires_grad_()], "lr": rate} for p, rate in rates.items()])
    mse = math.inf
    for iteration in range(iterations + 1):
        conics = conics_from(log_scales.exp(), rotations)
        image = rasterize(means, conics, colors, width, height, background=background)
        loss = torch.nn.functional.mse_loss(image, target)
        mse = loss.item()
        if iteration % 100 == 0:
            print(f"iteration {iteration:4d}: {-10 * math.log10(mse):5.2f} dB")
        adam.zero_grad()
        loss.backward()
        adam.step()
    return -10 * math.log10(mse)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=400)
    print(f"PSNR {fit(parser.parse_args().iterations):.2f} dB")
