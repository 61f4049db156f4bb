"""The files of `splat2d batch`: which there are, what each becomes, and what was finished before."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from splat2d.cli._names import refuse_twins
from splat2d.errors import ConfigError, InputImageError, OutputError
from splat2d.media.files import locked, read_bytes, reason, remove_own, shown, write_atomic

REPORT = "report.json"
JOURNAL = "report.jsonl"
"""Two lines on each file while a batch is running: one before it is written, one when it is finished. What
they say goes into the report."""

_WRITING = "writing"


@dataclass(frozen=True)
class Item:
    """One file of a batch.

    Args:
        input: its path.
        output: of what it becomes.
    """

    input: str
    output: str

    def read(self) -> bytes:
        """Return the input's bytes.

        Raises:
            InputImageError: it went away, is empty, too large, or changed while it was read.
        """
        try:
            before = os.stat(self.input)
            data = read_bytes(self.input)
            after = os.stat(self.input)
        except OSError as fault:
            raise InputImageError(f"{shown(self.input)}: cannot be read ({reason(fault)})") from None
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise InputImageError(f"{shown(self.input)}: changed while it was read")
        return data


def digest(data: bytes, settings: dict[str, Any]) -> str:
    """Return what a file and the settings make a result depend on, as hexadecimal digits."""
    told = json.dumps(settings, sort_keys=True).encode()
    return hashlib.sha256(hashlib.sha256(data).digest() + told).hexdigest()


def items_of(paths: Sequence[str], out_dir: str | None, suffix: str) -> list[Item]:
    """Return the files that paths mean, and what each becomes.

    Args:
        paths: files; folders, of which all pictures and clips count, or when decoding all .splat files, with
            their subfolders; patterns such as `photos/*.jpg`.
        out_dir: where outputs go, with the folders below a given folder; beside their inputs when None.
        suffix: of outputs; .splat to encode.

    Raises:
        ConfigError: nothing found, or two inputs that would become one file.
    """
    found: dict[str, str] = {}  # input: what of its path goes below out_dir
    for path in paths:
        before = len(found)
        if os.path.isdir(path):
            found.update((file, os.path.relpath(file, path)) for file in _files_in(path, out_dir, suffix))
        elif not os.path.lexists(path) and glob.has_magic(path):
            names = sorted(name for name in glob.glob(path, recursive=True) if os.path.isfile(name))
            found.update((name, os.path.basename(name)) for name in names)
        else:
            found[path] = os.path.basename(path)
        if len(found) == before and path not in found:
            what = "pictures or clips" if suffix == ".splat" else ".splat files"
            raise ConfigError(f"{shown(path)}: no {what} in there")
    items = []
    for path, below in found.items():
        stem = os.path.splitext(path if out_dir is None else os.path.join(out_dir, below))[0]
        items.append(Item(path, stem + suffix))
    refuse_twins([item.input for item in items], [item.output for item in items])
    return items


def _files_in(folder: str, out_dir: str | None, suffix: str) -> Iterator[str]:
    """Inputs in a folder and those below, hidden ones and the outputs' folder left out."""
    wanted = _readable() if suffix == ".splat" else {".splat"}
    outputs = None if out_dir is None else os.path.realpath(out_dir)
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(place, name)) != outputs
        )
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in wanted and not name.startswith("."):
                yield os.path.join(place, name)


def _readable() -> set[str]:
    """Suffixes of pictures and clips."""
    from PIL import Image

    from splat2d.media.reader import VIDEO_SUFFIXES

    pictures = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    return (pictures | set(VIDEO_SUFFIXES)) - {".splat", ".pdf"}


class Records:
    """What was finished of a batch: kept line by line as it happens, and as one report in the end.

    Args:
        folder: of the report.
        resume: whether to go on with what is there.

    Raises:
        OutputError: the folder cannot be written to, or another batch writes to it.
    """

    def __init__(self, folder: str, *, resume: bool) -> None:
        self._report, self._journal = os.path.join(folder, REPORT), os.path.join(folder, JOURNAL)
        self._before: dict[str, dict[str, Any]] = {}
        self.rows: list[dict[str, Any]] = []
        name = shown(self._journal)
        try:
            self._file = open(self._journal, "a", encoding="utf-8")
        except OSError as fault:
            raise OutputError(f"{name}: cannot be written ({reason(fault)})") from None
        try:
            if not locked(self._file, self._journal):
                raise OutputError(
                    f"{name}: another batch is writing it; wait for its end, or choose another place"
                )
            if resume:
                self._before = {row["output"]: row for row in [*self._reported(), *self._journaled()]}
                _drop_cut_line(self._journal)
            else:
                self._file.truncate(0)
        except BaseException:
            self._file.close()
            raise

    def _reported(self) -> list[dict[str, Any]]:
        return _rows(self._report, lambda text: json.loads(text)["files"])

    def _journaled(self) -> list[dict[str, Any]]:
        # The last line may have been cut off.
        rows = _rows(self._journal, lambda text: [json.loads(n) for n in text.split("\n")[:-1] if n])
        return [{**row, "status": "done"} if _is_written(row) else row for row in rows if _counts(row)]

    def finished(self, item: Item, key: str) -> dict[str, Any] | None:
        """Return the row of a file that was made of the same input with the same settings, and is there."""
        row = self._before.get(item.output)
        if row is None or row.get("digest") != key or row.get("status") not in ("done", "skipped"):
            return None
        try:
            return row if os.path.getsize(item.output) == row["size"] else None
        except OSError:
            return None

    def made(self, item: Item) -> bool:
        """Whether an earlier batch wrote this output, so that a new one may replace it."""
        return self._before.get(item.output, {}).get("status") in ("done", "skipped")

    def begin(self, row: dict[str, Any], data: bytes) -> None:
        """Say what is about to be written, so that it is known for ours if this process ends before `add`."""
        self._write({**row, "status": _WRITING, "sha256": hashlib.sha256(data).hexdigest()})
        os.fsync(self._file.fileno())

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row."""
        self.rows.append(row)
        self._write(row)

    def _write(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self, summary: dict[str, Any]) -> None:
        """Write the report, with rows of earlier batches whose files this one did not get to."""
        got_to = {row["output"] for row in self.rows}
        rows = self.rows + [row for row in self._before.values() if row["output"] not in got_to]
        rows.sort(key=lambda row: row["input"])
        text = json.dumps({**summary, "files": rows}, indent=1, ensure_ascii=False)
        with write_atomic(self._report, force=True) as file:
            file.write(text.encode() + b"\n")
        if os.name == "posix":  # while it is locked
            remove_own(self._file, self._journal)
        self._file.close()
        if os.name != "posix":  # where nobody removes what is open
            os.unlink(self._journal)


def _counts(row: dict[str, Any]) -> bool:
    """Whether a row tells of a file that is there, or was; one may have ended before it was written."""
    return row.get("status") != _WRITING or _is_written(row)


def _is_written(row: dict[str, Any]) -> bool:
    """Whether the file of a row that was written before it lies there, whole."""
    if row.get("status") != _WRITING:
        return False
    try:
        with open(row["output"], "rb") as file:
            return hashlib.sha256(file.read()).hexdigest() == row["sha256"]
    except OSError:
        return False


def _drop_cut_line(path: str) -> None:
    """Cut a file behind its last whole line."""
    with open(path, "r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def _rows(path: str, parse: Any) -> list[dict[str, Any]]:
    """Rows of a file, none where there is no such file.

    Raises:
        ConfigError: it is no report.
    """
    try:
        with open(path, encoding="utf-8") as file:
            rows = parse(file.read())
        if not all(isinstance(row["output"], str) for row in rows):
            raise TypeError
        return rows
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{shown(path)}: no report of a batch to go on with; move it away") from None
