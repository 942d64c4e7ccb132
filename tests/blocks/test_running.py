"""Where work runs in this process; on a cluster, see test_large_surveys."""

import io
import threading
import time

import dask
import dask.array as da
import numpy as np
import pytest
import threadpoolctl
from dask.system import CPU_COUNT
from tqdm import tqdm

from xgeoanom.blocks import Footprint, compute, map_halo, on_cluster, on_threads, run_all, running
from xgeoanom.blocks.running import compute_in_turn, memory_each, n_threads, one_blas_thread


def blas_threads():
    """The number of threads of each linear algebra library that is loaded."""
    found = threadpoolctl.ThreadpoolController().select(user_api="blas").info()
    assert found
    return {library["num_threads"] for library in found}


@pytest.fixture
def two_blas_threads():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        assert blas_threads() == {2}
        yield
        assert blas_threads() == {2}


def test_one_blas_thread_within_and_as_before_after(two_blas_threads):
    for _ in range(2):
        with one_blas_thread():
            assert blas_threads() == {1}
            with one_blas_thread():
                assert blas_threads() == {1}
            assert blas_threads() == {1}
        assert blas_threads() == {2}


def test_threads_that_overlap_lift_the_limit_last(two_blas_threads):
    second_in, first_out = threading.Event(), threading.Event()
    seen = []

    def second():
        with one_blas_thread():
            second_in.set()
            first_out.wait(10)
            seen.append(blas_threads())

    other = threading.Thread(target=second)
    with one_blas_thread():
        other.start()
        assert second_in.wait(10)
    assert blas_threads() == {1}  # the second one is still within
    first_out.set()
    other.join()
    assert seen == [{1}]
    assert blas_threads() == {2}


def test_an_error_within_lifts_the_limit(two_blas_threads):
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError
    assert blas_threads() == {2}


def test_many_threads_at_once(two_blas_threads):
    seen = []

    def work():
        with one_blas_thread():
            time.sleep(0.002)
            seen.append(blas_threads())

    run_all(work, [()] * 40)
    assert seen == [{1}] * 40


def test_blocks_are_worked_on_with_one_blas_thread(two_blas_threads):
    seen = []

    def note(block, shared):
        seen.append(blas_threads())
        return block[0]

    map_halo(note, np.zeros((1, 40, 4)), footprint=Footprint(0))
    assert seen
    assert all(threads == {1} for threads in seen)


def test_results_come_in_order():
    jobs = [dask.delayed(lambda k: (time.sleep(0.01 * (3 - k)), k)[1])(k) for k in range(4)]
    assert compute(jobs) == [0, 1, 2, 3]
    assert compute([]) == []


def test_rounds_come_in_turn():
    begun = []
    rounds = [[dask.delayed(begun.append)((k, j)) for j in range(4)] for k in range(3)]
    assert compute_in_turn(rounds) == [[None] * 4] * 3
    assert [k for k, _ in begun] == [0] * 4 + [1] * 4 + [2] * 4
    assert compute_in_turn([]) == []


@pytest.fixture
def bars(monkeypatch):
    """All bars that are shown, as in a terminal."""
    shown = []

    class Bar(tqdm):
        def __init__(self, **options):
            super().__init__(**options | {"disable": False, "file": io.StringIO()})
            shown.append(self)

    monkeypatch.setattr(running, "tqdm", Bar)
    return shown


def test_one_bar_counts_the_blocks_of_all_rounds(bars):
    compute_in_turn([[dask.delayed(abs)(k) for k in range(4)], [da.ones((6, 4), chunks=2) + 1]])
    assert [(bar.n, bar.total, bar.unit) for bar in bars] == [(10, 10, "block")]


def test_no_bar_where_nobody_looks(capfd):
    compute([dask.delayed(abs)(1)])
    assert capfd.readouterr() == ("", "")


def test_run_all_keeps_order():
    assert run_all(lambda a, b: a * b, [(1, 2), (3, 4)]) == [2, 12]


def test_the_first_error_ends_all():
    begun = []

    def work(k):
        begun.append(k)
        if len(begun) == 4:
            raise KeyError("inside")
        time.sleep(0.01)

    jobs = [dask.delayed(work)(k) for k in range(100)]
    with dask.config.set(num_workers=2), pytest.raises(KeyError, match="inside"):
        compute(jobs)
    assert len(begun) < 20


def test_without_a_cluster():
    assert on_cluster() is None
    with on_threads():
        assert on_cluster() is None
    assert n_threads() == CPU_COUNT
    assert 1e8 < memory_each() < 1e14
