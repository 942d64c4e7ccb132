"""What looks wrong in a table: filler, impossible limits, and batches unlike the others.

The rules compare logarithms of concentrations, since those spread evenly, and take medians, since
a batch may have few rows. A value below its limit counts as the limit.
"""

from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from xgeoanom.conventions import BELOW_LIMIT, MEASURED, PPM_PER_UNIT
from xgeoanom.survey.reading.import_report import Finding

# Filler: one value in at least so many measured rows and in this share of them.
FILLER_ROWS, FILLER_SHARE = 10, 0.5
# A limit this many times the median of measured values is more likely a code.
HIGH_LIMIT = 10.0
# No part exceeds 100 %; parts may sum to a little more, since each has its error.
WHOLE, TOTAL = 1e6, 1.1e6
# A batch needs so many values in a column to speak of its level there.
MIN_ROWS = 3
# Off the bulk: factor to the column's median, and to the level of the most similar other batch.
OFF_BULK, OFF_OTHERS = 100.0, 10.0
# Shifted: columns misfit their own bulk by this factor, and fit the bulk of the column so many
# places on (or back) with at most half the misfit in logarithms, by more than chance.
MISFIT, GAIN, CHANCE = 3.0, 0.5, 1e-3
SHIFTS = (-2, -1, 1, 2)


def check_columns(
    headers: Sequence[str], units: Sequence[str], value: np.ndarray, state: np.ndarray
) -> list[Finding]:
    """Return findings on single columns: filler, values above 100 %, and limits above values.

    Parameters
    ----------
    headers, units : sequence of str
        Of the columns.
    value, state : numpy.ndarray
        ``(sample, element)``.

    Examples
    --------
    >>> value, state = np.full((12, 1), 7.0), np.zeros((12, 1), dtype="int8")
    >>> check_columns(["Au_ppb"], ["ppb"], value, state)[0].what
    '7 ppb in 12 of 12 measured rows'
    """
    found: list[Finding] = []
    for header, unit, values, states in zip(headers, units, value.T, state.T, strict=True):
        measured = np.sort(values[states == MEASURED])
        found += _filler(header, unit, measured)
        found += _impossible(header, unit, measured)
        found += _high_limits(header, unit, measured, values[states == BELOW_LIMIT])
    return found


def _filler(header: str, unit: str, measured: np.ndarray) -> Iterator[Finding]:
    if measured.size < FILLER_ROWS:
        return
    # In sorted order a value that fills half of the rows stands in the middle.
    middle = measured[measured.size // 2]
    n = int((measured == middle).sum())
    if n >= FILLER_SHARE * measured.size:
        yield Finding(
            "constant_filler",
            header,
            f"{middle:g} {unit} in {n} of {measured.size} measured rows",
            "Filler for what was not measured, or the laboratory's last digit: ask, or leave the "
            "column out.",
        )


def _impossible(header: str, unit: str, measured: np.ndarray) -> Iterator[Finding]:
    n = int((measured * PPM_PER_UNIT[unit] > WHOLE).sum())
    if n:
        yield Finding(
            "impossible",
            header,
            f"{n} of {measured.size} measured rows are above 100 %, up to {measured[-1]:g} {unit}",
            "Check the unit, and whether the column holds assays at all.",
        )


def _high_limits(
    header: str, unit: str, measured: np.ndarray, limits: np.ndarray
) -> Iterator[Finding]:
    if not measured.size:
        return
    high = limits[limits > HIGH_LIMIT * np.median(measured)]
    if high.size:
        yield Finding(
            "high_limit",
            header,
            f"{high.size} limits up to {high.max():g} {unit} lie far above the median of what was "
            f"measured, {np.median(measured):g}",
            "If it is a code, add it to not_analysed=...; else such rows tell little.",
        )


def check_totals(
    parts: Sequence[str], ppm: np.ndarray, state: np.ndarray, rows: pd.Index
) -> list[Finding]:
    """Return a finding on rows whose measured parts sum to well over 100 %.

    Loss on ignition is left out: its carbon and sulphur may be assayed as well.

    Parameters
    ----------
    parts : sequence of str
        Elements or oxides that the laboratory reported.
    ppm, state : numpy.ndarray
        ``(sample, element)``, in ppm.
    rows : pandas.Index
        What to call the samples.

    Examples
    --------
    >>> ppm = np.array([[6e5, 5.5e5], [6e5, 1e5]])
    >>> check_totals(["SiO2", "Fe2O3"], ppm, np.zeros((2, 2)), pd.Index([2, 3]))[0].what
    '1 of 2 rows sum to more than 110 %, up to 115 % in row 2'
    """
    counted = (state == MEASURED) & (np.array(parts) != "LOI")
    total = np.where(counted, ppm, 0.0).sum(axis=1)
    n = int((total > TOTAL).sum())
    if not n:
        return []
    most = int(total.argmax())
    what = (
        f"{n} of {total.size} rows sum to more than {TOTAL / 1e4:g} %, up to "
        f"{total[most] / 1e4:.4g} % in row {rows[most]}"
    )
    return [Finding("impossible", "rows", what, "Check the units of the major elements.")]


# ----------------------------------------------------------------------------------- batches


def check_batches(
    headers: Sequence[str],
    ppm: np.ndarray,
    state: np.ndarray,
    batch: np.ndarray,
    names: Sequence[str],
) -> list[Finding]:
    """Return findings on batches: columns shifted, and columns far off the bulk.

    Parameters
    ----------
    headers : sequence of str
        Of the columns, in the order of the file.
    ppm, state : numpy.ndarray
        ``(sample, element)``, in ppm.
    batch : numpy.ndarray
        Number of the batch of each sample ``(sample,)``.
    names : sequence of str
        What findings call each batch.

    Returns
    -------
    list of Finding
        ``shifted_columns``: relative to one another, the batch's levels fit the bulk of the columns
        one or two places further on or back better than their own. In place they miss it (median
        absolute deviation of log ratios) by a factor of 3 or more, shifted by at most half of that
        in logarithms, and by more than chance over the columns (Wilcoxon signed-rank test, p <
        0.001, so at least ten columns). ``off_bulk``: the batch's median lies by a factor of 100 or
        more off that of all samples, and by 10 or more off that of every other batch. Batches that
        are shifted are left out of this comparison. Medians below a limit are never too high.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ppm = rng.lognormal(size=(40, 2))
    >>> ppm[30:, 1] /= 1000
    >>> batch = np.repeat([0, 1], [30, 10])
    >>> found = check_batches(["Cu", "Zn"], ppm, np.zeros((40, 2)), batch, ["A", "B"])
    >>> [(finding.kind, finding.where) for finding in found]
    [('off_bulk', 'B')]
    """
    told = ((state == MEASURED) | (state == BELOW_LIMIT)) & (ppm > 0)
    logs = np.log10(ppm, where=told, out=np.full(ppm.shape, np.nan))
    levels, bulk = _levels(logs, batch, len(names)), _median(logs)
    shifts, in_place, there = _shifts(levels, bulk)
    found = [
        _shifted(name, shift, *misfits)
        for name, shift, *misfits in zip(names, shifts.tolist(), in_place, there, strict=True)
        if shift
    ]
    if found:
        levels[shifts != 0] = np.nan
        bulk = _median(logs[shifts[batch] == 0])
    off = levels - bulk
    share = pd.DataFrame(np.where(told, state == MEASURED, np.nan)).groupby(batch).mean()
    far = (np.abs(off) >= np.log10(OFF_BULK)) & ((off < 0) | (share.to_numpy() > 0.5))
    far &= _distance_to_others(levels) >= np.log10(OFF_OTHERS)
    return found + [
        _off_bulk(name, list(compress(headers, columns)), ratios[columns])
        for name, columns, ratios in zip(names, far, off, strict=True)
        if columns.any()
    ]


def _median(logs: np.ndarray) -> np.ndarray:
    return pd.DataFrame(logs).median().to_numpy()


def _levels(logs: np.ndarray, batch: np.ndarray, n: int) -> np.ndarray:
    """Return the median ``(batch, element)`` of batches that have values enough, else NaN."""
    groups = pd.DataFrame(logs).groupby(batch)
    levels = groups.median().where(groups.count() >= MIN_ROWS)
    return levels.reindex(range(n)).to_numpy(copy=True)


def _shifts(levels: np.ndarray, bulk: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return by how many columns each batch is shifted (0 for none), and both misfits."""
    in_place = _misfit(levels - bulk)
    typical = _typical(in_place)
    enough = np.where(typical >= np.log10(MISFIT), GAIN * typical, -np.inf)
    best, shifts = typical.copy(), np.zeros(len(levels), dtype=int)
    for shift in SHIFTS:
        there = _misfit(levels - _moved(bulk, shift))
        fits = _typical(there)
        for b in np.flatnonzero((fits <= enough) & (fits < best)):
            test = wilcoxon(in_place[b] - there[b], alternative="greater", nan_policy="omit")
            if test.pvalue < CHANCE:
                best[b], shifts[b] = fits[b], shift
    return shifts, typical, best


def _misfit(ratios: np.ndarray) -> np.ndarray:
    """Return how far log ratios ``(batch, element)`` deviate from the batch's own level.

    A batch of another leach or unit lies higher or lower as a whole; that is no shift.
    """
    return np.abs(ratios - pd.DataFrame(ratios).median(axis=1).to_numpy()[:, None])


def _typical(misfit: np.ndarray) -> np.ndarray:
    return pd.DataFrame(misfit).median(axis=1).to_numpy()


def _moved(bulk: np.ndarray, shift: int) -> np.ndarray:
    """Return the bulk of the column ``shift`` places on; NaN beyond the ends."""
    return pd.Series(bulk).shift(-shift).to_numpy()


def _distance_to_others(levels: np.ndarray) -> np.ndarray:
    """Return the distance of each level ``(batch, element)`` to the nearest of another batch."""
    order = np.argsort(levels, axis=0)
    ranked = np.take_along_axis(levels, order, axis=0)
    steps = np.full((len(levels) + 1, levels.shape[1]), np.inf)
    steps[1:-1] = np.nan_to_num(np.diff(ranked, axis=0), nan=np.inf)
    nearest = np.empty_like(levels)
    np.put_along_axis(nearest, order, np.minimum(steps[:-1], steps[1:]), axis=0)
    return nearest


def _shifted(name: str, shift: int, in_place: float, there: float) -> Finding:
    places = f"{abs(shift)} column{'s' if abs(shift) > 1 else ''}"
    return Finding(
        "shifted_columns",
        name,
        f"its columns hold what belongs {places} further {'on' if shift > 0 else 'back'}: they "
        f"miss the bulk by a factor of {10**in_place:.1f} in place, of {10**there:.1f} there",
        "Leave the batch out, or put its columns right by the original report.",
    )


def _off_bulk(name: str, headers: list[str], off: np.ndarray) -> Finding:
    listed = [
        f"{header} ({'x' if by > 0 else '/'}{10 ** abs(by):.0f})"
        for header, by in zip(headers, off, strict=True)
    ]
    return Finding(
        "off_bulk",
        name,
        f"far off the bulk, and unlike any other batch: {', '.join(listed)}",
        "Check unit, leach and columns of the batch; level it or leave it out.",
    )
