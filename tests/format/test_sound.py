"""Sections of sound: what they hold, and what hostile ones do."""

import io
import json
import tempfile
import zlib
from fractions import Fraction

import numpy as np
import pytest

import splat2d
from splat2d.errors import BitstreamError
from splat2d.format.container import parse
from splat2d.format.sections import SOUND, Source, varint
from splat2d.format.sound import Sound, Table, Track, read_sound
from splat2d.media.reader import open_clip
from splat2d.scene.clip import Clip

from ..support.command import run
from ..support.sounds import (
    RATE,
    payload_of,
    silent_clip,
    sound_of,
    with_section,
)

pytest.importorskip("av")


def test_a_section_comes_back():
    """All numbers, those of odd tracks too."""
    rows = [(-700, -1000, 300, 5, True), (900, 900, 0, 1, False), (901, 901, 2**31, 70_000, True)]
    track = Track("opus", 44_100, 8, Fraction(3, 2**31 - 1), bytes(range(200)))
    sound = Sound(track, Table.of(rows), io.BytesIO(bytes(70_006)))
    file = io.BytesIO()
    assert sound.write(file) == sound.size == len(file.getvalue())
    back = read_sound(Source(file), Source(file).section(0))
    assert back.track == track
    for column in ("pts", "dts", "durations", "sizes", "keys"):
        assert (getattr(back.table, column) == getattr(sound.table, column)).all()
    assert [p.data for p in back.packets()] == [p.data for p in sound.packets()]


def test_the_example_of_the_format():
    """docs/FORMAT.md, section 9.5."""
    payload = payload_of(sound_of((b"\x01\x02", b"\x03")))
    head = bytes.fromhex("03 616163 80f702 01 01 80f702 02 1188 02")
    assert payload[: len(head)] == head
    size = payload[len(head)]
    table = zlib.decompress(payload[len(head) + 1 : len(head) + 1 + size])
    assert table == bytes.fromhex("00 00  80 08 80 08  00 00  04 02")
    assert payload[len(head) + 1 + size :] == b"\x01\x02\x03"


def _damaged(**changes):
    """A payload in which some parts are others."""
    parts = {
        "name": varint(3) + b"aac",
        "rate": varint(RATE),
        "channels": varint(1),
        "unit": varint(1) + varint(RATE),
        "extradata": varint(0),
        "count": varint(1),
        "columns": bytes.fromhex("00 8008 00 04"),
        "table": None,
        "packets": b"xy",
    } | changes
    table = parts["table"] or zlib.compress(parts["columns"])
    first = ("name", "rate", "channels", "unit", "extradata", "count")
    return b"".join(parts[key] for key in first) + varint(len(table)) + table + parts["packets"]


BAD = {
    "no name": {"name": varint(0)},
    "a long name": {"name": varint(33) + b"a" * 33},
    "a name of others": {"name": varint(3) + b"../"},
    "no rate": {"rate": varint(0)},
    "no channels": {"channels": varint(0)},
    "many channels": {"channels": varint(256)},
    "a unit of 0": {"unit": varint(0) + varint(1)},
    "a unit over 0": {"unit": varint(1) + varint(0)},
    "a unit above 1 s": {"unit": varint(2) + varint(1)},
    "extradata beyond the end": {"extradata": varint(60_000)},
    "much extradata": {"extradata": varint(2**17) + bytes(2**17)},
    "no packets": {"count": varint(0)},
    "too many packets": {"count": varint(2**21 + 1)},
    "more packets than rows": {"count": varint(2)},
    "no zlib": {"table": b"xxxxxxxx"},
    "a cut table": {"table": b"\x78\xda\x63"},
    "too few bytes": {"packets": b"x"},
    "too many bytes": {"packets": b"xyz"},
    "no packets at all": {"packets": b""},
    "an empty packet": {"columns": bytes.fromhex("00 8008 00 00"), "packets": b""},
    "a packet beyond the limit": {"columns": bytes.fromhex("00 8008 00 8280 8010")},
    "numbers without end": {"columns": bytes.fromhex("00 8008 00 ffffffffffff01")},
    "heard before it is decoded": {"columns": bytes.fromhex("00 8008 01 04")},
    "a time that falls": {
        "count": varint(2),
        "columns": bytes.fromhex("00 01 8008 8008 00 00 02 02").replace(b"\x00\x01", b"\x00\xff\x0f", 1),
    },
    "a bomb": {"table": zlib.compress(bytes(2**24 + 1))},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_hostile_sections_are_one_line_and_the_pictures_are_seen(change, tmp_path, capsys):
    """Whatever the section says; `info` and `decode` go on."""
    data = with_section(silent_clip(), _damaged(**change))
    clip = Clip.from_bytes(data)
    assert clip.render(frame=0).mean() == 20
    with pytest.raises(BitstreamError):
        _ = clip.sound
    (tmp_path / "bad.splat").write_bytes(data)
    status, _, err = run(capsys, "decode", tmp_path / "bad.splat", tmp_path / "out.mkv")
    assert status == 0
    assert err.startswith("splat2d: warning: the sound is left out: ")
    assert err.count("\n") == 1
    status, out, err = run(capsys, "info", tmp_path / "bad.splat", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["damaged"][0].startswith("the sound is left out: ")


def test_the_good_one_of_these_is_read():
    """The others are refused for what was changed."""
    assert [p.data for p in Clip.from_bytes(with_section(silent_clip(), _damaged())).sound.packets()] == [
        b"xy"
    ]


def test_damage_is_found_by_the_checksum(tmp_path, capsys):
    """A flipped bit in a packet: no sound, and all pictures."""
    data = bytearray(with_section(silent_clip(), payload_of(sound_of([b"abcdefgh" * 50]))))
    data[bytes(data).index(b"abcdefgh") + 100] ^= 1
    (tmp_path / "bad.splat").write_bytes(data)
    status, _, err = run(capsys, "decode", tmp_path / "bad.splat", tmp_path / "out.mkv")
    assert status == 0
    assert "the checksum of the sound does not match" in err
    assert err.count("\n") == 1


def test_batch_tells_of_it_too():
    """Damage, and what is encoded anew, are warnings of the file."""
    from splat2d.cli._jobs import decode_job

    bad = with_section(silent_clip(), _damaged(rate=varint(0)))
    made = decode_job("a.splat", bad, ".mkv", {})
    assert made.warnings[0].startswith("the sound is left out: the sound has 1 channels at 0 Hz")
    assert decode_job("a.splat", silent_clip(), ".mkv", {}).warnings == ()
    odd = with_section(silent_clip(), payload_of(sound_of([bytes(2048)], codec="pcm_s16le", extradata=b"")))
    (warning,) = decode_job("a.splat", odd, ".webm", {}).warnings
    assert warning == "the sound is encoded anew: pcm_s16le does not go into this output, and becomes opus"


@pytest.mark.parametrize(
    "track",
    [
        {"codec": "notacodec"},
        {"codec": "h264"},
        {"codec": "vorbis", "extradata": b"xx"},
        {"codec": "opus", "extradata": b""},
        {"codec": "flac", "extradata": b""},
        {"codec": "flac", "extradata": bytes(65_536)},
        {"codec": "alac", "extradata": b"x"},
        {"codec": "aac", "extradata": b"\xff" * 300},
        {"codec": "aac", "extradata": b""},
        {"codec": "pcm_s16le", "channels": 255},
        {"codec": "pcm_s24be", "rate": 2**31 - 1},
        {"codec": "mp3", "time_base": Fraction(1, 2**31 - 1)},
        {"codec": "ac3", "time_base": Fraction(1)},
        {"codec": "dts"},
        {"codec": "truehd"},
        {"codec": "eac3"},
    ],
    ids=lambda track: "-".join(map(str, track.values()))[:40],
)
@pytest.mark.parametrize("output", ["mp4", "mkv", "webm", "mov"])
def test_odd_tracks_end_in_a_file_or_a_warning(track, output, tmp_path, capsys):
    """Muxers judge them; none takes the pictures with it."""
    data = with_section(silent_clip(), payload_of(sound_of(**track)))
    (tmp_path / "odd.splat").write_bytes(data)
    status, _, err = run(capsys, "decode", tmp_path / "odd.splat", tmp_path / f"out.{output}")
    assert status == 0, err
    assert err == "" or (err.startswith("splat2d: warning: the sound ") and err.count("\n") == 1)
    assert len(list(open_clip(tmp_path / f"out.{output}"))) == 1


def test_times_at_the_far_end_of_the_format(tmp_path, capsys):
    """A packet after 68 years is no reason to wait, or to fill the disk."""
    rows = [(0, 0, 1, 3, True), (2**31 - 9, 2**31 - 9, 1, 3, True)]
    sound = Sound(Track("ac3", RATE, 1, Fraction(1)), Table.of(rows), io.BytesIO(b"onetwo"))
    (tmp_path / "far.splat").write_bytes(with_section(silent_clip(), payload_of(sound)))
    for output in ("mp4", "mkv"):
        status, _, err = run(capsys, "decode", tmp_path / "far.splat", tmp_path / f"out.{output}")
        assert status == 0, err
        assert (tmp_path / f"out.{output}").stat().st_size < 100_000


@pytest.mark.parametrize("rate", [1, 2**31 - 1])
def test_rates_that_no_sound_has_are_not_encoded_anew(rate):
    """A kilobyte would be an hour, or the filter between the rates larger than memory."""
    from splat2d.media.recode import recoded

    sound = sound_of([bytes(4000)], codec="pcm_s16le", extradata=b"", rate=rate)
    with tempfile.TemporaryFile() as file:
        assert recoded(sound, "opus", file) is None
    usual = sound_of([bytes(4000)], codec="pcm_s16le", extradata=b"")
    with tempfile.TemporaryFile() as file:
        assert recoded(usual, "opus", file).duration == pytest.approx(2000 / RATE, abs=0.03)


@pytest.mark.parametrize("output", ["mp4", "mov", "mkv"])
def test_a_packet_that_does_not_go_in_leaves_the_pictures_alone(output, tmp_path, capsys):
    """A length that MP4 cannot say, of the second; its muxer finds out when it ends the file."""
    rows = [(0, 0, 1, 3, True), (1, 1, 2**31 - 1, 3, True)]
    sound = Sound(Track("mp3", RATE, 1, Fraction(1)), Table.of(rows), io.BytesIO(b"onetwo"))
    (tmp_path / "odd.splat").write_bytes(with_section(silent_clip(), payload_of(sound)))
    status, _, err = run(capsys, "decode", tmp_path / "odd.splat", tmp_path / f"out.{output}")
    assert status == 0, err
    assert len(list(open_clip(tmp_path / f"out.{output}"))) == 1


def test_two_sounds_are_one():
    """The first counts; and in a picture the section is another's."""
    data = with_section(silent_clip(), payload_of(sound_of((b"second",))))
    data = with_section(data, payload_of(sound_of((b"first",))))
    assert data.index(b"first") < data.index(b"second")
    assert [p.data for p in Clip.from_bytes(data).sound.packets()] == [b"first"]
    picture = splat2d.encode(np.zeros((8, 8, 3), np.uint8), preset="fast")
    longer = picture + bytes.fromhex("83 00") + zlib.crc32(b"\x83\x00").to_bytes(4, "little")
    assert (splat2d.decode(longer) == splat2d.decode(picture)).all()


def test_without_an_index_it_is_found_too():
    """As an encoder that was stopped, or another, may leave a file."""
    data = with_section(silent_clip(), payload_of(sound_of()))
    source = Source(io.BytesIO(data))
    index = [part for part in source.sections(parse(source).sound.at)][-1]
    assert [p.data for p in Clip.from_bytes(data[: index.at]).sound.packets()] == [b"one", b"three"]


def test_memory_of_a_long_sound_is_bounded(tmp_path):
    """Packets are read one at a time: 64 MiB of them take far less."""
    import tracemalloc

    path = tmp_path / "long.splat"
    with tempfile.TemporaryFile() as packets:
        packets.truncate(64 << 20)
        rows = [(i, i, 1, 1 << 16, True) for i in range(1024)]
        sound = Sound(Track("pcm_s16le", RATE, 2, Fraction(1, 10)), Table.of(rows), packets)
        with path.open("wb") as file:
            data = silent_clip()
            source = Source(io.BytesIO(data))
            index = list(source.sections(parse(source).places[0].section.at))[-1]
            file.write(data[: index.at])
            sound.write(file)
    tracemalloc.start()
    with Clip.open(path) as clip:
        assert sum(len(packet.data) for packet in clip.sound.packets()) == 64 << 20
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_memory_of_a_hostile_table_is_bounded():
    """Of the largest that there can be, which takes 10 kB of a file: right in its columns, and wrong."""
    import tracemalloc

    count = 2**21
    columns = bytes(count) + b"\1" * count + bytes(count) + b"\2" * count
    for payload in (
        _damaged(count=varint(count), columns=columns, packets=b""),
        _damaged(count=varint(count), columns=bytes(2**24), packets=b""),
        _damaged(count=varint(count), packets=b""),
    ):
        data = with_section(silent_clip(), payload)
        assert len(data) < 20_000
        tracemalloc.start()
        with pytest.raises(BitstreamError):
            _ = Clip.from_bytes(data).sound
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
        tracemalloc.stop()


def test_kinds_that_the_container_names():
    """The module's constants are those of docs/FORMAT.md."""
    from splat2d.format import sound

    assert (SOUND, sound.MAX_PACKETS, sound.MAX_PACKET) == (0x83, 1 << 21, 1 << 24)
    assert (sound.MAX_EXTRADATA, sound.MAX_TABLE) == (1 << 16, 1 << 24)
