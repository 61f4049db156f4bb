"""Presets: each loads, and each mistake in a YAML file is one line that names the key."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest

import splat2d
from splat2d.errors import ConfigError
from splat2d.fit.config import PRESETS, FitConfig, load_config

from ..conftest import ROOT

GOOD = {"rounds": 3, "steps": 6, "final_steps": 6, "sweeps": 2}
SWITCHES = ("natural_units", "rate_term")


@pytest.fixture
def config_file(tmp_path):
    """Write text, or settings beside the good ones, as a YAML file."""

    def make(text: str | None = None, **settings):
        path = tmp_path / "config.yaml"
        lines = [f"{key}: {value}" for key, value in {**GOOD, **settings}.items()]
        path.write_text("\n".join(lines) if text is None else text)
        return path

    return make


def refused(path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_load(preset):
    config = load_config(preset)
    assert isinstance(config, FitConfig)
    assert config == load_config(ROOT / "configs" / f"{preset}.yaml")


def test_presets_grow_in_effort():
    fast, default, best = (load_config(preset) for preset in ("fast", "default", "best"))

    def evaluations(c: FitConfig) -> float:
        return c.rounds * c.steps + c.final_steps + c.half_rounds * c.half_steps / 4

    assert evaluations(fast) < evaluations(default) < evaluations(best)
    assert fast.sweeps <= default.sweeps <= best.sweeps


def test_every_preset_has_a_file_and_every_file_is_a_preset():
    assert {path.stem for path in (ROOT / "configs").glob("*.y*ml")} == set(PRESETS)


def test_a_file_by_path_as_text_and_as_path(config_file):
    path = config_file(seed_energy=1, lagrangian=0.2)
    assert load_config(path) == load_config(str(path)) == FitConfig(**GOOD, seed_energy=1, lagrangian=0.2)
    other = path.rename(path.with_suffix(".yml"))
    assert load_config(other).lagrangian == 0.2


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FitConfig(**GOOD).rounds = 4  # pyright: ignore[reportAttributeAccessIssue]


def test_every_field_is_documented_and_nothing_else():
    documented = re.findall(r"^ {8}(\w+): ", FitConfig.__doc__ or "", re.MULTILINE)
    assert sorted(documented) == sorted(field.name for field in dataclasses.fields(FitConfig))


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(FitConfig)])
@pytest.mark.parametrize("value", ["yes", "many", "[1, 2]", "null", "-1", "1e99", ".nan", ".inf", "{}"])
def test_wrong_types_and_ranges_name_the_key(config_file, key, value):
    if value == "yes" and key in SWITCHES:
        pytest.skip("yes is true in YAML")
    assert key in refused(config_file(**{key: value}))


@pytest.mark.parametrize(
    "key", ["rounds", "steps", "final_steps", "sweeps", "half_rounds", "half_steps", "memory"]
)
def test_whole_numbers_are_whole(config_file, key):
    assert f"{key} is 2.5, expected a whole number" in refused(config_file(**{key: 2.5}))


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [("rounds", 1, 1000), ("final_steps", 0, 10_000), ("chroma_step", 0.5, 2), ("lagrangian", 0.001, 10)],
)
def test_limits_are_inclusive(config_file, key, low, high):
    for value in (low, high):
        assert getattr(load_config(config_file(**{key: value})), key) == value
    for value in (low - 0.125 if key == "chroma_step" else low - 1, high + 1):
        message = refused(config_file(**{key: value}))
        assert message.startswith(f"{key} is {value}")
        assert f"{high}" in message


@pytest.mark.parametrize("key", SWITCHES)
def test_switches_are_on_unless_switched_off(config_file, key):
    assert getattr(FitConfig(**GOOD), key) is True
    assert getattr(load_config(config_file(**{key: "false"})), key) is False
    assert refused(config_file(**{key: 1})) == f"{key} is 1, expected true or false"


def test_seeding_is_one_of_two(config_file):
    assert FitConfig(**GOOD).seeding == "pursuit"
    assert load_config(config_file(seeding="random")).seeding == "random"
    assert refused(config_file(seeding="grid")) == "seeding is 'grid', expected pursuit or random"


def test_chroma_step_is_in_eighths(config_file):
    assert load_config(config_file(chroma_step=1.375)).chroma_step == 1.375
    assert "multiple of 1/8" in refused(config_file(chroma_step=1.3))


def test_unknown_settings_are_named(config_file):
    message = refused(config_file(round=5))
    assert "'round'" in message
    assert "rounds" in message
    assert "'7'" in refused(config_file(**{"7": 1}))


@pytest.mark.parametrize("missing", list(GOOD))
def test_missing_settings_are_named(config_file, missing):
    text = "\n".join(f"{key}: {value}" for key, value in GOOD.items() if key != missing)
    assert missing in refused(config_file(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no settings"),
        ("12", "no settings"),
        ("- rounds\n- steps", "no settings"),
        ("rounds: [1\nsteps: 2", "not YAML"),
        ("rounds: 'x\n\n\n", "not YAML"),
        ("a: b: c", "not YAML"),
        ("!!python/object/apply:os.getcwd []", "not YAML"),
        ("\0", "not YAML"),
        ("? [a, b]\n: 1", "unknown setting|not YAML"),
    ],
)
def test_files_that_are_not_settings(config_file, text, message):
    path = config_file(text)
    found = refused(path)
    assert re.search(message, found)
    assert str(path) in found


def test_file_that_is_not_text(tmp_path):
    path = tmp_path / "picture.yaml"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    assert str(path) in refused(path)


def test_missing_file_and_folder(tmp_path):
    assert "No such file" in refused(tmp_path / "none.yaml")
    (tmp_path / "folder.yaml").mkdir()
    assert "directory" in refused(tmp_path / "folder.yaml")


@pytest.mark.parametrize("name", ["", "quick", "Fast", "fast.json", "../configs/fast", "fast "])
def test_unknown_presets_are_named(name):
    message = refused(name)
    assert repr(name) in message
    assert "fast, default, best" in message


@pytest.mark.parametrize(
    ("key", "value"), [("rounds", True), ("steps", 2.0), ("lagrangian", "1"), ("lagrangian", math.nan)]
)
def test_config_from_python_is_checked_too(key, value):
    with pytest.raises(ConfigError, match=f"^{key} is "):
        FitConfig(**{**GOOD, key: value})


def test_encode_says_which_preset_is_wrong():
    import numpy as np

    with pytest.raises(ConfigError, match="no preset named 'turbo'"):
        splat2d.encode(np.zeros((4, 4), np.uint8), preset="turbo")
