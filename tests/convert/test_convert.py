"""Other programs' formats: opened again in second readers, and shown by a browser where there is one."""

from __future__ import annotations

import io
import math
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

import splat2d
from splat2d.convert import formats
from splat2d.convert.painted import painted

from ..support.command import assert_one_line, run
from ..support.places import GOLDEN

RGB, CLIP = GOLDEN / "pictures" / "rgb.splat", GOLDEN / "clips" / "pan.splat"
EDITS, OBJECTS = GOLDEN / "layers" / "edits.splat", GOLDEN / "layers" / "objects.splat"
MAGICK = shutil.which("identify")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * math.log10(255**2 / max(float(np.mean((a.astype(float) - b) ** 2)), 1e-9))


def shown(path: Path) -> np.ndarray:
    """Pixels [H, W, 3] on white."""
    with Image.open(io.BytesIO(png(path))) as image:
        white = Image.new("RGBA", image.size, "white")
        return np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))


def png(path: Path) -> bytes:
    pixels = splat2d.open(path).render()
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, format="PNG")
    return file.getvalue()


def converted(path: Path, out: Path) -> Path:
    formats.export(splat2d.open(path), out)
    return out


# Layers


@pytest.mark.parametrize("path", [EDITS, OBJECTS, GOLDEN / "pictures" / "grey-alpha.splat"])
def test_painted_layers_are_tight_and_give_the_picture(path: Path):
    scene = splat2d.open(path)
    canvas = np.zeros((scene.height, scene.width, 4))
    for layer in painted(scene):
        for axis in (0, 1):
            assert np.asarray(layer.pixels[..., 3].any(axis))[[0, -1]].all()
        if layer.visible:
            place = np.s_[layer.top : layer.top + layer.pixels.shape[0]]
            place = place, np.s_[layer.left : layer.left + layer.pixels.shape[1]]
            alpha = layer.pixels[..., 3:] / 255 * layer.opacity
            color = np.concatenate([layer.pixels[..., :3] / 255, np.ones_like(alpha)], 2)
            canvas[place] = canvas[place] * (1 - alpha) + color * alpha
    merged = canvas[..., :3] + (1 - canvas[..., 3:])
    assert np.abs(255 * merged - shown(path)).max() <= 2.5


def test_ora_opens_in_a_second_reader(tmp_path: Path):
    pyora = pytest.importorskip("pyora")
    scene = splat2d.open(EDITS)["disc"].opacity(0.5).scene["copy"].hide().scene
    formats.export(scene, tmp_path / "a.ora")
    project = pyora.Project.load(str(tmp_path / "a.ora"))
    layers = list(project.iter_layers)
    assert [layer.name for layer in layers] == list(scene.document.stack.names)
    assert project.dimensions == (96, 64)
    found = {layer.name: layer for layer in layers}
    state = scene["disc"]._state
    assert found["disc"].opacity == pytest.approx(state.opacity, abs=1e-5)
    assert (found["copy"].hidden, found["disc"].hidden) == (True, False)
    for layer in painted(scene):
        assert found[layer.name].offsets == (layer.left, layer.top)
        np.testing.assert_array_equal(np.asarray(found[layer.name].get_image_data(raw=True)), layer.pixels)
    with zipfile.ZipFile(tmp_path / "a.ora") as archive:
        assert archive.namelist()[0] == "mimetype"
        assert archive.read("mimetype") == b"image/openraster"
        assert archive.infolist()[0].compress_type == zipfile.ZIP_STORED
        merged = np.asarray(Image.open(io.BytesIO(archive.read("mergedimage.png"))))
    np.testing.assert_array_equal(merged, scene.render())


@pytest.mark.filterwarnings("ignore")
def test_psd_has_layers_and_the_merged_picture(tmp_path: Path):
    psd_tools = pytest.importorskip("psd_tools")
    scene = splat2d.open(EDITS)["disc"].opacity(0.5).scene["copy"].hide().scene
    formats.export(scene, tmp_path / "a.psd")
    layers = painted(scene)
    with Image.open(tmp_path / "a.psd") as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), scene.render())
    again = list(psd_tools.PSDImage.open(tmp_path / "a.psd"))
    assert [layer.name for layer in again] == ["picture", "grau, größer", "disc", "copy"]
    assert [layer.visible for layer in again] == [True, True, True, False]
    assert again[2].opacity == round(255 * layers[2].opacity)
    np.testing.assert_array_equal(np.asarray(again[1].topil().convert("RGBA")), layers[1].pixels)


@pytest.mark.skipif(MAGICK is None, reason="needs ImageMagick")
@pytest.mark.filterwarnings("ignore")
def test_psd_opens_in_a_second_reader(tmp_path: Path):
    pytest.importorskip("psd_tools")
    path = converted(EDITS, tmp_path / "a.psd")
    layers = painted(splat2d.open(EDITS))
    listed = magick("identify", "-format", "%wx%h%O %[label]\n", path)
    listed = listed.decode("mac_roman").splitlines()
    assert listed[0].startswith("96x64+0+0")  # the merged picture
    for line, layer in zip(listed[1:], layers, strict=True):
        height, width = layer.pixels.shape[:2]
        assert line == f"{width}x{height}+{layer.left}+{layer.top} {layer.name}"
    with Image.open(io.BytesIO(magick("convert", f"{path}[3]", "png:-"))) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGBA")), layers[2].pixels)


def magick(*command: object) -> bytes:
    return subprocess.run(list(map(str, command)), capture_output=True, timeout=60, check=True).stdout


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".psd", ".ora"])
def test_as_many_layers_as_a_file_has(tmp_path: Path, suffix: str):
    scene = splat2d.open(OBJECTS).extract("left")
    (name,) = scene.document.stack.names
    edits = [{"group": name, "duplicate": f"copy {i}"} for i in range(254)]
    scene = scene.edited(edits)
    assert len(scene.layers) == 255
    if suffix == ".psd":
        pytest.importorskip("psd_tools")
    formats.export(scene, tmp_path / f"a{suffix}")
    if suffix == ".psd":
        psd_tools = pytest.importorskip("psd_tools")
        assert len(list(psd_tools.PSDImage.open(tmp_path / "a.psd"))) == 255
    else:
        with zipfile.ZipFile(tmp_path / "a.ora") as archive:
            assert len(ElementTree.fromstring(archive.read("stack.xml")).findall(".//layer")) == 255


# Vectors


def test_svg_has_a_gradient_with_a_transform_for_each_splat(tmp_path: Path):
    text = converted(RGB, tmp_path / "a.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    gradients = root.findall(".//{*}radialGradient")
    assert len(gradients) >= splat2d.Scene.from_bytes(RGB.read_bytes()).count
    scene = splat2d.Scene.from_bytes(RGB.read_bytes())
    first = gradients[0].attrib["gradientTransform"]
    a, b, c, d, x, y = map(float, re.findall(r"-?[\d.]+(?:e-?\d+)?", first))
    np.testing.assert_allclose([x, y], scene.means[0], rtol=1e-4)
    inverse = np.linalg.inv(np.array([[a, c], [b, d]]) @ np.array([[a, b], [c, d]]))
    np.testing.assert_allclose([inverse[0, 0], inverse[0, 1], inverse[1, 1]], scene.conics[0], rtol=1e-3)


def test_svg_names_layers_and_says_what_it_cannot_show(capsys, tmp_path: Path):
    status, _, err = run(capsys, "convert", EDITS, tmp_path / "a.svg")
    assert (status, err.count("\n")) == (0, 2)
    assert "clamps" in err
    titles = [e.text for e in ElementTree.parse(tmp_path / "a.svg").getroot().findall(".//{*}title")]
    assert titles == ["picture", "grau, größer", "disc", "copy"]
    assert "transparency is shown on white" in formats.export(
        splat2d.open(GOLDEN / "pictures" / "rgba.splat"), tmp_path / "b.svg"
    )


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser")
@pytest.mark.parametrize(
    ("path", "least"), [(RGB, 38), (GOLDEN / "pictures" / "grey.splat", 36), (OBJECTS, 24)]
)
def test_a_browser_shows_the_svg(tmp_path: Path, path: Path, least: float):
    converted(path, tmp_path / "a.svg")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--window-size=96,64", f"--screenshot={tmp_path / 'a.png'}", str(tmp_path / "a.svg")]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    found = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))[:64, :96]
    assert psnr(found, shown(path)) > least


def read_ply(path: Path) -> dict[str, np.ndarray]:
    head, body = path.read_bytes().split(b"end_header\n", 1)
    assert head.startswith(b"ply\nformat binary_little_endian")
    names = [line.split()[2].decode() for line in head.splitlines() if line.startswith(b"property")]
    columns = np.frombuffer(body, "<f4").reshape(-1, len(names)).T.astype(float)
    return dict(zip(names, columns, strict=True))


def drawn_over(splats: dict[str, np.ndarray], width: int, height: int) -> np.ndarray:
    """What a viewer that looks along z shows, far splats first."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    out = np.ones((height, width, 3))
    for i in np.argsort(-splats["z"], kind="stable"):
        angle = 2 * math.atan2(splats["rot_3"][i], splats["rot_0"][i])
        dx, dy = columns - splats["x"][i], rows - splats["y"][i]
        u = math.cos(angle) * dx + math.sin(angle) * dy
        v = -math.sin(angle) * dx + math.cos(angle) * dy
        q = (u / math.exp(splats["scale_0"][i])) ** 2 + (v / math.exp(splats["scale_1"][i])) ** 2
        alpha = np.exp(-q / 2)[..., None] / (1 + math.exp(-splats["opacity"][i]))
        alpha[alpha < 1 / 255] = 0
        color = [max(0.5 + 0.28209479 * splats[f"f_dc_{k}"][i], 0) for k in range(3)]
        out = out * (1 - alpha) + alpha * color
    return np.clip(255 * out + 0.5, 0, 255).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("path", "least"), [(RGB, 27), (EDITS, 28)])
def test_a_3d_viewer_shows_the_ply(tmp_path: Path, path: Path, least: float):
    pytest.importorskip("gsplat")
    splats = read_ply(converted(path, tmp_path / "a.ply"))
    assert np.abs(splats["z"]).max() < 0.01  # px: flat
    assert (splats["scale_2"] < np.log(0.02)).all()
    assert psnr(drawn_over(splats, 96, 64), shown(path)) > least


# Arrays


@pytest.mark.parametrize(
    "path",
    [
        RGB,
        OBJECTS,
        *(GOLDEN / "pictures" / f"{name}.splat" for name in ("grey", "rgba", "no-splats", "note")),
    ],
    ids=lambda path: path.stem,
)
def test_arrays_come_back_as_they_were(capsys, tmp_path: Path, path: Path):
    assert run(capsys, "convert", path, tmp_path / "a.npz")[0] == 0
    assert run(capsys, "convert", tmp_path / "a.npz", tmp_path / "b.splat")[0] == 0
    assert (tmp_path / "b.splat").read_bytes() == path.read_bytes()


def test_arrays_are_the_splats_and_may_be_changed(tmp_path: Path):
    scene = splat2d.Scene.from_bytes(RGB.read_bytes())
    converted(RGB, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        arrays = dict(archive)
    np.testing.assert_array_equal(arrays["means"], scene.means)
    np.testing.assert_array_equal(arrays["conics"], scene.conics)
    np.testing.assert_array_equal(arrays["colors"], scene.colors)
    kept = len(scene.means) // 2
    for name in ("means", "conics", "colors"):
        arrays[name] = arrays[name][:kept]
    np.savez(tmp_path / "b.npz", **arrays)
    changed = splat2d.Scene.from_bytes(formats.load(tmp_path / "b.npz"))
    np.testing.assert_array_equal(changed.means, scene.means[:kept])


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda a: a.pop("means"), "no 'means'"),
        (lambda a: a.pop("about"), "no 'about'"),
        (lambda a: a.update(means=a["means"][:3]), "one number of rows"),
        (lambda a: a.update(colors=a["colors"] * np.nan), "finite"),
        (lambda a: a.update(conics=-a["conics"]), "positive definite"),
        (lambda a: a.update(about=np.array("{")), "damaged"),
    ],
)
def test_arrays_that_are_no_picture_are_one_line(capsys, tmp_path: Path, change, part: str):
    converted(RGB, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez(tmp_path / "b.npz", **arrays)
    status, _, err = run(capsys, "convert", tmp_path / "b.npz", tmp_path / "b.splat")
    assert status == 1
    assert_one_line(err, part)
    assert not (tmp_path / "b.splat").exists()


# The command


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        ([RGB, "a.xyz"], 1, ".svg, .ply"),
        ([RGB, "a.png"], 1, "splat2d decode"),
        ([CLIP, "a.svg"], 2, "--time"),
        ([RGB, "a.svg", "--time", "0.1"], 2, "picture"),
        (["b.npz", "a.svg"], 2, ".splat only"),
        (["none.npz", "a.splat"], 1, "no such file"),
        ([GOLDEN / "broken" / "truncated.bad", "a.svg"], 1, "truncated"),
    ],
)
def test_faults_are_one_line(capsys, monkeypatch, tmp_path: Path, arguments, status: int, part: str):
    monkeypatch.chdir(tmp_path)
    found, out, err = run(capsys, "convert", *arguments)
    assert (found, out) == (status, "")
    assert_one_line(err, part)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".svg", ".ora", ".npz"])
def test_a_moment_of_a_clip(capsys, tmp_path: Path, suffix: str):
    status, _, _ = run(capsys, "convert", CLIP, tmp_path / f"a{suffix}", "--time", 0.1, "--json")
    assert status == 0
    if suffix == ".ora":
        with zipfile.ZipFile(tmp_path / "a.ora") as archive:
            merged = np.asarray(Image.open(io.BytesIO(archive.read("mergedimage.png"))))
        np.testing.assert_array_equal(merged, splat2d.open(CLIP).render(time=0.1))


def test_a_missing_library_is_one_line(capsys, monkeypatch, tmp_path: Path):
    for module, name, suffix in [("psd_tools", "psd", ".psd"), ("gsplat.exporter", "ply", ".ply")]:
        monkeypatch.setitem(__import__("sys").modules, module, None)
        status, _, err = run(capsys, "convert", RGB, tmp_path / f"a{suffix}")
        assert status == 1
        assert_one_line(err, f"splat2d[{name}]")
        assert not list(tmp_path.iterdir())
