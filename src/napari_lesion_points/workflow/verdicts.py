"""What the verdicts of a study tell about a model's candidates.

Which candidates take part, so that those judged are like the others of the same existence:

* accepted and moved candidates are lesions (split ones are moved), rejected ones are none, in whatever case;
* where several of them stand for one lesion, merged ones above all, only one is that lesion, the others are none: their
  existence adds up to the number of lesions, and an evaluation matches one to one, too;
* of an unsure one, the reader has said that it is unknown, in whatever case;
* in a case that is *done*, a candidate without a verdict is a lesion if a point lies there (matched one to one within
  the tolerance), else none: whoever sets a case to done says so;
* in a case in progress, one without a verdict that lies on an accepted lesion (of an earlier prediction) is a lesion;
  any other is unknown;
* a case in progress where candidates lie on points that were *clicked* waits until it is done: those candidates are
  never asked about, and all of them are lesions, so what was judged beside them is not like the rest;
* cases that the model learned from, or was validated on, are left out; so are cases without any verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_lesion_points.core.matching import SAME_LESION_MM, TOLERANCE_MM, match_points
from napari_lesion_points.core.operating import JudgedCandidates
from napari_lesion_points.core.records import CONSENSUS, CaseState, Origin, Verdict, patient_numbers
from napari_lesion_points.errors import StudyError
from napari_lesion_points.workflow.lineage import learned_cases
from napari_lesion_points.workflow.review import stem_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_lesion_points.core.records import LesionPoint
    from napari_lesion_points.store.study import Study
    from napari_lesion_points.workflow.models import ModelCard

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """The candidates of a model that take part, all of them, judged or not.

    Parameters
    ----------
    candidates : JudgedCandidates
        Existence is the fitted mass clipped to [0, 1], before any recalibration; for components, what they have.
    cases : tuple of str
        The cases of `candidates`, in that order.
    done : int
        How many of them are done: only there is it known what no candidate stands for.
    waiting, learned : tuple of str
        Cases left out: in progress with clicked points on candidates; known to the model.
    outdated : tuple of str
        Left out, too: predicted before the model was trained further, or anew in the same folder.
    """

    candidates: JudgedCandidates
    cases: tuple[str, ...]
    done: int
    waiting: tuple[str, ...]
    learned: tuple[str, ...]
    outdated: tuple[str, ...]


def gather_evidence(study: Study, card: ModelCard, tolerance_mm: float = TOLERANCE_MM) -> Evidence:
    """Collect what the open reading of a study says of a model's newest candidates.

    Raises
    ------
    StudyError
        If the database fails, or the reading is the consensus, whose candidates are no model's.
    """
    if study.reading == CONSENSUS:
        raise StudyError("the consensus judges readers, not a model. Open the study in the usual way, or blind.")
    outdated = study.predicted_before(str(card.path), card.created_utc)
    models = study.models()
    predicted = [case for case, model in models.items() if model == str(card.path) and case not in outdated]
    states = {s.case: s.state for s in study.summary()}
    proposed: dict[str, list[LesionPoint]] = {case: [] for case in predicted}
    placed: dict[str, list[LesionPoint]] = {case: [] for case in predicted}
    for by_case, points in ((proposed, study.candidates()), (placed, study.annotations())):
        for point in points:
            if point.case in by_case:
                by_case[point.case].append(point)
    used, waiting, learned, outcomes, missed = [], [], [], [], []
    taught = learned_cases(study, card)
    for case, candidates in proposed.items():
        done = states[case] is CaseState.DONE
        if not done and not any(c.verdict.decided for c in candidates):
            continue
        if case in taught:
            learned.append(case)
            continue
        outcome, unfound = judged(candidates, placed[case], done=done, tolerance_mm=tolerance_mm)
        if outcome is None:
            waiting.append(case)
            continue
        used.append(case)
        outcomes.append(outcome)
        missed.append(unfound)
    patients = np.array(patient_numbers(used), dtype=np.int64)
    all_judged = JudgedCandidates(
        unscaled([c for case in used for c in proposed[case]]),
        np.concatenate([np.empty(0), *outcomes]),
        np.repeat(patients, [len(o) for o in outcomes]),
        np.bincount(patients, missed).astype(np.int64),
    )
    finished = sum(states[case] is CaseState.DONE for case in used)
    return Evidence(all_judged, tuple(used), finished, tuple(waiting), tuple(learned), outdated)


def judged(
    candidates: Sequence[LesionPoint], annotations: Sequence[LesionPoint], *, done: bool, tolerance_mm: float
) -> tuple[Array | None, int]:
    """Return the outcome of each candidate of one case, and how many lesions have no candidate, as far as known.

    Outcomes are (N,) float: 1 a lesion, 0 none, NaN unknown; None when the case has to wait (see the module).
    """
    outcome = np.array([np.nan if c.verdict.lesion is None else c.verdict.lesion for c in candidates], float)
    placed = {a.id for a in annotations}
    own = [set(stem_ids(c)) for c in candidates]
    confirmed = [i for i, value in enumerate(outcome) if value == 1.0]
    stems = set().union(*(own[i] for i in confirmed))
    rest = [a for a in annotations if a.id not in stems]
    joined = [i for i in confirmed if not own[i] & placed]
    pairs = _pairs([candidates[i] for i in joined], rest, tolerance_mm)  # a point was there already
    outcome[np.delete(np.array(joined, dtype=np.intp), pairs[:, 0])] = 0.0  # or another candidate is that lesion
    rest = [a for k, a in enumerate(rest) if k not in pairs[:, 1]]
    asked = np.flatnonzero([c.verdict is Verdict.NONE for c in candidates])
    pairs = _pairs([candidates[int(i)] for i in asked], rest, tolerance_mm if done else SAME_LESION_MM)
    if done:
        outcome[asked] = 0.0
    elif any(rest[int(k)].origin is not Origin.MODEL for k in pairs[:, 1]):
        return None, 0
    outcome[asked[pairs[:, 0]]] = 1.0
    return outcome, len(rest) - len(pairs) if done else 0


def unscaled(candidates: Sequence[LesionPoint]) -> Array:
    """Return existence before any recalibration, (N,): the clipped mass, or for components, which have none, as is."""
    mass = np.array([c.mass for c in candidates], dtype=float)
    existence = np.array([c.existence for c in candidates], dtype=float)
    return np.where(np.isnan(mass), existence, np.clip(mass, 0.0, 1.0))


def _pairs(candidates: Sequence[LesionPoint], annotations: Sequence[LesionPoint], within_mm: float) -> NDArray[np.intp]:
    """(P, 2) indices of candidates and annotations that are matched."""
    return match_points([c.world for c in candidates], [a.world for a in annotations], within_mm).pairs
