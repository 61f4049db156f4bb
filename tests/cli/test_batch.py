"""`splat2d batch`: nothing lost, nothing twice, whatever happens to files and workers."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.cli._batch_files import Item, Records, digest, items_of
from splat2d.errors import BackendUnavailableError, ConfigError, InputImageError
from splat2d.fit import workers
from splat2d.fit.workers import Processes, WorkerDied

from ..support.batch_jobs import die, die_once, fail_when_done_again, marked, work
from ..support.command import assert_one_line, needs, run


def picture(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:24, :32] + 7 * seed
    Image.fromarray(np.stack([rows * 5, columns * 4, rows + columns], -1).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    picture(tmp_path / "photos" / "a.png", 0)
    picture(tmp_path / "photos" / "sub" / "b.bmp", 1)
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    return tmp_path / "photos"


@pytest.fixture
def same_process(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Run tasks where the test runs, and count them."""
    ran: list[int] = []

    def results(self, tasks):
        for key, task in tasks:
            ran.append(1)
            try:
                yield key, task()
            except Exception as fault:
                yield key, fault

    monkeypatch.setattr(workers.Workers, "results", results)
    return ran


def report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_a_folder_there_and_back(capsys, photos: Path, tmp_path: Path):
    out, back = tmp_path / "out", tmp_path / "back"
    status, table, err = run(capsys, "batch", photos, "--out-dir", out, "--preset", "fast", "--jobs", 2)
    assert (status, err) == (0, "")
    assert "done" in table
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*.splat"))
    assert names == ["a.splat", os.path.join("sub", "b.splat")]
    expected = splat2d.encode(photos / "a.png", preset="fast")
    assert (out / "a.splat").read_bytes() == expected
    rows = report(out)["files"]
    assert [row["status"] for row in rows] == ["done", "done"]
    assert rows[0]["size"] == len(expected)
    assert rows[0]["psnr"] > 30
    assert not (out / "report.jsonl").exists()

    status, told, _ = run(capsys, "batch", out, "--out-dir", back, "--to", "png", "--scale", 2, "--json")
    assert status == 0
    assert json.loads(told)["done"] == 2
    np.testing.assert_array_equal(np.asarray(Image.open(back / "a.png")), splat2d.decode(expected, scale=2))


def test_resume_does_only_what_is_not_done(capsys, photos: Path, tmp_path: Path, same_process: list[int]):
    out = tmp_path / "out"
    arguments = ["batch", photos, "--out-dir", out, "--preset", "fast"]
    assert run(capsys, *arguments)[0] == 0
    first = (out / "a.splat").read_bytes()
    assert len(same_process) == 2
    assert run(capsys, *arguments, "--resume")[0] == 0
    assert len(same_process) == 2
    picture(photos / "a.png", 5)  # edited
    (out / "sub" / "b.splat").unlink()  # and lost
    assert run(capsys, *arguments, "--resume")[0] == 0
    assert len(same_process) == 4
    assert (out / "a.splat").read_bytes() != first
    assert run(capsys, *arguments, "--resume", "--quality", 30)[0] == 0
    assert len(same_process) == 6
    assert {row["status"] for row in report(out)["files"]} == {"done"}


def test_resume_reads_the_journal_of_a_batch_that_was_killed(
    capsys, photos: Path, tmp_path: Path, same_process: list[int]
):
    out = tmp_path / "out"
    arguments = ["batch", photos, "--out-dir", out, "--preset", "fast"]
    assert run(capsys, *arguments)[0] == 0
    rows = report(out)["files"]
    (out / "report.json").unlink()
    (out / "report.jsonl").write_text(json.dumps(rows[0]) + "\n" + json.dumps(rows[1])[:40])
    (out / "sub" / "b.splat").unlink()
    assert run(capsys, *arguments, "--resume")[0] == 0
    assert len(same_process) == 3
    assert [row["status"] for row in report(out)["files"]] == ["skipped", "done"]


def test_resume_knows_what_was_written_before_a_kill(
    capsys, photos: Path, tmp_path: Path, same_process: list[int]
):
    """The process ends behind the output, before the journal's line on it; and in the midst of a line."""
    out = tmp_path / "out"
    arguments = ["batch", photos, "--out-dir", out, "--preset", "fast"]
    assert run(capsys, *arguments)[0] == 0
    a, b = report(out)["files"]
    (out / "report.json").unlink()
    begun = [
        {**row, "status": "writing", "sha256": hashlib.sha256(Path(row["output"]).read_bytes()).hexdigest()}
        for row in (a, b)
    ]
    (out / "sub" / "b.splat").unlink()  # not written yet
    lines = "".join(json.dumps(row) + "\n" for row in begun)
    (out / "report.jsonl").write_text(lines + json.dumps(b)[:30])
    records = Records(str(out), resume=True)
    records.add(b)
    records._file.close()  # killed again
    assert (out / "report.jsonl").read_text() == lines + json.dumps(b, ensure_ascii=False) + "\n"
    assert run(capsys, *arguments, "--resume")[0] == 0
    assert len(same_process) == 3
    assert [row["status"] for row in report(out)["files"]] == ["skipped", "done"]


def test_what_an_ended_batch_did_not_write_is_not_its_own(
    capsys, photos: Path, tmp_path: Path, same_process: list[int]
):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.splat").write_bytes(b"mine")
    row = {"input": "a", "output": str(out / "a.splat"), "status": "writing", "sha256": "0", "size": 4}
    (out / "report.jsonl").write_text(json.dumps(row) + "\n")
    status, _, err = run(capsys, "batch", photos, "--out-dir", out, "--preset", "fast", "--resume")
    assert status == 1
    assert "exists already" in err
    assert (out / "a.splat").read_bytes() == b"mine"


def test_metadata_in_a_batch_and_back(capsys, tmp_path: Path, same_process: list[int]):
    exif = Image.Exif()
    exif[0x013B] = "Ann"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.24)})
    (tmp_path / "in").mkdir()
    Image.new("RGB", (32, 24), "red").save(tmp_path / "in" / "a.jpg", exif=exif, dpi=(300, 300))
    words = ["batch", tmp_path / "in", "--preset", "fast"]
    for kept, artist, gps in (
        ((), None, False),
        (("--keep-metadata",), "Ann", False),
        (("--keep-metadata", "--keep-gps"), "Ann", True),
    ):
        out, back = tmp_path / f"out{len(kept)}", tmp_path / f"back{len(kept)}"
        assert run(capsys, *words, "--out-dir", out, *kept)[0] == 0
        assert run(capsys, "batch", out, "--to", "jpg", "--out-dir", back)[0] == 0
        with Image.open(back / "a.jpg") as image:
            found = image.getexif()
            assert found.get(0x013B) == artist
            assert bool(found.get_ifd(0x8825)) is gps
    out = tmp_path / "out0"
    assert run(capsys, *words, "--out-dir", out, "--resume", "--keep-metadata")[0] == 0  # not the same
    assert report(out)["files"][0]["status"] == "done"


def test_outputs_of_others_are_kept(capsys, photos: Path, tmp_path: Path, same_process: list[int]):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.splat").write_bytes(b"mine")
    status, _, err = run(capsys, "batch", photos, "--out-dir", out, "--preset", "fast", "--resume")
    assert status == 1
    assert "exists already" in err
    assert (out / "a.splat").read_bytes() == b"mine"
    assert (out / "sub" / "b.splat").exists()
    assert run(capsys, "batch", photos, "--out-dir", out, "--preset", "fast", "--force")[0] == 0


def test_failures_come_at_the_end_and_the_rest_is_done(
    capsys, photos: Path, tmp_path: Path, same_process: list[int]
):
    (photos / "bad.png").write_bytes(picture(tmp_path / "x.png").read_bytes()[:60])
    (photos / "empty.png").write_bytes(b"")
    out = tmp_path / "out"
    status, _, err = run(capsys, "batch", photos, "--out-dir", out, "--preset", "fast")
    assert status == 1
    lines = err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("splat2d: failed: ") for line in lines[:2])
    assert "bad.png" in err
    assert "empty.png" in err
    assert "/tmp/splat2d-" not in err
    assert lines[-1] == "splat2d: error: 2 of 4 files failed"
    assert [row["status"] for row in report(out)["files"]] == ["done", "failed", "failed", "done"]


def test_a_folder_that_changes_meanwhile(capsys, photos: Path, tmp_path: Path, monkeypatch, same_process):
    gone = picture(photos / "gone.png", 2)
    listed = items_of([str(photos)], str(tmp_path / "out"), ".splat")
    gone.unlink()
    monkeypatch.setattr("splat2d.cli._batch_files.items_of", lambda *_: listed)
    status, _, err = run(capsys, "batch", photos, "--out-dir", tmp_path / "out", "--preset", "fast")
    assert status == 1
    assert "gone.png" in err
    assert len(list((tmp_path / "out").rglob("*.splat"))) == 2


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = picture(tmp_path / "a.png")

    def read(name: str) -> bytes:
        os.utime(name, ns=(1, 1))
        return b""

    monkeypatch.setattr("splat2d.cli._batch_files.read_bytes", read)
    with pytest.raises(InputImageError, match="changed while it was read"):
        Item(str(path), "b.splat").read()


def test_what_paths_mean(photos: Path, tmp_path: Path):
    def named(*paths: Path | str, out: Path | None = None, suffix: str = ".splat") -> list[str]:
        found = items_of([str(path) for path in paths], None if out is None else str(out), suffix)
        return [os.path.relpath(item.output, tmp_path) for item in found]

    assert named(photos / "*.png", out=tmp_path) == ["a.splat"]
    assert named(photos / "**" / "*.bmp", out=tmp_path) == ["b.splat"]
    assert named(photos) == ["photos/a.splat", "photos/sub/b.splat"]
    picture(photos / "out" / "old.png")
    assert named(photos, out=photos / "out") == ["photos/out/a.splat", "photos/out/sub/b.splat"]
    with pytest.raises(ConfigError, match="no pictures or clips"):
        named(photos / "*.jpg")
    with pytest.raises(ConfigError, match=r"no \.splat files"):
        named(photos, suffix=".png")
    picture(photos / "a.bmp")
    with pytest.raises(ConfigError, match="would both become"):
        named(photos)


def test_a_digest_depends_on_input_and_settings():
    assert digest(b"a", {"x": 1, "y": 2}) == digest(b"a", {"y": 2, "x": 1})
    assert len({digest(b"a", {"x": 1}), digest(b"b", {"x": 1}), digest(b"a", {"x": 2})}) == 3


def test_clips_in_a_batch(capsys, tmp_path: Path, same_process: list[int]):
    pytest.importorskip("av")
    frames = [Image.new("RGB", (32, 24), (60 * i, 90, 90)) for i in range(3)]
    (tmp_path / "in").mkdir()
    frames[0].save(tmp_path / "in" / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    out = tmp_path / "out"
    status, _, err = run(
        capsys, "batch", tmp_path / "in", "--out-dir", out, "--preset", "fast", "--quality", 30
    )
    assert (status, err) == (0, "")
    assert splat2d.open(out / "a.splat").info()["frames"] == 3
    assert run(capsys, "batch", out, "--to", "gif", "--out-dir", tmp_path / "back")[0] == 0
    with Image.open(tmp_path / "back" / "a.gif") as image:
        assert image.n_frames == 3


def test_workers_that_die_lose_nothing(tmp_path: Path):
    tasks = [(i, functools.partial(work, i)) for i in range(6)]
    tasks.insert(2, ("once", functools.partial(die_once, tmp_path / "flag")))
    tasks.insert(4, ("always", die))
    found = dict(Processes(2).results(tasks))
    assert {key: value for key, value in found.items() if isinstance(key, int)} == {
        i: i * i for i in range(6)
    }
    assert found["once"] == "second"
    assert isinstance(found["always"], WorkerDied)
    assert "died 3 times" in str(found["always"])


def test_a_pool_that_breaks_while_tasks_are_given_to_it(monkeypatch: pytest.MonkeyPatch):
    submit, calls = ProcessPoolExecutor.submit, []

    def breaking(self, task):
        calls.append(task)
        if len(calls) == 2:
            raise BrokenProcessPool
        return submit(self, task)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", breaking)
    found = dict(Processes(2).results((i, functools.partial(work, i)) for i in range(5)))
    assert found == {i: i * i for i in range(5)}


def test_faults_of_tasks_are_results():
    found = dict(Processes(1).results([(0, functools.partial(work, "x")), (1, functools.partial(work, 3))]))
    assert isinstance(found[0], TypeError)
    assert found[1] == 9


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path):
    needs(signal.SIGINT)
    for i in range(40):
        picture(tmp_path / "in" / f"{i:02}.png", i)
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "splat2d",
        "batch",
        tmp_path / "in",
        "--out-dir",
        out,
        "--preset",
        "fast",
    ]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and len(list(out.glob("*.splat"))) < 3:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.count("\n") == 1
    assert "--resume goes on" in err
    done = [row for row in report(out)["files"] if row["status"] == "done"]
    assert 3 <= len(done) < 40
    assert sorted(row["output"] for row in done) == sorted(map(str, out.glob("*.splat")))


def test_ctrl_c_while_a_file_is_written_keeps_its_row(
    capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    needs(signal.SIGINT)
    for i in range(3):
        picture(tmp_path / "in" / f"{i}.png", i)
    begin = Records.begin

    def pressed(self: Records, *arguments: Any) -> None:
        begin(self, *arguments)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Records, "begin", pressed)
    out = tmp_path / "out"
    status, _, err = run(
        capsys, "batch", tmp_path / "in", "--out-dir", out, "--preset", "fast", "--jobs", "1"
    )
    assert status == 130
    assert err == "splat2d: interrupted; 1 of 3 files are finished; --resume goes on\n"
    assert [row["output"] for row in report(out)["files"]] == list(map(str, out.glob("*.splat")))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_scheduler_that_does_not_answer(capsys, photos: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(workers, "ANSWER", 1.0)
    status, _, err = run(capsys, "batch", photos, "--scheduler", "tcp://127.0.0.1:9")
    assert status == 1
    assert_one_line(err, "no Dask scheduler answers at tcp://127.0.0.1:9")
    assert run(capsys, "batch", photos, "--scheduler", "nonsense://x")[0] == 1
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BackendUnavailableError, match="cluster"):
        workers.Cluster("tcp://127.0.0.1:9")


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_without_workers(monkeypatch: pytest.MonkeyPatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(workers, "WORKERS", 0.5)
    with (
        distributed.LocalCluster(
            n_workers=0, processes=False, dashboard_address=None, silence_logs=50, protocol="tcp"
        ) as empty,
        pytest.raises(BackendUnavailableError, match="has no workers"),
    ):
        workers.Cluster(empty.scheduler_address)


def test_a_task_that_a_cluster_gives_up():
    scheduler = pytest.importorskip("distributed.scheduler")
    future: Future = Future()
    future.set_exception(scheduler.KilledWorker("task", None, 3))
    assert isinstance(workers._outcome(future), WorkerDied)
    future = Future()
    future.cancel()
    assert isinstance(workers._outcome(future), WorkerDied)


@pytest.fixture
def cluster():
    """Two workers, processes of their own."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as found:
        yield found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_loses_a_worker_loses_no_task(capsys, cluster, photos: Path, tmp_path: Path):
    marks = tmp_path / "marks"
    marks.mkdir()
    total, killed = 12, 0
    found: dict[int, tuple[int, int]] = {}
    with workers.workers(1, cluster.scheduler_address) as crew:
        tasks = ((i, functools.partial(marked, marks, i, 0.3)) for i in range(total))
        for key, outcome in crew.results(tasks):
            assert key not in found  # none twice
            found[key] = outcome
            if len(found) == 3:
                # At work: the worker that began last.
                last = max(marks.iterdir(), key=lambda path: int(path.name.split("-")[2]))
                killed = int(last.name.split("-")[1])
                os.kill(killed, signal.SIGKILL)
    assert found.keys() == set(range(total))  # none lost
    assert all(found[i][0] == i for i in found)
    assert len(list(marks.iterdir())) > total  # the worker was at work when it died
    assert killed in {int(path.name.split("-")[1]) for path in marks.iterdir()}

    # And through the command.
    out = tmp_path / "out"
    command = [
        "batch",
        photos,
        "--out-dir",
        out,
        "--preset",
        "fast",
        "--scheduler",
        cluster.scheduler_address,
    ]
    status, _, err = run(capsys, *command)
    assert (status, err) == (0, "")
    assert (out / "a.splat").read_bytes() == splat2d.encode(photos / "a.png", preset="fast")
    assert len(list(out.rglob("*.splat"))) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_dies_while_its_result_is_fetched(cluster, tmp_path: Path):
    tasks = [("again", functools.partial(fail_when_done_again, tmp_path / "flag"))]
    tasks += [(i, functools.partial(work, i)) for i in range(4)]
    with workers.workers(1, cluster.scheduler_address) as crew:
        found = dict(crew.results(tasks))
    assert str(found.pop("again")) == "done again"
    assert found == {i: i * i for i in range(4)}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_loses_all_workers(cluster, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "RETURN", 1.0)
    monkeypatch.setattr(workers, "LOOK", 0.2)
    with workers.workers(1, cluster.scheduler_address) as crew:
        results = crew.results((i, functools.partial(work, i, 0.1 if i == 0 else 60)) for i in range(3))
        assert next(results) == (0, 0)
        cluster.scale(0)
        with pytest.raises(BackendUnavailableError, match="has had no workers for 1 s"):
            next(results)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_segments_of_a_clip_on_a_cluster(capsys, cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    world = np.kron(rng.integers(0, 255, (6, 30, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    (tmp_path / "frames").mkdir()
    for i in range(12):
        Image.fromarray(world[:24, 2 * i : 2 * i + 32]).save(tmp_path / "frames" / f"{i:03}.png")
    words = ["encode", tmp_path / "frames", "--quality", 30, "--preset", "fast", "--fps", 25]
    monkeypatch.setattr("splat2d.fit.clip.shots.MAX_SAMPLES", 5 * 32 * 24 * 3)
    assert run(capsys, *words, tmp_path / "here.splat")[0] == 0
    address = cluster.scheduler_address
    status, _, err = run(capsys, *words, tmp_path / "there.splat", "--scheduler", address)
    assert (status, err) == (0, "")
    assert splat2d.open(tmp_path / "here.splat").info()["segments"] > 2
    assert (tmp_path / "there.splat").read_bytes() == (tmp_path / "here.splat").read_bytes()
