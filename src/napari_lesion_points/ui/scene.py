"""The layers of the case on screen. The next case fills them anew.

napari takes a quarter of a second to make a layer, as long to remove one, and some milliseconds to fill one: with four
sequences, that is the difference between a case that is there and one that is waited for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_lesion_points.ui import layers, mask_layers
from napari_lesion_points.ui.windowing import Windowing

if TYPE_CHECKING:
    import numpy as np
    from napari import Viewer
    from napari.layers import Image, Labels, Layer, Points
    from numpy.typing import NDArray

    from napari_lesion_points.core.records import LesionPoint
    from napari_lesion_points.ui.layers import DisplayedCase
    from napari_lesion_points.ui.loading import Heatmap


class Scene:
    """What a session has put into a viewer.

    Attributes
    ----------
    images : dict of str to Image
        By sequence.
    heatmap, candidates, lesions, painted, drawn : layer or None
        None until there was something to show; removed by the user, each is made anew with the next case.
    windowing : Windowing
        How the reader wants each sequence to look.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.windowing = Windowing()
        self.images: dict[str, Image] = {}
        self.heatmap: Image | None = None
        self.candidates: Points | None = None
        self.lesions: Points | None = None
        self.painted: Labels | None = None
        self.drawn: Labels | None = None
        self._candidate_ids: list[str] = []

    @property
    def layers(self) -> list[Layer]:
        """All of them."""
        found = (*self.images.values(), self.heatmap, self.drawn, self.painted, self.candidates, self.lesions)
        return [layer for layer in found if layer is not None]

    @property
    def complete(self) -> bool:
        """Whether all of them are still in the viewer."""
        return all(layer in self._viewer.layers for layer in self.layers)

    def show(
        self,
        shown: DisplayedCase,
        visible: str,
        heatmap: Heatmap | None,
        opacity: float,
        points: Sequence[LesionPoint],
        candidates: Sequence[LesionPoint],
        threshold: float,
    ) -> Points:
        """Show a case, and return the layer of its lesions."""
        self._forget_removed()
        surplus = [layer for name, layer in self.images.items() if name not in shown.volumes]
        for layer in surplus:
            layer.name = f"{layer.name} (before)"
        limits = {name: self.windowing.limits(name, presets) for name, presets in shown.windows.items()}
        self.images = layers.show_images(self._viewer, shown, visible, limits, self.images)
        self.show_heatmap(shown, heatmap, opacity)
        self.lesions = layers.show_lesions(self._viewer, shown, points, self.lesions)
        self.candidates = layers.show_candidates(self._viewer, shown, candidates, threshold, self.candidates)
        self._candidate_ids = [p.id for p in candidates]
        for layer in surplus:  # only now: a viewer without layers forgets its dimensions
            self._viewer.layers.remove(layer)
        return self.lesions

    def show_heatmap(self, shown: DisplayedCase, heatmap: Heatmap | None, opacity: float) -> None:
        """Show the case's heatmap, or none."""
        self._forget_removed()
        with self._same_layer_active():
            self.heatmap = layers.show_heatmap(self._viewer, shown, heatmap, opacity, self.heatmap)

    def show_candidates(self, shown: DisplayedCase, candidates: Sequence[LesionPoint], threshold: float) -> None:
        """Show the case's candidates as they are now: other ones, or the same with other verdicts or existence."""
        self._forget_removed()
        ids = [p.id for p in candidates]
        if self.candidates is not None and ids == self._candidate_ids:
            layers.set_candidates(self.candidates, candidates)
            layers.set_threshold(self.candidates, candidates, threshold)
            return
        with self._same_layer_active():
            self.candidates = layers.show_candidates(self._viewer, shown, candidates, threshold, self.candidates)
        self._candidate_ids = ids

    def show_masks(
        self, shown: DisplayedCase, painted: NDArray[np.generic] | None, drawn: NDArray[np.generic] | None
    ) -> None:
        """Show the mask that is painted in a case and what a segmentation drew there, or none."""
        self.show_drawn(shown, drawn)
        with self._same_layer_active():
            self.painted = mask_layers.show_painted(
                self._viewer, shown, painted, self._place(self.lesions), self.painted
            )

    def show_drawn(self, shown: DisplayedCase, drawn: NDArray[np.generic] | None) -> None:
        """Show what a segmentation drew in a case, or none."""
        self._forget_removed()
        with self._same_layer_active():
            above = self.lesions if self.painted is None else self.painted
            self.drawn = mask_layers.show_drawn(self._viewer, shown, drawn, self._place(above), self.drawn)

    def _place(self, above: Layer | None) -> int:
        """Return the place in the viewer's list below a layer, or the top."""
        there = self._viewer.layers
        return len(there) if above is None else there.index(above)

    def clear(self) -> None:
        """Remove all layers from the viewer."""
        self._forget_removed()
        for layer in self.layers:
            self._viewer.layers.remove(layer)
        self._forget_removed()

    def _forget_removed(self) -> None:
        """Let go of what the user has removed."""
        there = self._viewer.layers
        self.images = {name: layer for name, layer in self.images.items() if layer in there}
        self.heatmap = self.heatmap if self.heatmap in there else None
        self.candidates = self.candidates if self.candidates in there else None
        self.lesions = self.lesions if self.lesions in there else None
        self.painted = self.painted if self.painted in there else None
        self.drawn = self.drawn if self.drawn in there else None

    @contextmanager
    def _same_layer_active(self) -> Iterator[None]:
        """Let the layer that is active stay so: napari activates every layer that is added."""
        active = self._viewer.layers.selection.active
        yield
        if active is not None and active in self._viewer.layers:
            self._viewer.layers.selection.active = active
