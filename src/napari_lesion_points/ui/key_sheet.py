"""The sheet of all keys, over the window: "?" or F1 shows it, the same or a click hides it."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QMouseEvent
from qtpy.QtWidgets import QFrame, QGridLayout, QLabel, QShortcut, QVBoxLayout, QWidget

from napari_lesion_points.ui.colors import retint, tinted
from napari_lesion_points.ui.translation import _
from napari_lesion_points.ui.vocabulary import TAB_WORDS

#: What napari itself does with keys and mouse, where our own keys do not.
_BESIDE = {
    "2, 3, 4": _("in Annotate: add, select, pan"),
    "Delete": _("in Annotate: remove the selected points"),
    "Ctrl+R": _("the whole slice again"),
    _("Wheel"): _("zoom; over a pane: other slices"),
    _("Ctrl+wheel"): _("other slices; over a pane: zoom"),
    _("Right drag"): _("brightness and contrast"),
}


class KeySheet(QFrame):
    """Floats in the middle of the window that its dock is in.

    Parameters
    ----------
    dock : QWidget
        The key works in all of its window.
    words : mapping
        What each key does, by tab ("" for all).
    """

    def __init__(self, dock: QWidget, words: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__(dock)
        self._dock = dock
        self.setObjectName("keys")
        self._words = words
        self._written = False
        self.hide()
        for key in ("?", "F1"):
            shortcut = QShortcut(QKeySequence(key), dock)
            shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
            shortcut.activated.connect(self.toggle)

    def _write(self, words: Mapping[str, Mapping[str, str]]) -> None:
        """Write the sheet, when it is first asked for."""
        tinted(
            self,
            "#keys, #keys QWidget {{ background: {sheet}; }} "
            "#keys {{ border: 2px solid {frame}; border-radius: 6px; }}",
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 14, 18, 14)
        everywhere = {_("Everywhere"): words[""], _("Mouse and napari"): _BESIDE}
        of_tabs = {TAB_WORDS[tab]: keys for tab, keys in words.items() if tab}
        grid = QGridLayout()
        grid.setHorizontalSpacing(28)
        for column, sections in enumerate((everywhere, of_tabs)):
            stack = QVBoxLayout()
            for title, keys in sections.items():
                stack.addWidget(_section(title, keys))
            stack.addStretch(1)
            grid.addLayout(stack, 0, column)
        layout.addLayout(grid)

    def toggle(self) -> None:
        """Show the sheet, or hide it."""
        if self.isVisible():
            self.setParent(self._dock)  # which hides it, too
            return
        window = self._dock.window()
        self.setParent(window)
        if not self._written:
            self._written = True
            self._write(self._words)
        retint(self)
        self.adjustSize()
        self.move(window.rect().center() - self.rect().center())
        self.show()
        self.raise_()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Hide it."""
        self.toggle()


def _section(title: str, keys: Mapping[str, str]) -> QWidget:
    part = QWidget()
    grid = QGridLayout(part)
    grid.setContentsMargins(0, 0, 0, 10)
    head = QLabel(title)
    head.setStyleSheet("font-weight: bold;")
    grid.addWidget(head, 0, 0, 1, 2)
    for row, (key, does) in enumerate(keys.items(), start=1):
        name = QLabel(key)
        tinted(name, "color: {key};")
        grid.addWidget(name, row, 0)
        grid.addWidget(QLabel(does), row, 1)
    grid.setColumnStretch(1, 1)
    return part
