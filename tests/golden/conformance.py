"""What every golden file decodes to, for decoders in other languages: `python tests/golden/conformance.py`.

Beside the golden files, in conformance/: for each the integers of all its fields as text, one line a splat,
in the order of docs/FORMAT.md, section 5.4, fields apart by an empty line; and the pixels at its own size as
raw bytes, gzipped: rows from the top, C bytes a pixel, colours premultiplied by alpha; of a clip at each of
the manifest's times, of a light field by each of its eyes and lenses.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
OUT = HERE / "conformance"


def integers_text(data: bytes) -> str:
    """Return the integers of a file's fields as text."""
    from tests.support.integers import fields_of

    blocks = [
        "".join(" ".join(map(str, row)) + "\n" for row in f.decode()[0].tolist()) for f in fields_of(data)
    ]
    return "\n".join(blocks)


def premultiplied(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pixels [H, W, C] with colours times alpha where there is alpha."""
    if pixels.shape[2] in (1, 3):
        return pixels
    alpha = pixels[..., -1:].astype(np.float64) / 255
    colors = np.rint(pixels[..., :-1] * alpha).astype(np.uint8)
    return np.concatenate([colors, pixels[..., -1:]], axis=2)


def pixels_of(data: bytes, entry: dict[str, Any]) -> bytes:
    """Return the raw pixels of a file in all its looks."""
    from tests.support.golden import drawn

    return b"".join(premultiplied(pixels).tobytes() for pixels in drawn(data, entry))


def main() -> None:
    """Write all of it."""
    sys.path.insert(0, str(HERE.parents[1]))
    from tests.support.golden import good

    for name, entry in good().items():
        data, out = (HERE / name).read_bytes(), OUT / Path(name).with_suffix("")
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".txt").write_text(integers_text(data))
        out.with_suffix(".raw.gz").write_bytes(gzip.compress(pixels_of(data, entry), 9, mtime=0))


if __name__ == "__main__":
    main()
