"""Times in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from napari_lesion_points.ui.translation import _

#: From so many steps on, their pace says how long the rest takes.
_PACE_FROM = 3


def duration(seconds: float | None) -> str:
    """Return a time in words; "" when it is not known.

    Examples
    --------
    >>> duration(95), duration(20), duration(20_000), duration(None)
    ('about 2 min', 'about 20 s', 'about 6 h', '')
    """
    if seconds is None or seconds != seconds:
        return ""
    if seconds < 90:
        return _("about {number} s").format(number=max(round(seconds), 1))
    if seconds < 90 * 60:
        return _("about {number} min").format(number=round(seconds / 60))
    return _("about {number} h").format(number=round(seconds / 3600))


def remaining(seconds: float | None) -> str:
    """Time left, in words.

    Examples
    --------
    >>> remaining(95), remaining(None)
    ('about 2 min left', '')
    """
    time = duration(seconds)
    return _("{time} left").format(time=time) if time else ""


def seconds_at_pace(times_s: Sequence[float], left: int) -> float | None:
    """Time that what is left takes, at the pace of the newest steps: their median, so breaks do not count.

    Parameters
    ----------
    times_s : sequence of float
        When the steps were done, seconds.
    left : int
        Steps to do.

    Examples
    --------
    >>> seconds_at_pace((0, 4, 8, 308), 12), seconds_at_pace((0, 4, 8), 12)
    (48, None)
    """
    steps = [later - earlier for earlier, later in pairwise(times_s)]
    return left * median(steps) if len(steps) >= _PACE_FROM and left else None
