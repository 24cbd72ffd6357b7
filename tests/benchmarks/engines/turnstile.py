"""Turnstile itself, as its users run it: `synchronous=FULL`, two guards a hop, strict validation, the chain.

History: a memory that every hop adds to by `remember=`; `delta`: payloads that carry only the change, so that the
records are the history and nothing else holds it.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Any, Self

from pydantic import BaseModel

from fsm import Machine, Runner, SqliteJournal, State, View, everywhere
from guards import LoopCap, TokenBudget
from tests.benchmarks.engines.work import Engine, serve
from tests.benchmarks.loop import Brief, Draft, Loop, Verdict, is_good, judge, write


class Notes(BaseModel):
    texts: list[str] = []


def note(notes: Notes, payload: Draft | Verdict) -> Notes:
    return Notes(texts=[*notes.texts, payload.text])


class Remembering(Machine, memory=Notes, memory_bytes_max=4 << 20):
    """The loop with all that was handed on in its memory."""

    draft = State(initial=Brief, agent=write)
    review = State(agent=judge)
    published = State(final="completed")

    submit = draft.to(review, on=Draft, remember=note)
    approve = review.to(published, on=Verdict, when=is_good, remember=note)
    reject = review.to(draft, on=Verdict, remember=note)
    limits = everywhere(TokenBudget(1_000_000_000), LoopCap(1_000_000))


class Turnstile(Engine):
    packages = ("turnstile-fsm",)
    connections: list[sqlite3.Connection]  # the first is the one that writes

    async def __aenter__(self) -> Self:
        self.connections = []

        history = self.job.style == "history"

        async def draft(view: View[Brief | Verdict]) -> Draft:
            assert not history or view.memory is not None  # reading it takes time: the others' agents are given theirs
            await self.desk.work_async(view.payload.round * 2 + 1)
            return await write(view)

        async def review(view: View[Draft]) -> Verdict:
            assert not history or view.memory is not None
            await self.desk.work_async(view.payload.round * 2)
            return await judge(view)

        self.machine = (Remembering if history else Loop).with_agents(draft=draft, review=review)
        journal = SqliteJournal(self.job.db, connect=self.connect)
        self.runner = await Runner(journal, machines=[self.machine], visits_max=self.job.runs).__aenter__()
        return self

    def connect(self, *args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = sqlite3.connect(*args, **options)
        self.connections.append(connection)
        return connection

    async def __aexit__(self, *raised: object) -> None:
        await self.runner.__aexit__(None, None, None)

    async def run(self, names: Sequence[str], hops: int) -> None:
        async def one(name: str) -> None:
            await self.runner.start(self.machine, Brief(rounds=hops // 2), run_id=name)
            await self.resume(name)

        await asyncio.gather(*map(one, names))

    async def resume(self, name: str) -> None:
        run = await self.runner.settled(name)
        assert run.outcome == "completed", str(run)

    async def pragma(self, name: str) -> Any:
        return self.connections[0].execute(f"PRAGMA {name}").fetchone()[0]


if __name__ == "__main__":
    serve(Turnstile)
