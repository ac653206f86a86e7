"""Densities of drawings that need no learning across classes: what a generator has to be above.

All are independent pixels. Drawings are `[..., H, W]` of 0 and 1, and densities are in nats a drawing.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter

from jmeta.checks import check_above_zero

LEAST = 1e-4
"""The least chance of ink, and of none, of `blurred`."""
WIDTHS, SHARES = (0.5, 0.7, 1.0, 1.4, 2.0), (0.2, 0.35, 0.5, 0.65, 0.8, 0.9)


def mean_of(drawings: ArrayLike) -> np.ndarray:
    """The chance of ink of each pixel, `[H, W]`, over all drawings `[N, H, W]`, as if two more had been seen, one all
    ink and one without."""
    seen = np.asarray(drawings, np.float64)
    return (seen.sum(axis=0) + 1) / (len(seen) + 2)


def density(chance: ArrayLike, drawings: ArrayLike) -> np.ndarray:
    """Nats `[...]` of drawings `[..., H, W]` whose pixels have ink with these chances `[H, W]`.

        log p(x) = sum_i x_i log p_i + (1 - x_i) log(1 - p_i)

    Example:
        >>> density([[0.5, 0.25]], [[1, 0]]).round(4).item()  # log .5 + log .75
        -0.9808
    """
    p, x = np.asarray(chance, np.float64), np.asarray(drawings, np.float64)
    return np.sum(x * np.log(p) + (1 - x) * np.log1p(-p), axis=(-2, -1))


def beta_bernoulli(mean: ArrayLike, seen: ArrayLike, *, concentration: float = 8.0) -> np.ndarray:
    """The chance of ink `[H, W]` by the conjugate posterior of each pixel, after drawings `[k, H, W]`, also none.

        p_i = (c mean_i + sum_n x_ni) / (c + k)

    Raises:
        ValueError: if the concentration is not above 0.
    """
    check_above_zero("concentration", concentration)
    m, x = np.asarray(mean, np.float64), np.asarray(seen, np.float64)
    return (concentration * m + x.sum(axis=0)) / (concentration + len(x))


def blurred(mean: ArrayLike, seen: ArrayLike, *, width: float, share: float) -> np.ndarray:
    """The chance of ink `[H, W]` near to what has it in drawings `[k, H, W]`: their mean, blurred, beside that of all.

        p = share blur(mean over n of x_n) + (1 - share) mean

    Args:
        mean: of background drawings.
        seen: of the class; none gives the mean.
        width: of the Gaussian, in pixels.
        share: 0 to 1.
    """
    m, x = np.asarray(mean, np.float64), np.asarray(seen, np.float64)
    if not len(x):
        return m
    return np.clip(share * gaussian_filter(x.mean(axis=0), width) + (1 - share) * m, LEAST, 1 - LEAST)


def best_blur(mean: ArrayLike, seen: ArrayLike, asked: ArrayLike) -> tuple[float, float]:
    """The width and share of `blurred` that give drawings `[classes, Q, H, W]` the most after `[classes, k, H, W]`."""
    pairs = list(zip(np.asarray(seen), np.asarray(asked), strict=True))
    nats = {
        (width, share): np.mean([density(blurred(mean, s, width=width, share=share), q).mean() for s, q in pairs])
        for width in WIDTHS
        for share in SHARES
    }
    return max(nats, key=nats.__getitem__)
