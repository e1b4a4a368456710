"""What every test shares: the data folder, and random numbers that repeat."""

import os
import random
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real photos and networks: `LRPKERAS_DATA`, or beside the repository."""
    folder = REPOSITORY / os.environ.get("LRPKERAS_DATA", "../shared/data")
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder.resolve()}; set LRPKERAS_DATA to one")
    return folder.resolve()


@pytest.fixture(autouse=True)
def seed() -> None:
    """Start every test from the same random state, alone or in any order.

    Tests that never import Keras are spared the seconds that its import takes.
    """
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)
    else:
        random.seed(0)
        np.random.seed(0)
