"""Outliers of the element vectors by scikit-learn: isolation forest, one-class SVM, neighbours."""

import numpy as np
import xarray as xr
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from xgeoanom.classical.cells import check_vectors, checked_cube, draw_cells, score_cells
from xgeoanom.conventions import provenance, raster_on
from xgeoanom.errors import XGeoAnomError
from xgeoanom.seeding import Seed, resolve
from xgeoanom.survey.search import check_count


def isolation_forest(
    cube: xr.DataArray | xr.Dataset,
    *,
    n_trees: int = 100,
    tree_cells: int = 256,
    max_cells: int = 100_000,
    seed: Seed = None,
) -> xr.DataArray:
    """Isolation forest: outliers are cut off from all other cells by few random splits.

    Parameters
    ----------
    cube : DataArray or Dataset
        ``(element, y, x)``, log-ratioed.
    n_trees : int
        Trees of the forest.
    tree_cells : int
        Cells that each tree is grown on.
    max_cells : int
        The trees draw from all cells without NaN, or from so many of them at random.
    seed : int or Generator, optional
        Same seed, same score, whichever way ``y`` runs.

    Returns
    -------
    DataArray
        Score ``(y, x)`` in (0, 1], s = 2^(-E[h] / c(n)); NaN where an element is missing. The fit
        reads the cells that it draws; scoring is blockwise and lazy where the cube is.

    Raises
    ------
    CubeError, GridError, CRSError
        If the cube is none, an element is constant, there are too few cells, or a number is no
        positive integer.

    Notes
    -----
    Liu, Ting and Zhou (2008), IEEE ICDM, 413; their 100 trees of 256 cells.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(3, 5, 6))
    >>> values[:, 2, 3] = 9.0
    >>> cube = xr.DataArray(
    ...     values, dims=("element", "y", "x"),
    ...     coords={"element": ["Au", "As", "Cu"], "y": np.arange(5.0), "x": np.arange(6.0)},
    ... ).rio.write_crs(32650)
    >>> int(isolation_forest(cube, seed=0).values.argmax()) == 2 * 6 + 3
    True
    """
    cube = checked_cube(cube)
    check_count("n_trees", n_trees)
    check_count("tree_cells", tree_cells)
    seed = resolve(seed)
    vectors, _ = draw_cells(cube, max_cells, seed)
    check_vectors(cube, vectors, 2)
    size = min(tree_cells, len(vectors))
    forest = IsolationForest(n_estimators=n_trees, max_samples=size, random_state=seed)
    # scikit-learn turns the sign of the paper's score.
    values = score_cells(
        lambda cells, fit: -fit.score_samples(cells), cube, shared=forest.fit(vectors)
    )
    attrs = provenance(
        "isolation_forest",
        seed=seed,
        n_trees=n_trees,
        tree_cells=tree_cells,
        max_cells=max_cells,
    )
    return raster_on(
        cube, values, name="isolation_forest", long_name="isolation forest score", attrs=attrs
    )


def one_class_svm(
    cube: xr.DataArray | xr.Dataset,
    *,
    nu: float = 0.05,
    gamma: float | None = None,
    max_cells: int = 5000,
    seed: Seed = None,
) -> xr.DataArray:
    """One-class support vector machine: how far outside the region that holds most cells.

    Parameters
    ----------
    cube : DataArray or Dataset
        ``(element, y, x)``, log-ratioed; elements are z-scored by the cells of the fit.
    nu : float
        Upper bound of the share of cells outside, above 0 and at most 1.
    gamma : float, optional
        Of the radial basis function exp(-gamma d²), on z-scores; by default one over the number
        of elements.
    max_cells : int
        Fitted to all cells without NaN, or to so many of them at random: time grows with their
        square.
    seed : int or Generator, optional
        Of the draw of cells; same seed, same score, whichever way ``y`` runs.

    Returns
    -------
    DataArray
        rho - w . phi(x), ``(y, x)``: positive outside; NaN where an element is missing. The fit
        reads the cells that it draws; scoring is blockwise and lazy where the cube is.

    Raises
    ------
    CubeError, GridError, CRSError
        If the cube is none, an element is constant, or there are too few cells.
    XGeoAnomError
        If ``nu`` or ``gamma`` is out of range.

    Notes
    -----
    Schölkopf et al. (2001), Neural Comput. 13, 1443, eq. 3.4-3.12.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(3, 5, 6))
    >>> values[:, 2, 3] = 9.0
    >>> cube = xr.DataArray(
    ...     values, dims=("element", "y", "x"),
    ...     coords={"element": ["Au", "As", "Cu"], "y": np.arange(5.0), "x": np.arange(6.0)},
    ... ).rio.write_crs(32650)
    >>> int((one_class_svm(cube, nu=0.1, seed=0) > 1e-6).sum()) <= 3
    True
    """
    cube = checked_cube(cube)
    if not 0 < nu <= 1:
        raise XGeoAnomError(f"nu={nu!r} must lie above 0 and at most at 1; try 0.05")
    if gamma is not None and not 0 < gamma < float("inf"):
        raise XGeoAnomError(f"gamma={gamma!r} must be positive; try 1 / number of elements")
    seed = resolve(seed)
    vectors, _ = draw_cells(cube, max_cells, seed)
    check_vectors(cube, vectors, 2)
    width = 1 / vectors.shape[1] if gamma is None else gamma
    svm = make_pipeline(StandardScaler(), OneClassSVM(nu=nu, gamma=width)).fit(vectors)
    values = score_cells(lambda cells, fit: -fit.decision_function(cells), cube, shared=svm)
    attrs = provenance("one_class_svm", seed=seed, nu=nu, gamma=width, max_cells=max_cells)
    name = "distance outside the one-class SVM"
    return raster_on(cube, values, name="one_class_svm", long_name=name, attrs=attrs)


def knn_distance(
    cube: xr.DataArray | xr.Dataset,
    *,
    n_neighbors: int = 10,
    max_cells: int = 20_000,
    seed: Seed = None,
) -> xr.DataArray:
    """Distance from each cell to the k-th most similar other cell, in z-scored elements.

    Parameters
    ----------
    cube : DataArray or Dataset
        ``(element, y, x)``, log-ratioed; elements are z-scored by the cells compared with.
    n_neighbors : int
        The k. It should exceed the number of cells that one anomaly covers, since they resemble
        each other.
    max_cells : int
        Compared with all cells without NaN, or with so many of them at random; a cell is never
        its own neighbour.
    seed : int or Generator, optional
        Of the draw of cells; same seed, same score, whichever way ``y`` runs.

    Returns
    -------
    DataArray
        Euclidean distance ``(y, x)``; NaN where an element is missing. The fit reads the cells
        that it draws; scoring is blockwise and lazy where the cube is.

    Raises
    ------
    CubeError, GridError, CRSError
        If the cube is none, an element is constant, or there are not more cells than
        ``n_neighbors``.

    Notes
    -----
    Ramaswamy, Rastogi and Shim (2000), ACM SIGMOD, 427, definition 2.1.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(3, 5, 6))
    >>> values[:, 2, 3] = 9.0
    >>> cube = xr.DataArray(
    ...     values, dims=("element", "y", "x"),
    ...     coords={"element": ["Au", "As", "Cu"], "y": np.arange(5.0), "x": np.arange(6.0)},
    ... ).rio.write_crs(32650)
    >>> int(knn_distance(cube, n_neighbors=3, seed=0).values.argmax()) == 2 * 6 + 3
    True
    """
    cube = checked_cube(cube)
    check_count("n_neighbors", n_neighbors)
    seed = resolve(seed)
    vectors, drawn = draw_cells(cube, max_cells, seed)
    check_vectors(cube, vectors, n_neighbors + 1)
    scaler = StandardScaler().fit(vectors)
    index = NearestNeighbors(n_neighbors=n_neighbors + 1).fit(scaler.transform(vectors))
    values = score_cells(_kth_distance, cube, drawn, shared=(scaler, index))
    attrs = provenance("knn_distance", seed=seed, n_neighbors=n_neighbors, max_cells=max_cells)
    name = f"distance to nearest neighbour {n_neighbors} in z-scored elements"
    return raster_on(cube, values, name="knn_distance", long_name=name, attrs=attrs)


def _kth_distance(
    vectors: np.ndarray, drawn: np.ndarray, fitted: tuple[StandardScaler, NearestNeighbors]
) -> np.ndarray:
    scaler, index = fitted
    distance, _ = index.kneighbors(scaler.transform(vectors))
    # A drawn cell finds itself first, so that its k-th other cell is one further.
    return np.where(drawn > 0, distance[:, -1], distance[:, -2])
