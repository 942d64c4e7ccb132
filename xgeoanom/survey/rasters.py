"""Cubes and rasters in files: GeoTIFF, NetCDF and Zarr, there and back."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr

from xgeoanom.blocks import on_cluster, on_threads
from xgeoanom.conventions import ELEMENT, X, Y, check_same_grid
from xgeoanom.errors import CRSError, CubeError, GridError, StoreError
from xgeoanom.survey import geotiff, zarr_store
from xgeoanom.survey.replacing import remove, replacing
from xgeoanom.survey.stored_array import stored_arrays

RECORD = "xgeoanom"  # attr of a file that holds one array
BLOCK = 512  # cells a side of a stored block of an eager array

Array = xr.DataArray | xr.Dataset
Opener = Callable[[Path], Array]
Writer = Callable[[Any, Path], None]


def open_rasters(folder: str | Path) -> xr.Dataset:
    """Open a folder of GeoTIFFs, one per element, as a dataset of lazy rasters.

    Parameters
    ----------
    folder : str or pathlib.Path
        Folder with files such as ``Au.tif`` and ``Cu_ppm.tif``, all on one grid.

    Returns
    -------
    xarray.Dataset
        A ``(y, x)`` variable per file, named after it, NaN where the file has no data.

    Raises
    ------
    CubeError
        If the folder is missing or holds no GeoTIFF.
    GridError, CRSError
        If a file cannot be read, has several bands, or lies on another grid than the first.

    Examples
    --------
    >>> import tempfile
    >>> grid = {"y": [1500.0, 500.0], "x": [500.0, 1500.0]}
    >>> gold = xr.DataArray([[1.0, 2.0], [3.0, 4.0]], dims=("y", "x"), coords=grid)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_cube(gold.rio.write_crs(32650), Path(folder) / "Au.tif")
    ...     float(open_rasters(folder)["Au"].sum())
    10.0
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CubeError(f"folder={str(folder)!r} is no folder; name one that holds GeoTIFFs")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".tif", ".tiff"))
    if not paths:
        raise CubeError(f"folder={str(folder)!r} holds no .tif file")
    layers = {path.stem: _one_band(path) for path in paths}
    first = layers[paths[0].stem]
    for path in paths[1:]:
        _check_grid(layers[path.stem], first, path, paths[0])
    # The first file's coords serve all: the others agree but for rounding.
    coords = {name: first.coords[name].variable for name in (Y, X, "spatial_ref")}
    return xr.Dataset({name: layer.variable for name, layer in layers.items()}, coords=coords)


def open_cube(path: str | Path) -> Array:
    """Open what :func:`save_cube` wrote, lazily, or a GeoTIFF from elsewhere.

    Parameters
    ----------
    path : str or pathlib.Path
        A ``.nc`` or ``.tif`` file, or a ``.zarr`` folder.

    Returns
    -------
    xarray.DataArray or Dataset
        What was saved, with coords, CRS, units and attrs, chunked as it is stored.

    Raises
    ------
    CubeError
        If the file is missing, of an unknown kind, truncated or foreign; or, when values are read
        from ``.nc`` or ``.zarr``, a chunk is damaged: it names the region.

    Examples
    --------
    >>> import tempfile
    >>> score = xr.DataArray([0.5, 1.0], dims="x", coords={"x": [0.0, 100.0]}, name="score")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_cube(score, Path(folder) / "score.nc")
    ...     open_cube(Path(folder) / "score.nc").load().values
    array([0.5, 1. ])
    """
    path = Path(path)
    opener, _ = _format_of(path)
    if not path.exists():
        raise CubeError(f"path={str(path)!r} does not exist")
    with _readable(path):
        return opener(path)


def save_cube(obj: Array, path: str | Path, *, resume: bool = False) -> None:
    """Save a cube, raster, dataset or survey table; a lazy one is streamed, block by block.

    The file appears under its name once it is complete, and replaces an older one only then.
    On a ``dask.distributed`` cluster the workers write, so that all of them must see the folder.

    Parameters
    ----------
    obj : xarray.DataArray or Dataset
        For ``.tif``: an array ``(y, x)`` or ``(element, y, x)``. It is written north-up, whichever
        way ``y`` runs, cloud-optimised; names of elements become those of bands. Coords besides
        ``y``, ``x``, ``element`` and ``unit`` are not kept there.
    path : str or pathlib.Path
        Where to; the suffix ``.nc``, ``.zarr`` or ``.tif`` says how.
    resume : bool
        Go on with what an interrupted save of the same ``obj`` to the same ``.zarr`` left: only
        what is missing is computed. That lies beside, in ``.<name>.zarr.partial``, until it is
        whole; what is whole is left as it is. What was written is read again, and one region of
        each variable computed again: an input that changed elsewhere goes unseen.

    Raises
    ------
    CubeError
        If the suffix is unknown, the folder is missing, or a GeoTIFF cannot hold ``obj``.
    GridError
        If cells of a raster for GeoTIFF are unevenly spaced.
    StoreError
        If a ``.zarr`` cannot be written whole: the disk is full, say, or a block fails. It says how
        far it came, and ``resume`` goes on from there. Or if ``resume`` finds a part of something
        else: other values, grid, chunks, parameters, seed or version.

    Examples
    --------
    See :func:`open_cube`.
    """
    path = Path(path)
    _, writer = _format_of(path)
    if not path.parent.is_dir():
        raise CubeError(f"path={str(path)!r}: its folder does not exist; make it first")
    if writer is None:
        _save_zarr(obj, path, resume=resume)
        return
    if resume:
        raise CubeError(
            f"resume=True, but {path.suffix} is written in one go; save it as .zarr, and what "
            "open_cube makes of that as this"
        )
    with replacing(path) as beside, _at_hand(obj, path, beside) as stream:
        writer(stream, beside)


# ----------------------------------------------------------------------------------- files


def _format_of(path: Path) -> tuple[Opener, Writer | None]:
    """Return how a kind of file is opened, and written where that is in one go."""
    formats: dict[str, tuple[Opener, Writer | None]] = {
        ".nc": (_open_netcdf, _save_netcdf),
        ".zarr": (_open_zarr, None),
        ".tif": (geotiff.load, geotiff.save),
        ".tiff": (geotiff.load, geotiff.save),
    }
    if path.suffix.lower() not in formats:
        raise CubeError(f"path={str(path)!r} must end in one of {list(formats)}")
    return formats[path.suffix.lower()]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what any reader raises on a bad file into one error."""
    try:
        yield
    except Exception as error:
        raise CubeError(
            f"path={str(path)!r} cannot be read as {path.suffix}: it is truncated, foreign or in "
            f"use ({type(error).__name__}: {error})"
        ) from error


@contextmanager
def _at_hand(obj: Array, path: Path, beside: Path) -> Iterator[Array]:
    """Give what this process can write by itself: what a cluster computes comes through Zarr."""
    if on_cluster() is None or all(array.chunks is None for array in _variables(obj)):
        yield obj
        return
    staged = beside.with_name(f"{beside.name}.zarr")
    try:
        _save_zarr(obj, staged, resume=False)
        with on_threads():
            yield _open_zarr(staged)
    except StoreError as error:
        cause = error.__cause__
        raise StoreError(
            f"path={str(path)!r} is not written ({type(cause).__name__}: {cause}); mend that and "
            "save again, or save as .zarr, which can be gone on with, and then as this"
        ) from error
    finally:
        remove(staged)
        remove(zarr_store.partial_of(staged))


def _variables(obj: Array) -> list[xr.Variable]:
    dataset = obj.to_dataset(name="cube") if isinstance(obj, xr.DataArray) else obj
    return list(dataset.variables.values())


# ----------------------------------------------------------------------- NetCDF and Zarr


def _save_netcdf(obj: Array, path: Path) -> None:
    _to_dataset(obj, "chunksizes").to_netcdf(path, engine="netcdf4")


def _open_netcdf(path: Path) -> Array:
    dataset = xr.open_dataset(path, engine="netcdf4", decode_coords="all", cache=False)
    return _from_dataset(stored_arrays(dataset, path))


def _save_zarr(obj: Array, path: Path, *, resume: bool) -> None:
    zarr_store.save(_to_dataset(obj, "chunks"), path, resume=resume)


def _open_zarr(path: Path) -> Array:
    how: dict[str, Any] = {"chunks": None, "cache": False}
    dataset = xr.open_dataset(path, engine="zarr", decode_coords="all", **how)
    return _from_dataset(stored_arrays(dataset, path))


def _to_dataset(obj: Array, keyword: str) -> xr.Dataset:
    """Return a dataset that knows whether it was an array, how to be stored, and its CRS.

    ``keyword`` is the name under which the format takes the lengths of stored blocks.
    """
    if isinstance(obj, xr.DataArray):
        record = json.dumps({"name": obj.name})
        dataset = obj.to_dataset(name=obj.name or "cube").assign_attrs({RECORD: record})
    else:
        dataset = obj
    # How it was stored before does not bind how it is stored now.
    dataset = dataset.drop_encoding()
    lazy = {name: array for name, array in dataset.variables.items() if array.chunks}
    dataset = dataset.assign({name: array.chunk(_blocks_of(array)) for name, array in lazy.items()})
    for name, array in dataset.variables.items():
        if {Y, X} <= set(array.dims) and "spatial_ref" in dataset.coords:
            array.encoding["grid_mapping"] = "spatial_ref"
        if name in dataset.data_vars and array.size and array.ndim:
            array.encoding[keyword] = tuple(_blocks_of(array).values())
    return dataset


def _from_dataset(dataset: xr.Dataset) -> Array:
    small = {name: coord.load() for name, coord in dataset.coords.items() if coord.ndim < 2}
    dataset = dataset.assign_coords(small)
    dataset.attrs.pop(zarr_store.DONE, None)
    for array in dataset.variables.values():
        array.attrs = geotiff.typed_flags(array.attrs, array.dtype)
    if RECORD not in dataset.attrs:
        return dataset
    name = json.loads(dataset.attrs[RECORD])["name"]
    return dataset[name or "cube"].rename(name)


def _blocks_of(array: xr.Variable) -> dict[Any, int]:
    """Return block lengths by dim: all elements together, and even, as Zarr wants them."""
    lengths = {dim: min(n, BLOCK) if dim in (Y, X) else n for dim, n in array.sizes.items()}
    if array.chunks is not None:
        lengths = {dim: max(chunks) for dim, chunks in array.chunksizes.items()}
    if ELEMENT in lengths:
        lengths[ELEMENT] = array.sizes[ELEMENT]
    return lengths


def _one_band(path: Path) -> xr.DataArray:
    """Open a file of :func:`open_rasters` as floats."""
    with _readable(path):
        raster = geotiff.load(path)
    if set(raster.dims) != {Y, X}:
        raise GridError(f"{path.name} has {len(raster)} bands, not one; see open_cube")
    return raster if raster.dtype.kind == "f" else raster.astype("float64")


def _check_grid(layer: xr.DataArray, first: xr.DataArray, path: Path, first_path: Path) -> None:
    try:
        check_same_grid(layer, first, path.name)
    except (GridError, CRSError) as error:
        raise type(error)(
            f"{path.name} lies on another grid than {first_path.name}; reproject it, or move it "
            f"out of the folder ({error})"
        ) from error
    if (layer.rio.crs is None) != (first.rio.crs is None):
        raise CRSError(f"one of {path.name} and {first_path.name} has no CRS; write it there")
