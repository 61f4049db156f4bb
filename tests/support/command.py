"""Running the command line inside the test's process, and what an error must look like."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from splat2d import cli


def run(capsys, *args: str | Path) -> tuple[int, str, str]:
    """Return the exit status, stdout and stderr of one command."""
    status = cli.main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    return status, out, err


def assert_one_line(err: str, *parts: str) -> None:
    """Check that stderr holds one error line with these parts."""
    assert err.startswith("splat2d: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for part in parts:
        assert part in err


def needs(stop: signal.Signals) -> None:
    """Skip a test where a signal is ignored, as in the background or under nohup; children ignore it, too."""
    if signal.getsignal(stop) is signal.SIG_IGN:
        pytest.skip(f"{stop.name} is ignored here, and so by what is started here")
