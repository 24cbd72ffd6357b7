"""Looking for runs; counting what a long run has counted without reading it."""

import asyncio
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fsm import Machine, Runner, SqliteJournal, State, View, everywhere, read_journal
from fsm.core.snapshot import fold
from fsm.define.guard import Counter
from fsm.journal.search import Search, count, counted, find, notable, spent
from guards import LoopCap, TokenBudget


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
