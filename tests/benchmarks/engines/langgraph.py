"""LangGraph with its SQLite savers, from langgraph 1.2 and langgraph-checkpoint-sqlite 3.1.

Durable mode: `durability="sync"`, "changes are persisted synchronously before the next step starts" (langgraph 1.2
reference, `langgraph.types.Durability`; the default, "async", persists while the next step runs). The savers set
WAL themselves and leave `synchronous` as SQLite has it. One run is fastest with `SqliteSaver` and `invoke` (1.5 ms a
hop against 3.2 ms), a thousand at once with `AsyncSqliteSaver` and `ainvoke` (5.2 ms; a thread each: 6.1 ms).

History: a list under the reducer `operator.add`, as in its documentation; `delta`: the same list in a
`DeltaChannel` (beta in 1.2), which keeps a snapshot every 100 writes.
"""

import asyncio
import operator
import sqlite3
from collections.abc import Sequence
from typing import Annotated, Any, Self, TypedDict

from langgraph.channels import DeltaChannel
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from tests.benchmarks.engines.work import TEXT, Engine, serve

Values = dict[str, Any]


class Plain(TypedDict):
    round: int
    good: bool
    rounds: int
    text: str


class History(TypedDict):
    round: int
    good: bool
    rounds: int
    messages: Annotated[list[Values], operator.add]


def _joined(messages: list[Values], writes: Sequence[list[Values]]) -> list[Values]:
    return sum(writes, messages)


class Delta(TypedDict):
    round: int
    good: bool
    rounds: int
    messages: Annotated[list[Values], DeltaChannel(_joined)]


STATES: dict[str, Any] = {"plain": Plain, "history": History, "delta": Delta}


class LangGraph(Engine):
    packages = ("langgraph", "langgraph-checkpoint-sqlite")

    async def __aenter__(self) -> Self:
        self.many = self.job.runs > 1
        self.opened = AsyncSqliteSaver.from_conn_string(self.job.db) if self.many else None
        if self.opened:
            saver = await self.opened.__aenter__()
        else:
            saver = SqliteSaver(sqlite3.connect(self.job.db, check_same_thread=False))
        self.connection = saver.conn
        graph = StateGraph(STATES[self.job.style])
        graph.add_node("draft", self.draft_async if self.many else self.draft)
        graph.add_node("review", self.review_async if self.many else self.review)
        graph.add_edge(START, "draft")
        graph.add_edge("draft", "review")
        graph.add_conditional_edges("review", _next, ["draft", END])
        self.graph = graph.compile(checkpointer=saver)
        return self

    async def __aexit__(self, *raised: object) -> None:
        if self.opened:
            await self.opened.__aexit__(None, None, None)
        else:
            self.connection.close()

    async def run(self, names: Sequence[str], hops: int) -> None:
        start = {"round": 0, "good": False, "rounds": hops // 2, **self.handed()}
        if self.many:
            runs = (self.graph.ainvoke(start, _config(name), durability="sync") for name in names)
            ended = await asyncio.gather(*runs)
        else:
            ended = [self.graph.invoke(start, _config(name), durability="sync") for name in names]
        assert all(state["good"] for state in ended)

    async def resume(self, name: str) -> None:
        self.graph.invoke(None, _config(name), durability="sync")

    async def pragma(self, name: str) -> Any:
        cursor = self.connection.execute(f"PRAGMA {name}")
        return (await (await cursor).fetchone() if self.many else cursor.fetchone())[0]

    def handed(self) -> Values:
        return {"text": TEXT} if self.job.style == "plain" else {"messages": [{"role": "ai", "content": TEXT}]}

    def draft(self, state: Values) -> Values:
        self.desk.work(state["round"] * 2 + 1)
        return {"round": state["round"] + 1, **self.handed()}

    def review(self, state: Values) -> Values:
        self.desk.work(state["round"] * 2)
        return {"good": state["round"] >= state["rounds"], **self.handed()}

    async def draft_async(self, state: Values) -> Values:
        await self.desk.work_async(state["round"] * 2 + 1)
        return {"round": state["round"] + 1, **self.handed()}

    async def review_async(self, state: Values) -> Values:
        await self.desk.work_async(state["round"] * 2)
        return {"good": state["round"] >= state["rounds"], **self.handed()}


def _next(state: Values) -> str:
    return str(END) if state["good"] else "draft"


def _config(name: str) -> Values:
    return {"configurable": {"thread_id": name}, "recursion_limit": 100_000}


if __name__ == "__main__":
    serve(LangGraph)
