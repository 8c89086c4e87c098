"""What the case list counts: all is read in a worker, and after an edit only the counts of its case are read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_lesion_points.core.records import Place
    from napari_lesion_points.store.study import CaseSummary, Study
    from napari_lesion_points.ui.controller import Controller

Cases = tuple["CaseSummary", ...]


@dataclass(frozen=True, eq=False)
class Survey:
    """A study with what its list shows, and where the reader stopped."""

    study: Study
    cases: Cases
    place: Place | None


def survey(study: Study) -> Survey:
    """Read what the window shows of a study first; StudyError when its database fails."""
    return Survey(study, study.summary(), study.last_place())


def open_study(root: Path, store: Path | None, reader: str, images: Sequence[Path], blind: bool) -> Survey:
    """Open a study (see `Study.open`). Runs in a worker, which also waits for the database library to load."""
    from napari_lesion_points.store.study import Study

    return survey(Study.open(root, store, reader, images, blind=blind))


class Summaries:
    """Keeps the counts of one session up to date."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._reading: Study | None = None
        self._waiting: Study | None = None  # asked for while another reading was under way
        self._edited: set[str] = set()  # cases whose counts were read again since that began: they are newer

    def renew(self, study: Study) -> None:
        """Have all counts read again, since others may have changed them; of many such wishes, one waits at most."""
        if self._reading is not None:
            self._waiting = study
            return
        self._reading = study
        self._edited.clear()
        self._controller.workers.start(study.summary, returned=self._take, failed=self._on_failed)

    def again(self, study: Study, case: str) -> Cases:
        """Read the counts of one case now, and return them among those of the others.

        Raises
        ------
        StudyError
            If the database fails.
        """
        newest = study.summary(case)[0]
        self._edited.add(newest.case)
        return tuple(newest if s.case == newest.case else s for s in self._controller.state.cases)

    def _take(self, cases: Cases) -> None:
        controller, study, self._reading = self._controller, self._reading, None
        if study is controller.study:  # else another was opened meanwhile
            newer = {s.case: s for s in controller.state.cases if s.case in self._edited}
            cases = tuple(newer.get(s.case, s) for s in cases)
            if cases != controller.state.cases:
                controller.update(cases=cases)
        self._go_on()

    def _on_failed(self, why: str) -> None:
        self._reading = None
        self._controller.say(why, "error")
        self._go_on()

    def _go_on(self) -> None:
        study, self._waiting = self._waiting, None
        if study is not None:
            self.renew(study)
