"""The commands on layers: what they write and say, and that bad input writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from splat2d import Scene

from ..support.command import assert_one_line, run
from ..support.layered import encoded, scene

VERBS = ("edit", "layers", "extract", "merge")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with photo.splat, cat.splat and all.splat."""
    for kind in ("photo", "cat"):
        (tmp_path / f"{kind}.splat").write_bytes(encoded(kind))
    (tmp_path / "all.splat").write_bytes(scene("all").to_bytes())
    return tmp_path


def opened(path: Path) -> Scene:
    return Scene.from_bytes(path.read_bytes())


def test_edit_in_the_order_of_the_command_line(capsys, folder: Path):
    source, output = folder / "all.splat", folder / "o.splat"
    command = ["edit", source, output, "--group", "cat", "--move", "-4,2.5", "--rotate", "15", "--move=0,1"]
    command += [
        "--group=grey",
        "--hide",
        "--about",
        "0,0",
        "--scale",
        "2",
        "--to_back",
        "--tint",
        "#ff8000,0.5",
    ]
    status, out, err = run(capsys, *command)
    assert (status, err) == (0, "")
    assert out.startswith(f"{output}: ")
    edited = opened(output)
    before = opened(source)
    assert edited["cat"].edits[1:] == ("move -4,2.5", "rotate 15 about 0,0", "move 0,1")
    assert edited["grey"].edits[1:] == ("hide", "scale 2 about 0,0", "to-back", "tint #ff8000 0.5")
    assert [layer.name for layer in edited.layers] == ["grey", "picture", "cat"]
    assert len(edited.document.steps) == len(before.document.steps) + 1
    assert output.stat().st_size - source.stat().st_size < 2 * 64


def test_edit_of_a_picture_needs_no_group(capsys, folder: Path):
    status, out, _ = run(
        capsys,
        "edit",
        folder / "photo.splat",
        folder / "o.splat",
        "--blur",
        "2",
        "--brightness=1.1",
        "--json",
    )
    figures = json.loads(out)
    assert (status, figures["steps"]) == (0, 1)
    assert 0 < figures["growth"] < 64
    assert figures["size"] == (folder / "o.splat").stat().st_size
    assert opened(folder / "o.splat")["picture"].edits == ("blur 2", "brightness 1.1")


@pytest.mark.parametrize("name", ["edit.yaml", "edit.json"])
def test_edit_script(capsys, folder: Path, name: str):
    script = [
        {"group": "cat", "move": [3, 4], "scale": 0.5, "about": [1, 2]},
        {"group": "grey", "delete": True},
    ]
    text = "- {group: cat, move: [3, 4], scale: 0.5, about: [1, 2]}\n- group: grey\n  delete: true\n"
    (folder / name).write_text(json.dumps(script) if name.endswith("json") else text)
    assert run(capsys, "edit", folder / "all.splat", folder / "o.splat", "--script", folder / name)[0] == 0
    assert (folder / "o.splat").read_bytes() == scene("all").edited(script).to_bytes()


def test_undo_and_reset_restore_the_file(capsys, folder: Path):
    source, output = folder / "all.splat", folder / "o.splat"
    assert run(capsys, "edit", source, output, "--group", "cat", "--move", "1,1", "--hide")[0] == 0
    assert run(capsys, "edit", output, output, "--group", "grey", "--hue", "40", "--force")[0] == 0
    assert run(capsys, "edit", output, folder / "u.splat", "--undo", "--undo")[0] == 0
    assert (folder / "u.splat").read_bytes() == source.read_bytes()
    photo = folder / "photo.splat"
    assert run(capsys, "edit", photo, output, "--opacity", "0.5", "--force")[0] == 0
    assert run(capsys, "edit", output, output, "--reset", "--force")[0] == 0
    assert output.read_bytes() == photo.read_bytes()
    # An undone step may be done anew in the same call.
    assert run(capsys, "edit", photo, output, "--move", "1,0", "--force")[0] == 0
    assert run(capsys, "edit", output, output, "--undo", "--move", "2,0", "--force")[0] == 0
    assert opened(output)["picture"].edits == ("move 2,0",)


def test_layers_for_people_and_for_programs(capsys, folder: Path):
    status, out, err = run(capsys, "layers", folder / "all.splat")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["name", "splats", "bytes", "box", "edits"]
    assert [line.split()[0] for line in lines[1:]] == ["grey", "cat", "picture"]  # the frontmost first
    assert "move" in lines[1]
    status, out, _ = run(capsys, "layers", folder / "all.splat", "--json", "--plot", folder / "plot.png")
    rows = json.loads(out)["layers"]
    assert [row["name"] for row in rows] == ["picture", "cat", "grey"]
    assert [row["splats"] for row in rows] == [layer.count for layer in scene("all").layers]
    assert rows[0]["box"] == [0, 0, 72, 48]
    with Image.open(folder / "plot.png") as image:
        assert image.size == (144, 96)
    assert run(capsys, "layers", folder / "all.splat", "--plot", folder / "plot.png")[0] == 1


def test_extract_and_merge(capsys, folder: Path):
    assert run(capsys, "extract", folder / "all.splat", folder / "cut.splat", "--group", "cat")[0] == 0
    alone = opened(folder / "cut.splat")
    assert (alone.channels, [layer.name for layer in alone.layers]) == (4, ["cat"])
    assert np.array_equal(alone.render(), scene("all").extract("cat").render())
    assert run(capsys, "extract", folder / "all.splat", folder / "p.splat", "--group", "picture")[0] == 0
    assert (folder / "p.splat").read_bytes() == encoded("photo")
    status, out, err = run(
        capsys, "merge", folder / "p.splat", folder / "cat.splat", folder / "m.splat", "--at", "30,24"
    )
    assert (status, err) == (0, "")
    assert out.endswith("layers picture, cat\n")  # called as its file
    merged = opened(folder / "m.splat")
    expected = scene("photo").merge(scene("cat"), at=(30, 24), names=["cat"])
    assert merged.to_bytes() == expected.to_bytes()
    status, out, _ = run(
        capsys,
        "merge",
        folder / "m.splat",
        folder / "cut.splat",
        folder / "n.splat",
        "--name",
        "dog",
        "--json",
    )
    assert json.loads(out)["layers"] == ["picture", "cat", "dog"]


def test_merging_what_has_no_alpha_is_warned_of(capsys, folder: Path):
    status, _, err = run(capsys, "merge", folder / "cat.splat", folder / "photo.splat", folder / "o.splat")
    assert status == 0
    assert err.startswith("splat2d: warning: ")
    assert "covers all" in err


def test_decode_and_info_of_layers(capsys, folder: Path):
    assert run(capsys, "decode", folder / "all.splat", folder / "o.png", "--scale", "2")[0] == 0
    with Image.open(folder / "o.png") as image:
        assert np.array_equal(np.asarray(image), scene("all").render(scale=2))
    _, out, _ = run(capsys, "info", folder / "all.splat", "--json")
    figures = json.loads(out)
    assert figures["layers"] == ["picture", "cat", "grey"]
    assert figures["edits"] == 2
    assert figures["splats"] == scene("all").count == sum(figures["tiers"])


# Bad input.

BAD = [
    (["--group", "cta", "--hide"], "no group is called 'cta'; did you mean 'cat'"),
    (["--group", "cat", "--move", "nan,0"], "move: nan is no finite number"),
    (["--group", "cat", "--scale", "0"], "without a size"),
    (["--group", "cat", "--opacity", "2"], "expected 0 to 1"),
    (["--group", "cat", "--tint", "blue"], "expected #rrggbb"),
    (["--group", "cat", "--rename", "picture"], "a group is already called 'picture'"),
    (["--hide"], "--hide concerns no layer yet; give --group, one of picture, cat, grey"),
    (["--undo", "--undo", "--undo"], "cannot undo 3 of 2 steps"),
    (["--undo", "--reset"], "contradict"),
    (["--script", "missing.yaml"], "missing.yaml: no such file"),
]


@pytest.mark.parametrize(("arguments", "part"), BAD, ids=[part[:24] for _, part in BAD])
def test_a_bad_edit_is_one_line_and_writes_nothing(capsys, folder: Path, arguments, part: str):
    before = sorted(path.name for path in folder.iterdir())
    status, out, err = run(capsys, "edit", folder / "all.splat", folder / "o.splat", *arguments)
    assert (status, out) == (1, "")
    assert_one_line(err, part)
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (
            "- {group: cat, mvoe: [1, 2]}",
            "unknown key 'mvoe' in entry 1 of the edit script; did you mean 'move'",
        ),
        ("- {group: cat, move: [1, .nan]}", "move: nan is no finite number"),
        ("- {group: cat, move: [1", "no YAML or JSON"),
        ("[" * 5000, "no YAML or JSON"),
        ("cat", "an edit script is a list of mappings"),
        ("\xff", "edit script"),
        ("- !!python/object/apply:os.getcwd []", "no YAML or JSON"),
        ("- {group: dog, hide: true}", "no group is called 'dog'"),
    ],
)
def test_a_bad_script_is_one_line_and_writes_nothing(capsys, folder: Path, text: str, part: str):
    (folder / "edit.yaml").write_bytes(text.encode("latin1"))
    status, _, err = run(
        capsys, "edit", folder / "all.splat", folder / "o.splat", "--script", folder / "edit.yaml"
    )
    assert status == 1
    assert_one_line(err, part) if part != "edit script" else assert_one_line(err)
    assert not (folder / "o.splat").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["edit", "all.splat", "o.splat"], "nothing to do"),
        (["edit", "all.splat", "o.splat", "--group", "cat"], "nothing to do"),
        (
            ["edit", "all.splat", "o.splat", "--group", "cat", "--move", "a,b"],
            "--move 'a,b' is not understood",
        ),
        (["edit", "all.splat", "o.splat", "--group", "cat", "--move"], "--move"),
        (["edit", "all.splat", "o.splat", "--group", "cat", "--about", "1", "--hide"], "expected X,Y"),
        (["edit", "all.splat", "o.splat", "--mvoe", "1,2"], "--mvoe"),
        (["extract", "all.splat", "o.splat"], "--group"),
        (["merge", "all.splat", "cat.splat", "o.splat", "--at", "1"], "expected X,Y"),
        (["merge", "all.splat", "o.splat"], "OUT"),
        (["layers"], "FILE"),
    ],
)
def test_wrong_command_lines(capsys, monkeypatch, folder: Path, arguments, part: str):
    monkeypatch.chdir(folder)
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert_one_line(err, part)
    assert not (folder / "o.splat").exists()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"hello", "not a .splat"),
        (b"\xc2SPL\x02", "format version 2"),
    ],
)
def test_bad_files(capsys, folder: Path, verb: str, content, part: str):
    bad, output = folder / "bad.splat", folder / "o.splat"
    if content is not None:
        bad.write_bytes(content)
    arguments = {
        "edit": [bad, output, "--hide"],
        "layers": [bad],
        "extract": [bad, output, "--group", "picture"],
        "merge": [folder / "photo.splat", bad, output],
    }[verb]
    status, out, err = run(capsys, verb, *arguments)
    assert (status, out) == (1, "")
    assert_one_line(err, str(bad), part)
    assert not output.exists()


def test_unknown_group_of_extract(capsys, folder: Path):
    status, _, err = run(capsys, "extract", folder / "all.splat", folder / "o.splat", "--group", "gray")
    assert status == 1
    assert_one_line(err, "no group is called 'gray'; did you mean 'grey'?", "picture, cat, grey")


@pytest.mark.parametrize("verb", VERBS[:1] + VERBS[2:])
def test_an_existing_output_is_kept(capsys, folder: Path, verb: str):
    output = folder / "o.splat"
    output.write_bytes(b"old")
    arguments = {
        "edit": [folder / "photo.splat", output, "--hide"],
        "extract": [folder / "photo.splat", output, "--group", "picture"],
        "merge": [folder / "photo.splat", folder / "cat.splat", output],
    }[verb]
    status, _, err = run(capsys, verb, *arguments)
    assert status == 1
    assert_one_line(err, "o.splat", "--force")
    assert output.read_bytes() == b"old"
    assert run(capsys, verb, *arguments, "--force")[0] == 0


def test_editing_loads_nothing_heavy(run_python, folder: Path):
    code = (
        "import sys; from splat2d.cli import main\n"
        f"assert main(['edit', {str(folder / 'all.splat')!r}, {str(folder / 'o.splat')!r}, '--group', 'cat', "
        "'--rotate', '5']) == 0\n"
        "print(sorted({'torch', 'gsplat', 'PIL', 'rich', 'typeguard', 'yaml'} & sys.modules.keys()))"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
