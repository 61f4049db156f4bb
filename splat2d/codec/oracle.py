"""What an independent range coder, that of the library constriction, makes of the symbols of a field."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splat2d.errors import BitstreamError
from splat2d.format.field import Field
from splat2d.native import core

if TYPE_CHECKING:
    from splat2d.edit.document import Document

SCALE = 1 << 8  # the coder's weights sum to 2^24, the models' to 2^16


def constriction_streams(seen: dict[str, NDArray[Any]]) -> list[bytes]:
    """Code what a recorder has seen with constriction.

    Args:
        seen: `Recorder.arrays()`.

    Returns:
        The bytes of each stream, without zero bytes at the end.
    """
    # It carries no types, and is wanted here alone.
    stream = importlib.import_module("constriction").stream
    categorical, uniform = stream.model.Categorical(perfect=False), stream.model.Uniform()
    sizes, values = seen["sizes"], seen["values"].astype(np.int32)
    ends = np.cumsum(np.maximum(sizes, 0))
    out = []
    for first, last in zip(seen["streams"], [*seen["streams"][1:], len(values)], strict=True):
        coder = stream.queue.RangeEncoder()
        for i in range(first, last):
            value, size = values[i : i + 1], int(sizes[i])
            if size > 0:
                # Its quantiser gives each symbol one unit and shares out the rest in proportion.
                weights = seen["weights"][ends[i] - size : ends[i]].astype(np.float64) * SCALE - 1
                coder.encode(value, categorical, weights[None])
            elif size < -1:  # a uniform model of one value would be no model
                coder.encode(value, uniform, np.array([-size], np.int32))
        out.append(coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0"))
    return out


def streams_of(field: Field) -> list[bytes]:
    """Return the streams of a coded field, without zero bytes at their ends."""
    layout = field.layout
    index = core().field_index(field.data, layout.width, layout.height, layout.frames)
    if not index["directory"]:
        return [field.data[index["streams"] :].rstrip(b"\0")]
    parts = index["pieces"]
    return [b"".join(field.data[at : at + n] for at, n in part).rstrip(b"\0") for part in parts]


def verify(document: Document) -> str:
    """Check that the bytes of all fields of a file are what constriction writes for their splats.

    Returns:
        What was checked, for people.

    Raises:
        BitstreamError: they do not decode, or the first field whose bytes are others.
    """
    fields = list(document.fields())
    for name, field in fields:
        if not agrees(field):
            raise BitstreamError(f"{name} is not coded as its splats are: the file is damaged")
    return f"{len(fields)} coded {'field' if len(fields) == 1 else 'fields'}, coded anew to the same bytes"


def agrees(field: Field) -> bool:
    """Whether a field's bytes are what constriction writes for the splats that they decode to.

    Raises:
        BitstreamError: they do not decode.
    """
    field.decode(tap=(recorder := core().Recorder()))
    return constriction_streams(recorder.arrays()) == streams_of(field)
