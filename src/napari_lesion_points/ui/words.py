"""Times in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

#: From so many steps on, their pace says how long the rest takes.
_PACE_FROM = 3


def remaining(seconds: float | None) -> str:
    """Time left, in words.

    Examples
    --------
    >>> remaining(95), remaining(20), remaining(20_000), remaining(None)
    ('about 2 min left', 'about 20 s left', 'about 6 h left', '')
    """
    if seconds is None or seconds != seconds:
        return ""
    if seconds < 90:
        return f"about {max(round(seconds), 1)} s left"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min left"
    return f"about {round(seconds / 3600)} h left"


def at_pace(times_s: Sequence[float], left: int) -> str:
    """Time that what is left takes, in words, at the pace of the newest steps: their median, so breaks do not count.

    Parameters
    ----------
    times_s : sequence of float
        When the steps were done, seconds.
    left : int
        Steps to do.

    Examples
    --------
    >>> at_pace((0, 4, 8, 308), 12), at_pace((0, 4, 8), 12)
    ('about 48 s left', '')
    """
    steps = [later - earlier for earlier, later in pairwise(times_s)]
    return remaining(left * median(steps)) if len(steps) >= _PACE_FROM and left else ""
