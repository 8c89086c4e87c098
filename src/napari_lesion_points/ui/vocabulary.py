"""Words of other layers as the window shows them: what the code stores and compares, to what people read.

Each dict has all that can be shown, so that translators see it.
"""

from __future__ import annotations

from napari_lesion_points.core.operating import Goal
from napari_lesion_points.core.records import CaseState, Order, Origin, Verdict
from napari_lesion_points.ui.translation import _, ngettext

TAB_WORDS = {
    # Translators: names of tabs
    "Annotate": _("Annotate"),
    "Train": _("Train"),
    "Predict": _("Predict"),
    "Review": _("Review"),
    "Segment": _("Segment"),
    "Readers": _("Readers"),
    "Export": _("Export"),
}

STATE_WORDS = {
    # Translators: how far the reading of a case is
    CaseState.NEW: _("new"),
    CaseState.IN_PROGRESS: _("in progress"),
    CaseState.DONE: _("done"),
}

#: Without that of NONE, which nobody has given.
VERDICT_WORDS = {
    # Translators: what a reader said of a candidate
    Verdict.ACCEPTED: _("accepted"),
    Verdict.REJECTED: _("rejected"),
    Verdict.MOVED: _("moved"),
    Verdict.UNSURE: _("unsure"),
}

ORDER_WORDS = {
    # Translators: which candidates are reviewed first
    Order.UNCERTAIN: _("most uncertain"),
    Order.PROBABLE: _("most probable"),
    Order.CASE: _("case by case"),
}

ORIGIN_WORDS = {
    # Translators: where a lesion point comes from
    Origin.HUMAN: _("human"),
    Origin.MASK: _("mask"),
    Origin.IMPORTED: _("imported"),
    Origin.MODEL: _("model"),
}

GOAL_WORDS = {
    # Translators: what a threshold is chosen for
    Goal.SENSITIVITY: _("sensitivity"),
    Goal.PRECISION: _("precision"),
}

ORIENTATION_WORDS = {
    # Translators: planes of slices
    "axial": _("Axial"),
    "coronal": _("Coronal"),
    "sagittal": _("Sagittal"),
}

WINDOW_WORDS = {
    # Translators: windows (brightness and contrast) of an image
    "auto": _("auto"),
    "lesion": _("lesion"),
    "narrow": _("narrow"),
    "wide": _("wide"),
    "own": _("own"),
}

#: By the label of a change. The study's history keeps that.
EDIT_WORDS = {
    # Translators: what Undo would take back
    "add": _("add"),
    "move": _("move"),
    "delete": _("delete"),
    "accepted": _("accepted"),
    "rejected": _("rejected"),
    "moved": _("moved"),
    "unsure": _("unsure"),
    "split": _("split"),
    "merge": _("merge"),
    "mark as new": _("mark as new"),
    "mark as in progress": _("mark as in progress"),
    "mark as done": _("mark as done"),
    "note": _("note"),
    "keep the first reader's": _("keep the first reader's"),
    "keep the second reader's": _("keep the second reader's"),
    "keep both": _("keep both"),
    "keep none": _("keep none"),
}


def edit_words(label: str) -> str:
    """Return the label of a change in words; one that is not known here as it is.

    Examples
    --------
    >>> edit_words("move"), edit_words("move 3 points"), edit_words("")
    ('move', 'move 3 points', '')
    """
    match label.split():
        case ["add", count, "points"]:
            return ngettext("add {count} point", "add {count} points", int(count)).format(count=count)
        case ["move", count, "points"]:
            return ngettext("move {count} point", "move {count} points", int(count)).format(count=count)
        case ["delete", count, "points"]:
            return ngettext("delete {count} point", "delete {count} points", int(count)).format(count=count)
    return EDIT_WORDS.get(label, label)
