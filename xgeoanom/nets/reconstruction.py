"""How like its target a rebuilt image is, band by band, where the target is known."""

import math

from torch import Tensor
from torch.nn import functional as F


def psnr(prediction: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each band, in dB: ``10 log10(R^2 / MSE)``.

    R is the range of the band's known target values over all windows.

    Parameters
    ----------
    prediction, target, known : Tensor
        ``(b, band, s, s)``; ``known`` is true where ``target`` counts.

    Returns
    -------
    Tensor
        ``(band,)``; NaN where a band is constant or unknown.
    """
    target = target.double().where(known, 0.0)
    errors = (prediction.double() - target).square() * known
    mse = errors.sum(dim=(0, 2, 3)) / known.sum(dim=(0, 2, 3))
    spread = _range(target, known)
    return (10 * (spread**2 / mse).log10()).where(spread > 0, math.nan)


def ssim(prediction: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Return the structural similarity of each band (Wang et al. 2004, eq. 13).

    The mean over all places of a small square, wholly inside the window, of::

        (2 m_p m_t + C1) (2 s_pt + C2) / ((m_p^2 + m_t^2 + C1) (s_p^2 + s_t^2 + C2))

    with means m and sample covariances s of its known cells, all with equal weight, and
    C1 = (0.01 R)^2, C2 = (0.03 R)^2 with R as in :func:`psnr`. The square is 7 cells wide, or as
    wide as the largest odd number of cells that fits. Squares with fewer than two known cells do
    not count.

    Parameters
    ----------
    prediction, target, known : Tensor
        ``(b, band, s, s)``; ``known`` is true where ``target`` counts.

    Returns
    -------
    Tensor
        ``(band,)``, at most 1; NaN where a band is constant or unknown.
    """
    side = min(7, target.shape[-1] - 1 + target.shape[-1] % 2)
    p, t = (values.double().where(known, 0.0) for values in (prediction, target))
    spread = _range(t, known)
    n, *sums = (_square_sums(part, side) for part in (known.double(), p, t, p * p, t * t, p * t))
    m_p, m_t, pp, tt, pt = (part / n for part in sums)
    more = n / (n - 1)
    c1, c2 = ((share * spread[:, None, None]) ** 2 for share in (0.01, 0.03))
    likeness = (2 * m_p * m_t + c1) * (2 * more * (pt - m_p * m_t) + c2)
    likeness /= (m_p**2 + m_t**2 + c1) * (more * (pp - m_p**2 + tt - m_t**2) + c2)
    return likeness.where((n > 1) & (spread > 0)[:, None, None], math.nan).nanmean(dim=(0, 2, 3))


def _square_sums(values: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(values, side, stride=1, divisor_override=1)


def _range(target: Tensor, known: Tensor) -> Tensor:
    high = target.where(known, -math.inf).amax(dim=(0, 2, 3))
    return high - target.where(known, math.inf).amin(dim=(0, 2, 3))
