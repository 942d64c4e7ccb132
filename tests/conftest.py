"""What all tests share. The environment is set before numpy, numba and torch are imported."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # pytest's workers own the cores
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"

from contextlib import contextmanager
from pathlib import Path

import dask
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "house",
    deadline=None,  # the first example compiles kernels
    max_examples=20,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")


@pytest.fixture(scope="session")
def real_data():
    """Folder of the real surveys, laid out as the loaders' cache."""
    if "XGEOANOM_DATA" not in os.environ:
        pytest.skip("XGEOANOM_DATA, the folder of the real surveys, is not set")
    folder = Path(os.environ["XGEOANOM_DATA"])
    if not folder.is_dir():
        pytest.fail(f"XGEOANOM_DATA={folder} is no folder")
    return folder


@pytest.fixture
def no_compute():
    """Context manager within which any dask compute fails the test."""

    def refuse(dsk, keys, **kwargs):
        raise AssertionError("a lazy array was computed early")

    @contextmanager
    def guard():
        with dask.config.set(scheduler=refuse):
            yield

    return guard


@contextmanager
def local_cluster(n_workers):
    """Give the client of worker processes on this machine, on which dask computes meanwhile."""
    distributed = pytest.importorskip("distributed")
    how = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(n_workers=n_workers, **how) as workers,
        distributed.Client(workers) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def worker():
    """Client of one worker: what it runs is compiled once."""
    with local_cluster(1) as client:
        yield client


@pytest.fixture
def cluster():
    """Client of two workers, one of which may be lost."""
    with local_cluster(2) as client:
        yield client


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import sys

    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Fail a real-data test that skips although the data are there."""
    report = yield
    if report.skipped and _reads_real_data(item) and "XGEOANOM_DATA" in os.environ:
        report.outcome = "failed"
        report.longrepr = f"skipped although XGEOANOM_DATA is set: {report.longrepr}"
    return report


def _reads_real_data(item):
    return item.get_closest_marker("real") is not None or "real_data" in item.fixturenames
