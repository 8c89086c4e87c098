"""Fixtures for all tests: real data beside the repository, and seeded randomness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


# The same examples in every run, and no verdict on the speed of a busy machine.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scans beside the repository. It may be read-only."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data not found at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def rng() -> np.random.Generator:
    """A random generator with the same numbers in every run."""
    return np.random.default_rng(20220918)
