"""A run continued from one of its records: what it has of its parent, what happens again, what is left alone."""

import asyncio
import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import frozen
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    Facts,
    Guard,
    Kind,
    Machine,
    NotForkable,
    NothingToAnswer,
    PayloadRefused,
    Retry,
    Run,
    RunConflict,
    Runner,
    Spent,
    State,
    TimedOut,
    Verdict,
    View,
    any_of,
    defer,
    everywhere,
    hours,
    minutes,
    refuse,
    unbound,
)
from fsm.journal.forks import Fork, effects, forks_of, parents
from fsm.journal.search import counted, spent
from fsm.runner.fork import forking
from fsm.runner.recovery import load
from fsm.testing import MovableClock, hang, scripted
from guards import Breaker, Deadline, LoopCap, TokenBudget
from tests.helpers import FULL, failing, running


class Brief(BaseModel):
    topic: str = ""


class Draft(BaseModel):
    text: str


class Remark(BaseModel):
    good: bool = False


class Note(BaseModel):
    """From a person."""


class Memory(BaseModel):
    texts: list[str] = []


def keep(memory: Memory, draft: Draft) -> Memory:
    return Memory(texts=[*memory.texts, draft.text])


def is_good(remark: Remark) -> bool:
    return remark.good


async def write(view: View[Brief | Remark | Note | TimedOut]) -> Draft:
    """Its third visit fails once; the calls of an attempt that failed were made all the same."""
    view.spend(tokens=10)
    await view.call("model", lambda: "text", key=None)
    if view.visit % 3 == 0 and view.attempt == 1:
        raise ConnectionError("lost")
    await view.call("save", lambda: None)
    return Draft(text=f"draft {view.visit} after {len(view.memory.texts)}")


async def judge(view: View[Draft]) -> Remark:
    await view.call("model", lambda: "remark")
    view.spend(tokens=5)
    return Remark(good=view.visit == 12)


class Loop(Machine, memory=Memory):
    """Eleven rejections, with a person in the midst of them; every visit calls."""

    draft = State(initial=Brief, agent=write, tokens_max=100, retry=Retry(attempts_max=2, base_s=0, cap_s=0))
    review = State(agent=judge, tokens_max=100)
    person = State(timeout_s=hours(1))
    done = State[Remark](final="completed")

    submit = draft.to(review, on=Draft, remember=keep)
    approve = review.to(done, on=Remark, when=is_good)
    reject = review.to(draft, on=Remark, guards=[LoopCap(5)], otherwise=person)
    go = person.to(draft, on=Note)
    late = person.to(draft, on=TimedOut)
    limits = everywhere(LoopCap(60), TokenBudget(5_000), TokenBudget(900_000, scope="label:team"))


class Capped(Loop, machine_name="Loop"):
    reject = Loop.reject.but(guards=[LoopCap(4)])


async def driven(runner: Runner, run_id: str) -> Run:
    """The run once it has ended; a person who is waited for says to go on."""
    while not (run := await runner.settled(run_id)).ended:
        await runner.send(run_id, Note())
    return run


def calls(runner: Runner, run: Run) -> Counter[str]:
    return Counter(row.name for row in runner.journal.read.calls(run.key) if row.kind == "intent")


def budget(db: Path) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(db)) as connection:
        (body,) = connection.execute("SELECT body FROM shared WHERE name = 'tokens:label:team=a'").fetchone()
    return json.loads(body)  # type: ignore[no-any-return]


def rows_of(db: Path, key: int) -> list[Any]:
    """Every row of a run, byte for byte."""
    tables = {"run": "key", **dict.fromkeys(("record", "call", "snapshot", "timer", "inbox"), "run")}
    with contextlib.closing(sqlite3.connect(db)) as connection:
        return [
            connection.execute(f"SELECT * FROM {name} WHERE {of} = ?", (key,)).fetchall() for name, of in tables.items()
        ]


@pytest.mark.parametrize("first", range(4))
async def test_a_fork_from_every_record_repeats_what_was_called_from_there_on_and_pays_for_that_only(
    db: Path, first: int
) -> None:
    """The agents do the same again, so each fork ends as its parent did, with the same counts and the same memory."""
    async with running(db, Loop) as runner:
        await runner.start(Loop, Brief(), run_id="p", labels={"team": "a"})
        parent, read = await driven(runner, "p"), runner.journal.read
        assert parent.seq + 1 >= 30 and parent.outcome == "completed"
        ended, before = load(runner._driver, parent).snapshot, rows_of(db, parent.key)
        for at in range(first, parent.seq, 4):
            was, found = budget(db), forking(read, parent, Loop.spec, at)
            fork = await runner.fork("p", at=at, new_id=f"fork-{at}")
            fork = await driven(runner, fork.run_id)
            after = load(runner._driver, fork).snapshot
            assert calls(runner, fork) == found.effects.made, at
            assert (fork.outcome, fork.labels, after.memory) == ("completed", {"team": "a"}, ended.memory)
            own = sum((record.spent for record in read.records(fork.key)), Spent())
            assert budget(db) == {"spent": was["spent"] + own.tokens}, "nothing is charged twice, nothing is left aside"
            assert spent(read, [fork.key])[fork.key] == after.spent == found.origin.snapshot.spent + own
            twice = read.record(parent.key, at).kind == "retried"  # the attempt before it is made again
            assert after.counters["hops"] == ended.counters["hops"] + twice
            assert after.spent == ended.spent + Spent(10 * twice)
        assert rows_of(db, parent.key) == before
        assert forks_of(read, "p") == [Fork(f"fork-{at}", at) for at in range(first, parent.seq, 4)]
        assert set(parents(read, read.runs()).values()) == {Fork("p", at) for at in range(first, parent.seq, 4)}


async def test_a_visit_that_begins_anew_has_all_its_attempts(db: Path) -> None:
    async with running(db, Loop) as runner:
        await runner.start(Loop, Brief(), run_id="p")
        parent, read = await driven(runner, "p"), runner.journal.read
        at = next(record.seq for record in read.records(parent.key) if record.kind == "retried")
        fork = await driven(runner, (await runner.fork("p", at=at)).run_id)
        first, again, *_ = read.records(fork.key)
        assert (first.attempt, again.kind, again.attempt) == (1, "retried", 1)


async def test_what_a_fork_has_counted_is_told_with_what_its_parent_had(db: Path) -> None:
    async with running(db, Loop) as runner:
        await runner.start(Loop, Brief(), run_id="p")
        run, read = await runner.settled("p"), runner.journal.read
        fork = await runner.fork("p", at=run.seq)
        counters = [guard.counter for guard in Loop.spec.guards if guard.counter is not None]
        told = counted(read, fork, counters, fork.at_ms)
        assert told == counted(read, run, counters, run.at_ms)
        assert (told["fires:reject"], told["hops"]) == (5, 14)


# -- where a run can be forked ---------------------------------------------------------------------


class Small(Machine):
    work = State(initial=Brief, agent=unbound)
    check = State(agent=unbound)
    person = State()
    done = State(final="completed")
    made = work.to(check, on=Draft)
    good = check.to(done, on=Remark, when=is_good)
    bad = check.to(work, on=Remark)
    ask = any_of(work, check).to(person, on=AgentFailed)
    go = person.to(work, on=Note)


def small(work: Any = None, check: Any = None) -> type[Machine]:
    return Small.with_agents(work=work or scripted(Draft(text="x")), check=check or scripted(Remark(good=True)))


async def test_what_cannot_be_forked_is_refused_with_what_can(db: Path) -> None:
    machine = small()
    async with running(db, machine) as runner:
        await runner.start(machine, Brief(), run_id="p")
        assert (await runner.settled("p")).seq == 2
        with pytest.raises(
            NotForkable, match=r"there it ended \(completed\)\n  -> fork it at record 1, the last before"
        ):
            await runner.fork("p", at=2)
        for at in (-1, 3):
            with pytest.raises(NotForkable, match=rf"at record {at}: it has records 0 to 2"):
                await runner.fork("p", at=at)
        with pytest.raises(RunConflict, match="began with Brief, as no fork"):
            await runner.fork("p", at=1, new_id="p")
        assert [run.run_id for run in runner.journal.read.runs()] == ["p"]


@frozen
class Closed(Guard):
    """Lets nobody in, or not for an hour."""

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("closed",)

    def check(self, facts: Facts, /) -> Verdict:
        waits = isinstance(facts.payload, Brief) and facts.payload.topic == "later"
        return defer("closed", facts.at_ms + 3_600_000) if waits else refuse("closed")


@pytest.mark.parametrize("topic", ["now", "later"])
async def test_a_run_that_has_not_come_into_a_state_is_started_anew(db: Path, topic: str) -> None:
    class Shop(Machine):
        work = State(initial=Brief, agent=hang, guards=[Closed()])
        done = State(final="completed")
        end = work.to(done, on=Draft)

    async with running(db, Shop) as runner:
        await runner.start(Shop, Brief(topic=topic), run_id="p")
        run = await runner.cancel("p")
        for at in range(run.seq + 1):
            with pytest.raises(NotForkable, match="-> start a new run"):
                await runner.fork("p", at=at)


async def test_a_halted_run_is_forked_in_the_state_it_halted_in(db: Path) -> None:
    machine = rejecting(3, check=scripted(ValueError("no"), Remark(good=True)))
    async with running(db, machine) as runner:
        await runner.start(machine, Brief(), run_id="p")
        assert (await runner.settled("p")).outcome == "stuck"
        fork = await runner.settled((await runner.fork("p", at=2)).run_id)
        assert (fork.outcome, fork.seq) == ("completed", 1)
        assert (await runner.settled("p")).outcome == "stuck"


async def test_the_same_id_and_record_again_is_the_same_run_and_anything_else_a_conflict(db: Path) -> None:
    machine = small()
    async with running(db, machine) as runner:
        await runner.start(machine, Brief(), run_id="p")
        await runner.settled("p")
        first = await runner.settled((await runner.fork("p", at=1, new_id="f")).run_id)
        assert (await runner.fork("p", at=1, new_id="f")).key == first.key
        for other in ({"at": 0}, {"at": 1, "payload": Draft(text="another")}):
            with pytest.raises(RunConflict, match=r"a fork of run 'p' at record 1|another Draft"):
                await runner.fork("p", new_id="f", **other)
        with pytest.raises(RunConflict, match="a fork of run 'p' at record 1"):
            await runner.start(machine, Brief(), run_id="f")


# -- what its visit works on -----------------------------------------------------------------------


async def test_its_visit_may_work_on_another_payload_that_arrives_there(db: Path) -> None:
    seen: list[BaseModel] = []

    async def check(view: View[Draft]) -> Remark:
        seen.append(view.payload)
        return Remark(good=True)

    machine = small(check=check)
    async with running(db, machine) as runner:
        await runner.start(machine, Brief(), run_id="p")
        await runner.settled("p")
        for payload in (None, Draft(text="mine")):
            await runner.settled((await runner.fork("p", at=1, payload=payload)).run_id)
        assert seen == [Draft(text="x"), Draft(text="x"), Draft(text="mine")]
        with pytest.raises(PayloadRefused, match="Small enters check with Draft; not Remark"):
            await runner.fork("p", at=1, payload=Remark())


async def test_what_only_the_runtime_brings_nobody_gives(db: Path) -> None:
    machine = small(work=scripted(ValueError("no")))
    async with running(db, machine) as runner:
        await runner.start(machine, Brief(), run_id="p")
        assert (await runner.settled("p")).state == "person"
        with pytest.raises(PayloadRefused, match="Small enters person with nothing; not Note"):
            await runner.fork("p", at=1, payload=Note())
        fork = await runner.fork("p", at=1)
        assert (fork.state, fork.outcome) == ("person", "waiting")


async def test_a_fallback_still_knows_what_failed(db: Path) -> None:
    seen: list[str] = []

    async def second(view: View[Brief]) -> Draft:
        assert view.failure is not None and isinstance(view.failure, AgentFailed)
        seen.append(f"{view.payload.topic}: {view.failure.message}")
        return Draft(text="second")

    class Careful(Machine):
        work = State(initial=Brief, agent=scripted(ValueError("first")), fallback=second)
        done = State(final="completed")
        end = work.to(done, on=Draft)

    async with running(db, Careful) as runner:
        await runner.start(Careful, Brief(topic="t"), run_id="p")
        assert (await runner.settled("p")).seq == 2
        await runner.settled((await runner.fork("p", at=1, new_id="f")).run_id)
        await runner.settled((await runner.fork("f", at=0, new_id="g")).run_id)
    assert seen == ["t: first"] * 3


async def test_a_failure_that_was_erased_is_told(db: Path) -> None:
    class Careful(Machine):
        work = State(initial=Brief, agent=scripted(ValueError("first")), fallback=scripted(Draft(text="second")))
        done = State(final="completed")
        end = work.to(done, on=Draft)

    async with running(db, Careful) as runner:
        await runner.start(Careful, Brief(), run_id="p")
        await runner.settled("p")
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as shell:
        shell.execute("UPDATE record SET body = NULL WHERE seq = 1")
    async with Runner(db, machines=[Careful], handle_signals=False) as runner:
        with pytest.raises(NotForkable, match="its visit is after AgentFailed of record 1; its payload was erased"):
            await runner.fork("p", at=1)


async def test_the_refusal_that_led_there_is_seen_again(db: Path) -> None:
    seen: list[str] = []

    async def calm(view: View[Any]) -> Note:
        assert view.refusal is not None
        seen.append(view.refusal.verdict.code)
        return Note()

    class Capped(Machine):
        work = State(initial=Brief, agent=scripted(Remark()))
        calm_down = State(agent=calm)
        done = State[Any](final="completed")
        again = work.to(work, on=Remark, guards=[LoopCap(1)], otherwise=calm_down)
        end = calm_down.to(done, on=Note)

    async with running(db, Capped) as runner:
        await runner.start(Capped, Brief(), run_id="p")
        run = await runner.settled("p")
        await runner.settled((await runner.fork("p", at=run.seq - 1)).run_id)
    assert seen == ["loop_cap", "loop_cap"]


# -- time ------------------------------------------------------------------------------------------


class Timed(Machine):
    work = State(initial=Brief, agent=scripted(Draft(text="x")))
    desk = State(timeout_s=minutes(20))
    done = State[Any](final="completed")
    over = State[Any](final="failed")
    late = State[Any](final="failed")
    made = work.to(desk, on=Draft)
    again = desk.to(desk, on=Note)
    good = desk.to(done, on=Remark)
    out = desk.to(late, on=TimedOut)
    limits = everywhere(Deadline(hours(1)), otherwise=over)


async def test_the_time_a_run_had_taken_is_inherited_and_that_until_somebody_forked_it_is_not(db: Path) -> None:
    """What a deadline counts is a count like others: a fork neither begins with a fresh hour nor comes too late."""
    clock = MovableClock()
    async with running(db, Timed, clock=clock) as runner:
        await runner.start(Timed, Brief(), run_id="p")
        await runner.settled("p")
        for _ in range(3):
            clock.advance(15 * 60)
            await runner.send("p", Note())
        run = await runner.settled("p")
        clock.advance(7 * 24 * 3600)
        fork = await runner.fork("p", at=run.seq)
        assert fork.at_ms - fork.started_at_ms == 45 * 60_000
        (timer,) = runner.journal.read.timers(fork.key)
        assert timer.due_ms == fork.at_ms + 15 * 60_000, "its wait begins anew, and ends with the run's deadline"
        clock.advance(10 * 60)
        await runner.send(fork.run_id, Remark(good=True))
        assert (await runner.settled(fork.run_id)).state == "done"
        fork = await runner.fork("p", at=run.seq)
        clock.advance(15 * 60 + 1)
        assert (await runner.finished(fork.run_id)).state == "late"


# -- a machine that has changed --------------------------------------------------------------------


def rejecting(cap: int, **more: Any) -> type[Machine]:
    class Rejecting(Machine):
        work = State(initial=Brief, agent=scripted(Draft(text="x")))
        check = State(agent=scripted(Remark()))
        done = State[Any](final="completed")
        made = work.to(check, on=Draft)
        good = check.to(done, on=Remark, when=is_good)
        bad = check.to(work, on=Remark, guards=[LoopCap(cap)])

    return Rejecting.with_agents(**more) if more else Rejecting


async def test_a_run_stopped_by_a_cap_goes_on_under_the_machine_that_has_a_higher_one(db: Path) -> None:
    old, new = rejecting(3), rejecting(5)
    async with running(db, old) as runner:
        await runner.start(old, Brief(), run_id="p")
        stopped = await runner.settled("p")
        assert stopped.outcome == "stopped"
    async with running(db, new, adopt=False) as runner:
        fork = await runner.fork("p", at=stopped.seq)
        fork = await runner.settled(fork.run_id)
        assert (fork.outcome, fork.fingerprint) == ("stopped", new.spec.fingerprint)
        first, *rest = runner.journal.read.records(fork.key)
        assert first.note["parent_fingerprint"] == old.spec.fingerprint
        assert [record.hop for record in rest].count("bad") == 2
        assert runner.journal.read.run("p") == stopped


async def test_a_run_that_was_repinned_is_forked_before_and_after_that(db: Path) -> None:
    old, new = Loop.with_agents(draft=scripted(ValueError("no"))), Capped
    async with running(db, old) as runner:
        await runner.start(old, Brief(), run_id="p")
        assert (await runner.settled("p")).outcome == "stuck"
    async with running(db, new, adopt=False) as runner:
        await runner.resume("p", accept=True)
        parent, read = await driven(runner, "p"), runner.journal.read
        repinned = next(record.seq for record in read.records(parent.key) if record.kind == "repinned")
        for at in (repinned - 1, repinned, repinned + 3):
            fork = await driven(runner, (await runner.fork("p", at=at)).run_id)
            assert (fork.outcome, fork.fingerprint) == ("completed", new.spec.fingerprint)
            under = next(iter(read.records(fork.key))).note["parent_fingerprint"]
            assert under == (old if at < repinned else new).spec.fingerprint


def keeping_loudly() -> Callable[[Memory, Draft], Memory]:
    def keep(memory: Memory, draft: Draft) -> Memory:
        return Memory(texts=[*memory.texts, draft.text.upper()])

    return keep


async def test_a_memory_that_today_is_another_is_not_passed_on(db: Path) -> None:
    """The code of `remember` is in no fingerprint: what it makes of the records is held against what they say."""

    class Loud(Loop, machine_name="Loop"):
        submit = Loop.submit.but(remember=keeping_loudly())

    assert Loud.spec.fingerprint == Loop.spec.fingerprint
    async with running(db, Loop) as runner:
        await runner.start(Loop, Brief(), run_id="p")
        await driven(runner, "p")
    async with Runner(db, machines=[Loud], handle_signals=False) as runner:
        with pytest.raises(NotForkable, match=r"makes another memory .*\n  -> see where it begins to: fsm replay p"):
            await runner.fork("p", at=3)


async def test_a_position_has_its_bound(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsm.runner.fork.SNAPSHOT_BYTES_MAX", 100)
    async with running(db, Loop) as runner:
        await runner.start(Loop, Brief(), run_id="p")
        with pytest.raises(NotForkable, match="its position has more than 100 bytes"):
            await runner.fork("p", at=0)


async def test_a_machine_without_the_state_or_the_payload_is_told(db: Path) -> None:
    class Note2(BaseModel):
        pass

    class Less(Machine, machine_name="Small"):
        person = State(initial=Brief)
        check = State(agent=scripted(Remark(good=True)))
        done = State[Any](final="completed")
        made = person.to(check, on=Note2)
        good = check.to(done, on=Remark)

    machine = small()
    async with running(db, machine) as runner:
        await runner.start(machine, Brief(), run_id="p")
        await runner.settled("p")
    async with running(db, Less, adopt=False) as runner:
        with pytest.raises(NotForkable, match="in state work, which Small no longer has"):
            await runner.fork("p", at=0)
        with pytest.raises(NotForkable, match="Small no longer has payload Draft, of record 1"):
            await runner.fork("p", at=1)
        fork = await runner.fork("p", at=1, payload=Note2())
        assert (await runner.settled(fork.run_id)).outcome == "completed"


# -- what others share -----------------------------------------------------------------------------


async def test_a_fork_has_none_of_its_parents_permits(db: Path) -> None:
    async def broken(view: View[Any]) -> Draft:
        raise ConnectionError("down")

    class Watched(Machine):
        work = State(initial=Brief, agent=broken, guards=[Breaker("tool", failures_max=2)])
        done = State[Any](final="completed")
        person = State[Any]()
        end = work.to(done, on=Draft)
        ask = work.to(person, on=AgentFailed)
        go = person.to(done, on=Note)

    async with running(db, Watched) as runner:
        await runner.start(Watched, Brief(), run_id="p")
        await runner.settled("p")
        for _ in range(3):
            await runner.settled((await runner.fork("p", at=0)).run_id)
    with contextlib.closing(sqlite3.connect(db)) as connection:
        ((body,),) = connection.execute("SELECT body FROM shared").fetchall()
    assert json.loads(body).get("failures") == 1, "who was not permitted is not heard"


# -- crashes ---------------------------------------------------------------------------------------


async def test_a_fork_that_cannot_be_written_leaves_nothing(db: Path) -> None:
    machine = small()
    async with running(db, machine) as runner:
        await runner.start(machine, Brief(), run_id="p")
        await runner.settled("p")
    journal, (connection, *_) = failing(db)
    async with running(db, machine, journal=journal) as runner:
        connection.reason = FULL
        with pytest.raises(Exception, match="disk is full"):
            await runner.fork("p", at=1, new_id="f")
        connection.reason = None
        assert [run.run_id for run in runner.journal.read.runs()] == ["p"]
        assert (await runner.settled((await runner.fork("p", at=1, new_id="f")).run_id)).outcome == "completed"


async def test_a_fork_whose_runner_is_gone_goes_on_with_the_next_one(db: Path) -> None:
    texts: list[list[str]] = []

    async def look(view: View[Any]) -> Remark:
        texts.append(view.memory.texts)
        return Remark(good=True)

    hanging = Loop.with_agents(review=hang)
    async with running(db, hanging) as runner:
        await runner.start(Loop, Brief(), run_id="p")
        await driven(runner, "p")
        await runner.fork("p", at=3, new_id="f")
    async with running(db, hanging) as runner:
        while runner.journal.read.run("f").seq < 1:
            await asyncio.sleep(0)
    async with running(db, Loop.with_agents(review=look)) as runner:
        assert (await runner.settled("f")).outcome == "completed"
    assert texts == [["draft 1 after 0", "draft 2 after 1"]]


# -- what happens again ----------------------------------------------------------------------------


async def test_what_was_keyed_is_made_again_and_what_was_not_done_is_left_out(db: Path) -> None:
    """A key counts for one run: the fork has another, and a call that its parent would not make twice, it makes."""

    async def work(view: View[Any]) -> Draft:
        await view.call("charge", lambda: 1, key="once")
        await view.call("look", lambda: 1)
        return Draft(text="x")

    async def check(view: View[Any]) -> Remark:
        await view.call("charge", lambda: 1, key="once")
        await view.call("pay", hanging, unsure="ask")
        return Remark(good=True)

    begun = asyncio.Event()

    async def hanging() -> None:
        begun.set()
        await asyncio.Event().wait()

    machine = small(work=work, check=check)
    async with running(db, machine) as runner:
        await runner.start(machine, Brief(), run_id="p")
        await begun.wait()
    async with running(db, machine) as runner:
        run, read = await runner.settled("p"), runner.journal.read
        assert run.outcome == "stuck", "it asks whether it was paid"
        assert (effects(read, run, 0).made, effects(read, run, 0).keyed) == ({"charge": 1, "look": 1, "pay": 1}, {})
        assert (effects(read, run, 1).made, effects(read, run, 1).keyed) == ({"pay": 1}, {"charge": 1})
        fork = await runner.fork("p", at=run.seq)
        with pytest.raises(NothingToAnswer, match="it has asked nothing"):
            await runner.answer(fork.run_id, "pay", again=True)
