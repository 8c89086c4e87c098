"""The upper part of the dock: the study, its cases, and how far each has been read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QEvent, QSignalBlocker, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_lesion_points.core.records import CaseState
from napari_lesion_points.ui.case_table import CaseTable
from napari_lesion_points.ui.controller import Controller
from napari_lesion_points.ui.controls import ElidedLabel, button, row
from napari_lesion_points.ui.screen import Screen
from napari_lesion_points.ui.translation import _
from napari_lesion_points.ui.worklist import Show
from napari_lesion_points.ui.worklist_desk import WorklistDesk

_SHOWN = {
    # Translators: which cases are listed
    Show.ALL: _("all cases"),
    Show.NEW: _("new"),
    Show.IN_PROGRESS: _("in progress"),
    Show.DONE: _("done"),
    Show.TO_REVIEW: _("to review"),
}


class CasesPanel(QWidget):
    """Study, reader, case list, and state and note of the case on screen."""

    def __init__(self, controller: Controller, worklist: WorklistDesk) -> None:
        super().__init__()
        self._controller = controller
        self._worklist = worklist
        self.open_button = QPushButton(_("Open study…"))
        self.open_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        menu = QMenu(self.open_button)
        menu.addAction(_("Folder or BIDS dataset…"), self.ask_folder)
        menu.addAction(_("Images of one case…"), self.ask_images)
        self.open_button.setMenu(menu)
        self.open_button.setFixedWidth(120)
        self.help = QPushButton("?")
        self.help.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.help.setToolTip(_("All keys (?)"))
        self.help.setFixedWidth(28)
        self.title = ElidedLabel()
        self.title.setStyleSheet("font-weight: bold;")
        self.store = ElidedLabel()
        self.store_button = button(_("Store…"), self.ask_store, _("Keep points, models and heatmaps in another folder"))
        self.store_button.setFixedWidth(64)
        self.reader = QLineEdit()
        self.reader.setPlaceholderText(_("reader"))
        self.reader.setToolTip(_("Who reads: written into every point"))
        self.reader.setMaximumWidth(90)
        self.reader.editingFinished.connect(self._reader_edited)
        self.blind = QCheckBox(_("Blind"))
        self.blind.setToolTip(
            _("See and make only points and verdicts of your own; candidates without those of others")
        )
        self.blind.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.blind.clicked.connect(lambda checked: controller.reopen(reader=self.reader.text().strip(), blind=checked))
        self.search = QLineEdit()
        self.search.setPlaceholderText(_("Search"))
        self.search.setToolTip(_("Words in a case's name or note (Shift+S); Enter opens the first case found"))
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(lambda text: worklist.choose(search=text))
        self.search.returnPressed.connect(self._open_first)
        self.search.installEventFilter(self)
        self.show_only = QComboBox()
        for show, words in _SHOWN.items():
            self.show_only.addItem(words, str(show))
        self.show_only.setToolTip(_("Which cases are listed; to review: with candidates that are not decided"))
        self.show_only.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.show_only.activated.connect(lambda index: worklist.choose(show=Show(self.show_only.itemData(index))))
        self.table = CaseTable()
        self.table.chosen.connect(controller.select_case)
        self.table.sorting.connect(worklist.sort)
        self.progress = ElidedLabel()
        self.previous = button("◀", worklist.previous, _("Previous case of the list (Page Up)"))
        self.next = button("▶", worklist.next, _("Next case of the list (Page Down)"))
        for member in (self.previous, self.next):
            member.setFixedWidth(32)
        self.to_read = button(
            _("Next to read"), worklist.next_to_read,
            _("The case of this study to read next: by expected benefit, or by chance if you did so last.\n"
              "Expected benefit: by how many lesions the review of its candidates changes the count."),
        )  # fmt: skip
        self.ways = QPushButton()
        self.ways.setToolTip(_("How to go on: by expected benefit, or by chance"))
        self.ways.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.ways.setFixedWidth(24)
        menu = QMenu(self.ways)
        menu.addAction(_("By expected benefit") + "\tCtrl+PgDown", worklist.next_by_benefit)
        menu.addAction(_("By chance, for an unbiased set") + "\tShift+PgDown", worklist.next_by_chance)
        self.ways.setMenu(menu)
        self.done = button(_("Done"), lambda: worklist.mark(CaseState.DONE), _("This case has been read"))
        self.empty = button(
            _("No lesions"), lambda: worklist.mark(CaseState.DONE), _("Read, and there is none: training uses that too")
        )
        self.reopen = button(
            _("Reopen"), lambda: worklist.mark(CaseState.IN_PROGRESS), _("Set the case in progress again")
        )
        self.note = QLineEdit()
        self.note.setPlaceholderText(_("Note on this case"))
        self.note.setToolTip(_("Kept with the case, stored by itself (Shift+N); Enter goes back to the list"))
        self.note.textEdited.connect(worklist.type_note)
        self.note.editingFinished.connect(worklist.save_note)
        self.note.returnPressed.connect(self.table.setFocus)
        self.note.installEventFilter(self)
        worklist.wanted.connect(self._take_keyboard)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row(self.open_button, self.title, self.help))
        layout.addLayout(row(self.store, self.store_button, QLabel(_("Reader")), self.reader, self.blind))
        find = row(self.search, self.show_only)
        find.setStretch(0, 1)
        layout.addLayout(find)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.progress)
        going = row(self.previous, self.next, self.to_read, self.ways, self.done, self.empty, self.reopen)
        going.insertStretch(4, 1)
        layout.addLayout(going)
        layout.addWidget(self.note)

    def show_screen(self, screen: Screen) -> None:
        """Draw the state."""
        state = screen.state
        self.title.set_full(screen.study_title, state.root)
        self.store.set_full(
            _("Store: {folder}").format(folder=state.store) if state.store else _("Store: –"), state.store
        )
        self.store_button.setEnabled(bool(state.root))
        self.reader.setEnabled(bool(state.root))
        self.blind.setEnabled(bool(state.root))
        self.blind.setChecked(bool(state.reader) and state.reading == state.reader)
        if not self.reader.hasFocus():
            self.reader.setText(state.reader)
        self.table.show_cases(screen.case_rows, screen.case_row, state.choice)
        self.progress.set_full(screen.study_progress)
        with QSignalBlocker(self.search):
            if self.search.text() != state.choice.search:
                self.search.setText(state.choice.search)
        self.show_only.setCurrentIndex(self.show_only.findData(str(state.choice.show)))
        for member in (self.to_read, self.ways):
            member.setEnabled(bool(state.root))
        self.note.setEnabled(bool(state.wanted))
        if not self._worklist.writing and self.note.text().strip() != screen.note:
            self.note.setText(screen.note)
        self.previous.setEnabled(bool(screen.previous_case))
        self.next.setEnabled(bool(screen.next_case))
        self.done.setEnabled(screen.can_finish)
        self.done.setVisible(not screen.can_reopen)
        self.empty.setVisible(not screen.can_reopen)
        self.empty.setEnabled(screen.can_finish_empty)
        self.reopen.setVisible(screen.can_reopen)

    def eventFilter(self, watched: QWidget, event: QEvent) -> bool:  # type: ignore[override]  # noqa: N802 (Qt's name)
        """Let Escape leave search and note: the one is empty then, the other as it was written."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Escape:
            if watched is self.search:
                self.search.clear()
            self.table.setFocus()
            return True
        return False

    def _take_keyboard(self, what: str) -> None:
        line = self.note if what == "note" else self.search
        line.setFocus()
        line.selectAll() if line is self.search else line.end(False)

    def _open_first(self) -> None:
        self._worklist.open_first()
        self.table.setFocus()

    def ask_folder(self) -> None:
        """Ask for a study folder and open it."""
        chosen = QFileDialog.getExistingDirectory(self, _("Open a BIDS dataset or a folder of cases"))
        if chosen:
            self._open(Path(chosen))

    def ask_images(self) -> None:
        """Ask for image files and open them as a study of one case, each file a sequence."""
        chosen, __ = QFileDialog.getOpenFileNames(self, _("Open the images of one case"), "", "NIfTI (*.nii *.nii.gz)")
        images = [Path(name) for name in chosen]
        if len(images) == 1:
            self._open(images[0])
        elif images:
            self._open(images[0].parent, images)

    def ask_store(self) -> None:
        """Ask for another store folder, and open the study with it."""
        chosen = QFileDialog.getExistingDirectory(self, _("Folder for points, models and heatmaps"))
        if chosen:
            self._controller.reopen(store=Path(chosen))

    def _open(self, root: Path, images: Sequence[Path] = ()) -> None:
        """Open a study; when it cannot be written there, offer another place."""
        reader = self.reader.text().strip()

        def failed(why: str) -> None:
            if "--store" not in why:
                return
            chosen = QFileDialog.getExistingDirectory(
                self, _("The study cannot be written to. Where shall the points be kept?")
            )
            if chosen:
                self._controller.open_study(root, Path(chosen), reader, images=images)

        self._controller.open_study(root, reader=reader, images=images, failed=failed)

    def _reader_edited(self) -> None:
        name = self.reader.text().strip()
        if name and name != self._controller.state.reader:
            self._controller.reopen(reader=name)
