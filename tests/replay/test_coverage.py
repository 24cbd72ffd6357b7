"""What recorded runs ever came to, of all that their machine declares."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from fsm import Machine, Retry, State, everywhere, read_journal, unbound
from fsm.journal import tallies as counting
from fsm.journal.tallies import tallies
from fsm.replay.coverage import KINDS, Coverage, coverage
from fsm.testing import assert_covered, hang, scratch_journal
from guards import Bulkhead, LoopCap, RateLimit, TokenBudget
from tests.replay.twins import BAD, GOOD, Approval, Brief, Desk, Draft, Review, Twins, is_good
from tests.replay.workshop import Workshop


@pytest.fixture
def twins(tmp_path: Path) -> Twins:
    return Twins(tmp_path)


def covered(twins: Twins, machine: type[Machine] = Desk) -> Coverage:
    with twins.reading() as reader:
        under = counting.recorded(reader)[machine.spec.name][1]
        return coverage(machine.spec, [tallies(reader, machine.spec.name)], reader.spec(under))


def never(found: Coverage) -> set[str]:
    return {f"{item.kind} {item.name}" for item in found.never}


def test_everything_a_run_can_come_to_is_counted_once_a_time(twins: Twins):
    twins.record("straight")
    found = covered(twins)
    assert (found.runs, found.records) == (1, 3)
    assert {(item.kind, item.name, item.times) for item in found.items if item.times} == {
        ("state", "draft", 1),
        ("state", "review", 1),
        ("state", "done", 1),
        ("transition", "submit", 1),
        ("transition", "approve", 1),
    }
    assert (found.taken, len(found.items), found.percent) == (5, 18, 27)


def test_what_is_never_taken_shrinks_with_each_kind_of_run(twins: Twins):
    twins.record("rejected", reviews=[BAD], sends=[Approval()])
    assert never(covered(twins)) == {
        *("state dropped", "transition approve", "transition drop", "transition broken"),
        *("retry review.retry", "refusal Retry on review.retry: attempts_max"),
        *("timeout draft", "timeout review", "timeout person"),
    }
    twins.record("late", reviews=[TimeoutError("late"), TimeoutError("late")], wait_s=200_000)
    assert never(covered(twins)) == {"transition approve", "timeout draft", "timeout review"}
    twins.record("good")
    assert never(covered(twins)) == {"timeout draft", "timeout review"}


def test_an_attempt_that_took_too_long_counts_though_it_escalated(tmp_path: Path):
    class Slow(Machine):
        work = State(initial=Brief, agent=hang, timeout_s=0.01)
        done = State(final="completed")
        finish = work.to(done, on=Draft)

    async def main(journal: object) -> None:
        from fsm import Runner

        async with Runner(journal, poll_s=0.005, handle_signals=False) as runner:  # type: ignore[arg-type]
            await runner.start(Slow, Brief(), run_id="r")
            await runner.settled("r")

    with scratch_journal() as journal:
        asyncio.run(main(journal))
        reader = read_journal(journal.path)
        assert tallies(reader, "Slow").timed_out == {"work": 1}
        reader.close()


def test_against_another_definition_new_and_removed_are_told(twins: Twins):
    class Later(Machine, machine_name="Desk"):
        draft = State(initial=Brief, agent=hang, timeout_s=60)
        review = State(agent=hang, retry=Retry(attempts_max=2, base_s=0, cap_s=0))
        archive = State(final="completed")
        submit = draft.to(review, on=Draft)
        approve = review.to(archive, on=Review, when=is_good)
        reject = review.to(draft, on=Review)

    twins.record("a", reviews=[BAD, BAD, BAD], sends=[Approval()])
    found = covered(twins, Later)
    assert [item.name for item in found.items if item.new] == ["archive"]
    assert {(item.kind, item.name, item.times) for item in found.removed} == {
        ("state", "person", 1),
        ("state", "done", 1),
        ("transition", "accept", 1),
        ("otherwise", "reject.otherwise", 1),
        ("refusal", "LoopCap on reject: loop_cap", 1),
    }


def test_runs_of_an_older_definition_count_for_names_that_are_the_same(twins: Twins):
    class Later(Desk, machine_name="Desk"):
        reject = Desk.reject.but(guards=[LoopCap(9)])

    twins.record("old", reviews=[BAD, GOOD])
    twins.record("new", machine=Later)
    found = covered(twins, Later)
    assert found.runs == 2 and not found.removed and not any(item.new for item in found.items)
    assert "transition reject" not in never(found)


def test_the_workshop_meets_nearly_everything(recorded: Path):
    reader = read_journal(recorded)
    found = coverage(Workshop.spec, [tallies(reader, "Workshop")])
    records = sum(run.seq + 1 for run in reader.runs("Workshop"))
    reader.close()
    assert found.records == records
    assert {kind for kind in KINDS if found.of(kind)} == {*KINDS} - {"deferral", "fallback"}
    assert found.percent > 80


def test_a_threshold_is_a_test(twins: Twins):
    twins.record("straight")
    assert assert_covered(twins.db, Desk, min=27).percent == 27
    with pytest.raises(AssertionError) as error:
        assert_covered([twins.db, twins.db], Desk, min=90)
    told = "<Coverage of Desk: 27 %, 5 of 18 items taken by 1 runs, 3 records>"
    assert repr(assert_covered(twins.db, Desk, min=27)) == told
    lines = str(error.value).splitlines()
    assert lines[0] == "Desk: 27 % covered, 5 of 18 taken  (2 runs, 6 records); never taken:"
    assert "  transition broken: AgentFailed in draft or review" in lines
    assert "  refusal LoopCap on reject: loop_cap: past its limit: up to 2 times" in lines


def test_a_hundred_thousand_records_are_one_pass(twins: Twins):
    twins.record("a", reviews=[BAD, BAD, BAD])
    with sqlite3.connect(twins.db) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(record)") if row[1] not in ("id", "seq")]
        names = ", ".join(columns)
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 14285)"
            f" INSERT INTO record (seq, {names}) SELECT i * 7 + seq, {names} FROM n, record WHERE seq < 7"
        )
    connection.close()
    with twins.reading() as reader:
        began = time.perf_counter()
        found = tallies(reader, "Desk")
        assert time.perf_counter() - began < 8, "a second or two on an idle machine"
    assert found.records == 100_002 and found.hops["submit"] == 3 * 14_286
    assert found.verdicts == {("LoopCap", "reject", "loop_cap"): 14_286}


def test_what_puts_off_is_no_refusal_and_a_damaged_row_nothing_to_come_to() -> None:
    class Limited(Machine):
        work = State(initial=Brief, agent=unbound, guards=[RateLimit("r", 1), Bulkhead("b", 1)])
        done = State[Any](final="completed")
        end = work.to(done, on=Draft)
        money = everywhere(TokenBudget(5, scope="machine"))

    items = coverage(Limited.spec, []).items
    assert [item.name for item in items if item.kind == "refusal"] == ["TokenBudget on money: token_budget"]
    assert [item.verdict for item in items if item.kind == "deferral"] == [
        ("RateLimit", "work", "rate_limited"),
        ("Bulkhead", "work", "full"),
        ("TokenBudget", "money", "reserved"),
    ]
