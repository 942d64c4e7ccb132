"""The sweep equals one detector per pair of windows."""

import numpy as np
import pytest
from georeferenced import assert_georeferenced
from surveys import small_cube, small_labels

import xgeoanom as xga
from xgeoanom.detectors import PPFCNN

WINDOWS = [(1, 3), (3, 7), (5, 9)]
PARAMS = {"draws": 2, "epochs": 1, "seed": 0}


@pytest.fixture(scope="module")
def ds():
    cube = small_cube(20, 22, holes=10)
    return cube.to_dataset().assign(labels=small_labels(cube))


def test_each_window_equals_its_own_detector(ds):
    sweep = xga.window_sweep(ds, "labels", WINDOWS, **PARAMS)
    assert list(zip(sweep.inner.values, sweep.outer.values, strict=True)) == WINDOWS
    others = ds["labels"].copy(data=np.where(ds["labels"] == 1, 1, 0).astype("int8"))
    for k, (inner, outer) in enumerate(WINDOWS):
        alone = PPFCNN(inner=inner, outer=outer, **PARAMS).fit(ds["clr"], ds["labels"])
        expected = alone.predict(ds["clr"])["score"]
        np.testing.assert_allclose(sweep["score"][k], expected, atol=1e-5)
        assert sweep["auc"][k] == pytest.approx(xga.auc(expected, others), abs=1e-3)
    assert_georeferenced(sweep["score"], ds["clr"])


def test_a_chunked_survey_gives_the_same(ds):
    lazy = ds.assign(clr=ds["clr"].chunk(y=10, x=11))
    sweep = lazy.anom.window_sweep("labels", WINDOWS, **PARAMS)
    eager = ds.anom.window_sweep("labels", WINDOWS, **PARAMS)
    np.testing.assert_allclose(sweep["score"], eager["score"], atol=1e-3)


@pytest.mark.parametrize("windows", [[], [(3, 4)], [(5, 3)], [(3, 35)]])
def test_wrong_windows(ds, windows):
    with pytest.raises(xga.errors.WindowError):
        xga.window_sweep(ds, "labels", windows, **PARAMS)
