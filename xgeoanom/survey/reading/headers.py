"""What a column's header says: the part, its unit, or that it holds a coordinate."""

import re
import unicodedata
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from xgeoanom.conventions import parse_element
from xgeoanom.errors import CubeError

# How laboratories write the units; `PPM_PER_UNIT` knows the right-hand side.
UNIT_SPELLINGS = {
    "ppb": "ppb",
    "ng/g": "ppb",
    "ug/kg": "ug/kg",
    "ppm": "ppm",
    "ug/g": "ppm",
    "mg/kg": "mg/kg",
    "g/t": "g/t",
    "gpt": "g/t",
    "%": "%",
    "pct": "%",
    "percent": "%",
    "wt%": "wt%",
    "wtpct": "wt%",
    "%wt": "wt%",
}
_SPELLED = "|".join(
    re.escape(unit).replace("wt", r"[\s._]*wt[\s._]*")
    for unit in sorted(UNIT_SPELLINGS, key=len, reverse=True)
)
_BREAK = r"[\s_.,:;-]*"
_UNIT_AT_END = re.compile(
    rf"(?P<rest>.*?){_BREAK}[(\[]?{_BREAK}(?P<unit>{_SPELLED})\s*[)\]]?", re.IGNORECASE
)
# Digestion and instrument, as in Au_FA_ppb, As_ICPMS_ppm or Cu ppm ME-MS61; a list, since IR, NA
# or AR may be an element as well.
_METHODS = (
    r"(?:[\s_/(\[-]+(?:4AD?|AAS?|AES|AR|BLEG|FA|ICP|ICPAES|ICPMS|ICPOES|INAA|ME|MMI|MS|NAA|OES|XRF)"
    r"(?:\d+[A-Za-z]?)?)"
)
_METHOD = re.compile(rf"{_METHODS}+[)\]]?$")
# What stands behind a unit that does not end the header, and units of other kinds: per volume, or
# ounces of an unnamed ton.
_LIKE_ASSAY = re.compile(
    rf"(?P<part>[a-z]{{1,2}}(?:\d*o\d*)?){_METHODS}*[\s_.,:;(\[-]+"
    rf"(?:(?:{_SPELLED})(?![a-z]).*|(?:oz|dwt|lb|kg|g|mg|ug|ng)/\w+\W*.*|opt\b.*)",
    re.IGNORECASE,
)
_TOTAL_IRON = re.compile(r"(T?)(Fe(?:2O3|O)?)[\s_]?(T|tot|total|\(T\)|\(tot\)|\*)?", re.IGNORECASE)
_OXIDE = re.compile(r"([a-z]{1,2})(\d*)o(\d*)", re.IGNORECASE)


class Header(NamedTuple):
    """What a header states: the part, its unit if any, and whether iron is total iron."""

    part: str
    unit: str | None
    total: bool = False


def parse_header(header: Hashable) -> Header | None:
    """Return the part and unit that a column's header states, else None.

    Units may follow a space, underscore, hyphen or stop, or stand in brackets; a digestion or
    instrument may stand between (``Au_FA_ppb``) or behind (``Cu_ppm_XRF``). Upper and lower case
    count only where both readings are chemistry, and there the element wins: ``CO`` is cobalt, no
    laboratory reports carbon monoxide.

    Parameters
    ----------
    header : hashable
        The header, such as ``"Cu (ppm)"``.

    Returns
    -------
    Header or None
        ``part`` as in ``Au`` or ``SiO2``, ``unit`` as in ``PPM_PER_UNIT`` or None, and ``total``,
        true for ``Fe2O3T`` and its like.

    Examples
    --------
    >>> parse_header("Cu (ppm)"), parse_header("SIO2 %")
    (Header(part='Cu', unit='ppm', total=False), Header(part='SiO2', unit='%', total=False))
    >>> parse_header("LABnegNR_N") is None
    True
    """
    text = _METHOD.sub("", _plain(header))
    unit = None
    if match := _UNIT_AT_END.fullmatch(text):
        text, unit = match["rest"], UNIT_SPELLINGS[re.sub(r"[\s._]", "", match["unit"].lower())]
    text = _METHOD.sub("", text.strip())
    iron = _TOTAL_IRON.fullmatch(text)
    part = _part(iron[2] if iron else text)
    total = bool(iron and (iron[1] or iron[3]))
    return Header(part, unit, total) if part else None


def looks_like_assay(header: Hashable) -> bool:
    """Say whether a header that :func:`parse_header` leaves starts as that of an assay would.

    Examples
    --------
    >>> looks_like_assay("Zn_ppm_rpt"), looks_like_assay("Ag_oz/t"), looks_like_assay("Site_ppm")
    (True, True, False)
    """
    match = _LIKE_ASSAY.fullmatch(_plain(header))
    return bool(match and _part(match["part"]) and parse_header(header) is None)


def _plain(header: Hashable) -> str:
    return unicodedata.normalize("NFKC", str(header)).strip().replace("μ", "u")


def _part(text: str) -> str | None:
    """Return the part that ``text`` spells in any case; elements go before oxides."""
    element = text.capitalize()
    if text.isalpha() and len(text) <= 2 and parse_element(element):
        return element
    if text.upper() == "LOI":
        return "LOI"
    oxide = _OXIDE.fullmatch(text)
    # One letter and an O is a word ("NO", "so"), no oxide.
    if oxide is None or (text.isalpha() and len(text) == 2):
        return None
    spelled = f"{oxide[1].capitalize()}{oxide[2]}O{oxide[3]}"
    return spelled if parse_element(spelled) == (spelled, None) else None


# ----------------------------------------------------------------------------------- places

_GEOGRAPHIC = (
    {"lon", "long", "longitude", "lng", "dlon", "dlong"},
    {"lat", "latitude", "dlat"},
)
_PROJECTED = (
    {"e", "east", "easting", "eastings", "utme", "utmx"},
    {"n", "north", "northing", "northings", "utmn", "utmy"},
)
_NEUTRAL = ({"x", "xcoord"}, {"y", "ycoord"})
# Words that may stand beside an axis: EASTING_MGA94, x coord (m), GPS_E.
_BESIDE_AXIS = set(
    "agd amg coord coordinate coordinates dd dec decimal deg degrees etrs gda gps grid m meters "
    "metres mga nad orig point utm wgs zone".split()
)


def find_axes(headers: Sequence[Hashable], *, geographic: bool) -> tuple[Hashable, Hashable]:
    """Return the headers of the x and the y coordinate, found by their usual names.

    Longitude and latitude are looked for first in a geographic CRS, easting and northing first in
    a projected one, and x and y in either.

    Raises
    ------
    CubeError
        If there is no such pair, or several columns claim one axis.

    Examples
    --------
    >>> find_axes(["Easting_MGA94", "Northing_MGA94", "Y_ppm"], geographic=False)
    ('Easting_MGA94', 'Northing_MGA94')
    """
    for names in (_GEOGRAPHIC if geographic else _PROJECTED, _NEUTRAL):
        xs, ys = ([header for header in headers if _names_axis(header, axis)] for axis in names)
        if len(xs) == len(ys) == 1:
            return xs[0], ys[0]
        if xs and ys:
            raise CubeError(
                f"columns {xs} and {ys} all look like coordinates; choose with x=... and y=..."
            )
    kind = "longitude and latitude" if geographic else "easting and northing"
    raise CubeError(
        f"no columns named like {kind} or x and y among {list(headers)}; "
        "name them with x=... and y=..."
    )


def bare_axes(headers: Sequence[Hashable]) -> list[Hashable]:
    """Return the headers that are nothing but axes and come as pairs of x and y.

    ``N`` and ``Y`` are elements as well; beside ``E`` or ``X``, and without a unit, they are none.

    Examples
    --------
    >>> bare_axes(["E", "N", "Y", "Au_ppb"])
    ['E', 'N']
    """
    bare = [h for h in headers if not ((said := parse_header(h)) and said.unit)]
    found: list[Hashable] = []
    for names in (_GEOGRAPHIC, _PROJECTED, _NEUTRAL):
        xs, ys = ([header for header in bare if _names_axis(header, axis)] for axis in names)
        found += [*xs, *ys] if xs and ys else []
    return found


def axes_look_swapped(x: Hashable, y: Hashable) -> bool:
    """Say whether the header of x names a y axis, and that of y an x axis."""
    return any(
        _names_axis(x, ys) and _names_axis(y, xs) for xs, ys in (_GEOGRAPHIC, _PROJECTED, _NEUTRAL)
    )


def _names_axis(header: Hashable, names: set[str]) -> bool:
    words = re.findall("[a-z]+", str(header).lower())
    return len(names & set(words)) == 1 and set(words) <= names | _BESIDE_AXIS
