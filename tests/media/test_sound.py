"""The sound of clips: from a video file into a .splat file and back, packets and times as they were."""

import io
import json
import subprocess
import sys
import tempfile
from fractions import Fraction

import numpy as np
import pytest

import splat2d
from splat2d.errors import TargetError
from splat2d.fit.clip.encode import encode_frames
from splat2d.fit.config import ClipConfig
from splat2d.format.container import parse
from splat2d.format.sections import INDEX, Source
from splat2d.format.sound import Sound, Table
from splat2d.media.reader import open_clip
from splat2d.native.backend import Backend
from splat2d.scene.clip import Clip

from ..support.command import run
from ..support.sounds import (
    COUNT,
    FLASH,
    FPS,
    RATE,
    gap_of,
    packets_of,
    payload_of,
    silent_clip,
    sound_of,
    with_section,
    write_sounding,
)

pytest.importorskip("av")

PRESET = """
rounds: 1
steps: 1
final_steps: 0
sweeps: 1
clip: {rounds: 1, steps: 2, final_steps: 1, sweeps: 1, frames: 20}
"""


@pytest.fixture
def encode(tmp_path, capsys):
    """Return what encodes a clip beside itself, and returns its path and what was said."""
    (tmp_path / "quick.yaml").write_text(PRESET)

    def encode(path, *options):
        target = path.with_suffix(".splat")
        words = ("--preset", tmp_path / "quick.yaml", "--quality", 20, "--force", *options)
        status, out, err = run(capsys, "encode", path, target, *words)
        assert status == 0, err
        return target, out, err

    return encode


SOURCES = [
    ("a.mp4", "aac", "libx264", ("mp4", "mkv", "mov", "m4v")),
    ("a.mkv", "libopus", "libx264", ("mkv", "webm", "mp4")),
    ("a.webm", "libopus", "libvpx-vp9", ("mkv", "webm")),
    ("a.mp4", "libmp3lame", "libx264", ("mp4", "mkv", "mov")),
    ("a.mov", "pcm_s16le", "libx264", ("mov", "mkv")),
    ("a.mkv", "pcm_s24le", "libx264", ("mov", "mkv")),
    ("a.mkv", "flac", "libx264", ("mp4", "mkv")),
    ("a.mkv", "ac3", "libx264", ("mp4", "mkv", "mov")),
    ("a.mp4", "alac", "libx264", ("mp4", "mkv")),
    ("a.avi", "libmp3lame", "mpeg4", ("mp4", "mkv")),
]


@pytest.mark.parametrize(("name", "audio", "video", "outputs"), SOURCES)
def test_packets_come_back_as_they_were_and_in_time(name, audio, video, outputs, encode, tmp_path, capsys):
    """Every byte of every packet, and the beep where the flash is."""
    source = write_sounding(tmp_path / name, audio, video=video)
    packets, gap = packets_of(source), gap_of(source)
    assert len(packets) >= 5
    splat, _, err = encode(source)
    assert err == ""
    for output in outputs:
        target = tmp_path / f"out.{output}"
        status, _, err = run(capsys, "decode", splat, target, "--force")
        assert (status, err) == (0, "")
        assert packets_of(target) == packets
        assert abs(gap_of(target) - gap) < 0.002


def test_samples_are_those_of_the_source(encode, tmp_path, capsys):
    """Of what a decoder drops at the beginning, as much as before, to the sample."""
    import av

    source = write_sounding(tmp_path / "a.mkv", "libopus")
    splat, _, _ = encode(source)
    assert run(capsys, "decode", splat, tmp_path / "out.webm")[0] == 0
    heard = []
    for path in (source, tmp_path / "out.webm"):
        with av.open(str(path)) as container:
            heard.append(np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], 1))
    length = min(samples.shape[1] for samples in heard)
    assert length > 38_000
    assert (heard[0][:, :length] == heard[1][:, :length]).all()


@pytest.mark.parametrize("late", [Fraction(3, 25), Fraction(-1, 5)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_sound_that_begins_later_or_sooner_stays_in_time(name, late, encode, tmp_path, capsys):
    """By an edit list, by times alone, and where nothing begins at 0."""
    source = write_sounding(tmp_path / name, late=late, at=FLASH / FPS - float(late))
    assert abs(gap_of(source)) < 0.002
    splat, _, _ = encode(source)
    for output in ("mp4", "mkv", "mov"):
        assert run(capsys, "decode", splat, tmp_path / f"out.{output}", "--force")[0] == 0
        assert abs(gap_of(tmp_path / f"out.{output}")) < 0.002


def test_sound_before_the_first_frame_is_kept_as_far_as_decoders_need_it(encode, tmp_path):
    """Of 0.2 s before the pictures, 0.1 s; so players that know no edit list begin at once."""
    source = write_sounding(tmp_path / "a.mkv", late=Fraction(-1, 5), at=0.6)
    splat, _, _ = encode(source)
    sound = Clip.open(splat).sound
    assert -0.13 < sound.start < -0.09
    packets = packets_of(source)
    assert [p.data for p in sound.packets()] == packets[len(packets) - len(sound.table) :]


def test_a_stream_of_adts_becomes_plain_aac(encode, tmp_path, capsys):
    """MPEG-TS has a header of 7 bytes before each packet, which MP4 and Matroska have once."""
    source = write_sounding(tmp_path / "a.ts")
    splat, _, _ = encode(source)
    assert Clip.open(splat).sound.track.extradata[:2] == b"\x11\x88"
    run(capsys, "decode", splat, tmp_path / "out.mp4")
    assert packets_of(tmp_path / "out.mp4") == [packet[7:] for packet in packets_of(source)]
    assert abs(gap_of(tmp_path / "out.mp4")) < 0.002


@pytest.mark.parametrize("output", ["mkv", "mp4", "webm"])
def test_sound_goes_into_a_pipe(output, encode, tmp_path):
    """Where no muxer can go back."""
    source = write_sounding(tmp_path / "a.mkv", "libopus")
    splat, _, _ = encode(source)
    words = [sys.executable, "-m", "splat2d", "decode", str(splat), "-", "--format", output]
    done = subprocess.run(words, capture_output=True, check=True)
    (tmp_path / f"out.{output}").write_bytes(done.stdout)
    assert packets_of(tmp_path / f"out.{output}") == packets_of(source)
    assert abs(gap_of(tmp_path / f"out.{output}")) < 0.01


def test_sound_stays_in_time_at_another_rate_and_longer_or_shorter_than_the_pictures(
    encode, tmp_path, capsys
):
    """`decode --fps` changes frames, not times."""
    for name, seconds in (("short.mp4", 0.5), ("long.mp4", 3.0)):
        source = write_sounding(tmp_path / name, seconds=seconds)
        splat, _, _ = encode(source)
        assert run(capsys, "decode", splat, tmp_path / f"out_{name}", "--fps", "50")[0] == 0
        assert packets_of(tmp_path / f"out_{name}") == packets_of(source)
        assert abs(gap_of(tmp_path / f"out_{name}")) <= 0.021
        assert float(Clip.open(splat).sound.duration) == pytest.approx(seconds, abs=0.05)
        assert len(list(open_clip(tmp_path / f"out_{name}"))) == 2 * COUNT


@pytest.mark.parametrize(
    ("audio", "output", "codec"),
    [("aac", "webm", "opus"), ("flac", "webm", "opus"), ("libopus", "mov", "aac")],
)
def test_what_does_not_fit_is_encoded_anew(audio, output, codec, encode, tmp_path, capsys):
    """As ffmpeg does, but with a word."""
    import av

    source = write_sounding(tmp_path / "a.mkv", audio)
    splat, _, _ = encode(source)
    status, _, err = run(capsys, "decode", splat, tmp_path / f"out.{output}")
    name = audio.removeprefix("lib")
    said = f"the sound is encoded anew: {name} does not go into this output, and becomes {codec}"
    assert (status, err) == (0, f"splat2d: warning: {said}\n")
    assert abs(gap_of(tmp_path / f"out.{output}")) < 0.01
    with av.open(str(tmp_path / f"out.{output}")) as container:
        (track,) = container.streams.audio
        assert track.codec.canonical_name == codec
        length = sum(frame.samples for frame in container.decode(track)) / track.rate
    assert length == pytest.approx(0.8, abs=0.03)
    assert run(capsys, "decode", splat, tmp_path / f"out.{output}", "--force", "--no-audio")[2] == ""


def test_gaps_are_filled_where_sound_is_encoded_anew_unless_they_are_endless(encode, tmp_path, capsys):
    """A section can say that the second half comes after years."""
    source = write_sounding(tmp_path / "a.mp4")
    splat, _, _ = encode(source)
    sound = Clip.open(splat).sound
    pts, packets = sound.table.pts.tolist(), [p.data for p in sound.packets()]
    for gap, lasts, ends in (
        (RATE, 1024, 1.8),
        (RATE * 10**4, 1024, None),
        (RATE * 10**4, RATE * 10**4, None),
    ):
        moved = [t if t < RATE // 2 else t + gap for t in pts]
        rows = [
            (t, t, lasts if t < RATE // 2 < t + 1024 else 1024, len(data), True)
            for t, data in zip(moved, packets, strict=True)
        ]
        changed = Sound(sound.track, Table.of(rows), io.BytesIO(b"".join(packets)))
        (tmp_path / "gap.splat").write_bytes(with_section(silent_clip(), payload_of(changed)))
        _, _, err = run(capsys, "decode", tmp_path / "gap.splat", tmp_path / "out.webm", "--force")
        if ends is None:
            assert "the sound is left out: its aac does not go into this output" in err
        else:
            assert "is encoded anew" in err
            reader = open_clip(tmp_path / "out.webm")
            with tempfile.TemporaryFile() as file:
                assert float(reader.sound(file).duration) == pytest.approx(ends, abs=0.05)


def test_what_has_no_sound_is_said_in_a_line(encode, tmp_path, capsys):
    """The pictures are written all the same."""
    splat, _, _ = encode(write_sounding(tmp_path / "a.mp4"))
    for output in ("out.gif", "out.apng", "out.y4m", "out.avi", "frames/"):
        status, _, err = run(capsys, "decode", splat, f"{tmp_path}/{output}")
        said = "splat2d: warning: the sound is left out: this output has none\n"
        assert (status, err) == (0, said)
        assert run(capsys, "decode", splat, f"{tmp_path}/{output}", "--force", "--no-audio")[2] == ""
    assert run(capsys, "decode", splat, tmp_path / "one.png", "--time", "0.1")[2] == ""


def test_no_audio_leaves_it_out(encode, tmp_path, capsys):
    """On the way in, and on the way out."""
    import av

    source = write_sounding(tmp_path / "a.mp4")
    splat, out, err = encode(source, "--no-audio", "--json")
    assert (json.loads(out)["sound"], err) == (None, "")
    assert Clip.open(splat).sound is None
    splat, _, _ = encode(source)
    assert Clip.open(splat).sound is not None
    assert run(capsys, "decode", splat, tmp_path / "out.mp4", "--no-audio") != 1
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio
    for verb in ("encode", "decode"):
        picture = tmp_path / "one.png"
        if verb == "encode":
            run(capsys, "decode", splat, picture, "--time", 0)
        else:
            picture = tmp_path / "one.splat"
            run(capsys, "encode", tmp_path / "one.png", picture)
        status, _, err = run(capsys, verb, picture, tmp_path / "x.out", "--no-audio")
        assert (status, err) == (2, "splat2d: error: --no-audio is for clips, and this is a picture\n")


def test_figures_tell_of_it(encode, tmp_path, capsys):
    """Those of encode, info and Python agree; bits a pixel are the pictures'."""
    source = write_sounding(tmp_path / "a.mp4")
    splat, out, _ = encode(source, "--json")
    told = json.loads(out)
    sound = Clip.open(splat).sound
    section = parse(Source(io.BytesIO(splat.read_bytes()))).sound
    assert told["sound"] == {
        "codec": "aac",
        "channels": 1,
        "rate": RATE,
        "duration": float(sound.duration),
        "packets": len(packets_of(source)),
        "bytes": section.size,
    }
    assert told["bpp"] == 8 * (told["size"] - section.size) / (48 * 32 * COUNT)
    info = json.loads(run(capsys, "info", splat, "--json")[1])
    assert info["sound"] == told["sound"]
    assert info["bpp"] == told["bpp"]
    assert (
        "sound            codec aac, channels 1, rate 48,000, duration 0.8" in run(capsys, "info", splat)[1]
    )


def test_the_table_is_small(encode, tmp_path):
    """Times and sizes of a packet take less than two bytes, beside those of the packet."""
    splat, _, _ = encode(write_sounding(tmp_path / "a.mp4", seconds=20.0))
    clip = Clip.open(splat)
    sound = clip.sound
    assert len(sound.table) > 900
    assert clip.document.container.sound.size - sound.table.bytes < 2 * len(sound.table)


def test_it_lies_behind_all_that_frames_need(encode, tmp_path):
    """A frame by the index reads nothing of it."""

    class Watched(io.BytesIO):
        def read(self, size=-1, /):
            touched.append((self.tell(), self.tell() + (size or 0)))
            return super().read(size)

    touched: list[tuple[int, int]] = []
    splat, _, _ = encode(write_sounding(tmp_path / "a.mp4", seconds=3.0))
    data = splat.read_bytes()
    place = parse(Source(io.BytesIO(data))).sound
    clip = Clip.read(Watched(data))
    clip.render(time=0.5)
    # Type and length are looked at; of what is in it nothing.
    assert not any(begin < place.end and end > place.at + 16 for begin, end in touched)
    assert next(Source(io.BytesIO(data)).sections(place.end)).kind == INDEX


def test_edits_keep_it_and_undo_is_exact(encode, tmp_path):
    """Sound is no matter of layers."""
    splat, _, _ = encode(write_sounding(tmp_path / "a.mp4"))
    clip = Clip.open(splat)
    packets = [p.data for p in clip.sound.packets()]
    moved = clip.edited([{"group": "picture", "move": [5, 0]}])
    again = Clip.from_bytes(moved.to_bytes())
    assert [p.data for p in again.sound.packets()] == packets
    place = again.document.container.sound
    last = list(Source(io.BytesIO(moved.to_bytes())).sections(place.end))
    assert [part.kind for part in last] == [INDEX]
    assert again.undo().to_bytes() == splat.read_bytes()
    assert [p.data for p in Clip.from_bytes(clip.extract("picture").to_bytes()).sound.packets()] == packets
    silent = Clip.from_bytes(silent_clip())
    merged = Clip.from_bytes(clip.merge(silent).to_bytes())
    assert [p.data for p in merged.sound.packets()] == packets
    assert Clip.from_bytes(silent.merge(clip).to_bytes()).sound is None


def test_encode_of_python(encode, tmp_path):
    """The same file, and none of it with `audio=False`."""
    source = write_sounding(tmp_path / "a.mp4")
    splat, _, _ = encode(source)
    options = {"preset": str(tmp_path / "quick.yaml"), "quality": 20}
    assert splat2d.encode(source, **options) == splat.read_bytes()
    assert Clip.from_bytes(splat2d.encode(source, audio=False, **options)).sound is None


def test_a_size_is_that_of_all(tmp_path):
    """What the sound takes, the pictures do not get."""
    sound = sound_of([bytes(1450)])
    y, x = np.mgrid[:64, :64]
    waves = [
        (np.sin(x / 3 + t) * np.cos(y / 4), np.sin((x + y) / 3), np.cos((x - y) / 2 + t)) for t in range(2)
    ]
    frames = [(np.rint(127 + 90 * np.stack(wave, -1)).astype(np.uint8), None) for wave in waves]
    config = ClipConfig(rounds=2, steps=4, final_steps=2, sweeps=1, frames=20)
    sizes = []
    for heard in (None, sound):
        file = io.BytesIO()
        encode_frames(
            frames, Fraction(25), file, size=3000, config=config, total=2, sound=heard, backend=Backend(1)
        )
        sizes.append(len(file.getvalue()))
    assert 2400 < sizes[0] <= 3000
    assert 2400 < sizes[1] <= 3000
    with pytest.raises(
        TargetError, match=f"the sound alone has {sound.size} bytes, and the file may have 900"
    ):
        encode_frames(frames, Fraction(25), file, size=900, config=config, total=2, sound=sound)


# Sources


def test_of_several_tracks_the_first_is_kept(encode, tmp_path):
    """And the others are told of."""
    source = write_sounding(tmp_path / "a.mkv", tracks=3)
    splat, _, err = encode(source)
    assert err == "splat2d: warning: of 3 audio tracks the first is kept\n"
    assert [p.data for p in Clip.open(splat).sound.packets()] == packets_of(source)


def test_another_rate_drops_it(encode, tmp_path):
    """Pictures that are shown faster do not go with it."""
    source = write_sounding(tmp_path / "a.mp4")
    splat, _, err = encode(source, "--fps", 50)
    assert "the sound is dropped: at another frame rate" in err
    assert Clip.open(splat).sound is None
    splat, _, err = encode(source, "--fps", 25)
    assert err == ""
    assert Clip.open(splat).sound is not None


def test_a_codec_that_is_not_kept_is_told_of(encode, tmp_path):
    """By name."""
    splat, _, err = encode(write_sounding(tmp_path / "a.avi", "adpcm_ms", video="mpeg4"))
    assert "splat2d: warning: the sound is dropped: its codec, adpcm_ms, cannot be kept\n" in err
    assert Clip.open(splat).sound is None


class _Packet(bytes):
    """As PyAV has it."""

    is_keyframe, is_corrupt = True, False

    def __new__(cls, data, *_):
        return super().__new__(cls, data)

    def __init__(self, data, pts, dts, duration):
        self.pts, self.dts, self.duration, self.size = pts, dts, duration, len(data)


@pytest.mark.parametrize(
    ("times", "expected", "untimed", "warned"),
    [
        ([(0, 0, 10), (10, 10, 10)], [(0, 0, 10), (10, 10, 10)], False, False),
        ([(None, None, 10), (None, None, 10)], [(0, 0, 10), (10, 10, 10)], False, True),
        ([(None, None, 0), (None, None, 0)], None, True, True),
        ([(5, None, 0), (15, None, 0)], [(5, 5, 10), (15, 15, 0)], False, False),
        ([(0, 0, 10), (0, 0, 10), (-5, -5, 10)], [(0, 0, 10), (1, 1, 10), (2, 2, 10)], False, True),
        ([(-300, -300, 10), (-105, -105, 10), (0, 0, 10)], [(-105, -105, 10), (0, 0, 10)], False, False),
    ],
)
def test_times_that_are_missing_or_do_not_rise(times, expected, untimed, warned):
    """They are made up where something tells them; what lies 0.1 s before the pictures goes."""
    from splat2d.media.sound import _Gathering

    gathering = _Gathering(Fraction(1, 1000), 0, Fraction(0))
    for pts, dts, duration in times:
        gathering.add(_Packet(b"x", pts, dts, duration))
    assert gathering.untimed == untimed
    assert bool(gathering.warnings) == warned
    if expected:
        assert [tuple(row[:3]) for row in np.reshape(gathering.rows, (-1, 5)).tolist()] == expected


def test_a_source_whose_sound_is_cut_off_is_kept_as_far_as_it_goes(encode, tmp_path):
    """A Matroska file that was being recorded ends anywhere."""
    source = write_sounding(tmp_path / "a.ts", seconds=3.0)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 3 // 4])
    splat, _, _ = encode(source)
    assert 10 < len(Clip.open(splat).sound.table) < 140
