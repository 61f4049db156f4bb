"""`splat2d bench lightfields`: our light fields beside video codecs on the views in serpentine order."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated

from splat2d.cli._arguments import in_range
from splat2d.cli._marks import Positional, arg
from splat2d.cli._terminal import say


@dataclass(frozen=True)
class LightFields:
    """Measure a light field: rates and PSNR over all views, beside video codecs; views that were left out."""

    path: Annotated[
        Positional[str],
        arg(metavar="VIEWS", help="A folder, a pattern or a JSON list, as of encode --views."),
    ]
    presets: Annotated[
        tuple[str, ...], arg(metavar="P...", help="Of splat2d: fast, default, best, or a YAML file.")
    ] = ("default",)
    quality: Annotated[
        tuple[int, ...], arg(metavar="Q...", help="Qualities of splat2d; four when not given.")
    ] = ()
    threads: Annotated[int, arg(metavar="N", help="Threads of every encoder.")] = 2
    out: Annotated[str, arg(metavar="FILE", help="The JSON of the results.")] = "bench-lightfields.json"

    def run(self) -> None:
        """Measure all, write the JSON, print what follows from it."""
        in_range(1, threads=self.threads)
        for quality in self.quality:
            in_range(1, 100, quality=quality)
        from splat2d.bench.lightfields import QUALITIES, measure
        from splat2d.media.files import write_atomic
        from splat2d.native.backend import Backend

        result = measure(
            self.path,
            presets=self.presets,
            qualities=self.quality or QUALITIES,
            backend=Backend(self.threads),
            say=say,
        )
        with write_atomic(self.out, force=True) as file:
            file.write(json.dumps(result, indent=1).encode())
        for codec, against in result["bd_rate"].items():
            for anchor, percent in against.items():
                told = "no common PSNR" if percent is None else f"{percent:+.1f}% at equal PSNR"
                print(f"{codec} against {anchor}: {told}")
        for row in result["left_out"]:
            print(
                f"splat2d-{row['preset']}, half of the views: {row['psnr_encoded']:.2f} dB; the others "
                f"{row['psnr_left_out']:.2f} dB"
            )
