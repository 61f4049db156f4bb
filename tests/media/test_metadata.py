"""What files say beside their pixels: told when it is dropped, kept on demand, the place on demand only."""

from __future__ import annotations

import json
import warnings
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

import splat2d
from splat2d.errors import BitstreamError
from splat2d.format.container import read, write
from splat2d.format.metadata import Metadata, read_metadata
from splat2d.media.pictures import load_picture

from ..support.clips import moving, write_clip
from ..support.command import assert_one_line, run

ARTIST, COPYRIGHT, ORIENTATION, EXIF_IFD, GPS_IFD = 0x013B, 0x8298, 0x0112, 0x8769, 0x8825
PLACE = 48.8584
XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" exif:GPSLatitude="48,51.504N" tiff:Orientation="6" xmp:Rating="5">
<exif:GPSLongitude>2,17.67E</exif:GPSLongitude></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def exif(*, place: bool = True) -> Image.Exif:
    found = Image.Exif()
    found[ARTIST], found[COPYRIGHT], found[ORIENTATION] = "Ann Example", "(c) Ann", 6
    inner = found.get_ifd(EXIF_IFD)
    inner[0x9003] = "2020:01:02 03:04:05"
    inner[0x927C] = b"maker's own " + bytes(3000)
    if place:
        found.get_ifd(GPS_IFD).update({1: "N", 2: (48.0, 51.0, 30.24)})
    return found


def photo(path, **options):
    image = Image.fromarray(moving(1)[0])
    if "exif" not in options:
        options["exif"] = exif().tobytes()
    options = {"dpi": (300, 300), "xmp": XMP, **options}
    image.save(path, **{name: value for name, value in options.items() if value is not None})
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "avif"])
def test_what_is_dropped_is_said_once(capsys, tmp_path, suffix):
    path = photo(tmp_path / f"a.{suffix}")
    status, _, err = run(capsys, "encode", path, tmp_path / "a.splat", "--preset", "fast")
    assert status == 0
    assert err.count("\n") == 1
    names = ["author", "copyright", "camera data", "GPS position"]
    names += ["resolution"] if suffix in ("jpg", "png", "tif") else []
    names += ["XMP"] if suffix in ("jpg", "webp", "avif") else []
    for name in names:
        assert name in err
    assert "--keep-metadata" in err
    status, out, _ = run(capsys, "info", tmp_path / "a.splat", "--json")
    notes = json.loads(out)["notes"]
    assert sum(note.startswith("dropped: ") for note in notes) == 1
    assert "metadata" not in json.loads(out)
    data = (tmp_path / "a.splat").read_bytes()
    assert b"Ann" not in data


def test_nothing_is_said_of_nothing(tmp_path):
    path = photo(tmp_path / "a.jpg", exif=None, xmp=None, dpi=(72, 72))
    assert load_picture(path).notes == ()
    assert load_picture(path, keep_metadata=True).metadata is None


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_of_an_image_in_memory_only_on_demand(tmp_path, suffix):
    path = photo(tmp_path / f"a.{suffix}")
    with Image.open(path) as image:
        picture = load_picture(image)
    assert (picture.metadata, picture.warnings) == (None, ())
    with Image.open(path) as image:
        picture = load_picture(image, keep_metadata=True)
    assert picture.metadata == load_picture(path, keep_metadata=True).metadata
    assert b"Ann Example" in picture.metadata.exif


def test_text_of_png_is_author_and_copyright(tmp_path):
    info = PngInfo()
    info.add_text("Author", "Ann Example")
    info.add_text("Copyright", "(c) Ann")
    Image.fromarray(moving(1)[0]).save(tmp_path / "a.png", pnginfo=info, dpi=(300, 300))
    (note,) = load_picture(tmp_path / "a.png").notes
    assert note == "dropped: resolution (300 dpi), author, copyright"
    data = splat2d.encode(tmp_path / "a.png", preset="fast", keep_metadata=True)
    found = splat2d.Scene.from_bytes(data).info()["metadata"]
    assert (found["author"], found["copyright"]) == ("Ann Example", "(c) Ann")


def kept(capsys, tmp_path, source, *words):
    path = tmp_path / "kept.splat"
    status, _, err = run(
        capsys, "encode", source, path, "--preset", "fast", "--keep-metadata", "--force", *words
    )
    assert status == 0, err
    return path, err


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_metadata_comes_back(capsys, tmp_path, suffix):
    path, err = kept(capsys, tmp_path, photo(tmp_path / "a.jpg"))
    assert "dropped: GPS position" in err
    out = run(capsys, "info", path, "--json")[1]
    found = json.loads(out)["metadata"]
    assert (found["author"], found["copyright"], found["dpi"]) == ("Ann Example", "(c) Ann", [300, 300])
    assert found["taken"] == "2020:01:02 03:04:05"
    assert "place" not in found
    assert "Ann Example" in run(capsys, "info", path)[1]
    back = tmp_path / f"back.{suffix}"
    assert run(capsys, "decode", path, back)[0] == 0
    with Image.open(back) as image:
        tags = image.getexif()
        assert (tags[ARTIST], tags[COPYRIGHT]) == ("Ann Example", "(c) Ann")
        assert tags.get(ORIENTATION, 1) == 1
        inner = tags.get_ifd(EXIF_IFD)
        assert inner[0x9003] == "2020:01:02 03:04:05"
        assert 0x927C not in inner
        assert not tags.get_ifd(GPS_IFD)
        if suffix != "webp":
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        image.load()
        xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or image.tag_v2[700]
        xmp = xmp if isinstance(xmp, bytes) else xmp.encode()
        assert b"Rating" in xmp
        assert b"GPS" not in xmp
        assert b"Orientation" not in xmp
        assert image.size == splat2d.open(path).render().shape[1::-1]
    again = load_picture(back, keep_metadata=True).metadata
    assert again is not None


def test_the_place_is_kept_only_on_demand(capsys, tmp_path):
    source = photo(tmp_path / "a.jpg")
    path, err = kept(capsys, tmp_path, source, "--keep-gps")
    assert "GPS" not in err
    assert run(capsys, "decode", path, tmp_path / "back.jpg")[0] == 0
    with Image.open(tmp_path / "back.jpg") as image:
        assert image.getexif().get_ifd(GPS_IFD)[2] == (48.0, 51.0, pytest.approx(30.24))
        assert b"GPSLatitude" in image.info["xmp"]
    status, _, err = run(capsys, "encode", source, tmp_path / "b.splat", "--keep-gps")
    assert status == 2
    assert_one_line(err, "--keep-metadata")


def test_the_name_of_a_profile(capsys, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path, _ = kept(capsys, tmp_path, photo(tmp_path / "a.jpg", icc_profile=profile, exif=None))
    assert "sRGB" in splat2d.open(path).info()["metadata"]["profile"]


def test_metadata_counts_for_a_size_and_survives_edits(capsys, tmp_path):
    path, _ = kept(capsys, tmp_path, photo(tmp_path / "a.jpg"), "--size", "1400")
    assert path.stat().st_size <= 1400
    assert run(capsys, "edit", path, tmp_path / "e.splat", "--blur", "2")[0] == 0
    assert splat2d.open(tmp_path / "e.splat").info()["metadata"]["author"] == "Ann Example"


def test_too_much_is_left_out_and_said(capsys, tmp_path):
    noise = np.random.default_rng(1).integers(33, 126, 100_000).astype(np.uint8).tobytes()
    noise = noise.replace(b"<", b"_").replace(b"&", b"_")
    long = XMP.replace(b'xmp:Rating="5"', b'xmp:Rating="5" xmp:Label="' + noise.replace(b'"', b"_") + b'"')
    path, err = kept(capsys, tmp_path, photo(tmp_path / "a.webp", xmp=long))
    assert "XMP, too long" in err
    assert splat2d.open(path).info()["metadata"]["author"] == "Ann Example"


def test_damaged_metadata_does_not_cost_the_picture(capsys, tmp_path):
    source = photo(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff", xmp=b"<x:xmpmeta GPS")
    path, _ = kept(capsys, tmp_path, source)
    assert splat2d.open(path).info()["metadata"]["dpi"] == [300, 300]


@pytest.mark.parametrize(
    "entries",
    [
        [b"\x3b\x01\x02\0\xff\0\0\0\x50\0\0\0", b"\x0f\x01\x03\0\x07\0\0\0\x01\0\0\0"],
        # Directories before the file's beginning.
        [b"\x25\x88\x09\0\x01\0\0\0\xfb\xb3\xff\xff"],
        [b"\x69\x87\x09\0\x01\0\0\0\xfb\xb3\xff\xff"],
    ],
)
def test_damaged_exif_in_a_file_is_no_fault_of_who_asks(small_splat, entries):
    exif = b"II*\0\x08\0\0\0" + len(entries).to_bytes(2, "little") + b"".join(entries)
    data = write(replace(read(small_splat), metadata=Metadata(exif)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert splat2d.Scene.from_bytes(data).info()["metadata"]["exif_bytes"] == len(exif)


def test_xml_with_entities_is_not_read(tmp_path):
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x GPS="1">&a;</x>'
    picture = load_picture(photo(tmp_path / "a.webp", xmp=bomb), keep_metadata=True)
    assert picture.metadata is not None
    assert picture.metadata.xmp == b""


def test_packets_that_give_no_picture_are_said(capsys, tmp_path):
    av = pytest.importorskip("av")
    options = {"g": "5", "bf": "0", "sc_threshold": "0"}
    made = write_clip(tmp_path / "made.mkv", moving(12), options=options)
    with av.open(str(made)) as source, av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for index, packet in enumerate(source.demux(video=0)):
            if packet.dts is not None and index:  # the first, which four others need, is lost
                packet.stream = stream
                out.mux(packet)
    status, _, err = run(capsys, "encode", tmp_path / "a.mkv", tmp_path / "a.splat", "--preset", "fast")
    assert status == 0
    said = "4 damaged packets gave no picture and had to be left out"
    assert err == f"splat2d: warning: {said}\n"
    assert said in splat2d.open(tmp_path / "a.splat").info()["notes"]
    assert run(capsys, "encode", made, tmp_path / "b.splat", "--preset", "fast")[2] == ""


# --- the section -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metadata",
    [
        Metadata(b"II*\0 and so on"),
        Metadata(xmp="ümlaut".encode()),
        Metadata(profile="Display P3"),
        Metadata(resolution=(299.9994, 72.5)),
        Metadata(texts=(("title", "Ümlaut = 1\n2"), ("what is new", ""))),
        Metadata(b"a", b"b", "c", (1.0, 2.0), (("date", "2020"),)),
    ],
)
def test_every_entry_comes_back(small_splat, metadata):
    file = replace(read(small_splat), metadata=metadata)
    data = write(file)
    assert read(data) == file
    assert read(data).metadata == metadata
    assert data.startswith(small_splat)


def test_unknown_entries_are_skipped():
    assert read_metadata(zlib.compress(b"\x63\x02xy\x03\x01p")) == Metadata(profile="p")


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"junk", "does not inflate"),
        (zlib.compress(b"\x03\x01p")[:-2], "does not inflate"),
        (zlib.compress(b"\x03\x01p") + b"more", "does not inflate"),
        (zlib.compress(bytes(65537)), "longer than 65536"),
        (zlib.compress(b"\x03\x05p"), "truncated"),
        (zlib.compress(b"\x03\x01p\x03\x01q"), "two entries"),
        (zlib.compress(b"\x02\x01\xff"), "UTF-8"),
        (zlib.compress(b"\x05\x03a=\xff"), "UTF-8"),
        (zlib.compress(b"\x05\x02ab"), "no name"),
        (zlib.compress(b"\x05\x02=b"), "no name"),
        (zlib.compress(b"\x05\x00"), "no name"),
        (zlib.compress(b"\x05\x07a=1\0a=2"), "another"),
        (zlib.compress(b"\x04\x01\x01"), "truncated"),
        (zlib.compress(b"\x04\x03\x01\x01\x01"), "resolution"),
    ],
)
def test_damage_of_the_section(payload, said):
    with pytest.raises(BitstreamError, match=said):
        read_metadata(payload)
