"""No going round without getting anywhere, however different it sounds each time."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from fsm import DefinitionError, Machine, MachineSpec, State, Verdict, View, Volatile, check, everywhere
from fsm.define.payload import seal
from fsm.verify.moves import moves_of
from guards import NoProgress
from tests.core.trip import Trip, answer
from tests.guards.desks import folded, sent
from tests.guards.kept import Kept
from tests.helpers import running


class Brief(BaseModel):
    topic: str = ""


class Draft(BaseModel):
    text: str


class Finding(BaseModel):
    what: str
    at: Annotated[int, Volatile] = 0


class Review(BaseModel):
    text: str
    score: int
    findings: list[Finding] = []


class Notes(BaseModel):
    best: int = 0


def score(review: Review) -> int:
    return review.score


def beyond_best(review: Review, notes: Notes) -> int:
    return review.score - notes.best


def findings(review: Review) -> list[Finding]:
    return review.findings


def note(notes: Notes, review: Review) -> Notes:
    return Notes(best=max(notes.best, review.score))


class Loop(Machine):
    """A writer and a reviewer who find new words for the same every time."""

    draft = State(initial=Brief, agent=answer)
    review = State(agent=answer)
    person = State[Any]()
    submit = draft.to(review, on=Draft)
    reject = review.to(draft, on=Review, guards=[NoProgress(2, of=score)], otherwise=person)
    again = person.to(draft, on=Brief)


def judged(trip: Trip, *scores: int) -> list[str]:
    """The reviewer's scores, in ever other words; the hops they take."""
    found = []
    for points in scores:
        if trip.snapshot.state == "person":
            trip.sent(Brief())
        n = len(trip.records)
        trip.own(Draft(text=f"draft {n}"))
        found.append(trip.own(Review(text=f"review {n}", score=points)).hop)
    return found


def begun(machine: type[Machine]) -> Trip:
    trip = Trip(machine)
    trip.own(Brief())
    return trip


# --- what it refuses ------------------------------------------------------------------------------


def test_a_loop_that_only_paraphrases_is_left() -> None:
    trip = begun(Loop)
    assert judged(trip, 5, 5, 5) == ["reject", "reject", "reject.otherwise"]
    (ruling,) = trip.records[-1].rulings
    assert ruling.verdict == Verdict("refuse", "no_progress", {"cycles": 2, "cycles_max": 2})
    assert str(ruling) == "NoProgress on reject refuses (no_progress: cycles 2, cycles_max 2)"


def test_a_value_that_changes_begins_the_count_again_if_only_for_the_worse() -> None:
    assert judged(begun(Loop), 5, 5, 4, 4, 5, 5, 5) == [*["reject"] * 6, "reject.otherwise"]


def test_refused_once_the_next_cycle_without_progress_is_refused_at_once() -> None:
    trip = begun(Loop)
    assert judged(trip, 5, 5, 5, 5, 6, 6) == [
        *("reject", "reject", "reject.otherwise", "reject.otherwise", "reject", "reject")
    ]


class Remembering(Machine, memory=Notes):
    review = State(initial=Review, agent=answer, remember=note)
    given_up = State[Any](final="failed")
    reject = review.to(review, on=Review, guards=[NoProgress(1, of=beyond_best)], otherwise=given_up, remember=note)


def test_the_value_may_be_of_payload_and_memory_before_it() -> None:
    trip = Trip(Remembering)
    trip.own(Review(text="", score=1))
    hops = [trip.own(Review(text=str(points), score=points)).hop for points in (2, 4, 6)]
    assert hops == ["reject", "reject", "reject.otherwise"], "1, 2 and 2 beyond the best so far"


class Visited(Machine):
    review = State(initial=Review, agent=answer, guards=[NoProgress(2, of=score)])
    again = review.to(review, on=Review)


def test_on_a_state_a_cycle_is_an_entry_the_first_included() -> None:
    trip = Trip(Visited)
    kinds = [trip.own(Review(text=str(n), score=7)).kind for n in range(3)]
    assert kinds == ["started", "taken", "halted"]
    assert trip.snapshot.outcome == "stopped"


class Twice(Loop):
    reject = Loop.reject.but(guards=[NoProgress(9, of=score), NoProgress(1, of=findings)])


def test_two_on_one_line_keep_each_its_own() -> None:
    trip = begun(Twice)
    hops = []
    for what in ("a", "b", "b"):
        trip.own(Draft(text=""))
        found = [Finding(what=what, at=len(trip.records))]
        hops.append(trip.own(Review(text="", score=1, findings=found)).hop)
    assert hops == ["reject", "reject", "reject.otherwise"], "volatile fields do not count"
    assert [ruling.verdict.numbers["cycles"] for ruling in trip.records[-1].rulings] == [2, 1]


def nothing(review: Review) -> object:
    return object() if review.score else float("nan")


class Measureless(Loop):
    reject = Loop.reject.but(guards=[NoProgress(2, of=nothing)])


@pytest.mark.parametrize("points", [0, 1])
def test_a_value_without_a_json_form_is_refused(points: int) -> None:
    trip = begun(Measureless)
    assert judged(trip, points) == ["reject.otherwise"]
    assert trip.records[-1].rulings[0].verdict.code == "guard_error"


@given(scores=st.lists(st.integers(0, 3), max_size=60), cycles_max=st.integers(1, 5))
def test_it_agrees_with_a_small_model(scores: list[int], cycles_max: int) -> None:
    guard, taken = Kept(NoProgress(cycles_max, of=score)), list[int]()
    for n, points in enumerate(scores):
        last = [*taken, points][-cycles_max - 1 :]
        stands = len(last) == cycles_max + 1 and len(set(last)) == 1
        verdict = guard.take(seal(Review(text=str(n), score=points), 1_000))
        assert verdict.decision == ("refuse" if stands else "allow")
        if not stands:
            taken.append(points)
    assert len(guard.counts) <= 2


# --- over restarts --------------------------------------------------------------------------------


class Desk(Machine):
    read = State(initial=Brief)
    person = State[Any]()
    reject = read.to(read, on=Review, guards=[NoProgress(2, of=score)], otherwise=person)
    back = person.to(read, on=Brief)


async def test_the_record_at_the_trip_and_that_no_restart_resets_it(db: Path) -> None:
    reviews = [Review(text=str(n), score=5) for n in range(4)]
    records = await sent(db, Desk, Brief(), *reviews[:3], Brief(), reviews[3])
    assert [record.hop for record in records[1:]] == [
        "reject",
        "reject",
        "reject.otherwise",
        "back",
        "reject.otherwise",
    ]
    trip = records[3]
    assert (trip.kind, trip.source, trip.state, trip.event) == ("taken", "read", "person", "Review")
    assert trip.body == b'{"findings":[],"score":5,"text":"2"}'
    assert trip.detail == (
        b'{"rulings":[["NoProgress","reject","transition","refuse","no_progress",{"cycles":2,"cycles_max":2}]]}'
    )
    assert [dict(record.rulings[0].verdict.keep).get("cycles") for record in records[1:4]] == [0, 1, None]
    now, _ = folded(db, Desk)
    assert now.kept["reject:NoProgress:1"]["cycles"] == 1


async def test_a_loop_of_agents_that_paraphrase_is_left(db: Path) -> None:
    async def write(view: View[Any]) -> Draft:
        return Draft(text=f"take {view.visit}")

    async def judge(view: View[Draft]) -> Review:
        return Review(text=f"another way to say it, {view.visit}", score=min(view.visit, 3))

    machine = Loop.with_agents(draft=write, review=judge)
    async with running(db, machine) as runner:
        await runner.start(machine, Brief(), run_id="r")
        run = await runner.settled("r")
        assert (run.state, run.seq) == ("person", 10), "scores 1, 2, 3, 3 and 3"


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cycles_max", [0, -3, "3", 2.0, None, True])
def test_it_needs_a_number_of_at_least_one(cycles_max: Any) -> None:
    what = f"NoProgress(cycles_max={cycles_max!r})"
    assert NoProgress(cycles_max, of=score).mistake("state") == (what, "give a whole number, 1 or more")


def test_what_measures_is_a_named_function_and_stands_where_cycles_close() -> None:
    nobody: Any = None

    async def later(review: Review) -> int:
        return 1

    def wide(a: int, b: int, c: int) -> int:
        return 1

    with pytest.raises(DefinitionError) as raised:

        class Wrong(Machine):
            draft = State(initial=Brief, agent=answer)
            done = State[Any](final="completed")
            one = draft.to(done, on=Draft, guards=[NoProgress(2, of=lambda review: 1)])
            two = draft.to(done, on=Review, guards=[NoProgress(2, of=nobody)])
            three = draft.to(draft, on=Brief, guards=[NoProgress(2, of=later), NoProgress(2, of=wide)])
            four = draft.to(draft, on=Finding, guards=[NoProgress(2, of=beyond_best)])
            five = draft.to(draft, on=Notes, guards=[NoProgress(2, of=score)], otherwise={"progress": done})
            limits = everywhere(NoProgress(2, of=score))

    assert {(found.attribute, found.what) for found in raised.value.mistakes} == {
        ("one", "of= has no name, so a record could not name it"),
        ("two", "NoProgress(of=None) measures nothing"),
        ("three", "of=later gives no answer at once"),
        ("three", "of=wide cannot be called with 1 or 2 arguments"),
        ("four", "NoProgress looks at the memory, and this machine has none"),
        ("five", "otherwise= answers to code 'progress', which nothing here gives"),
        ("five", 'otherwise= has no "*"'),
        ("limits", "NoProgress stands in everywhere()"),
    }


# --- as data --------------------------------------------------------------------------------------


def test_it_survives_json_and_the_function_is_in_the_fingerprint_by_its_name() -> None:
    spec = MachineSpec.from_json(Loop.spec.to_json())
    assert (spec, spec.fingerprint) == (Loop.spec, Loop.spec.fingerprint)
    (guard,) = next(line.guards for line in spec.transitions if line.name == "reject")
    assert guard.params == {"cycles_max": 2, "of": "score"}

    class Other(Loop):
        reject = Loop.reject.but(guards=[NoProgress(2, of=findings)])

    assert 'transitions.reject.guards.0.params.of: "score" -> "findings"' in Loop.spec.changes(Other.spec)


def test_the_verifier_takes_it_for_what_may_always_pass() -> None:
    assert check(Loop.spec).termination.kind == "may run for ever"
    assert moves_of(Loop.spec).caps == ()
    assert {"reject", "reject.otherwise"} <= {move.hop for move in moves_of(Loop.spec).all}
