"""The GPU of the tests: its emulation, and where there is one, itself."""

from __future__ import annotations

import pytest

from splat2d.fit import cuda
from splat2d.native import gpu
from tests.support import emulated


@pytest.fixture
def emulated_gpu(monkeypatch):
    """Makes the emulated kernels the GPU of this machine."""
    kernels = emulated.kernels()
    monkeypatch.setattr(gpu, "unavailable", lambda: None)
    monkeypatch.setattr(cuda, "library", lambda: kernels)
    return kernels


@pytest.fixture(
    params=["emulated", pytest.param("real", marks=[pytest.mark.gpu, emulated.needs_gpu])],
)
def as_the_gpu(request):
    """The emulated kernels, and then those of the GPU."""
    if request.param == "emulated":
        request.getfixturevalue("emulated_gpu")
