"""Help in groups, with examples that parse, completion, and a man page that knows all options."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from importlib import import_module

import pytest

from splat2d.cli import VERBS, _arguments
from splat2d.cli._help import EDITS, EXAMPLES, GROUPS, parser_of
from splat2d.cli._man import whole_parser

from ..support.command import run
from ..support.places import ROOT

PAGE = ROOT / "docs" / "man" / "splat2d.1"
OWN = [verb for verb in VERBS if verb != "bench"]


def command_of(verb: str):
    return getattr(import_module(f"splat2d.cli.{verb}"), VERBS[verb])


@pytest.mark.parametrize("verb", OWN)
def test_help_has_each_option_once_and_an_example(capsys, verb: str):
    status, out, err = run(capsys, verb, "--help")
    assert (status, err) == (0, "")
    options = re.findall(r"^  (--[\w-]+)", out, re.M)
    assert len(options) == len(set(options))
    assert "--json" in options or verb in ("view", "serve")
    assert "examples:\n  splat2d" in out or f"| splat2d {verb}" in out
    assert "%%" not in out


def test_help_of_encode_is_grouped(capsys):
    out = run(capsys, "encode", "--help")[1]
    titles = re.findall(r"^(\w[\w ]*):$", out, re.M)
    assert titles == [
        "files",
        "target",
        "effort",
        "objects",
        "input",
        "clips",
        "light fields",
        "device",
        "output",
        "options",
        "examples",
    ]
    target = out.split("\ntarget:\n")[1].split("\neffort:\n")[0]
    assert all(f"--{name} " in target for name in ("quality", "psnr", "bpp", "size"))


def test_groups_name_no_option_twice_and_none_that_is_not_there():
    known = set()
    for verb in OWN:
        known |= {
            name.lstrip("-")
            for action in parser_of(verb, command_of(verb))._actions
            for name in action.option_strings
        }
    names = [name for names in GROUPS.values() for name in names]
    assert len(names) == len(set(names))
    assert set(names) - known == set()
    assert {name for names in EDITS.values() for name in names} - known == set()


@pytest.mark.parametrize("example", [e for examples in EXAMPLES.values() for e in examples])
def test_examples_parse(example: str):
    words = shlex.split(example.split("|")[1 if example.startswith("ffmpeg") else 0])
    assert words[0] == "splat2d"
    assert _arguments.parse(words[1:], VERBS) is not None


def test_help_of_bench_has_an_example_that_parses(capsys):
    found = re.search(r"^For example: splat2d (.+)$", run(capsys, "bench", "--help")[1], re.M)
    assert found is not None
    assert _arguments.parse(found[1].split(), VERBS) is not None


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_its_shell(capsys, shell: str):
    script = run(capsys, "--completion", shell)[1]
    assert all(word in script for word in OWN)
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_man_page_has_all_verbs_and_options():
    page = PAGE.read_text(encoding="utf-8").replace("\\-", "-")
    for verb in OWN:
        assert f"splat2d {verb}" in page, "out of date: run make man"
    parsers = whole_parser()._subparsers._group_actions[0].choices
    assert isinstance(parsers, dict)
    for verb, parser in parsers.items():
        for action in parser._actions:
            for option in set(action.option_strings) - {"-h", "--help"}:
                assert option in page, f"{verb} {option}: the man page is out of date; run make man"
