"""Two recorded runs side by side: how far they agree, where they part and why, what differs on the way."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from fsm.core.record import Record
from fsm.replay.diff import ABSENT, Change, Diff, Row, beside, inherited
from guards import LoopCap
from tests.replay.twins import BAD, GOOD, TEXT, Approval, Desk, Draft, Twins


@pytest.fixture
def twins(tmp_path: Path) -> Twins:
    return Twins(tmp_path)


def hops(rows: Iterable[Row]) -> list[tuple[str | None, str | None]]:
    return [(row.a.hop if row.a else None, row.b.hop if row.b else None) for row in rows]


def parting(found: Diff) -> tuple[Record | None, Record | None]:
    assert found.parting is not None
    return found.parting.a, found.parting.b


def test_two_runs_that_did_the_same_have_no_difference(twins: Twins):
    twins.record("a")
    twins.record("b")
    found = twins.diff("a", "b")
    assert found.parted is None and not any(row.differs for row in found.rows)
    assert hops(found.rows) == [(way, way) for way in ("start", "submit", "approve")]


def test_they_part_at_the_predicate_that_answered_otherwise(twins: Twins):
    twins.record("a", reviews=[BAD, GOOD])
    twins.record("b", reviews=[BAD, BAD, GOOD])
    found = twins.diff("a", "b")
    a, b = parting(found)
    assert a is not None and b is not None and found.parting is not None
    assert (a.seq, a.hop, b.seq, b.hop) == (4, "approve", 4, "reject")
    assert found.parting.predicates == (("approve", True, False),)
    assert found.parting.changes == (Change("good", True, False),)
    assert [row.a.seq for row in found.agreed if row.a] == [0, 1, 2, 3]


def test_a_loop_taken_once_more_is_a_gap_and_the_rest_is_the_same(twins: Twins):
    """What comes after the lap that only one of them took is paired again."""
    twins.record("a", reviews=[BAD, GOOD], drafts=[TEXT])
    twins.record("b", reviews=[BAD, BAD, GOOD], drafts=[TEXT])
    found = twins.diff("a", "b")
    assert sum(row.same for row in found.rows) == 5, "all of the shorter one"
    assert [row.b.hop for row in found.rows if row.a is None and row.b] == ["reject", "submit"]
    assert found.rows[-1].same


def test_a_guard_that_refused_in_one_of_them_is_named(twins: Twins):
    class Stricter(Desk, machine_name="Desk"):
        reject = Desk.reject.but(guards=[LoopCap(1)])

    twins.record("a", reviews=[BAD, BAD, GOOD])
    twins.record("b", reviews=[BAD, BAD, GOOD], machine=Stricter)
    found = twins.diff("a", "b")
    a, b = parting(found)
    assert (a and a.hop, b and b.hop) == ("reject", "reject.otherwise")
    assert found.parting is not None
    ((allowed, refused),) = found.parting.verdicts
    assert allowed is not None and refused is not None
    assert (allowed.verdict.decision, refused.verdict.decision) == ("allow", "refuse")
    assert any("limit: 2 -> 1" in change for change in found.machines)
    assert found.b.refusals == {("LoopCap", "reject", "loop_cap"): 1} and found.a.refusals == {}


def test_two_machines_are_compared_all_the_same(twins: Twins):
    class Other(Desk):
        pass

    twins.record("a")
    twins.record("b", machine=Other)
    found = twins.diff("a", "b")
    assert found.machines == ("Desk and Other are two machines",) and found.parted is None


def test_one_that_goes_on_parts_where_the_other_stands(twins: Twins):
    twins.record("a", reviews=[ValueError("no")])
    twins.record("b", reviews=[ValueError("no")], sends=[Approval()])
    a, b = parting(twins.diff("a", "b"))
    assert a is None and b is not None and b.hop == "accept"


def test_fields_are_compared_by_path(twins: Twins):
    before = Draft(text="one", tags=["x", "y"], source={"page": 1, "line": 2})
    after = Draft(text="two", tags=["x"], source={"page": 1, "word": 3})
    twins.record("a", drafts=[before])
    twins.record("b", drafts=[after])
    row = twins.diff("a", "b").first_change
    assert row is not None and row.changes == (
        Change("source.line", 2, ABSENT),
        Change("source.word", ABSENT, 3),
        Change("tags[1]", "y", ABSENT),
        Change("text", "one", "two"),
    )


def move(seq: int, hop: str, **rest: Any) -> Record:
    return Record(**{"seq": seq, "kind": "taken", "at_ms": seq, "source": "s", "state": "s", **rest}, hop=hop)


def test_being_taken_up_again_is_no_difference():
    """What stands in one path only because its process died is shown, and is not where they part."""
    a = [move(seq, hop, outcome="running") for seq, hop in enumerate(["start", "submit", "approve"])]
    again = move(2, "", kind="resumed", outcome="running")
    rows = list(beside(a, [*a[:2], again, a[2]]))
    assert [(row.same, row.aside) for row in rows] == [(True, False), (True, False), (False, True), (True, False)]


def test_a_fork_begins_where_its_parent_was_forked(twins: Twins):
    twins.record("a", reviews=[BAD, GOOD])
    note = {"parent": "a", "parent_seq": 3}
    with twins.reading() as reader:
        run = reader.run("a")
        records = reader.span(run.key, 0, run.seq)
        forked = [move(0, "", kind="forked", outcome="running", note=note), *records[4:]]
        assert inherited(run, forked) == 4 and inherited(run, records) == 0


def test_runs_of_ten_thousand_records_take_a_moment():
    hops = ["reject", "submit", "approve"]
    a, b = ([move(seq, hops[seq * k % 7 % 3], outcome="running") for seq in range(10_000)] for k in (3, 5))
    began = time.perf_counter()
    rows = list(beside(a, b))
    assert sum(row.a is not None for row in rows) == sum(row.b is not None for row in rows) == 10_000
    assert time.perf_counter() - began < 5


def test_what_each_did_in_all_is_counted(twins: Twins):
    twins.record("a", reviews=[TimeoutError("late"), GOOD])
    twins.record("b", reviews=[BAD, BAD, BAD])
    found = twins.diff("a", "b")
    assert (found.a.hops, found.a.kinds["retried"]) == (3, 1)
    assert (found.b.hops, found.b.refusals) == (6, {("LoopCap", "reject", "loop_cap"): 1})
