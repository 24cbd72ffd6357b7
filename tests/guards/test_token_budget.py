"""No bill without a declared bound."""

from typing import Any

import pytest
from pydantic import BaseModel

from fsm import Counter, Machine, Spent, State, View, everywhere
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.record import Record
from fsm.core.snapshot import Snapshot
from fsm.define.payload import seal
from guards import TokenBudget


class Brief(BaseModel):
    pass


class Draft(BaseModel):
    pass


async def write(view: View[Any]) -> Draft:
    return Draft()


class Budgeted(Machine):
    person = State[Any]()
    draft = State(initial=Brief, agent=write)
    again = draft.to(draft, on=Draft)
    done = State[Any](final="completed")
    end = person.to(done, on=Draft)
    limits = everywhere(TokenBudget(1_000), otherwise=person)


def _after(before: int, spent: int) -> Record:
    at_draft = Snapshot(state="draft", seq=0, entered=0, counters={"tokens": before} if before else {})
    event = Event(payload=seal(Draft(), 1_000), at_ms=1, spent=Spent(spent, 7))
    record = decide(Engine(Budgeted.spec), at_draft, event).record
    assert record is not None
    return record


@pytest.mark.parametrize(
    ("before", "spent", "decision"),
    [(0, 0, "allow"), (999, 0, "allow"), (500, 499, "allow"), (500, 500, "refuse"), (0, 5_000, "refuse")],
)
def test_it_refuses_once_the_budget_is_spent(before: int, spent: int, decision: str) -> None:
    record = _after(before, spent)
    (ruling,) = record.rulings
    assert (ruling.guard, ruling.at, ruling.verdict.decision) == ("TokenBudget", "limits", decision)
    assert ruling.verdict.numbers == {"tokens": before + spent, "tokens_max": 1_000}
    assert record.hop == ("limits.otherwise" if decision == "refuse" else "again")


def test_a_refusal_reads_with_its_numbers() -> None:
    told = str(_after(800, 300).rulings[0])
    assert told == "TokenBudget on limits refuses (token_budget: tokens 1100, tokens_max 1000)"


def test_it_counts_the_tokens_of_the_run_wherever_it_stands() -> None:
    assert TokenBudget(5).counted("transition", "reject") == Counter("tokens")
    assert TokenBudget(5).counted("run", "limits") == Counter("tokens")
    assert TokenBudget(5).limit_of() == 5


@pytest.mark.parametrize("tokens_max", [0, -1, "50_000", 5e4, None, False])
def test_a_budget_is_a_whole_number_of_at_least_one(tokens_max: Any) -> None:
    instead = "give a whole number, 1 or more"
    assert TokenBudget(tokens_max).mistake("run") == (f"TokenBudget(tokens_max={tokens_max!r})", instead)
