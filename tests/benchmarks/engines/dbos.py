"""DBOS on SQLite, from dbos 3.4.

Durable mode: the only one; "each completed step is permanently recorded" (its documentation, "Durability"). It
leaves `journal_mode` and `synchronous` as SQLite has them: a rollback journal and FULL. The journal mode is a
property of the file, so a user gets WAL by setting it once before the launch. Plain functions on its threads are
faster than coroutines, for one run (2.9 ms a hop against 5.3 ms) and for a thousand (7.1 ms against 8.2 ms).

History: what a step returns is all that is kept of it, so steps return the change and the workflow holds the list.
"""

import contextlib
import sqlite3
from collections.abc import Sequence
from typing import Any, Self

from dbos import DBOS, SetWorkflowID
from dbos._dbos import _get_dbos_instance  # the only way to the connection that writes

from tests.benchmarks.engines.work import TEXT, Desk, Engine, serve

desk = Desk()


def _draft(rounds: int) -> dict[str, Any]:
    desk.work(rounds * 2 + 1)
    return {"round": rounds + 1, "text": TEXT}


def _review(rounds: int, enough: int) -> dict[str, Any]:
    desk.work(rounds * 2)
    return {"good": rounds >= enough, "text": TEXT}


def _loop(enough: int) -> int:
    history, rounds, good = [TEXT], 0, False
    while not good:
        drafted = draft(rounds)
        rounds = drafted["round"]
        reviewed = review(rounds, enough)
        good = reviewed["good"]
        history += [drafted["text"], reviewed["text"]]
    return len(history)


draft, review, loop = DBOS.step()(_draft), DBOS.step()(_review), DBOS.workflow()(_loop)


class Dbos(Engine):
    packages = ("dbos",)

    async def __aenter__(self) -> Self:
        global desk  # noqa: PLW0603 - steps are functions of a module: DBOS finds them by name after a crash
        desk = self.desk
        if not self.job.shipped:
            with contextlib.closing(sqlite3.connect(self.job.db)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
        url = f"sqlite:///{self.job.db}"
        DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})
        DBOS.launch()
        return self

    async def __aexit__(self, *raised: object) -> None:
        DBOS.destroy()

    async def run(self, names: Sequence[str], hops: int) -> None:
        handles = []
        for name in names:
            with SetWorkflowID(name):
                handles.append(DBOS.start_workflow(loop, hops // 2))
        assert all(handle.get_result() == hops + 1 for handle in handles)

    async def resume(self, name: str) -> None:
        handle = await DBOS.retrieve_workflow_async(name)  # the launch has put it in a queue again
        await handle.get_result()

    async def pragma(self, name: str) -> Any:
        with _get_dbos_instance()._sys_db.engine.connect() as connection:
            return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


if __name__ == "__main__":
    serve(Dbos)
