"""Units and stoichiometry, against pyrolite and periodictable."""

import json

import numpy as np
import pandas as pd
import periodictable
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from pyrolite.geochem.ind import simple_oxides
from pyrolite.geochem.transform import convert_chemistry

from xgeoanom.conventions import PPM_PER_UNIT
from xgeoanom.errors import CompositionError, CubeError
from xgeoanom.survey.oxides import ATOMIC_WEIGHTS, conversion, element_in, mass_fraction, to_unit

UNITS = st.sampled_from(sorted(PPM_PER_UNIT))
OXIDES = ["SiO2", "Al2O3", "Fe2O3", "FeO", "MgO", "CaO", "Na2O", "K2O", "TiO2", "P2O5", "MnO"]
OXIDES += ["ZnO", "Cr2O3", "U3O8", "WO3", "Nb2O5", "ZrO2", "Li2O", "CO2", "SO3", "La2O3"]


@pytest.mark.parametrize("element", sorted(ATOMIC_WEIGHTS))
def test_atomic_weights(element):
    expected = getattr(periodictable, element).mass
    assert ATOMIC_WEIGHTS[element] == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("oxide", OXIDES)
def test_mass_fractions(oxide):
    formula = periodictable.formula(oxide)
    element = next(atom for atom in formula.atoms if atom.symbol != "O")
    expected = formula.atoms[element] * element.mass / formula.mass
    assert mass_fraction(oxide) == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("oxide", ["SiO2", "Al2O3", "Fe2O3", "MgO", "CaO", "Na2O", "K2O", "TiO2"])
def test_agrees_with_pyrolite(oxide):
    element = element_in(oxide)
    assert oxide in simple_oxides(element)
    converted = convert_chemistry(pd.DataFrame({oxide: [10.0]}), to=[element])
    assert conversion(oxide, "%", element, "%") * 10 == pytest.approx(
        converted[element].iloc[0], rel=2e-4
    )


@given(oxide=st.sampled_from(OXIDES), unit=UNITS, other=UNITS)
def test_there_and_back(oxide, unit, other):
    there = conversion(oxide, unit, element_in(oxide), other)
    assert there * conversion(element_in(oxide), other, oxide, unit) == pytest.approx(1)


def test_elements_of_parts():
    assert [element_in(part) for part in ("Fe2O3", "Zn", "U3O8", "LOI")] == ["Fe", "Zn", "U", "LOI"]
    assert mass_fraction("Au") == 1.0
    assert conversion("LOI", "%", "LOI", "ppm") == 1e4


def test_refuses_foreign_parts_and_units():
    with pytest.raises(CompositionError, match="SiO2 holds no Fe"):
        conversion("SiO2", "%", "Fe", "%")
    with pytest.raises(CompositionError, match="'oz'.*ppb"):
        conversion("Au", "oz", "Au", "ppm")
    with pytest.raises(CompositionError, match="'LOI' has no atomic weight"):
        mass_fraction("LOI")


def small_table(per_sample=False):
    limit = [[0.5, 0.01]] * 2 if per_sample else [0.5, 0.01]
    dims = "sample", "element"
    return xr.Dataset(
        {
            "concentration": (dims, [[2.0, 0.5], [np.nan, 61.0]], {"long_name": "concentration"}),
            "state": (dims, np.array([[0, 0], [3, 0]], dtype="int8")),
        },
        coords={
            "element": ["Au", "SiO2"],
            "unit": ("element", ["ppb", "%"]),
            "detection_limit": (dims if per_sample else "element", limit),
        },
        attrs={"import_report": json.dumps({})},
    )


@pytest.mark.parametrize("per_sample", [False, True])
def test_to_unit(per_sample):
    table = small_table(per_sample)
    before = table.copy(deep=True)
    ppm = to_unit(table, "ppm")
    np.testing.assert_allclose(ppm["concentration"], [[2e-3, 5e3], [np.nan, 61e4]])
    np.testing.assert_allclose(ppm["detection_limit"], table["detection_limit"] * [1e-3, 1e4])
    assert ppm["detection_limit"].dims == table["detection_limit"].dims
    assert ppm["unit"].values.tolist() == ["ppm", "ppm"]
    assert ppm["concentration"].attrs == table["concentration"].attrs
    assert ppm.attrs == table.attrs
    assert ppm["state"].identical(table["state"].assign_coords(ppm.coords))
    xr.testing.assert_allclose(to_unit(ppm, {"Au": "ppb", "SiO2": "%"}), table)
    assert to_unit(table, {"Au": "ppm"})["unit"].values.tolist() == ["ppm", "%"]
    assert table.identical(before)


def test_to_unit_refuses():
    with pytest.raises(CompositionError, match="'oz'"):
        to_unit(small_table(), "oz")
    with pytest.raises(CubeError, match=r"\['Zn'\].*\['Au', 'SiO2'\]"):
        to_unit(small_table(), {np.str_("Zn"): "ppm"})
    with pytest.raises(CompositionError, match="unit='oz'"):
        to_unit(small_table(), {"Au": np.str_("oz")})
    with pytest.raises(CubeError, match="concentration"):
        to_unit(xr.Dataset(), "ppm")
