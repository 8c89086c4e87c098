"""What a user has set in napari's Preferences (declared in `napari.yaml`, kept by napari in a file of its own).

They are read when a panel needs them: a change counts for the next study, window or layer.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

PLUGIN = "napari-lesion-points"


@dataclass(frozen=True)
class Preferences:
    """A user's choices, with what holds where nothing was chosen.

    Parameters
    ----------
    reader : str
        Name of who reads; "": that of the account.
    margin_mm : float
        How far before and behind the slice points are shown, mm.
    views : str
        What the panes show at first, where there is room: "planes", "sequences" or "none".
    existence_colors : str
        One of `layers.EXISTENCE_COLORS`.
    minutes : float
        Budget of a training.
    """

    reader: str = ""
    margin_mm: float = 3.0
    views: str = "planes"
    existence_colors: str = "plasma"
    minutes: float = 2.0


def preferences() -> Preferences:
    """Return what is set now; the defaults where napari does not know the plugin, as in a script."""
    from napari.settings import get_plugin_settings

    try:
        chosen = get_plugin_settings(PLUGIN).lesion_points
    except KeyError:
        return Preferences()
    return Preferences(**{field.name: getattr(chosen, field.name) for field in fields(Preferences)})
