"""Looking for runs; counting what a long run has counted without reading it."""

import asyncio
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fsm import AgentFailed, Machine, Retry, Runner, SqliteJournal, State, View, any_of, everywhere, read_journal
from fsm.core.snapshot import fold
from fsm.define.guard import Counter
from fsm.journal.search import Search, count, counted, find, notable, resting, spent
from guards import Deadline, LoopCap, Strikes, TokenBudget


class Brief(BaseModel):
    turns: int


class Draft(BaseModel):
    text: str
    turn: int


class Rest(BaseModel):
    turn: int


async def write(view: View[Any]) -> Draft:
    view.spend(tokens=3, usd_micros=5)
    return Draft(text="x" * 20_000, turn=view.visit)


async def judge(view: View[Draft]) -> Draft | Rest:
    return Rest(turn=view.payload.turn) if view.payload.turn % 7 == 0 else view.payload


async def wait(view: View[Rest]) -> Rest:
    return view.payload


class Loop(Machine):
    draft = State(initial=Brief, agent=write)
    review = State(agent=judge)
    rest = State(agent=wait)
    submit = draft.to(review, on=Draft)
    reject = review.to(draft, on=Draft)
    pause = review.to(rest, on=Rest)
    again = rest.to(draft, on=Rest, guards=[LoopCap(4)])
    limits = everywhere(LoopCap(50, since=rest), LoopCap(900), TokenBudget(9_000))


COUNTERS = [
    Counter("fires", "reject"),
    Counter("visits", "draft"),
    Counter("hops"),
    Counter("hops", "", "rest"),
    Counter("tokens"),
    Counter("usd_micros"),
]


def test_counts_are_those_of_the_fold_with_snapshots_and_without(tmp_path: Path):
    async def record() -> None:
        async with Runner(SqliteJournal(tmp_path / "runs.db", synchronous="OFF"), handle_signals=False) as runner:
            await runner.start(Loop, Brief(turns=1), run_id="42", labels={"team": "a"})
            await runner.settled("42")

    asyncio.run(record())
    reader = read_journal(tmp_path / "runs.db")
    try:
        run = reader.run("42")
        assert reader.snapshot(run.key) is not None
        truth = fold(reader.spec(run.fingerprint), reader.records(run.key))
        expected = {counter.key: truth.counters.get(counter.key, 0) for counter in COUNTERS}
        assert counted(reader, run, COUNTERS, 0) == expected
        assert expected["hops@rest"] < expected["hops"]
        assert spent(reader, [run.key]) == {run.key: truth.spent}
        assert notable(reader, run.key, 0, run.seq, 5) == [run.seq]
        assert notable(reader, run.key, 0, run.seq - 1, 5) == []
        found = Search(labels={"team": "a"}, state="rest", machine="Loop")
        assert (count(reader, found), [one.run_id for one in find(reader, found, 5)]) == (1, ["42"])
        assert find(reader, Search(labels={"team": "b"}), 5) == []
    finally:
        reader.close()


async def fail(view: View[Any]) -> Draft:
    view.spend(tokens=3)
    raise ConnectionError("503")


class Flaky(Machine):
    """Every attempt fails; a visit of `ask` has two."""

    ask = State(initial=Brief, agent=fail, retry=Retry(attempts_max=2, base_s=0.001), guards=[Strikes("model", 99)])
    back = State(agent=fail)
    over = State(final="failed")
    first = ask.to(back, on=AgentFailed)
    again = back.to(ask, on=AgentFailed, guards=[LoopCap(2), LoopCap(9, scope="run", since=ask)], otherwise=over)
    written = any_of(ask, back).to(over, on=Draft)
    limits = everywhere(LoopCap(80), Deadline(60))


def test_a_retry_counts_as_a_hop_and_enters_nothing(tmp_path: Path):
    async def record() -> None:
        async with Runner(SqliteJournal(tmp_path / "runs.db", synchronous="OFF"), handle_signals=False) as runner:
            await runner.start(Flaky, Brief(turns=1), run_id="42")
            await runner.settled("42")

    asyncio.run(record())
    reader = read_journal(tmp_path / "runs.db")
    try:
        run, counters = reader.run("42"), {one.counter for one in Flaky.spec.guards if one.counter is not None}
        truth = fold(Flaky.spec, reader.records(run.key))
        folded = (counters | {Counter("visits", "ask"), Counter("tokens")}) - {Counter("elapsed_ms")}
        expected = {counter.key: truth.counters.get(counter.key, 0) for counter in folded}
        assert (expected["fires:ask.retry@ask"], expected["visits:ask"], expected["strikes:model"]) == (1, 3, 6)
        assert counted(reader, run, folded, 0) == expected
        assert counted(reader, run, counters, 0)["elapsed_ms"] == run.at_ms - run.started_at_ms
        assert resting(reader, [run], 0) == {}
        retried = [record.seq for record in reader.records(run.key) if record.kind == "retried"]
        assert len(retried) == 3 and {*retried} < {*notable(reader, run.key, 0, run.seq, 9)}
    finally:
        reader.close()
