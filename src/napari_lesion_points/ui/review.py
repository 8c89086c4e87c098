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


class ReviewPanel(Section):
    """The queue of candidates and the buttons of the verdicts."""

    def __init__(self, controller: Controller, desk: ReviewDesk) -> None:
        super().__init__()
        self._controller = controller
        self.this_case = QRadioButton("This case")
        self.all_cases = QRadioButton("All cases")
        group = QButtonGroup(self)
        for choice, everything in ((self.this_case, False), (self.all_cases, True)):
            group.addButton(choice)
            choice.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            choice.clicked.connect(lambda _=False, everything=everything: desk.start(everything))
        self.order = QComboBox()
        self.order.addItems([str(order) for order in Order])
        self.order.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.order.setToolTip("What comes first. Verdicts on the most uncertain change the number of lesions most")
        self.order.textActivated.connect(lambda text: desk.set_order(Order(text)))
        self.refresh = button("↻", desk.rebuild, "Make the queue again")
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
        self.accept = button("Accept  (A)", desk.accept, "A lesion: it becomes a point that the next training uses")
        self.reject = button("Reject  (R)", desk.reject, "Not a lesion")
        self.place = button("Move  (M)", desk.clicks.move, "A lesion, but elsewhere: the next click places it", True)
        self.unsure = button(
            "Unsure  (U)", desk.unsure, "Put it aside: no training learns from it, and you can come back"
        )
        self.split = button("Split  (T)", desk.clicks.split, "Two lesions: the next two clicks are their centres", True)
        self.merge = button(
            "Merge  (J)",
            desk.clicks.merge,
            "One lesion with its neighbour: J again, or a click on that one, merges",
            True,
        )
        self.skip = button("Skip  (S)", desk.skip, "Go on without a verdict")
        self.back = button("Back  (B)", desk.back, "Go back to the candidate before")
        self.undo = button("Undo", controller.undo, "Take the last verdict or edit back (Ctrl+Z)")
        self.again = button("", desk.toggle_asking, "Ask about those that were put aside (Shift+U)", True)
        self.listing = button(
            "List  (L)", desk.toggle_list, "All candidates in a table, to sort, filter and go to", True
        )
        for member in (self.accept, self.reject, self.place):
            member.setMinimumHeight(36)
        tinted(self.accept, "QPushButton:enabled {{ border-bottom: 3px solid {accepted}; }}")
        tinted(self.reject, "QPushButton:enabled {{ border-bottom: 3px solid {rejected}; }}")
        tinted(self.place, "QPushButton:enabled {{ border-bottom: 3px solid {moved}; }}")
        self.existence = ExistenceSlider()
        self.existence.moved.connect(controller.set_threshold)
        self.existence.moved.connect(lambda _: desk.threshold_changed())
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
        self.order.setCurrentText(str(state.queue_order))
        self.progress.setRange(0, max(screen.to_review, 1))
        self.progress.setValue(screen.reviewed)
        self.count.setText(screen.review_progress)
        self.lesions.setText(screen.lesions_text)
        if current is None:
            self.title.setText("End of the queue" if state.queue else "No candidate")
            self.details.setText(screen.review_text)
            self.hint.setText("")
        else:
            verdict = f" · {current.verdict}" if current.verdict else ""
            self.title.setText(f"{current.case} · existence {current.existence:.2f}{verdict}")
            self.details.setText(
                f"{position(current)} mm · entropy {current.entropy:.2f} bit · {state.at + 1} of {len(state.queue)}"
            )
            self.hint.setText(screen.review_text)
        for member in (self.accept, self.reject, self.place, self.unsure, self.split, self.merge):
            member.setEnabled(screen.can_judge)
        for kind, member in ((Kind.MOVE, self.place), (Kind.SPLIT, self.split), (Kind.MERGE, self.merge)):
            member.setChecked(state.placing and state.gesture.kind is kind)
        self.again.setText(f"Ask again about the {screen.unsure} unsure  (Shift+U)")
        self.again.setChecked(state.asking is Verdict.UNSURE)
        self.again.setVisible(bool(screen.unsure) or state.asking is Verdict.UNSURE)
        self.listing.setChecked(state.listing)
        self.skip.setEnabled(current is not None)
        self.back.setEnabled(state.at > 0)
        self.undo.setEnabled(bool(state.undo_label))
        self.refresh.setEnabled(bool(state.root))
        self.existence.set_value(state.threshold)
