"""What earlier releases recorded replays under today's code, with the machine's class and from the journal alone.

A failure here is no reason to record anew: journals of users, written by that release, would not replay either.
"""

from pathlib import Path

import pytest

from fsm import read_journal
from fsm.core.record import Record
from fsm.replay.against import Today
from fsm.testing import assert_replays
from tests.kept.shop import Shop

HERE = Path(__file__).parent
RELEASES = sorted(folder.name for folder in HERE.iterdir() if list(folder.glob("*.db")))


@pytest.fixture(params=RELEASES)
def kept(request: pytest.FixtureRequest) -> Path:
    return HERE / str(request.param)


def records(kept: Path) -> list[Record]:
    reader = read_journal(kept / "shop.db")
    try:
        return [record for run in reader.runs() for record in reader.records(run.key)]
    finally:
        reader.close()


def test_every_run_replays_with_code_and_without(kept: Path):
    assert assert_replays(kept) == assert_replays(kept, Shop) >= 40


def test_every_run_goes_as_it_went_but_those_that_began_under_another_definition(kept: Path):
    reader = read_journal(kept / "shop.db")
    try:
        today = Today(Shop.spec)
        diverging = [run.run_id for run in reader.runs() if not today.holds(reader, run).agreed]
        assert diverging == ["repinned"]
    finally:
        reader.close()


def test_all_kinds_of_records_and_all_guards_are_kept(kept: Path):
    found = records(kept)
    assert {record.kind for record in found} == {
        *("started", "forked", "taken", "refused", "unhandled", "deferred"),
        *("retried", "resumed", "repinned", "halted", "ended"),
    }
    assert {record.outcome for record in found} == {
        *("running", "waiting", "completed", "failed", "cancelled", "stopped", "stuck")
    }
    assert {record.note["why"] for record in found if record.kind == "resumed"} == {"asked", "released", "lost"}
    rulings = [ruling for record in found for ruling in record.rulings]
    assert {ruling.guard for ruling in rulings} >= {guard.name for guard in Shop.spec.guards}
    against = {(ruling.guard, ruling.verdict.code) for ruling in rulings if ruling.verdict.decision != "allow"}
    assert against >= {
        *(
            ("LoopCap", "loop_cap"),
            ("NoProgress", "no_progress"),
            ("Repeat", "repeat"),
            ("PayloadSize", "payload_size"),
        ),
        *(("Signed", "unsigned"), ("Signed", "guard_error"), ("is_good", "predicate_error")),
        *(("Breaker", "open"), ("RateLimit", "rate_limited"), ("Bulkhead", "full")),
        *(("TokenBudget", "budget_warned"), ("TokenBudget", "reserved"), ("CostBudget", "cost_budget")),
    }
    assert {ruling.verdict.code for ruling in rulings if ruling.guard == "Breaker"} >= {"", "open", "probe"}
    assert any(ruling.verdict.keep for ruling in rulings if ruling.guard == "Signed")


def test_what_is_kept_stays_small(kept: Path):
    assert sum(file.stat().st_size for file in kept.iterdir()) < 300_000
    assert [file.name for file in kept.iterdir()] == ["shop.db"], "reading leaves nothing behind"
