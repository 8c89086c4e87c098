"""A viewer with the dock and a study in it: what `lesion-points open` starts, and what scripts and tests drive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari import Viewer

    from napari_lesion_points.core.events import Event
    from napari_lesion_points.store.study import Study
    from napari_lesion_points.ui.dock import LesionPointsDock


@dataclass(frozen=True)
class Window:
    """A viewer and the dock in it."""

    viewer: Viewer
    dock: LesionPointsDock

    def close(self) -> None:
        """End the session and close the viewer."""
        self.dock.close_session()
        self.viewer.close()


def open_window(
    root: Path | Study | None = None,
    store: Path | str | None = None,
    reader: str = "",
    case: str | None = None,
    review: bool = False,
    show: bool = True,
) -> Window:
    """Make a viewer with the dock, open a study in it (or show one that is open), and return without running the loop.

    Raises
    ------
    StudyError
        If the study cannot be opened, or has no such case; no window appears.
    """
    import napari

    from napari_lesion_points.store.study import Study
    from napari_lesion_points.ui.dock import DOCK_NAME, LesionPointsDock

    study = None
    if root is not None:
        study = root if isinstance(root, Study) else Study.open(Path(root), store, reader)
        if case:
            study.files_of(case)
    viewer = napari.Viewer(title="napari-lesion-points", show=show)
    dock = LesionPointsDock(viewer)
    viewer.window.add_dock_widget(dock, name=DOCK_NAME, area="right", add_vertical_stretch=False)
    window = Window(viewer, dock)
    if study is not None:
        dock.controller.use_study(study, case or "", resume=not review)
    if review:
        dock.controller.update(queue_all_cases=case is None)
        dock.show_tab("Review")
    return window


def open_study(study: Study, case: str | None = None, review: bool = False) -> None:
    """Show a study in napari and run it until its window is closed.

    Parameters
    ----------
    study : Study
        Open in the reading that is wanted; closed at the end.
    case : str, optional
        Case to show first; else where the reader stopped, or the first case that is not done.
    review : bool
        Begin with the review of the most uncertain candidate.
    """
    import napari

    from napari_lesion_points.ui.garbage import collect_between_events

    window = open_window(study, case=case, review=review)
    collect_between_events(window.dock)
    napari.run()
    window.dock.close_session()


def take_pictures(root: Path, out: Path, *, annotated: str, events: Sequence[Event]) -> tuple[Path, ...]:
    """Save pictures of the whole window at annotate, train and review.

    Parameters
    ----------
    root : Path
        A study with annotations and candidates.
    out : Path
        Folder for annotate.png, train.png and review.png.
    annotated : str
        The case to show while annotating.
    events : sequence of Event
        What the training reported.

    Raises
    ------
    StudyError, OutputError
        If the study cannot be opened or a picture cannot be written.
    """
    from napari_lesion_points.ui import staging

    paths = tuple(out / f"{stage}.png" for stage in ("annotate", "train", "review"))
    window = open_window(root, case=annotated)
    try:
        staging.resize(window)
        staging.annotate_stage(window, annotated)
        staging.capture(window, paths[0])
        staging.replay_stage(window, "training", events)
        staging.capture(window, paths[1])
        staging.review_stage(window)
        staging.capture(window, paths[2])
    finally:
        window.close()
    return paths
