"""Files of real surveys, downloaded when first asked for; nothing of them is shipped."""

import os
from importlib import resources
from pathlib import Path

import pooch

from xgeoanom.errors import XGeoAnomError

CACHE = "XGEOANOM_DATA"  # environment variable that names the folder of all surveys
ADDRESSES = {
    "tianshan": "https://raw.githubusercontent.com/Aleksiyu/"
    "Recognizing-geochemical-spatial-patterns-using-DCN-guided-with-geological-knowledge/"
    "7f2d65b1868c30284fd35ef5f81920a473d03406/research/New_data/",
    "gswa_sed1": "https://raw.githubusercontent.com/yihaoding/geochemad/"
    "557cdf83fabd4ac6dace68985da2d948472a8754/data/gswa/",
}


def fetch(survey: str) -> Path:
    """Return the folder of a real survey's files, as published; the first call downloads them.

    They lie in the folder that the environment variable ``XGEOANOM_DATA`` names, or in the
    system's cache; every file is checked against its sha256.

    Parameters
    ----------
    survey : {"tianshan", "gswa_sed1"}
        ``"tianshan"``: rasters of 39 analytes, see :func:`tianshan` (8 MB; GPL-3.0).
        ``"gswa_sed1"``: 1392 stream sediments of Western Australia,
        ``geochemical/area1_sediment_au.csv``, and 32 gold sites,
        ``site/area1_sediment_au_site.csv``; longitude and latitude (3 MB; © State of Western
        Australia, DMPE, CC BY 4.0, from WAMEX and MINEDEX).

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    XGeoAnomError
        If the survey is unknown.

    Examples
    --------
    >>> fetch("gswa_sed1") / "geochemical" / "area1_sediment_au.csv"  # doctest: +SKIP
    """
    if survey not in ADDRESSES:
        raise XGeoAnomError(f"survey={survey!r} is unknown; use one of {list(ADDRESSES)}")
    cache = Path(os.environ.get(CACHE) or pooch.os_cache("xgeoanom")) / survey
    fetcher = pooch.create(path=cache, base_url=ADDRESSES[survey])
    with resources.as_file(resources.files(__package__) / f"{survey}.txt") as registry:
        fetcher.load_registry(registry)
    for name in fetcher.registry:
        fetcher.fetch(name)
    return cache
