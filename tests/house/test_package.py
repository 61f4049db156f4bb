"""What a user installs: light imports, complete data, one version, and the house's limits on files."""

from __future__ import annotations

import ast
import json
import re
from importlib.metadata import entry_points, requires, version
from importlib.resources import files
from pathlib import Path

import pytest

import splat2d

from ..support.places import ROOT

PACKAGE = ROOT / "splat2d"
HEAVY = {
    "torch",
    "gsplat",
    "PIL",
    "av",
    "constriction",
    "rich",
    "tyro",
    "imageio",
    "matplotlib",
    "yaml",
    "tifffile",
}
ABOVE = ("bench", "fit", "torch")  # the decode floor


def top_level_modules(run_python, code: str) -> set[str]:
    done = run_python("-c", f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))")
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_import_loads_nothing_heavy(run_python):
    assert not top_level_modules(run_python, "import splat2d") & HEAVY


def test_importing_the_command_line_loads_nothing_heavy(run_python):
    assert not top_level_modules(run_python, "import splat2d.cli") & (HEAVY | {"numpy"})


def test_decode_floor_never_imports_torch(run_python):
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in floor_files()]
    imports = "\n".join(f"import {name.removesuffix('.__init__')}" for name in modules)
    loaded = top_level_modules(run_python, imports)
    assert "splat2d" in loaded
    assert not loaded & {"torch", "gsplat"}


def floor_files() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in ABOVE]


def test_the_decode_floor_is_there():
    folders = {path.relative_to(PACKAGE).parts[0] for path in floor_files() if path.parent != PACKAGE}
    assert folders == {
        "cli",
        "codec",
        "convert",
        "draw",
        "edit",
        "format",
        "media",
        "native",
        "plugins",
        "scene",
        "web",
    }


def test_decode_floor_needs_no_module_of_the_fit_floor():
    # The lazy imports of what fits are the only bridges.
    bridges = {"encode.py", "_encode_clip.py", "_encode_views.py", "_decode_clip.py", "edit.py", "group.py"}
    bridges |= {"batch.py", "_jobs.py", "_terminal.py"}
    for path in floor_files():
        if (path.name in bridges and path.parent.name == "cli") or path == PACKAGE / "__init__.py":
            continue
        if path == PACKAGE / "convert" / "ply.py":
            continue  # writes through gsplat, when it is asked to
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(import|from) (torch|gsplat|splat2d\.fit)\b", text, re.M), path.name


def test_one_version():
    declared = re.search(r'^version = "([^"]+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert declared
    assert version("splat2d") == declared[1]
    assert splat2d.__version__ == declared[1]


def test_command_is_installed():
    (command,) = entry_points(group="console_scripts", name="splat2d")
    assert command.value == "splat2d.cli:main"
    assert callable(command.load())


@pytest.mark.parametrize(
    "name", ["py.typed", "configs/fast.yaml", "configs/default.yaml", "configs/best.yaml"]
)
def test_data_is_packaged(name: str):
    assert files("splat2d").joinpath(*name.split("/")).is_file()


def test_torch_is_pinned_in_one_place_only():
    assert re.search(r"^torch==", (ROOT / "constraints.txt").read_text(), re.M)
    # A pin in the metadata would make every user's installer replace their torch.
    assert not [need for need in requires("splat2d") or [] if re.match(r"torch\s*==", need)]


def source_files() -> list[Path]:
    folders = ("splat2d", "cpp", "cuda", "tests", "examples", "benchmarks", ".ci")
    kinds = {".py", ".pyi", ".cpp", ".hpp", ".h", ".cu", ".cuh"}
    return [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in kinds]


def test_every_source_file_is_under_500_lines():
    paths = source_files()
    assert len(paths) > 20
    lengths = {str(path.relative_to(ROOT)): len(path.read_bytes().splitlines()) for path in paths}
    assert {name: length for name, length in lengths.items() if length >= 500} == {}


def import_graph() -> dict[str, set[str]]:
    """Edges between splat2d's modules, lazy imports included and those for type checkers left out."""
    modules = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        typing_only = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            for statement in node.body
            for inner in ast.walk(statement)
        }
        targets: set[str] = set()
        for node in ast.walk(tree):
            if node in typing_only:
                continue
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                # `from package import module` depends on the module, `from module import name` on that.
                inner_modules = {f"{node.module}.{alias.name}" for alias in node.names}
                targets |= (inner_modules & modules.keys()) or {node.module}
        graph[name] = (targets & modules.keys()) - {name}
    return graph


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> list[str]:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return []
        for target in sorted(graph[name]):
            if circle := visit(target, [*trail, name]):
                return circle
        done.add(name)
        return []

    for name in sorted(graph):
        if circle := visit(name, []):
            return circle
    return []


def test_no_import_circles():
    graph = import_graph()
    assert graph["splat2d.cli.decode"] >= {"splat2d.media.save", "splat2d.cli._arguments"}
    # The package's own face imports everything lazily, and the verbs start from it; it is no circle.
    assert find_circle({name: targets - {"splat2d"} for name, targets in graph.items()}) == []


def test_circles_are_found():
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_relative_imports_in_the_package():
    # The graph above reads absolute imports only.
    for path in PACKAGE.rglob("*.py"):
        assert not re.search(r"^\s*from \.", path.read_text(encoding="utf-8"), re.M), path


def test_sample_pictures_state_their_licence(samples: Path):
    pictures = {path.name for path in samples.iterdir() if path.suffix in {".png", ".jpg"}}
    assert len(pictures) >= 4
    said = (samples / "README.md").read_text(encoding="utf-8")
    for name in pictures:
        assert re.search(rf"`{re.escape(name)}`.*(CC0|public domain)", said), name
