"""Plain command lines are read without tyro, as tyro reads them."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from splat2d.cli import VERBS
from splat2d.cli._marks import read_plain

from ..support.places import GOLDEN

PLAIN = {
    "encode": [
        "a.png",
        "a.png b.splat",
        "- -",
        "a.png b.splat --quality 60 --seed 7 --tune ms-ssim --preset fast --force --json",
        "--psnr 38.5 a.png --size 20k --threads 2 b.splat --device auto",
        "a.png b.splat --bpp .5 --peak 1. --fps 30000/1001 --no-audio --jobs 2 --labels l.png",
    ],
    "decode": [
        "a.splat b.png",
        "a.splat - --format npy --scale 2 --texture off",
        "--width 300 --tiers 3 --crop 0,0,9,9 a.splat b.png --time 0.5 --skip-damaged",
        "a.splat b.png --max-pixels 9 --max-splats 9 --device cuda --view 1,0 --refocus 1.5",
    ],
    "info": ["a.splat", "a.splat --json --verify", "--plot b.png a.splat"],
    "edit": ["a.splat b.splat --json --force", "a.splat b.splat --script s.json --move 3,4 --hue 90"],
    "layers": ["a.splat --plot b.png"],
    "extract": ["a.splat b.splat --group cat"],
    "group": ["a.splat b.splat --name cat --box 0,0,9,9 --tolerance 8"],
    "convert": ["a.splat b.svg"],
    "batch": [],
    "merge": ["a.splat b.splat c.splat --at 3,4"],
    "view": ["", "a.splat", "a.splat --port 8000"],
    "serve": ["pictures --port 8000 --host 0.0.0.0"],
}

UNCLEAR = {
    "encode": [
        "",
        "a b c",
        "a b --quality",
        "a b --quality x",
        "a b --quality 1_0",
        "a b --mask n=m",
        "a b --help",
    ],
    "decode": [
        "a",
        "a b c",
        "a b --scale=2",
        "a b --scale -2",
        "a b --scale 2 --scale 3",
        "a b --scale nan",
        "a b --max_pixels 9",
        "a b --unknown",
        "a b --device tpu",
        "a b --time None",
        "a b --force --force",
    ],
    "extract": ["a b"],
    "edit": ["a b --move -3,4", "a b --hide"],
    "view": ["None"],
}


def loaded(verb: str) -> Any:
    return getattr(import_module(f"splat2d.cli.{verb}"), VERBS[verb])


@pytest.mark.parametrize(("verb", "line"), [(verb, line) for verb, lines in PLAIN.items() for line in lines])
def test_a_plain_line_means_what_tyro_says(verb: str, line: str):
    import tyro

    expected = tyro.cli(loaded(verb), args=line.split(), config=(tyro.conf.FlagCreatePairsOff,))
    assert read_plain(loaded(verb), line.split()) == expected


@pytest.mark.parametrize(
    ("verb", "line"), [(verb, line) for verb, lines in UNCLEAR.items() for line in lines]
)
def test_what_is_not_plain_is_left_to_tyro(verb: str, line: str):
    assert read_plain(loaded(verb), line.split()) is None


def test_every_verb_has_plain_lines():
    assert PLAIN.keys() == VERBS.keys() - {"bench"}


def test_a_decode_does_without_tyro(tmp_path: Path):
    code = "import sys; from splat2d.cli import main; sys.exit(main(sys.argv[1:]) or 'tyro' in sys.modules)"
    words = ["decode", str(GOLDEN / "pictures/rgb.splat"), str(tmp_path / "a.png"), "--scale", "2"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
