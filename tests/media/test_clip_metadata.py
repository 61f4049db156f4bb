"""What clips say beside their frames: told when it is dropped, kept on demand, the place on its own."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.format.container import parse
from splat2d.format.sections import Source
from splat2d.media.reader import open_clip
from splat2d.media.texts import texts_of

from ..support.clips import moving
from ..support.command import assert_one_line, run

av = pytest.importorskip("av")

PLACE = "+48.8584+002.2945/"
TEXTS = {
    "title": 'Ein "Fest" = schön',
    "artist": "Ann Example",
    "copyright": "(c) Ann",
    "comment": "first line\nsecond",
    "description": "of it",
    "date": "2020-01-02T03:04:05Z",
}
SAID = "dropped: title, author, copyright, comment, description, date, GPS position"


def tagged(path, frames=3, **tags):
    """A video whose container says all that is kept, and the place."""
    with av.open(str(path), "w") as out:
        out.metadata.update({**TEXTS, "location": PLACE, **tags})
        stream = out.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for pixels in moving(frames):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def tags_of(path):
    with av.open(str(path)) as container:
        return {key.lower(): value for key, value in container.metadata.items()}


def encoded(capsys, source, target, *words, fails=False):
    status, _, err = run(capsys, "encode", source, target, "--preset", "fast", "--quality", "20", *words)
    assert (status != 0) == fails, err
    return err


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_what_is_dropped_is_said_once(capsys, tmp_path, suffix):
    source = tagged(tmp_path / f"a.{suffix}")
    err = encoded(capsys, source, tmp_path / "a.splat")
    assert err == f"splat2d: warning: {SAID}; --keep-metadata keeps what can be kept\n"
    clip = splat2d.open(tmp_path / "a.splat")
    assert clip.info()["notes"] == [SAID]
    assert "metadata" not in clip.info()
    assert b"Ann" not in (tmp_path / "a.splat").read_bytes()


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_it_comes_back(capsys, tmp_path, suffix):
    path = tmp_path / "kept.splat"
    err = encoded(capsys, tagged(tmp_path / "a.mp4"), path, "--keep-metadata")
    assert err == "splat2d: warning: dropped: GPS position\n"
    found = json.loads(run(capsys, "info", path, "--json")[1])["metadata"]
    assert (found["title"], found["author"], found["taken"]) == (
        TEXTS["title"],
        "Ann Example",
        TEXTS["date"],
    )
    assert found["comment"] == "first line second"
    assert "place" not in found
    assert "Ann Example" in run(capsys, "info", path)[1]
    back = tmp_path / f"back.{suffix}"
    status, _, err = run(capsys, "decode", path, back)
    assert (status, err) == (0, "")
    tags = tags_of(back)
    assert {name: tags[name] for name in TEXTS} == TEXTS
    assert tags["creation_time"] == "2020-01-02T03:04:05.000000Z"
    assert not any("location" in key for key in tags)
    # And once more the same, from what was written.
    again = open_clip(back, keep_metadata=True).metadata
    assert again == splat2d.open(path).document.container.metadata


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "webm"])
def test_the_place_is_kept_only_on_demand(capsys, tmp_path, suffix):
    path = tmp_path / "kept.splat"
    err = encoded(capsys, tagged(tmp_path / "a.mkv"), path, "--keep-metadata", "--keep-gps")
    assert err == ""
    assert splat2d.open(path).info()["metadata"]["place"] == "kept"
    assert PLACE not in run(capsys, "info", path)[1]
    assert run(capsys, "decode", path, tmp_path / f"b.{suffix}")[0] == 0
    assert tags_of(tmp_path / f"b.{suffix}")["location"] == PLACE


@pytest.mark.parametrize(
    ("suffix", "lost"),
    [
        ("mov", "description"),
        ("avi", "description"),
        ("y4m", "title, artist, copyright, comment, description, date"),
        ("gif", "title, artist, copyright, comment, description, date"),
        ("_%02d.png", "title, artist, copyright, comment, description, date"),
    ],
)
def test_an_output_without_a_place_for_it_is_said(capsys, tmp_path, suffix, lost):
    path = tmp_path / "kept.splat"
    encoded(capsys, tagged(tmp_path / "a.mp4"), path, "--keep-metadata")
    name = f"back{suffix}" if "%" in suffix else f"back.{suffix}"
    status, _, err = run(capsys, "decode", path, tmp_path / name)
    assert status == 0
    assert err.endswith(f"this output has no place for metadata: {lost}\n")


def test_python_keeps_it_on_demand(tmp_path):
    data = splat2d.encode(tagged(tmp_path / "a.mkv"), preset="fast", quality=20, keep_metadata=True)
    clip = splat2d.Clip.from_bytes(data)
    assert dict(clip.document.container.metadata.texts) == TEXTS


def test_edits_extracts_and_merges_keep_it(capsys, tmp_path):
    path, other = tmp_path / "kept.splat", tmp_path / "other.splat"
    encoded(capsys, tagged(tmp_path / "a.mkv"), path, "--keep-metadata")
    encoded(capsys, tagged(tmp_path / "b.mkv", artist="Ben"), other, "--keep-metadata")
    metadata = splat2d.open(path).document.container.metadata
    assert run(capsys, "edit", path, tmp_path / "e.splat", "--blur", "2")[0] == 0
    assert run(capsys, "extract", path, tmp_path / "x.splat", "--group", "picture")[0] == 0
    assert run(capsys, "merge", path, other, tmp_path / "m.splat")[0] == 0
    for name in ("e", "x", "m"):
        clip = splat2d.open(tmp_path / f"{name}.splat")
        assert clip.document.container.metadata == metadata
        assert clip.notes == ("dropped: GPS position",)


def test_an_object_that_is_extracted_is_not_the_clip(tmp_path):
    masks = np.zeros((3, *moving(3).shape[1:3]), np.float32)
    masks[:, 8:24, 8:24] = 1
    source = tagged(tmp_path / "a.mkv")
    data = splat2d.encode(source, preset="fast", quality=20, keep_metadata=True, masks={"box": masks})
    clip = splat2d.Clip.from_bytes(data)
    assert dict(clip.document.container.metadata.texts) == TEXTS
    assert clip.extract("picture").document.container.metadata == clip.document.container.metadata
    assert clip.extract("box").document.container.metadata is None


def test_it_is_found_from_the_index_and_without_it(tmp_path):
    source = tagged(tmp_path / "a.mkv")
    data = splat2d.encode(source, preset="fast", quality=20, keep_metadata=True)
    (tmp_path / "a.splat").write_bytes(data)
    with open(tmp_path / "a.splat", "rb") as file:
        assert parse(Source(file)).metadata.names == tuple(TEXTS)
    (tmp_path / "a.splat").write_bytes(data[:-3])  # into the index
    with open(tmp_path / "a.splat", "rb") as file:
        assert parse(Source(file), forgive=True).metadata.names == tuple(TEXTS)


def test_a_part_of_other_metadata_is_refused(capsys, tmp_path, monkeypatch):
    source, path = tagged(tmp_path / "a.mkv", frames=70), tmp_path / "a.splat"
    from splat2d.fit.clip import part

    add, added = part.Part.add, []

    def once(self, *arguments):
        if added:
            raise KeyboardInterrupt
        added.append(add(self, *arguments))

    words = ("--keep-metadata",)
    with monkeypatch.context() as patch:
        patch.setattr(part.Part, "add", once)
        run(capsys, "encode", source, path, "--preset", "fast", "--quality", "20", *words)
    assert (tmp_path / "a.splat.part").exists()
    for other, told in (
        ((), "this is none"),
        (("--keep-metadata", "--keep-gps"), "date, location"),
    ):
        err = encoded(capsys, source, path, "--resume", *other, fails=True)
        last = err.splitlines()[-1]
        assert "was begun with metadata title, artist, copyright, comment, description, date, and" in last
        assert told in last
    encoded(capsys, source, path, "--resume", *words)
    assert dict(splat2d.open(path).document.container.metadata.texts) == TEXTS


def test_it_counts_for_a_size(capsys, tmp_path):
    source, path = tagged(tmp_path / "a.mkv", comment="".join(map(str, range(999)))), tmp_path / "a.splat"
    words = ("encode", source, path, "--preset", "fast", "--keep-metadata")
    assert run(capsys, *words, "--size", "4000")[0] == 0
    assert path.stat().st_size <= 4000
    status, _, err = run(capsys, *words, "--size", "500", "--force")
    assert status == 1
    assert_one_line(err.splitlines(keepends=True)[-1], "metadata")


def test_images_keep_what_the_first_one_says(capsys, tmp_path):
    exif = Image.Exif()
    exif[0x013B] = "Ann Example"
    for index, frame in enumerate(moving(3)):
        Image.fromarray(frame).save(tmp_path / f"f_{index}.jpg", exif=exif.tobytes())
    err = encoded(capsys, tmp_path / "f_%d.jpg", tmp_path / "a.splat")
    assert err == "splat2d: warning: dropped: author; --keep-metadata keeps what can be kept\n"
    assert encoded(capsys, tmp_path / "f_%d.jpg", tmp_path / "b.splat", "--keep-metadata") == ""
    assert splat2d.open(tmp_path / "b.splat").info()["metadata"]["author"] == "Ann Example"
    assert run(capsys, "decode", tmp_path / "b.splat", tmp_path / "one.jpg", "--time", "0")[0] == 0
    with Image.open(tmp_path / "one.jpg") as image:
        assert image.getexif()[0x013B] == "Ann Example"


def test_animations_keep_exif(capsys, tmp_path):
    exif = Image.Exif()
    exif[0x013B] = "Ann Example"
    frames = [Image.fromarray(frame) for frame in moving(3)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], exif=exif.tobytes())
    err = encoded(capsys, tmp_path / "a.webp", tmp_path / "a.splat")
    assert err == "splat2d: warning: dropped: author; --keep-metadata keeps what can be kept\n"
    assert encoded(capsys, tmp_path / "a.webp", tmp_path / "b.splat", "--keep-metadata") == ""
    assert splat2d.open(tmp_path / "b.splat").info()["metadata"]["author"] == "Ann Example"


@pytest.mark.parametrize("place", [False, True])
def test_batches_keep_it(capsys, tmp_path, place):
    (tmp_path / "in").mkdir()
    tagged(tmp_path / "in" / "a.mkv")
    words = ["batch", tmp_path / "in", "--preset", "fast", "--quality", "20", "--keep-metadata"]
    words += ["--keep-gps"] if place else []
    assert run(capsys, *words, "--out-dir", tmp_path / "s", "--jobs", "1")[0] == 0
    kept = dict(splat2d.open(tmp_path / "s" / "a.splat").document.container.metadata.texts)
    assert kept == {**TEXTS, **({"location": PLACE} if place else {})}
    (row,) = json.loads((tmp_path / "s" / "report.json").read_text())["files"]
    assert row["warnings"] == ([] if place else ["dropped: GPS position"])
    words = ("batch", tmp_path / "s", "--to", "mkv", "--out-dir", tmp_path / "o", "--jobs", "1")
    assert run(capsys, *words)[0] == 0
    assert tags_of(tmp_path / "o" / "a.mkv")["artist"] == "Ann Example"


def test_titles_of_another_code_page_do_not_cost_the_clip(capsys, tmp_path):
    source = tagged(tmp_path / "a.avi", title="Schxn")
    data = source.read_bytes()
    assert data.count(b"Schxn") == 1
    source.write_bytes(data.replace(b"Schxn", "Schön".encode("latin-1")))
    assert encoded(capsys, source, tmp_path / "a.splat", "--keep-metadata") == ""
    assert splat2d.open(tmp_path / "a.splat").info()["metadata"]["title"] == "Sch\ufffdn"


def test_what_is_too_long_is_left_out_and_said():
    noise = "".join(map(chr, np.random.default_rng(1).integers(33, 126, 70_000)))
    metadata, dropped = texts_of({"title": "t", "comment": noise}, keep=True)
    assert metadata.texts == (("title", "t"),)
    assert dropped == ("comment, too long",)


def test_control_characters_and_empty_texts_go():
    metadata, dropped = texts_of({"TITLE": "a\0b\x1b[31mc", "comment": " \n", "genre": "x"}, keep=True)
    assert metadata.texts == (("title", "ab[31mc"),)
    assert dropped == ()


def test_phones_say_where_and_with_what():
    tags = {
        "com.apple.quicktime.location.ISO6709": PLACE,
        "com.apple.quicktime.make": "Maker",
        "com.apple.quicktime.creationdate": "2020-01-02T05:04:05+0200",
        "creation_time": "2020-01-02T03:04:05.000000Z",
    }
    assert texts_of(tags) == (None, ("date", "GPS position", "camera data"))
    metadata, dropped = texts_of(tags, keep=True)
    assert metadata.texts == (("date", "2020-01-02T05:04:05+0200"),)
    assert dropped == ("GPS position", "camera data")
    assert texts_of({}) == (None, ())
