"""Undo and redo of edits, as a stack of changes keyed by point id.

napari's Points layer has no undo. A stack here holds changes that the study's database has accepted; undoing one means
applying its inverse there first, so the stack never runs ahead of what is stored.
"""

from __future__ import annotations

from collections.abc import Callable

from napari_lesion_points.core.records import Change
from napari_lesion_points.errors import ConflictError

#: Enough for a reading session; a change is a few hundred bytes.
_LIMIT = 1000


class UndoStack:
    """Changes that can be undone, newest last, and those undone that can be redone.

    Examples
    --------
    >>> from napari_lesion_points.core.records import LesionPoint
    >>> stored = []
    >>> stack = UndoStack()
    >>> stack.push(Change.adding(LesionPoint("sub-01", (1, 2, 3))))
    >>> change = stack.undo(stored.append)
    >>> (stack.undo_label, stack.redo_label, len(stored))
    ('', 'add', 1)
    """

    def __init__(self) -> None:
        self._done: list[Change] = []
        self._undone: list[Change] = []

    @property
    def undo_label(self) -> str:
        """What undo would take back ("" for nothing)."""
        return self._done[-1].label if self._done else ""

    @property
    def redo_label(self) -> str:
        """What redo would do again ("" for nothing)."""
        return self._undone[-1].label if self._undone else ""

    def push(self, change: Change) -> None:
        """Remember a change that was applied; what had been undone can no longer be redone."""
        self._done.append(change)
        del self._done[:-_LIMIT]
        self._undone.clear()

    def undo(self, apply: Callable[[Change], None]) -> Change | None:
        """Apply the inverse of the newest change and return that inverse; None when there is nothing to undo.

        When `apply` raises, the stack stays as it was, except for a ConflictError: somebody else has changed what the
        edit is about, so it can never be undone, and is dropped.
        """
        if not self._done:
            return None
        inverse = self._done[-1].inverse()
        _carry_out(inverse, apply, self._done)
        self._undone.append(self._done.pop())
        return inverse

    def redo(self, apply: Callable[[Change], None]) -> Change | None:
        """Apply the newest undone change again and return it; None when there is nothing to redo. As `undo`."""
        if not self._undone:
            return None
        change = self._undone[-1]
        _carry_out(change, apply, self._undone)
        self._done.append(self._undone.pop())
        return change

    def clear(self) -> None:
        """Forget everything (another study was opened)."""
        self._done.clear()
        self._undone.clear()


def _carry_out(change: Change, apply: Callable[[Change], None], stack: list[Change]) -> None:
    """Apply what the newest change of a stack asks for; drop that when somebody else was faster."""
    try:
        apply(change)
    except ConflictError:
        stack.pop()
        raise
