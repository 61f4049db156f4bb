"""Names of layers: any text without control characters, the same in every version of Python."""

import pytest

from splat2d.errors import BitstreamError, ConfigError
from splat2d.format.layers import MAX_NAME, check_name, read_name
from splat2d.format.sections import Reader, varint
from splat2d.scene.picture import Scene

from ..support.command import run

GOOD = [
    "picture",
    "\u3000",
    "a\u00a0b",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\u2028",
    "\ue000",
    "\U000e0fff",
    " ",
    "x" * MAX_NAME,
]
BAD = ["", "\0", "a\nb", "\x7f", "\x85", "\x9f", "x" * (MAX_NAME + 1), "é" * 33, "\ud800"]


@pytest.mark.parametrize("name", GOOD)
def test_names_without_control_characters_are_read(name, small_splat, tmp_path, capsys):
    check_name(name)
    data = name.encode()
    assert read_name(Reader(varint(len(data)) + data)) == name
    renamed = Scene.from_bytes(small_splat).edited([{"group": "picture", "rename": name}])
    assert Scene.from_bytes(renamed.to_bytes()).layers[0].name == name
    renamed.save(tmp_path / "a.splat")
    status, out, err = run(capsys, "layers", tmp_path / "a.splat")
    assert (status, err) == (0, "")
    assert out


@pytest.mark.parametrize("name", BAD)
def test_other_names_are_refused(name):
    with pytest.raises(ConfigError, match="is no name for a layer") as caught:
        check_name(name)
    assert "\n" not in str(caught.value)
    data = name.encode(errors="surrogatepass")
    with pytest.raises(BitstreamError):
        read_name(Reader(varint(len(data)) + data))
