"""Lesion points: annotate, train, detect, review and export lesions as points in napari.

Public names are loaded when first used, so that importing the package costs nothing and loads neither torch nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_lesion_points.core.fitting import Candidates, FitFlag, fit_gaussians
    from napari_lesion_points.core.heatmap import draw_gaussians

__version__ = "0.1.0"

__all__ = ["Candidates", "FitFlag", "__version__", "draw_gaussians", "fit_gaussians"]

_HOMES = {
    "Candidates": "core.fitting",
    "FitFlag": "core.fitting",
    "draw_gaussians": "core.heatmap",
    "fit_gaussians": "core.fitting",
}


def __getattr__(name: str) -> object:
    """Load a public name from where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
