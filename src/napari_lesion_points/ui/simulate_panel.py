"""A panel that writes a study of simulated patients, to try everything without a patient's data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import Container, FileEdit, Label, ProgressBar, PushButton, SpinBox

from napari_lesion_points.ui.translation import _, ngettext
from napari_lesion_points.ui.worker import Workers

if TYPE_CHECKING:
    from napari_lesion_points.workflow.simulate import SimulationProgress


class SimulatePanel(Container[Any]):
    """Form of folder, number of patients and seed; the study is written in a thread."""

    def __init__(self) -> None:
        self.folder = FileEdit(
            mode=FileDialogMode.EXISTING_DIRECTORY, label=_("New folder"), value=Path.home() / "simulated-study"
        )
        self.cases = SpinBox(label=_("Patients"), min=1, max=500, value=20)
        self.seed = SpinBox(
            label=_("Seed"), min=0, max=999_999, value=0, tooltip=_("The same seed gives the same study.")
        )
        self.button = PushButton(text=_("Simulate"))
        self.bar = ProgressBar(min=0, max=1, value=0, visible=False)
        self.message = Label(value=_("A second or so per patient; then open it in the Lesion points panel."))
        super().__init__(widgets=[self.folder, self.cases, self.seed, self.button, self.bar, self.message])
        self._workers = Workers()
        self.button.changed.connect(self._start)
        self.native.destroyed.connect(self._workers.close)

    def _start(self) -> None:
        from napari_lesion_points.workflow.simulate import simulate_study

        self.button.enabled = False
        self.bar.max, self.bar.value, self.bar.visible = self.cases.value, 0, True
        self._workers.start(
            simulate_study,
            Path(str(self.folder.value)),
            self.cases.value,
            self.seed.value,
            yielded=self._show,
            returned=lambda __: self._end(
                _("Written to {folder}. Open it in the Lesion points panel.").format(folder=self.folder.value)
            ),
            failed=self._end,
        )

    def _show(self, made: SimulationProgress) -> None:
        self.bar.value = made.done
        message = ngettext(
            "{case}: {count} lesion ({done} of {total})", "{case}: {count} lesions ({done} of {total})", made.lesions
        )
        self.message.value = message.format(case=made.case, count=made.lesions, done=made.done, total=made.total)

    def _end(self, message: str) -> None:
        self.bar.visible = False
        self.message.value = message
        self.button.enabled = True
