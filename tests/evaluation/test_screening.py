"""Element screening: the paper's Table 2, and statistics from their definitions."""

import math
from itertools import combinations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from surveys import small_cube, small_labels

from xgeoanom.errors import CubeError, GridError, LabelError
from xgeoanom.evaluation import screening
from xgeoanom.evaluation.screening import auc_from_labels, auc_z, screen_elements

# Huang et al. (2022), Minerals 12, 1112, Table 2: AUC and Z of sixteen elements.
TABLE_2 = {
    "Au": ("0.6024", "2.8395"),
    "Sn": ("0.6065", "2.9595"),
    "Ag": ("0.6762", "5.1563"),
    "Mn": ("0.5573", "1.5617"),
    "Zn": ("0.5450", "1.2232"),
    "Sb": ("0.5942", "2.6017"),
    "Hg": ("0.6393", "3.9516"),
    "W": ("0.5778", "2.1341"),
    "B": ("0.5901", "2.4839"),
    "Cu": ("0.6311", "3.6977"),
    "Ba": ("0.6147", "3.2020"),
    "Pb": ("0.5778", "2.1341"),
    "As": ("0.5655", "1.7893"),
    "Bi": ("0.5901", "2.4839"),
    "Mo": ("0.5983", "2.7203"),
    "F": ("0.5696", "1.9037"),
}


def truncated(value):
    return f"{math.floor(value * 1e4) / 1e4:.4f}"


def test_table_2_of_the_paper():
    kept = set()
    for element, (auc, z) in TABLE_2.items():
        # Hard labels on 122 + 122 samples: AUCs are multiples of 1 / 244.
        hits = [k for k in range(245) if truncated(k / 244) == auc]
        assert len(hits) == 1, element
        found = auc_z(hits[0] / 244, 122, 122)
        assert truncated(found) == z, element
        if found > 2.58:
            kept.add(element)
    assert kept == {"Au", "Sn", "Cu", "Ag", "Ba", "Sb", "Hg", "Mo"}


def test_z_of_extremes():
    assert auc_z(0.5, 10, 10) == 0.0
    assert auc_z(1.0, 10, 10) == math.inf
    assert auc_z(0.0, 10, 10) == -math.inf
    with pytest.raises(LabelError, match="auc=1.2"):
        auc_z(1.2, 10, 10)


# ------------------------------------------------------------------------------------ samples


def samples(n=40, m=30, seed=0):
    """Au is higher, Ti lower at deposits, Cu does not tell; ties in W; As partly missing."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n + m, 5))
    values[:n, 0] += 2.0
    values[:n, 1] -= 1.5
    values[:, 3] = np.round(values[:, 3])
    values[::7, 4] = np.nan
    marks = np.repeat([1, 0], [n, m]).astype("int8")
    order = rng.permutation(n + m)
    return xr.Dataset(
        {
            "concentration": (("sample", "element"), values[order]),
            "labels": ("sample", marks[order]),
        },
        coords={"element": ["Au", "Ti", "Cu", "W", "As"]},
    )


def naive_auc(column, marks):
    """Pairs of a deposit and a background sample that are in order, ties one half."""
    positives, negatives = ([v for v, m in zip(column, marks) if m == k and v == v] for k in (1, 0))
    wins = sum((p > n) + (p == n) / 2 for p in positives for n in negatives)
    return wins / len(positives) / len(negatives)


def naive_holm(p):
    adjusted, largest = {}, 0.0
    for rank, k in enumerate(sorted(range(len(p)), key=lambda k: p[k])):
        largest = max(largest, (len(p) - rank) * p[k])
        adjusted[k] = min(1.0, largest)
    return [adjusted[k] for k in range(len(p))]


def test_mann_whitney_of_samples():
    ds = samples()
    before = ds.copy(deep=True)
    found = screen_elements(ds, "labels")
    assert ds.identical(before)
    values, marks = ds["concentration"].values, ds["labels"].values
    for e in range(5):
        one = found.isel(element=e)
        assert float(one["auc"]) == pytest.approx(naive_auc(values[:, e], marks))
        n, m = int(one["n_positive"]), int(one["n_negative"])
        assert n + m == np.isfinite(values[:, e]).sum()
        assert float(one["z"]) == pytest.approx(auc_z(float(one["auc"]), n, m))
        groups = [values[(marks == k) & np.isfinite(values[:, e]), e] for k in (1, 0)]
        assert float(one["p"]) == pytest.approx(mannwhitneyu(*groups).pvalue)
    np.testing.assert_allclose(found["p_holm"], naive_holm(found["p"].values))
    assert found["kept"].values.tolist() == [True, True, False, False, False]
    assert found["auc"].values[1] < 0.5  # depletion tells too
    assert found["element"].values.tolist() == ds["element"].values.tolist()


def test_p_is_that_of_permutations():
    ds = samples(6, 5, seed=3).isel(element=[0])
    ds["concentration"] = ds["concentration"] - 1.2 * (ds["labels"] == 1)
    values, marks = ds["concentration"].values[:, 0], ds["labels"].values
    distance = abs(naive_auc(values, marks) - 0.5) - 1e-12
    every = []
    for chosen in combinations(range(11), 6):
        drawn = np.isin(np.arange(11), chosen).astype(int)
        every.append(abs(naive_auc(values, drawn) - 0.5) >= distance)
    assert float(screen_elements(ds, "labels")["p"][0]) == pytest.approx(np.mean(every))


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8))
def test_holm_equals_its_steps(p):
    np.testing.assert_allclose(screening._holm(np.array(p)), naive_holm(p))


def test_arrays_do_as_well_as_names():
    ds = samples()
    by_name = screen_elements(ds, "labels")
    xr.testing.assert_identical(screen_elements(ds["concentration"], ds["labels"]), by_name)
    more = xr.concat([ds, ds.assign(labels=ds["labels"] * 0 - 1)], dim="sample")
    xr.testing.assert_identical(screen_elements(more, "labels"), by_name)


# --------------------------------------------------------------------------------------- SVM


def test_auc_of_hard_labels():
    assert auc_from_labels([1, 1, 0, 0, 0], [1, 1, 1, 0, 0]) == pytest.approx((2 / 3 + 1) / 2)
    assert auc_from_labels(np.ones(4, bool), [1, 1, 0, 0]) == 0.5
    rng = np.random.default_rng(0)
    labels, called = np.repeat([1, 0], 122), rng.integers(0, 2, 244)
    assert auc_from_labels(called, labels) == pytest.approx((called == labels).mean())  # k / 244
    with pytest.raises(LabelError, match="both classes"):
        auc_from_labels([1, 0], [1, 1])
    with pytest.raises(LabelError, match="one shape"):
        auc_from_labels([1, 0, 1], [1, 0])
    with pytest.raises(LabelError, match="hold 1 and 0"):
        auc_from_labels([0.3, 0.9], [1, 0])


def test_svm_finds_what_ranks_cannot():
    ds = samples(60, 60)
    rng = np.random.default_rng(1)
    middle = ds["labels"].values == 1  # deposits in the middle, background on both sides
    values = np.where(middle, rng.normal(0, 0.3, 120), rng.choice([-2, 2], 120))
    ds["concentration"][:, 2] = values + rng.normal(0, 0.1, 120)
    svm = screen_elements(ds, "labels", method="svm", seed=0)
    ranks = screen_elements(ds, "labels")
    assert svm["kept"].sel(element="Cu")
    assert not ranks["kept"].sel(element="Cu")
    assert svm["kept"].sel(element="Au")
    aucs = svm["auc"].values[:3]
    np.testing.assert_allclose(aucs * 120, np.round(aucs * 120), atol=1e-9)  # hard labels
    z = svm["z"].values
    two_sided = [math.erfc(abs(one) / math.sqrt(2)) for one in z]
    np.testing.assert_allclose(svm["p"], two_sided)


def test_svm_is_cross_validated():
    # Noise: an SVM that is judged by what it learnt does far better than chance.
    ds = samples(40, 40, seed=5).isel(element=[2]).drop_vars("labels")
    rng = np.random.default_rng(0)
    aucs = []
    for seed in range(6):
        marks = xr.DataArray(rng.permutation(np.repeat([1, 0], 40)), dims="sample")
        found = screen_elements(ds, marks, method="svm", seed=seed)
        aucs.append(float(found["auc"][0]))
        assert not found["kept"].any()
    assert abs(np.mean(aucs) - 0.5) < 0.08


def test_seed_of_the_svm():
    ds = samples(seed=2)
    one, same, other = (screen_elements(ds, "labels", method="svm", seed=s) for s in (0, 0, 1))
    xr.testing.assert_identical(one, same)
    assert one.attrs["seed"] == 0
    assert (one["auc"] != other["auc"]).any()
    assert "seed" not in screen_elements(ds, "labels").attrs


# --------------------------------------------------------------------------------------- cubes


def test_deposits_of_a_cube_count_once():
    cube = small_cube(holes=20)
    labels = small_labels(cube, background=True)
    ds = cube.to_dataset(name="clr").assign(labels=labels)
    found = screen_elements(ds, "labels")
    blocks = [(4, 4), (12, 15), (19, 6)]
    for e in range(cube.sizes["element"]):
        layer = cube.values[e]
        deposits = [np.nanmedian(layer[r - 1 : r + 2, c - 1 : c + 2]) for r, c in blocks]
        background = layer[(labels.values == 0) & np.isfinite(layer)]
        expected = naive_auc([*deposits, *background], [1] * 3 + [0] * background.size)
        assert float(found["auc"][e]) == pytest.approx(expected)
        assert found["n_negative"][e] == background.size
    assert (found["n_positive"] == 3).all()
    ids = xr.where(labels == 1, 0, -1).astype("int16")  # one deposit of three blocks
    one = screen_elements(cube, labels.assign_coords(deposit=ids))
    assert (one["n_positive"] == 1).all()


def test_direction_of_y_and_chunks_do_not_matter():
    cube = small_cube(holes=20)
    labels = small_labels(cube, background=True)
    expected = screen_elements(cube, labels)
    south_up = screen_elements(cube.isel(y=slice(None, None, -1)), labels[::-1])
    xr.testing.assert_allclose(south_up, expected)
    xr.testing.assert_identical(screen_elements(cube.chunk(y=7, x=6), labels), expected)


def test_kept_elements_select_from_the_cube():
    cube = small_cube(40, 40)
    labels = xr.full_like(cube[0], 0, dtype="int8").drop_vars(["element", "unit"])
    labels[2::6, 2::6] = 1
    cube[1] = cube[1] + 4 * (labels == 1)
    found = screen_elements(cube, labels)
    assert cube["element"].values[found["kept"].values].tolist() == ["As"]


# -------------------------------------------------------------------------------------- errors


def test_arguments_are_checked():
    ds = samples()
    with pytest.raises(LabelError, match="method='rf' is unknown; use 'mann_whitney' or 'svm'"):
        screen_elements(ds, "labels", method="rf")
    for level in (2, "a"):
        with pytest.raises(LabelError, match=f"level={level!r} must lie"):
            screen_elements(ds, "labels", level=level)
    with pytest.raises(LabelError, match="n_folds='5' must be"):
        screen_elements(ds, "labels", n_folds="5")
    for wrong in (ds, small_cube()):
        with pytest.raises(LabelError, match="labels is a ndarray; give a DataArray"):
            screen_elements(wrong, np.zeros(70))
    with pytest.raises(CubeError, match="ds is a ndarray"):
        screen_elements(ds["concentration"].values, ds["labels"])
    with pytest.raises(LabelError, match="n_folds=1"):
        screen_elements(ds, "labels", method="svm", n_folds=1)
    with pytest.raises(LabelError, match="n_folds=31 is more than the 2[0-9] examples|30 examples"):
        screen_elements(ds, "labels", method="svm", n_folds=31)
    with pytest.raises(LabelError, match="'deposits' is no variable"):
        screen_elements(ds, "deposits")
    with pytest.raises(LabelError, match="give one each"):
        screen_elements(ds, ds["labels"][:5])
    with pytest.raises(CubeError, match="from_points"):
        screen_elements(ds.drop_vars("concentration"), "labels")


def test_classes_must_be_there():
    ds = samples()
    with pytest.raises(LabelError, match=r"no 0 \(background\) where element Au.*draw_background"):
        screen_elements(ds, ds["labels"] * 0 + 1)
    with pytest.raises(LabelError, match=r"no 1 \(deposit\) where element Au"):
        screen_elements(ds, ds["labels"] * 0)
    ds["concentration"][ds["labels"].values == 1, 2] = np.nan
    with pytest.raises(LabelError, match="element Cu.*drop the element"):
        screen_elements(ds, "labels")
    cube = small_cube()
    with pytest.raises(LabelError, match="background"):
        screen_elements(cube, small_labels(cube))
    with pytest.raises(GridError, match="labels"):
        screen_elements(cube, small_labels(cube, background=True)[1:])
