"""What of a case is shown in the viewer, and the only translation between world and layer coordinates.

Conventions
-----------
* Every array shown has axes `DISPLAY_AXES`, a plain scale equal to the grid's spacing, and units mm. The true affine,
  oblique or not, stays with the case: napari does not slice rotated layers right.
* Points layers hold *voxel coordinates of the displayed grid*, (N, 3) float, with the image's scale and units; world mm
  enters and leaves through `DisplayedCase.to_layer` and `to_world`.
* The margin around the slice is for points only: images and heatmap have `projection_mode="none"`, or napari would show
  the mean of the slices in it.
* What napari calls world is therefore voxel x spacing of the displayed grid, and never leaves this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import Colormap

from napari_lesion_points.core.records import LesionPoint, Verdict
from napari_lesion_points.ui.preferences import preferences
from napari_lesion_points.ui.windowing import Limits, preset_limits

if TYPE_CHECKING:
    import pandas as pd
    from napari import Viewer
    from napari.layers import Image, Points
    from numpy.typing import ArrayLike, NDArray

    from napari_lesion_points.core.geometry import Grid, Volume
    from napari_lesion_points.store.cases import Case
    from napari_lesion_points.ui.loading import Heatmap

LESIONS = "Lesions"
CANDIDATES = "Candidates"
HEATMAP = "Heatmap"

#: Diameters (mm) of the markers: circles around a lesion, and candidates that fit inside them. A candidate that waits
#: for a verdict is a thin ring, so that what is to be judged can be seen in it.
_LESION_MM = 10.0
_CANDIDATE_MM = 8.0

#: A smallest size on the screen would also show the invisible point that napari draws when a slice holds none.
_ANY_SIZE = (0, 10000)

_LESION_COLOR = "#00e5ff"
_SYMBOLS = {
    Verdict.NONE: "disc",
    Verdict.ACCEPTED: "star",
    Verdict.REJECTED: "x",
    Verdict.MOVED: "diamond",
    Verdict.UNSURE: "square",
}
_FACES = {
    Verdict.NONE: "transparent",
    Verdict.UNSURE: "transparent",
    Verdict.ACCEPTED: "#4caf50",
    Verdict.REJECTED: "#ff5252",
    Verdict.MOVED: "#ffb300",
}

#: Of existence, by the name in the preferences: known maps without their darkest colours, lost on dark images.
#: Lightness rises all the way, also for readers who do not see red, green or blue (tests/ui/test_colors.py).
EXISTENCE_COLORS = {
    "plasma": Colormap(
        [[0.42, 0.0, 0.66], [0.69, 0.16, 0.56], [0.88, 0.39, 0.38], [0.99, 0.65, 0.21], [0.94, 0.98, 0.13]],
        name="existence",
    ),
    "viridis": Colormap(
        [[0.25, 0.27, 0.53], [0.16, 0.47, 0.56], [0.13, 0.66, 0.52], [0.48, 0.82, 0.32], [0.99, 0.91, 0.14]],
        name="existence viridis",
    ),
    "cividis": Colormap(
        [[0.20, 0.27, 0.42], [0.38, 0.40, 0.45], [0.55, 0.54, 0.47], [0.76, 0.70, 0.41], [1.0, 0.92, 0.27]],
        name="existence cividis",
    ),
}

#: Exactly transparent at 0, so that nothing predicted hides nothing; then magenta to yellow, as strong as it is sure.
HEAT = Colormap(
    [
        [0.8, 0.1, 0.5, 0.0],
        [0.8, 0.15, 0.5, 0.35],
        [0.9, 0.3, 0.25, 0.6],
        [1.0, 0.65, 0.1, 0.75],
        [1.0, 1.0, 0.6, 0.85],
    ],
    controls=[0.0, 0.1, 0.35, 0.7, 1.0],
    name="lesion heat",
)


@dataclass(frozen=True, eq=False)
class DisplayedCase:
    """A case as it is shown.

    Parameters
    ----------
    case : str
        Its identifier.
    grid : Grid
        The displayed grid, axes `DISPLAY_AXES`.
    volumes : mapping of str to Volume
        Sequences on that grid; the first is shown first.
    windows : mapping of str to mapping of str to (float, float)
        Limits of each preset (`windowing.PRESETS`) of each sequence.
    notes : tuple of str
        What was done to the files on loading, for the user.
    """

    case: str
    grid: Grid
    volumes: Mapping[str, Volume]
    windows: Mapping[str, Mapping[str, Limits]]
    notes: tuple[str, ...] = ()

    def to_layer(self, points_world: ArrayLike) -> NDArray[np.floating]:
        """World mm (N, 3) to voxel coordinates of the displayed grid (N, 3)."""
        return self.grid.to_voxel(points_world)

    def to_world(self, points_layer: ArrayLike) -> NDArray[np.floating]:
        """Voxel coordinates of the displayed grid (N, 3) to world mm (N, 3)."""
        return self.grid.to_world(points_layer)

    def placement(self) -> dict[str, Any]:
        """Layer arguments that put an array or points of the displayed grid where they belong."""
        from napari_lesion_points.core.geometry import DISPLAY_AXES

        return {"scale": tuple(self.grid.spacing), "units": ("mm",) * 3, "axis_labels": tuple(DISPLAY_AXES)}


def displayed(case: Case) -> DisplayedCase:
    """Prepare a loaded case for the viewer: reoriented, with its windows. Meant for a worker."""
    from napari_lesion_points.core.geometry import DISPLAY_AXES, Volume

    volumes = {}
    for name in sequence_order(tuple(case.volumes)):
        volume = case.volumes[name].reoriented(DISPLAY_AXES)
        volumes[name] = Volume(np.asarray(volume.data, dtype=np.float32), volume.grid)
    grid = next(iter(volumes.values())).grid
    windows = {name: preset_limits(volume.data, name) for name, volume in volumes.items()}
    return DisplayedCase(case.case, grid, volumes, windows, tuple(case.notes))


def sequence_order(names: Sequence[str]) -> tuple[str, ...]:
    """FLAIR first, since lesions are read there, then by name."""
    return tuple(sorted(names, key=lambda name: ("flair" not in name.lower(), name.lower())))


def show_images(
    viewer: Viewer, shown: DisplayedCase, visible: str, limits: Mapping[str, Limits], known: Mapping[str, Image]
) -> dict[str, Image]:
    """Show a grey image layer per sequence with these limits, at the bottom of the list; only `visible` is shown.

    The layers of the case before, `known` by sequence, take the new images.
    """
    layers = {}
    for index, (name, volume) in enumerate(shown.volumes.items()):
        layer = known.get(name)
        if layer is None:
            layer = viewer.add_image(
                volume.data,
                name=name,
                colormap="gray",
                interpolation2d="linear",
                projection_mode="none",
                contrast_limits=limits[name],
                visible=name == visible,
                **shown.placement(),
            )
            viewer.layers.move(viewer.layers.index(layer), index)
        else:
            _fill(layer, shown, volume.data, limits[name])
            if layer.visible != (name == visible):
                layer.visible = name == visible
        layers[name] = layer
    return layers


def _fill(layer: Image, shown: DisplayedCase, data: NDArray[np.generic], limits: Limits) -> None:
    """Put other data into an image layer."""
    same = layer.data.shape == data.shape and np.array_equal(layer.scale, shown.grid.spacing)
    with layer.events.thumbnail.blocker():  # that of the new data follows
        layer.contrast_limits = limits
    layer.data = data
    if not same:  # also what makes napari notice another shape in a hidden layer
        layer.scale = shown.grid.spacing


def show_heatmap(
    viewer: Viewer, shown: DisplayedCase, heatmap: Heatmap | None, opacity: float, layer: Image | None
) -> Image | None:
    """Show a predicted heatmap as a translucent layer below the points.

    Parameters
    ----------
    viewer, shown
        Where, and on which grid.
    heatmap : Heatmap or None
        On `shown.grid`; full colour is its peak, which is the same for every case. None empties a layer that there is.
    opacity : float
        Of a new layer, 0 to 1.
    layer : Image or None
        That of the heatmap before.
    """
    if heatmap is None:
        if layer is not None:
            _fill(layer, shown, np.broadcast_to(np.float32(0), shown.grid.shape), layer.contrast_limits)
        return layer
    limits = (0.0, max(heatmap.peak, 1e-6))
    if layer is not None:
        _fill(layer, shown, heatmap.volume.data, limits)
    else:
        layer = viewer.add_image(
            heatmap.volume.data,
            name=HEATMAP,
            colormap=HEAT,
            interpolation2d="linear",
            projection_mode="none",
            contrast_limits=limits,
            blending="translucent_no_depth",
            opacity=opacity,
            **shown.placement(),
        )
        viewer.layers.move(viewer.layers.index(layer), len(shown.volumes))
    return layer


def show_lesions(viewer: Viewer, shown: DisplayedCase, points: Sequence[LesionPoint], layer: Points | None) -> Points:
    """Show annotations as rings that leave the lesion itself visible, in the layer of the case before if there is one.

    Fresh points inherit the layer's current values, which must be those of all and not of a selected row.
    """
    import pandas as pd

    size = _size(shown, _LESION_MM)
    if layer is None:
        layer = viewer.add_points(
            ndim=3,
            name=LESIONS,
            features=pd.DataFrame({"id": pd.Series([], dtype=object)}),
            feature_defaults={"id": ""},
            symbol="disc",
            size=size,
            face_color="transparent",
            border_color=_LESION_COLOR,
            border_width=0.12,
            projection_mode="all",
            canvas_size_limits=_ANY_SIZE,
            **shown.placement(),
        )
    with _refilled(layer):
        layer.current_symbol, layer.current_size, layer.current_border_width = "disc", size, 0.12
        layer.current_face_color, layer.current_border_color = "transparent", _LESION_COLOR
        layer.data = shown.to_layer([p.world for p in points])
        set_lesion_ids(layer, [p.id for p in points])
    layer.scale = shown.grid.spacing
    return layer


@contextmanager
def _refilled(layer: Points) -> Iterator[None]:
    """Let all rows of a layer be replaced."""
    visible = layer.visible
    if not visible:
        layer.visible = True  # a hidden layer would remember which of its former rows had been in the slice
    layer.selected_data = set()
    # Nobody edits, and what napari has to know it hears from the scale, which is set afterwards. So is the thumbnail:
    # each one makes napari go through its list of layers.
    with layer.events.data.blocker(), layer.events.thumbnail.blocker():
        yield
    if not visible:
        layer.visible = False


def lesion_ids(layer: Points) -> list[str]:
    """Ids of the rows of the lesions layer; "" for one that was just added."""
    return [str(value) for value in layer.features["id"]]


def set_lesions(layer: Points, shown: DisplayedCase, points: Sequence[LesionPoint]) -> None:
    """Make the layer hold exactly `points`, touching only the rows that differ (matched by id)."""
    wanted = {p.id: p for p in points}
    seen: set[str] = set()
    surplus = []
    for row, name in enumerate(lesion_ids(layer)):
        if name not in wanted or name in seen:
            surplus.append(row)
        seen.add(name)
    layer.selected_data = set()
    if surplus:
        layer.remove(surplus)
    ids = lesion_ids(layer)
    missing = [p for p in points if p.id not in set(ids)]
    if missing:
        layer.add(shown.to_layer([p.world for p in missing]))
        set_lesion_ids(layer, [*ids, *(p.id for p in missing)])
        layer.selected_data = set()
    coordinates = shown.to_layer([wanted[name].world for name in lesion_ids(layer)])
    if len(coordinates) and not np.allclose(coordinates, layer.data, atol=1e-6, rtol=0):
        layer.data = coordinates


def set_lesion_ids(layer: Points, ids: Sequence[str]) -> None:
    """Write the ids of all rows (features must be assigned as a whole for the layer to notice)."""
    import pandas as pd

    layer.features = pd.DataFrame({"id": pd.Series(list(ids), dtype=object)})
    layer.feature_defaults = {"id": ""}


def show_candidates(
    viewer: Viewer, shown: DisplayedCase, candidates: Sequence[LesionPoint], threshold: float, layer: Points | None
) -> Points | None:
    """Show a model's candidates: the border's colour is existence on fixed limits 0-1, symbol and face are the verdict.

    The layer is made with the first candidates; later ones, or none, replace what it holds.
    """
    if layer is None and not candidates:
        return None
    size = _size(shown, _CANDIDATE_MM)
    if layer is None:
        layer = viewer.add_points(
            ndim=3,
            name=CANDIDATES,
            features=_candidate_features([]),
            size=size,
            symbol="disc",
            face_color="transparent",
            border_color="existence",
            border_colormap=EXISTENCE_COLORS[preferences().existence_colors],
            border_contrast_limits=(0, 1),
            border_width=0.15,
            opacity=0.9,
            projection_mode="all",
            canvas_size_limits=_ANY_SIZE,
            text={"string": "{existence:.2f}", "size": 10, "color": "white", "anchor": "upper_left"},
            **shown.placement(),
        )
        layer.border_colorbar.visible = True
    with _refilled(layer):
        layer.current_size = size
        layer.data = shown.to_layer([p.world for p in candidates])
        set_candidates(layer, candidates)
        layer.text.translation = 0.55 * _CANDIDATE_MM * np.array([0, 1, 1]) / shown.grid.spacing
        layer.shown = existence_of(candidates) >= threshold
    layer.scale = shown.grid.spacing
    layer.editable = False  # after every filling: napari lets rows be edited again
    return layer


def set_threshold(layer: Points, candidates: Sequence[LesionPoint], threshold: float) -> None:
    """Show only candidates at or above this existence."""
    wanted = existence_of(candidates) >= threshold
    if not np.array_equal(layer.shown, wanted):
        layer.shown[:] = wanted  # in place: assigned, napari would draw its list of layers anew too
        layer.refresh(thumbnail=False, highlight=False, extent=False)


def set_candidates(layer: Points, candidates: Sequence[LesionPoint]) -> None:
    """Update verdicts of the candidates the layer was made with (same points, same order)."""
    layer.features = _candidate_features(candidates)
    layer.symbol = _symbols(candidates)
    layer.face_color = _faces(candidates)


def existence_of(candidates: Sequence[LesionPoint]) -> NDArray[np.floating]:
    """Existence probabilities, (N,) float."""
    return np.array([p.existence for p in candidates], dtype=float)


def clicked(shown: DisplayedCase, position: Sequence[float]) -> tuple[float, float, float]:
    """World mm of a mouse event's position (napari's coordinates, 3 values)."""
    x, y, z = shown.to_world(np.asarray(position, dtype=float) / shown.grid.spacing)[0]
    return float(x), float(y), float(z)


def _size(shown: DisplayedCase, diameter_mm: float) -> float:
    """Marker size in voxels; napari scales it by the last axis only."""
    return float(diameter_mm / shown.grid.spacing[-1])


def _candidate_features(candidates: Sequence[LesionPoint]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "id": pd.Series([p.id for p in candidates], dtype=object),
            "existence": existence_of(candidates),
            "verdict": pd.Series([str(p.verdict) for p in candidates], dtype=object),
        }
    )


def _symbols(candidates: Sequence[LesionPoint]) -> list[str] | str:
    return [_SYMBOLS[p.verdict] for p in candidates] or "disc"


def _faces(candidates: Sequence[LesionPoint]) -> list[str] | str:
    return [_FACES[p.verdict] for p in candidates] or "transparent"
