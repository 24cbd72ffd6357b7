"""No loop without a declared bound."""

from typing import Any

import pytest
from pydantic import BaseModel

from fsm import Counter, DefinitionError, Machine, State, View, everywhere
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.snapshot import Snapshot
from fsm.define.payload import seal
from guards import LoopCap, TokenBudget


class Brief(BaseModel):
    pass


class Draft(BaseModel):
    pass


async def write(view: View[Any]) -> Draft:
    return Draft()


@pytest.mark.parametrize("limit", [0, -1, "3", 3.0, None, True])
def test_a_limit_is_a_whole_number_of_at_least_one(limit: Any) -> None:
    assert LoopCap(limit).mistake("run") == (f"LoopCap(limit={limit!r})", "give a whole number, 1 or more")


def test_the_scope_is_one_of_three() -> None:
    scope: Any = "machine"
    instead = 'write "transition", "state" or "run", or leave it out'
    assert LoopCap(3, scope=scope).mistake("run") == ("LoopCap(scope='machine')", instead)


@pytest.mark.parametrize("since", ["draft", State, 3])
def test_since_is_a_state(since: Any) -> None:
    instead = "name a State of the machine, as since=draft"
    assert LoopCap(3, since=since).mistake("run") == (f"LoopCap(since={since!r})", instead)


def test_what_is_wrong_with_a_cap_is_told_at_its_line_with_all_other_mistakes() -> None:
    wrong: Any = "machine"
    with pytest.raises(DefinitionError) as raised:

        class Wrong(Machine):
            draft = State(initial=Brief, agent=write, timeout_s=0)
            done = State(final="completed")
            submit = draft.to(done, on=Draft, guards=[LoopCap(0)])
            limits = everywhere(LoopCap(9, scope=wrong), TokenBudget(0))

    assert [(found.attribute, found.what) for found in raised.value.mistakes] == [
        ("draft", "timeout_s=0"),
        ("submit", "LoopCap(limit=0)"),
        ("limits", "LoopCap(scope='machine')"),
        ("limits", "TokenBudget(tokens_max=0)"),
    ]
    assert all(found.where.startswith("test_loop_cap.py:") for found in raised.value.mistakes)


def test_what_is_counted_follows_from_where_it_stands() -> None:
    assert LoopCap(3).counted("transition", "reject") == Counter("fires", "reject")
    assert LoopCap(3).counted("state", "draft") == Counter("visits", "draft")
    assert LoopCap(3).counted("run", "limits") == Counter("hops")
    assert LoopCap(3, scope="run").counted("transition", "reject") == Counter("hops")


@pytest.mark.parametrize(
    ("scope", "where", "told"),
    [
        ("state", "transition", "LoopCap with scope='state' stands on a transition"),
        ("transition", "state", "LoopCap with scope='transition' stands on a state"),
        ("transition", "run", "LoopCap with scope='transition' stands in everywhere"),
    ],
)
def test_a_scope_that_does_not_fit_its_place_is_a_mistake(scope: Any, where: str, told: str) -> None:
    cap = [LoopCap(3, scope=scope)]
    with pytest.raises(DefinitionError, match=told) as raised:

        class Misplaced(Machine):
            draft = State(initial=Brief, agent=write, guards=cap if where == "state" else ())
            done = State[Any](final="completed")
            submit = draft.to(done, on=Draft, guards=cap if where == "transition" else ())
            limits = everywhere(*(cap if where == "run" else [LoopCap(9)]))

    assert len(raised.value.mistakes) == 1


class Capped(Machine):
    person = State[Any]()
    draft = State(initial=Brief, agent=write)
    again = draft.to(draft, on=Draft, guards=[LoopCap(2, since=person)], otherwise=person)
    back = person.to(draft, on=Brief)


@pytest.mark.parametrize(("fired", "decision"), [(0, "allow"), (1, "allow"), (2, "refuse"), (5, "refuse")])
def test_it_refuses_once_the_count_has_reached_the_limit(fired: int, decision: str) -> None:
    at_draft = Snapshot(state="draft", seq=0, entered=0, counters={"fires:again@person": fired, "fires:again": 99})
    event = Event(payload=seal(Draft(), 1_000), at_ms=1)
    record = decide(Engine(Capped.spec), at_draft, event).record
    assert record is not None
    (ruling,) = record.rulings
    assert (ruling.guard, ruling.at, ruling.verdict.decision) == ("LoopCap", "again", decision)
    assert ruling.verdict.code == ("loop_cap" if decision == "refuse" else "")
    assert ruling.verdict.numbers == {"fires": fired, "fires_max": 2}


def test_a_refusal_reads_with_its_numbers() -> None:
    at_draft = Snapshot(state="draft", seq=0, entered=0, counters={"fires:again@person": 2})
    record = decide(Engine(Capped.spec), at_draft, Event(payload=seal(Draft(), 1_000), at_ms=1)).record
    assert record is not None
    assert str(record.rulings[0]) == "LoopCap on again refuses (loop_cap: fires 2, fires_max 2)"
