"""Window and level: presets of each sequence from its own intensities, and what a drag of the mouse makes of them.

Limits are a pair of intensities, shown black and white. A reader's own limits are kept relative to the automatic ones,
because intensities of MRI mean nothing from one patient to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.sequences import meaning

if TYPE_CHECKING:
    from numpy.typing import NDArray

Limits = tuple[float, float]

#: Presets, in the order in which a key steps through them.
PRESETS = ("auto", "lesion", "narrow", "wide")

#: The name of limits that were dragged.
OWN = "own"

#: Voxels that limits are taken from: percentile 99.7 is then still that of hundreds of voxels of the head.
_SAMPLE = 250_000

#: Pixels of a drag that change the level by the automatic window's width, and the width by a factor of e.
_DRAG_PIXELS = 300.0

#: The narrowest window, as a share of the automatic one.
_NARROWEST = 0.01


def preset_limits(data: NDArray[np.generic], name: str) -> dict[str, Limits]:
    """Return the limits of every preset for a sequence.

    Parameters
    ----------
    data : (I, J, K) array
        Its intensities.
    name : str
        Its name, which tells whether lesions are bright or dark.

    Returns
    -------
    dict of str to (float, float)
        "auto" takes percentiles 1 and 99.7 of the head, so that air and a few hot voxels do not count; "lesion" is for
        what is brighter than most of the brain (darker, in T1w without contrast medium); "narrow" has half the width
        of "auto" around the median; "wide" all intensities. A constant image gets limits of width 1.

    Examples
    --------
    >>> preset_limits(np.zeros((4, 4, 4)), "T1w")["auto"]
    (0.0, 1.0)
    """
    step = max(1, round((data.size / _SAMPLE) ** (1 / 3)))
    sample = np.asarray(data[::step, ::step, ::step], dtype=np.float32)
    background = float(
        np.median(np.concatenate([sample[:, 0].ravel(), sample[:, -1].ravel(), sample[:, :, 0].ravel()]))
    )
    contrast = np.abs(sample - background)
    reach = float(np.quantile(contrast, 0.995))
    head = sample[contrast > 0.05 * reach]
    if reach == 0 or head.size < 2:
        return dict.fromkeys(PRESETS, (background, background + 1))
    wanted = [0.005, 0.01, 0.1, 0.5, 0.75, 0.997, 0.9995]
    lowest, low, tenth, median, most, high, highest = (float(q) for q in np.quantile(head, wanted))
    bright = meaning(name) != "T1w"
    quarter_width = (high - low) / 4
    limits = {
        "auto": (low, high),
        "lesion": (tenth, highest) if bright else (lowest, most),
        "narrow": (median - quarter_width, median + quarter_width),
        "wide": (float(sample.min()), float(sample.max())),
    }
    return {preset: (a, b) if b > a else (a, a + 1) for preset, (a, b) in limits.items()}


def dragged(limits: Limits, right: float, up: float, auto: Limits) -> Limits:
    """Return limits after a drag (pixels): to the right widens the window, upwards makes the picture brighter.

    Examples
    --------
    >>> dragged((0.0, 100.0), 0, 30, (0.0, 100.0))
    (-10.0, 90.0)
    """
    full = auto[1] - auto[0]
    level = (limits[0] + limits[1]) / 2 - full * up / _DRAG_PIXELS
    width = max((limits[1] - limits[0]) * float(np.exp(right / _DRAG_PIXELS)), _NARROWEST * full)
    return level - width / 2, level + width / 2


class Windowing:
    """What window each sequence is shown with, from case to case."""

    def __init__(self) -> None:
        self._chosen: dict[str, str] = {}
        self._own: dict[str, Limits] = {}

    def chosen(self, sequence: str) -> str:
        """Return the name of the preset of a sequence, or "own"."""
        return self._chosen.get(sequence, PRESETS[0])

    def limits(self, sequence: str, presets: Mapping[str, Limits]) -> Limits:
        """Return the limits of a sequence whose presets are these."""
        if self.chosen(sequence) != OWN:
            return presets[self.chosen(sequence)]
        low, high = presets["auto"]
        a, b = self._own[sequence]
        return low + a * (high - low), low + b * (high - low)

    def step(self, sequence: str) -> str:
        """Choose the next preset of a sequence, and return its name."""
        now = self.chosen(sequence)
        self._chosen[sequence] = PRESETS[(PRESETS.index(now) + 1) % len(PRESETS)] if now in PRESETS else PRESETS[0]
        return self._chosen[sequence]

    def own(self, sequence: str, limits: Limits, presets: Mapping[str, Limits]) -> None:
        """Keep limits that the reader has set."""
        low, high = presets["auto"]
        self._own[sequence] = (limits[0] - low) / (high - low), (limits[1] - low) / (high - low)
        self._chosen[sequence] = OWN
