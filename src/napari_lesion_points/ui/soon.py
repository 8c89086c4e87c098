"""Work that many events ask for and that one does for all of them, before the window is drawn next."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Qt, Signal, Slot


class Soon(QObject):
    """Calls a function once for all that asked since the last time.

    The call is an event of its own. Qt hands those out before it draws, however late they came.
    """

    _asked = Signal()

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__()
        self._function: Callable[[], object] | None = function
        self._waiting = False
        self._asked.connect(self._call, Qt.ConnectionType.QueuedConnection)

    def ask(self, _event: object = None) -> None:
        """Have the function called soon; takes an event, so that it can be connected to one."""
        if not self._waiting:
            self._waiting = True
            self._asked.emit()

    def stop(self) -> None:
        """Call it no more, not even for who asked before."""
        self._function = None

    @Slot()
    def _call(self) -> None:
        self._waiting = False
        if self._function is not None:
            self._function()
