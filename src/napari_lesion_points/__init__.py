"""Lesion points: annotate, train, detect, review and export lesions as points in napari."""

from __future__ import annotations

__version__ = "0.1.0"
