"""How long the event loop of the window keeps a reader waiting."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Between two beats (ms).
BEAT_MS = 5


class Heartbeat:
    """A timer that should beat every `BEAT_MS`; how much later it does is what stalls the window at that moment.

    Listens between `__enter__` and `__exit__`; entered again, it goes on.

    Parameters
    ----------
    heard : callable, optional
        Told each gap (ms).

    Attributes
    ----------
    gaps : list of float
        By how much each beat came late (ms).
    """

    def __init__(self, heard: Callable[[float], object] = lambda gap: None) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.gaps: list[float] = []
        self._heard = heard
        self._last = 0.0
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)

    def __enter__(self) -> None:
        """Begin to listen."""
        self._last = time.perf_counter()
        self._timer.start(BEAT_MS)

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._timer.stop()

    def _beat(self) -> None:
        now = time.perf_counter()
        gap = max(1000 * (now - self._last) - BEAT_MS, 0.0)
        self._last = now
        self.gaps.append(gap)
        self._heard(gap)
