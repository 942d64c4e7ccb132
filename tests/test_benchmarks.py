"""Run every benchmark once at its smallest size, as asv would, so that none rots."""

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import xgeoanom
from xgeoanom import detectors

FOLDER = Path(__file__).parents[1] / "benchmarks" / "benchmarks"
KINDS = ("time_", "peakmem_", "mem_", "track_", "timeraw_")


def load(path):
    spec = importlib.util.spec_from_file_location(f"benchmarks_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def benchmarks():
    """Yield each benchmark: (class, method's name)."""
    for path in sorted(FOLDER.glob("[!_]*.py")):
        for name, cls in inspect.getmembers(load(path), inspect.isclass):
            for method in filter(lambda method: method.startswith(KINDS), dir(cls)):
                yield pytest.param(cls, method, id=f"{path.stem}-{name}-{method}")


def smallest(params):
    """Return the first of each of asv's ``params``: a list, or a list of lists."""
    if params and not isinstance(params[0], list | tuple):
        params = [params]
    return [values[0] for values in params]


@pytest.mark.parametrize(("cls", "method"), list(benchmarks()))
def test_benchmark_runs(cls, method):
    arguments = smallest(getattr(cls, "params", []))
    benchmark = cls()
    if hasattr(cls, "setup_cache"):
        arguments = [benchmark.setup_cache(), *arguments]
    if hasattr(cls, "setup"):
        benchmark.setup(*arguments)
    code = getattr(benchmark, method)(*arguments)
    if method.startswith("timeraw_"):  # returns what asv runs in a process of its own
        subprocess.run([sys.executable, "-c", code], check=True)
    if hasattr(cls, "teardown"):
        benchmark.teardown(*arguments)


def source():
    return "".join(path.read_text() for path in FOLDER.glob("*.py"))


def test_every_room_is_timed():
    folders = Path(xgeoanom.__file__).parent.glob("*/__init__.py")
    rooms = {path.parent.name for path in folders} - {"accessor"}  # which only calls the others
    assert rooms <= set(re.findall(r"^from xgeoanom\.(\w+)", source(), re.MULTILINE))


def test_every_detector_is_timed():
    public = [getattr(detectors, name) for name in detectors.__all__]
    systems = {each.__name__ for each in public if inspect.isclass(each)} - {"Detector"}
    assert systems <= set(re.findall(r"\w+", source()))
