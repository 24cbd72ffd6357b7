"""A budget that many runs share, in a journal: whose it is, and that nothing stays set aside for ever."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import AgentFailed, DefinitionError, Guard, Machine, Retry, State, View, everywhere
from fsm.testing import hang
from guards import CostBudget, TokenBudget
from tests.helpers import running
from tests.replay.carried import exported, imported


class Brief(BaseModel):
    pass


class Draft(BaseModel):
    pass


async def write(view: View[Any]) -> Draft:
    view.spend(tokens=10)
    if view.attempt < 3:
        raise ConnectionError("lost")
    return Draft()


class Shared(Machine):
    draft = State(initial=Brief, agent=write, tokens_max=100, retry=Retry(attempts_max=2, base_s=0, cap_s=0))
    done = State[Any](final="completed")
    end = draft.to(done, on=Draft)
    limits = everywhere(
        TokenBudget(9_000),
        TokenBudget(1_000, scope="machine"),
        TokenBudget(1_000, scope="label:machine"),
        TokenBudget(1_000, scope="pool:x"),
    )


def rows(db: Path) -> dict[str, Any]:
    with contextlib.closing(sqlite3.connect(db)) as connection:
        return {name: json.loads(body) for name, body in connection.execute("SELECT name, body FROM shared")}


async def test_a_run_that_halts_and_is_resumed_is_accounted_for_in_every_budget_that_it_is_of(tmp_path: Path) -> None:
    db = tmp_path / "runs.db"
    async with running(db, Shared) as runner:
        await runner.start(Shared, Brief(), run_id="r", labels={"machine": "Shared"})
        assert (await runner.settled("r")).outcome == "stuck"
    names = ("tokens:label:machine=Shared", "tokens:machine=Shared", "tokens:pool:x")
    assert rows(db) == {key: {"spent": 20} for key in names}, "a label named machine is no machine"
    async with running(db, Shared) as runner:
        await runner.resume("r")
        assert (await runner.settled("r")).outcome == "completed"
    assert rows(db) == {key: {"spent": 30} for key in names}


async def test_a_resumed_visit_that_is_tried_again_leaves_nothing_set_aside(tmp_path: Path) -> None:
    attempts: list[int] = []

    async def slow(view: View[Any]) -> Draft:
        attempts.append(view.attempt)
        if len(attempts) == 1:
            raise ValueError("its own fault")
        if len(attempts) == 2:
            raise ConnectionError("lost")
        return Draft()

    bound = Shared.with_agents(draft=slow)
    db = tmp_path / "runs.db"
    async with running(db, bound) as runner:
        await runner.start(bound, Brief(), run_id="r")
        assert (await runner.settled("r")).outcome == "stuck"
        await runner.resume("r")
        assert (await runner.settled("r")).outcome == "completed"
    assert attempts == [1, 2, 3]
    assert all("reserved" not in row for row in rows(db).values())


@pytest.mark.parametrize(
    "guard",
    [TokenBudget(10, scope="pool:x"), CostBudget(10, scope="machine"), TokenBudget(10, scope="label:tenant")],
)
def test_it_is_visits_that_spend_so_a_transition_has_no_budget_that_runs_share(guard: Guard) -> None:
    with pytest.raises(DefinitionError, match="stands on a transition"):

        class Wrong(Machine):
            draft = State(initial=Brief, agent=write)
            done = State[Any](final="completed")
            end = draft.to(done, on=Draft, guards=[guard])
            fails = draft.to(done, on=AgentFailed)


async def test_a_run_that_comes_from_another_journal_sets_aside_here_what_it_has_set_aside(tmp_path: Path) -> None:
    db, other = tmp_path / "runs.db", tmp_path / "other.db"
    hanging = Shared.with_agents(draft=hang)
    async with running(db, hanging) as runner:
        await runner.start(hanging, Brief(), run_id="r", labels={"machine": "x"})
        text = exported(db)
    async with running(other, Shared) as runner:
        await runner.start(Shared, Brief(), run_id="r2", labels={"machine": "x"})
        await runner.settled("r2")
    before = rows(other)
    assert [arrival.what for arrival in imported(text, other)] == ["taken"]
    assert rows(other) == {name: {**row, "reserved": 100} for name, row in before.items()}
    async with running(other, Shared) as runner:
        assert (await runner.settled("r")).outcome != "running"
    assert all("reserved" not in row for row in rows(other).values())
