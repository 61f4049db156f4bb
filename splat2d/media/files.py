"""Reading and writing files: one clear error line, and never half an output."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
from collections.abc import Iterator
from typing import IO, Any, BinaryIO

from splat2d.errors import InputImageError, OutputError, Splat2dError

MAX_FILE_BYTES = 1 << 30
"""Largest file that `read_bytes` takes into memory unless told otherwise, in bytes."""

_CHUNK = 1 << 20


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as it may stand in a one-line message: quoted where it would break the line.

    Args:
        path: Any path.

    Returns:
        The path itself, or its repr when it is empty or holds control characters.
    """
    text = os.fspath(path)
    return text if text and text.isprintable() else repr(text)


def reason(error: BaseException) -> str:
    """Return what went wrong according to an exception, on one line.

    Args:
        error: An exception of the system or of a library.

    Returns:
        The system's own words for an OSError that has them, else the exception's text.
    """
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


@contextlib.contextmanager
def open_input(
    path: str | os.PathLike[str], *, error: type[Splat2dError] = InputImageError
) -> Iterator[BinaryIO]:
    """Open a file for reading, with the usual faults turned into one clear line.

    Args:
        path: The file; pipes and devices are allowed.
        error: What to raise.

    Yields:
        The open binary file.

    Raises:
        Splat2dError: As `error`, if the file is missing, empty, a directory or not readable.
    """
    name = shown(path)
    try:
        # A directory is told apart first: Windows would call it a denied permission.
        if os.path.isdir(path):
            raise error(f"{name}: is a directory; give a file")
        handle = open(path, "rb")
    except FileNotFoundError:
        raise error(f"{name}: no such file; check the path") from None
    except PermissionError:
        raise error(f"{name}: permission denied; make the file readable") from None
    except (OSError, ValueError) as fault:  # ValueError: a null byte in the name
        raise error(f"{name}: cannot be opened ({reason(fault)}); check the path") from None
    with handle:
        status = os.fstat(handle.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_size == 0:
            raise error(f"{name}: is empty (0 bytes); expected a file with content")
        yield handle


def temporary_in(folder: str) -> str:
    """Return a path in a folder that no file has, short whatever the output is called."""
    return os.path.join(folder, f".splat2d-{os.urandom(8).hex()}.tmp")


def read_open(file: IO[Any] | io.IOBase) -> bytes:
    """Return what is left of an open file.

    Raises:
        InputImageError: If it is open for text.
    """
    data = file.read()
    if isinstance(data, str):
        raise InputImageError("expected the bytes of a picture, found a file that is open for text")
    return data


def read_bytes(
    path: str | os.PathLike[str],
    *,
    limit: int = MAX_FILE_BYTES,
    error: type[Splat2dError] = InputImageError,
) -> bytes:
    """Return the content of a file of at most `limit` bytes.

    Args:
        path: The file; pipes are allowed.
        limit: Most bytes to take; never more than this plus one chunk of 1 MiB is allocated.
        error: What to raise, for a caller whose files are no pictures.

    Returns:
        The bytes, at least one.

    Raises:
        Splat2dError: As `error`, if the file is missing, empty, a directory, not readable or too large.
    """
    name = shown(path)
    with open_input(path, error=error) as handle:
        size = os.fstat(handle.fileno()).st_size
        if size > limit:
            raise error(f"{name}: has {size} bytes; the limit is {limit}")
        try:
            # In chunks, because read(n) allocates n at once and a pipe does not say how long it is.
            chunks: list[bytes] = []
            total = 0
            while chunk := handle.read(_CHUNK):
                total += len(chunk)
                if total > limit:
                    raise error(f"{name}: has more than {limit} bytes, which is the limit")
                chunks.append(chunk)
        except OSError as fault:
            raise error(f"{name}: cannot be read ({reason(fault)})") from None
    if not total:
        raise error(f"{name}: is empty (0 bytes); expected a file with content")
    return b"".join(chunks)


@contextlib.contextmanager
def kept_place(file: BinaryIO) -> Iterator[None]:
    """Leave a file where it was."""
    at = file.tell()
    try:
        yield
    finally:
        file.seek(at)


def check_output(path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Make sure that an output can be written, so that a command fails before minutes of work.

    Args:
        path: Where the output will go.
        force: Whether an existing file may be replaced.

    Raises:
        OutputError: If the file exists and `force` is not set, if it is a directory or a device, or if
            its directory is missing or cannot be written to.
    """
    name = shown(path)
    if not os.fspath(path):
        raise OutputError("the output path is empty; give a file name")
    try:
        if os.path.isdir(path):
            raise OutputError(f"{name}: is a directory; give a file name for the output")
        if os.path.lexists(path) and os.path.exists(path) and not os.path.isfile(path):
            raise OutputError(f"{name}: is not a regular file; give a file name for the output")
        if os.path.lexists(path) and not force:
            raise OutputError(f"{name}: exists already and is kept; use --force to replace it")
        parent = os.path.dirname(os.path.realpath(path))
        if not os.path.isdir(parent):
            raise OutputError(f"{name}: its directory {shown(parent)} does not exist; create it first")
    except (OSError, ValueError) as fault:
        raise OutputError(f"{name}: cannot be written ({reason(fault)})") from None
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{name}: its directory {shown(parent)} is not writable; choose another place")


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder for outputs, with those above it, unless it is there.

    Args:
        path: Of the folder.

    Raises:
        OutputError: If it cannot be made, or something else has its name.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except (OSError, ValueError) as fault:
        raise OutputError(f"{shown(path)}: the folder cannot be made ({reason(fault)})") from None


@contextlib.contextmanager
def write_atomic(path: str | os.PathLike[str], *, force: bool = False) -> Iterator[BinaryIO]:
    """Give a binary file that becomes `path` when the block ends well, and vanishes otherwise.

    The temporary file lies in the same directory, so that the last step is a rename; a reader sees
    the old content, or nothing, or the whole new content, also after the power failed. The mode of a new
    file follows the umask; one that is replaced keeps mode, owner and extended attributes, as far as the
    system lets it. A symbolic link is followed, not replaced.

    Args:
        path: Where the output goes.
        force: Whether an existing file may be replaced.

    Yields:
        The temporary file, open for writing and seeking.

    Raises:
        OutputError: As `check_output`; and if opening, writing or renaming fails.
    """
    check_output(path, force=force)
    name = shown(path)
    target = os.path.realpath(path)
    temporary = temporary_in(os.path.dirname(target))
    try:
        # Not tempfile, whose files have mode 0600 whatever the umask says; what replaces a file that others
        # may not read is not theirs to read meanwhile either.
        mode = 0o600 if os.path.exists(target) else 0o666
        descriptor = os.open(temporary, _flags(os.O_EXCL), mode)
    except OSError as fault:
        raise OutputError(f"{name}: cannot be written ({reason(fault)}); choose another place") from None
    try:
        with os.fdopen(descriptor, "w+b") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        if force:
            _keep_attributes(target, temporary)
        _publish(temporary, target, name, force=force)
        _sync_folder(os.path.dirname(target))
    except OSError as fault:
        raise OutputError(f"{name}: cannot be written ({reason(fault)})") from fault
    finally:
        # Also on KeyboardInterrupt and GeneratorExit; after success there is nothing left to remove.
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _flags(more: int = 0) -> int:
    return os.O_RDWR | os.O_CREAT | more | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def _keep_attributes(target: str, temporary: str) -> None:
    """Give a file the owner, mode and extended attributes (ACLs, labels) of the one that it replaces."""
    try:
        status = os.stat(target)
    except OSError:  # it is new
        return
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):
            os.chown(temporary, -1, status.st_gid)
        with contextlib.suppress(OSError):
            os.chown(temporary, status.st_uid, -1)
    shutil.copystat(target, temporary)
    os.utime(temporary)


def _sync_folder(folder: str) -> None:
    """Force a rename to the disk where that can be done."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _publish(temporary: str, target: str, name: str, *, force: bool) -> None:
    """Give the finished temporary file its final name."""
    if not force:
        # A link fails where a rename would replace a file that appeared in the meantime.
        try:
            os.link(temporary, target)
            return
        except FileExistsError:
            message = f"{name}: appeared meanwhile and is kept; use --force to replace it"
            raise OutputError(message) from None
        except (OSError, NotImplementedError):
            check_output(target)  # a file system without links
    os.replace(temporary, target)


@contextlib.contextmanager
def open_own(path: str) -> Iterator[BinaryIO]:
    """Open a file of our own for reading and writing, made where there is none; its content stays.

    Args:
        path: No symbolic link, which might lead to a file of somebody else's.

    Yields:
        The file.

    Raises:
        OutputError: If it cannot be opened, or is no regular file.
    """
    name = shown(path)
    try:
        if os.path.islink(path):
            raise OutputError(f"{name}: is a symbolic link, which is not followed; remove it")
        descriptor = os.open(path, _flags(getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)), 0o666)
    except (OSError, ValueError) as fault:
        raise OutputError(f"{name}: cannot be written ({reason(fault)})") from None
    with os.fdopen(descriptor, "r+b") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OutputError(f"{name}: is no regular file; remove it")
        yield file


def locked(file: IO[Any], path: str) -> bool:
    """Return whether nobody else has a lock on a file, which this process now has until it closes it.

    Args:
        file: Open.
        path: Where it was opened; a file that was renamed or removed since is somebody else's, too.
    """
    try:
        import fcntl
    except ImportError:  # Windows lets nobody rename or remove what is open
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return _is_at(file, path)


def remove_own(file: IO[Any], path: str) -> None:
    """Remove an open file unless another lies in its place by now."""
    with contextlib.suppress(OSError):
        if _is_at(file, path):
            os.unlink(path)


def _is_at(file: IO[Any], path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except OSError:
        return False
