from __future__ import annotations

import pytest

from napari_lesion_points.core.records import Change, LesionPoint
from napari_lesion_points.errors import ConflictError, StudyError
from napari_lesion_points.ui.undo import UndoStack

POINT = LesionPoint("sub-01", (1, 2, 3))


def test_undo_and_redo_walk_through_the_edits() -> None:
    stored: dict[str, LesionPoint] = {}

    def apply(change: Change) -> None:
        for name, (_, after) in change.annotations.items():
            stored.pop(name, None)
            if after is not None:
                stored[name] = after

    stack = UndoStack()
    for change in (Change.adding(POINT), Change.moving(POINT, (4, 5, 6))):
        apply(change)
        stack.push(change)
    assert stack.undo_label == "move"
    stack.undo(apply)
    assert stored == {POINT.id: POINT}
    stack.undo(apply)
    assert stored == {}
    assert stack.undo(apply) is None
    stack.redo(apply)
    stack.redo(apply)
    assert stored[POINT.id].world == (4, 5, 6)
    assert stack.redo(apply) is None


def test_a_refused_undo_leaves_the_stack_as_it_was() -> None:
    def refuse(_: Change) -> None:
        raise StudyError("locked")

    stack = UndoStack()
    stack.push(Change.adding(POINT))
    with pytest.raises(StudyError, match="locked"):
        stack.undo(refuse)
    assert (stack.undo_label, stack.redo_label) == ("add", "")


def test_a_new_edit_forgets_what_was_undone() -> None:
    stack = UndoStack()
    stack.push(Change.adding(POINT))
    stack.undo(lambda _: None)
    stack.push(Change.deleting(POINT))
    assert (stack.undo_label, stack.redo_label) == ("delete", "")


def test_a_step_that_somebody_else_overtook_is_dropped() -> None:
    def overtaken(_: Change) -> None:
        raise ConflictError("is not stored as it was")

    stack = UndoStack()
    for change in (Change.adding(POINT), Change.moving(POINT, (4, 5, 6))):
        stack.push(change)
    with pytest.raises(ConflictError):
        stack.undo(overtaken)
    assert (stack.undo_label, stack.redo_label) == ("add", "")
    stack.undo(lambda _: None)
    with pytest.raises(ConflictError):
        stack.redo(overtaken)
    assert (stack.undo_label, stack.redo_label) == ("", "")
