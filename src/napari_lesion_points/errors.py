"""The errors that a user can cause or must act on.

Each message names the thing (file, argument), its value, and the remedy. Ordinary outcomes, such as an empty heatmap
or a fit that does not converge, are not errors: they are empty arrays and flags.
"""

from __future__ import annotations


class LesionPointsError(Exception):
    """Base of every error that this package raises on purpose."""


class VolumeError(LesionPointsError):
    """An image file cannot be used: unreadable, truncated, not 3D, singular affine, nothing finite in it."""


class GridError(LesionPointsError):
    """An affine or shape that no grid can have, or two grids that should agree and do not."""


class PointsFileError(LesionPointsError):
    """A table or markups file of points cannot be read as such."""


class StudyError(LesionPointsError):
    """A study folder or its database cannot be opened, written or understood."""


class BusyError(StudyError):
    """The study's database cannot be used just now, since another program writes or the server is away: try again."""


class ConflictError(StudyError):
    """An edit starts from something else than what is stored: somebody else was faster. Nothing of it is stored."""


class CheckpointError(LesionPointsError):
    """A model file is missing, damaged, or does not fit the cases it is asked to predict."""


class TrainingError(LesionPointsError):
    """A training job cannot start, or ended without a usable model."""


class PredictionError(LesionPointsError):
    """Some cases could not be predicted; the others are."""


class DeviceError(LesionPointsError):
    """The device asked for does not exist here, or torch cannot be loaded to use any."""


class OutputError(LesionPointsError):
    """A result cannot be written: read-only place, full disk, or a folder where a file should be."""
