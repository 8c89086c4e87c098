"""What napari's manifest names besides the dock: a menu entry that opens a study, and a sample patient."""

from __future__ import annotations

from typing import Any

#: The sample patient is the same each time.
_SAMPLE_SEED = 7


def open_study_dialog() -> None:
    """Show the dock in the current viewer, and ask for the study to open."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        _widget, dock = viewer.window.add_plugin_dock_widget("napari-lesion-points", "Lesion points")
        dock.cases.ask_folder()


def simulated_patient() -> list[tuple[Any, dict[str, Any], str]]:
    """Simulate one patient on the MNI152 anatomy: its sequences, and the true lesion centres.

    The window stays alive meanwhile.

    Raises
    ------
    VolumeError
        If nilearn, whose templates it is made from, is not installed.
    """
    from napari_lesion_points.ui.worker import wait_for

    return wait_for(_simulate)


def _simulate() -> list[tuple[Any, dict[str, Any], str]]:
    from napari_lesion_points.core.geometry import DISPLAY_AXES
    from napari_lesion_points.core.phantom import simulate_patient
    from napari_lesion_points.store.anatomy import load_anatomy
    from napari_lesion_points.ui.layers import sequence_order
    from napari_lesion_points.ui.windowing import preset_limits

    phantom = simulate_patient(load_anatomy(), _SAMPLE_SEED)
    data: list[tuple[Any, dict[str, Any], str]] = []
    placement: dict[str, Any] = {}
    for name in reversed(sequence_order(tuple(phantom.sequences))):
        volume = phantom.sequences[name].reoriented(DISPLAY_AXES)
        placement = {"scale": tuple(volume.grid.spacing), "units": ("mm",) * 3, "axis_labels": tuple(DISPLAY_AXES)}
        limits = preset_limits(volume.data, name)["auto"]
        data.append((volume.data, {"name": name, "colormap": "gray", "contrast_limits": limits, **placement}, "image"))
    centers = volume.grid.to_voxel(phantom.centers_world)
    data.append((centers, {"name": "True lesions", "size": 4, "face_color": "transparent", **placement}, "points"))
    return data
