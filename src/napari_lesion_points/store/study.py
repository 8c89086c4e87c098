"""A study: its cases, and what readers and models said of them.

What a user can rely on:

* an edit is one transaction, on disk when `Study.apply` returns; killing the process loses nothing before it;
* annotations (a reader's) and candidates (a model's) are different tables: a prediction overwrites no annotation;
* nothing is ever deleted: a removed annotation keeps its row, older runs of a model stay, and every edit is appended to
  a history with what was before and after, who made it, and when;
* an edit that starts from something else than what is stored (somebody was faster) is refused as a whole.

A study may be used from several threads and processes at once.
"""

from __future__ import annotations

import getpass
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql
from sqlalchemy.dialects.sqlite import insert

from napari_lesion_points import __version__
from napari_lesion_points.core.records import CaseState, Change, LesionPoint, Verdict, utc_now
from napari_lesion_points.errors import OutputError, StudyError
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.store.cases import find_cases
from napari_lesion_points.store.database import ANNOTATIONS, CANDIDATES, CASES, EDITS, RUNS, Database
from napari_lesion_points.store.point_row import point_of, row_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from napari_lesion_points.store.cases import CaseFiles


@dataclass(frozen=True)
class CaseSummary:
    """One line of the case list; `candidates` and `reviewed` count the newest run."""

    case: str
    state: CaseState
    annotations: int
    candidates: int
    reviewed: int


@dataclass(frozen=True)
class Edit:
    """One entry of a case's history: a change, by whom, and when (ISO 8601, UTC)."""

    change: Change
    reader: str
    utc: str


class Study:
    """A study folder and its database; open one with `Study.open`.

    Wherever a case is named, "07" stands for "sub-07", and a case that the study does not have is a StudyError. Every
    method that touches the database raises StudyError when SQLite fails (see `Database.transaction`).

    Attributes
    ----------
    root, store : Path
        The study folder (or its one image file), and the folder of everything that we write.
    reader : str
        Who makes the edits.
    files : tuple of CaseFiles
        The cases, sorted by name.
    images : tuple of Path
        The images that it was restricted to, or none.
    """

    def __init__(self, root: Path, store: Path, reader: str, files: Sequence[CaseFiles]) -> None:
        self.root = root
        self.store = store
        self.reader = reader
        self.files = tuple(files)
        self.images: tuple[Path, ...] = ()
        self._by_name = {f.case: f for f in self.files}
        self._database = Database(store / "study.sqlite")
        self._add_cases()

    @classmethod
    def open(cls, root: Path, store: Path | None = None, reader: str = "", images: Sequence[Path] = ()) -> Self:
        """Open a study folder, making its database on the first time.

        Parameters
        ----------
        root : Path
            A BIDS dataset, a folder with a sub-folder per case, a folder of images, or one image (see `find_cases`).
        store : Path, optional
            Where to write; by default `derivatives/lesion-points` in the study folder.
        reader : str
            Who makes the edits; by default the name of the user's account.
        images : sequence of Path
            Only these images of the folder `root`, as one case (see `find_cases`).

        Raises
        ------
        StudyError
            If no case is found, the store cannot be written, or its database cannot be used.
        """
        root = root.expanduser().resolve()
        dataset = root.parent if root.is_file() else root
        files = find_cases(root, images)
        store = store.expanduser().resolve() if store else dataset / "derivatives" / "lesion-points"
        try:
            store.mkdir(parents=True, exist_ok=True)
            if store.is_relative_to(dataset):
                _describe(store / "dataset_description.json")
        except (OSError, OutputError) as error:
            raise StudyError(
                f"{store}: cannot be written ({error}). Name a folder that you may write to with --store."
            ) from error
        study = cls(root, store, reader or _account(), files)
        study.images = tuple(images)
        return study

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def __enter__(self) -> Self:
        """Return the study itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @property
    def case_names(self) -> tuple[str, ...]:
        """Names of all cases, sorted."""
        return tuple(self._by_name)

    @property
    def models_dir(self) -> Path:
        """Folder of the models trained on this study."""
        return self.store / "models"

    def heatmap_path(self, case: str) -> Path:
        """Where the newest predicted heatmap of a case is kept."""
        return self.store / "heatmaps" / f"{self.files_of(case).case}_heatmap.nii.gz"

    def segmentation_path(self, case: str) -> Path:
        """Where the lesions that a segmentation found last in a case are kept: label k is the k-th largest."""
        return self.heatmap_path(case).with_name(f"{self.files_of(case).case}_dseg.nii.gz")

    def mask_path(self, case: str) -> Path:
        """Where the mask that a reader paints in a case is kept."""
        return self.store / "masks" / f"{self.files_of(case).case}_mask.nii.gz"

    def painted_masks(self) -> dict[str, Path]:
        """Return the painted masks that there are, by case."""
        paths = {case: self.mask_path(case) for case in self.case_names}
        return {case: path for case, path in paths.items() if path.is_file()}

    def files_of(self, case: str) -> CaseFiles:
        """Return the files of a case; StudyError, naming the cases there are, if it is unknown."""
        found = self._by_name.get(case) or self._by_name.get(f"sub-{case}")
        if not found:
            known = ", ".join(self.case_names[:10]) + (", ..." if len(self.files) > 10 else "")
            raise StudyError(f"case {case!r} is not in {self.root}. It has {known}.")
        return found

    def state(self, case: str) -> CaseState:
        """Return how far the reading of a case is."""
        with self._database.transaction() as connection:
            return _state(connection, self.files_of(case).case)

    def summary(self) -> tuple[CaseSummary, ...]:
        """Return state and counts of every case, in the order of `files`."""
        reviewed = sql.func.count().filter(CANDIDATES.c.verdict != str(Verdict.NONE))
        with self._database.transaction() as connection:
            states = {case: state for case, state in connection.execute(sql.select(CASES.c.case, CASES.c.state))}
            annotated = {case: count for case, count in connection.execute(_count(ANNOTATIONS).where(_LIVE))}
            proposed = {row[0]: row[1:] for row in connection.execute(_count(CANDIDATES, reviewed).where(_NEWEST))}
        return tuple(
            CaseSummary(case, CaseState(states[case]), annotated.get(case, 0), *proposed.get(case, (0, 0)))
            for case in self.case_names
        )

    def annotations(self, case: str | None = None) -> tuple[LesionPoint, ...]:
        """Return the annotations of one case or of all, in the order in which they were first placed."""
        return self._points(ANNOTATIONS, _LIVE, case)

    def candidates(self, case: str | None = None) -> tuple[LesionPoint, ...]:
        """Return the candidates of the newest run of one case or of each, in order of detection."""
        return self._points(CANDIDATES, _NEWEST, case)

    def training_cases(self) -> tuple[str, ...]:
        """Return the cases that a model can learn from: with annotations, or done without any ("no lesions")."""
        return tuple(s.case for s in self.summary() if s.annotations or s.state is CaseState.DONE)

    def history(self, case: str) -> tuple[Edit, ...]:
        """Return all edits of a case, oldest first."""
        query = sql.select(EDITS).where(EDITS.c.case == self.files_of(case).case).order_by(EDITS.c.number)
        with self._database.transaction() as connection:
            rows = connection.execute(query).mappings().all()
        return tuple(Edit(_change_of(row), row["reader"], row["utc"]) for row in rows)

    def apply(self, *changes: Change) -> None:
        """Carry out an edit, or several as one: all of it is on disk on return, or none.

        The first edit of a new case also sets it in progress, unless the change itself says what becomes of the state.
        `study.apply(change.inverse())` undoes an edit.

        Raises
        ------
        StudyError
            If the case is unknown, a point belongs to another case, a candidate would change in more than verdict and
            reader, or something stored is not what the change says it was before.
        """
        for change in changes:
            if change.case not in self._by_name:
                raise StudyError(f"case {change.case!r} is not in {self.root}; points belong to one of its cases.")
            for point_id, pair in (change.annotations | change.candidates).items():
                if any((point.case, point.id) != (change.case, point_id) for point in pair if point):
                    raise StudyError(
                        f"point {point_id!r} of this edit has another id or case than {change.case!r}. "
                        "Edit case by case."
                    )
        with self._database.transaction(write=True) as connection:
            for change in changes:
                self._apply(connection, change)

    def _apply(self, connection: sql.Connection, change: Change) -> None:
        case = change.case
        current = _state(connection, case)
        started = CaseState.IN_PROGRESS if current is CaseState.NEW else current
        before, after = change.state or (current, started)
        _require(current is before, f"{case}: is {current}, not {before} as when this edit began")
        connection.execute(CASES.update().where(CASES.c.case == case).values(state=str(after)))
        for point_id, annotation in change.annotations.items():
            _apply_annotation(connection, point_id, *annotation)
        for candidate in change.candidates.values():
            _apply_verdict(connection, *candidate)
        effective = replace(change, state=None if before is after else (before, after))
        connection.execute(
            EDITS.insert().values(
                case=case, label=change.label, change=_json_of(effective), reader=self.reader, utc=utc_now()
            )
        )

    def set_state(self, case: str, state: CaseState) -> Change:
        """Set the state of a case, and return the change that was applied."""
        case = self.files_of(case).case
        change = Change(case, f"mark as {state}", {}, {}, (self.state(case), state))
        self.apply(change)
        return change

    def add_candidates(self, case: str, candidates: Sequence[LesionPoint], model: str, sigma_mm: float) -> None:
        """Store a prediction of a case as its newest run; older runs and their verdicts are kept.

        Parameters
        ----------
        case : str
            The case; also that of every candidate.
        candidates : sequence of LesionPoint
            In order of detection; none means that the model found nothing.
        model : str
            What made them: the model's folder or name.
        sigma_mm : float
            The standard deviation that was fitted, mm.
        """
        case = self.files_of(case).case
        if strangers := {c.case for c in candidates} - {case}:
            raise StudyError(
                f"candidates of {case} name the case {', '.join(sorted(strangers))}. Add them case by case."
            )
        if len({c.id for c in candidates}) < len(candidates):
            raise StudyError(f"candidates of {case} share an id. Give each its own.")
        with self._database.transaction(write=True) as connection:
            values = {"case": case, "model": model, "sigma_mm": sigma_mm, "reader": self.reader, "utc": utc_now()}
            run = connection.execute(RUNS.insert().values(values).returning(RUNS.c.run)).scalar_one()
            if candidates:
                connection.execute(CANDIDATES.insert(), [{"run": run, **row_of(c)} for c in candidates])

    def _add_cases(self) -> None:
        """Give every case of the folder its row; those that are already there keep their state."""
        with self._database.transaction() as connection:
            known = set(connection.execute(sql.select(CASES.c.case)).scalars())
        rows = [{"case": case, "state": str(CaseState.NEW)} for case in self._by_name if case not in known]
        if not rows:
            return
        with self._database.transaction(write=True) as connection:
            connection.execute(insert(CASES).on_conflict_do_nothing(), rows)

    def _points(self, table: sql.Table, which: sql.ColumnElement[bool], case: str | None) -> tuple[LesionPoint, ...]:
        query = sql.select(table).where(which).order_by(table.c.number)
        names = self.case_names if case is None else (self.files_of(case).case,)
        query = query.where(table.c.case.in_(names))
        with self._database.transaction() as connection:
            return tuple(point_of(row._asdict()) for row in connection.execute(query))


_LIVE = ~ANNOTATIONS.c.removed
_NEWEST = CANDIDATES.c.run.in_(sql.select(sql.func.max(RUNS.c.run)).group_by(RUNS.c.case))


def _count(table: sql.Table, *more: sql.ColumnElement[Any]) -> sql.Select[Any]:
    """Case and number of rows, by case."""
    return sql.select(table.c.case, sql.func.count(), *more).group_by(table.c.case)


def _state(connection: sql.Connection, case: str) -> CaseState:
    return CaseState(connection.execute(sql.select(CASES.c.state).where(CASES.c.case == case)).scalar_one())


def _apply_annotation(
    connection: sql.Connection, point_id: str, before: LesionPoint | None, after: LesionPoint | None
) -> None:
    """Bring one annotation from before to after; None is absent."""
    query = sql.select(ANNOTATIONS).where(ANNOTATIONS.c.id == point_id, _LIVE)
    _require_stored(connection, query, point_id, before)
    if after:
        row = {**row_of(after), "removed": False}
        connection.execute(insert(ANNOTATIONS).values(row).on_conflict_do_update(index_elements=["id"], set_=row))
    else:
        connection.execute(ANNOTATIONS.update().where(ANNOTATIONS.c.id == point_id).values(removed=True))


def _apply_verdict(connection: sql.Connection, before: LesionPoint, after: LesionPoint) -> None:
    """Change verdict and reader of one candidate, and nothing else of it; of the newest run that has it."""
    if row_of(after) != row_of(replace(before, verdict=after.verdict, reader=after.reader)):
        raise StudyError(f"candidate {before.id!r}: a reader changes its verdict only. Place an annotation instead.")
    this = (CANDIDATES.c.id == before.id) & (CANDIDATES.c.case == before.case)
    this &= CANDIDATES.c.run == sql.select(sql.func.max(CANDIDATES.c.run)).where(this).scalar_subquery()
    _require_stored(connection, sql.select(CANDIDATES).where(this), before.id, before)
    connection.execute(CANDIDATES.update().where(this).values(verdict=str(after.verdict), reader=after.reader))


def _require_stored(
    connection: sql.Connection, query: sql.Select[Any], point_id: str, before: LesionPoint | None
) -> None:
    """Refuse an edit of a point that is not stored as it was before (compared as rows, where NaN equals NaN)."""
    found = connection.execute(query).one_or_none()
    stored = row_of(point_of(found._asdict())) if found else None
    _require(stored == (before and row_of(before)), f"point {point_id!r} is not stored as it was when this edit began")


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise StudyError(f"{otherwise}. Somebody else changed it: nothing was stored; open the case again.")


def _json_of(change: Change) -> str:
    """Everything of a change but case and label, which are columns of their own."""

    def rows(pairs: dict[str, Any]) -> dict[str, Any]:
        return {point_id: [point and row_of(point) for point in pair] for point_id, pair in pairs.items()}

    content = {"annotations": rows(change.annotations), "candidates": rows(change.candidates), "state": change.state}
    return json.dumps(content, allow_nan=False)


def _change_of(edit: sql.RowMapping) -> Change:
    """Return the change of a row of the history; inverse of `_json_of`."""
    content = json.loads(edit["change"])
    return Change(
        edit["case"],
        edit["label"],
        {i: (old and point_of(old), new and point_of(new)) for i, (old, new) in content["annotations"].items()},
        {i: (point_of(old), point_of(new)) for i, (old, new) in content["candidates"].items()},
        content["state"] and (CaseState(content["state"][0]), CaseState(content["state"][1])),
    )


def _describe(path: Path) -> None:
    """Write the description that BIDS asks of a folder of derivatives, unless there is one."""
    content = {
        "Name": "Lesion points",
        "BIDSVersion": "1.9.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "napari-lesion-points", "Version": __version__}],
    }
    if not path.exists():
        atomic_write(path, json.dumps(content, indent=2) + "\n")


def _account() -> str:
    """Name of the user's account."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:
        raise StudyError("the account running this has no name. Say who reads with --reader.") from error
