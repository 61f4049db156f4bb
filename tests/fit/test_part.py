"""What is finished of a clip survives everything, and is gone on with by the same input and settings only."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.errors import BackendUnavailableError, ConfigError, OutputError, ShapeError
from splat2d.fit.clip.encode import encode_frames
from splat2d.fit.clip.part import Part, open_part
from splat2d.fit.clip.shots import Shots
from splat2d.fit.config import ClipConfig
from splat2d.format.segments import storable_rate
from splat2d.media.reader import parse_fps
from splat2d.native.backend import Backend

from ..support.command import assert_one_line, run
from ..support.scenes_in_time import moving_scene

QUICK = ClipConfig(rounds=2, steps=3, final_steps=3, sweeps=1, frames=5)
PRESET = "clip:\n  rounds: 2\n  steps: 3\n  final_steps: 3\n  sweeps: 1\n  frames: 5\n"
OPTIONS = {"config": QUICK, "quality": 50, "backend": Backend(1)}


@pytest.fixture(scope="module")
def frames():
    return [(f, None) for f in moving_scene(14, pan=(1.0, 0.25))]


@pytest.fixture(scope="module")
def whole(frames):
    file = io.BytesIO()
    encode_frames(frames, Fraction(25), file, **OPTIONS)
    return file.getvalue()


@pytest.fixture(scope="module")
def finished(frames):
    """The bytes of a part in which all segments are finished."""
    part = Part()
    encode_frames(frames, Fraction(25), None, part=part, **OPTIONS)
    assert len(part.segments) == 4
    part.file.seek(0)
    return part.file.read()


def gone_on(frames, data: bytes, **options) -> tuple[bytes, Part]:
    part, file = Part(io.BytesIO(data)), io.BytesIO()
    encode_frames(frames, Fraction(25), file, part=part, **{**OPTIONS, **options})
    return file.getvalue(), part


def test_a_part_that_was_cut_anywhere_becomes_the_same_file(frames, whole, finished):
    first = Part(io.BytesIO(finished)).segments
    for end in (len(finished), len(finished) - 1, first[3].section.end + 3, first[1].section.at + 9):
        data, part = gone_on(frames, finished[:end])
        assert data == whole
        assert bool(part.warnings) == (end != len(finished))


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\xff" * 100, b"half a segment"])
def test_what_is_finished_outlives_zeros_at_the_end(frames, whole, finished, tail):
    last = Part(io.BytesIO(finished)).segments[-1]
    data, part = gone_on(frames, finished[: last.section.at] + tail)
    assert data == whole
    assert "behind frame" in part.warnings[0]


def test_a_damaged_segment_costs_those_behind_it_only(frames, whole, finished):
    damaged = bytearray(finished)
    place = Part(io.BytesIO(finished)).segments[2].section
    damaged[place.at + 20] ^= 1
    part = Part(io.BytesIO(bytes(damaged)))
    assert len(part.segments) == 2
    assert gone_on(frames, bytes(damaged))[0] == whole


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 5}, "seed 0, and this is 5"),
        ({"quality": 51}, "quality 50, and this is 51"),
        ({"quality": None, "psnr": 30.0}, "quality 50, and this is none"),
        (
            {"config": ClipConfig(rounds=2, steps=4, final_steps=3, sweeps=1, frames=5)},
            "steps 3, and this is 4",
        ),
        ({"preset": "fast"}, "preset default, and this is fast"),
    ],
)
def test_other_settings_are_refused(frames, finished, change, told):
    with pytest.raises(ConfigError) as caught:
        gone_on(frames, finished, **change)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_rate_or_size_is_refused(frames, finished):
    with pytest.raises(ConfigError, match="rate 25, and this is 24"):
        encode_frames(frames, Fraction(24), None, part=Part(io.BytesIO(finished)), **OPTIONS)
    smaller = [(np.ascontiguousarray(f[:32]), t) for f, t in frames]
    with pytest.raises(ConfigError, match="frames of 96 x 64, and this is 96 x 32"):
        gone_on(smaller, finished)


def test_another_input_is_refused(frames, finished):
    edited = [(f.copy(), t) for f, t in frames]
    edited[6][0][10, 10] ^= 1
    with pytest.raises(ConfigError, match="frames 4 to 8 differ"):
        gone_on(edited, finished)
    times = [(f, Fraction(i, 20)) for i, (f, _) in enumerate(frames)]
    with pytest.raises(ConfigError, match="frames 0 to 4 differ"):
        gone_on(times, finished)


def test_a_foreign_file_is_kept(tmp_path, whole):
    for content in (b"my thesis", b"\0" * 100, whole):
        path = tmp_path / "out.splat.part"
        path.write_bytes(content)
        for options in ({}, {"resume": True}, {"force": True}):
            with pytest.raises(OutputError, match="is kept; move it away"), open_part(str(path), **options):
                pass
            assert path.read_bytes() == content


@pytest.mark.skipif(os.name != "posix", reason="needs links and locks of POSIX")
def test_a_link_is_not_followed_and_a_part_in_use_is_not_shared(tmp_path, finished):
    (tmp_path / "elsewhere").write_bytes(finished)
    link = tmp_path / "link.part"
    link.symlink_to("elsewhere")
    with pytest.raises(OutputError, match="symbolic link"), open_part(str(link), force=True):
        pass
    assert (tmp_path / "elsewhere").read_bytes() == finished
    path = str(tmp_path / "a.part")
    with open_part(path):
        assert os.path.exists(path)
        for options in ({}, {"resume": True}, {"force": True}):
            with pytest.raises(OutputError, match="another encode"), open_part(path, **options):
                pass
    assert not os.path.exists(path)


def test_nothing_is_left_of_an_encode_without_a_finished_segment(tmp_path):
    path = tmp_path / "a.part"
    with pytest.raises(ZeroDivisionError), open_part(str(path)) as part:
        part.begin(b"head", b"times", {"never": 1 // len(part.segments)})
    assert not path.exists()


def test_a_full_disk_names_the_part(frames, finished):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = Full(finished)
    part = Part(file, name="a.part")
    with pytest.raises(OutputError, match=r"a\.part: cannot be written .*No space.*--resume goes on"):
        part._write(b"more")
    assert file.getvalue() == finished


def test_a_full_disk_in_the_end_names_output_and_part(tmp_path, monkeypatch, capsys):
    pictures = [Image.fromarray(np.full((16, 16, 3), 9 * i, np.uint8)) for i in range(3)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=100)
    words = ("encode", tmp_path / "a.gif", tmp_path / "a.splat", "--preset", "fast")

    def full(*_, **__):
        raise OutputError("a.splat: cannot be written (No space left on device)")

    with monkeypatch.context() as patch:
        patch.setattr("splat2d.media.files.write_atomic", full)
        status, _, err = run(capsys, *words)
    assert status == 1
    assert_one_line(
        err, "a.splat: cannot be written (No space left on device); the finished segments are kept"
    )
    assert "a.splat.part; --resume goes on" in err
    assert run(capsys, *words, "--resume")[0] == 0


# Rates, times and sizes that a file cannot hold.


@pytest.mark.parametrize("rate", [30000 / 1001, "29.97002997", 24000 / 1001, 59.94005994005994])
def test_rates_become_those_of_small_numbers(rate):
    found = parse_fps(rate)
    assert found.denominator == 1001
    assert abs(found - Fraction(str(rate))) < 1e-7


def test_any_rate_becomes_one_that_a_file_holds():
    rng = np.random.default_rng(0)
    for _ in range(200):
        rate = Fraction(int(rng.integers(1, 2**62)), int(rng.integers(1, 2**62))) / int(
            rng.integers(1, 2**20)
        )
        if rate < Fraction(1, 1000):
            continue
        found = storable_rate(rate)
        assert max(found.numerator, found.denominator) < 2**31
        assert abs(float(found / rate) - 1) < 1e-3
    with pytest.raises(ConfigError):
        storable_rate(Fraction(1, 10**12))


def test_a_jump_of_times_is_refused_before_it_is_fitted(frames):
    times = [Fraction(i, 25) + (95443 if i > 4 else 0) for i in range(8)]
    timed = [(f, t) for (f, _), t in zip(frames, times, strict=False)]
    with pytest.raises(ConfigError, match=r"frame 4 lasts 26\.5 h"):
        list(Shots(timed, Fraction(25), 8))


def test_long_frames_share_segments_as_far_as_a_file_can_say(frames):
    timed = [(f, Fraction(3 * 3600 * i)) for i, (f, _) in enumerate(frames)]
    shots = list(Shots(timed, Fraction(25), 8))
    assert max(len(shot.frames) for shot in shots) == 2
    assert all(sum(shot.ticks) < 2**31 for shot in shots)
    assert sum(len(shot.frames) for shot in shots) == len(frames)
    small = [(np.ascontiguousarray(f[:16, :16]), t) for f, t in timed[:5]]
    file = io.BytesIO()
    encode_frames(small, Fraction(25), file, **OPTIONS)
    assert splat2d.Clip.from_bytes(file.getvalue()).count == 5


def test_frames_beyond_a_file_are_refused():
    with pytest.raises(ShapeError, match="too large"):
        encode_frames([(np.zeros((1, 70_000, 3), np.uint8), None)], Fraction(25), io.BytesIO(), **OPTIONS)


def test_a_pan_ends_where_a_file_does():
    from splat2d.fit.clip.camera import camera_path
    from splat2d.format.header import MAX_SIDE

    x, y = np.arange(65_600)[:, None], np.arange(48)[:, None, None]
    waves = sum(np.sin(x * 6.28 / p + i) * np.cos(y / 7 + i) for i, p in enumerate((97, 211, 53, 503)))
    wide = np.clip(128 + 35 * np.repeat(waves, 3, 2), 0, 255).astype(np.uint8)
    frames = np.stack([wide[:, 4 * i : 4 * i + 65_500] for i in range(12)])
    assert 65_500 - camera_path(frames).min() / 64 <= MAX_SIDE
    narrower = frames[:, :, :1000]
    assert camera_path(narrower)[:, 0] / 64 == pytest.approx(-4 * np.arange(12), abs=0.5)


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_below_one(frames, jobs):
    with pytest.raises(ConfigError, match="jobs"):
        encode_frames(frames, Fraction(25), io.BytesIO(), jobs=jobs, **OPTIONS)


@pytest.mark.parametrize("seed", [-1, 2**63, 10**30, 1.5, "x"])
def test_seeds_have_a_limit(frames, seed):
    with pytest.raises(ConfigError, match="seed"):
        encode_frames(frames, Fraction(25), io.BytesIO(), seed=seed, **OPTIONS)
    with pytest.raises(ConfigError, match="seed"):
        splat2d.encode(np.zeros((8, 8, 3), np.uint8), seed=seed, preset="fast")


# Processes.


@pytest.fixture(scope="module")
def folder(tmp_path_factory, frames):
    path = tmp_path_factory.mktemp("clip")
    for i, (frame, _) in enumerate(frames):
        Image.fromarray(frame).save(path / f"in_{i:03d}.png")
    (path / "quick.yaml").write_text(PRESET)
    return path


def start(folder: Path, *words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "splat2d", "encode", "in_%03d.png", *words]
    command += ["--preset", "quick.yaml", "--threads", "1"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def segments_in(path: Path) -> int:
    try:
        return len(Part(io.BytesIO(path.read_bytes())).segments)
    except (OSError, splat2d.Splat2dError, ValueError):
        return 0


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_of_jobs_outlives_its_encode(folder, stop):
    child = start(folder, "jobs.splat", "--jobs", "2", "--quality", "100", "--force")
    deadline = time.monotonic() + 60
    while not segments_in(folder / "jobs.splat.part") and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(stop)
    child.communicate(timeout=20)  # ends only when nobody holds its stdout
    assert child.returncode != 0


def test_two_encodes_of_one_output(folder):
    first = start(folder, "same.splat", "--quality", "90")
    while not (folder / "same.splat.part").exists() and first.poll() is None:
        time.sleep(0.01)
    second = start(folder, "same.splat", "--quality", "40", "--force")
    complaint = second.communicate(timeout=60)[1]
    first.communicate(timeout=60)
    assert first.returncode == 0
    if second.returncode:
        assert "another encode is writing it" in complaint
    assert splat2d.open(folder / "same.splat").count == 14


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="needs another file system")
def test_an_output_through_a_link_to_another_file_system(folder):
    elsewhere = Path("/dev/shm") / f"splat2d-test-{os.getpid()}.splat"
    (folder / "link.splat").symlink_to(elsewhere)
    try:
        child = start(folder, "link.splat", "--quality", "20", "--force")
        assert not child.communicate(timeout=60)[1]
        assert (folder / "link.splat").is_symlink()
        assert splat2d.open(elsewhere).count == 14
    finally:
        elsewhere.unlink(missing_ok=True)


def test_a_script_without_a_main_guard_is_told_so(tmp_path):
    (tmp_path / "script.py").write_text(
        "import numpy, splat2d\n"
        "splat2d.encode(numpy.zeros((3, 16, 16, 3), 'uint8'), fps=5, preset='fast', jobs=2)\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode
    assert 'needs `if __name__ == "__main__":`' in done.stderr
    assert BackendUnavailableError.__name__ in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_killed_at_random_moments_and_gone_on_with(folder):
    done = start(folder, "whole.splat", "--quality", "20")
    assert not done.communicate(timeout=60)[1]
    expected = (folder / "whole.splat").read_bytes()
    rng, part = np.random.default_rng(int(time.time())), folder / "killed.splat.part"
    finished, words = 0, ("killed.splat", "--quality", "20")
    for attempt in range(5):
        child = start(folder, *words, *(["--resume"] if attempt else []))
        time.sleep(float(rng.uniform(0.5, 2.5)))
        child.kill()
        child.communicate()
        if (folder / "killed.splat").exists():
            break
        now = segments_in(part)
        assert now >= finished
        finished = now
    else:
        child = start(folder, *words, "--resume")
        child.communicate(timeout=60)
        assert child.returncode == 0
    assert (folder / "killed.splat").read_bytes() == expected
    assert not part.exists() or child.returncode


def test_notes_do_not_break_a_size(frames):
    sizes = []
    long = os.urandom(700).hex()
    for notes in ((), ("short",), (long,), ("short", long)):
        file = io.BytesIO()
        options = {"config": QUICK, "backend": Backend(1), "total": len(frames), "size": 4000}
        encode_frames(frames, Fraction(25), file, notes=notes, **options)
        sizes.append(len(file.getvalue()))
    none, short, without, one_of_two = sizes
    assert none <= 4000 < none + 700
    assert without == none < short == one_of_two <= 4000
