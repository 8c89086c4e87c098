"""Garbage collection in a program of our own: in the window's thread, between two events.

Python looks for garbage wherever it happens to make objects: in a thread of the pool, where destroying a widget can end
the program, or amid a repaint, where it keeps the reader waiting. Inside another program, napari, its rules are kept.
"""

from __future__ import annotations

import gc

from qtpy.QtCore import QObject, QTimer

_EVERY_MS = 500


def collect_between_events(owner: QObject) -> None:
    """Collect garbage in this thread only, until `owner` is destroyed.

    All that the program has loaded by now is left out: half a million objects of napari and its libraries, which take a
    quarter of a second to look through.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    timer = QTimer(owner)
    timer.timeout.connect(_collect_what_is_due)
    timer.start(_EVERY_MS)
    owner.destroyed.connect(_as_usual)


def _collect_what_is_due() -> None:
    """Collect the generation that Python would, by its own thresholds."""
    counts = zip(gc.get_count(), gc.get_threshold(), strict=True)
    due = [generation for generation, (count, threshold) in enumerate(counts) if count > threshold > 0]
    if due:
        gc.collect(due[-1])


def _as_usual() -> None:
    gc.unfreeze()
    gc.enable()
