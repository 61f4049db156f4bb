"""The browser's side: the decoder as WebAssembly in node and in Chromium, the page, and its local server."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import re
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.errors import BitstreamError, OutputError
from splat2d.format.container import sections_of
from splat2d.format.sections import CLIP, SEGMENT, TEXTURE, Source, Span, index_section, section, varint
from splat2d.native import core
from splat2d.scene.clip import Clip
from splat2d.scene.picture import Scene
from splat2d.web.bundle import FILES, STATIC, html
from splat2d.web.local import MAX_UPLOAD, LocalServer, serving

from ..support.browser import ROOT, WASM, WEB, no_browser, no_node, node, rgba, run, write_cases
from ..support.command import assert_one_line
from ..support.command import run as run_command
from ..support.golden import good
from ..support.lightfields import FAR, NEAR
from ..support.places import GOLDEN

GOOD = good()
OBJECTS = GOLDEN / "layers" / "objects.splat"

needs_node = pytest.mark.skipif(bool(no_node()), reason=no_node())
needs_browser = pytest.mark.skipif(bool(no_browser()), reason=no_browser())


# The decoder.


def test_the_page_is_small():
    sizes = {name: len(gzip.compress((STATIC / name).read_bytes())) for name in FILES}
    assert sizes["splat2d.wasm.gz"] < 150_000
    assert sum(sizes.values()) < 250_000


@needs_node
def test_golden_files_decode_to_the_same_integers_and_broken_ones_are_refused():
    assert "26 golden files decode to the manifest's integers, 8 broken ones are refused" in run(
        "golden.mjs", WASM
    )


@needs_node
def test_damaged_files_are_refused_in_words():
    said = run("fuzz.mjs", WASM, 15)
    assert "the coded splats are damaged" in said
    assert "more memory" not in said


def payload(kind=1, layers=(0,), cell=24, bands=4, directions=1, tail=b"") -> bytes:
    """Of a section of a texture."""
    gaps = b"".join(varint(b - a - 1) for a, b in zip((-1, *layers), layers, strict=False))
    return bytes([kind]) + varint(len(layers)) + gaps + bytes([cell, 16 * directions + bands, 16, 0]) + tail


@needs_node
def test_damaged_textures_are_refused_as_by_the_package(small_splat, tmp_path):
    good = payload(tail=core().encode_levels(np.full((4, 2, 2, 1), 3, np.uint8)))
    bad = [good[:4], payload(layers=()), payload(layers=(1,)), payload(cell=23), payload(bands=7)]
    bad += [payload(directions=5), bytes([1]) + varint(300), payload(tail=b"\xff" * 60)]
    cases = [payload(kind=9), good, *bad]
    paths, said = [tmp_path / f"{i}.splat" for i in range(len(cases) + 1)], []
    for path, sections in zip(paths, [*([case] for case in cases), [good, good]], strict=True):
        path.write_bytes(small_splat + b"".join(section(TEXTURE, case) for case in sections))
        try:
            splat2d.open(path)
            said.append(None)
        except BitstreamError as fault:
            said.append(str(fault).removeprefix(f"{path}: "))
    assert said[:2] == [None, None]
    assert None not in said[2:]
    assert json.loads(run("refuse.mjs", WASM, *paths)) == said


@needs_node
def test_damaged_clocks_are_refused_as_by_the_package(tmp_path):
    data = (GOLDEN / "clocks" / "held.splat").read_bytes()
    source = Source(io.BytesIO(data))
    begin, (clip, held, _) = sections_of(source)
    payload = source.payload(held)
    assert payload[:5] == bytes([0, 0, 5, 16, 0x1E])  # layer, first frame, frames, flags, clock
    heads = [
        (5, 16, 0x1E),
        (5, 16, 0x1F),
        (5, 16, 0x3E),
        (5, 16, 0),
        (5, 24, 0x1E),
        (5, 48, 0x1E),
        (1, 16, 0),
    ]
    payloads = [*(bytes([0, 0, *head]) + payload[5:] for head in heads), bytes([0, 0, 9, 16, 0xFE])]
    paths, said = [tmp_path / f"{i}.splat" for i in range(len(payloads))], []
    for path, own in zip(paths, payloads, strict=True):
        segment = section(SEGMENT, own)
        entries = [(CLIP, clip.size, None), (SEGMENT, len(segment), Span(0, 0, own[2], 0))]
        path.write_bytes(data[:begin] + source.read(clip.at, clip.size) + segment + index_section(entries))
        try:
            with Clip.open(path) as found:
                found.segment(0)
            said.append(None)
        except BitstreamError as fault:
            said.append(str(fault).removeprefix(f"{path}: "))
    assert said[0] is None
    assert None not in said[1:]
    assert json.loads(run("refuse.mjs", WASM, *paths)) == said


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    # In the repository: the test's server serves nothing else.
    folder = ROOT / "build" / "web-test" / tmp_path_factory.getbasetemp().name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def cases(folder) -> Path:
    return write_cases(folder, GOLDEN, GOOD)


def assert_near(found: list[dict], least: int) -> None:
    assert len(found) >= least
    assert any("textured" in case["file"] for case in found)
    assert {case["scale"] for case in found} == {0.5, 1, 2}
    far = [case for case in found if max(case["worst"], case.get("canvas", 0)) > 2]
    assert far == []


@needs_node
def test_pixels_without_a_gpu_are_within_two_levels(cases):
    assert_near(json.loads(run("pixels.mjs", WASM, cases)), 3 * len(GOOD))


@needs_browser
def test_pixels_by_webgl_are_within_two_levels(cases):
    found = json.loads(run("pixels-browser.mjs", WASM, cases))
    assert {case["half"] for case in found["cases"]} == {False, True}
    assert_near(found["cases"], 6 * len(GOOD))


# The page.


@needs_browser
def test_a_person_looks_around_in_a_light_field(tmp_path):
    found = json.loads(run("eyes.mjs", tmp_path))
    assert found["errors"] == []
    assert found["hidden"] == [False, True]  # of a light field, of a picture
    assert found["views"].split() == ["3", "\N{MULTIPLICATION SIGN}", "2"]
    scene = Scene.from_bytes((GOLDEN / "lightfields/grid.splat").read_bytes())
    for name in ("middle", "dragged", "slid"):
        eye = found["eyes"][name]
        drawn = np.frombuffer((tmp_path / f"{name}.raw").read_bytes(), np.uint8).reshape(48, 64, 4)
        assert np.abs(drawn[..., :3].astype(int) - scene.render(view=tuple(eye))).max() <= 2, name
    # With a drag goes what is near; with Alt, or with V, it pans, and the eye stays.
    assert found["eyes"]["middle"] == [0, 0]
    assert found["eyes"]["dragged"][0] > 0.3
    assert abs(found["eyes"]["dragged"][1]) < 0.05
    assert found["panned"] == [[True, 0], [True, 0]]
    # A click through the lens focuses on the square, or on the wall behind it.
    assert found["focus"]["square"] == pytest.approx(NEAR, abs=0.3)
    assert found["focus"]["wall"] == pytest.approx(FAR, abs=0.3)
    for name, focus in found["focus"].items():
        drawn = np.frombuffer((tmp_path / f"{name}.raw").read_bytes(), np.uint8).reshape(48, 64, 4)
        seen = scene.refocused(focus, view=found["eyes"][name])
        assert np.abs(drawn[..., :3].astype(int) - seen.render()).max() <= 2, name
    assert found["element"] == [True, True]


@needs_browser
def test_the_page_is_built_from_its_sources(tmp_path):
    if not (WEB / "node_modules/esbuild").is_dir():
        pytest.skip("esbuild is missing: npm ci in web")
    subprocess.run([str(node()), "build.mjs", str(tmp_path)], cwd=WEB, check=True)
    for name in ("index.html", "viewer.js", "viewer.css"):
        assert (tmp_path / name).read_bytes() == (STATIC / name).read_bytes(), f"{name}: run make web"


@needs_browser
def test_a_person_uses_the_page(tmp_path):
    found = json.loads(run("viewer.mjs", tmp_path))
    assert found["errors"] == []
    assert found["renderer"] == "webgl2"
    assert found["layers"] == ["right", "left", "picture"]
    assert found["picked"] == "right"
    assert (found["moved"], found["undone"], found["redone"]) == ([-8, -4], [0, 0], [-8, -4])
    assert found["steps"] == [[["move", 2, -8, -4]], [["saturation", 2, 0.3]]]
    assert found["nudged"] == [-9, -4]
    assert found["unnamed"] == []
    assert found["restored"]
    assert found["zoomed"]["zoom"] > 10
    assert found["zoomed"]["shift"] < 1e-3
    assert re.match(r"30\.\d, 20\.\d: \d+ \d+ \d+ 255", found["pixel"])
    assert found["phone"] == ["cpu", True]
    assert found["clip"] == ["0.00 s, frame 1 of 9", "0.04 s, frame 2 of 9", "0.44 s, frame 9 of 9"]
    assert found["played"] == ["Pause", True]
    assert found["rated"] == [True, True]
    assert found["chosen"] == "many.splat"
    assert found["compared"] == f"compared with {(GOLDEN / 'pictures/rgb.splat').stat().st_size} bytes"
    assert found["beside"] == [0, 0, True, True]
    tiers, *rest = found["lost"]
    assert 1 <= tiers < 6
    assert rest == [None, False, True]
    assert found["element"] == {
        "width": 384,
        "height": 256,
        "label": "an eye",
        "drawn": True,
        "failed": "404 Not Found",
    }

    # What it refuses stays what it says, and what was open stays open.
    assert found["kept"] == "objects.splat"
    assert found["refused"]["empty"].endswith("it is empty (0 bytes)")
    assert "3D .splat file from another program" in found["refused"]["three"]
    assert found["refused"]["cut"].startswith("truncated in section 0x01")
    assert found["refused"]["newer"] == "format version 2; this reader knows version 1"
    assert found["refused"]["large"].startswith("truncated")
    assert "404" in found["broken"]

    # The saved file is the one that splat2d writes for the same edits.
    wanted = splat2d.open(OBJECTS)["right"].move(-8, -4).scene["right"].saturation(0.3).scene
    saved = (tmp_path / "saved.splat").read_bytes()
    assert saved == wanted.to_bytes()
    with Image.open(tmp_path / "export.png") as image:
        drawn = np.asarray(image.convert("RGBA")).astype(int)
    expected = rgba(splat2d.open(tmp_path / "saved.splat").render(scale=2))
    assert np.abs(drawn - expected).max() <= 2


@needs_browser
def test_what_is_there_is_seen_while_the_rest_arrives(folder):
    rng = np.random.default_rng(3)
    shots = [np.kron(rng.integers(0, 255, (4, 6, 3)), np.ones((8, 8, 1))) for _ in range(4)]
    clip = folder / "shots.splat"
    frames = np.repeat(np.stack(shots), 8, axis=0).astype(np.uint8)
    clip.write_bytes(splat2d.encode(frames, fps=25, quality=90, preset="fast"))
    found = json.loads(run("arriving.mjs", clip))
    assert found["errors"] == []
    tiers, counts = zip(*found["picture"], strict=True)
    assert list(counts) == sorted(counts)
    assert len(set(tiers)) > 2
    assert (tiers[-1], counts[-1]) == (6, GOOD["pictures/parts.splat"]["splats"])
    whole, segments = found["first"]
    assert (whole, segments < 4) == (None, True)
    assert found["clip"] == sorted(found["clip"])
    assert found["duration"] == pytest.approx(32 / 25)
    assert found["clip"][-1] == pytest.approx(32 / 25, abs=0.1)
    assert found["other"] == ["pan.splat", "0.04 s, frame 2 of 9"]


def test_one_file_holds_page_decoder_and_picture():
    text = html(OBJECTS.read_bytes(), name='a "name" <b>.splat')
    assert 'data-name="a &quot;name&quot; &lt;b&gt;.splat"' in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert text.count("<script") == text.count("</script>")


# The local server.


@pytest.fixture
def server():
    server = LocalServer(OBJECTS)
    with serving(server):
        yield server


def ask(server: LocalServer, method: str, path: str, body: bytes | None = None, **headers: str):
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=20)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): v for name, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer
    finally:
        connection.close()


def test_the_server_gives_the_page_and_one_file(server):
    status, page, answer = ask(server, "GET", "/")
    assert status == 200
    assert b"splat2d-server" in page
    assert "wasm-unsafe-eval" in answer.headers["Content-Security-Policy"]
    for name in ("viewer.js", "viewer.css", "splat2d.wasm.gz"):
        assert ask(server, "GET", f"/{name}")[:2] == (200, (STATIC / name).read_bytes())
    # The decoder is compiled as it arrives, and the file is on its way before scripts run.
    told = ask(server, "GET", "/splat2d.wasm.gz")[2].headers
    assert (told["Content-Type"], told["Content-Encoding"]) == ("application/wasm", "gzip")
    assert b'<link rel="preload" href="/file/objects.splat" as="fetch" crossorigin>' in page
    assert ask(server, "GET", "/file/objects.splat")[:2] == (200, OBJECTS.read_bytes())
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "path",
    ["/file/edits.splat", "/../local.py", "/%2e%2e/local.py", "/file/..%2fedits.splat", "//etc/passwd"],
)
def test_the_server_gives_nothing_else(server, path):
    assert ask(server, "GET", path)[0] == 404


def test_the_server_is_of_this_machine_and_its_own_page_alone(server):
    assert ask(server, "GET", "/", Host="evil.example")[0] == 403
    assert ask(server, "GET", "/", Origin="http://evil.example")[0] == 403
    assert ask(server, "POST", "/encode", b"x")[0] == 403
    assert ask(server, "POST", "/encode", b"x", X_Splat2d="guess")[0] == 403


def test_a_picture_is_encoded_with_progress(server, tmp_path):
    path = tmp_path / "a.png"
    rng = np.random.default_rng(5)
    Image.fromarray(np.kron(rng.integers(0, 255, (4, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8)).save(path)
    told = {"X_Splat2d": server.token}
    status, body, _ = ask(server, "POST", "/encode?quality=40", path.read_bytes(), **told)
    assert status == 200
    lines = []
    while not (lines and "size" in lines[-1]):
        line, _, body = body.partition(b"\n")
        lines.append(json.loads(line))
    assert len(lines) > 2
    assert all(0 <= line["share"] <= 1 for line in lines[:-1])
    assert len(body) == lines[-1]["size"]
    assert splat2d.decode(body).shape == (32, 48, 3)
    assert body == splat2d.encode(path, quality=40)


def test_what_cannot_be_encoded_is_refused(server):
    told = {"X_Splat2d": server.token}
    assert json.loads(ask(server, "POST", "/encode", b"no picture", **told)[1])["error"]
    assert ask(server, "POST", "/encode?quality=0", b"x", **told)[0] == 400
    assert ask(server, "POST", "/encode?quality=good", b"x", **told)[0] == 400
    assert ask(server, "POST", "/other", b"x", **told)[0] == 404
    assert ask(server, "POST", "/encode", b"", **told)[0] == 413
    assert ask(server, "POST", "/encode", None, Content_Length=str(MAX_UPLOAD + 1), **told)[0] == 413
    with server.fitting:
        assert ask(server, "POST", "/encode", b"x", **told)[0] == 503


def test_many_at_once_are_served(server):
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(ask(server, "GET", "/")[0])) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 40


def test_a_file_that_is_not_there_and_a_port_that_is_taken(server, tmp_path, capsys):
    with pytest.raises(BitstreamError, match="no such file"):
        LocalServer(tmp_path / "no.splat")
    with pytest.raises(OutputError, match="cannot be used"):
        LocalServer(port=server.server_address[1])
    status, out, err = run_command(capsys, "view", tmp_path / "no.splat", "--no-browser")
    assert (status, out) == (1, "")
    assert_one_line(err, "no such file")
    assert run_command(capsys, "view", "--port", "70000")[0] == 2


@needs_browser
def test_the_local_page_encodes_a_picture_and_one_file_opens_alone(server, tmp_path):
    picture, page, out = tmp_path / "p.png", tmp_path / "p.html", tmp_path / "p.splat"
    rng = np.random.default_rng(7)
    Image.fromarray(rng.integers(0, 255, (4, 6, 3), np.uint8)).resize(
        (48, 32), Image.Resampling.BICUBIC
    ).save(picture)
    page.write_text(html(OBJECTS.read_bytes(), name="alone.splat"), encoding="utf-8")
    found = json.loads(run("local.mjs", server.url, page, picture, out))
    assert found["errors"] == []
    assert found["served"] == ["objects.splat", OBJECTS.stat().st_size]
    assert found["encoded"] == ["p.splat", out.stat().st_size]
    assert found["progress"]
    assert found["compared"].startswith("compared with")
    assert splat2d.open(out).render().shape == (32, 48, 3)
    assert (found["cut"], found["uncut"]) == (["picture", "thing"], ["picture"])
    assert found["inside"] == ["thing", "thing", "picture", "picture"]
    assert found["single"][:2] == ["alone.splat", OBJECTS.stat().st_size]


@needs_browser
def test_files_are_dropped_and_pasted_and_fingers_zoom(server, tmp_path):
    for name, source in {"a": "rgba", "b": "rgb", "many": "many", "parts": "parts"}.items():
        (tmp_path / f"{name}.splat").write_bytes((GOLDEN / f"pictures/{source}.splat").read_bytes())
    rng = np.random.default_rng(7)
    picture = Image.fromarray(rng.integers(0, 255, (4, 6, 3), np.uint8))
    picture.resize((240, 160), Image.Resampling.BICUBIC).save(tmp_path / "p.png")
    found = json.loads(run("actions.mjs", server.url, tmp_path))
    assert found["errors"] == []
    assert found["marked"]
    assert found["dropped"] == [(tmp_path / "b.splat").stat().st_size, False]
    # Large enough for its progress to be seen on a busy machine.
    assert found["encoded"] == [240, 160, True, True]
    assert found["left"] == ["p.splat", True]
    assert found["pasted"] == "image.splat"
    assert found["nothing"] == "neither a file nor the address of one was given"
    zoom, shift = found["pinched"]
    assert zoom == pytest.approx(2, abs=1e-6)
    assert shift < 0.1
    assert found["panned"] == [True, 0]
    splats = GOOD["pictures/parts.splat"]["splats"]
    assert found["filled"] == [True, True, True, splats, f"{splats:,}"]
    anew, worst, bright = found["slid"]
    assert anew == 0  # nothing was drawn whole
    assert worst <= 1
    assert bright
