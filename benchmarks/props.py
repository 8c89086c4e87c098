"""What measurements of the window need: a study, a window on it, and events that are over when all is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from napari_lesion_points.core.records import LesionPoint
    from napari_lesion_points.ui.app import Window

SEQUENCES = ("FLAIR", "T1w", "T2w", "ce-gadolinium_T1w")
TIMEOUT_S = 600.0


def drawn() -> None:
    """Do all that is due, drawing included, which is an event that waits behind those that asked for it."""
    from qtpy.QtWidgets import QApplication

    for _ in range(2):
        QApplication.processEvents()


def window(root: Path) -> Window:
    """Open a window on a study, and wait until its first case is shown."""
    from napari_lesion_points.ui import staging
    from napari_lesion_points.ui.app import open_window
    from napari_lesion_points.ui.garbage import collect_between_events

    window = open_window(root, reader="benchmark")
    collect_between_events(window.dock)  # as `lesion-points open` does
    staging.resize(window)
    staging.show_case(window)
    idle(1.0)
    return window


def choose(window: Window, row: int) -> None:
    """Click a case in the list."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    table = window.dock.cases.table
    at = table.visualRect(table.model().index(row, 0)).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=at)


def idle(seconds: float) -> None:
    """Let the window do what is due for so long."""
    from napari_lesion_points.ui import staging

    staging.settle(seconds)


def annotate(window: Window) -> None:
    """Place the true lesions of every case, as a reader would have."""
    from napari_lesion_points.core.records import Change, LesionPoint
    from napari_lesion_points.ui import staging

    controller = window.dock.controller
    study = controller.study
    if study is None:
        raise RuntimeError("no study is open")
    for summary in study.summary():
        points = [
            LesionPoint(summary.case, (float(x), float(y), float(z)), reader="benchmark")
            for x, y, z in np.loadtxt(study.root / "truth" / f"{summary.case}.txt")
        ]
        study.apply(Change.adding(*points))
    controller.show_stored("")
    staging.wait(lambda: all(s.annotations for s in controller.state.cases), TIMEOUT_S, "the counts")


def propose(window: Window, number: int) -> None:
    """Store candidates in every case, spread over the head, as a prediction would."""
    controller = window.dock.controller
    study, shown = controller.study, controller.shown
    if study is None or shown is None:
        raise RuntimeError("no case is open")
    random = np.random.default_rng(11)
    for summary in study.summary():
        at = shown.grid.to_world(random.uniform(0.25, 0.75, (number, 3)) * shown.grid.shape)
        study.add_candidates(summary.case, candidates(summary.case, at, random), "model", 2.0)
    controller.refresh()


def candidates(case: str, at: ArrayLike, random: np.random.Generator) -> list[LesionPoint]:
    """Make candidates of any existence at world points (N, 3), mm."""
    from napari_lesion_points.core.metrics import binary_entropy
    from napari_lesion_points.core.records import LesionPoint, Origin

    places = np.asarray(at, dtype=float)
    existence = random.uniform(0.1, 1.0, len(places))
    return [
        LesionPoint(case, (x, y, z), "", p, p, h, Origin.MODEL)
        for (x, y, z), p, h in zip(places.tolist(), existence.tolist(), binary_entropy(existence).tolist(), strict=True)
    ]


def write_study(root: Path, cases: int, shape: tuple[int, int, int], spacing: float) -> dict[str, list[Path]]:
    """Write heads with smooth tissue, noise and 12 bright lesions in four sequences, as int16 .nii.gz; by case."""
    import nibabel as nib
    from scipy import ndimage

    random = np.random.default_rng(2)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -spacing * np.array(shape) / 2
    at = np.stack(np.meshgrid(*(np.linspace(-1.15, 1.15, n, dtype=np.float32) for n in shape), indexing="ij"))
    head = np.linalg.norm(at, axis=0) < 1
    written: dict[str, list[Path]] = {}
    (root / "truth").mkdir()
    for number in range(1, cases + 1):
        name = f"sub-{number:02d}"
        folder = root / name / "anat"
        folder.mkdir(parents=True)
        coarse = ndimage.gaussian_filter(random.normal(0, 1, [n // 6 + 1 for n in shape]), 1.5)
        tissue = ndimage.zoom(coarse / coarse.std(), np.array(shape) / coarse.shape, order=1)
        centers = random.uniform(0.3, 0.7, (12, 3)) * shape
        lesions = np.zeros(shape, np.float32)
        lesions[tuple(centers.astype(int).T)] = 1
        lesions = ndimage.gaussian_filter(lesions, 2.0 / spacing)
        lesions /= lesions.max()
        np.savetxt(root / "truth" / f"{name}.txt", centers.astype(int) @ affine[:3, :3].T + affine[:3, 3])
        written[name] = []
        for sequence in SEQUENCES:
            values = head * (400 + 60 * tissue + 300 * lesions + random.normal(0, 20, shape)).clip(1)
            path = folder / f"{name}_{sequence}.nii.gz"
            nib.save(nib.Nifti1Image(values.astype(np.int16), affine), path)
            written[name].append(path)
    return written
