"""Masks on their way to disk: written one after the other in a worker, of each file only the newest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_lesion_points.core.geometry import Grid, Volume
    from napari_lesion_points.store.painted_mask import Saved
    from napari_lesion_points.ui.worker import Workers


@dataclass(frozen=True, eq=False)
class UnsavedMask:
    """A painted mask as it is shown (its array must not change any more), and the case's own grid."""

    volume: Volume
    grid: Grid


class MaskWriter:
    """Saves masks.

    Parameters
    ----------
    workers : Workers
        Threads to write in.
    saved : callable
        Told the path of a mask that is on disk, and where a file is kept that another window had written there
        meanwhile, if one did. In the window's thread.
    failed : callable
        Told why one could not be written. It stays in memory and is tried again with the next one.
    """

    def __init__(
        self, workers: Workers, saved: Callable[[Path, Path | None], None], failed: Callable[[str], None]
    ) -> None:
        self._workers = workers
        self._saved, self._failed = saved, failed
        self._lock = threading.Lock()  # held while a file is written: no two threads write, and none an older state
        self._waiting: dict[Path, UnsavedMask] = {}
        self._saved_as: dict[Path, Saved] = {}

    def unsaved(self, path: Path) -> UnsavedMask | None:
        """Return what still has to be written to a file."""
        return self._waiting.get(path)

    @property
    def idle(self) -> bool:
        """Whether all is on disk."""
        return not self._waiting

    def put(self, path: Path, mask: UnsavedMask) -> None:
        """Have a mask written soon."""
        self._waiting[path] = mask
        for waiting in tuple(self._waiting):
            self._workers.start(self._write, waiting, returned=lambda done: self._saved(*done), failed=self._failed)

    def flush(self) -> None:
        """Write what waits now, in this thread: the window closes. Raises OutputError as `save_mask`."""
        for path in tuple(self._waiting):
            self._write(path)

    def _write(self, path: Path) -> tuple[Path, Path | None]:
        from napari_lesion_points.store.painted_mask import save_mask

        with self._lock:
            mask = self._waiting.get(path)
            if mask is None:
                return path, None
            saved = save_mask(path, mask.volume, mask.grid, self._saved_as.get(path))
            self._saved_as[path] = saved
            if self._waiting.get(path) is mask:  # else it was painted in meanwhile
                del self._waiting[path]
            return path, saved.displaced
