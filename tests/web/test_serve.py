"""The server of a folder: IIIF Image API 3.0, its limits, and what it keeps to itself."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.codec.layer import code_layer, container_of
from splat2d.draw.render import View
from splat2d.errors import ConfigError, InputImageError
from splat2d.format.container import write
from splat2d.format.header import Header
from splat2d.native import core
from splat2d.web import store as stores
from splat2d.web.iiif import info, parse
from splat2d.web.store import Cache, Store

from ..support.browser import WEB, no_browser, run
from ..support.command import assert_one_line
from ..support.command import run as run_command
from ..support.places import GOLDEN

starlette = pytest.importorskip("starlette", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")

MOST = 1 << 20


def large_picture(width: int, height: int, count: int) -> bytes:
    """A file of random splats in several parts."""
    rng = np.random.default_rng(3)
    means = (rng.random((count, 2)) * [width, height]).astype(np.float32)
    scales, angle = rng.uniform(2, 20, (count, 2)), rng.random(count) * np.pi
    c, s, (i1, i2) = np.cos(angle), np.sin(angle), (1 / scales**2).T
    conics = np.stack([c * c * i1 + s * s * i2, c * s * (i1 - i2), s * s * i1 + c * c * i2], 1)
    colors = rng.normal(0, 0.2, (count, 3)).astype(np.float32)
    header = Header(width, height, 3, 700, 10, 75, (120, 130, 140))
    integers = core().quantize(means, conics.astype(np.float32), colors, width, height, header.step, 10)
    integers = integers[(integers[:, :3] != 0).any(1)]
    return write(container_of(width, height, [code_layer("picture", header, integers)]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("served")
    (root / "sub").mkdir()
    for name, source in {"many": "pictures/many", "sub/edits": "layers/edits", "pan": "clips/pan"}.items():
        (root / f"{name}.splat").write_bytes((GOLDEN / f"{source}.splat").read_bytes())
    (root / "alpha.splat").write_bytes((GOLDEN / "pictures/rgba.splat").read_bytes())
    (root / "bad.splat").write_bytes((GOLDEN / "broken/section-checksum.bad").read_bytes())
    (root / "huge.splat").write_bytes(large_picture(9000, 6000, 60_000))
    (root / ".hidden.splat").write_bytes(b"x")
    (root / "secret.txt").write_text("secret")
    outside = tmp_path_factory.mktemp("outside") / "other.splat"
    outside.write_bytes((GOLDEN / "pictures/rgb.splat").read_bytes())
    (root / "link.splat").symlink_to(outside)
    return root


@pytest.fixture(scope="module")
def url(folder) -> Iterator[str]:
    """Of a server that is a process of its own."""
    command = [
        sys.executable,
        "-m",
        "splat2d",
        "serve",
        str(folder),
        "--port",
        "0",
        "--max-pixels",
        str(MOST),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[0].rstrip("/")
        finally:
            process.terminate()


def get(url: str, **headers: str):
    """Status, body and headers."""
    request = urllib.request.Request(url, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as fault:
        with fault:
            return fault.code, fault.read(), fault.headers


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


# Addresses.


@pytest.mark.parametrize(
    ("parts", "region", "size"),
    [
        ("full/max/0/default.jpg", (0, 0, 600, 400), (600, 400)),
        ("square/max/0/default.jpg", (100, 0, 400, 400), (400, 400)),
        ("10,20,30,40/max/0/default.jpg", (10, 20, 30, 40), (30, 40)),
        ("580,380,100,100/max/0/default.jpg", (580, 380, 20, 20), (20, 20)),
        ("pct:25,50,50,25/max/0/default.jpg", (150, 200, 300, 100), (300, 100)),
        ("full/300,/0/default.jpg", (0, 0, 600, 400), (300, 200)),
        ("full/,100/0/default.jpg", (0, 0, 600, 400), (150, 100)),
        ("full/50,60/0/default.jpg", (0, 0, 600, 400), (50, 60)),
        ("full/!60,60/0/default.jpg", (0, 0, 600, 400), (60, 40)),
        ("full/!900,900/0/default.jpg", (0, 0, 600, 400), (600, 400)),
        ("full/^!900,900/0/default.jpg", (0, 0, 600, 400), (900, 600)),
        ("full/pct:50/0/default.jpg", (0, 0, 600, 400), (300, 200)),
        ("full/^pct:200/0/default.jpg", (0, 0, 600, 400), (1200, 800)),
        ("full/^1200,/0/default.jpg", (0, 0, 600, 400), (1200, 800)),
        ("full/^max/0/default.jpg", (0, 0, 600, 400), (1254, 836)),
    ],
)
def test_regions_and_sizes(parts, region, size):
    request = parse(600, 400, *parts.split("/"), most=MOST)
    assert (request.region, request.size) == (region, size)


@pytest.mark.parametrize(
    "parts",
    [
        "600,0,10,10/max/0/default.jpg",
        "0,0,0,10/max/0/default.jpg",
        "-1,0,10,10/max/0/default.jpg",
        "0.5,0,10,10/max/0/default.jpg",
        "1,2,3/max/0/default.jpg",
        "all/max/0/default.jpg",
        "pct:100,0,10,10/max/0/default.jpg",
        "full/700,/0/default.jpg",
        "full/pct:101/0/default.jpg",
        "full/^100000,100000/0/default.jpg",
        "full/999999999999,/0/default.jpg",
        "full/0,/0/default.jpg",
        "full/,/0/default.jpg",
        "full/!5,/0/default.jpg",
        "full/pct:0.001/0/default.jpg",
        "full/full/0/default.jpg",
        "full/max/45/default.jpg",
        "full/max/-90/default.jpg",
        "full/max/x/default.jpg",
        "full/max/0/native.jpg",
        "full/max/0/default.gif",
        "full/max/0/default",
    ],
)
def test_what_is_no_request_is_refused(parts):
    with pytest.raises(ConfigError):
        parse(600, 400, *parts.split("/"), most=MOST)


def test_what_is_told_of_a_picture():
    told = info("http://x/iiif/a", 9000, 6000, most=MOST)
    assert told["profile"] == "level2"
    assert told["tiles"][0]["scaleFactors"] == [1, 2, 4, 8, 16, 32]
    assert {"width": 9000, "height": 6000} not in told["sizes"]
    assert {"width": 1125, "height": 750} in told["sizes"]


# Answers.


def test_pixels_are_those_of_splat2d(url, folder):
    scene = splat2d.open(folder / "many.splat")
    status, data, headers = get(f"{url}/iiif/many.splat/20,30,100,80/50,40/0/default.png")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert headers["Access-Control-Allow-Origin"] == "*"
    wanted = scene.render(View.resized(20, 30, 100, 80, 50, 40))
    assert np.array_equal(pixels(data), wanted)
    _, turned, _ = get(f"{url}/iiif/many.splat/20,30,100,80/50,40/!90/default.png")
    assert np.array_equal(pixels(turned), np.rot90(wanted[:, ::-1], -1))
    _, grey, _ = get(f"{url}/iiif/many.splat/full/100,/0/gray.png")
    assert pixels(grey).ndim == 2
    _, two, _ = get(f"{url}/iiif/many.splat/full/100,/0/bitonal.png")
    assert pixels(two).dtype == bool
    for kind in ("jpg", "webp"):
        assert pixels(get(f"{url}/iiif/alpha.splat/full/max/0/default.{kind}")[1]).shape[:2] == (64, 96)
    edits = splat2d.open(folder / "sub/edits.splat")
    _, data, _ = get(f"{url}/iiif/sub%2Fedits.splat/full/max/0/default.png")
    assert np.array_equal(pixels(data), edits.render())
    assert get(f"{url}/iiif/pan.splat/full/max/0/default.png")[0] == 200


def test_a_huge_picture_is_decoded_by_parts(folder, monkeypatch):
    monkeypatch.setattr(stores, "_WHOLE", 1000)
    store, whole = Store(folder), splat2d.open(folder / "huge.splat")
    entry = store.entry("huge.splat")
    assert entry is not None
    request = parse(9000, 6000, "4096,2048,512,512", "512,512", "0", "default.png", most=MOST)
    found = pixels(store.draw(entry, request))
    assert np.abs(found.astype(int) - whole.render(request.view)).max() <= 1
    kept = sum(splats.count for splats, _ in store._parts._held.values())
    assert 0 < kept < 0.6 * whole.count
    # Shrunk, the finest tiers are left out; what is seen is nearly the same.
    request = parse(9000, 6000, "full", "300,", "0", "default.png", most=MOST)
    found = pixels(store.draw(entry, request)).astype(int)
    assert np.abs(found - whole.render(request.view)).mean() < 1.5


def test_info_and_its_address(url):
    status, data, headers = get(f"{url}/iiif/sub%2Fedits.splat/info.json")
    told = json.loads(data)
    assert status == 200
    assert 'rel="profile"' in headers["Link"]
    assert told["id"] == f"{url}/iiif/sub%2Fedits.splat"
    assert get(f"{told['id']}/info.json", Accept="application/ld+json")[2]["Content-Type"].startswith(
        "application/ld+json"
    )
    # The base address leads there.
    assert json.loads(get(f"{url}/iiif/many.splat")[1])["width"] == 240
    link = get(f"{url}/iiif/many.splat/0,0,240,200/240,/0/default.jpg")[2]["Link"]
    assert f'<{url}/iiif/many.splat/full/max/0/default.jpg>;rel="canonical"' in link


def test_conditional_requests(url):
    address = f"{url}/iiif/many.splat/full/100,/0/default.jpg"
    _, _, headers = get(address)
    for told in ({"If_None_Match": headers["ETag"]}, {"If_Modified_Since": headers["Last-Modified"]}):
        assert get(address, **told)[:2] == (304, b"")
    assert get(address, If_None_Match='"other"')[0] == 200
    assert get(address, If_Modified_Since="Mon, 01 Jan 2001 00:00:00 GMT")[0] == 200
    assert get(address, If_Modified_Since="never")[0] == 200


@pytest.mark.parametrize(
    "name",
    [
        "no.splat",
        "secret.txt",
        ".hidden.splat",
        "link.splat",
        "..%2Fserved0%2Fmany.splat",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2Fetc%2Fpasswd.splat",
        "many.splat%00.splat",
        "sub",
        "%ff.splat",
    ],
)
def test_nothing_else_is_served(url, name):
    assert get(f"{url}/iiif/{name}/info.json")[0] == 404
    assert get(f"{url}/file/{name}")[0] == 404


@pytest.mark.parametrize(
    "parts",
    ["full/99999,/0/default.jpg", "9,9,0,0/max/0/default.jpg", "full/max/0/default.exe", "full", "a/b/c/d/e"],
)
def test_bad_requests_are_400(url, parts):
    status, body, _ = get(f"{url}/iiif/many.splat/{parts}")
    assert status == 400
    assert body.count(b"\n") == 1


def test_a_damaged_file_is_said_to_be(url):
    status, body, _ = get(f"{url}/iiif/bad.splat/full/max/0/default.jpg")
    assert status == 500
    assert b"checksum" in body


def test_files_page_and_list(url, folder):
    listed = json.loads(get(f"{url}/")[1])
    assert {entry["name"] for entry in listed} == {
        *("alpha.splat", "bad.splat", "huge.splat", "many.splat", "pan.splat", "sub/edits.splat")
    }
    data = (folder / "sub/edits.splat").read_bytes()
    assert get(f"{url}/file/sub/edits.splat")[:2] == (200, data)
    status, part, _ = get(f"{url}/file/sub/edits.splat", Range="bytes=10-19")
    assert (status, part) == (206, data[10:20])
    assert b"splat2d" in get(f"{url}/view/")[1]
    assert get(f"{url}/view/..%2Flocal.py")[0] == 404


def test_many_requests_at_once(url):
    found: list[int] = []

    def ask(i: int) -> None:
        found.append(get(f"{url}/iiif/many.splat/{i % 50},0,100,100/64,64/0/default.jpg")[0])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 150
    assert set(found) <= {200, 503}
    assert get(f"{url}/iiif/many.splat/info.json")[0] == 200


# What is kept.


def test_the_cache_is_bounded_and_makes_things_once():
    cache: Cache[int] = Cache(100)
    made: list[int] = []
    gate = threading.Barrier(8)

    def ask(key: int) -> None:
        gate.wait()
        assert cache.get(key, lambda: (made.append(key) or key, 40)) == key

    threads = [threading.Thread(target=ask, args=(1,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]
    for key in (2, 3):
        cache.get(key, lambda key=key: (key, 40))
    assert cache.size == 80
    assert [cache.find(key) for key in (1, 2, 3)] == [None, 2, 3]
    with pytest.raises(ZeroDivisionError):
        cache.get(4, lambda: 1 // 0)
    assert cache.get(4, lambda: (5, 1)) == 5


def test_a_file_that_changes_is_read_anew(tmp_path):
    path = tmp_path / "a.splat"
    path.write_bytes((GOLDEN / "pictures/rgb.splat").read_bytes())
    store = Store(tmp_path)
    before = store.entry("a.splat")
    assert before is not None
    assert store.size(before) == (96, 64)
    path.write_bytes((GOLDEN / "pictures/many.splat").read_bytes())
    after = store.entry("a.splat")
    assert after is not None
    assert after.tag != before.tag
    assert store.size(after) == (240, 200)


def test_command_line(capsys, tmp_path):
    with pytest.raises(InputImageError, match="no folder"):
        Store(tmp_path / "no")
    status, out, err = run_command(capsys, "serve", tmp_path / "no", "--port", "0")
    assert (status, out) == (1, "")
    assert_one_line(err, "no folder")
    assert run_command(capsys, "serve", tmp_path, "--max-pixels", "5")[0] == 2


@pytest.mark.skipif(bool(no_browser()), reason=no_browser())
@pytest.mark.skipif(
    not (WEB / "node_modules/openseadragon").is_dir(), reason="openseadragon is missing: npm ci in web"
)
def test_openseadragon_pans_through_a_huge_picture(url):
    found = json.loads(run("seadragon.mjs", f"{url}/iiif/huge.splat/info.json"))
    assert found["size"] == [9000, 6000]
    assert found["failed"] == 0
    assert found["loaded"] > found["whole"] > 0
    assert found["drawn"]
