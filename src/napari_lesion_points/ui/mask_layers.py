"""Masks in the viewer: the one that a reader paints, and the lesions that a segmentation drew.

Both are labels on the displayed grid, placed as the images are (see `layers`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_lesion_points.ui.layers import DisplayedCase

PAINTED = "Mask"
DRAWN = "Segmentation"

_BRUSH_MM = 3.0  # small lesions have about this size
_PAINTED_COLOR, _DRAWN_COLOR = "#ffd54f", "#69f0ae"  # neither is in the heatmap, nor that of the lesions' rings


def show_painted(
    viewer: Viewer, shown: DisplayedCase, data: NDArray[np.generic] | None, below: int, layer: Labels | None
) -> Labels | None:
    """Show the mask that is painted, to be edited; None empties a layer that there is and locks it.

    Parameters
    ----------
    viewer, shown
        Where, and on which grid.
    data : (I, J, K) int or None
        Labels on `shown.grid`; painting changes this array.
    below : int
        Place of a new layer in the viewer's list.
    layer : Labels or None
        That of the case before.
    """
    if layer is None and data is None:
        return None
    if layer is None:
        layer = _new_layer(viewer, shown, data, PAINTED, _PAINTED_COLOR, below)
        layer.brush_size = max(1, round(_BRUSH_MM / float(shown.grid.spacing[1:].min())))
    else:
        _fill(layer, shown, data)
    layer.editable = data is not None
    return layer


def show_drawn(
    viewer: Viewer, shown: DisplayedCase, data: NDArray[np.generic] | None, below: int, layer: Labels | None
) -> Labels | None:
    """Show what a segmentation drew; see `show_painted`. It cannot be edited."""
    if layer is None and data is None:
        return None
    if layer is None:
        layer = _new_layer(viewer, shown, data, DRAWN, _DRAWN_COLOR, below)
    else:
        _fill(layer, shown, data)
    layer.editable = False
    return layer


def _new_layer(
    viewer: Viewer, shown: DisplayedCase, data: NDArray[np.generic] | None, name: str, color: str, below: int
) -> Labels:
    colors = DirectLabelColormap(color_dict={None: color, 0: "transparent"})  # one for all: lesions do not touch
    layer = viewer.add_labels(data, name=name, colormap=colors, opacity=0.6, **shown.placement())
    viewer.layers.move(viewer.layers.index(layer), below)
    return layer


def _fill(layer: Labels, shown: DisplayedCase, data: NDArray[np.generic] | None) -> None:
    layer.data = np.zeros(shown.grid.shape, np.uint8) if data is None else data
    layer.scale = shown.grid.spacing
