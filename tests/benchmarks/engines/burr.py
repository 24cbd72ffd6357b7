"""Apache Burr with its SQLite persisters, from apache-burr 0.43.

Durable mode: `with_state_persister`; the persister saves the state after every action, and the next action waits for
it (its documentation, "State Persistence"). Both persisters take a connection and leave it as it is:
as shipped a rollback journal, which WAL beats, so WAL is set on the connection given. One run is
fastest with `SQLitePersister` (0.6 ms a hop against 1.1 ms), a thousand at once with `AsyncSQLitePersister` on one
connection for all (0.4 ms against 0.7 ms one after the other): the rows of many runs then share a COMMIT by chance,
and each save still returns after a COMMIT that holds its row.

History: `State.append`. The state is saved whole, so the list is too.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Self

import aiosqlite
from burr.core import ApplicationBuilder, State, action, default, when
from burr.core.persistence import SQLitePersister
from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister

from tests.benchmarks.engines.work import TEXT, Engine, serve


class Burr(Engine):
    packages = ("apache-burr",)

    async def __aenter__(self) -> Self:
        self.many = self.job.runs > 1
        if self.many:
            self.connection = await aiosqlite.connect(self.job.db)
            self.persister = AsyncSQLitePersister(self.connection)
        else:
            self.connection = sqlite3.connect(self.job.db)
            self.persister = SQLitePersister(self.job.db, connection=self.connection)
        if not self.job.shipped:
            await self.pragma("journal_mode = WAL")
        begun = self.persister.initialize()
        if self.many:
            await begun
        self.actions = self.agents_async() if self.many else self.agents()
        return self

    async def __aexit__(self, *raised: object) -> None:
        closed = self.connection.close()
        if self.many:
            await closed

    async def run(self, names: Sequence[str], hops: int) -> None:
        if self.many:
            await asyncio.gather(*(self.run_async(name, hops) for name in names))
        else:
            for name in names:
                self.builder(name, hops).build().run(halt_before=["published"])

    async def run_async(self, name: str, hops: int) -> None:
        application = await self.builder(name, hops).abuild()
        await application.arun(halt_before=["published"])

    async def resume(self, name: str) -> None:
        self.builder(name, self.job.hops).build().run(halt_before=["published"])

    def builder(self, name: str, hops: int) -> Any:
        begin: dict[str, Any] = {"round": 0, "rounds": hops // 2, "good": False}
        begin |= {"text": TEXT} if self.job.style == "plain" else {"messages": [TEXT]}
        return (
            ApplicationBuilder()
            .with_actions(**self.actions)
            .with_transitions(
                ("draft", "review"), ("review", "published", when(good=True)), ("review", "draft", default)
            )
            .with_identifiers(app_id=name)
            .initialize_from(
                self.persister, resume_at_next_action=True, default_state=begin, default_entrypoint="draft"
            )
            .with_state_persister(self.persister)
        )

    def handed(self, state: Any) -> Any:
        return state.update(text=TEXT) if self.job.style == "plain" else state.append(messages=TEXT)

    def actions_of(self, **functions: Callable[[State], Any]) -> dict[str, Any]:
        writes = ["round", "good", "text" if self.job.style == "plain" else "messages"]
        return {name: action(reads=["round", "rounds"], writes=writes)(fn) for name, fn in functions.items()}

    def agents(self) -> dict[str, Any]:
        def draft(state: State) -> State:
            self.desk.work(state["round"] * 2 + 1)
            return self.handed(state).update(round=state["round"] + 1)

        def review(state: State) -> State:
            self.desk.work(state["round"] * 2)
            return self.handed(state).update(good=state["round"] >= state["rounds"])

        return self.actions_of(draft=draft, review=review, published=_published)

    def agents_async(self) -> dict[str, Any]:
        async def draft(state: State) -> State:
            await self.desk.work_async(state["round"] * 2 + 1)
            return self.handed(state).update(round=state["round"] + 1)

        async def review(state: State) -> State:
            await self.desk.work_async(state["round"] * 2)
            return self.handed(state).update(good=state["round"] >= state["rounds"])

        return self.actions_of(draft=draft, review=review, published=_published)

    async def pragma(self, name: str) -> Any:
        cursor = self.connection.execute(f"PRAGMA {name}")
        return (await (await cursor).fetchone() if self.many else cursor.fetchone())[0]


def _published(state: State) -> State:
    return state


if __name__ == "__main__":
    serve(Burr)
