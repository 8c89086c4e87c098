"""The MNI152 anatomy in nilearn's wheel."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from napari_lesion_points.errors import VolumeError
from napari_lesion_points.store import anatomy


def test_tissue_is_where_it_is_in_mni_space() -> None:
    pytest.importorskip("nilearn", reason="nilearn is not installed")
    brain = anatomy.load_anatomy()
    # Centrum semiovale, thalamus, third ventricle; left and right of the first two.
    for tissue, places in {
        "wm": [(-26, -20, 36), (26, -20, 36)],
        "gm": [(-10, -20, 8), (10, -20, 8), (-28, 2, 0), (28, 2, 0)],
        "csf": [(-17, -40, 15), (17, -40, 15)],
    }.items():
        at = tuple(np.rint(brain.grid.to_voxel(places)).astype(int).T)
        assert (getattr(brain, tissue)[at] > 0.5).all(), tissue
    litres = np.count_nonzero(brain.gm + brain.wm + brain.csf) * np.prod(brain.grid.spacing) / 1e6
    assert 1.5 < litres < 2.2


def test_nilearn_itself_is_not_loaded() -> None:
    script = (
        "import sys; from napari_lesion_points.store.anatomy import template_path; template_path('gm'); "
        "sys.exit('nilearn' in sys.modules)"
    )
    pytest.importorskip("nilearn", reason="nilearn is not installed")
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_without_nilearn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anatomy, "find_spec", lambda _: None)
    with pytest.raises(VolumeError, match="pip install nilearn"):
        anatomy.load_anatomy()


def test_a_nilearn_without_the_templates_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = ModuleSpec("nilearn", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(anatomy, "find_spec", lambda _: spec)
    with pytest.raises(VolumeError, match=r"mni_icbm152_gm_.* is missing"):
        anatomy.load_anatomy()
