"""Units, and oxides against elements by stoichiometry."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xgeoanom.conventions import ELEMENT, PPM_PER_UNIT, UNIT, units_of
from xgeoanom.errors import CompositionError, CubeError
from xgeoanom.survey.table import check_table

# Standard atomic weights, abridged to five digits: Prohaska et al. (2022), Standard atomic weights
# of the elements 2021 (IUPAC Technical Report), Pure Appl. Chem. 94, 573.
ATOMIC_WEIGHTS = {
    "H": 1.0080, "Li": 6.94, "Be": 9.0122, "B": 10.81, "C": 12.011, "N": 14.007, "O": 15.999,
    "F": 18.998, "Na": 22.990, "Mg": 24.305, "Al": 26.982, "Si": 28.085, "P": 30.974, "S": 32.06,
    "Cl": 35.45, "K": 39.098, "Ca": 40.078, "Sc": 44.956, "Ti": 47.867, "V": 50.942, "Cr": 51.996,
    "Mn": 54.938, "Fe": 55.845, "Co": 58.933, "Ni": 58.693, "Cu": 63.546, "Zn": 65.38,
    "Ga": 69.723, "Ge": 72.630, "As": 74.922, "Se": 78.971, "Br": 79.904, "Rb": 85.468,
    "Sr": 87.62, "Y": 88.906, "Zr": 91.224, "Nb": 92.906, "Mo": 95.95, "Ru": 101.07, "Rh": 102.91,
    "Pd": 106.42, "Ag": 107.87, "Cd": 112.41, "In": 114.82, "Sn": 118.71, "Sb": 121.76,
    "Te": 127.60, "I": 126.90, "Cs": 132.91, "Ba": 137.33, "La": 138.91, "Ce": 140.12,
    "Pr": 140.91, "Nd": 144.24, "Sm": 150.36, "Eu": 151.96, "Gd": 157.25, "Tb": 158.93,
    "Dy": 162.50, "Ho": 164.93, "Er": 167.26, "Tm": 168.93, "Yb": 173.05, "Lu": 174.97,
    "Hf": 178.49, "Ta": 180.95, "W": 183.84, "Re": 186.21, "Os": 190.23, "Ir": 192.22,
    "Pt": 195.08, "Au": 196.97, "Hg": 200.59, "Tl": 204.38, "Pb": 207.2, "Bi": 208.98,
    "Th": 232.04, "U": 238.03,
}  # fmt: skip
_FORMULA = re.compile(r"([A-Z][a-z]?)(\d*)(?:O(\d*))?")


def element_in(part: str) -> str:
    """Return the chemical element of a part; loss on ignition is its own.

    Examples
    --------
    >>> element_in("Fe2O3"), element_in("Au"), element_in("LOI")
    ('Fe', 'Au', 'LOI')
    """
    match = _FORMULA.fullmatch(part)
    return match[1] if match else part


def mass_fraction(part: str) -> float:
    """Return the mass of the element in one mass of an oxide; 1 for an element.

    Parameters
    ----------
    part : str
        An element or oxide, such as ``"Fe2O3"``.

    Returns
    -------
    float
        Between 0 and 1, by the standard atomic weights of IUPAC (Prohaska et al., 2022, Pure Appl.
        Chem. 94, 573).

    Raises
    ------
    CompositionError
        If ``part`` is no oxide or element with a standard atomic weight.

    Examples
    --------
    >>> round(mass_fraction("SiO2"), 4)
    0.4674
    """
    match = _FORMULA.fullmatch(part)
    if match is None or match[1] not in ATOMIC_WEIGHTS:
        raise CompositionError(
            f"part={str(part)!r} has no atomic weight; use an oxide such as 'Fe2O3'"
        )
    if match[3] is None:
        return 1.0
    cation = int(match[2] or 1) * ATOMIC_WEIGHTS[match[1]]
    return cation / (cation + int(match[3] or 1) * ATOMIC_WEIGHTS["O"])


def conversion(part: str, unit: str, to_part: str, to_unit: str) -> float:
    """Return the factor that turns values of one part and unit into those of another.

    Raises
    ------
    CompositionError
        If the parts hold different elements, or a unit is unknown.

    Examples
    --------
    >>> round(conversion("ZnO", "%", "Zn", "ppm"), 1)
    8034.0
    """
    if element_in(part) != element_in(to_part):
        raise CompositionError(f"{part} holds no {element_in(to_part)}; it cannot become {to_part}")
    factor = _ppm(unit) / _ppm(to_unit)
    return factor if part == to_part else factor * mass_fraction(part) / mass_fraction(to_part)


def _ppm(unit: str) -> float:
    if unit not in PPM_PER_UNIT:
        raise CompositionError(f"unit={str(unit)!r} is unknown; use one of {list(PPM_PER_UNIT)}")
    return PPM_PER_UNIT[unit]


def to_unit(table: xr.Dataset, unit: str | Mapping[str, str]) -> xr.Dataset:
    """Convert the concentrations and detection limits of a survey table to other units.

    Parameters
    ----------
    table : xarray.Dataset
        Survey table: ``concentration`` ``(sample, element)`` with the coord ``unit``.
    unit : str or mapping of str to str
        The unit of all elements, or of those named: one of ppb, ug/kg, ppm, mg/kg, g/t, %, pct,
        wt%.

    Returns
    -------
    xarray.Dataset
        The table with ``concentration``, ``detection_limit`` and ``unit`` in the new units.

    Raises
    ------
    CubeError
        If ``table`` is no survey table, or lacks an element that is named.
    CompositionError
        If a unit is unknown.

    Examples
    --------
    >>> dims = "sample", "element"
    >>> table = xr.Dataset(
    ...     {"concentration": (dims, [[2.0, 0.5]]), "state": (dims, [[0, 0]])},
    ...     coords={"element": ["Au", "SiO2"], "unit": ("element", ["ppb", "%"])},
    ... )
    >>> to_unit(table, "ppm")["concentration"].values
    array([[2.e-03, 5.e+03]])
    """
    check_table(table)
    names = [str(name) for name in table[ELEMENT].values]
    old = dict(zip(names, units_of(table["concentration"]), strict=True))
    new = dict.fromkeys(names, unit) if isinstance(unit, str) else old | dict(unit)
    if strange := sorted(map(str, new.keys() - old.keys())):
        raise CubeError(f"unit names {strange}, which the table lacks; it has {names}")
    factors = np.array([_ppm(old[name]) / _ppm(new[name]) for name in names])
    factor = xr.DataArray(factors, dims=ELEMENT)
    concentration = (table["concentration"] * factor).assign_attrs(table["concentration"].attrs)
    coords: dict[str, Any] = {UNIT: (ELEMENT, list(new.values()))}
    if "detection_limit" in table.coords:
        coords["detection_limit"] = table["detection_limit"].variable * factor.variable
    return table.assign(concentration=concentration).assign_coords(coords)
