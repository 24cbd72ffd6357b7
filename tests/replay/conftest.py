from pathlib import Path

import pytest

from tests.replay.workshop import record_all


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of many runs; to be read only, copy it to change it."""
    db = tmp_path_factory.mktemp("recorded") / "runs.db"
    record_all(db)
    return db
