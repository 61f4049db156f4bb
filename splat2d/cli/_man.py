"""One parser of all verbs, which `make man` turns into the man page."""

from __future__ import annotations

import argparse
from importlib import import_module

from splat2d.cli import VERBS
from splat2d.cli._help import LAYOUT, fill, text_of


def whole_parser() -> argparse.ArgumentParser:
    """Return a parser for reading, not for parsing."""
    parser = argparse.ArgumentParser(
        "splat2d", description="Pictures and clips as sets of 2D Gaussians.", add_help=False, **LAYOUT
    )
    parser.add_argument("--version", action="store_true", help="Print the version.")
    parser.add_argument("--completion", metavar="SHELL", help="Print a completion script: bash, zsh or fish.")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")
    for verb, name in VERBS.items():
        if verb == "bench":
            continue  # of the project's own, with verbs below it
        command = getattr(import_module(f"splat2d.cli.{verb}"), name)
        text = text_of(command.__doc__)
        inner = verbs.add_parser(verb, description=text, help=text.split("\n")[0], add_help=False, **LAYOUT)
        fill(inner, verb, command)
    return parser
