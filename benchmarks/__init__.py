"""Benchmarks, one script each: `python benchmarks/NAME.py --help`.

Every script writes one JSON under benchmarks/results; report.py turns them into the README's tables. They
need the extra `bench`, and pictures at ../shared/data beside the checkout or where --data says.
"""

import sys
from pathlib import Path

# The scripts import each other by plain names, as `python benchmarks/NAME.py` finds them; this makes
# `python -m benchmarks.NAME` and the tests find them too. Last, so that nothing is hidden.
_HERE = str(Path(__file__).resolve().parent)
if _HERE not in sys.path:
    sys.path.append(_HERE)
