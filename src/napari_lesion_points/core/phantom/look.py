"""Look: how bright each tissue and each spot is in each sequence, and how the scanner sees it.

Brightness is relative to white matter in T1w. A plain look is that of one good scanner; a varied one could be of any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_lesion_points.core.phantom.scene import Scene

    Array = NDArray[np.float32]
    Range = tuple[float, float]


@dataclass(frozen=True)
class _Contrast:
    """How a sequence shows tissue, and by how much a lesion changes it: lowest and highest.

    `csf`, `gm`, `deep` and `rim` are shares of white matter's brightness, `scalp` and `bone` too.
    """

    wm: float
    csf: Range
    gm: Range
    deep: Range
    rim: Range
    detail: Range  # share of the T1w template's fine detail that shows, inverted where negative
    lesion: Range
    scalp: Range
    bone: Range = (0.03, 0.25)


#: The sequences a starter model knows, and how they may look.
VARIED = {
    "FLAIR": _Contrast(0.7, (0.05, 0.5), (1.05, 1.5), (1.0, 1.4), (0.0, 0.45), (-0.5, 0.1), (0.12, 0.75), (0.2, 1.8)),
    "T1w": _Contrast(1.0, (0.1, 0.5), (0.55, 0.95), (0.65, 1.0), (-0.12, 0.03), (0.1, 1.0), (-0.5, -0.02), (0.5, 3.5)),
    "T2w": _Contrast(0.6, (1.8, 4.0), (1.1, 1.8), (0.85, 1.5), (0.0, 0.4), (-0.9, 0.0), (0.10, 0.9), (0.5, 3.0)),
    "ce-gadolinium_T1w": _Contrast(
        1.0, (0.1, 0.5), (0.55, 0.95), (0.65, 1.0), (-0.12, 0.03), (0.1, 1.0), (-0.5, -0.02), (0.6, 3.5)
    ),
}

_PLAIN = {
    "FLAIR": _Contrast(0.68, (0.22, 0.22), (1.4, 1.4), (1.4, 1.4), (0.09, 0.26), (-0.2, -0.2), (0.25, 0.60), (1, 1)),
    "T1w": _Contrast(1.0, (0.25, 0.25), (0.7, 0.7), (0.7, 0.7), (-0.07, -0.03), (0.6, 0.6), (-0.35, -0.10), (1, 1)),
    "T2w": _Contrast(0.65, (2.5, 2.5), (1.3, 1.3), (1.3, 1.3), (0.06, 0.18), (-0.4, -0.4), (0.20, 0.55), (1, 1)),
}

#: Around a real brain lie fat, muscle, eyes, vessels and air in no order that shells have: patches of a few kinds.
_KINDS = 6
_PATCHES_MM = (2.0, 14.0)

#: By how much the brightness of a tissue differs between places, at most: a standard deviation, as a share of white
#: matter's brightness. Fluid that flows, iron and myelin do that.
_UNEVEN = 0.3, 0.12, 0.12, 0.06
_UNEVEN_MM = 6.0, 25.0

_FIRST = 0.85  # how often the first sequence is among those of a clinic
_HOW_MANY = (0.15, 0.2, 0.3, 0.35)  # how often a clinic has one, two, three, four sequences

ENHANCED = "ce-gadolinium_T1w"
_ENHANCING = 0.15  # share of the lesions, at most, that take up contrast medium


@dataclass(frozen=True, eq=False)
class Scan:
    """How the scanner sees one sequence.

    Parameters
    ----------
    texture : float
        Standard deviation of what differs between voxels of one tissue.
    bias : float
        Standard deviation of the logarithm of a smooth gain.
    bias_mm : float
        Distance over which that gain changes.
    noise : float
        Standard deviation of either component of Rician noise.
    gamma : float
        Exponent of brightness.
    blur_mm : float
        Standard deviation of the point spread.
    slice_mm : float
        Slice thickness; 0 where slices are as thin as voxels.
    slice_axis : int
        Array axis across the slices.
    shift_mm : (3,) float
        Displacement along each axis, left by registration.
    """

    texture: float
    bias: float
    bias_mm: float
    noise: float
    gamma: float = 1.0
    blur_mm: float = 0.0
    slice_mm: float = 0.0
    slice_axis: int = 2
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Look:
    """All that turns a scene into images: S sequences, four tissues.

    Parameters
    ----------
    sequences : tuple of str
        What is imaged.
    tissue : (S, 4) float
        Brightness of each tissue.
    uneven : (S, 4) float
        Standard deviation of that brightness between places that are `uneven_mm` apart.
    detail, rim, bone, scalp : (S,) float
        Brightness of the template's detail and of the rim of the ventricles, which are added; of bone and scalp.
    spot : (S, 1 + spots) float
        What each spot adds; 0 for none.
    scans : tuple of Scan
        Per sequence.
    patches : (S, K) float
        Brightness of the kinds of tissue that lie outside of the brain in patches.
    uneven_mm : float
        Distance over which the brightness of a tissue changes; 0 where it is the same everywhere.
    patch_mm, patch_share : float
        Distance over which patches change; share of them, the rest being shells of bone and scalp.
    bone_mm, scalp_mm : float
        Thickness.
    strip_mm : float or None
        How far outside the surface of the brain the images were cut off; None where the head is whole.
    """

    sequences: tuple[str, ...]
    tissue: Array
    uneven: Array
    detail: Array
    rim: Array
    bone: Array
    scalp: Array
    spot: Array
    scans: tuple[Scan, ...]
    patches: Array
    uneven_mm: float
    patch_mm: float
    patch_share: float
    bone_mm: float
    scalp_mm: float
    strip_mm: float | None


def draw_sequences(rng: np.random.Generator, sequences: Sequence[str]) -> tuple[str, ...]:
    """Draw what a clinic might have scanned, in the same order; FLAIR, the first, more often than not."""
    chances = np.array(_HOW_MANY[-len(sequences) :])
    count = 1 + int(rng.choice(len(chances), p=chances / chances.sum()))
    first = rng.random() < _FIRST
    others = rng.permutation(len(sequences) - 1) + 1
    chosen = [0, *others[: count - 1]] if first else list(others[: max(min(count, len(others)), 1)])
    return tuple(sequences[i] for i in sorted(int(c) for c in chosen) or [0])


def draw_look(
    rng: np.random.Generator, scene: Scene, sequences: Sequence[str] | None = None, *, varied: bool = False
) -> Look:
    """Draw how a patient looks, in FLAIR, T1w and T2w by default, and if it is `varied`, in T1w after contrast too."""
    contrasts = VARIED if varied else _PLAIN
    names = tuple(contrasts) if sequences is None else tuple(sequences)
    some = [contrasts[name] for name in names]
    width = 0.05 if not varied else 0.0
    level = np.array(
        [[c.wm * x for x in (*(rng.uniform(*r) for r in (c.csf, c.gm, c.deep)), 1.0)] for c in some]
    ) * rng.normal(1, width, (len(some), 4))
    if ENHANCED in names and "T1w" in names:  # the same tissue, scanned twice
        before, after = names.index("T1w"), names.index(ENHANCED)
        level[after] = level[before] * rng.uniform(0.97, 1.06, 4)

    def each(ranges: Sequence[Range]) -> Array:
        return np.array([rng.uniform(*r) for r in ranges], np.float32)

    wm = np.array([c.wm for c in some], np.float32)
    return Look(
        names,
        level.astype(np.float32),
        uneven=wm[:, None] * rng.uniform(0, _UNEVEN, (len(some), 4)).astype(np.float32)
        if varied
        else np.zeros_like(level, np.float32),
        detail=each([c.detail for c in some]),
        rim=wm * each([c.rim for c in some]),
        bone=wm * each([c.bone for c in some]),
        scalp=wm * each([c.scalp for c in some]),
        spot=_spots(rng, scene, names, contrasts, varied),
        scans=tuple(_varied_scan(rng) if varied else _plain_scan(rng) for _ in names),
        bone_mm=rng.uniform(3, 8),
        scalp_mm=rng.uniform(3, 11),
        strip_mm=(None if rng.random() < 0.4 else rng.uniform(-1, 4)) if varied else 0.0,
        patches=wm[:, None] * rng.uniform(0, 1, (len(some), _KINDS)).astype(np.float32) ** 2 * 3.5,
        uneven_mm=rng.uniform(*_UNEVEN_MM) if varied else 0.0,
        patch_mm=float(np.exp(rng.uniform(*np.log(_PATCHES_MM)))),
        patch_share=float(rng.choice((0.0, 0.3, 0.6, 1.0), p=(0.15, 0.25, 0.3, 0.3))) if varied else 0.0,
    )


def _spots(
    rng: np.random.Generator, scene: Scene, names: tuple[str, ...], contrasts: dict[str, _Contrast], varied: bool
) -> Array:
    added = np.zeros((len(names), 1 + scene.spots), np.float32)
    lesions = scene.lesions
    strength = rng.uniform(0, 1, lesions)  # a lesion that is bright in one sequence is likely to show in the others
    for s, name in enumerate(names):
        low, high = contrasts[name].lesion
        share = (
            np.clip(0.6 * strength + 0.4 * rng.uniform(0, 1, lesions), 0, 1) if varied else rng.uniform(0, 1, lesions)
        )
        added[s, 1 : lesions + 1] = np.where(high > 0, low + share * (high - low), high + share * (low - high))
    if ENHANCED in names:
        some = rng.random(lesions) < rng.uniform(0, _ENHANCING)
        added[names.index(ENHANCED), 1 : lesions + 1][some] = rng.uniform(0.1, 0.8, int(some.sum()))
    for other in range(lesions + 1, scene.spots + 1):  # seen in one sequence only
        s = int(rng.integers(len(names)))
        low, high = contrasts[names[s]].lesion
        added[s, other] = rng.uniform(low, high)
        if varied and rng.random() < 0.5:  # or a space filled with fluid
            added[:, other] = [c.wm * (np.mean(c.csf) - 1) * 0.5 for c in (contrasts[n] for n in names)]
    return added


def _plain_scan(rng: np.random.Generator) -> Scan:
    return Scan(texture=0.02, bias=0.08, bias_mm=50.0, noise=rng.uniform(0.015, 0.04))


def _varied_scan(rng: np.random.Generator) -> Scan:
    thick = rng.random() < 0.35
    x, y, z = rng.normal(0, 0.25, 3)
    return Scan(
        texture=rng.uniform(0.0, 0.05),
        bias=rng.uniform(0.0, 0.25),
        bias_mm=rng.uniform(40, 120),
        noise=np.exp(rng.uniform(*np.log((0.005, 0.08)))),
        gamma=float(np.exp(rng.normal(0, 0.2))),
        blur_mm=rng.uniform(0, 0.9),
        slice_mm=rng.uniform(2, 5) if thick else 0.0,
        slice_axis=int(rng.choice(3, p=(0.2, 0.2, 0.6))),
        shift_mm=(x, y, z),
    )
