"""Help of each verb: options in groups, and an example. The man page, in _man.py, is made of the same."""

from __future__ import annotations

import argparse
import re
import warnings
from typing import Any

GROUPS = {
    "target": ("quality", "psnr", "bpp", "size", "tune", "texture"),
    "effort": ("preset", "seed", "threads", "jobs", "scheduler"),
    "size and window": ("scale", "width", "height", "crop", "tiers"),
    "objects": ("mask", "labels", "box", "polygon", "point", "color", "tolerance", "name"),
    "input": ("peak", "keep-metadata", "keep-gps"),
    "clips": ("fps", "time", "no-audio", "resume", "skip-damaged"),
    "light fields": ("views", "lenslet", "view", "refocus", "depth"),
    "device": ("device",),
    "limits": ("max-pixels", "max-splats", "max-evaluations"),
    "output": ("out-dir", "to", "format", "plot", "force", "json"),
}
"""Options of all verbs by what they are about; others stand under "options"."""

EDITS = {
    "places": ("group", "move", "rotate", "scale", "about", "blur"),
    "colours": ("tint", "brightness", "contrast", "saturation", "hue", "opacity"),
    "stack": ("hide", "show", "raise", "lower", "to-front", "to-back", "duplicate", "rename", "delete"),
    "steps": ("script", "undo", "reset", "bake"),
}
"""Those of `edit`, before the others."""

EXAMPLES = {
    "encode": (
        "splat2d encode photo.jpg photo.splat --quality 60",
        "splat2d encode *.jpg --out-dir splats --size 20k",
        "ffmpeg -i clip.mp4 -f yuv4mpegpipe - | splat2d encode - clip.splat",
        "splat2d encode views/ scene.splat --views 5x5",
    ),
    "decode": (
        "splat2d decode photo.splat photo.png --scale 2",
        "splat2d decode clip.splat - | ffplay -",
    ),
    "info": ("splat2d info photo.splat --json",),
    "edit": ("splat2d edit in.splat out.splat --group cat --move 40,0 --rotate 15 --hue 90",),
    "layers": ("splat2d layers photo.splat --plot outlines.png",),
    "extract": ("splat2d extract photo.splat cat.splat --group cat",),
    "merge": ("splat2d merge room.splat cat.splat both.splat --at 300,200",),
    "group": ("splat2d group photo.splat cut.splat --name cat --box 75,12,410,375",),
    "convert": ("splat2d convert photo.splat photo.html", "splat2d convert layered.splat layered.psd"),
    "batch": (
        "splat2d batch photos --out-dir splats --quality 60 --resume",
        "splat2d batch splats --to png --out-dir pictures",
    ),
    "view": ("splat2d view photo.splat",),
    "serve": ("splat2d serve pictures --port 8000",),
}


def parser_of(verb: str, command: Any) -> argparse.ArgumentParser:
    """Return a verb's options as a parser that knows its groups; it is for reading, not for parsing.

    Args:
        verb: as it is typed.
        command: the class behind it.
    """
    parser = argparse.ArgumentParser(
        f"splat2d {verb}", description=text_of(command.__doc__), add_help=False, **LAYOUT
    )
    fill(parser, verb, command)
    return parser


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps lines of descriptions and examples."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=22, width=min(_width(), 100))


LAYOUT: dict[str, Any] = {"formatter_class": _Formatter}


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def fill(parser: argparse.ArgumentParser, verb: str, command: Any) -> None:
    """Give a parser the options of a verb, in groups, and its examples."""
    import tyro

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may go one day, and a test will say so
        known = tyro.extras.get_parser(command, prog=parser.prog, config=(tyro.conf.FlagCreatePairsOff,))
    actions = {_name(action): action for action in known._actions}
    left = dict(actions)
    groups = {**EDITS, **GROUPS} if verb == "edit" else GROUPS
    given = [action for action in actions.values() if not action.option_strings]
    titles = {"files": [_name(action) for action in given]}
    titles |= {title: [name for name in names if name in left] for title, names in groups.items()}
    seen = {name for names in titles.values() for name in names}
    titles["options"] = [name for name in left if name not in seen]
    for title, names in titles.items():
        wanted = [left.pop(name) for name in names if name in left]
        if wanted:
            group = parser.add_argument_group(title)
            for action in wanted:
                _add(group, action)
    examples = EXAMPLES.get(verb)
    if examples:
        parser.epilog = "examples:\n" + "\n".join(f"  {example}" for example in examples)


def _add(group: Any, action: argparse.Action) -> None:
    text = re.sub(r" \((default: (None|False|''|)|required)\)", "", action.help or "")
    # tyro counts the words of one option; help is for one of them.
    metavar = action.metavar[0] if isinstance(action.metavar, tuple) else action.metavar
    metavar = metavar and metavar.replace("{None,", "{")
    if not action.option_strings:
        group.add_argument(_name(action), metavar=metavar, help=text)
    elif action.nargs == 0:
        group.add_argument(*action.option_strings, action="store_true", help=text)
    else:
        group.add_argument(*action.option_strings, metavar=metavar, help=text)


def _name(action: argparse.Action) -> str:
    return action.option_strings[-1].lstrip("-") if action.option_strings else action.dest


def text_of(doc: str | None) -> str:
    """Return a docstring without its indentation."""
    import inspect

    return inspect.cleandoc(doc or "")
