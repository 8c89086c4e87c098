"""How right decisions are when the uncertain ones are set aside (paper 4.3, Fig. 2b)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

FRACTIONS = tuple(tenth / 10 for tenth in range(1, 11))


def retention_curve(
    uncertainty: ArrayLike, is_right: ArrayLike, fractions: Sequence[float] = FRACTIONS
) -> NDArray[np.float64]:
    """Return the accuracy of the least uncertain decisions.

    Of equally uncertain ones, each is as likely to be kept, and the expected accuracy is given: order does not matter.

    Parameters
    ----------
    uncertainty : (N,) float
        Of each candidate, such as its entropy in bits.
    is_right : (N,) bool
        Whether what was decided of it, lesion or not, is true.
    fractions : sequence of float
        Shares to keep, in (0, 1]; rounded up to whole candidates.

    Returns
    -------
    (len(fractions),) float
        Share of right decisions among those kept; NaN without candidates.

    Raises
    ------
    ValueError
        If there is not one outcome for each uncertainty, or a fraction is outside (0, 1].

    Examples
    --------
    >>> retention_curve([0.1, 0.9, 0.5, 0.5], [True, False, True, False], [0.25, 0.5, 1.0])
    array([1.  , 0.75, 0.5 ])
    """
    values, right = np.asarray(uncertainty, dtype=float), np.asarray(is_right, dtype=float)
    shares = np.asarray(fractions, dtype=float)
    if values.ndim != 1 or values.shape != right.shape:
        raise ValueError(f"uncertainty has shape {values.shape} and is_right {right.shape}; expected (N,) twice.")
    if not ((shares > 0) & (shares <= 1)).all():
        raise ValueError(f"fractions are {shares}; expected shares in (0, 1].")
    if not values.size:
        return np.full(len(shares), np.nan)
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    expected = np.bincount(which, weights=right) / counts
    right_so_far = np.cumsum(expected[np.sort(which)])
    kept = np.ceil(shares * values.size - 1e-9).astype(int)  # 0.3 * 10 is a little more than 3
    accuracy: NDArray[np.float64] = right_so_far[kept - 1] / kept
    return accuracy
