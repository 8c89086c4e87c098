"""What is known and chosen in the window: one immutable state.

Widgets report what the user wants; the controller turns that into a new `State`, and `ui.screen` into what is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_lesion_points.core.records import LesionPoint, Order, Verdict
from napari_lesion_points.ui.gesture import Gesture
from napari_lesion_points.ui.worklist import Choice, Way

if TYPE_CHECKING:
    from napari_lesion_points.core.events import Finished
    from napari_lesion_points.core.lesion_volumes import LesionVolume
    from napari_lesion_points.store.study import CaseSummary
    from napari_lesion_points.workflow.agreement import AgreementRow
    from napari_lesion_points.workflow.consensus import Difference
    from napari_lesion_points.workflow.models import ModelCard

TABS = ("Annotate", "Train", "Predict", "Review", "Segment", "Readers", "Export")

#: What the panes beside the canvas show, in the order in which a key steps through it; "" hides them.
VIEWS = ("planes", "sequences", "")

#: Opacities of the heatmap, in the order in which a key steps through them.
_FADES = (1.0, 0.5, 0.25, 0.0)


@dataclass(frozen=True)
class Notice:
    """A message for the user; `level` is "info", "warning" or "error"."""

    text: str = ""
    level: str = "info"


@dataclass(frozen=True)
class JobState:
    """A job that runs or ran: training, prediction, export, import or report.

    `outcome` is "" while it runs, then "returned", "failed" or "stopped" with the reason.
    """

    kind: str = ""
    running: bool = False
    stopping: bool = False
    title: str = ""
    fraction: float = 0.0
    remaining_s: float | None = None
    message: str = ""
    outcome: str = ""
    reason: str = ""
    result: str = ""

    def finished(self, event: Finished) -> JobState:
        """Return the state after the job's last event."""
        fraction = 1.0 if event.outcome == "returned" else self.fraction
        return JobState(
            self.kind, False, False, self.title, fraction, None, "", event.outcome, event.reason, event.result
        )


@dataclass(frozen=True)
class PaintedMask:
    """What a reader has painted in a case: how many lesions, and how many ml."""

    case: str
    lesions: int
    volume_ml: float


@dataclass(frozen=True)
class State:
    """Everything that decides what the dock shows.

    Parameters
    ----------
    root, store, reader, reading : str
        The open study, who reads, and whose points and verdicts are shown; `root` is "" when none is.
    cases : tuple of CaseSummary
        One row per case.
    wanted, shown : str
        The case asked for, and the one on screen; they differ while files are read.
    points, candidates : tuple of LesionPoint
        Of the case on screen.
    sequences, sequence : names of the case's images, and the visible one
    orientation : str
        "axial", "coronal" or "sagittal".
    threshold : float
        The existence slider.
    heat_opacity : float
        Of the heatmap, 0 to 1.
    views : str
        What the panes beside the canvas show: "planes", "sequences" or "" when they are hidden.
    queue : tuple of LesionPoint
        The review queue, most uncertain first, with the verdicts given so far.
    queue_before : int
        Candidates in the same scope that had been reviewed before the queue was made.
    queue_order : Order
        What comes first in it.
    verdicts_s : tuple of float
        When the newest verdicts were given, seconds on a clock of its own.
    at : int
        Index into the queue; its length when all are done.
    placing : bool
        Clicks are for the candidate under review.
    readings : tuple of str
        Names of all readings of the study.
    agreement : tuple of AgreementRow
        The newest comparison of readers.
    compared : tuple of str
        The two readers whose differences are being settled.
    differences, difference_at : tuple of Difference, int
        Where they differ, over all cases, and which of these is at hand.
    painted : tuple of PaintedMask
        Of all cases that have a painted mask; `unused_masks` are those not to learn from.
    lesions : tuple of LesionVolume or None
        What a segmentation drew in the case on screen; None when none did.
    asking : Verdict
        Which candidates the queue asks about: those without a verdict, or the unsure ones again.
    proposed : tuple of LesionPoint
        All candidates of the queue's scope, as they are now.
    gesture : Gesture
        What clicks do while `placing`.
    listing : bool
        The list of candidates is wanted.
    choice : Choice
        Which cases are listed, and in which order.
    way : Way
        How the reader went on to the next case last.
    visited : frozenset of str
        Cases that were on screen since the study was opened.
    in_view : str
        The candidate (its id) that the view went to last, until another case is drawn.
    finished_s : tuple of float
        When the newest cases were set to done, seconds on a clock of its own.
    """

    root: str = ""
    store: str = ""
    reader: str = ""
    reading: str = ""
    cases: tuple[CaseSummary, ...] = ()
    wanted: str = ""
    shown: str = ""
    loading: bool = False
    notes: tuple[str, ...] = ()
    points: tuple[LesionPoint, ...] = ()
    candidates: tuple[LesionPoint, ...] = ()
    sequences: tuple[str, ...] = ()
    sequence: str = ""
    orientation: str = "axial"
    has_heatmap: bool = False
    margin_mm: float = 3.0
    tab: str = "Annotate"
    undo_label: str = ""
    redo_label: str = ""
    threshold: float = 0.1
    heat_opacity: float = 0.8
    views: str = ""
    queue: tuple[LesionPoint, ...] = ()
    at: int = 0
    queue_before: int = 0
    queue_all_cases: bool = False
    queue_order: Order = Order.UNCERTAIN
    verdicts_s: tuple[float, ...] = ()
    placing: bool = False
    readings: tuple[str, ...] = ()
    agreement: tuple[AgreementRow, ...] = ()
    compared: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    difference_at: int = 0
    unchecked: frozenset[str] = frozenset()
    painted: tuple[PaintedMask, ...] = ()
    unused_masks: frozenset[str] = frozenset()
    lesions: tuple[LesionVolume, ...] | None = None
    models: tuple[ModelCard, ...] = ()
    model: str = ""
    devices: tuple[tuple[str, str], ...] = ()
    job: JobState = field(default_factory=JobState)
    notice: Notice = field(default_factory=Notice)
    asking: Verdict = Verdict.NONE
    proposed: tuple[LesionPoint, ...] = ()
    gesture: Gesture = field(default_factory=Gesture)
    listing: bool = False
    choice: Choice = field(default_factory=Choice)
    way: Way = Way.LIST
    visited: frozenset[str] = frozenset()
    in_view: str = ""
    finished_s: tuple[float, ...] = ()


def next_views(views: str) -> str:
    """Return what the panes show next.

    Examples
    --------
    >>> next_views("planes"), next_views("")
    ('sequences', 'planes')
    """
    return VIEWS[(VIEWS.index(views) + 1) % len(VIEWS)]


def next_fade(opacity: float) -> float:
    """Return the next fainter opacity of the heatmap, or full opacity when it is gone.

    Examples
    --------
    >>> next_fade(0.8), next_fade(0.25), next_fade(0)
    (0.5, 0.0, 1.0)
    """
    return next((step for step in _FADES if step < opacity), _FADES[0])
