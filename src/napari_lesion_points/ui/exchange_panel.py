"""The Export tab: points out of the study and into it, and the report on its candidates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QCheckBox, QFileDialog, QGridLayout, QLabel, QLineEdit, QProgressBar, QVBoxLayout

from napari_lesion_points.ui.controller import Controller
from napari_lesion_points.ui.controls import Section, button, caption, row, wrapped
from napari_lesion_points.ui.jobs import JobControl
from napari_lesion_points.ui.screen import Screen
from napari_lesion_points.ui.translation import _

if TYPE_CHECKING:
    from napari_lesion_points.workflow.exchange import ExportFormat

_FORMATS: tuple[tuple[ExportFormat, str, bool], ...] = (
    ("csv", _("CSV: one table of all cases"), True),
    ("json", _("JSON: the same, for programs"), False),
    ("nifti", _("NIfTI: points as labels, and heatmaps"), False),
    ("slicer", _("3D Slicer markups (.mrk.json)"), False),
    ("history", _("History: every edit, who and when (.csv)"), False),
)


class ExchangePanel(Section):
    """Export of all points in some formats, import of points files, markups and masks, and the report."""

    def __init__(self, controller: Controller, jobs: JobControl) -> None:
        super().__init__()
        self._controller = controller
        self._jobs = jobs
        self.formats: dict[ExportFormat, QCheckBox] = {}
        self._store = ""
        self.folder = QLineEdit()
        self.folder.setPlaceholderText(_("folder to write to"))
        self.choose = button(_("Choose…"), self._ask_folder)
        self.export = button(_("Export all cases"), self._export)
        self.import_file = button(
            _("Points file…"), self._ask_points, _("Our CSV or JSON, or 3D Slicer .mrk.json or .fcsv")
        )
        self.pattern = QLineEdit("derivatives/**/*mask*.nii.gz")
        self.pattern.setToolTip(_("Where the masks are, relative to the study; the case is the sub-… in the path"))
        self.import_masks = button(
            _("Read masks"), self._masks, _("Each component of 3 voxels or more becomes a point")
        )
        self.report = button(_("Report…"), jobs.report, _("Candidates against annotations, in the cases that are done"))
        self.cancel = button(_("Cancel"), jobs.stop, _("What was written or read so far is kept"))
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setMaximumHeight(18)
        self.outcome = wrapped()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(6)
        layout.addWidget(caption(_("Export")))
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        for number, (name, text, checked) in enumerate(_FORMATS):
            box = QCheckBox(text)
            box.setChecked(checked)
            self.formats[name] = box
            grid.addWidget(box, number, 0)
        layout.addLayout(grid)
        layout.addLayout(row(self.folder, self.choose))
        layout.addWidget(self.export)
        layout.addWidget(wrapped(_("World mm: RAS+ in CSV, JSON and NIfTI; LPS in Slicer's files, as they say.")))
        layout.addWidget(caption(_("Import")))
        layout.addLayout(row(QLabel(_("Into the study")), self.import_file))
        layout.addLayout(row(QLabel(_("Masks")), self.pattern, self.import_masks))
        layout.addWidget(caption(_("Report")))
        layout.addWidget(self.report)
        layout.addWidget(
            wrapped(_("How well the candidates agree with your points, in the cases that are done: one page to print."))
        )
        layout.addLayout(row(self.progress, self.cancel))
        layout.addWidget(self.outcome)
        layout.addStretch(1)
        jobs.reported.connect(self._open_report)

    def show_screen(self, screen: Screen) -> None:
        """Draw the state."""
        state, job = screen.state, screen.state.job
        free = bool(state.root) and not job.running
        for member in (self.export, self.import_file, self.import_masks, self.report):
            member.setEnabled(free)
        if state.store != self._store:  # another study's files are not to be replaced by this one's
            self._store = state.store
            self.folder.setText(str(Path(state.store) / "export") if state.store else "")
        ours = job.kind in ("export", "import", "report")
        self.progress.setVisible(ours)
        self.outcome.setVisible(ours)
        self.cancel.setVisible(ours and job.running and job.kind != "report")
        self.cancel.setEnabled(not job.stopping)
        if ours:
            self.progress.setRange(0, 0 if job.running and not job.fraction else 1000)
            self.progress.setValue(round(job.fraction * 1000))
            self.outcome.setText(screen.job_text)

    def _ask_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, _("Folder to write to"), self.folder.text())
        if chosen:
            self.folder.setText(chosen)

    def _export(self) -> None:
        formats = tuple(name for name, box in self.formats.items() if box.isChecked())
        folder = self.folder.text().strip()
        if not formats or not folder:
            self._controller.say(_("Check at least one format and name a folder to export to."), "warning")
            return
        self._jobs.export(Path(folder), formats)

    def _ask_points(self) -> None:
        patterns = _("Points") + " (*.csv *.tsv *.json *.fcsv);;" + _("All files") + " (*)"
        chosen, __ = QFileDialog.getOpenFileName(self, _("Points of this study"), "", patterns)
        if chosen:
            slicer = chosen.endswith((".mrk.json", ".fcsv"))
            self._jobs.import_points(Path(chosen), self._controller.state.shown if slicer else "")

    def _masks(self) -> None:
        pattern = self.pattern.text().strip()
        if pattern:
            self._jobs.import_masks(pattern)

    def _open_report(self, path: str) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(path))
