"""The Review tab: one candidate at a time, one key per verdict."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QButtonGroup, QComboBox, QFrame, QLabel, QProgressBar, QRadioButton, QVBoxLayout

from napari_lesion_points.core.records import Order, Verdict
from napari_lesion_points.ui.colors import tinted
from napari_lesion_points.ui.controller import Controller
from napari_lesion_points.ui.controls import ExistenceSlider, Section, button, legend, row, wrapped
from napari_lesion_points.ui.gesture import Kind
from napari_lesion_points.ui.reviewing import ReviewDesk
from napari_lesion_points.ui.screen import Screen, position
from napari_lesion_points.ui.translation import _
from napari_lesion_points.ui.vocabulary import ORDER_WORDS, VERDICT_WORDS


class ReviewPanel(Section):
    """The queue of candidates and the buttons of the verdicts."""

    def __init__(self, controller: Controller, desk: ReviewDesk) -> None:
        super().__init__()
        self._controller = controller
        self.this_case = QRadioButton(_("This case"))
        self.all_cases = QRadioButton(_("All cases"))
        group = QButtonGroup(self)
        for choice, everything in ((self.this_case, False), (self.all_cases, True)):
            group.addButton(choice)
            choice.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            choice.clicked.connect(lambda __=False, everything=everything: desk.start(everything))
        self.order = QComboBox()
        for order, words in ORDER_WORDS.items():
            self.order.addItem(words, str(order))
        self.order.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.order.setToolTip(_("What comes first. Verdicts on the most uncertain change the number of lesions most"))
        self.order.activated.connect(lambda index: desk.set_order(Order(self.order.itemData(index))))
        self.refresh = button("↻", desk.rebuild, _("Make the queue again"))
        self.refresh.setMaximumWidth(32)
        self.progress = QProgressBar()
        self.progress.setMaximumHeight(18)
        self.progress.setTextVisible(False)
        self.count = QLabel()
        self.title = QLabel()
        self.title.setStyleSheet("font-weight: bold; font-size: 15px;")
        self.details = wrapped()
        self.hint = wrapped()
        self.lesions = wrapped()
        self.accept = button(
            _("Accept  (A)"), desk.accept, _("A lesion: it becomes a point that the next training uses")
        )
        self.reject = button(_("Reject  (R)"), desk.reject, _("Not a lesion"))
        self.place = button(
            _("Move  (M)"), desk.clicks.move, _("A lesion, but elsewhere: the next click places it"), True
        )
        self.unsure = button(
            _("Unsure  (U)"), desk.unsure, _("Put it aside: no training learns from it, and you can come back")
        )
        self.split = button(
            _("Split  (T)"), desk.clicks.split, _("Two lesions: the next two clicks are their centres"), True
        )
        self.merge = button(
            _("Merge  (J)"),
            desk.clicks.merge,
            _("One lesion with its neighbour: J again, or a click on that one, merges"),
            True,
        )
        self.skip = button(_("Skip  (S)"), desk.skip, _("Go on without a verdict"))
        self.back = button(_("Back  (B)"), desk.back, _("Go back to the candidate before"))
        self.undo = button(_("Undo"), controller.undo, _("Take the last verdict or edit back (Ctrl+Z)"))
        self.again = button("", desk.toggle_asking, _("Ask about those that were put aside (Shift+U)"), True)
        self.listing = button(
            _("List  (L)"), desk.toggle_list, _("All candidates in a table, to sort, filter and go to"), True
        )
        for member in (self.accept, self.reject, self.place):
            member.setMinimumHeight(36)
        tinted(self.accept, "QPushButton:enabled {{ border-bottom: 3px solid {accepted}; }}")
        tinted(self.reject, "QPushButton:enabled {{ border-bottom: 3px solid {rejected}; }}")
        tinted(self.place, "QPushButton:enabled {{ border-bottom: 3px solid {moved}; }}")
        self.existence = ExistenceSlider()
        self.existence.moved.connect(controller.set_threshold)
        self.existence.moved.connect(lambda __: desk.threshold_changed())
        self.guard(self.existence.number, self.existence.slider)
        card = QFrame()
        card.setObjectName("card")
        tinted(card, "#card {{ border: 1px solid {frame}; border-radius: 4px; }}")
        inner = QVBoxLayout(card)
        inner.setContentsMargins(8, 6, 8, 6)
        inner.addWidget(self.title)
        inner.addWidget(self.details)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(6)
        scope = row(self.this_case, self.all_cases)
        scope.addStretch(1)
        scope.addWidget(self.order)
        scope.addWidget(self.refresh)
        layout.addLayout(scope)
        layout.addLayout(row(self.progress, self.count, spacing=8))
        layout.addWidget(card)
        layout.addLayout(row(self.accept, self.reject, self.place))
        layout.addLayout(row(self.unsure, self.split, self.merge))
        layout.addLayout(row(self.skip, self.back, self.undo, self.listing))
        layout.addWidget(self.lesions)
        layout.addWidget(self.hint)
        layout.addWidget(self.again)
        layout.addWidget(self.existence)
        layout.addWidget(legend())
        layout.addStretch(1)

    def show_screen(self, screen: Screen) -> None:
        """Draw the state."""
        state, current = screen.state, screen.current
        (self.all_cases if state.queue_all_cases else self.this_case).setChecked(True)
        self.order.setCurrentIndex(self.order.findData(str(state.queue_order)))
        self.progress.setRange(0, max(screen.to_review, 1))
        self.progress.setValue(screen.reviewed)
        self.count.setText(screen.review_progress)
        self.lesions.setText(screen.lesions_text)
        if current is None:
            self.title.setText(_("End of the queue") if state.queue else _("No candidate"))
            self.details.setText(screen.review_text)
        else:
            existence = _("existence {existence:.2f}").format(existence=current.existence)
            verdict = VERDICT_WORDS.get(current.verdict, "")
            self.title.setText(" · ".join(part for part in (current.case, existence, verdict) if part))
            details = _("{position} mm · entropy {entropy:.2f} bit · {number} of {total}").format(
                position=position(current), entropy=current.entropy, number=state.at + 1, total=len(state.queue)
            )
            self.details.setText(details)
        self.hint.setText(screen.review_text if current else "")
        self.hint.setVisible(bool(self.hint.text()))
        for member in (self.accept, self.reject, self.place, self.unsure, self.split, self.merge):
            member.setEnabled(screen.can_judge)
        for kind, member in ((Kind.MOVE, self.place), (Kind.SPLIT, self.split), (Kind.MERGE, self.merge)):
            member.setChecked(state.placing and state.gesture.kind is kind)
        self.again.setText(_("Ask again about the {count} unsure  (Shift+U)").format(count=screen.unsure))
        self.again.setChecked(state.asking is Verdict.UNSURE)
        self.again.setVisible(bool(screen.unsure) or state.asking is Verdict.UNSURE)
        self.listing.setChecked(state.listing)
        self.skip.setEnabled(current is not None)
        self.back.setEnabled(state.at > 0)
        self.undo.setEnabled(bool(state.undo_label))
        self.refresh.setEnabled(bool(state.root))
        self.existence.set_value(state.threshold)
