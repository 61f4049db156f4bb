"""Command lines that cannot be meant, help, completion, and how options are read."""

from __future__ import annotations

import pytest

from splat2d.cli._arguments import UsageError, at_most_one, in_range, parse_bytes, parse_integers
from splat2d.errors import ConfigError

from ..support.command import assert_one_line, run


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["bogus"], "bogus"),
        ([], "encode, decode, info"),
        (["encode"], "INPUT"),
        (["decode", "a"], "OUTPUT"),
        (["encode", "a", "b", "c"], "--out-dir"),
        (["encode", "a", "b", "--bogus", "1"], "--bogus"),
        (["encode", "a", "b", "--quality"], "--quality"),
        (["encode", "a", "b", "--quality", "good"], "good"),
        (["encode", "a", "b", "--quality", "0"], "1 to 100"),
        (["encode", "a", "b", "--quality", "101"], "1 to 100"),
        (["encode", "a", "b", "--psnr", "nan"], "--psnr"),
        (["encode", "a", "b", "--bpp", "0"], "--bpp"),
        (["encode", "a", "b", "--size", "20x"], "20x"),
        (["encode", "a", "b", "--size", "0"], "--size"),
        (["encode", "a", "b", "--threads", "0"], "--threads"),
        (["encode", "a", "b", "--seed", "-1"], "--seed"),
        (["encode", "a", "b", "--preset", "slow"], "slow"),
        (["encode", "a", "b", "--tune", "ssim"], "ssim"),
        (["decode", "a", "b.png", "--scale", "-1"], "--scale"),
        (["decode", "a", "b.png", "--scale", "inf"], "--scale"),
        (["decode", "a", "b.png", "--height", "0"], "--height"),
        (["decode", "a", "b.png", "--tiers", "0"], "--tiers"),
        (["decode", "a", "b.png", "--crop", "1,2,3"], "X,Y,W,H"),
        (["decode", "a", "b.png", "--crop", "0,0,0,5"], "--crop"),
        (["info"], "FILE"),
        (["group", "a", "b", "--point", "1,2"], "--name"),
        (["group", "a", "b", "--name", "n", "--box", "1,2,3"], "X,Y,W,H"),
        (["group", "a", "b", "--name", "n", "--polygon", "1,2,3,4,5"], "two for each corner"),
        (["group", "a", "b", "--name", "n", "--point", "x,2"], "--point"),
        (["group", "a", "b", "--name", "n", "--quality", "0"], "1 to 100"),
        (["batch"], "no inputs"),
        (["batch", "a", "--to", "png", "--quality", "5"], "--quality"),
        (["batch", "a", "--scale", "2"], "--scale"),
        (["batch", "a", "--to", "png", "--keep-metadata"], "--keep-metadata"),
        (["batch", "a", "--keep-gps"], "--keep-metadata"),
        (["batch", "a", "--jobs", "0"], "--jobs"),
        (["batch", "a", "--jobs", "2", "--scheduler", "tcp://h:1"], "--scheduler"),
        (["bench"], "images, ablation, clips, lightfields, compare"),
        (["bench", "compare", "a"], "B.json"),
        (["--completion", "csh"], "bash"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(capsys, arguments, part: str):
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert_one_line(err, part)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_wrong_command_line_in_any_terminal(monkeypatch, run_python, encoding: str):
    # tyro frames its complaints with the characters that stdout knows.
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = run_python("-m", "splat2d", "decode", "a", "--width", "7")
    assert (done.returncode, done.stdout) == (2, "")
    expected = "splat2d: error: Missing from splat2d decode: OUTPUT; run splat2d decode --help\n"
    assert done.stderr == expected


@pytest.mark.parametrize(
    "verb",
    [
        [],
        ["encode"],
        ["decode"],
        ["info"],
        ["edit"],
        ["layers"],
        ["extract"],
        ["merge"],
        ["group"],
        ["batch"],
        ["bench"],
        ["bench", "images"],
        ["bench", "compare"],
    ],
)
def test_help(capsys, verb: list[str]):
    status, out, err = run(capsys, *verb, "--help")
    assert (status, err) == (0, "")
    assert f"usage: {' '.join(['splat2d', *verb])}" in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(capsys, shell: str):
    status, out, _ = run(capsys, "--completion", shell)
    assert status == 0
    assert all(
        word in out for word in ("encode", "decode", "info", "edit", "merge", "bench", "--scale", "--preset")
    )


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["encode", "a", "b", "--quality", "5", "--size", "9k"], "--quality and --size contradict"),
        (["decode", "a", "b.png", "--scale", "2", "--width", "9"], "--scale and --width contradict"),
    ],
)
def test_contradicting_targets_are_one_line_and_status_1(capsys, arguments, part: str):
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert part in err


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20000", 20000),
        ("20k", 20000),
        ("20K", 20000),
        ("1.5M", 1500000),
        ("64KiB", 65536),
        ("2kB", 2000),
        (".5k", 500),
    ],
)
def test_sizes_with_units(text: str, size: int):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "k", "-5", "1e3", "5 q", "0.4", "i", "5i", "nan"])
def test_no_sizes(text: str):
    with pytest.raises(UsageError, match="is no size"):
        parse_bytes(text)


def test_checks_of_options():
    at_most_one(a=None, b=0)
    with pytest.raises(ConfigError, match="--a and --b contradict"):
        at_most_one(a=0, b=0, c=None)
    in_range(0, 1, a=0.0, b=1.0, c=None)
    with pytest.raises(UsageError, match="--a 0 is out of range; expected more than 0"):
        in_range(0, above=True, a=0.0)
    assert parse_integers("crop", "1,-2", "XY") == (1, -2)
    with pytest.raises(UsageError, match="expected X,Y as integers"):
        parse_integers("crop", "1,2.5", "XY")
