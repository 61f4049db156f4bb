"""The command line: one module a verb, one line on stderr for everything a user can cause."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from splat2d.cli._terminal import say
from splat2d.errors import Splat2dError

VERBS = {
    "encode": "Encode",
    "decode": "Decode",
    "info": "Info",
    "edit": "Edit",
    "layers": "Layers",
    "extract": "Extract",
    "merge": "Merge",
    "group": "Group",
    "convert": "Convert",
    "batch": "Batch",
    "view": "View",
    "serve": "Serve",
    "bench": "Bench",
}
"""Each verb's module in this package, and the command class in it."""

SHELLS = ("bash", "zsh", "fish")

EXIT_FAULT = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        argv: The arguments without the program's name; those of the process when None.

    Returns:
        0 when the command did its work, 1 for a fault in files, data or settings, 2 for a wrong
        command line, 130 after Ctrl-C.
    """
    if argv is None:
        _keep_until_exit()
    _raise_on_terminate()
    _mend_streams()
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()  # here, where a reader that went away can still be answered quietly
        return status
    except BrokenPipeError:
        _abandon_stdout()
        return EXIT_FAULT
    except Terminated as stop:
        say("terminated")
        return 128 + int(stop.args[0])
    except KeyboardInterrupt as stop:
        say("; ".join(["interrupted", *map(str, stop.args)]))
        return EXIT_INTERRUPTED
    except Splat2dError as fault:
        say(f"error: {fault}")
        return EXIT_FAULT
    except MemoryError:
        say("error: out of memory; try a smaller picture, a smaller --scale or a --crop")
        return EXIT_FAULT
    except OSError as fault:
        # A full disk behind a redirected stdout, for example, which has no name.
        named = f"{fault.filename}: " if fault.filename else ""
        say(f"error: {named or 'output: '}{fault.strerror or fault}")
        _abandon_stdout()
        return EXIT_FAULT
    finally:
        if argv is None:
            gc.freeze()


class Terminated(BaseException):
    """SIGTERM or SIGHUP came: temporary files are removed on the way out."""


def _keep_until_exit() -> None:
    """Look for garbage in cycles seldom: modules are what there is most of, and they stay.

    That, and not to look through all of them once more at the end, takes a seventh off a decode's time.
    """
    gc.set_threshold(20_000)


def _raise_on_terminate() -> None:
    """Let whoever works clean up when the process is asked to end."""
    import signal
    import threading

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Terminated(number)

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, stop)


def _mend_streams() -> None:
    """Let nothing that is printed fail: closed streams lead nowhere, what an encoding lacks is escaped."""
    import os

    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))
        elif hasattr(stream, "reconfigure") and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _run(argv: list[str]) -> int:
    """Parse the command line and do what it says."""
    if not sys.warnoptions:
        import warnings

        # Pictures' own warnings arrive in Picture.warnings; a library's are of no use to a user.
        warnings.simplefilter("ignore")
    if argv == ["--version"]:
        from importlib.metadata import version

        print(f"splat2d {version('splat2d')}")
        return 0
    if argv[:1] == ["--completion"]:
        if len(argv) != 2 or argv[1] not in SHELLS:
            say(f"error: --completion needs the name of a shell: {', '.join(SHELLS)}")
            return EXIT_USAGE
        argv = ["--tyro-print-completion", argv[1]]

    from splat2d.cli import _arguments

    try:
        command = _arguments.parse(argv, VERBS)
        if command is not None:
            command.run()
    except _arguments.UsageError as fault:
        say(f"error: {fault}")
        return EXIT_USAGE
    return 0


def _abandon_stdout() -> None:
    """Keep the interpreter from flushing, and complaining about, a stdout that is gone."""
    import os

    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        sys.stdout = None
