"""Stream sediments of Western Australia: a public file with all its faults, and what is left."""

from dataclasses import dataclass

import geopandas as gpd
import pandas as pd
import xarray as xr

from xgeoanom.datasets.fetching import fetch
from xgeoanom.survey.duplicates import collapse_duplicates
from xgeoanom.survey.reading import read_assays

MISREPORTED = ("104743", "100924")  # columns shifted by one; six elements far too low


@dataclass(frozen=True)
class Sed1Survey:
    """Stream sediments and gold sites, in metres (EPSG:32750).

    Attributes
    ----------
    raw : xarray.Dataset
        Survey table of all 1392 rows, as :func:`read_assays` reads them.
    survey : xarray.Dataset
        Survey table of 828 distinct samples, without the reports that are plainly wrong.
    deposits : geopandas.GeoDataFrame
        32 gold sites.
    """

    raw: xr.Dataset
    survey: xr.Dataset
    deposits: gpd.GeoDataFrame


def sed1() -> Sed1Survey:
    """Fetch stream sediments of Western Australia: 61 elements, 32 gold sites.

    The first call downloads 3 MB, see :func:`fetch`. The cleaned survey leaves out company reports
    104743 (columns shifted by one) and 100924 (six elements far too low), which
    :func:`import_report` flags, and collapses repeated reports of a sample. Censored values stay
    marked, and reports of several leaches stay side by side: 74821 has another limit of gold than
    all others, and a median to match.

    Returns
    -------
    Sed1Survey
        ``.raw``, ``.survey`` and ``.deposits``.

    Notes
    -----
    © State of Western Australia (DMPE), CC BY 4.0, from WAMEX and MINEDEX.

    Examples
    --------
    >>> sed1().survey.sizes["sample"]  # doctest: +SKIP
    828
    """
    folder = fetch("gswa_sed1")
    raw = read_assays(
        folder / "geochemical" / "area1_sediment_au.csv",
        crs=4326,
        sample_id="COMPSAMPID",
        batch="WAMEX_A_NO",
    )
    kept = raw.sel(sample=~raw["batch"].isin(MISREPORTED))
    sites = pd.read_csv(folder / "site" / "area1_sediment_au_site.csv")
    places = gpd.GeoSeries.from_xy(sites["X"], sites["Y"], crs=4326).to_crs(raw.rio.crs)
    deposits = gpd.GeoDataFrame(sites.drop(columns=["X", "Y"]), geometry=places)
    return Sed1Survey(raw, collapse_duplicates(kept), deposits)
