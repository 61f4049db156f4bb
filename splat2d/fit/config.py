"""Presets: YAML files in configs/ as frozen dataclasses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from splat2d.errors import ConfigError

PRESETS = ("fast", "default", "best")
TUNES = ("psnr", "ms-ssim")
SEEDINGS = ("pursuit", "random")
WORDS = {"tune": TUNES, "seeding": SEEDINGS}


@dataclass(frozen=True)
class FitConfig:
    """How hard the encoder works; see configs/*.yaml for the presets.

    Args:
        rounds: rounds of pruning, seeding and optimising at full resolution.
        steps: optimiser steps a round.
        half_rounds: rounds at half resolution before those.
        half_steps: optimiser steps in each of them.
        final_steps: optimiser steps after the last round, in three parts with a pruning before each.
        seed_energy: part of the present error that a round's seeds may promise together.
        seed_threshold: SSE that a seed must promise, in units of 34 bits' worth.
        prune_factor: a splat goes when it saves less SSE than this many times its bits' worth.
        sweeps: sweeps of exact integer refinement.
        move_steps: integers of shape and position that one move of the refinement changes at most, 1 or 2.
        patience: a splat is refined again once this much has changed around it, D^2 a cell of 16 x 16 px.
        lagrangian: SSE for one bit, in units of the squared step D^2.
        chroma_step: chroma step over D; a multiple of 1/8.
        fit_cutoff: q at which Gaussians are cut while fitting (12.25 in the file).
        memory: pairs that the L-BFGS keeps.
        tune: what the distortion follows, "psnr" (squared errors) or "ms-ssim".
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
    lagrangian: float = 0.107
    chroma_step: float = 1.25
    fit_cutoff: float = 9.5
    memory: int = 12
    tune: str = "psnr"
    natural_units: bool = True
    rate_term: bool = True
    seeding: str = "pursuit"

    def __post_init__(self) -> None:
        """Check types and ranges; a ConfigError names the key."""
        limits: dict[str, tuple[float, float]] = {
            "rounds": (1, 1000),
            "steps": (1, 1000),
            "final_steps": (0, 10_000),
            "sweeps": (0, 1000),
            "half_rounds": (0, 1000),
            "half_steps": (1, 1000),
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
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in WORDS:
                words = WORDS[field.name]
                if value not in words:
                    raise ConfigError(f"{field.name} is {value!r}, expected {' or '.join(words)}")
                continue
            if field.type == "bool":
                if not isinstance(value, bool):
                    raise ConfigError(f"{field.name} is {value!r}, expected true or false")
                continue
            low, high = limits[field.name]
            whole = field.type == "int"
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                kind = "a whole number" if whole else "a number"
                raise ConfigError(f"{field.name} is {value!r}, expected {kind} from {low} to {high}")
            if not low <= value <= high:
                raise ConfigError(f"{field.name} is {value}, expected {low} to {high}")
        if self.chroma_step * 8 != round(self.chroma_step * 8):
            raise ConfigError(f"chroma_step is {self.chroma_step}, expected a multiple of 1/8")


@dataclass(frozen=True)
class ClipConfig:
    """How hard the encoder works on a clip; the section `clip` of configs/*.yaml.

    Args:
        rounds: rounds of pruning, seeding and optimising.
        steps: optimiser steps a round.
        final_steps: optimiser steps after the last round, in three parts with a pruning before each.
        sweeps: sweeps of exact integer refinement.
        frames: of a segment at most, 1 to 64.
        durations: standard deviations in time of the windows that seeds are looked for in, frames; splats
            that last are always looked for.
        seed_energy: part of the present error that a round's seeds may promise together.
        seed_threshold: SSE that a seed must promise, in units of 34 bits' worth.
        prune_factor: a splat goes when it saves less SSE than this many times its bits' worth.
        patience: a splat is refined again once this much has changed around it, D^2 a cell of 16 x 16 px.
        lagrangian: SSE for one bit, in units of the squared step D^2.
        chroma_step: chroma step over D; a multiple of 1/8.
        fit_cutoff: q at which Gaussians are cut while fitting (12.25 in the file).
        memory: pairs that the L-BFGS keeps.
    """

    rounds: int = 6
    steps: int = 6
    final_steps: int = 30
    sweeps: int = 5
    frames: int = 32
    durations: tuple[float, ...] = (3.0, 1.0)
    seed_energy: float = 1.0
    seed_threshold: float = 0.2
    prune_factor: float = 1.6
    patience: float = 0.1
    lagrangian: float = 0.0546
    chroma_step: float = 1.25
    fit_cutoff: float = 9.5
    memory: int = 12


def load_config(preset: str | Path) -> FitConfig:
    """The config of a preset's name, or of a YAML file's path.

    Raises:
        ConfigError: no such preset or file, unknown or missing keys, values out of range.
    """
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
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no settings; expected lines of `key: value`")
    known = {field.name for field in dataclasses.fields(FitConfig)}
    if unknown := sorted(str(key) for key in values if key not in known):
        raise ConfigError(f"unknown setting {unknown[0]!r} in {path}; known are {', '.join(sorted(known))}")
    try:
        return FitConfig(**values)
    except TypeError as error:
        raise ConfigError(f"{path}: {str(error).split('__init__() ')[-1]}") from error
