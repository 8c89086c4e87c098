"""Existence of stored candidates on another scale, after a recalibration.

Mass is what was fitted and never changes; existence and its entropy are worked out from it, so nothing is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sql

from napari_lesion_points.core.metrics import binary_entropy
from napari_lesion_points.store.schema import CANDIDATES, RUNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def rescale_candidates(connection: sql.Connection, model: str, existence_of: Callable[[Array], Array]) -> int:
    """Give all candidates of a model that have a mass the existence of their mass; return how many there were.

    Parameters
    ----------
    connection
        Of a write transaction.
    model : str
        As its runs name it.
    existence_of : callable
        Existence probabilities, (N,) in [0, 1], of masses (N,).
    """
    runs = sql.select(RUNS.c.run).where(RUNS.c.model == model)
    query = sql.select(CANDIDATES.c.number, CANDIDATES.c.mass).where(
        CANDIDATES.c.run.in_(runs), CANDIDATES.c.mass.is_not(None)
    )
    rows = connection.execute(query).all()
    if not rows:
        return 0
    existence = existence_of(np.array([row.mass for row in rows], dtype=float))
    values = [
        {"row": row.number, "p": float(p), "h": float(h)}
        for row, p, h in zip(rows, existence, binary_entropy(existence), strict=True)
    ]
    this = CANDIDATES.c.number == sql.bindparam("row")
    connection.execute(
        CANDIDATES.update().where(this).values(existence=sql.bindparam("p"), entropy=sql.bindparam("h")), values
    )
    return len(rows)
