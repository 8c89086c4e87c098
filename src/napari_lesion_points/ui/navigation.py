"""Where the reader looks: the crosshair that all views share, what the panes show of it, and how images are windowed.

The crosshair is napari's own `dims.point`: the place where the slices of the three orientations cross. So the canvas,
its slider, keys, clicks and the panes cannot disagree.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_lesion_points.ui import canvas
from napari_lesion_points.ui.picture import Mark, Picture, Sheet
from napari_lesion_points.ui.planes import (
    ORIENTATIONS,
    Content,
    Focus,
    View,
    close_up_mm,
    companions,
    nearest_voxel,
    reach_mm,
)
from napari_lesion_points.ui.session import next_fade, next_views
from napari_lesion_points.ui.translation import _
from napari_lesion_points.ui.vocabulary import ORIENTATION_WORDS, WINDOW_WORDS
from napari_lesion_points.ui.windowing import PRESETS, dragged

if TYPE_CHECKING:
    from napari.layers import Image, Layer, Points
    from numpy.typing import ArrayLike, NDArray

    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.layers import DisplayedCase
    from napari_lesion_points.ui.screen import Screen

#: What of a layer is seen in the panes too, when napari's controls change it.
_SEEN = ("visible", "opacity", "contrast_limits", "gamma", "colormap", "interpolation2d")


class Navigator(QObject):
    """Moves the crosshair of one session, and makes the pictures of its panes.

    Attributes
    ----------
    changed : Signal()
        What the panes show has changed.
    focus : Focus
        What they look at.
    """

    changed = Signal()

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self.focus = Focus((0.0, 0.0, 0.0))
        self._controller = controller
        self._viewer = controller.viewer
        self._shown: DisplayedCase | None = None
        self._tab = controller.state.tab
        self._watched: list[Layer] = []
        self._hidden: list[Layer] = []
        controller.changed.connect(self._on_changed)
        controller.jumped.connect(self._on_jumped)
        self._viewer.dims.events.point.connect(self._on_moved)

    def close(self) -> None:
        """Stop listening to the viewer."""
        self._viewer.dims.events.point.disconnect(self._on_moved)
        self._watch([])
        self._shown = None

    # the crosshair ---------------------------------------------------------------------------------------------------

    @property
    def place(self) -> NDArray[np.floating]:
        """Where the crosshair is: voxel coordinates of the displayed grid, (3,); zeros without a case."""
        return np.zeros(3) if self._shown is None else canvas.place(self._viewer, self._shown)

    def go(self, voxel: ArrayLike) -> None:
        """Move the crosshair to the voxel that a place (3,) is in; the canvas follows when it would not be seen."""
        if self._shown is None:
            return
        canvas.go(self._viewer, self._shown, voxel)
        canvas.keep_in_view(self._viewer, self._shown)

    def step(self, orientation: str, slices: int) -> None:
        """Go some slices on."""
        to = self.place.copy()
        to[ORIENTATIONS[orientation].axis] += slices
        self.go(to)

    def zoom(self, factor: float) -> None:
        """Show the panes larger, around the crosshair."""
        if self._shown is not None:
            extent = float((np.array(self._shown.grid.shape) * self._shown.grid.spacing).max())
            self.focus = self.focus.zoomed(factor, self.place, extent)
            self.changed.emit()

    def _on_jumped(self, world: tuple[float, float, float], close_up: bool) -> None:
        self._uncover()
        if self._shown is not None:
            field = close_up_mm(self._shown.grid.shape, self._shown.grid.spacing) if close_up else None
            self.focus = self.focus.at(self._shown.to_layer([world])[0], field)
            self.changed.emit()

    def _on_moved(self) -> None:
        if self._shown is not None:
            self.focus = self.focus.following(self.place, self._shown.grid.spacing)
            self.changed.emit()

    def _on_changed(self, screen: Screen) -> None:
        controller, new = self._controller, self._controller.shown is not self._shown
        tab, self._tab = self._tab, controller.state.tab
        if new:
            self._shown = controller.shown
            self.focus = replace(self.focus, field_mm=None)
        if new or tab != self._tab:
            self._uncover()  # before the tool is taken in hand: napari gives none to a layer that is hidden
        self._entitle()
        if self._watched != controller.scene.layers:
            self._watch(controller.scene.layers)
        self.changed.emit()

    def _entitle(self) -> None:
        sequence = self._controller.state.sequence
        canvas.entitle(self._viewer, self.title(sequence) if self._shown is not None else "")

    def _watch(self, wanted: list[Layer]) -> None:
        """Listen to what napari's controls change in these layers."""
        for known, act in ((self._watched, "disconnect"), (wanted, "connect")):
            for layer in known:
                for name in _SEEN:
                    event = getattr(layer.events, name, None)
                    if event is not None:
                        getattr(event, act)(self._on_layer)
        self._watched = list(wanted)

    def _on_layer(self) -> None:
        self.changed.emit()

    # views -----------------------------------------------------------------------------------------------------------

    @property
    def contents(self) -> tuple[Content, ...]:
        """What the panes show now."""
        state = self._controller.state
        if self._shown is None:
            return ()
        return companions(state.views, state.orientation, state.sequence, tuple(self._controller.scene.images))

    def set_views(self, views: str) -> None:
        """Show panes: "planes", "sequences" or none ("")."""
        self._controller.update(views=views)

    def next_views(self) -> None:
        """Go on from the other planes to the other sequences, to no panes, and around."""
        self.set_views(next_views(self._controller.state.views))

    def bring(self, content: Content) -> None:
        """Show in the canvas what a pane shows; the pane takes what the canvas showed."""
        state = self._controller.state
        if content.orientation != state.orientation:
            self._controller.set_orientation(content.orientation)
        if content.sequence != state.sequence:
            self._controller.set_sequence(content.sequence)

    # window and level, heatmap ---------------------------------------------------------------------------------------

    def drag_window(self, sequence: str, right: float, up: float) -> None:
        """Change the window of a sequence as a drag (pixels) tells; it stays, relative to each case's intensities."""
        layer = self._controller.scene.images.get(sequence)
        if layer is None or self._shown is None:
            return
        presets = self._shown.windows[sequence]
        low, high = layer.contrast_limits
        limits = dragged((float(low), float(high)), right, up, presets["auto"])
        self._controller.scene.windowing.own(sequence, limits, presets)
        layer.contrast_limits = limits
        self._entitle()

    def title(self, sequence: str) -> str:
        """Return the name of a sequence, with that of its window when it is not the automatic one."""
        window = self._controller.scene.windowing.chosen(sequence)
        return sequence if window == PRESETS[0] else f"{sequence} · {WINDOW_WORDS[window]}"

    def next_window(self) -> None:
        """Show the sequence on the canvas with its next preset."""
        sequence, windowing = self._controller.state.sequence, self._controller.scene.windowing
        layer = self._controller.scene.images.get(sequence)
        if layer is None or self._shown is None:
            return
        preset = windowing.step(sequence)
        low, high = windowing.limits(sequence, self._shown.windows[sequence])
        layer.contrast_limits = low, high
        said = _("{sequence}: {preset} window, {low:.4g} to {high:.4g}.")
        self._controller.say(said.format(sequence=sequence, preset=WINDOW_WORDS[preset], low=low, high=high))

    def fade(self) -> None:
        """Let the heatmap be fainter by a step, and full again after it was gone."""
        heatmap, state = self._controller.scene.heatmap, self._controller.state
        if heatmap is not None:
            heatmap.visible = True
            self._controller.set_heat_opacity(next_fade(state.heat_opacity))

    def toggle_bare(self) -> None:
        """Hide all that is drawn over the image, or show it again; it is back with the next jump, case or tab."""
        if self._hidden:
            self._uncover()
            return
        scene = self._controller.scene
        over = (scene.lesions, scene.candidates, scene.heatmap, scene.drawn, scene.painted)
        self._hidden = [layer for layer in over if layer is not None and layer.visible]
        for layer in self._hidden:
            layer.visible = False
        self._controller.say(_("Only the image is shown. D brings points and heatmap back."))

    def _uncover(self) -> None:
        """Show what `toggle_bare` has hidden; napari gives each layer back the tool that it had."""
        hidden, self._hidden = self._hidden, []
        for layer in hidden:
            if not layer.visible:
                layer.visible = True

    # pictures --------------------------------------------------------------------------------------------------------

    def view(self, content: Content, size: tuple[float, float]) -> View | None:
        """Return the geometry of a pane of this size (width, height in pixels); None without a case."""
        if self._shown is None:
            return None
        x, y, z = (float(mm) for mm in self._shown.grid.spacing)
        return View(ORIENTATIONS[content.orientation], self._shown.grid.shape, (x, y, z), size, self.focus)

    def picture(self, content: Content, size: tuple[float, float]) -> Picture | None:
        """Return what a pane of this size (width, height in pixels) shows; None without a case."""
        from napari.settings import get_settings

        view, scene, state = self.view(content, size), self._controller.scene, self._controller.state
        image = scene.images.get(content.sequence)
        if view is None or image is None:
            return None
        index = int(nearest_voxel(self.place, view.shape)[view.orientation.axis])
        planes = content.orientation != state.orientation
        marks = [
            mark
            for layer in (scene.lesions, scene.candidates)
            if layer is not None and layer.visible
            for mark in _marks(layer, view, index, state.margin_mm)
        ]
        px, py, pz = (float(v) for v in self.place)
        accent = _rgba(get_settings().appearance.highlight.highlight_color)
        sheets = [_sheet(image)]
        if scene.heatmap is not None and scene.heatmap.visible and scene.heatmap.opacity > 0:
            sheets.append(_sheet(scene.heatmap))
        title = ORIENTATION_WORDS[content.orientation] if planes else self.title(content.sequence)
        return Picture(view, index, title, tuple(sheets), tuple(marks), (px, py, pz), accent)


def _sheet(layer: Image) -> Sheet:
    """Read an image layer; a translucent one gets its opacity."""
    colors = np.asarray(layer.colormap.map(np.linspace(0, 1, 256) ** layer.gamma), dtype=float)
    colors = colors * (1, 1, 1, layer.opacity)
    low, high = (float(v) for v in layer.contrast_limits)
    smooth = str(layer.interpolation2d) != "nearest"
    return Sheet(layer.data, (low, high), np.round(255 * colors).astype(np.uint8), smooth)


def _marks(layer: Points, view: View, index: int, margin_mm: float) -> list[Mark]:
    """Read the points of a layer that belong to a slice."""
    axis = view.orientation.axis
    if not len(layer.data):
        return []
    away_mm = np.abs(layer.data[:, axis] - index) * view.spacing[axis]
    rows = np.flatnonzero((away_mm <= reach_mm(margin_mm, view.spacing[axis])) & np.asarray(layer.shown, dtype=bool))
    texts: Any = layer.text.values if layer.text.visible and layer.text.values.shape == (len(layer.data),) else None
    marks = []
    for row in rows:
        x, y, z = (float(v) for v in layer.data[row])
        face, border = _rgba(layer.face_color[row]), _rgba(layer.border_color[row])
        marks.append(
            Mark(
                (x, y, z), str(layer.symbol[row]), float(layer.size[row]) * view.spacing[-1], face, border,
                "" if texts is None else str(texts[row]), row in layer.selected_data,
                bool(away_mm[row] > reach_mm(0, view.spacing[axis])),
            )
        )  # fmt: skip
    return marks


def _rgba(color: ArrayLike) -> tuple[int, int, int, int]:
    """RGBA from 0 to 1 as bytes."""
    r, g, b, a = (round(255 * float(c)) for c in np.asarray(color))
    return r, g, b, a
