"""Presets: YAML files in configs/ as frozen dataclasses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from splat2d.errors import ConfigError

PRESETS = ("fast", "default", "best")
TUNES = ("visual", "psnr", "ms-ssim")
CHROMA_STEPS = {"visual": 1.0, "psnr": 1.25, "ms-ssim": 1.25}
"""Of each tune, where a preset names none."""
CLIP_CHROMA_STEPS = {**CHROMA_STEPS, "visual": 0.75}
"""Of clips and light fields, whose errors of chroma count in full."""
SEEDINGS = ("pursuit", "random")
WORDS = {"tune": TUNES, "seeding": SEEDINGS}


@dataclass(frozen=True)
class FitConfig:
    """How hard the encoder works; see configs/*.yaml for the presets.

    Args:
        rounds: rounds of pruning, seeding and optimising at full resolution.
        steps: optimiser steps a round.
        half_rounds: rounds at half resolution before those; pictures beyond 768x512 have two more a doubling.
        half_steps: optimiser steps in each of them.
        final_steps: optimiser steps after the last round, in three parts with a pruning before each.
        seed_energy: part of the present error that a round's seeds may promise together.
        seed_threshold: SSE that a seed must promise, in units of 34 bits' worth.
        prune_factor: a splat goes when it saves less SSE than this many times its bits' worth.
        sweeps: sweeps of exact integer refinement.
        move_steps: integers of shape and position that one move of the refinement changes at most, 1 or 2.
        patience: a splat is refined again once this much has changed around it, D^2 a cell of 16 x 16 px.
        lagrangian: SSE for one bit, in units of the squared step D^2.
        chroma_step: chroma step over D; a multiple of 1/8. Presets that name none have that of their tune.
        fit_cutoff: q at which Gaussians are cut while fitting (12.25 in the file).
        memory: pairs that the L-BFGS keeps.
        tune: what the distortion follows: "visual" (SSIMULACRA2), "psnr" (squared errors) or "ms-ssim".
        natural_units: measure each splat's parameters by its own energy; one unit for all when false.
        rate_term: weigh bits while optimising; only in pruning and refinement when false.
        seeding: where new splats go, "pursuit" (peaks of the residual over scales) or "random" (drawn by the
            squared residual, round). This and the two before are for measuring what they are worth.
    """

    rounds: int
    steps: int
    final_steps: int
    sweeps: int
    half_rounds: int = 0
    half_steps: int = 10
    seed_energy: float = 0.3
    seed_threshold: float = 0.2
    prune_factor: float = 1.2
    move_steps: int = 2
    patience: float = 0.1
    lagrangian: float = 0.084
    chroma_step: float = CHROMA_STEPS["visual"]
    fit_cutoff: float = 9.5
    memory: int = 12
    tune: str = "visual"
    natural_units: bool = True
    rate_term: bool = True
    seeding: str = "pursuit"

    def __post_init__(self) -> None:
        """Check types and ranges; a ConfigError names the key."""
        _check(self)

    @property
    def chroma_code(self) -> int:
        """The chroma step as files have it, in eighths."""
        return round(8 * self.chroma_step)

    def tuned(self, tune: str) -> FitConfig:
        """The same effort for another tune, with that tune's chroma step."""
        return _tuned(self, tune)


_LIMITS: dict[str, tuple[float, float]] = {
    "rounds": (1, 1000),
    "steps": (1, 1000),
    "final_steps": (0, 10_000),
    "sweeps": (0, 1000),
    "half_stride": (1, 8),
    "half_rounds": (0, 1000),
    "quarter_rounds": (0, 1000),
    "half_steps": (1, 1000),
    "frames": (1, 64),
    "durations": (0.3, 64),
    "border_weight": (1, 10),
    "seed_energy": (0.001, 100),
    "seed_threshold": (0.01, 100),
    "prune_factor": (0, 100),
    "move_steps": (1, 2),
    "patience": (0, 100),
    "lagrangian": (0.001, 10),
    "chroma_step": (0.5, 2),
    "fit_cutoff": (4, 16),
    "memory": (1, 100),
}


def _check(config: FitConfig | ClipConfig) -> None:
    """Check types and ranges of all settings.

    Raises:
        ConfigError: names the key.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "still":
            continue
        if field.name in WORDS:
            words = WORDS[field.name]
            if value not in words:
                listed = " or ".join([", ".join(words[:-1]), words[-1]])
                raise ConfigError(f"{field.name} is {value!r}, expected {listed}")
            continue
        if field.type == "bool":
            if not isinstance(value, bool):
                raise ConfigError(f"{field.name} is {value!r}, expected true or false")
            continue
        low, high = _LIMITS[field.name]
        whole = field.type == "int"
        for number in value if isinstance(value, tuple) else [value]:
            if isinstance(number, bool) or not isinstance(number, int if whole else (int, float)):
                kind = "a whole number" if whole else "a number"
                raise ConfigError(f"{field.name} is {number!r}, expected {kind} from {low} to {high}")
            if not low <= number <= high:
                raise ConfigError(f"{field.name} is {number}, expected {low} to {high}")
    if config.chroma_step * 8 != round(config.chroma_step * 8):
        raise ConfigError(f"chroma_step is {config.chroma_step}, expected a multiple of 1/8")


@dataclass(frozen=True)
class ClipConfig:
    """How hard the encoder works on a clip; the section `clip` of configs/*.yaml.

    Args:
        rounds: rounds of pruning, seeding and optimising at full resolution.
        steps: optimiser steps a round; these and the others are up to twice as many in short segments.
        half_rounds: rounds at half resolution before those.
        quarter_rounds: rounds at a quarter of it before these.
        half_steps: optimiser steps in each of them.
        half_stride: they look at every so many frames only, but at 16 at least.
        final_steps: optimiser steps after the last round, in three parts with a pruning before each.
        sweeps: sweeps of exact integer refinement.
        frames: of a segment at most, 1 to 64.
        durations: standard deviations in time of the windows that seeds are looked for in, frames; splats
            that last are always looked for.
        border_weight: of the errors of a segment's first and last frame, over those of frames far from them.
        seed_energy: part of the present error that a round's seeds may promise together.
        seed_threshold: SSE that a seed must promise, in units of 34 bits' worth.
        prune_factor: a splat goes when it saves less SSE than this many times its bits' worth.
        patience: a splat is refined again once this much has changed around it, D^2 a cell of 16 x 16 px.
        lagrangian: SSE for one bit, in units of the squared step D^2.
        chroma_step: chroma step over D; a multiple of 1/8. Presets that name none have that of their tune.
        fit_cutoff: q at which Gaussians are cut while fitting (12.25 in the file).
        memory: pairs that the L-BFGS keeps.
        tune: what the distortion of each frame follows, as of pictures; that of the preset's pictures where
            the section names none.
        still: how a segment of one frame is fitted, as a picture; None for the default preset.
    """

    rounds: int = 10
    steps: int = 7
    quarter_rounds: int = 4
    half_rounds: int = 8
    half_steps: int = 8
    half_stride: int = 2
    final_steps: int = 36
    sweeps: int = 6
    frames: int = 64
    durations: tuple[float, ...] = (10.0, 3.0, 1.0)
    border_weight: float = 2.0
    seed_energy: float = 0.3
    seed_threshold: float = 0.2
    prune_factor: float = 1.3
    patience: float = 0.1
    lagrangian: float = 0.0743
    chroma_step: float = 1.25
    fit_cutoff: float = 9.5
    memory: int = 6
    tune: str = "psnr"
    still: FitConfig | None = None

    def __post_init__(self) -> None:
        """Check types and ranges; a ConfigError names the key."""
        _check(self)

    @property
    def chroma_code(self) -> int:
        """The chroma step as files have it, in eighths."""
        return round(8 * self.chroma_step)

    def tuned(self, tune: str) -> ClipConfig:
        """The same effort for another tune, with that tune's chroma step."""
        return _tuned(self, tune)


def load_config(preset: str | Path) -> FitConfig:
    """The config of a preset's name, or of a YAML file's path.

    Raises:
        ConfigError: no such preset or file, unknown or missing keys, values out of range.
    """
    path, values = _read(preset)
    values.pop("clip", None)
    config = _made(FitConfig, values, path)
    return config if "chroma_step" in values else config.tuned(config.tune)


def load_clip_config(preset: str | Path) -> ClipConfig:
    """The config of clips: the section `clip` of what `load_config` reads, with the same errors."""
    path, values = _read(preset)
    section = values.get("clip") or {}
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: clip is {section!r}, expected settings of its own")
    if isinstance(section.get("durations"), list):
        section["durations"] = tuple(section["durations"])
    section.setdefault("tune", values.get("tune", FitConfig.tune))
    config = _made(ClipConfig, section, path)
    config = config if "chroma_step" in section else config.tuned(config.tune)
    values.pop("clip", None)
    if not values:
        return config
    return dataclasses.replace(config, still=_made(FitConfig, values, path))


Config = TypeVar("Config", FitConfig, ClipConfig)


def _tuned(config: Config, tune: str) -> Config:
    steps = CHROMA_STEPS if isinstance(config, FitConfig) else CLIP_CHROMA_STEPS
    chroma_step = steps.get(tune, config.chroma_step)
    return dataclasses.replace(config, tune=tune, chroma_step=chroma_step)


def _made(kind: type[Config], values: dict[str, Any], path: Path) -> Config:
    """A config of settings, all of whose keys must be known."""
    known = {field.name for field in dataclasses.fields(kind)} - {"still"}
    if unknown := sorted(str(key) for key in values if key not in known):
        raise ConfigError(f"unknown setting {unknown[0]!r} in {path}; known are {', '.join(sorted(known))}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{path}: {str(error).split('__init__() ')[-1]}") from error


def _read(preset: str | Path) -> tuple[Path, dict[str, Any]]:
    """The file of a preset's name, or the path itself, and its settings."""
    import yaml

    name = str(preset)
    if name in PRESETS:
        path = Path(__file__).parent.parent / "configs" / f"{name}.yaml"
        if not path.exists():  # an editable install keeps them beside the package
            path = Path(__file__).parents[2] / "configs" / f"{name}.yaml"
    else:
        path = Path(name)
        if path.suffix not in {".yaml", ".yml"}:
            raise ConfigError(
                f"no preset named {name!r}; expected {', '.join(PRESETS)} or the path of a YAML file"
            )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a text file in UTF-8") from error
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # numbers too long, lists too deep
        raise ConfigError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no settings; expected lines of `key: value`")
    return path, values
