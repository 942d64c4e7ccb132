"""One array in a GeoTIFF, with what the format itself cannot keep in a tag."""

import json
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.enums
import rasterio.shutil
import rioxarray
import xarray as xr

from xgeoanom.conventions import ELEMENT, UNIT, X, Y, cell_size
from xgeoanom.errors import CubeError
from xgeoanom.survey.replacing import remove

RECORD = "xgeoanom"
BLOCK = 512  # cells a side of a tile
# Band by band, so that a block of one element can be read alone.
LAYOUT = {
    "tiled": True,
    "blockxsize": BLOCK,
    "blockysize": BLOCK,
    "interleave": "band",
    "BIGTIFF": "IF_SAFER",
}
# How a file stored its values; the reader dealt with that already.
STORAGE_ATTRS = ("_FillValue", "scale_factor", "add_offset", "AREA_OR_POINT")


def save(obj: xr.DataArray | xr.Dataset, path: Path) -> None:
    """Write ``(y, x)`` or ``(element, y, x)`` north-up, cloud-optimised; lazy ones are streamed."""
    array = _north_up(_checked(obj)).drop_encoding()
    names = array[ELEMENT].values if ELEMENT in array.dims else [array.name or ""]
    record = {
        "name": array.name,
        "dims": array.dims,
        "dtype": str(array.dtype),
        "attrs": array.attrs,
        **{key: array[key].values for key in (ELEMENT, UNIT) if key in array.coords},
    }
    # rioxarray takes a tag in braces for an array of numbers; hence the list.
    tags = {RECORD: json.dumps([record], default=lambda value: np.asarray(value).tolist())}
    # A name for each band; what else there is to say stands in the tag.
    array = array.drop_attrs(deep=False).assign_attrs(long_name=[str(name) for name in names])
    if array.dtype == bool:
        array = array.astype("uint8")
    if array.dtype.kind == "f":
        array = array.rio.write_nodata(np.nan)
    # With a lock, blocks of a lazy array are computed side by side and written one at a time.
    plain = path.with_name(f"{path.name}.plain")
    try:
        array.rio.to_raster(plain, driver="GTiff", tags=tags, lock=threading.Lock(), **LAYOUT)
        _optimise(plain, path)
    finally:
        remove(plain)


def _optimise(plain: Path, path: Path) -> None:
    """Copy a GeoTIFF so that a reader over the network finds its way by the first bytes.

    Overviews come before the full size, the header before both: a cloud-optimised GeoTIFF.
    """
    with rasterio.Env(GDAL_TIFF_OVR_BLOCKSIZE=BLOCK):
        with rasterio.open(plain, "r+") as file:
            halvings = max(math.ceil(math.log2(max(file.shape) / BLOCK)), 0)
            # A class or label has no mean.
            how = "average" if np.dtype(file.dtypes[0]).kind == "f" else "nearest"
            if halvings:
                factors = [2**k for k in range(1, halvings + 1)]
                file.build_overviews(factors, rasterio.enums.Resampling[how])
        rasterio.shutil.copy(plain, path, driver="GTiff", COPY_SRC_OVERVIEWS="YES", **LAYOUT)


def _checked(obj: xr.DataArray | xr.Dataset) -> xr.DataArray:
    if isinstance(obj, xr.Dataset):
        raise CubeError(
            f"a GeoTIFF holds one array, not a dataset of {list(obj.data_vars)}; save one of "
            "them, or save all as .nc or .zarr"
        )
    if set(obj.dims) not in ({Y, X}, {ELEMENT, Y, X}):
        raise CubeError(f"dims={obj.dims} are neither (y, x) nor (element, y, x); save as .nc")
    cell_size(obj)
    return obj.transpose(..., Y, X)


def _north_up(array: xr.DataArray) -> xr.DataArray:
    """Turn ``array`` so that ``y`` descends and ``x`` ascends."""
    height, width = cell_size(array)
    back = slice(None, None, -1)
    return array.isel(
        {Y: back if height > 0 else slice(None), X: back if width < 0 else slice(None)}
    )


def load(path: Path) -> xr.DataArray:
    """Open any GeoTIFF lazily; one that :func:`save` wrote gets its names and attrs back."""
    raster = rioxarray.open_rasterio(path, mask_and_scale=True, cache=False)
    if not isinstance(raster, xr.DataArray):
        raise CubeError("it holds several rasters")
    # The last cell is missing from a truncated file, whose header may well be whole.
    raster[-1, -1, -1].load()
    raster = raster.chunk({"band": -1, Y: "auto", X: "auto"}).drop_encoding()
    if RECORD in raster.attrs:
        return _as_recorded(raster, json.loads(raster.attrs[RECORD])[0])
    raster.attrs = {name: v for name, v in raster.attrs.items() if name not in STORAGE_ATTRS}
    if raster.sizes["band"] == 1:
        return raster.isel(band=0, drop=True)
    names = raster.attrs.pop("long_name", None)
    if not isinstance(names, tuple) or len(names) < raster.sizes["band"]:
        names = [f"band{band}" for band in raster["band"].values]
    return raster.rename(band=ELEMENT).assign_coords({ELEMENT: list(names)})


def _as_recorded(raster: xr.DataArray, record: dict[str, Any]) -> xr.DataArray:
    """Give ``raster`` the names, units and attrs that :func:`save` wrote down."""
    if ELEMENT in record["dims"]:
        raster = raster.rename(band=ELEMENT).drop_vars(ELEMENT)
    else:
        raster = raster.isel(band=0, drop=True)
    for name in (ELEMENT, UNIT):
        if name in record:
            raster = raster.assign_coords(
                {name: (ELEMENT if ELEMENT in raster.dims else (), record[name])}
            )
    raster = raster.astype(record["dtype"]).rename(record["name"])
    raster.attrs = typed_flags(record["attrs"], raster.dtype)
    return raster


def typed_flags(attrs: dict[Any, Any], dtype: np.dtype) -> dict[Any, Any]:
    """Give ``flag_values`` back the type of the values: JSON has but one kind of number."""
    if "flag_values" not in attrs:
        return attrs
    return {**attrs, "flag_values": np.asarray(attrs["flag_values"], dtype=dtype)}
