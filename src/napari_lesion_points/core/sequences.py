"""Names of MRI sequences: which of the standard ones a file's name means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    T = TypeVar("T")

_CONTRAST_MEDIUM = {"c", "ce", "contrast", "gad", "gado", "gadolinium", "gd", "km", "post"}


def meaning(name: str) -> str:
    """Return the standard name, as BIDS has it, that a sequence's name means, or the name itself.

    Examples
    --------
    >>> [meaning(n) for n in ("3D_FLAIR_SAG", "t1_space", "T1_post_Gd", "t1c", "ce-gadolinium_T1w", "T2_TSE", "SWI")]
    ['FLAIR', 'T1w', 'ce-gadolinium_T1w', 'ce-gadolinium_T1w', 'ce-gadolinium_T1w', 'T2w', 'SWI']
    """
    low = name.lower()
    if "flair" in low:
        return "FLAIR"
    if re.search("t1|mprage|bravo|spgr", low):
        return "ce-gadolinium_T1w" if _CONTRAST_MEDIUM & set(re.split("[^a-z]+", low)) else "T1w"
    return "T2w" if "t2" in low else name


def matching(wanted: Sequence[str], available: Mapping[str, T]) -> dict[str, T]:
    """Return what is available of some sequences, under the names asked for and in their order.

    A sequence of exactly that name comes first, then one that means the same; of several, the first.

    Examples
    --------
    >>> matching(["FLAIR", "T1w", "T2w"], {"T2_tse": 1, "t1_mprage": 2, "T1w": 3})
    {'T1w': 3, 'T2w': 1}
    """
    found = {}
    for name in wanted:
        same = [available[n] for n in available if n == name] or [available[n] for n in available if meaning(n) == name]
        if same:
            found[name] = same[0]
    return found
