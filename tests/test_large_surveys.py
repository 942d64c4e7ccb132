"""The same lines of code on a cluster of worker processes: equal results, whatever is lost."""

import os
import signal
import threading
import time

import dask
import dask.array as da
import numpy as np
import psutil
import pytest
import torch
import xarray as xr
from small_detectors import DETECTORS
from surveys import random_survey, small_cube, small_labels

from xgeoanom.blocks import on_cluster, on_threads, regions
from xgeoanom.blocks.running import memory_each, n_threads
from xgeoanom.classical.rx import rx
from xgeoanom.classical.singularity import singularity
from xgeoanom.detectors import PPFCNN
from xgeoanom.errors import CubeError, StoreError
from xgeoanom.survey.coda import clr
from xgeoanom.survey.forecast import forecast
from xgeoanom.survey.inverse_distance import idw
from xgeoanom.survey.rasters import open_cube, save_cube

distributed = pytest.importorskip("distributed")

pytestmark = [
    pytest.mark.slow,
    # A network travels within the graph; of small surveys it is most of it.
    pytest.mark.filterwarnings("ignore:Sending large graph:UserWarning"),
]


def random_chunks(cube, seed):
    """Cut a cube anywhere, its elements too."""
    rng = np.random.default_rng(seed)
    cuts = {}
    for dim, n in cube.sizes.items():
        edges = np.sort(rng.choice(np.arange(1, n), size=rng.integers(0, 4), replace=False))
        cuts[dim] = tuple(np.diff([0, *edges, n]).tolist())
    return cube.chunk(cuts)


def slow_cube(seconds=0.15):
    """A cube of 4 x 4 blocks of so many seconds each."""

    def double(block):
        time.sleep(seconds)
        return 2 * block

    data = da.from_array(np.arange(1600.0).reshape(1, 40, 40), chunks=(1, 10, 10))
    return xr.DataArray(
        data.map_blocks(double, dtype="float64", meta=np.empty((0, 0, 0))),
        {"element": ["Au"], "y": -100.0 * np.arange(40), "x": 100.0 * np.arange(40)},
        ("element", "y", "x"),
        name="cube",
    ).rio.write_crs(32650)


def assert_is_slow_cube(path):
    np.testing.assert_array_equal(open_cube(path)[0], 2 * np.arange(1600.0).reshape(40, 40))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


class InMidRun(threading.Thread):
    """Does something once a few regions of a store are written."""

    def __init__(self, path, act):
        super().__init__(daemon=True)
        self.partial, self.act = path.with_name(f".{path.name}.partial"), act
        self.start()

    def run(self):
        for _ in range(3000):
            if len(list(self.partial.glob("*/written/*/*"))) >= 3:
                self.act()
                return
            time.sleep(0.02)


# ------------------------------------------------------------------------- what is lost


def test_a_scheduler_lost_in_mid_run(tmp_path, request):
    path = tmp_path / "cube.zarr"
    workers = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0"
    )
    scheduler = workers.scheduler
    soon = dask.config.set({"distributed.comm.timeouts.connect": "1s"})  # nobody comes back
    with soon, workers, distributed.Client(workers, timeout=1):
        lost = InMidRun(path, lambda: scheduler.loop.add_callback(scheduler.close))
        with pytest.raises(StoreError, match=r"of 16 regions are written.*resume=True"):
            save_cube(slow_cube(), path)
        lost.join()
    with pytest.raises(CubeError, match="does not exist"):
        open_cube(path)
    request.getfixturevalue("cluster")  # a new one
    save_cube(slow_cube(), path, resume=True)
    assert_is_slow_cube(path)


def test_a_worker_killed_in_mid_run(cluster, tmp_path):
    path = tmp_path / "cube.zarr"
    pid = next(iter(cluster.run(os.getpid).values()))
    lost = InMidRun(path, lambda: os.kill(pid, signal.SIGKILL))
    save_cube(slow_cube(), path)
    lost.join()
    assert_is_slow_cube(path)
    cluster.wait_for_workers(2)
    assert pid not in cluster.run(os.getpid).values()


def test_what_all_tiles_need_outlives_its_worker(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(regions, "TILE", 2)  # four tiles of 2 x 2 blocks
    monkeypatch.setattr(regions, "n_threads", lambda: 1)
    path, killed = tmp_path / "cube.zarr", []

    def holder(dask_worker):
        held = any(np.shape(value) == (7,) for value in dask_worker.data.values())
        return os.getpid() if held else None

    def kill_a_holder():
        killed.append(next(filter(None, cluster.run(holder).values())))
        os.kill(killed[0], signal.SIGKILL)

    cube = slow_cube()
    needed = dask.delayed(np.zeros, pure=False)(7)
    more = cube.data.map_blocks(
        lambda block, needed: block + needed.sum(), needed=needed, dtype=float, meta=cube.data._meta
    )
    lost = InMidRun(path, kill_a_holder)
    save_cube(cube.copy(data=more), path)
    lost.join()
    assert_is_slow_cube(path)
    cluster.wait_for_workers(2)
    assert killed
    assert killed[0] not in cluster.run(os.getpid).values()


def test_a_restart_in_mid_run(cluster, tmp_path):
    path = tmp_path / "cube.zarr"
    restarted = InMidRun(path, cluster.restart)
    with pytest.raises(StoreError, match=r"of 16 regions are written.*resume=True"):
        save_cube(slow_cube(), path)
    restarted.join()
    assert not path.exists()
    save_cube(slow_cube(), path, resume=True)
    assert_is_slow_cube(path)


# ------------------------------------------------------------------------- equal results


def test_a_cluster_is_known(worker):
    assert on_cluster() is worker
    assert n_threads() == 1
    assert 0 < memory_each() <= psutil.virtual_memory().total
    with on_threads():
        assert on_cluster() is None


def test_an_error_on_a_worker_comes_out(worker, tmp_path):
    cube = slow_cube(0.0)
    broken = cube.copy(data=cube.data.map_blocks(lambda block: block.nowhere, dtype="float64"))
    with pytest.raises(StoreError, match="AttributeError.*nowhere"):
        save_cube(broken, tmp_path / "cube.zarr")


@pytest.mark.parametrize("suffix", [".zarr", ".nc", ".tif"])
def test_from_points_to_files(worker, suffix, tmp_path):
    lazy = clr(idw(random_survey(), spacing=500.0, chunks=(7, 9)))
    with on_threads():
        eager = lazy.compute()
    told = forecast(lazy)
    assert (told.n_blocks, told.n_threads) == (lazy.data.npartitions, 1)
    save_cube(lazy, tmp_path / f"clr{suffix}")
    np.testing.assert_allclose(open_cube(tmp_path / f"clr{suffix}"), eager, rtol=1e-12)
    assert [file.name for file in tmp_path.iterdir()] == [f"clr{suffix}"]


def test_what_goes_wrong_before_a_geotiff_is_told_in_its_name(worker, tmp_path):
    cube = slow_cube(0.0)
    broken = cube.copy(data=cube.data.map_blocks(lambda block: block.nowhere, dtype="float64"))
    with pytest.raises(StoreError, match=r"cube.tif' is not written .*nowhere.*save as \.zarr"):
        save_cube(broken, tmp_path / "cube.tif")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def cube():
    return small_cube(holes=12)


CLASSICAL = {
    "clr": lambda cube: clr(np.exp(cube).assign_attrs(log_ratio="none")),
    "rx": rx,
    "rx in windows": lambda cube: rx(cube, inner=3, outer=9),
    "singularity": lambda cube: singularity(np.exp(cube).assign_attrs(log_ratio="none"))["score"],
}


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical_methods_are_as_eager(worker, cube, name):
    method = CLASSICAL[name]
    lazy = method(random_chunks(cube, seed=sum(map(ord, name))))
    assert lazy.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), method(cube), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("chunks", [(3, 14), (11, 5)])
def test_idw_is_as_in_one_block(worker, chunks):
    table = random_survey(missing=0.1)
    with on_threads():
        whole = idw(table, spacing=400.0, chunks=100).compute()
    xr.testing.assert_allclose(idw(table, spacing=400.0, chunks=chunks).compute(), whole)


@pytest.mark.parametrize("name", ["ppf_cnn", "gk_dcn", "sgcn", "skt", "mim"])
def test_detectors_score_as_eager(worker, cube, name):
    detector = DETECTORS[name]().fit(cube, small_labels(cube))
    eager = detector.predict(cube)
    maps = detector.predict(random_chunks(cube, seed=sum(map(ord, name))))
    assert maps["score"].chunks is not None
    xr.testing.assert_allclose(maps.compute(), eager, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["ppf_cnn", "mim"])
def test_fit_reads_from_the_cluster(worker, cube, name):
    labels = small_labels(cube)
    eager = DETECTORS[name]().fit(cube, labels).predict(cube)["score"]
    fitted = DETECTORS[name]().fit(random_chunks(cube, seed=3), labels)
    np.testing.assert_allclose(fitted.predict(cube)["score"], eager, atol=2e-4)


# ------------------------------------------------------------------------ what a worker holds


def test_torch_takes_one_thread_in_a_block(worker, cube):
    class Counting(PPFCNN):
        """Its score is the number of threads that torch would take."""

        def score_block(self, network, block, evidence, context):
            halo = self.footprint.halo
            return np.full_like(block[0, halo:-halo, halo:-halo], torch.get_num_threads())

    detector = Counting(inner=3, outer=5, draws=1, epochs=1, seed=0).fit(cube, small_labels(cube))
    before = next(iter(worker.run(torch.get_num_threads).values()))
    worker.run(torch.set_num_threads, 2)
    assert (detector.predict(cube.chunk(y=9, x=7))["score"] == 1).all().compute()
    assert set(worker.run(torch.get_num_threads).values()) == {2}
    worker.run(torch.set_num_threads, before)


def test_memory_does_not_grow_from_block_to_block(worker, cube):
    def held():
        import psutil

        return psutil.Process().memory_info().rss

    detector = DETECTORS["ppf_cnn"]().fit(cube, small_labels(cube))
    lazy = small_cube(40, 50).chunk(y=10, x=10)
    after = []
    for _ in range(3):  # twenty blocks each
        assert detector.predict(lazy)["score"].data.npartitions == 20
        detector.predict(lazy).compute()
        after.append(worker.run(held))
    for address, first in after[0].items():
        assert after[-1][address] - first < 20e6
