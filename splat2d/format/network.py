"""The trained network of the entropy model.

`network.bin` is a zlib stream of what cpp/model/network.cpp reads; `benchmarks/train_network.py` makes it.
Changing it changes the format.
"""

from __future__ import annotations

import functools
import zlib
from pathlib import Path
from typing import Any

from splat2d.native import core

PATH = Path(__file__).parent / "network.bin"


@functools.cache
def network() -> Any:
    """The network that every file is coded with."""
    return core().Network(zlib.decompress(PATH.read_bytes()))
