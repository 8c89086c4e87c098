"""Ways to recalibrate existence, each judged on cases that it has not learned from.

Patients are dealt into folds; for the candidates of a fold, each map is learnt from the candidates of the others. So
the figures are those of new patients, and a patient's lesions never vouch for one another. Platt's and isotonic maps,
and the folds, are scikit-learn's (the extra `report`); without it, only what was given is judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logit

from napari_lesion_points.core.calibration import fit_recalibration
from napari_lesion_points.core.metrics import expected_calibration_error, pooled_outcomes
from napari_lesion_points.core.records import patient_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_lesion_points.core.metrics import CaseDetections

    Array = NDArray[np.float64]
    #: Existence and outcome to learn from, existence to map; all (N,).
    Learn = Callable[[Array, NDArray[np.bool_], Array], Array]

FOLDS = 10
_NEAREST = 0.001  # probabilities are kept so far from 0 and 1, whose log-odds are infinite


@dataclass(frozen=True)
class CalibrationFigures:
    """How far existence is from the share that is true, after one map.

    Parameters
    ----------
    method : str
        "as given", "Platt", "isotonic" or "beta".
    ece, mce : float
        Expected and maximum calibration error, 10 bins; NaN without candidates.
    brier : float
        Mean squared difference between existence and outcome (0 or 1).
    """

    method: str
    ece: float
    mce: float
    brier: float


def calibration_figures(method: str, existence: Array, is_true: NDArray[np.bool_]) -> CalibrationFigures:
    """Return the figures of candidates' existence, (N,) in [0, 1], and outcomes, (N,) bool."""
    ece, mce = expected_calibration_error(existence, is_true)
    brier = float(np.mean((existence - is_true) ** 2)) if existence.size else float("nan")
    return CalibrationFigures(method, ece, mce, brier)


def compare_recalibrations(
    cases: Sequence[CaseDetections], tolerance_mm: float, folds: int = FOLDS
) -> tuple[CalibrationFigures, ...]:
    """Compare existence as given with Platt's, isotonic and beta maps, cross-validated by patient.

    Parameters
    ----------
    cases : sequence of CaseDetections
        All candidates count, whatever their existence.
    tolerance_mm : float
        Greatest distance of a match.
    folds : int
        At most so many; with fewer patients, each is one.

    Returns
    -------
    tuple of CalibrationFigures
        "as given" first. It is alone where scikit-learn is not installed, or where the candidates of some fold's other
        cases are all true or all false, so that there is nothing to learn.
    """
    existence, is_true = pooled_outcomes(cases, tolerance_mm)
    given = calibration_figures("as given", existence, is_true)
    owner = np.repeat(patient_numbers(c.case for c in cases), [len(c.existence) for c in cases])
    parts = min(folds, len(np.unique(owner)))
    if parts < 2 or find_spec("sklearn") is None:
        return (given,)
    from sklearn.model_selection import GroupKFold

    splits = list(GroupKFold(parts).split(existence, groups=owner))
    if not all(0 < is_true[known].mean() < 1 for known, _ in splits):
        return (given,)
    found = [given]
    for method, learn in METHODS.items():
        mapped = np.empty_like(existence)
        for known, new in splits:
            mapped[new] = learn(existence[known], is_true[known], existence[new])
        found.append(calibration_figures(method, mapped, is_true))
    return tuple(found)


def _platt(existence: Array, is_true: NDArray[np.bool_], new: Array) -> Array:
    """Logistic regression on the log-odds (Platt 1999), so that the identity is one of its maps."""
    from sklearn.linear_model import LogisticRegression

    before, after = (logit(np.clip(p, _NEAREST, 1 - _NEAREST))[:, None] for p in (existence, new))
    return np.asarray(LogisticRegression().fit(before, is_true).predict_proba(after)[:, 1].clip(0, 1))


def _isotonic(existence: Array, is_true: NDArray[np.bool_], new: Array) -> Array:
    from sklearn.isotonic import IsotonicRegression

    return np.asarray(IsotonicRegression(out_of_bounds="clip").fit(existence, is_true).predict(new).clip(0, 1))


def _beta(existence: Array, is_true: NDArray[np.bool_], new: Array) -> Array:
    return fit_recalibration(existence, is_true)(new)


#: Ways to learn a map from candidates of known truth; Platt's and isotonic need scikit-learn.
METHODS: dict[str, Learn] = {"Platt": _platt, "isotonic": _isotonic, "beta": _beta}
