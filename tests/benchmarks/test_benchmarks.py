"""The benchmark runs: every task on the engines that need no other packages, small; and the tables made of it."""

from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.compare import ENGINES, OURS, PEERS, Scale, compare
from tests.benchmarks.report import markdown

TINY = Scale(
    rounds=1, seconds_max=1, many=3, hops=4, one=4, sizes=(4,), long=(6,), restarts=1, live=(2, 3)
)  # fmt: skip
MACHINE = {"date": "today", "cpus": 2, "cpu": "a processor", "load": 0.1, "system": "any", "python": "3", "sqlite": "3"}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return compare(TINY, peers_python=Path("no-python-here"))


def test_without_the_others_turnstile_and_the_floor_are_measured(found: dict[str, Any]) -> None:
    assert list(found) == list(ENGINES)
    assert all(found[engine] == {"missing": True} for engine in PEERS)
    for engine in OURS:
        assert found[engine]["one"]["us"] > 0 and found[engine]["many"]["us"] > 0
        assert (found[engine]["one"]["journal_mode"], found[engine]["one"]["synchronous"]) == ("WAL", "FULL")
    ours = found["turnstile"]
    assert ours["restart_ms"]["from_start"] > ours["restart_ms"]["from_import"] > 0
    assert set(ours["live"]) == {"2", "3"}
    assert ours["sizes"]["delta"]["6"]["bytes"] > 1_000


def test_the_tables_have_a_row_for_each_engine_that_is_there(found: dict[str, Any]) -> None:
    scale = {"many": 3, "hops": 4, "one": 4, "sizes": [4], "live": [2, 3]}
    text = markdown({"machine": MACHINE, "scale": scale, "engines": found})
    assert "| Turnstile" in text and "SQLite alone" in text and "DBOS" not in text
    assert "3 runs at once, 4 hops each" in text
