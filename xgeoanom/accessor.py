"""``ds.anom``: the public functions as methods of a dataset or an array. Delegation only."""

import html
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

import xgeoanom as xga
from xgeoanom.conventions import ELEMENT, LOG_RATIO, X, Y, cell_size, cube_of, units_of
from xgeoanom.errors import XGeoAnomError
from xgeoanom.kernels.dual_window import PAPER_WINDOWS

if TYPE_CHECKING:
    from xgeoanom.detectors import Detector


class _Accessor:
    """Stateless, since xarray makes a new accessor for every new object."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj

    @property
    def cube(self) -> xr.DataArray:
        """The lazy ``(element, y, x)`` array.

        It comes from the one variable with an ``element`` dim, or from the 2-D variables whose
        names are elements, such as ``Au``, ``SiO2`` or ``Cu_ppm``. Nothing is computed.
        """
        return cube_of(self._obj)

    def clr(self) -> xr.DataArray:
        """Centred log-ratio of the cube; see :func:`xgeoanom.clr`."""
        return xga.clr(self.cube)

    def alr(self, *, denominator: str | None = None) -> xr.DataArray:
        """Additive log-ratio of the cube; see :func:`xgeoanom.alr`."""
        return xga.alr(self.cube, denominator=denominator)

    def ilr(self, *, partition: Any = None) -> xr.DataArray:
        """Isometric log-ratio of the cube; see :func:`xgeoanom.ilr`."""
        return xga.ilr(self.cube, partition=partition)

    def closure(self, *, filler: str | None = None) -> xr.DataArray:
        """Shares of the whole; see :func:`xgeoanom.closure`."""
        return xga.closure(self.cube, filler=filler)

    def label_deposits(self, deposits: Any, *, radius_cells: int = 1) -> xr.DataArray:
        """Label the cells around deposits; see :func:`xgeoanom.label_deposits`."""
        return xga.label_deposits(deposits, self._obj, radius_cells=radius_cells)

    def __repr__(self) -> str:
        return "\n".join(["<xgeoanom>", *(f"{key}: {value}" for key, value in self._card())])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{key}</th><td>{html.escape(value)}</td></tr>"
            for key, value in self._card()
        )
        return f"<table><caption>xgeoanom</caption>{rows}</table>"

    def _card(self) -> list[tuple[str, str]]:
        """Say what the object holds, from metadata alone."""
        try:
            cube = self.cube
            height, width = cell_size(cube)
        except XGeoAnomError as error:
            return [("no cube", str(error))]
        crs = cube.rio.crs
        names = [str(name) for name in cube[ELEMENT].values]
        card = [
            ("elements", f"{len(names)}: {_listed(names)}"),
            ("units", _listed(sorted(set(units_of(cube))))),
            ("log-ratio", str(cube.attrs.get(LOG_RATIO, "unknown"))),
            ("grid", f"{cube.sizes[Y]} x {cube.sizes[X]}, {abs(height):g} x {abs(width):g} a cell"),
            ("CRS", crs.to_string() if crs is not None else "none: set it with .rio.write_crs"),
            ("chunks", "in memory" if cube.chunks is None else str(cube.data.chunksize)),
        ]
        return [*card, ("scores", _listed(self._scores()) or "none yet")]

    def _scores(self) -> list[str]:
        if not isinstance(self._obj, xr.Dataset):
            return []
        return [
            str(name)
            for name, array in self._obj.items()
            if "method" in array.attrs and array.dtype == "float32"
        ]


def _listed(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


@xr.register_dataarray_accessor("anom")
class DataArrayAccessor(_Accessor):
    """``cube.anom``: an element cube's view of xgeoanom."""

    def classify(self, *, areas: tuple[float, ...] = (0.05, 0.15, 0.30)) -> xr.DataArray:
        """Anomaly classes of a score; see :func:`xgeoanom.classify`."""
        return xga.classify(self._obj, areas=areas)


@xr.register_dataset_accessor("anom")
class DatasetAccessor(_Accessor):
    """``ds.anom``: a dataset's view of xgeoanom; every method returns a new dataset or array."""

    def detect(
        self,
        detector: "Detector",
        labels: Hashable | xr.DataArray,
        *,
        evidence: xr.Dataset | None = None,
        name: str | None = None,
    ) -> xr.Dataset:
        """Fit any detector and add its score; see :func:`xgeoanom.detect`."""
        return xga.detect(self._obj, detector, labels, evidence=evidence, name=name)

    def predict(
        self,
        detector: "Detector",
        *,
        evidence: xr.Dataset | None = None,
        name: str | None = None,
    ) -> xr.Dataset:
        """Add the score of a fitted detector; see :func:`xgeoanom.predict`."""
        return xga.predict(self._obj, detector, evidence=evidence, name=name)

    def ppf_cnn(
        self,
        labels: Hashable | xr.DataArray,
        *,
        inner: int = 13,
        outer: int = 35,
        name: str = "ppf_cnn",
        **params: Any,
    ) -> xr.Dataset:
        """Fit PPF-CNN and add its score; see :func:`xgeoanom.ppf_cnn`."""
        return xga.ppf_cnn(self._obj, labels, inner=inner, outer=outer, name=name, **params)

    def window_sweep(
        self,
        labels: Hashable | xr.DataArray,
        windows: Sequence[tuple[int, int]] = PAPER_WINDOWS,
        **params: Any,
    ) -> xr.Dataset:
        """Score under several pairs of windows; see :func:`xgeoanom.window_sweep`."""
        return xga.window_sweep(self._obj, labels, windows, **params)

    def cross_validate(
        self,
        detector: "Detector",
        labels: Hashable | xr.DataArray,
        folds: Hashable | xr.DataArray,
        *,
        evidence: xr.Dataset | None = None,
        buffer_cells: int,
    ) -> xr.Dataset:
        """Score each fold by a detector that never saw it; see :func:`xgeoanom.cross_validate`."""
        return xga.cross_validate(
            self._obj, detector, labels, folds, evidence=evidence, buffer_cells=buffer_cells
        )
