"""A study: its cases, and what readers and models said of them.

What a user can rely on:

* an edit is one transaction, on disk when `Study.apply` returns; killing the process loses nothing before it;
* annotations (a reader's) and candidates (a model's) are different tables: a prediction overwrites no annotation;
* nothing is ever deleted: a removed annotation keeps its row, older runs of a model stay, and every edit is appended to
  a history with what was before and after, who made it, and when;
* an edit that starts from something else than what is stored (somebody was faster) is refused as a whole;
* a study is open in one reading (see `core.records`) and sees the annotations, verdicts, states and notes of no other.

A study may be used from several threads and processes at once.
"""

from __future__ import annotations

import getpass
import json
import os
from copy import copy
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from napari_lesion_points import __version__
from napari_lesion_points.core.records import CONSENSUS, SHARED, CaseState, Change, LesionPoint, Place, Verdict
from napari_lesion_points.errors import OutputError, StudyError
from napari_lesion_points.store.atomic import atomic_write
from napari_lesion_points.store.cases import find_cases
from napari_lesion_points.store.database import Database, database_url
from napari_lesion_points.store.enrolment import enrol_cases
from napari_lesion_points.store.painted_mask import EARLIER
from napari_lesion_points.store.point_row import point_of
from napari_lesion_points.store.readings import (
    Edit,
    annotations_of,
    apply_change,
    candidates_of,
    edit_of,
    history_of,
    insert_run,
    progress,
    put,
)
from napari_lesion_points.store.rescaling import rescale_candidates
from napari_lesion_points.store.schema import BOOKMARKS, EDITS, PROGRESS, RUNS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from napari_lesion_points.store.cases import CaseFiles


@dataclass(frozen=True)
class CaseSummary:
    """One line of the case list; `candidates` and `reviewed` (those decided) count the newest run.

    `benefit` is by how many lesions the review of its other candidates changes the case's expected count, one change
    after the other, on average: the sum of 2 p (1 - p) over their existence p (see `core.records.Order`).
    """

    case: str
    state: CaseState
    annotations: int
    candidates: int
    reviewed: int
    note: str = ""
    benefit: float = 0.0


class Study:
    """A study folder and its database; open one with `Study.open`.

    Wherever a case is named, "07" stands for "sub-07", and a case that the study does not have is a StudyError. Every
    method that touches the database raises StudyError when that fails (see `Database.transaction`).

    Attributes
    ----------
    root, store : Path
        The study folder (or its one image file), and the folder of the files that we write.
    database : str
        SQLite's file, or the URL of a PostgreSQL database without its password.
    reader : str
        Who makes the edits.
    reading : str
        Whose annotations, verdicts, states and notes these are: "shared", a blind reader's name, or "consensus".
    files : tuple of CaseFiles
        The cases, sorted by name.
    images : tuple of Path
        The images that it was restricted to, or none.
    """

    def __init__(
        self, root: Path, store: Path, database: Database, reader: str, files: Sequence[CaseFiles], name: str = ""
    ) -> None:
        self.root = root
        self.store = store
        self.reader = reader
        self.reading = SHARED
        self.files = tuple(files)
        self.images: tuple[Path, ...] = ()
        self._by_name = {f.case: f for f in self.files}
        self._database = database
        enrol_cases(database, self._by_name.keys(), name)

    @classmethod
    def open(
        cls,
        root: Path,
        store: Path | str | None = None,
        reader: str = "",
        images: Sequence[Path] = (),
        *,
        files: Path | None = None,
        blind: bool = False,
    ) -> Self:
        """Open a study folder, making its database on the first time.

        Parameters
        ----------
        root : Path
            A BIDS dataset, a folder with a sub-folder per case, a folder of images, or one image (see `find_cases`).
        store : Path or str, optional
            Folder to write to; by default `derivatives/lesion-points` in the study folder. Or the URL of a PostgreSQL
            database, `postgresql://USER@HOST/DATABASE`, for what is no file.
        reader : str
            Who makes the edits; by default the name of the user's account.
        images : sequence of Path
            Only these images of the folder `root`, as one case (see `find_cases`).
        files : Path, optional
            Folder for heatmaps and models, when the store is a URL; by default that in the study folder.
        blind : bool
            Open the reader's own reading instead of the shared one: nobody else's annotations and verdicts are seen,
            and nobody who reads sees these.

        Raises
        ------
        StudyError
            If no case is found, the store cannot be written, its database cannot be used, or it holds a case of that
            name of another study, as far as the names of their folders tell.
        """
        named = Path(os.path.normpath(root.expanduser().absolute()))  # a link keeps its own name
        root = root.expanduser().resolve()
        dataset = root.parent if root.is_file() else root
        found = find_cases(root, images)
        reader = reader.strip() or _account()
        if blind:
            _require_own(reader)
        url = database_url(str(store)) if isinstance(store, str) else None
        chosen, option = (files, "--files") if url else (store and Path(store), "--store")
        folder = chosen.expanduser().resolve() if chosen else dataset / "derivatives" / "lesion-points"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if folder.is_relative_to(dataset):
                _describe(folder / "dataset_description.json")
        except (OSError, OutputError) as error:
            raise StudyError(
                f"{folder}: cannot be written ({error}). Name a folder that you may write to with {option}."
            ) from error
        name = "" if folder.is_relative_to(dataset) and not url else (named.parent if root.is_file() else named).name
        database = Database(url or folder / "study.sqlite")
        try:
            study = cls(root, folder, database, reader, found, name)
        except StudyError:
            database.close()
            raise
        study.images = tuple(images)
        return study.read_blind(reader) if blind else study

    def of(self, reading: str, reader: str = "") -> Self:
        """Return the same study open in another reading, and, if named, under another reader's name.

        Only a reader's own reading is written to, beside the shared one and the consensus.
        """
        other = copy(self)
        other.reading = reading
        other.reader = reader or self.reader
        return other

    def read_blind(self, reader: str) -> Self:
        """Return the same study open in a reader's own reading; StudyError if the name is that of a common one."""
        _require_own(reader)
        return self.of(reader, reader)

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

    @property
    def heatmaps_dir(self) -> Path:
        """Folder of what models predicted in each case."""
        return self.store / "heatmaps"

    def heatmap_path(self, case: str) -> Path:
        """Where the newest predicted heatmap of a case is kept."""
        return self.heatmaps_dir / f"{self.files_of(case).case}_heatmap.nii.gz"

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

    def predicted_or_kept(self, path: Path) -> bool:
        """Whether a file below the study is what a model predicted or an earlier state of a mask: no reader's word."""
        folders = (self.heatmaps_dir, self.models_dir, self.store / "masks" / EARLIER)
        return any(path.is_relative_to(folder) for folder in folders)

    def files_of(self, case: str) -> CaseFiles:
        """Return the files of a case; StudyError, naming the cases there are, if it is unknown."""
        found = self._by_name.get(case) or self._by_name.get(f"sub-{case}")
        if not found:
            known = ", ".join(self.case_names[:10]) + (", ..." if len(self.files) > 10 else "")
            raise StudyError(f"case {case!r} is not in {self.root}. It has {known}.")
        return found

    @property
    def database(self) -> str:
        """Where the database is; a password is left out."""
        return self._database.name

    def readings(self) -> tuple[str, ...]:
        """Names of all readings in which something was edited, sorted."""
        with self._database.transaction() as connection:
            return tuple(sorted(connection.execute(sql.select(EDITS.c.reading).distinct()).scalars()))

    def state(self, case: str) -> CaseState:
        """Return how far the reading of a case is."""
        with self._database.transaction() as connection:
            return progress(connection, self.reading, self.files_of(case).case)[0]

    def note(self, case: str) -> str:
        """Return the note that is kept with a case, or ""."""
        with self._database.transaction() as connection:
            return progress(connection, self.reading, self.files_of(case).case)[1]

    def summary(self, case: str | None = None) -> tuple[CaseSummary, ...]:
        """Return state and counts of one case, or of each in the order of `files`: three queries for any number."""
        only = self._name(case)
        cases = self.case_names if only is None else (only,)
        annotations = annotations_of(self.reading, only).order_by(None).subquery()
        candidates = candidates_of(self.reading, only).order_by(None).subquery()
        decided = candidates.c.verdict.in_([str(verdict) for verdict in Verdict if verdict.decided])
        existence = sql.func.coalesce(candidates.c.existence, 0.0)
        reviewed = sql.func.sum(sql.case((decided, 1), else_=0))
        benefit = sql.func.sum(sql.case((decided, 0.0), else_=2 * existence * (1 - existence)))
        mine = sql.select(PROGRESS).where(PROGRESS.c.reading == self.reading)
        if only is not None:
            mine = mine.where(PROGRESS.c.case == only)
        with self._database.transaction() as connection:
            known = {row.case: (CaseState(row.state), row.note) for row in connection.execute(mine)}
            annotated = {row[0]: row[1] for row in connection.execute(_count(annotations))}
            proposed = {row[0]: tuple(row[1:]) for row in connection.execute(_count(candidates, reviewed, benefit))}
        summaries = []
        for name in cases:
            state, note = known.get(name, (CaseState.NEW, ""))
            found, done, gain = proposed.get(name, (0, 0, 0.0))
            summaries.append(CaseSummary(name, state, annotated.get(name, 0), found, done, note, float(gain)))
        return tuple(summaries)

    def annotations(self, case: str | None = None) -> tuple[LesionPoint, ...]:
        """Return the annotations of one case or of all, in the order in which they were first placed."""
        return self._points(annotations_of(self.reading, self._name(case)))

    def candidates(self, case: str | None = None) -> tuple[LesionPoint, ...]:
        """Return the candidates of the newest run of one case or of each, in order of detection."""
        return self._points(candidates_of(self.reading, self._name(case)))

    def models(self) -> dict[str, str]:
        """Return what predicted each case last, its model's folder or name; cases without a prediction are absent."""
        return {case: model for case, (model, _) in self._newest_runs().items()}

    def predicted_before(self, model: str, utc: str) -> tuple[str, ...]:
        """Return the cases that a model predicted last, but before a time: when it was another network."""
        return tuple(case for case, (by, when) in self._newest_runs().items() if by == model and when < utc)

    def training_cases(self) -> tuple[str, ...]:
        """Return the cases that a model can learn from: with annotations, or done without any ("no lesions")."""
        return tuple(s.case for s in self.summary() if s.annotations or s.state is CaseState.DONE)

    def history(self, case: str | None = None, *, everyone: bool = False) -> tuple[Edit, ...]:
        """Return the edits of one case or of all, oldest first: of this reading, or of every one."""
        query = history_of(None if everyone else self.reading)
        if case is not None:
            query = query.where(EDITS.c.case == self.files_of(case).case)
        with self._database.transaction() as connection:  # short, as writers wait for it: edits are made outside
            rows = connection.execute(query).mappings().all()
        return tuple(map(edit_of, rows))

    def apply(self, *changes: Change) -> None:
        """Carry out an edit, or several as one: all of it is on disk on return, or none.

        The first edit of a new case also sets it in progress, unless the change itself says what becomes of the state.
        `study.apply(change.inverse())` undoes an edit.

        Raises
        ------
        ConflictError
            If something stored is not what the change says it was before.
        StudyError
            If the case is unknown, a point belongs to another case, a candidate would change in more than verdict and
            reader, or the reading is another reader's.
        """
        if self.reading not in (SHARED, CONSENSUS, self.reader):
            raise StudyError(
                f"this is what {self.reading} reads blind, and {self.reader} may not change it. Nothing was stored; "
                f"open the study with --reader {self.reading!r} --blind."
            )
        for change in changes:
            if change.case not in self._by_name:
                raise StudyError(f"case {change.case!r} is not in {self.root}; points belong to one of its cases.")
            for point_id, pair in (*change.annotations.items(), *change.candidates.items()):
                if any((point.case, point.id) != (change.case, point_id) for point in pair if point):
                    raise StudyError(
                        f"point {point_id!r} of this edit has another id or case than {change.case!r}. "
                        "Edit case by case."
                    )
        with self._database.transaction(write=True) as connection:
            for change in changes:
                apply_change(connection, self.reading, self.reader, change)

    def set_state(self, case: str, state: CaseState) -> Change:
        """Set the state of a case, and return the change that was applied."""
        case = self.files_of(case).case
        change = Change(case, f"mark as {state}", {}, {}, (self.state(case), state))
        self.apply(change)
        return change

    def set_note(self, case: str, text: str) -> Change:
        """Keep a note with a case instead of the one there is, and return the change that was applied."""
        case = self.files_of(case).case
        change = Change(case, "note", {}, {}, note=(self.note(case), text))
        self.apply(change)
        return change

    def remember(self, place: Place) -> None:
        """Remember where the reader stopped in this reading, instead of any earlier place."""
        key = {"reader": self.reader, "reading": self.reading}
        with self._database.transaction(write=True) as connection:
            put(connection, BOOKMARKS, key, {"place": json.dumps(asdict(place), allow_nan=False)})

    def last_place(self) -> Place | None:
        """Return where the reader stopped; None for one who begins, or when that case has gone."""
        this = (BOOKMARKS.c.reader == self.reader) & (BOOKMARKS.c.reading == self.reading)
        with self._database.transaction() as connection:
            text = connection.execute(sql.select(BOOKMARKS.c.place).where(this)).scalar_one_or_none()
        if text is None or (stored := json.loads(text))["case"] not in self._by_name:
            return None
        known = {field.name for field in fields(Place)}  # another version may have written more of them, or fewer
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items() if k in known}
        return Place(**values)

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
        self._add_run(SHARED, case, candidates, model, sigma_mm)

    def add_differences(self, case: str, points: Sequence[LesionPoint], readers: str) -> None:
        """Store what readers differ in as the candidates that the consensus sees, with the verdicts they come with.

        Parameters
        ----------
        case : str
            The case; also that of every point.
        points : sequence of LesionPoint
            The readers' points; `reader` says whose reading each is of.
        readers : str
            Who was compared.
        """
        self._add_run(CONSENSUS, case, points, readers, 0.0)

    def rescale(self, model: str, existence_of: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> int:
        """Give a model's candidates the existence of their mass; verdicts stay (see `rescale_candidates`)."""
        with self._database.transaction(write=True) as connection:
            return rescale_candidates(connection, model, existence_of)

    def _add_run(self, reading: str, case: str, candidates: Sequence[LesionPoint], model: str, sigma_mm: float) -> None:
        case = self.files_of(case).case
        if strangers := {c.case for c in candidates} - {case}:
            raise StudyError(
                f"candidates of {case} name the case {', '.join(sorted(strangers))}. Add them case by case."
            )
        if len({c.id for c in candidates}) < len(candidates):
            raise StudyError(f"candidates of {case} share an id. Give each its own.")
        run: dict[str, str | float] = {"case": case, "model": model, "sigma_mm": sigma_mm, "reader": self.reader}
        with self._database.transaction(write=True) as connection:
            insert_run(connection, reading, run, candidates)

    def _newest_runs(self) -> dict[str, tuple[str, str]]:
        """Return model and time of the newest prediction of each case that has one."""
        newest = sql.select(RUNS.c.case, RUNS.c.model, RUNS.c.utc).where(
            RUNS.c.run.in_(sql.select(sql.func.max(RUNS.c.run)).where(RUNS.c.reading == SHARED).group_by(RUNS.c.case))
        )
        with self._database.transaction() as connection:
            found = {row.case: (row.model, row.utc) for row in connection.execute(newest)}
        return {case: found[case] for case in self.case_names if case in found}

    def _name(self, case: str | None) -> str | None:
        return None if case is None else self.files_of(case).case

    def _points(self, query: sql.Select[Any]) -> tuple[LesionPoint, ...]:
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return tuple(point_of(row._asdict()) for row in rows if row.case in self._by_name)


def _count(rows: sql.Subquery, *more: sql.ColumnElement[Any]) -> sql.Select[Any]:
    """Case and number of rows, by case."""
    return sql.select(rows.c.case, sql.func.count(), *more).group_by(rows.c.case)


def _require_own(reader: str) -> None:
    if reader in (SHARED, CONSENSUS):
        raise StudyError(f"nobody can read blind as {reader!r}: it names what several do. Choose another --reader.")


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
