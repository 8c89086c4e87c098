"""Which cases of a study a model has seen: itself, or a model that it started from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari_lesion_points.core.records import patient_of
from napari_lesion_points.errors import CheckpointError
from napari_lesion_points.workflow.models import JOB, describe_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_lesion_points.store.study import Study
    from napari_lesion_points.workflow.models import ModelCard


def own_cases(study: Study, card: ModelCard) -> tuple[list[str], list[str]]:
    """Return the cases of a study that a model was trained on, and those that it was validated on.

    Two studies may use the same names, so the files decide, as far as the model's job tells which they were. Where they
    are gone, the study was moved, and the names decide.
    """
    files = _files(card)

    def same(case: str) -> bool:
        if case not in study.case_names:
            return False
        known = files.get(case, set())
        own = {str(path) for path in study.files_of(case).sequences.values()}
        return bool(known & own) or not any(Path(file).exists() for file in known)

    return [c for c in card.training_cases if same(c)], [c for c in card.validation_cases if same(c)]


def learned_cases(study: Study, card: ModelCard) -> set[str]:
    """Return the cases of patients that shaped a model, or one that it started from: trained or validated on."""
    return _all_sessions(study, {case for one in _line(card) for cases in own_cases(study, one) for case in cases})


def trained_cases(study: Study, card: ModelCard, label: str = "") -> set[str]:
    """Return the cases of patients that a model, or one that it started from, was trained on, not only validated.

    With a `label`, only what models of that label have learned from.
    """
    line = [one for one in _line(card) if label in ("", one.label)]
    return _all_sessions(study, {case for one in line for case in own_cases(study, one)[0]})


def _all_sessions(study: Study, cases: set[str]) -> set[str]:
    patients = {patient_of(case) for case in cases}
    return {case for case in study.case_names if patient_of(case) in patients}


def _line(card: ModelCard) -> Iterator[ModelCard]:
    """Yield a model, the one that it started from, and so on, as far as they are there."""
    seen: set[Path] = set()
    while card.path not in seen:
        seen.add(card.path)
        yield card
        if card.init:
            try:
                card = describe_model(Path(card.init))
            except CheckpointError:  # it is gone, and nobody can tell any more
                return


def _files(card: ModelCard) -> dict[str, set[str]]:
    """Return the files of each case of a model's job, as far as that can be read."""
    try:
        job = json.loads((card.path / JOB).read_text(encoding="utf-8"))
        return {case["case"]: set(case["sequences"].values()) for case in job["cases"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
