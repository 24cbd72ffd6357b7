"""A budget that many runs share, in a journal: whose it is, and that nothing stays set aside for ever."""

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import AgentFailed, DefinitionError, Guard, Machine, Retry, State, View, any_of, everywhere, unbound
from fsm.testing import MovableClock, hang
from guards import CostBudget, TokenBudget
from tests.helpers import assert_sound, running
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


class Go(BaseModel):
    pass


class Led(Machine):
    """An event from outside may lead on, to something that asks for most of the budget."""

    draft = State(initial=Brief, agent=unbound, tokens_max=100)
    big = State[Any](agent=unbound, tokens_max=950)
    done = State[Any](final="completed")
    go = draft.to(big, on=Go)
    end = draft.to(done, on=Draft)
    last = big.to(done, on=Draft)
    limits = everywhere(TokenBudget(1_000, scope="pool:x"))


async def test_a_visit_keeps_what_it_has_set_aside_while_an_event_from_outside_is_put_off(db: Path) -> None:
    gate = asyncio.Event()

    async def small(view: View[Any]) -> Draft:
        view.spend(tokens=10)
        await gate.wait()
        return Draft()

    bound = Led.with_agents(draft=small, big=small)
    async with running(db, bound, clock=MovableClock()) as runner:
        for run_id in ("r", "other"):
            await runner.start(bound, Brief(), run_id=run_id)
        read = runner.journal.read
        sending = asyncio.create_task(runner.send("r", Go()))
        while (last := read.record(read.run("r").key, read.run("r").seq)).kind != "deferred":
            assert last.kind == "started"
            await asyncio.sleep(0.002)
        assert rows(db) == {"tokens:pool:x": {"reserved": 200}}, "nothing is over, so nothing is settled"
        gate.set()
        for run_id in ("r", "other"):
            assert (await runner.settled(run_id)).outcome == "completed"
        await asyncio.gather(sending, return_exceptions=True)
    assert rows(db) == {"tokens:pool:x": {"spent": 20}}
    assert_sound(db, bound)


class Left(Machine):
    """Only the first state has a budget."""

    draft = State(initial=Brief, agent=unbound, tokens_max=100, guards=[TokenBudget(1_000, scope="pool:x")])
    person = State[Any]()
    done = State[Any](final="completed")
    go = draft.to(person, on=Go)
    end = any_of(draft, person).to(done, on=Draft)


@pytest.mark.parametrize("declared", [None, 80])
async def test_what_a_call_spends_after_its_visit_is_over_counts_in_the_budget_of_that_visit(
    db: Path, declared: int | None
) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def stubborn(view: View[Any]) -> Draft:
        async def fetch() -> None:
            begun.set()
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()
            await gate.wait()
            view.spend(tokens=50)

        await view.call("fetch", fetch, tokens_max=declared)
        return Draft()

    bound = Left.with_agents(draft=stubborn)
    async with running(db, bound) as runner:
        await runner.start(bound, Brief(), run_id="r")
        await begun.wait()
        await runner.send("r", Go())
        gate.set()
        read = runner.journal.read
        while not read.query("SELECT 1 FROM call WHERE kind = 'outcome'"):
            await asyncio.sleep(0.002)
        spent = sum(tokens for (tokens,) in read.query("SELECT tokens FROM call"))
        await runner.send("r", Draft())
        assert read.record(read.run("r").key, 2).spent.tokens == spent
        assert 50 <= spent <= (declared or 50)
    assert rows(db) == {"tokens:pool:x": {"spent": spent}}
    assert_sound(db, bound)


async def test_what_a_lost_attempt_of_the_first_visit_has_spent_counts_also_if_the_machine_is_changed(db: Path) -> None:
    begun = asyncio.Event()

    async def hang(view: View[Any]) -> Draft:
        view.spend(tokens=10)
        begun.set()
        await asyncio.sleep(3_600)
        return Draft()

    async def end(view: View[Any]) -> Draft:
        return Draft()

    class Changed(Left):
        draft = State(initial=Brief, agent=end, tokens_max=100, guards=[TokenBudget(2_000, scope="pool:x")])

    before = Left.with_agents(draft=hang)
    after = type("Left", (Changed,), {"__module__": __name__})
    async with running(db, before) as runner:
        await runner.start(before, Brief(), run_id="r")
        await begun.wait()
    async with running(db, before) as runner:
        read = runner.journal.read
        assert read.record(read.run("r").key, 1).spent.tokens == 10, "on record, and no visit is over"
    async with running(db, after) as runner:
        await runner.resume("r", accept=True)
        assert (await runner.settled("r")).outcome == "completed"
    assert rows(db) == {"tokens:pool:x": {"spent": 10}}
    assert_sound(db, after)
