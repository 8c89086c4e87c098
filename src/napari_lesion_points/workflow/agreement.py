"""Agreement of the readers of a study: per case and over all, for every two of them and for all together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from napari_lesion_points.core.agreement import PointAgreement, cohen_kappa, compare_points, fleiss_kappa
from napari_lesion_points.core.matching import TOLERANCE_MM
from napari_lesion_points.core.records import CONSENSUS, CaseState
from napari_lesion_points.errors import StudyError
from napari_lesion_points.store.tables import write_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_lesion_points.core.records import LesionPoint
    from napari_lesion_points.store.study import Study

#: In the column `case`, what is pooled over all cases.
ALL_CASES = "all cases"

COLUMNS = (
    "case", "readers", "finished", "matched", "only_first", "only_second", "f1", "mean_distance_mm",
    "candidates", "kappa",
)  # fmt: skip


@dataclass(frozen=True)
class AgreementRow:
    """How far some readers agree on a case, or on all.

    Parameters
    ----------
    case : str
        The case, or `ALL_CASES`.
    readers : tuple of str
        The readings compared, two or more.
    finished : bool
        Whether all of them have set the case, or every one that is compared, to done.
    points : PointAgreement or None
        Of two readers; of more, None.
    candidates : int
        Those of the newest run that all of them accepted, moved or rejected.
    kappa : float
        On whether these are lesions: Cohen's of two readers, Fleiss' of more; NaN where undefined.
    """

    case: str
    readers: tuple[str, ...]
    finished: bool
    points: PointAgreement | None
    candidates: int
    kappa: float

    @property
    def words(self) -> str:
        """One line for people."""
        said = [", ".join(self.readers)]
        if self.points:
            p = self.points
            said.append(f"F1 {p.f1:.2f}, {p.matched} matched, {p.only_first} and {p.only_second} of one alone")
            said += [f"{p.mean_distance_mm:.1f} mm apart"] if p.matched else []
        if self.candidates:
            said.append(f"kappa {self.kappa:.2f} on {self.candidates} candidates")
        return f"{said[0]}: {', '.join(said[1:]) or 'no candidate judged by all'}"

    def to_row(self) -> dict[str, Any]:
        """Return the values of `COLUMNS`; what is undefined is None."""
        points = self.points
        figures = {"f1": points.f1, "mean_distance_mm": points.mean_distance_mm} if points else {}
        counts = ("matched", "only_first", "only_second")
        return {
            "case": self.case,
            "readers": ", ".join(self.readers),
            "finished": "yes" if self.finished else "no",
            **{name: getattr(points, name) for name in counts if points},
            **{name: _known(figure) for name, figure in figures.items()},
            "candidates": self.candidates,
            "kappa": _known(self.kappa),
        }


@dataclass(frozen=True)
class _Reading:
    """What one reader says of one case: points, world mm, and whether each judged candidate is a lesion, by id."""

    state: CaseState
    points: tuple[LesionPoint, ...]
    verdicts: dict[str, bool]


def study_agreement(
    study: Study, readers: Sequence[str] = (), tolerance_mm: float = TOLERANCE_MM
) -> tuple[AgreementRow, ...]:
    """Compare readings: for every two, and for all where there are more, each case and then all cases.

    Cases are compared that all of them have begun; one that is not finished by all says so.

    Parameters
    ----------
    study : Study
        Whose readings to compare.
    readers : sequence of str
        Names of readings; by default all there are but the consensus.
    tolerance_mm : float
        Greatest distance between two readers' points of one lesion.

    Raises
    ------
    StudyError
        If a reading is unknown, there are not two, or no case has been begun by two.
    """
    known = study.readings()
    if unknown := [name for name in readers if name not in known]:
        raise StudyError(
            f"nothing was read by {unknown[0]!r}. This study has readings of {', '.join(known) or 'none'}."
        )
    names = tuple(dict.fromkeys(readers)) or tuple(name for name in known if name != CONSENSUS)
    if len(names) < 2:
        raise StudyError(
            f"agreement needs two readers, and this study has {', '.join(names) or 'none'}. "
            "Let another open it with --reader NAME --blind."
        )
    said = {name: _read(study.of(name)) for name in names}
    groups = [*combinations(names, 2), *([names] if len(names) > 2 else [])]
    rows = [row for group in groups for row in _compare(study.case_names, {n: said[n] for n in group}, tolerance_mm)]
    if not rows:
        raise StudyError(f"no case has been begun by two of {', '.join(names)}; there is nothing to compare yet.")
    return tuple(rows)


def write_agreement(path: Path, rows: Sequence[AgreementRow]) -> None:
    """Write a table; OutputError if that fails."""
    write_table(path, COLUMNS, (row.to_row() for row in rows))


def _read(reading: Study) -> dict[str, _Reading]:
    """Return what a reader says of each case that they have begun; few queries, however many cases."""
    begun = {s.case: _Reading(s.state, (), {}) for s in reading.summary() if s.state is not CaseState.NEW}
    points: dict[str, list[LesionPoint]] = {case: [] for case in begun}
    for point in reading.annotations():
        points.setdefault(point.case, []).append(point)
    for candidate in reading.candidates():
        says = candidate.verdict.lesion
        if says is not None and candidate.case in begun:
            begun[candidate.case].verdicts[candidate.id] = says
    return {case: _Reading(found.state, tuple(points[case]), found.verdicts) for case, found in begun.items()}


def _compare(cases: Sequence[str], said: dict[str, dict[str, _Reading]], tolerance_mm: float) -> list[AgreementRow]:
    """Rows of some readers: their common cases, and all of them together; none without a common case."""
    readers, rows, judged = tuple(said), [], []
    for case in cases:
        readings = [by_case[case] for by_case in said.values() if case in by_case]
        if len(readings) < len(readers):
            continue
        finished = all(reading.state is CaseState.DONE for reading in readings)
        worlds = [[p.world for p in reading.points] for reading in readings]
        points = compare_points(worlds[0], worlds[1], tolerance_mm) if len(readers) == 2 else None
        common = set.intersection(*(set(reading.verdicts) for reading in readings))
        answers = [[reading.verdicts[i] for reading in readings] for i in sorted(common)]
        judged += answers
        rows.append(AgreementRow(case, readers, finished, points, len(answers), _kappa(answers)))
    if rows:
        pooled = sum((row.points for row in rows if row.points), PointAgreement()) if len(readers) == 2 else None
        finished = all(row.finished for row in rows)
        rows.append(AgreementRow(ALL_CASES, readers, finished, pooled, len(judged), _kappa(judged)))
    return rows


def _kappa(answers: list[list[bool]]) -> float:
    """Kappa of the answers of each reader (inner) to each candidate (outer)."""
    if answers and len(answers[0]) == 2:
        return cohen_kappa([a for a, _ in answers], [b for _, b in answers])
    return fleiss_kappa([[sum(row), len(row) - sum(row)] for row in answers])


def _known(figure: float) -> float | None:
    return None if math.isnan(figure) else figure
