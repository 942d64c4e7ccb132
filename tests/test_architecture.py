"""The house of the design: who may import whom, and how long a thing may be."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import xgeoanom

PACKAGE = Path(xgeoanom.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# From roof to ground: a room imports only from itself and from what stands below it.
ROOMS = (
    "cli",
    "__init__",
    "accessor",
    "card",
    "datasets",
    "plot",
    "evaluation",
    "detectors",
    "classical",
    "geology",
    "survey",
    "blocks",
    "conventions",
    "kernels",
    "nets",
    "versions",
    "seeding",
    "errors",
)
# These only call public functions, so they go through the front door.
DELEGATES = {"accessor", "cli"}
GROUND = {"xgeoanom.errors", "xgeoanom.seeding"}
# In detectors/, these serve every system; all other files hold one system each.
SHARED_BY_DETECTORS = {
    "__init__",
    "base",
    "training",
    "training_set",
    "detect",
    "explain",
    "patch_maps",
    "offsets",
    "superpixels",
    "region_graph",
    "neighborhood",
    "branch_maps",
    "checkpoint",
    "target_maps",
    "reconstructions",
    "attribution_maps",
}


def name_of(path):
    """Return the dotted name of a module of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module):
    """Return the room in which a dotted name lies."""
    return [*module.split("."), "__init__"][1]


def imports_of(path):
    """Return the dotted names that a file imports, inside functions too, for types alone not."""
    found = set()
    for node in ast.walk(WithoutTyping().visit(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {_target(node.module, alias.name) for alias in node.names}
    return found


class WithoutTyping(ast.NodeTransformer):
    """Drops what stands under ``if TYPE_CHECKING:``."""

    def visit_If(self, node):
        named = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse if named else self.generic_visit(node)


def _target(module, name):
    """Return ``module.name`` where that is a module of ours, else ``module``."""
    path = PACKAGE.parent.joinpath(*module.split("."), name)
    return f"{module}.{name}" if path.is_dir() or path.with_suffix(".py").exists() else module


def outside_of(path):
    """Return the third-party packages that a file imports, and our modules in full."""
    names = {
        name if name.startswith("xgeoanom") else name.split(".")[0] for name in imports_of(path)
    }
    return names - sys.stdlib_module_names


def modules_in(room):
    return sorted((PACKAGE / room).glob("*.py"))


def each_module(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: name_of(path))


@each_module(MODULES)
def test_module_stands_in_a_room(path):
    assert room_of(name_of(path)) in ROOMS


@each_module(MODULES)
def test_imports_point_down(path):
    own = ROOMS.index(room_of(name_of(path)))
    ours = {name for name in imports_of(path) if name.split(".")[0] == "xgeoanom"}
    if room_of(name_of(path)) in DELEGATES:
        ours.discard("xgeoanom")
    up = {name for name in ours if ROOMS.index(room_of(name)) < own}
    assert not up, f"{name_of(path)} reaches up to {sorted(up)}"


@each_module(modules_in("kernels"))
def test_kernels_know_only_numpy_and_numba(path):
    assert {
        name
        for name in outside_of(path) - GROUND - {"numpy", "numba"}
        if not name.startswith("xgeoanom.kernels")
    } == set()


@each_module(modules_in("nets"))
def test_nets_know_only_torch(path):
    assert {
        name
        for name in outside_of(path) - GROUND - {"torch", "torch_geometric"}
        if not name.startswith("xgeoanom.nets")
    } == set()


@each_module([path for path in modules_in("detectors") if path.stem not in SHARED_BY_DETECTORS])
def test_systems_know_no_xarray(path):
    assert not outside_of(path) & {"xarray", "rioxarray", "dask"}


@each_module([path for path in MODULES if room_of(name_of(path)) != "blocks"])
def test_dask_only_in_blocks(path):
    assert not outside_of(path) & {"dask", "distributed"}


@each_module(sorted(PACKAGE.rglob("*/__init__.py")))
def test_room_hands_names_on(path):
    body = ast.parse(path.read_text()).body
    assert ast.get_docstring(ast.parse(path.read_text()))
    assert all(isinstance(node, ast.Expr | ast.ImportFrom | ast.Assign) for node in body)


@each_module(MODULES)
def test_module_is_short(path):
    assert len(path.read_text().splitlines()) <= 400


@each_module(MODULES)
def test_functions_are_short(path):
    long = {
        node.name: lines
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and (lines := code_lines(node)) > 60
    }
    assert not long


def code_lines(function):
    """Return the lines of a function, its docstring aside."""
    first = function.body[0]
    text = first.end_lineno - first.lineno + 1 if ast.get_docstring(function) else 0
    return function.end_lineno - function.lineno + 1 - text


@each_module(MODULES)
def test_no_drawer_without_a_label(path):
    assert not re.search("util|helper|manager|common|misc", path.stem)


def test_reference_lists_every_public_name():
    page = (PACKAGE.parent / "docs" / "api.md").read_text()
    listed = set(re.findall(r"^   ([\w.]+)$", page, re.MULTILINE))
    rooms = {"datasets", "detectors", "plot"}
    public = set(xgeoanom.__all__) - rooms - {"errors"}
    for room in rooms:
        public |= {f"{room}.{name}" for name in getattr(xgeoanom, room).__all__}
    again = {f"detectors.{name}" for name in xgeoanom.__all__}  # listed under the short name
    assert public - again <= listed


def test_dependencies_are_declared():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[\[><=~ ]", entry)[0] for entry in project["dependencies"]}
    declared.add("distributed")  # an extra, imported where a cluster is connected
    module_of = {
        "scikit-image": "skimage",
        "scikit-learn": "sklearn",
        "torch-geometric": "torch_geometric",
    }
    used = set().union(*map(outside_of, MODULES))
    third_party = {name for name in used if not name.startswith("xgeoanom")}
    assert third_party <= {module_of.get(name, name) for name in declared}


def test_torch_geometric_waits_for_graphs():
    code = "import sys, xgeoanom.detectors; sys.exit('torch_geometric' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("heavy", ["torch", "torch_geometric", "matplotlib"])
def test_import_is_light(heavy):
    code = f"import sys, xgeoanom; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
