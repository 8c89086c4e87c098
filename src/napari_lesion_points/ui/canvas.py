"""What the canvas looks at: orientation and letters, slices and camera, and the crosshair drawn over it.

napari's own `dims.point` is the crosshair: the place where the slices of the three orientations cross.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.ui.planes import ORIENTATIONS, close_up_mm, crosshair, nearest_voxel, reach_mm, shows_whole
from napari_lesion_points.ui.soon import Soon

if TYPE_CHECKING:
    from napari import Viewer
    from napari.components.overlays import TextOverlay
    from numpy.typing import ArrayLike, NDArray

    from napari_lesion_points.ui.layers import DisplayedCase

_SIDES = ("middle_left", "middle_right", "top_center", "bottom_center")
_TITLE = "lesion_points_title"


def orient(viewer: Viewer, orientation: str) -> None:
    """Show axial, coronal or sagittal slices on black, with the letters of the body's sides at the four edges."""
    if viewer.canvas.background_color_override is None:  # napari's light theme would put images and letters on white
        viewer.canvas.background_color_override = "black"
    order, up, letters = ORIENTATIONS[orientation]
    viewer.scene.camera.orientation2d = ("up" if up else "down", "right")
    viewer.dims.order = order
    for side, letter in zip(_SIDES, letters, strict=True):
        name = f"lesion_points_{side}"
        if name in viewer.canvas.overlays:
            viewer.canvas.overlays[name].text = letter
        else:
            viewer.canvas.overlays[name] = _text(letter, side, "#ffd54f", 14)


def entitle(viewer: Viewer, text: str) -> None:
    """Write which image is shown into the corner of the canvas; nothing for ""."""
    overlay = viewer.canvas.overlays.get(_TITLE)
    if overlay is not None:
        if overlay.text != text:
            overlay.text = text
    elif text:
        viewer.canvas.overlays[_TITLE] = _text(text, "top_left", "#e8eaf0", 10)


def turn(viewer: Viewer, shown: DisplayedCase, orientation: str) -> None:
    """Show the slices of another orientation through the crosshair, as close as those before."""
    zoom, whole, at = viewer.scene.camera.zoom, _whole(viewer, shown), place(viewer, shown)
    orient(viewer, orientation)  # for napari, that is a reason to show the whole slice
    if not whole:
        viewer.scene.camera.zoom = zoom
        center(viewer, shown, at)


def clear_letters(viewer: Viewer) -> None:
    """Take the letters of the body's sides, the title, and the black behind them away again."""
    viewer.canvas.background_color_override = None
    for name in (_TITLE, *(f"lesion_points_{side}" for side in _SIDES)):
        viewer.canvas.overlays.pop(name, None)


def _text(text: str, position: str, color: str, size: int) -> TextOverlay:
    from napari.components.overlays import TextOverlay

    return TextOverlay(text=text, position=position, visible=True, color=color, font_size=size)


def jump(viewer: Viewer, shown: DisplayedCase, world: tuple[float, float, float], close_up: bool = False) -> None:
    """Show the slices through a world point in every orientation, and centre the camera on it.

    With `close_up`, a view of the whole slice gives way to one of the point's surroundings; another zoom is the
    reader's, and stays.
    """
    at = shown.to_layer([world])[0]
    go(viewer, shown, at)
    if close_up and _whole(viewer, shown):
        viewer.scene.camera.zoom = min(viewer.canvas.size) / close_up_mm(shown.grid.shape, shown.grid.spacing)
    center(viewer, shown, at)


def go(viewer: Viewer, shown: DisplayedCase, at_layer: ArrayLike) -> None:
    """Show the slices through a place (voxel coordinates of the displayed grid, (3,)) in every orientation."""
    mm = nearest_voxel(at_layer, shown.grid.shape) * shown.grid.spacing
    if viewer.dims.ndim == 3 and not np.allclose(viewer.dims.point, mm):
        viewer.dims.set_point(range(3), [float(v) for v in mm])


def center(viewer: Viewer, shown: DisplayedCase, at_layer: ArrayLike) -> None:
    """Put a place (voxel coordinates of the displayed grid, (3,)) in the middle of the canvas."""
    mm = np.asarray(at_layer, dtype=float) * shown.grid.spacing
    viewer.scene.camera.center = tuple(mm[list(viewer.dims.order)])


def keep_in_view(viewer: Viewer, shown: DisplayedCase) -> None:
    """Centre the canvas on the crosshair when that lies outside of it."""
    at = place(viewer, shown)
    displayed = list(viewer.dims.order[-2:])
    away = np.abs((at * shown.grid.spacing)[displayed] - np.asarray(viewer.scene.camera.center)[-2:])
    if (away * viewer.scene.camera.zoom > np.asarray(viewer.canvas.size) / 2).any():
        center(viewer, shown, at)


def place(viewer: Viewer, shown: DisplayedCase) -> NDArray[np.floating]:
    """Return where the slices of the three orientations cross: voxel coordinates of the displayed grid, (3,).

    In a viewer whose layers were removed there are no such slices; then it is the first voxel.
    """
    if viewer.dims.ndim != 3:
        return np.zeros(3)
    return np.asarray(viewer.dims.point, dtype=float) / shown.grid.spacing


def view(viewer: Viewer, shown: DisplayedCase) -> tuple[NDArray[np.floating], float]:
    """Return what is in the middle of the canvas, voxel coordinates of the displayed grid (3,), and how close it looks.

    That is in screen pixels per mm, or 0 when the whole slice is seen.
    """
    mm = place(viewer, shown) * shown.grid.spacing
    displayed = list(viewer.dims.order[-2:])
    mm[displayed] = np.asarray(viewer.scene.camera.center)[-2:]
    return mm / shown.grid.spacing, 0.0 if _whole(viewer, shown) else float(viewer.scene.camera.zoom)


def look(viewer: Viewer, shown: DisplayedCase, at_layer: ArrayLike, zoom: float) -> None:
    """Put a place (voxel coordinates of the displayed grid, (3,)) in the middle, at so many screen pixels per mm."""
    viewer.scene.camera.zoom = zoom
    center(viewer, shown, at_layer)


def set_margin(viewer: Viewer, shown: DisplayedCase, margin_mm: float) -> None:
    """Show points up to `margin_mm` before and behind the slice; half a slice at least, or some would be on none."""
    viewer.dims.margin_left = viewer.dims.margin_right = tuple(reach_mm(margin_mm, mm) for mm in shown.grid.spacing)


def _whole(viewer: Viewer, shown: DisplayedCase) -> bool:
    """Whether the canvas shows all of a slice."""
    displayed = list(viewer.dims.order[-2:])
    extent_mm = (np.array(shown.grid.shape) * shown.grid.spacing)[displayed]
    return shows_whole(extent_mm, viewer.canvas.size, viewer.scene.camera.zoom)


class Crosshair:
    """Four lines over the canvas that stop short of where the slices cross.

    They are napari's zoom boxes of no width, because its canvas has no other lines, and a layer of lines would be
    sliced and drawn with every step.
    """

    _NAMES = tuple(f"lesion_points_crosshair_{n}" for n in range(4))

    def __init__(self, viewer: Viewer) -> None:
        from napari.components.overlays import ZoomOverlay

        self._viewer = viewer
        self._shown: DisplayedCase | None = None
        for name in self._NAMES:
            viewer.canvas.overlays[name] = ZoomOverlay(box=False)
        self._events = (
            viewer.dims.events.point, viewer.dims.events.order, viewer.dims.events.ndisplay,
            viewer.scene.camera.events.center, viewer.scene.camera.events.zoom, viewer.canvas.events.size,
        )  # fmt: skip
        self._soon = Soon(self._draw)  # a jump alone is four events, and each line that moves costs as much as a layer
        for event in self._events:
            event.connect(self._soon.ask)

    def show(self, shown: DisplayedCase | None) -> None:
        """Draw it on this case, or nowhere."""
        if shown is not self._shown:
            self._shown = shown
            self._soon.ask()

    def close(self) -> None:
        """Take it away."""
        self._soon.stop()
        for event in self._events:
            event.disconnect(self._soon.ask)
        for name in self._NAMES:
            self._viewer.canvas.overlays.pop(name, None)

    def _draw(self) -> None:
        viewer, shown = self._viewer, self._shown
        visible = shown is not None and (viewer.dims.ndim, viewer.dims.ndisplay) == (3, 2)
        overlays = [viewer.canvas.overlays[name] for name in self._NAMES]
        if shown is not None and visible:
            away = place(viewer, shown) * shown.grid.spacing
            zoom, (height, width) = viewer.scene.camera.zoom, viewer.canvas.size
            down, right = (away[list(viewer.dims.order[-2:])] - np.asarray(viewer.scene.camera.center)[-2:]) * zoom
            down = -down if viewer.scene.camera.orientation2d[0] == "up" else down
            lines = crosshair(width / 2 + right, height / 2 + down, (width, height), zoom)
            for overlay, ((x0, y0), (x1, y1)) in zip(overlays, lines, strict=True):
                overlay.position = ((y0, x0), (y1, x1))
        for overlay in overlays:
            if overlay.visible != visible:
                overlay.visible = visible


class Boxes:
    """Squares over the canvas around places of the case, whichever slice they are on; napari's zoom boxes.

    They are made when the first is wanted.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._shown: DisplayedCase | None = None
        self._places: tuple[tuple[tuple[float, float, float], float], ...] = ()
        self._names: list[str] = []
        self._events = (
            viewer.dims.events.order, viewer.dims.events.ndisplay,
            viewer.scene.camera.events.center, viewer.scene.camera.events.zoom, viewer.canvas.events.size,
        )  # fmt: skip
        self._soon = Soon(self._draw)
        for event in self._events:
            event.connect(self._soon.ask)

    def show(self, shown: DisplayedCase | None, places: tuple[tuple[tuple[float, float, float], float], ...]) -> None:
        """Draw squares around these places of a case: world mm, and the side in mm."""
        if shown is not self._shown or places != self._places:
            self._shown, self._places = shown, places
            self._soon.ask()

    def close(self) -> None:
        """Take them away."""
        self._soon.stop()
        for event in self._events:
            event.disconnect(self._soon.ask)
        for name in self._names:
            self._viewer.canvas.overlays.pop(name, None)

    def _draw(self) -> None:
        from napari.components.overlays import ZoomOverlay

        viewer, shown = self._viewer, self._shown
        places = self._places if shown is not None and viewer.dims.ndisplay == 2 else ()
        while len(self._names) < len(places):
            self._names.append(f"lesion_points_box_{len(self._names)}")
            viewer.canvas.overlays[self._names[-1]] = ZoomOverlay(box=False)
        overlays = [viewer.canvas.overlays[name] for name in self._names]
        zoom, middle = viewer.scene.camera.zoom, np.asarray(viewer.canvas.size) / 2
        up = viewer.scene.camera.orientation2d[0] == "up"
        for overlay, (world, side_mm) in zip(overlays, places, strict=False):
            mm = shown.to_layer([world])[0] * shown.grid.spacing if shown is not None else np.zeros(3)
            down, right = (mm[list(viewer.dims.order[-2:])] - np.asarray(viewer.scene.camera.center)[-2:]) * zoom
            y, x = middle[0] + (-down if up else down), middle[1] + right
            half = side_mm * zoom / 2
            overlay.position = ((y - half, x - half), (y + half, x + half))
        for number, overlay in enumerate(overlays):
            if overlay.visible != (number < len(places)):
                overlay.visible = number < len(places)
