"""A bulkhead: no more visits at once than it says, and whoever waits goes on as soon as there is a place."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from pydantic import BaseModel

from fsm import AgentFailed, DefinitionError, Guard, Machine, Record, Runner, State, everywhere, unbound
from fsm.testing import MovableClock
from guards import Bulkhead, RateLimit, TokenBudget
from tests.helpers import assert_sound, running


class Brief(BaseModel):
    pass


class Draft(BaseModel):
    pass


class Desk(Machine):
    draft = State(initial=Brief, agent=unbound, guards=[Bulkhead("db", 2)])
    done = State[Any](final="completed")
    lost = State[Any](final="failed")
    ok = draft.to(done, on=Draft)
    bad = draft.to(lost, on=AgentFailed)


class Everywhere(Machine):
    """Two visits in a row, with a person in between, who needs no place."""

    draft = State(initial=Brief, agent=unbound)
    desk = State[Any]()
    review = State[Any](agent=unbound)
    done = State[Any](final="completed")
    hand = draft.to(desk, on=Draft)
    take = desk.to(review, on=Brief)
    ok = review.to(done, on=Draft)
    limits = everywhere(Bulkhead("db", 1))


@define
class House:
    """A runner whose agents wait, each at a gate of its own; time stands still unless it is moved."""

    runner: Runner
    clock: MovableClock
    machine: type[Machine]
    inside: list[str] = field(factory=list)
    gates: dict[str, asyncio.Event] = field(factory=dict)

    async def agent(self, view: Any) -> Draft:
        self.inside.append(view.run_id)
        try:
            await self.gates.setdefault(view.run_id, asyncio.Event()).wait()
        finally:
            self.inside.remove(view.run_id)
        if view.run_id.startswith("bad"):
            raise ConnectionError("lost")
        return Draft()

    async def start(self, *run_ids: str) -> None:
        for run_id in run_ids:
            await self.runner.start(self.machine, Brief(), run_id=run_id)

    async def leave(self, run_id: str) -> str:
        self.gates.setdefault(run_id, asyncio.Event()).set()
        return (await self.runner.settled(run_id)).state

    def records(self, run_id: str) -> list[Record]:
        return list(self.runner.journal.read.records(self.runner.journal.read.run(run_id).key))

    def rows(self) -> dict[str, Any]:
        read = self.runner.journal.read
        return {name: json.loads(body) for name, body in read.query("SELECT name, body FROM shared")}


async def until(true: Callable[[], Any]) -> None:
    while not true():
        await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def house(db: Path, machine: type[Machine]) -> AsyncIterator[House]:
    """Afterwards all replays, with the machine's code or from the journal alone, also without the rows."""
    made: asyncio.Future[House] = asyncio.get_running_loop().create_future()

    async def agent(view: Any) -> Draft:
        return await (await asyncio.shield(made)).agent(view)

    bound = machine.with_agents(**{state.name: agent for state in machine.spec.states if state.agent is unbound})
    clock = MovableClock()
    async with running(db, bound, clock=clock) as runner:
        made.set_result(House(runner, clock, bound))
        yield made.result()
    with contextlib.closing(sqlite3.connect(db)) as connection:
        connection.execute("UPDATE shared SET body = 'nonsense'")
        connection.commit()
    assert_sound(db, bound)


async def test_whoever_waits_goes_on_at_once_when_a_visit_is_over_longest_wait_first(db: Path) -> None:
    async with house(db, Desk) as at:
        await at.start("a", "b", "c", "d", "bad-e")
        await until(lambda: at.inside == ["a", "b"])
        assert [record.kind for record in at.records("c")] == ["deferred"]
        (ruling,) = at.records("d")[0].rulings
        assert (ruling.verdict.code, ruling.verdict.numbers) == (
            "full",
            {"reserved": 2, "asked": 1, "waiting": 1, "limit": 2},
        )
        assert await at.leave("b") == "done"
        await until(lambda: at.inside == ["a", "c"])
        assert await at.leave("a") == "done"
        await until(lambda: at.inside == ["c", "d"])
        assert await at.leave("d") == "done"
        await until(lambda: at.inside == ["c", "bad-e"])
        assert await at.leave("bad-e") == "lost", "a failed visit gives its place back as well"
        assert await at.leave("c") == "done"
        assert at.rows() == {"visits:pool:db": {}}
        assert [record.kind for record in at.records("d")] == ["deferred", "taken", "ended"], "asked twice, no more"


async def test_nobody_overtakes_who_waits(db: Path) -> None:
    """A place is free for a moment before the one who waits longest has come for it."""
    async with house(db, Desk) as at:
        await at.start("a", "b", "c")
        await until(lambda: at.inside == ["a", "b"])
        at.gates["a"].set()
        await at.start("late")
        assert [record.kind for record in at.records("late")] == ["deferred"]
        await until(lambda: sorted(at.inside) == ["b", "c"])
        for run_id in ("b", "c", "late"):
            assert await at.leave(run_id) == "done"


async def test_who_is_cancelled_while_waiting_or_inside_leaves_no_place_taken(db: Path) -> None:
    async with house(db, Desk) as at:
        await at.start("a", "b", "c", "d")
        await until(lambda: at.inside == ["a", "b"])
        await at.runner.cancel("c")
        await at.runner.cancel("a")
        await until(lambda: sorted(at.inside) == ["b", "d"])
        for run_id in ("b", "d"):
            assert await at.leave(run_id) == "done"
        assert at.rows() == {"visits:pool:db": {}}


async def test_everywhere_it_counts_each_visit_of_an_agent_and_no_person(db: Path) -> None:
    async with house(db, Everywhere) as at:
        await at.start("a", "b")
        await until(lambda: at.inside == ["a"])
        assert await at.leave("a") == "desk"
        await until(lambda: at.inside == ["b"])
        await at.runner.send("a", Brief())
        assert at.runner.journal.read.run("a").state == "desk", "no place: it stays where it is, its event waits"
        assert await at.leave("b") == "desk"
        assert (await at.runner.settled("a")).state == "desk"
        await until(lambda: at.runner.journal.read.run("a").state == "done")
        await at.runner.send("b", Brief())
        assert (await at.runner.settled("b")).state == "done"


@pytest.mark.parametrize("make", [Bulkhead, RateLimit])
@pytest.mark.parametrize(
    ("name", "many", "what"),
    [
        ("", 1, "name what"),
        ("a/b", 1, 'without "/"'),
        ("a", 0, "1 or more"),
        ("a", True, "1 or more"),
        (5, 1, "name what"),
    ],
)
def test_mistakes_are_told_at_the_definition(make: Any, name: Any, many: Any, what: str) -> None:
    with pytest.raises(DefinitionError, match=what):
        machine_with(make(name, many))


@pytest.mark.parametrize("guard", [Bulkhead("db", 1), RateLimit("db", 1)])
def test_it_stands_where_visits_begin(guard: Guard) -> None:
    with pytest.raises(DefinitionError, match="put it on the state"):

        class Wrong(Machine):
            draft = State(initial=Brief, agent=unbound)
            done = State[Any](final="completed")
            ok = draft.to(done, on=Draft, guards=[guard])


def test_one_name_has_one_limit_in_a_machine() -> None:
    with pytest.raises(DefinitionError, match="with other parameters: visits_max 2, there 1"):

        class Twice(Machine):
            draft = State(initial=Brief, agent=unbound, guards=[RateLimit("x", 1)])
            other = State[Any](agent=unbound, guards=[RateLimit("x", 2)])
            done = State[Any](final="completed")
            ok = draft.to(other, on=Draft)
            end = other.to(done, on=Draft)


def machine_with(guard: Guard) -> type[Machine]:
    class Made(Machine):
        draft = State(initial=Brief, agent=unbound, guards=[guard])
        done = State[Any](final="completed")
        ok = draft.to(done, on=Draft)

    return Made


def test_it_is_no_budget_of_tokens() -> None:
    assert Bulkhead("x", 1).shared() != TokenBudget(5, scope="pool:x").shared()
