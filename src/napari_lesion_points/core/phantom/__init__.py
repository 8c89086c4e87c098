"""Simulated patients with lesions whose place is known: for the demo, the tests and the starter model.

A patient is a deformed template brain with lesions and with spots that are none (`scene`), seen by a scanner (`look`,
`scanner`). All that is random comes from one seed. Intensities are relative until the last step.

With `varied`, whatever differs between clinics is drawn at random and far wider than it occurs: contrasts of tissue and
lesions, bias, noise, sharpness, slice thickness, displacement between sequences, brain extraction, ventricle size. A
network that has seen all of it has no scanner to be used to. The idea is that of SynthSeg (Billot et al. 2023): images
from label maps, with a new contrast each time. Unlike there, sequences keep what defines them (fluid is dark in FLAIR
and bright in T2w), since that is what tells a lesion from a normal structure.
"""

from napari_lesion_points.core.phantom.anatomy import FINE_GRID, GRID, Anatomy, make_anatomy
from napari_lesion_points.core.phantom.patient import Phantom, simulate_patient

__all__ = ["FINE_GRID", "GRID", "Anatomy", "Phantom", "make_anatomy", "simulate_patient"]
