"""The quality that meets a target, looked for among files that a formula makes."""

import math

import pytest

from splat2d.errors import TargetError
from splat2d.fit.clip.search import search
from splat2d.fit.clip.target import ClipTarget

PIXELS = 10_000


def sized(quality: int) -> bytes:
    """A file that grows as clips do, a little less regularly."""
    return bytes(round(40 * 1.046**quality * (1 + 0.02 * math.sin(quality))))


def psnr_of(data: bytes) -> float:
    return 20 + 6 * math.log2(len(data) / 40)


@pytest.mark.parametrize("first", [1, 20, 50, 100])
@pytest.mark.parametrize("bpp", [0.04, 0.1, 0.37, 1.5, 50])
def test_the_largest_file_within_a_rate_is_found(first, bpp):
    target, made = ClipTarget(bpp=bpp), []

    def encode(quality: int, tries: int) -> bytes:
        assert tries == len(made)
        made.append(quality)
        return sized(quality)

    found = search(target, encode, lambda data: target.excess(8 * len(data) / PIXELS, 0), first)
    most = bpp * PIXELS / 8
    assert len(found) <= most
    assert len(found) == max(len(sized(q)) for q in made if len(sized(q)) <= most)
    assert len(found) > 0.9 * most or len(found) == len(sized(100))
    assert len(set(made)) == len(made) <= 8


@pytest.mark.parametrize("first", [1, 50, 100])
@pytest.mark.parametrize("psnr", [21.0, 33.3, 55.0])
def test_the_least_file_that_reaches_a_psnr_is_found(first, psnr):
    target = ClipTarget(psnr=psnr)
    found = search(target, lambda q, _: sized(q), lambda data: target.excess(1, psnr_of(data)), first)
    assert psnr <= psnr_of(found) < psnr + 0.7


@pytest.mark.parametrize("target", [ClipTarget(bpp=0.001), ClipTarget(psnr=89.0)])
def test_a_target_that_no_quality_meets(target):
    with pytest.raises(TargetError, match="with these masks"):
        search(target, lambda q, _: sized(q), lambda d: target.excess(8 * len(d) / PIXELS, psnr_of(d)), 50)
