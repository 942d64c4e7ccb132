"""From a file or a frame to one clean frame: CSV, Excel, Parquet, GeoPackage."""

import csv
import re
import warnings
from collections.abc import Callable, Collection, Hashable
from pathlib import Path
from typing import NamedTuple

import geopandas as gpd
import pandas as pd

from xgeoanom.errors import CubeError, XGeoAnomError


class Source(NamedTuple):
    """A frame as read, and what to call it. Its index names the rows: those of the file."""

    frame: pd.DataFrame
    name: str


# Where a file is not as most are, pandas reads it; its frame is a source as well.
_BY_PANDAS = (
    "read it with pandas (encoding=... for other alphabets, skiprows=... for lines above the "
    "header) and pass the frame"
)


def open_source(
    source: str | Path | pd.DataFrame, text: Collection[Hashable], decimal: str = "."
) -> Source:
    """Read a table from a path, or take a frame, and check that it has rows and distinct headers.

    Parameters
    ----------
    source : str, pathlib.Path, pandas.DataFrame or geopandas.GeoDataFrame
        What holds the samples.
    text : collection of hashable
        Columns that are names rather than numbers: their leading zeros are kept.
    decimal : str
        The decimal sign of CSV.

    Returns
    -------
    Source
        The frame, indexed by the row of the file (the header is row 1) for CSV and Excel, and its
        name.

    Raises
    ------
    CubeError
        If the file is missing, unreadable, cut short, ambiguous or empty, or repeats a header.

    Examples
    --------
    >>> open_source(pd.DataFrame({"Au_ppb": [1.0, 2.0]}), text=()).name
    'DataFrame'
    """
    if isinstance(source, pd.DataFrame):
        frame, name = source, type(source).__name__
    elif isinstance(source, str | Path):
        path = Path(source)
        frame, name = _read(path, text, decimal), path.name
    else:
        raise CubeError(
            f"source is a {type(source).__name__}; give a path, a DataFrame or a GeoDataFrame"
        )
    frame = frame.dropna(how="all")
    _check_headers(frame, name)
    if frame.empty:
        raise CubeError(f"{name} holds no rows; give a table with a header and samples")
    return Source(frame, name)


def _read(path: Path, text: Collection[Hashable], decimal: str) -> pd.DataFrame:
    reader = _read_partitions if path.is_dir() else _READERS.get(path.suffix.lower())
    if reader is None:
        raise CubeError(
            f"source={path.name!r} must end in one of {list(_READERS)}; "
            "or read it with pandas and pass the frame"
        )
    if not path.exists():
        raise CubeError(f"source={str(path)!r} does not exist")
    try:
        return reader(path, text, decimal)
    except XGeoAnomError:
        raise
    except ImportError as error:
        raise CubeError(f"{path.name} needs a package that is not installed: {error}") from error
    # What readers raise on broken files is as manifold as their libraries.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise CubeError(
            f"{path.name} cannot be read ({reason}); is it complete, and what its name says? "
            f"Or {_BY_PANDAS}"
        ) from error


def _read_csv(path: Path, text: Collection[Hashable], decimal: str) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    separator = max(",;\t|", key=header.count)
    _check_last_line(path, separator, len(next(csv.reader([header], delimiter=separator), [])))
    with warnings.catch_warnings():
        # pandas only warns when it drops entries of rows that are longer than the header.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = pd.read_csv(
            path,
            sep=separator,
            encoding="utf-8-sig",
            index_col=False,
            skip_blank_lines=False,
            low_memory=False,
            decimal=decimal,
            dtype=dict.fromkeys(text, str),
        )
    if frame.shape[1] == 1:
        raise CubeError(f"{path.name} has one column, {frame.columns[0]!r}; {_BY_PANDAS}")
    return _numbered(frame)


def _check_last_line(path: Path, separator: str, width: int) -> None:
    """Refuse a file that breaks off within a row: pandas would fill the row with NaN."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2**20))
        lines = file.read().decode("utf-8", errors="replace").rstrip().splitlines()
    # An odd quote belongs to an entry over several lines, which pandas checks itself.
    if not lines or lines[-1].count('"') % 2:
        return
    found = len(next(csv.reader([lines[-1]], delimiter=separator), []))
    if found < width:
        raise CubeError(
            f"{path.name} breaks off in its last row ({found} of {width} entries: "
            f"{lines[-1][:40]!r}); get the complete file, or complete the row"
        )


def _read_excel(path: Path, text: Collection[Hashable], _: str) -> pd.DataFrame:
    sheets = pd.read_excel(path, sheet_name=None, dtype=dict.fromkeys(text, str))
    filled = {name: sheet for name, sheet in sheets.items() if not sheet.empty}
    if len(filled) > 1:
        raise CubeError(
            f"{path.name} has several sheets {list(filled)}; read the one that is meant with "
            "pandas.read_excel(..., sheet_name=...) and pass the frame"
        )
    return _numbered(next(iter((filled or sheets).values())))


def _read_parquet(path: Path, *_: object) -> pd.DataFrame:
    try:
        return gpd.read_parquet(path)
    except ValueError as error:
        if "geo metadata" not in str(error):
            raise
    return pd.read_parquet(path)


def _read_partitions(path: Path, *_: object) -> pd.DataFrame:
    parts = sorted(path.glob("*.parquet"))
    if not parts:
        raise CubeError(
            f"source={str(path)!r} is a folder without .parquet files; name a file, or the folder "
            "that holds them itself: folders within are not searched"
        )
    frames = [_read_partition(part) for part in parts]
    for part, frame in zip(parts, frames, strict=True):
        if only := set(frame.columns) ^ set(frames[0].columns):
            raise CubeError(
                f"{part.name} and {parts[0].name} differ in columns: only one has "
                f"{sorted(map(str, only))}; give all of them the same, empty where unknown"
            )
    return pd.concat(frames, ignore_index=True)  # partitions may each count from 0


def _read_partition(path: Path) -> pd.DataFrame:
    try:
        return _read_parquet(path)
    except ImportError:
        raise
    except Exception as error:
        raise CubeError(f"{path.name} cannot be read ({error}); is it complete?") from error


def _read_layer(path: Path, *_: object) -> pd.DataFrame:
    layers = gpd.list_layers(path)["name"].tolist()
    if len(layers) > 1:
        raise CubeError(
            f"{path.name} has several layers {layers}; read the one that is meant with "
            "geopandas.read_file(..., layer=...) and pass the frame"
        )
    return gpd.read_file(path)


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    """Index a frame by the rows of its file, the header being row 1."""
    return frame.set_axis(pd.RangeIndex(2, len(frame) + 2), axis="index")


_READERS: dict[str, Callable[[Path, Collection[Hashable], str], pd.DataFrame]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".txt": _read_csv,
    ".xlsx": _read_excel,
    ".xls": _read_excel,
    ".parquet": _read_parquet,
    ".gpkg": _read_layer,
    ".geojson": _read_layer,
    ".shp": _read_layer,
}


def _check_headers(frame: pd.DataFrame, name: str) -> None:
    headers = [str(header) for header in frame.columns]
    repeated = {header for header in headers if headers.count(header) > 1}
    # pandas renames the second "Au" of a file to "Au.1".
    repeated |= {
        match[1]
        for header in headers
        if (match := re.fullmatch(r"(.+)\.\d+", header)) and match[1] in headers
    }
    if sum(header.startswith("Unnamed: ") for header in headers) > len(headers) / 2:
        raise CubeError(f"the first line of {name} is no header: {headers[:4]}...; {_BY_PANDAS}")
    if repeated:
        raise CubeError(f"{name} has several columns named {sorted(repeated)}; keep one of each")
