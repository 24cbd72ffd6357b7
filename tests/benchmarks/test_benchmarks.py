"""The benchmark runs: every task on the engines that need no other packages, small; and the tables made of it."""

from pathlib import Path
from typing import Any

import pytest
from attrs import asdict

import guards
from fsm.core.conclude import decide
from tests.benchmarks import budget
from tests.benchmarks.compare import ENGINES, OURS, PEERS, Scale, compare
from tests.benchmarks.guard_costs import BARE, cases
from tests.benchmarks.loop import Figure
from tests.benchmarks.report import markdown
from tests.guards.test_readme_table import is_of_one_run

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
    assert "3 runs at once, 4 hops each" in text and "a guard" not in text


def test_each_guard_that_was_measured_has_a_row(found: dict[str, Any]) -> None:
    scale = {"many": 3, "hops": 4, "one": 4, "sizes": [4], "live": [2, 3]}
    measured = [asdict(Figure("bare", 20.4, "us")), asdict(Figure("LoopCap", 3.1, "us more", "+15%"))]
    text = markdown({"machine": MACHINE, "scale": scale, "engines": found, "figures": {"guards": measured}})
    assert "| a guard, on one transition | µs more than the 20 without |" in text and "| LoopCap | 3 (+15%) |" in text


def test_many_runs_at_once_spend_no_more_than_their_budget_and_that_has_its_rows(found: dict[str, Any]) -> None:
    measured = budget.measure(Path("no-python-here"))
    assert [(figure.what, figure.value) for figure in measured] == [
        ("Turnstile: all at once", 1_950),
        ("Turnstile: one after another", 1_950),
    ]
    scale = {"many": 3, "hops": 4, "one": 4, "sizes": [4], "live": [2, 3]}
    figures = {"budget": [asdict(figure) for figure in measured]}
    text = markdown({"machine": MACHINE, "scale": scale, "engines": found, "figures": figures})
    assert "| Turnstile: all at once | 1,950 | 13 of 50 asked the model, 37 were refused before |" in text


def test_every_guard_of_one_run_is_measured_and_makes_the_move_it_is_measured_on() -> None:
    measured = cases()
    of_one_run = [name for name in guards.__all__ if is_of_one_run(getattr(guards, name))]
    assert {name.partition(",")[0] for name in measured} == {*of_one_run, BARE, "a retry instead"}
    for name, case in measured.items():
        record = decide(case.engine, case.snapshot, case.event).record
        assert record is not None and len(record.rulings) == (name != BARE), name
        assert case.hop().seq == record.seq
