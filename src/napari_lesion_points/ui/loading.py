"""Cases read in threads: the one wanted, the next one ahead of time, and a bounded memory of those read before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.ui.layers import DisplayedCase, displayed
from napari_lesion_points.ui.worker import Task, Workers

if TYPE_CHECKING:
    from napari_lesion_points.core.geometry import Grid, Volume
    from napari_lesion_points.store.cases import CaseFiles

#: Cases kept in memory: the one shown, the one before it and the next. Five sequences of 1 mm take about 150 MB.
_KEPT = 3


@dataclass(frozen=True, eq=False)
class Heatmap:
    """A predicted heatmap on the displayed grid, and the value that a certain lesion reaches at its centre."""

    volume: Volume
    peak: float


@dataclass(frozen=True, eq=False)
class LoadedCase:
    """A case ready to show; `heatmap` is None when nothing was predicted."""

    shown: DisplayedCase
    heatmap: Heatmap | None


def load(files: CaseFiles, heatmap: Path) -> LoadedCase:
    """Read a case and its heatmap, when there is one. Runs in a worker.

    The worker also loads pandas, which napari's points layers need, and SciPy's assignment, which the Review tab needs:
    the window would stand still for them.
    """
    import pandas  # noqa: F401

    import napari_lesion_points.core.matching  # noqa: F401
    from napari_lesion_points.store.cases import load_case

    shown = displayed(load_case(files))
    return LoadedCase(shown, load_heatmap(heatmap, shown.grid))


def load_heatmap(path: Path, grid: Grid) -> Heatmap | None:
    """Read a heatmap onto the displayed grid; None when there is no such file. Runs in a worker."""
    from napari_lesion_points.core.geometry import DISPLAY_AXES, Volume
    from napari_lesion_points.store.volumes import read_volume
    from napari_lesion_points.workflow.heatmaps import full_colour

    if not path.is_file():
        return None
    volume = read_volume(path).reoriented(DISPLAY_AXES)
    peak = full_colour(path, volume.grid.spacing)
    volume = volume.resampled(grid)
    return Heatmap(Volume(np.ascontiguousarray(volume.data, dtype=np.float32), grid), peak)


class CaseLoader:
    """Reads cases in threads and remembers the last few.

    Only the newest request is delivered: a case that is no longer wanted when its files have been read goes to the
    memory and not to the screen.
    """

    def __init__(self, workers: Workers, kept: int = _KEPT) -> None:
        self._workers = workers
        self._kept = kept
        self._cache: OrderedDict[str, LoadedCase] = OrderedDict()
        self._running: dict[str, tuple[Task, CaseFiles, Path]] = {}
        self._wanted: tuple[str, Callable[[LoadedCase], None], Callable[[str, str], None]] | None = None

    @property
    def cached(self) -> tuple[str, ...]:
        """Cases in memory, oldest use first."""
        return tuple(self._cache)

    def want(
        self,
        files: CaseFiles,
        heatmap: Path,
        loaded: Callable[[LoadedCase], None],
        failed: Callable[[str, str], None],
    ) -> None:
        """Deliver a case to `loaded`, now when it is in memory, else when it has been read; `failed(case, why)`."""
        self._wanted = (files.case, loaded, failed)
        if files.case in self._cache:
            self._cache.move_to_end(files.case)
            self._deliver(files.case)
        else:
            self._read(files, heatmap)

    def prefetch(self, files: CaseFiles, heatmap: Path) -> None:
        """Read a case ahead of time, unless it is in memory."""
        if files.case not in self._cache:
            self._read(files, heatmap)

    def forget(self, case: str) -> None:
        """Drop a case whose files changed; when it is waited for, it is read again."""
        self._cache.pop(case, None)
        if case not in self._running:
            return
        task, files, heatmap = self._running.pop(case)
        task.forget()
        if self._wanted is not None and self._wanted[0] == case:
            self._read(files, heatmap)

    def clear(self) -> None:
        """Drop everything: another study is opened, or the window closes."""
        self._wanted = None
        for case in [*self._running, *self._cache]:
            self.forget(case)

    def _read(self, files: CaseFiles, heatmap: Path) -> None:
        if files.case in self._running:
            return
        case = files.case
        task = self._workers.start(
            load,
            files,
            heatmap,
            returned=lambda loaded: self._on_loaded(case, loaded),
            failed=lambda why: self._on_failed(case, why),
        )
        self._running[case] = (task, files, heatmap)

    def _on_loaded(self, case: str, loaded: LoadedCase) -> None:
        self._running.pop(case, None)
        self._cache[case] = loaded
        while len(self._cache) > self._kept:
            oldest = next(name for name in self._cache if self._wanted is None or name != self._wanted[0])
            del self._cache[oldest]
        self._deliver(case)

    def _on_failed(self, case: str, why: str) -> None:
        self._running.pop(case, None)
        if self._wanted is not None and self._wanted[0] == case:
            failed = self._wanted[2]
            self._wanted = None
            failed(case, why)

    def _deliver(self, case: str) -> None:
        if self._wanted is not None and self._wanted[0] == case:
            loaded = self._wanted[1]
            self._wanted = None
            loaded(self._cache[case])
