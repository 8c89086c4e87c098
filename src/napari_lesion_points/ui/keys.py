"""Keys of a session, on the viewer and on its layers while the dock is open, and nowhere afterwards.

napari ignores the keybindings of a plugin's manifest. A layer's own keys win over the viewer's, so ours are bound on
our layers too; those of a tab only while it is in front, since A and S mean something else on a points layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget

from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from napari.utils.key_bindings import KeymapProvider

    from napari_lesion_points.ui.controller import Controller
    from napari_lesion_points.ui.navigation import Navigator
    from napari_lesion_points.ui.painting import PaintDesk
    from napari_lesion_points.ui.readers import ReadersDesk
    from napari_lesion_points.ui.reviewing import ReviewDesk
    from napari_lesion_points.ui.screen import Screen
    from napari_lesion_points.ui.worklist_desk import WorklistDesk


class Key(NamedTuple):
    """What a key does, and in words."""

    act: Callable[[], None]
    does: str


class Keys:
    """Binds the session's keys and takes them away again.

    Parameters
    ----------
    controller, desk, readers, painting, navigator, worklist
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
        worklist: WorklistDesk,
        dock: QWidget,
    ) -> None:
        self._controller = controller
        self._painting = painting
        self._general: dict[str, Key] = {
            "Control-Z": Key(self._undo, _("undo")),
            "Control-Shift-Z": Key(self._redo, _("redo")),
            "C": Key(controller.next_sequence, _("next sequence")),
            "X": Key(controller.next_orientation, _("next orientation")),
            "H": Key(controller.toggle_heatmap, _("heatmap on or off")),
            "F": Key(navigator.fade, _("fade the heatmap")),
            "D": Key(navigator.toggle_bare, _("the bare image, without anything over it")),
            "W": Key(navigator.next_window, _("next window of the sequence")),
            "V": Key(navigator.next_views, _("other planes, sequences side by side, or neither")),
            "PageDown": Key(worklist.next, _("next case of the list")),
            "PageUp": Key(worklist.previous, _("previous case of the list")),
            "Control-PageDown": Key(worklist.next_by_benefit, _("next case by expected benefit")),
            "Shift-PageDown": Key(worklist.next_by_chance, _("next case by chance")),
            "Shift-N": Key(worklist.write_note, _("write a note on the case")),
            "Shift-S": Key(worklist.find, _("search the cases")),
        }
        self._of_tab: dict[str, dict[str, Key]] = {
            "Review": {
                "A": Key(desk.accept, _("accept: a lesion")),
                "R": Key(desk.reject, _("reject: no lesion")),
                "M": Key(desk.clicks.move, _("move: the next click places it")),
                "T": Key(desk.clicks.split, _("two: split it at the next two clicks")),
                "J": Key(desk.clicks.merge, _("join: merge it with its neighbour (J again)")),
                "N": Key(desk.clicks.next_partner, _("another neighbour to merge it with")),
                "Escape": Key(desk.clicks.stop, _("do not move, split or merge after all")),
                "U": Key(desk.unsure, _("unsure: put it aside")),
                "Shift-U": Key(desk.toggle_asking, _("ask about the unsure ones again, or not")),
                "S": Key(desk.skip, _("skip")),
                "B": Key(desk.back, _("back")),
                "L": Key(desk.toggle_list, _("list of candidates, or not")),
            },
            "Readers": {
                "A": Key(readers.keep_first, _("keep the first reader's")),
                "B": Key(readers.keep_second, _("keep the second reader's")),
                "U": Key(readers.keep_both, _("keep both")),
                "N": Key(readers.keep_none, _("keep none")),
                "S": Key(readers.skip, _("skip")),
                "P": Key(readers.back, _("back")),
            },
        }
        self._bound: list[tuple[KeymapProvider, str]] = []
        self._in_place: tuple[Any, ...] = ()
        tabs = {"": self._general} | self._of_tab
        self._shortcuts = [
            (tab, self._shortcut(dock, name, key.act)) for tab, keys in tabs.items() for name, key in keys.items()
        ]
        controller.changed.connect(self._on_changed)
        self._bind("")

    def in_words(self) -> dict[str, dict[str, str]]:
        """Return what each key does, by the tab that it belongs to ("" for all)."""
        tabs = {"": self._general} | self._of_tab
        return {tab: {_name(name): key.does for name, key in keys.items()} for tab, keys in tabs.items()}

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
        keys = self._general | self._of_tab.get(tab, {})
        for provider in (self._controller.viewer, *self._controller.scene.layers):
            for name, key in keys.items():
                provider.bind_key(name, lambda __, act=key.act: act(), overwrite=True)
                self._bound.append((provider, name))
        candidates = self._controller.scene.candidates
        if candidates is not None:  # napari would delete rows of a layer that is not editable
            for name in ("Delete", "Backspace", "1"):
                candidates.bind_key(name, lambda __: self._keep_candidates(), overwrite=True)
                self._bound.append((candidates, name))
        for of_tab, shortcut in self._shortcuts:
            shortcut.setEnabled(of_tab in ("", tab))

    def _undo(self) -> None:
        """Undo what the tab in front is for: a stroke of the brush, or an edit of the study."""
        (self._painting if self._controller.state.tab == "Segment" else self._controller).undo()

    def _redo(self) -> None:
        (self._painting if self._controller.state.tab == "Segment" else self._controller).redo()

    def _keep_candidates(self) -> None:
        self._controller.say(
            _("Candidates stay as the model proposed them: reject one in the Review tab (R)."), "warning"
        )

    @staticmethod
    def _shortcut(dock: QWidget, name: str, act: Callable[[], None]) -> QShortcut:
        shortcut = QShortcut(QKeySequence(_name(name)), dock)
        shortcut.setAutoRepeat(False)  # as on the canvas: a key that is held decides once
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(act)
        return shortcut


def _name(key: str) -> str:
    """Qt's name of a key that napari calls so."""
    return key.replace("Control", "Ctrl").replace("-", "+")
