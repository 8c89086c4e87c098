"""The one dock widget: study and cases above, tabs, and a line that says what happened and what to do."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QApplication, QScrollArea, QSplitter, QTabWidget, QVBoxLayout, QWidget

from napari_lesion_points.ui.annotate import AnnotatePanel
from napari_lesion_points.ui.bookmarks import Bookmarks
from napari_lesion_points.ui.calibrating import CalibrationDesk
from napari_lesion_points.ui.candidates_panel import CandidatesPanel
from napari_lesion_points.ui.canvas import clear_letters
from napari_lesion_points.ui.cases import CasesPanel
from napari_lesion_points.ui.colors import retint
from napari_lesion_points.ui.controller import Controller
from napari_lesion_points.ui.controls import MessageLine
from napari_lesion_points.ui.drawer import Drawer
from napari_lesion_points.ui.exchange_panel import ExchangePanel
from napari_lesion_points.ui.jobs import JobControl, Runner, run_spec
from napari_lesion_points.ui.key_sheet import KeySheet
from napari_lesion_points.ui.keys import Keys
from napari_lesion_points.ui.painting import PaintDesk
from napari_lesion_points.ui.predict import PredictPanel
from napari_lesion_points.ui.readers import ReadersDesk
from napari_lesion_points.ui.readers_panel import ReadersPanel
from napari_lesion_points.ui.review import ReviewPanel
from napari_lesion_points.ui.reviewing import ReviewDesk
from napari_lesion_points.ui.screen import Screen
from napari_lesion_points.ui.segment_panel import SegmentPanel
from napari_lesion_points.ui.session import TABS
from napari_lesion_points.ui.train_panel import TrainPanel
from napari_lesion_points.ui.views import Views
from napari_lesion_points.ui.vocabulary import TAB_WORDS
from napari_lesion_points.ui.worklist_desk import WorklistDesk

if TYPE_CHECKING:
    from napari import Viewer

DOCK_NAME = "Lesion points"


class LesionPointsDock(QWidget):
    """The dock of one viewer, which owns the session.

    Parameters
    ----------
    napari_viewer : Viewer
        The viewer that it is docked to (named as napari passes it).
    runner : callable, optional
        Runs the specs of jobs; tests pass their own.
    """

    def __init__(self, napari_viewer: Viewer, runner: Runner = run_spec) -> None:
        super().__init__()
        self.setWindowTitle(DOCK_NAME)
        # napari hands plugins a proxy that makes a new object for every layer; ours must be the viewer's own.
        self.controller = Controller(getattr(napari_viewer, "__wrapped__", napari_viewer))
        self.jobs = JobControl(self.controller, runner)
        self.desk = ReviewDesk(self.controller)
        self.readers_desk = ReadersDesk(self.controller)
        self.painting = PaintDesk(self.controller, self.jobs)
        self.views = Views(self.controller, self)
        self.worklist = WorklistDesk(self.controller)
        self.cases = CasesPanel(self.controller, self.worklist)
        self.annotate = AnnotatePanel(self.controller, self.jobs, self.views.navigator)
        self.train = TrainPanel(self.controller, self.jobs)
        self.calibration = CalibrationDesk(self.controller, self.jobs, self.desk)
        self.predict = PredictPanel(self.controller, self.jobs, self.calibration)
        self.review = ReviewPanel(self.controller, self.desk)
        self.candidates = CandidatesPanel(self.controller, self.desk)
        self.drawer = Drawer(self.controller, self.candidates)
        self.readers = ReadersPanel(self.controller, self.readers_desk)
        self.segment = SegmentPanel(self.controller, self.jobs, self.painting)
        self.exchange = ExchangePanel(self.controller, self.jobs)
        self.message = MessageLine()
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setDrawBase(False)
        self.tabs.setUsesScrollButtons(False)
        self._panels = (
            self.annotate, self.train, self.predict, self.review, self.segment, self.readers, self.exchange
        )  # fmt: skip
        for name, panel in zip(TABS, self._panels, strict=True):
            area = QScrollArea()
            area.setWidgetResizable(True)
            area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
            area.setFrameShape(QScrollArea.Shape.NoFrame)
            area.setWidget(panel)
            self.tabs.addTab(area, TAB_WORDS[name])
        self.tabs.currentChanged.connect(self._tab_chosen)
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.addWidget(self.cases)
        splitter.addWidget(self.tabs)
        splitter.setStretchFactor(0, 1)
        splitter.setStretchFactor(1, 3)
        splitter.setSizes([286, 354])
        splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(4)
        layout.addWidget(splitter, 1)
        layout.addWidget(self.message)
        self.setMinimumWidth(340)
        self.keys = Keys(
            self.controller, self.desk, self.readers_desk, self.painting, self.views.navigator, self.worklist, self
        )
        self.key_sheet = KeySheet(self, self.keys.in_words())
        self.cases.help.clicked.connect(lambda __=False: self.key_sheet.toggle())
        self.jobs.predicted.connect(self.desk.renew)
        self.jobs.proposed.connect(partial(self.show_tab, "Review"))
        self.bookmarks = Bookmarks(self.controller, self.desk, self.show_tab)
        self.controller.opened.connect(self._study_opened)
        self.controller.changed.connect(self._show)
        self._show(self.controller.screen)
        self._theme = QTimer(self)  # napari has styled the window by the time it runs out
        self._theme.setSingleShot(True)
        self._theme.timeout.connect(self._follow_theme)
        self.controller.viewer.events.theme.connect(self._theme_chosen)
        self._docked = False
        parts = (
            self.worklist, self.bookmarks, self.jobs, self.desk, self.painting, self.keys, self.views, self.drawer,
            self.calibration,
        )  # fmt: skip
        self.close_session = partial(_end, self.controller, parts)
        # Not a method: Qt calls none of an object that is being destroyed.
        self.destroyed.connect(lambda __=None, end=self.close_session: end())
        application, itself = QApplication.instance(), weakref.ref(self)
        if application is not None:
            application.aboutToQuit.connect(lambda: _end_of(itself()))

    def event(self, event: QEvent) -> bool:
        """End the session when the dock is taken out of the window."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self.close_session()
        return bool(super().event(event))

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 (Qt's name)
        """Take on the colours of the window's theme, which is known by now."""
        super().showEvent(event)
        self._theme.start()

    def _theme_chosen(self) -> None:
        if not self.controller.closed:
            self._theme.start()

    def _follow_theme(self) -> None:
        retint(self)
        self.controller.update()

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Return the width that suits a small laptop."""
        return QSize(380, 640)

    def show_tab(self, name: str) -> None:
        """Bring a tab to the front."""
        self.tabs.setCurrentIndex(TABS.index(name))

    def _tab_chosen(self, index: int) -> None:
        name = TABS[index]
        if name == "Review":
            self.desk.ensure_valid()  # first: entering the tab goes to the candidate under review
        self.controller.set_tab(name)
        if name == "Readers":
            self.readers_desk.list_readers()
        if name in ("Train", "Predict", "Segment") and self.controller.study is not None:
            self.jobs.list_models()
            if not self.controller.state.devices:
                self.jobs.list_devices()

    def _study_opened(self) -> None:
        """Read of the study what the tab in front needs, as if it were chosen now."""
        self._tab_chosen(self.tabs.currentIndex())

    def _show(self, __: Screen) -> None:
        screen = self.controller.screen  # not the one announced: whoever heard of it before may have changed more
        self.cases.show_screen(screen)
        self._panels[TABS.index(screen.state.tab)].show_screen(screen)
        self.message.show_notice(screen.state.notice, screen.hint)


def _end_of(dock: LesionPointsDock | None) -> None:
    """End the session of a dock that is still there when the application quits."""
    if dock is not None:
        dock.close_session()


class _Part(Protocol):
    def close(self) -> None: ...


def _end(controller: Controller, parts: Iterable[_Part]) -> None:
    """Stop what runs, unbind keys, and let go of the study. Safe to call twice, and when the widgets are gone."""
    if not controller.closed:
        for part in parts:
            part.close()
        clear_letters(controller.viewer)
        controller.close()
