"""Keys of a session, on the viewer and on its layers while the dock is open, and nowhere afterwards.

napari ignores the keybindings of a plugin's manifest. A layer's own keys win over the viewer's, so ours are bound on
our layers too; those of a tab only while it is in front, since A and S mean something else on a points layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget

if TYPE_CHECKING:
    from napari.utils.key_bindings import KeymapProvider

    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.navigation import Navigator
    from napari_lesion_points.ui.painting import PaintDesk
    from napari_lesion_points.ui.readers import ReadersDesk
    from napari_lesion_points.ui.reviewing import ReviewDesk
    from napari_lesion_points.ui.session import Screen

Action = Callable[[], None]


class Keys:
    """Binds the session's keys and takes them away again.

    Parameters
    ----------
    controller, desk, readers, painting, navigator
        What the keys do.
    dock : QWidget
        The same keys work when the dock has the keyboard.
    """

    def __init__(
        self,
        controller: Controller,
        desk: ReviewDesk,
        readers: ReadersDesk,
        painting: PaintDesk,
        navigator: Navigator,
        dock: QWidget,
    ) -> None:
        self._controller = controller
        self._painting = painting
        self._general: dict[str, Action] = {
            "Control-Z": self._undo,
            "Control-Shift-Z": self._redo,
            "C": controller.next_sequence,
            "X": controller.next_orientation,
            "H": controller.toggle_heatmap,
            "F": navigator.fade,
            "D": navigator.toggle_bare,
            "W": navigator.next_window,
            "V": navigator.next_views,
            "PageDown": controller.next_case,
            "PageUp": controller.previous_case,
        }
        self._of_tab: dict[str, dict[str, Action]] = {
            "Review": {
                "A": desk.accept,
                "R": desk.reject,
                "M": desk.toggle_placing,
                "S": desk.skip,
                "B": desk.back,
                "Escape": desk.stop_placing,
            },
            "Readers": {
                "A": readers.keep_first,
                "B": readers.keep_second,
                "U": readers.keep_both,
                "N": readers.keep_none,
                "S": readers.skip,
                "P": readers.back,
            },
        }
        self._bound: list[tuple[KeymapProvider, str]] = []
        self._in_place: tuple[Any, ...] = ()
        tabs = {"": self._general} | self._of_tab
        self._shortcuts = [
            (tab, self._shortcut(dock, key, act)) for tab, actions in tabs.items() for key, act in actions.items()
        ]
        controller.changed.connect(self._on_changed)
        self._bind("")

    def close(self) -> None:
        """Take all keys away."""
        for provider, key in self._bound:
            provider.bind_key(key, None, overwrite=True)
        self._bound = []

    def _on_changed(self, screen: Screen) -> None:
        tab = screen.state.tab
        wanted = (tab if tab in self._of_tab else "", *(id(layer) for layer in self._controller.scene.layers))
        if wanted != self._in_place:
            self._in_place = wanted
            self._bind(tab)

    def _bind(self, tab: str) -> None:
        self.close()
        actions = self._general | self._of_tab.get(tab, {})
        for provider in (self._controller.viewer, *self._controller.scene.layers):
            for key, act in actions.items():
                provider.bind_key(key, lambda _, act=act: act(), overwrite=True)
                self._bound.append((provider, key))
        candidates = self._controller.scene.candidates
        if candidates is not None:  # napari would delete rows of a layer that is not editable
            for key in ("Delete", "Backspace", "1"):
                candidates.bind_key(key, lambda _: self._keep_candidates(), overwrite=True)
                self._bound.append((candidates, key))
        for of_tab, shortcut in self._shortcuts:
            shortcut.setEnabled(of_tab in ("", tab))

    def _undo(self) -> None:
        """Undo what the tab in front is for: a stroke of the brush, or an edit of the study."""
        (self._painting if self._controller.state.tab == "Segment" else self._controller).undo()

    def _redo(self) -> None:
        (self._painting if self._controller.state.tab == "Segment" else self._controller).redo()

    def _keep_candidates(self) -> None:
        self._controller.say("Candidates stay as the model proposed them: reject one in the Review tab (R).", "warning")

    @staticmethod
    def _shortcut(dock: QWidget, key: str, act: Action) -> QShortcut:
        name = key.replace("Control", "Ctrl").replace("-", "+")
        shortcut = QShortcut(QKeySequence(name), dock)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(act)
        return shortcut
