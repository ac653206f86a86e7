"""The best that can be done with two evaluations of a Gaussian process, by numerical integration."""

import numpy as np
from scipy.integrate import simpson
from scipy.stats import norm


def two_evaluations(covariance: np.ndarray, first: int) -> float:
    """The expected larger of two values, where the second place is the best that the first value lets choose.

        V = E_y [max_j E[max(y, f_j) | f_first = y]],   f ~ N(0, covariance), without noise
        f_j | y ~ N(r_j y, v_j),   r_j = c_j,first / c_first,first,   v_j = c_jj - r_j^2 c_first,first

    The inner expectation is y plus the expected improvement, so that the last step of expected improvement is optimal;
    the outer one is Simpson's rule on 20,001 points of -9 to 9 standard deviations, in float64.

    Args:
        covariance: `[N, N]`, of the candidates.
        first: the candidate that is evaluated first.

    Raises:
        ValueError: if `covariance` is not square, or `first` is none of its rows or has no variance.

    Example:
        Two independent values: the mean of the larger is 1 / sqrt(pi).

        >>> round(two_evaluations(np.eye(2), 0), 5)
        0.56419
    """
    c = np.asarray(covariance, np.float64)
    if c.ndim != 2 or c.shape[0] != c.shape[1]:
        raise ValueError(f"covariance must be square, got {list(c.shape)}")
    if not 0 <= first < len(c) or c[first, first] <= 0:
        raise ValueError(f"first must be a candidate with a variance, of {len(c)}, got {first}")
    z = np.linspace(-9, 9, 20_001)[:, None]
    y = z * np.sqrt(c[first, first])
    ratio = c[:, first] / c[first, first]
    spread = np.sqrt(np.maximum(np.diag(c) - ratio**2 * c[first, first], 1e-18))
    u = (ratio - 1) * y / spread
    larger = y[:, 0] + np.max(spread * (u * norm.cdf(u) + norm.pdf(u)), axis=1)
    return float(simpson(larger * norm.pdf(z[:, 0]), x=z[:, 0]))
