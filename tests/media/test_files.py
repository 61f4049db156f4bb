"""Files: clear errors for bad inputs and outputs, and outputs that are whole or absent."""

from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path

import pytest

from splat2d.errors import BitstreamError, InputImageError, OutputError
from splat2d.media import files
from splat2d.media.files import check_output, read_bytes, write_atomic


def listing(folder: Path) -> list[str]:
    """Return the names in a folder, hidden ones included."""
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("size", [1, 1000, (1 << 20) + 1])
def test_read_bytes_returns_the_whole_file(tmp_path, size):
    """read_bytes returns the whole file."""
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    assert read_bytes(tmp_path / "a", limit=size) == data


def test_read_bytes_reads_a_pipe(tmp_path):
    """read_bytes reads a pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"x" * 100_000,))
    writer.start()
    assert read_bytes(pipe, limit=100_000) == b"x" * 100_000
    writer.join()


def test_read_bytes_stops_at_the_limit_of_an_endless_device():
    """read_bytes stops at the limit of an endless device."""
    with pytest.raises(InputImageError, match="more than 1000 bytes"):
        read_bytes("/dev/zero", limit=1000)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"12345"), "has 5 bytes; the limit is 4"),
    ],
    ids=["missing", "directory", "empty", "large"],
)
@pytest.mark.parametrize("error", [InputImageError, BitstreamError])
def test_read_bytes_says_what_is_wrong(tmp_path, make, expected, error):
    """read_bytes says what is wrong."""
    path = tmp_path / "input"
    make(path)
    with pytest.raises(error, match=expected) as caught:
        read_bytes(path, limit=4, error=error)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_read_bytes_without_permission(tmp_path, monkeypatch):
    """read_bytes without permission."""
    (tmp_path / "a").write_bytes(b"1")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)  # a test that runs as root may open anything
    with pytest.raises(InputImageError, match="permission denied"):
        read_bytes(tmp_path / "a")


@pytest.mark.parametrize("name", ["null\0byte", "x" * 5000, "new\nline"])
def test_odd_names_give_one_line(tmp_path, name):
    """Odd names give one line."""
    with pytest.raises(InputImageError) as caught:
        read_bytes(tmp_path / name)
    assert "\n" not in str(caught.value)
    with pytest.raises(OutputError) as caught:
        check_output(tmp_path / name / name)
    assert "\n" not in str(caught.value)


def test_write_atomic_writes_and_leaves_nothing_else(tmp_path):
    """write_atomic writes and leaves nothing else."""
    with write_atomic(tmp_path / "out") as file:
        file.write(b"hello")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out").read_bytes() == b"hello"
    assert listing(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, OutputError])
@pytest.mark.parametrize("existing", [True, False])
def test_write_atomic_leaves_no_trace_of_a_failure(tmp_path, error, existing):
    """write_atomic leaves no trace of a failure."""
    if existing:
        (tmp_path / "out").write_bytes(b"old")

    def fail():
        with write_atomic(tmp_path / "out", force=True) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert listing(tmp_path) == (["out"] if existing else [])
    assert not existing or (tmp_path / "out").read_bytes() == b"old"


def test_an_existing_output_is_kept_unless_forced(tmp_path):
    """An existing output is kept unless forced."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists already and is kept; use --force"):
        check_output(path)
    with pytest.raises(OutputError, match="exists already"), write_atomic(path):
        pytest.fail("the block must not run")
    assert path.read_bytes() == b"old"
    check_output(path, force=True)
    with write_atomic(path, force=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_an_output_that_appears_meanwhile_is_kept(tmp_path):
    """An output that appears meanwhile is kept."""
    path = tmp_path / "out"
    with pytest.raises(OutputError, match="appeared meanwhile"), write_atomic(path):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert listing(tmp_path) == ["out"]


@pytest.mark.parametrize("appears", [True, False])
def test_a_file_system_without_links(tmp_path, monkeypatch, appears):
    """A file system without links."""

    def refuse(*args, **kwargs):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "out"
    if appears:
        with pytest.raises(OutputError, match="exists already"), write_atomic(path):
            path.write_bytes(b"theirs")
    else:
        with write_atomic(path) as file:
            file.write(b"mine")
    assert path.read_bytes() == (b"theirs" if appears else b"mine")
    assert listing(tmp_path) == ["out"]


def test_bad_outputs(tmp_path):
    """Bad outputs are refused in one line before anything is written."""
    (tmp_path / "file").write_bytes(b"1")
    for path, expected in [
        (tmp_path, "is a directory"),
        (tmp_path / "missing" / "out", "does not exist; create it"),
        (tmp_path / "file" / "out", "does not exist; create it"),
        ("", "the output path is empty"),
        ("/dev/null", "is not a regular file"),
    ]:
        with pytest.raises(OutputError, match=expected) as caught:
            check_output(path, force=True)
        assert "\n" not in str(caught.value)
        with pytest.raises(OutputError, match=expected), write_atomic(path, force=True):
            pytest.fail("the block must not run")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert listing(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    """A folder without permission."""
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="is not writable"):
        check_output(tmp_path / "out")
    tmp_path.chmod(0o700)


def test_a_place_that_refuses_the_file(tmp_path, monkeypatch):
    """A place that refuses the file."""

    def refuse(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputError, match="Read-only file system"), write_atomic(tmp_path / "out"):
        pytest.fail("the block must not run")


def test_a_folder_that_says_it_is_not_writable(tmp_path, monkeypatch):
    """A folder that says it is not writable."""
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(OutputError, match="is not writable"):
        check_output(tmp_path / "out")


def test_a_full_disk_is_one_line(tmp_path):
    """A full disk is one line."""
    with pytest.raises(OutputError, match="No space left"), write_atomic(tmp_path / "out"):
        raise OSError(28, "No space left on device")
    assert listing(tmp_path) == []


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_follows_the_umask(tmp_path, umask, mode):
    """The mode follows the umask."""
    before = os.umask(umask)
    try:
        with write_atomic(tmp_path / "out") as file:
            file.write(b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o444])
def test_a_replaced_file_keeps_its_mode(tmp_path, mode):
    """A replaced file keeps its mode, and nobody else reads the new content meanwhile."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(mode)
    with write_atomic(path, force=True) as file:
        file.write(b"new")
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert abs(path.stat().st_mtime - time.time()) < 60


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_a_replaced_file_keeps_its_owner(tmp_path):
    """A replaced file keeps its owner."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    os.chown(path, 1234, 2345)
    path.chmod(0o2750)
    with write_atomic(path, force=True) as file:
        file.write(b"new")
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 2345, 0o2750)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="needs extended attributes")
def test_a_replaced_file_keeps_its_attributes(tmp_path):
    """A replaced file keeps its attributes."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    try:
        os.setxattr(path, "user.label", b"mine")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    with write_atomic(path, force=True) as file:
        file.write(b"new")
    assert os.getxattr(path, "user.label") == b"mine"


def test_what_is_written_is_forced_to_the_disk_before_its_name(tmp_path, monkeypatch):
    """What is written is forced to the disk before its name."""
    calls = []
    for module, name in ((os, "fsync"), (os, "link"), (os, "replace")):
        real = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *a, real=real, name=name, **k: (calls.append(name), real(*a, **k))[1]
        )
    with write_atomic(tmp_path / "out") as file:
        file.write(b"1")
    assert calls[:2] == ["fsync", "link"]
    with write_atomic(tmp_path / "out", force=True) as file:
        file.write(b"2")
    assert calls[-3:] == ["fsync", "replace", "fsync"]


def test_a_link_is_followed(tmp_path):
    """A link is followed."""
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with write_atomic(tmp_path / "link", force=True) as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_the_longest_name(tmp_path):
    """The longest name."""
    path = tmp_path / ("x" * 251 + ".png")
    with write_atomic(path) as file:
        file.write(b"1")
    assert path.read_bytes() == b"1"


def test_shown_keeps_a_message_on_one_line():
    """`shown` keeps a message on one line."""
    assert files.shown("a b/ü.png") == "a b/ü.png"
    assert files.shown("a\n\x1b[2J") == r"'a\n\x1b[2J'"
    assert files.shown("") == "''"
