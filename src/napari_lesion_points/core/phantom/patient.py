"""A whole simulated patient, as it would come from a scanner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.components import component_centres
from napari_lesion_points.core.geometry import Volume
from napari_lesion_points.core.phantom.look import draw_look
from napari_lesion_points.core.phantom.scanner import scan, whole
from napari_lesion_points.core.phantom.scene import draw_scene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_lesion_points.core.phantom.anatomy import Anatomy

_GAIN = 300.0, 900.0  # scanner units


@dataclass(frozen=True, eq=False)
class Phantom:
    """A simulated patient, all volumes on one grid.

    Parameters
    ----------
    sequences : dict of str to Volume
        float32, in arbitrary scanner units; 0 outside the brain, or outside the head where it was not cut off.
    brain : Volume
        uint8, 1 in the brain.
    labels : Volume
        uint16, k in the voxels of lesion k = 1, 2, ...; 0 elsewhere.
    centers_world : (K, 3) float
        Centre of mass of each lesion, world mm.
    sizes : (K,) int
        Voxels of each lesion.
    """

    sequences: dict[str, Volume]
    brain: Volume
    labels: Volume
    centers_world: NDArray[np.floating]
    sizes: NDArray[np.int64]


def simulate_patient(
    anatomy: Anatomy,
    seed: int,
    *,
    lesions: tuple[int, int] = (2, 8),
    varied: bool = False,
    sequences: Sequence[str] | None = None,
    masks: Sequence[Volume] = (),
) -> Phantom:
    """Simulate one patient; the same arguments give the same patient.

    Parameters
    ----------
    anatomy : Anatomy
        Template to deform. The patient has its grid.
    seed : int
        At least 0.
    lesions : (int, int)
        Fewest and most lesions to grow, both included. There are fewer where white matter has no room for them.
    varied : bool
        Draw at random what differs between scanners and patients; see the package's text.
    sequences : sequence of str, optional
        FLAIR, T1w, T2w or ce-gadolinium_T1w; by default the first three, and all four of a varied patient.
    masks : sequence of Volume
        Lesions of real patients in the template's space: those of one of them come first.
    """
    rng = np.random.default_rng(seed)
    scene = draw_scene(rng, anatomy, lesions=lesions, varied=varied, masks=masks)
    look = draw_look(rng, scene, sequences, varied=varied)
    images, _ = scan(rng, scene, look, whole(scene))
    truth = component_centres(Volume(scene.labels, scene.grid), label_image=True)
    return Phantom(
        {
            n: Volume(x * np.float32(rng.uniform(*_GAIN)), scene.grid)
            for n, x in zip(look.sequences, images, strict=True)
        },
        Volume(scene.brain.astype(np.uint8), scene.grid),
        Volume(scene.labels, scene.grid),
        truth.centers_world,
        truth.sizes,
    )
