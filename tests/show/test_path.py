"""The path of a run: which records of a long one are shown, and what became of each call."""

import asyncio
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fsm import AgentFailed, Machine, Runner, SqliteJournal, State, View, any_of, read_journal
from fsm.errors import CallFailed
from fsm.journal.search import detours
from fsm.show.path import CallTold, Gap, PathLine, calls_told, path, shown
from guards import LoopCap, PayloadSize, Repeat


class Brief(BaseModel):
    turns: int = 1


class Draft(BaseModel):
    text: str = ""


class Loop(Machine):
    draft = State(initial=Brief)
    done = State(final="completed")
    person = State()
    again = draft.to(draft, on=Draft, guards=[LoopCap(45)], otherwise=person)
    back = person.to(draft, on=Draft)


class Caller(Machine):
    draft = State(initial=Brief)
    done = State(final="completed")
    submit = draft.to(done, on=Draft)
    broken = any_of(draft).to(done, on=AgentFailed)


def journal(folder: Path) -> SqliteJournal:
    return SqliteJournal(folder / "runs.db", synchronous="OFF")


def looping(folder: Path, events: int) -> None:
    async def record() -> None:
        async with Runner(journal(folder), handle_signals=False) as runner:
            await runner.start(Loop, Brief(), run_id="42")
            for _ in range(events):
                await runner.send("42", Draft())

    asyncio.run(record())


def test_a_short_run_is_shown_whole(tmp_path: Path):
    looping(tmp_path, 5)
    reader = read_journal(tmp_path / "runs.db")
    run = reader.run("42")
    assert shown(reader, run) == [range(6)]
    lines = [line for line in path(reader, run, shown(reader, run)) if isinstance(line, PathLine)]
    assert [line.caps for line in lines[:3]] == [(), ("1/45",), ("2/45",)]
    reader.close()


def test_of_a_long_run_the_ends_and_the_refusals_between_are_shown(tmp_path: Path):
    looping(tmp_path, 90)
    reader = read_journal(tmp_path / "runs.db")
    run = reader.run("42")
    items = list(path(reader, run, shown(reader, run)))
    lines = [item for item in items if isinstance(item, PathLine)]
    gaps = [item.records for item in items if isinstance(item, Gap)]
    assert len(lines) + sum(gaps) == 91
    assert len(lines) <= 40
    assert [line.seq for line in lines[:8]] == list(range(8))
    assert lines[-1].seq == 90
    assert {line.caps for line in lines if line.hop in ("again.otherwise", "back")} == {()}  # it did not fire
    assert any(line.hop == "again.otherwise" and line.seq == 46 for line in lines)
    assert [line.objections for line in lines if line.seq == 46] == [("LoopCap on again refused firing 46 of 45",)]
    assert detours(reader, run.key) == {"again.otherwise": 23}
    everything = path(reader, run, shown(reader, run, everything=True))
    assert [item.seq for item in everything if isinstance(item, PathLine)] == list(range(91))
    reader.close()


def test_what_became_of_each_call(tmp_path: Path):
    begun = asyncio.Event()

    async def hang() -> str:
        begun.set()
        await asyncio.Event().wait()
        return ""

    async def fail() -> str:
        raise OSError("gone")

    def agent(last: Any) -> Any:
        async def work(view: View[Brief]) -> Draft:
            await view.call("model", str, 1)
            try:
                await view.call("tool", fail)
            except CallFailed:
                view.spend(tokens=5)
            await view.call("slow", last)
            return Draft()

        return work

    class Working(Machine, machine_name="Caller"):
        draft = State(initial=Brief, agent=agent(hang))
        done = State(final="completed")
        submit = draft.to(done, on=Draft)

    async def quick() -> str:
        return "done"

    async def record() -> None:
        async with Runner(journal(tmp_path), handle_signals=False) as runner:
            await runner.start(Working, Brief(), run_id="42")
            await begun.wait()
        assert statuses(tmp_path) == [("model", "ok"), ("tool", "failed"), ("slow", "open")]
        again = Working.with_agents(draft=agent(quick))
        async with Runner(journal(tmp_path), machines=[again], handle_signals=False) as runner:
            await runner.settled("42")

    asyncio.run(record())
    assert statuses(tmp_path) == [("model", "ok"), ("tool", "failed"), ("slow", "lost"), ("slow", "ok")]
    calls = told(tmp_path)
    assert calls[1].error == "OSError: gone"
    assert calls[-1].result == b'"done"'


def test_what_nobody_knows_of_a_call_is_told_with_what_is_booked_for_it(tmp_path: Path):
    begun = asyncio.Event()

    async def work(view: View[Brief]) -> Draft:
        async def ask() -> None:
            view.spend(tokens=10)
            begun.set()
            if view.attempt == 1:
                await asyncio.Event().wait()

        await view.call("model", ask, tokens_max=100)
        return Draft()

    class Working(Machine):
        draft = State(initial=Brief, agent=work)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)

    async def record() -> None:
        async with Runner(journal(tmp_path), handle_signals=False) as runner:
            await runner.start(Working, Brief(), run_id="42")
            await begun.wait()
        async with Runner(journal(tmp_path), machines=[Working], handle_signals=False) as runner:
            await runner.settled("42")

    asyncio.run(record())
    found = [(call.status, call.spent.tokens, call.attempt) for call in told(tmp_path)]
    assert sorted(found) == [("ok", 10, 2), ("spent", 10, 1), ("unknown", 90, 1)]


def told(folder: Path) -> list[CallTold]:
    reader = read_journal(folder / "runs.db")
    try:
        run = reader.run("42")
        return [call for calls in calls_told(reader, run, 0, run.seq).values() for call in calls]
    finally:
        reader.close()


def statuses(folder: Path) -> list[tuple[str, str]]:
    return [(call.name, call.status) for call in sorted(told(folder), key=lambda call: call.attempt) if call.name]


class Sized(Machine):
    draft = State(initial=Brief)
    done = State(final="completed")
    person = State(final="failed")
    again = draft.to(
        draft, on=Draft, guards=[LoopCap(9), Repeat(3), PayloadSize(40)], otherwise={"payload_size": person, "*": done}
    )


def test_counts_other_than_of_the_way_itself_have_names_and_a_refused_way_has_none(tmp_path: Path):
    async def record() -> None:
        async with Runner(journal(tmp_path), handle_signals=False) as runner:
            await runner.start(Sized, Brief(), run_id="42")
            for text in ("short", "x" * 80):
                await runner.send("42", Draft(text=text))

    asyncio.run(record())
    reader = read_journal(tmp_path / "runs.db")
    run = reader.run("42")
    lines = [line for line in path(reader, run, shown(reader, run)) if isinstance(line, PathLine)]
    assert [(line.hop, line.caps) for line in lines[1:]] == [
        ("again", ("1/9", "1/2 arrivals")),
        ("again.otherwise.payload_size", ()),
    ]
    reader.close()
