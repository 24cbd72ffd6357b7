"""Budgets that runs share: exact under many at once, whatever becomes of the visits that had set something aside."""

import asyncio
import contextlib
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    DefinitionError,
    Machine,
    Record,
    Retry,
    Runner,
    Share,
    State,
    TimedOut,
    any_of,
    everywhere,
    read_journal,
    unbound,
)
from fsm.core.budget import BudgetRow
from fsm.define.machine import MachineType
from fsm.testing import MovableClock
from guards import CostBudget, LoopCap, TokenBudget
from tests.helpers import assert_sound, running

LIMIT, MOST, BILL = 2_000, 200, 150
TOKENS = TokenBudget(LIMIT, scope="machine")


class Brief(BaseModel):
    task: str = ""


class Draft(BaseModel):
    text: str = ""


class Nod(BaseModel):
    pass


class Desk(Machine):
    """One visit, and it is done; refused it is gone."""

    draft = State(initial=Brief, agent=unbound, tokens_max=MOST, timeout_s=60)
    done = State(final="completed")
    gone = State(final="failed")
    lost = State(final="failed")
    ok = draft.to(done, on=Draft)
    bad = draft.to(lost, on=AgentFailed)
    limits = everywhere(TOKENS, otherwise=gone)


@define
class Bank:
    """A runner, a clock that moves, and agents that do as they are told: `script` by state, else spend and be done."""

    runner: Runner
    clock: MovableClock
    machine: type[Machine]
    script: dict[str, Callable[[Any], Any]] = field(factory=dict)
    gate: asyncio.Event = field(factory=asyncio.Event)
    began: int = 0

    async def agent(self, view: Any) -> Any:
        self.began += 1
        return await self.script.get(view.run_id, pay)(view)

    async def patient(self, view: Any) -> Draft:
        """Spends, and waits at the gate."""
        view.spend(tokens=BILL, usd_micros=BILL)
        await self.gate.wait()
        return Draft()

    async def idle(self, view: Any) -> Draft:
        """Waits at the gate before it spends."""
        await self.gate.wait()
        return await pay(view)

    async def start(self, *run_ids: str, **options: Any) -> None:
        for run_id in run_ids:
            await self.runner.start(self.machine, Brief(task=run_id), run_id=run_id, **options)

    async def settled(self, *run_ids: str) -> list[str]:
        """The states they come to stand in, as time passes."""
        ends = asyncio.gather(*(self.runner.settled(run_id) for run_id in run_ids))
        while not ends.done():
            await asyncio.sleep(0.005)
            self.clock.advance(0.25)
        return [run.state for run in await ends]

    async def run(self, run_id: str, **options: Any) -> str:
        await self.start(run_id, **options)
        return (await self.runner.settled(run_id)).state

    def row(self, name: str = "") -> BudgetRow:
        rows = rows_of(self.runner.journal.read)
        return rows.get(name or f"tokens:machine={self.machine.spec.name}", BudgetRow())

    def records(self, run_id: str) -> list[Record]:
        return list(self.runner.journal.read.records(self.runner.journal.read.run(run_id).key))

    def code(self, run_id: str, seq: int = 0) -> str:
        """Of the first verdict against it."""
        return next(r.verdict.code for r in self.records(run_id)[seq].rulings if r.verdict.decision != "allow")


async def pay(view: Any) -> Draft:
    view.spend(tokens=BILL, usd_micros=BILL)
    return Draft()


async def until(true: Callable[[], Any]) -> None:
    while not true():
        await asyncio.sleep(0.002)


def rows_of(reader: Any) -> dict[str, BudgetRow]:
    return {name: BudgetRow.from_json(body) for name, body in reader.query("SELECT name, body FROM shared")}


def spent_of(db: Path) -> int:
    reader = read_journal(db)
    try:
        return sum(record.spent.tokens for run in reader.runs() for record in reader.records(run.key))
    finally:
        reader.close()


def assert_numbers(db: Path) -> Counter[str]:
    """At every verdict its numbers say why; how often each was given."""
    reader, said = read_journal(db), Counter[str]()
    try:
        for ruling in (r for run in reader.runs() for record in reader.records(run.key) for r in record.rulings):
            numbers, code = ruling.verdict.numbers, ruling.verdict.code
            if "Budget" not in ruling.guard or "limit" not in numbers:
                continue
            said[code or ruling.verdict.decision] += 1
            spent, reserved = numbers.get("spent", 0), numbers.get("reserved", 0)
            asked, limit = numbers.get("asked", 1), numbers["limit"]
            if code in ("token_budget", "cost_budget"):
                assert spent + asked > limit
            elif code == "reserved":
                assert spent + asked <= limit < spent + reserved + asked
            elif code == "budget_warned":
                assert numbers["warn_at"] < spent + asked <= limit
            elif "asked" in numbers and ruling.verdict.decision == "allow":
                assert spent + reserved + asked <= limit
        return said
    finally:
        reader.close()


@contextlib.asynccontextmanager
async def bank(db: Path, machine: type[Machine], *, held: int = 0, **options: Any) -> AsyncIterator[Bank]:
    """Afterwards nothing but `held` is set aside, and all replays, also without the rows."""
    made: asyncio.Future[Bank] = asyncio.get_running_loop().create_future()

    async def agent(view: Any) -> Any:
        return await (await asyncio.shield(made)).agent(view)

    bound = machine.with_agents(**{state.name: agent for state in machine.spec.states if state.agent is unbound})
    clock = options.pop("clock", None) or MovableClock()
    async with running(db, bound, clock=clock, **options) as runner:
        made.set_result(Bank(runner, clock, bound))
        yield made.result()
    reader = read_journal(db)
    try:
        assert sum(row.reserved for row in rows_of(reader).values()) == held
    finally:
        reader.close()
    assert_numbers(db)
    apart = db.with_name("apart.db")
    for change in ("UPDATE shared SET body = 'nonsense'", "DELETE FROM shared"):
        with contextlib.closing(sqlite3.connect(db)) as here, contextlib.closing(sqlite3.connect(apart)) as there:
            here.backup(there)
            there.execute(change)
            there.commit()
        assert_sound(apart, bound)


# --- many at once ------------------------------------------------------------------------------------


async def test_fifty_at_once_never_spend_more_than_there_is(db: Path) -> None:
    async with bank(db, Desk) as at:
        run_ids = [f"r{n}" for n in range(50)]
        at.script = dict.fromkeys(run_ids, at.patient)
        await at.start(*run_ids)
        await until(lambda: at.began == LIMIT // MOST)
        assert at.row() == BudgetRow(reserved=LIMIT), "ten visits have begun, and no more"
        at.gate.set()
        states = Counter(await at.settled(*run_ids))
        assert at.row() == BudgetRow(spent=BILL * states["done"])
        assert LIMIT - MOST < at.row().spent <= LIMIT, "it is used up, until a visit more might go beyond it"
        assert states == {"done": 13, "gone": 37}
    assert spent_of(db) == 13 * BILL
    said = assert_numbers(db)
    assert (said["allow"], said["token_budget"]) == (13, 37)
    assert said["reserved"] >= 40, "those deferred went on by themselves"


async def test_a_visit_that_needs_less_leaves_the_rest_to_others(db: Path) -> None:
    async def frugal(view: Any) -> Draft:
        view.spend(tokens=1)
        return Draft()

    async with bank(db, Desk) as at:
        run_ids = [f"r{n}" for n in range(30)]
        at.script = dict.fromkeys(run_ids, frugal)
        await at.start(*run_ids)
        assert set(await at.settled(*run_ids)) == {"done"}
        assert at.row() == BudgetRow(spent=30)


# --- whatever becomes of a visit -----------------------------------------------------------------------


def is_again(failure: Any) -> bool:
    return "again" in getattr(failure, "message", "")


class Office(Machine):
    """Everything that a visit can come to."""

    desk = State()
    draft = State(
        initial=Brief,
        agent=unbound,
        tokens_max=MOST,
        timeout_s=60,
        retry=Retry(attempts_max=2, base_s=1, cap_s=1, when=is_again),
        fallback=unbound,
    )
    done = State(final="completed")
    gone = State(final="failed")
    late = State(final="failed")
    ok = draft.to(done, on=Draft)
    wait = draft.to(desk, on=Nod)
    back = desk.to(draft, on=Brief)
    too_late = draft.to(late, on=TimedOut)
    bad = draft.to(gone, on=AgentFailed)
    limits = everywhere(TokenBudget(10 * LIMIT, scope="machine"), LoopCap(4, scope="run"), otherwise=gone)


def steps(*ends: Any, bill: int = BILL) -> Callable[[Any], Any]:
    """An agent whose attempts spend, and then raise, return or wait in turn."""
    left = list(ends)

    async def agent(view: Any) -> Any:
        view.spend(tokens=bill)
        end = left.pop(0)
        if isinstance(end, BaseException):
            raise end
        if end == "hang":
            await asyncio.Event().wait()
        return end

    return agent


ENDINGS: dict[str, tuple[list[Any], str, int]] = {
    "is done": ([Draft()], "done", 1),
    "is tried again": ([ConnectionError("again"), Draft()], "done", 2),
    "falls back": ([ValueError("no"), Draft()], "done", 2),
    "is tried again and falls back": ([ConnectionError("again"), ConnectionError("again"), Draft()], "done", 3),
    "fails for good": ([ValueError("no"), ValueError("no")], "gone", 2),
    "returns nonsense": ([None, Draft()], "done", 2),
    "times out": (["hang"], "late", 1),
}


@pytest.mark.parametrize("how", ENDINGS)
async def test_nothing_stays_set_aside_when_a_visit(how: str, db: Path) -> None:
    ends, state, attempts = ENDINGS[how]
    async with bank(db, Office) as at:
        at.script = {"r": steps(*ends, bill=60)}
        await at.start("r")
        assert await at.settled("r") == [state]
        assert at.row() == BudgetRow(spent=60 * attempts)
    assert spent_of(db) == 60 * attempts


async def test_nothing_stays_set_aside_of_a_visit_that_is_cancelled(db: Path) -> None:
    async with bank(db, Office) as at:
        at.script = {"r": steps("hang")}
        await at.start("r")
        await until(lambda: at.began)
        assert at.row() == BudgetRow(reserved=MOST)
        await at.runner.cancel("r")
        await at.settled("r")
        assert at.row().reserved == 0
        assert at.row().spent == BILL


async def test_nothing_stays_set_aside_of_a_run_that_waits(db: Path) -> None:
    async with bank(db, Office) as at:
        at.script = {"r": steps(Nod(), Draft())}
        assert await at.run("r") == "desk"
        assert at.row() == BudgetRow(spent=BILL)
        await at.runner.send("r", Brief())
        assert await at.settled("r") == ["done"]
        assert at.row() == BudgetRow(spent=2 * BILL)


class Halting(Machine):
    draft = State(initial=Brief, agent=unbound, tokens_max=MOST, retry=Retry(attempts_max=3, base_s=1, when=is_again))
    done = State(final="completed")
    ok = draft.to(done, on=Draft)
    limits = everywhere(TOKENS)


async def test_a_halted_visit_has_settled_and_one_resumed_settles_what_it_spends_then(db: Path) -> None:
    async with bank(db, Halting) as at:
        at.script = {"r": steps(ValueError("no"), Draft(), bill=80)}
        assert await at.run("r") == "draft"
        assert at.row() == BudgetRow(spent=80)
        await at.runner.resume("r")
        assert await at.settled("r") == ["done"]
        assert at.row() == BudgetRow(spent=160)


async def test_a_retry_sets_aside_what_its_visit_has_not(db: Path) -> None:
    """Resumed after a halt a visit holds nothing; its next attempt is asked for like a visit, and settles."""
    async with bank(db, Halting) as at:
        at.script = {"r": steps(ValueError("no"), ConnectionError("again"), Draft(), bill=60)}
        assert await at.run("r") == "draft"
        await at.runner.resume("r")
        await until(lambda: at.records("r")[-1].kind == "retried")
        assert at.row() == BudgetRow(spent=60, reserved=MOST)
        assert await at.settled("r") == ["done"]
        assert at.row() == BudgetRow(spent=180)


async def test_refused_at_the_start_it_starts_once_there_is_more(db: Path) -> None:
    async with bank(db, Halting) as at:
        for n in range(13):
            await at.start(f"r{n}")
        await at.settled(*[f"r{n}" for n in range(13)])
        assert at.row() == BudgetRow(spent=13 * BILL)
        await at.run("late")
        assert (at.code("late"), at.runner.journal.read.run("late").outcome) == ("token_budget", "stopped")
        assert at.row() == BudgetRow(spent=13 * BILL)


class Patience(Machine, defers_max=2):
    draft = State(initial=Brief, agent=unbound, tokens_max=MOST)
    done = State(final="completed")
    gone = State(final="failed")
    tired = State(final="failed")
    ok = draft.to(done, on=Draft)
    limits = everywhere(TokenBudget(MOST, scope="machine"), otherwise={"defer_exhausted": tired, "*": gone})


async def test_who_has_waited_too_often_goes_its_declared_way(db: Path) -> None:
    async with bank(db, Patience) as at:
        at.script = {"first": at.patient}
        await at.start("first", "second")
        assert await at.settled("second") == ["tired"]
        at.gate.set()
        assert await at.settled("first") == ["done"]


async def test_a_run_that_waits_for_others_can_be_cancelled(db: Path) -> None:
    async with bank(db, Desk) as at:
        run_ids = [f"r{n}" for n in range(11)]
        at.script = dict.fromkeys(run_ids, at.patient)
        await at.start(*run_ids)
        await until(lambda: at.began == 10)
        assert at.records("r10")[-1].kind == "deferred"
        await at.runner.cancel("r10")
        assert at.row() == BudgetRow(reserved=LIMIT)
        at.gate.set()
        await at.settled(*run_ids)
        assert at.row() == BudgetRow(spent=10 * BILL)


async def test_another_runner_goes_on_with_all_that_is_set_aside(db: Path) -> None:
    run_ids = [f"r{n}" for n in range(15)]
    clock = MovableClock()
    async with bank(db, Desk, held=LIMIT, clock=clock) as at:
        at.script = dict.fromkeys(run_ids, at.idle)
        await at.start(*run_ids)
        await until(lambda: at.began == 10)
    async with bank(db, Desk, clock=clock) as at:
        states = Counter(await at.settled(*run_ids))
        assert at.row().spent <= LIMIT
        assert states == {"done": 13, "gone": 2}
        spent = at.row().spent
    assert spent_of(db) == spent


# --- what sets nothing aside ----------------------------------------------------------------------------


class Open(Machine):
    """Its visits declare no limit."""

    draft = State(initial=Brief, agent=unbound)
    done = State(final="completed")
    gone = State(final="failed")
    ok = draft.to(done, on=Draft)
    limits = everywhere(TokenBudget(400, scope="machine"), otherwise=gone)


async def test_without_tokens_max_nothing_is_set_aside_and_the_verdict_says_so(db: Path) -> None:
    async with bank(db, Open) as at:
        assert [await at.run(f"r{n}") for n in range(4)] == ["done"] * 3 + ["gone"]
        assert at.row() == BudgetRow(spent=450), "one visit may overshoot"
        assert "asked" not in at.records("r0")[0].rulings[-1].verdict.numbers
        assert at.records("r3")[0].rulings[-1].verdict.numbers == {"spent": 450, "limit": 400}


class Backed(Machine):
    draft = State(initial=Brief, agent=unbound, tokens_max=MOST, fallback=unbound)
    done = State(final="completed")
    gone = State(final="failed")
    ok = draft.to(done, on=Draft)
    limits = everywhere(TokenBudget(MOST, scope="machine"), otherwise=gone)


async def test_a_way_on_which_the_machines_guards_are_not_asked_counts_and_may_overshoot(db: Path) -> None:
    """A run must always be able to fail, and a fallback is how one does."""
    async with bank(db, Backed) as at:
        at.script = {"r0": steps(ValueError("no"), Draft())}
        assert await at.run("r0") == "done"
        assert at.row() == BudgetRow(spent=2 * BILL)
        assert await at.run("r1") == "gone"


class Queue(Machine):
    """Waits before it works, and is asked only where an agent begins."""

    desk = State(initial=Brief, tokens_max=None)
    draft = State(agent=unbound, tokens_max=MOST)
    done = State(final="completed")
    gone = State(final="failed")
    go = desk.to(draft, on=Nod)
    ok = draft.to(done, on=Draft)
    limits = everywhere(TokenBudget(MOST, scope="machine"), otherwise=gone)


async def test_a_waiting_state_takes_nothing_and_is_entered_when_all_is_spent(db: Path) -> None:
    async with bank(db, Queue) as at:
        assert [await at.run(f"r{n}") for n in range(3)] == ["desk"] * 3
        assert at.row() == BudgetRow()
        await at.runner.send("r0", Nod())
        await at.settled("r0")
        assert at.row() == BudgetRow(spent=BILL)
        record = await at.runner.send("r1", Nod())
        assert record is not None
        assert record.state == "gone"
        assert await at.run("r3") == "desk"


async def test_an_event_from_outside_waits_for_others_too(db: Path) -> None:
    async with bank(db, Queue) as at:
        at.script = {"r0": at.patient}
        await at.start("r0", "r1")
        await at.runner.send("r0", Nod())
        await until(lambda: at.began)
        record = await at.runner.send("r1", Nod())
        assert record is not None
        assert (record.kind, at.row()) == ("deferred", BudgetRow(reserved=MOST))
        at.gate.set()
        await until(lambda: at.row() == BudgetRow(spent=BILL))
        at.clock.advance(1)
        await until(lambda: at.runner.journal.read.run("r1").state == "gone")


# --- ways that were not taken ---------------------------------------------------------------------------


class Cheaper(Machine):
    """With little left, something cheaper; its own visits settle too, and hold nothing."""

    draft = State(initial=Brief, agent=unbound, tokens_max=MOST)
    cheap = State(agent=unbound, tokens_max=20)
    done = State(final="completed")
    gone = State(final="failed")
    thrifty = State(final="completed")
    ok = draft.to(done, on=Draft)
    ok_too = cheap.to(thrifty, on=Draft)
    limits = everywhere(
        TokenBudget(LIMIT, scope="machine", warn_at=1_000), otherwise={"budget_warned": cheap, "*": gone}
    )


async def test_from_warn_at_on_it_goes_on_with_something_cheaper(db: Path) -> None:
    async with bank(db, Cheaper) as at:
        at.script = {f"r{n}": steps(Draft(), bill=15) for n in (6, 7)}
        assert [await at.run(f"r{n}") for n in range(8)] == ["done"] * 6 + ["thrifty"] * 2
        assert at.records("r6")[0].rulings[-1].verdict.numbers == {
            "spent": 900,
            "asked": MOST,
            "limit": LIMIT,
            "warn_at": 1_000,
        }
        assert at.row() == BudgetRow(spent=930)
    assert spent_of(db) == 930


class Twice(Machine):
    """Two budgets at one place, one for all, one for each customer: both or neither."""

    draft = State(initial=Brief, agent=unbound, tokens_max=MOST)
    spare = State(agent=unbound, tokens_max=MOST)
    done = State(final="completed")
    ok = any_of(draft, spare).to(done, on=Draft)
    limits = everywhere(TOKENS, TokenBudget(500, scope="label:customer"), otherwise=spare)


async def test_of_two_budgets_both_are_taken_or_neither(db: Path) -> None:
    """The customer's is spent: by its `otherwise` the run works all the same, with nothing set aside anywhere."""
    clock = MovableClock()
    async with bank(db, Twice, clock=clock, held=4 * MOST) as at:
        for n in range(3):
            await at.run(f"a{n}", labels={"customer": "a"})
        at.script = dict.fromkeys("bc", at.idle)
        await at.start("b", labels={"customer": "b"})
        await at.start("c", labels={"customer": "c"})
        await until(lambda: at.began == 5)
        assert await at.run("a3", labels={"customer": "a"}) == "done"
        assert (at.code("a3"), at.records("a3")[0].hop) == ("token_budget", "limits.otherwise")
        rows = rows_of(at.runner.journal.read)
        assert rows["tokens:label:customer=a"] == BudgetRow(spent=600)
        assert rows["tokens:label:customer=b"] == rows["tokens:label:customer=c"] == BudgetRow(reserved=MOST)
        assert at.row() == BudgetRow(spent=600, reserved=2 * MOST), "what others have set aside stays so"
    async with bank(db, Twice, clock=clock) as at:
        assert await at.settled("b", "c") == ["done", "done"]
        rows = rows_of(at.runner.journal.read)
        assert rows["tokens:label:customer=b"] == rows["tokens:label:customer=c"] == BudgetRow(spent=BILL)
        assert at.row() == BudgetRow(spent=900)


class Both(Machine):
    """The same budget at the door of a state and of the machine is one."""

    draft = State(initial=Brief, agent=unbound, tokens_max=MOST, guards=[TOKENS])
    done = State(final="completed")
    ok = draft.to(done, on=Draft)
    limits = everywhere(TOKENS)


async def test_one_budget_at_two_places_is_asked_twice_and_taken_once(db: Path) -> None:
    async with bank(db, Both) as at:
        at.script = dict.fromkeys(("r0", "r1"), at.patient)
        at.script["r2"] = pay
        await at.start("r0", "r1")
        await until(lambda: at.began == 2)
        assert at.row() == BudgetRow(reserved=2 * MOST)
        await at.run("r2")
        assert at.row() == BudgetRow(spent=BILL, reserved=2 * MOST)
        at.gate.set()
        await at.settled("r0", "r1")
        assert at.row() == BudgetRow(spent=3 * BILL)


# --- whose it is -----------------------------------------------------------------------------------------


class Money(Machine):
    draft = State(initial=Brief, agent=unbound, tokens_max=MOST, usd_micros_max=MOST)
    done = State(final="completed")
    gone = State(final="failed")
    ok = draft.to(done, on=Draft)
    limits = everywhere(
        TokenBudget(700, scope="pool:all"),
        CostBudget(400, scope="label:customer", window_s=3_600),
        otherwise={"cost_budget": gone, "*": gone},
    )


class Money2(Money):
    """Another machine on the same pool."""


async def test_a_pool_is_of_all_who_name_it_and_a_label_of_those_with_its_value(db: Path) -> None:
    clock = MovableClock()
    async with bank(db, Money, clock=clock) as at:
        a, b = {"customer": "a/1"}, {"customer": "b"}
        assert [await at.run(f"a{n}", labels=a) for n in range(3)] == ["done", "done", "gone"]
        assert at.records("a2")[0].rulings[-1].verdict.code == "cost_budget"
        assert await at.run("b0", labels=b) == "done"
        clock.advance(3_600)
        assert await at.run("a3", labels=a) == "done"
        assert at.row("tokens:pool:all") == BudgetRow(spent=600)
        assert at.row("usd_micros:label:customer/3600000=a/1").spent == BILL
        assert at.row("usd_micros:label:customer/3600000=b").spent == BILL
    async with bank(db, Money2, clock=clock) as at:
        assert await at.run("other", labels={"customer": "c"}) == "gone"
        assert at.records("other")[0].rulings[0].verdict.numbers == {"spent": 600, "asked": MOST, "limit": 700}


class Reserved(Machine):
    """Work until little is left; the rest is for those who tidy up."""

    draft = State(initial=Brief, agent=unbound, tokens_max=MOST)
    tidy = State(agent=unbound, tokens_max=BILL, guards=[TokenBudget(600, scope="machine")])
    done = State(final="completed")
    tidied = State(final="completed")
    ok = draft.to(done, on=Draft)
    end = tidy.to(tidied, on=Draft)
    limits = everywhere(TokenBudget(300, scope="machine"), otherwise=tidy)


async def test_a_reserve_is_the_same_budget_asked_with_another_limit(db: Path) -> None:
    async with bank(db, Reserved) as at:
        assert [await at.run(f"r{n}") for n in range(4)] == ["done", "tidied", "tidied", "tidied"]
        await at.start("late")
        assert (await at.runner.settled("late")).outcome == "stopped"
        assert at.row() == BudgetRow(spent=600)


async def test_a_window_begins_anew(db: Path) -> None:
    class Hourly(Desk):
        limits = everywhere(TokenBudget(300, scope="machine", window_s=3_600), otherwise=Desk.gone)

    async with bank(db, Hourly) as at:
        assert [await at.run(f"r{n}") for n in range(2)] == ["done", "gone"]
        at.clock.advance(3_600)
        assert [await at.run(f"s{n}") for n in range(2)] == ["done", "gone"]
        assert at.row("tokens:machine/3600000=Hourly").spent == BILL
    assert spent_of(db) == 2 * BILL


async def test_a_row_that_cannot_be_read_refuses(db: Path) -> None:
    async with bank(db, Desk) as at:
        assert await at.run("r0") == "done"
        with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as connection:
            connection.execute("UPDATE shared SET body = 'nonsense'")
        assert await at.run("r1") == "gone"
        assert at.records("r1")[0].rulings[0].verdict.code == "unreadable"


# --- mistakes --------------------------------------------------------------------------------------------


def test_a_shared_budget_on_a_transition_is_a_mistake() -> None:
    """It would set aside what no visit ever settles."""
    with pytest.raises(DefinitionError, match="put it on the state, or in everywhere"):

        class Wrong(Machine):
            draft = State(initial=Brief, agent=unbound)
            done = State(final="completed")
            ok = draft.to(done, on=Draft, guards=[TOKENS])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"scope": "tenant"}, "write "),
        ({"scope": "label:"}, "write "),
        ({"scope": "pool:a/b"}, "write "),
        ({"scope": None}, "write "),
        ({"warn_at": 5}, "scope that runs share"),
        ({"window_s": 5}, "scope that runs share"),
        ({"scope": "machine", "window_s": 0}, "0.001"),
        ({"scope": "machine", "window_s": 0.0001}, "0.001"),
        ({"scope": "machine", "window_s": True}, "0.001"),
        ({"scope": "machine", "warn_at": 10}, "between 0 and 10"),
        ({"scope": "machine", "warn_at": 0}, "between 0 and 10"),
    ],
)
@pytest.mark.parametrize("budget", [TokenBudget, CostBudget])
def test_a_budget_that_cannot_be(budget: Any, options: Any, told: str) -> None:
    mistake = budget(10, **options).mistake("run")
    assert mistake is not None
    assert told in mistake[1]


def test_its_row_has_a_name() -> None:
    assert TOKENS.shared() == Share("budget", "tokens:machine")
    assert CostBudget(5, scope="pool:x", window_s=1.5).shared() == Share("budget", "usd_micros:pool:x/1500")
    assert TokenBudget(5).shared() is None


# --- changed machines, late outcomes -----------------------------------------------------------------------


async def test_a_budget_that_todays_machine_has_no_more_gets_back_what_its_visits_held(db: Path) -> None:
    class Plain(Machine):
        draft = State(initial=Brief, agent=unbound, tokens_max=MOST, timeout_s=60)
        done = State(final="completed")
        gone = State(final="failed")
        lost = State(final="failed")
        ok = draft.to(done, on=Draft)
        bad = draft.to(lost, on=AgentFailed)
        limits = everywhere(TokenBudget(LIMIT, scope="pool:other"), otherwise=gone)

    async with bank(db, Desk, held=MOST) as at:
        at.script["r"] = at.patient
        await at.start("r")
        await until(lambda: at.began)
        assert at.row().reserved == MOST
    changed: Any = MachineType("Desk", (Plain,), {})
    async with running(db, changed.with_agents(draft=pay)) as runner:
        await runner.resume("r", accept=True)
        assert (await runner.settled("r")).state == "done"
        assert rows_of(runner.journal.read) == {
            "tokens:machine=Desk": BudgetRow(),
            "tokens:pool:other": BudgetRow(spent=BILL),
        }


async def test_what_a_call_spends_after_its_run_has_ended_counts_as_well(db: Path) -> None:
    begun, release = threading.Event(), threading.Event()

    def hang(view: Any) -> Draft:
        def slow() -> None:
            begun.set()
            release.wait(10)
            view.spend(tokens=BILL)

        view.call_sync("model", slow)
        return Draft()

    class Hasty(Desk):
        lost = State(final="failed")
        late = Desk.draft.to(lost, on=TimedOut)

    clock = MovableClock()
    async with running(db, bound := Hasty.with_agents(draft=hang), clock=clock) as runner:
        await runner.start(bound, Brief(), run_id="r")
        await asyncio.to_thread(begun.wait, 10)
        clock.advance(61)
        assert (await runner.settled("r")).state == "lost"
        assert rows_of(runner.journal.read) == {"tokens:machine=Hasty": BudgetRow()}
        release.set()
        await until(lambda: rows_of(runner.journal.read)["tokens:machine=Hasty"].spent)
        assert rows_of(runner.journal.read) == {"tokens:machine=Hasty": BudgetRow(spent=BILL)}
