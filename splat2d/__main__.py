"""`python -m splat2d` is the command `splat2d`."""

import sys

from splat2d.cli import main

if __name__ == "__main__":
    sys.exit(main())
