"""What one hop does to the file: nothing that it need not."""

import sqlite3
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fsm import Machine, Runner, State, View
from fsm.journal.journal import SqliteJournal


class Job(BaseModel):
    left: int = 3


async def work(view: View[Job]) -> Job:
    return Job(left=view.payload.left - 1)


def is_over(job: Job) -> bool:
    return job.left == 0


class Work(Machine):
    here = State(initial=Job, agent=work)
    done = State(final="completed")

    over = here.to(done, on=Job, when=is_over)
    again = here.to(here, on=Job)


async def test_a_hop_writes_no_index_that_it_does_not_change(db: Path) -> None:
    seen: list[str] = []

    def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = sqlite3.connect(*args, **kwargs)
        connection.set_trace_callback(seen.append)
        return connection

    async with Runner(SqliteJournal(db, connect=traced)) as runner:
        await runner.settled((await runner.start(Work, Job())).run_id)
    updates = [sql.split(" SET ")[1] for sql in seen if sql.startswith("UPDATE run SET state")]
    assert len(updates) == 3
    *hops, end = updates
    assert not any("outcome" in hop or "owner" in hop for hop in hops)
    assert "outcome = 'completed'" in end and "owner = 0" in end
