"""A panel that writes a study of simulated patients, to try everything without a patient's data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import Container, FileEdit, Label, ProgressBar, PushButton, SpinBox

from napari_lesion_points.ui.worker import Workers

if TYPE_CHECKING:
    from napari_lesion_points.workflow.simulate import SimulationProgress


class SimulatePanel(Container[Any]):
    """Form of folder, number of patients and seed; the study is written in a thread."""

    def __init__(self) -> None:
        self.folder = FileEdit(
            mode=FileDialogMode.EXISTING_DIRECTORY, label="New folder", value=Path.home() / "simulated-study"
        )
        self.cases = SpinBox(label="Patients", min=1, max=500, value=20)
        self.seed = SpinBox(label="Seed", min=0, max=999_999, value=0, tooltip="The same seed gives the same study.")
        self.button = PushButton(text="Simulate")
        self.bar = ProgressBar(min=0, max=1, value=0, visible=False)
        self.message = Label(value="A second or so per patient; then open it in the Lesion points panel.")
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
            returned=lambda _: self._end(f"Written to {self.folder.value}. Open it in the Lesion points panel."),
            failed=self._end,
        )

    def _show(self, made: SimulationProgress) -> None:
        self.bar.value = made.done
        self.message.value = f"{made.case}: {made.lesions} lesions ({made.done} of {made.total})"

    def _end(self, message: str) -> None:
        self.bar.visible = False
        self.message.value = message
        self.button.enabled = True
