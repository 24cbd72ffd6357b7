"""A run read back from its journal stands where it stood in memory."""

from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel

from fsm import Machine, State
from fsm.journal.decisions import SNAPSHOT_BYTES_MIN
from fsm.journal.rows import snapshot_bytes
from fsm.runner.recovery import load
from tests.helpers import running


class Job(BaseModel):
    text: str = ""


class Memory(BaseModel):
    texts: list[str] = []


def keep(memory: Memory, job: Job) -> Memory:
    return Memory(texts=[*memory.texts, job.text])


class Diary(Machine, memory=Memory, memory_bytes_max=8 << 20):
    person = State(initial=Job)
    more = person.to(person, on=Job, remember=keep)


async def test_snapshots_are_as_rare_for_a_run_that_is_read_back_as_for_one_in_memory(db: Path) -> None:
    """A waiting run is read back for each event; the bytes its last snapshot took decide when the next is due."""
    async with running(db, Diary) as runner:
        run = await runner.start(Diary, Job(), run_id="r")
        text = "x" * (SNAPSHOT_BYTES_MIN // 2)
        for _ in range(12):
            await runner.send("r", Job(text=text))
        live = load(runner._driver, runner.journal.read.run("r"))
        snapshots = runner.journal.read.snapshots(run.key)
        last = snapshots[max(snapshots)]
        assert live.snapshot_bytes == snapshot_bytes(last)
        assert live.folded == sum(
            len(record.body or b"") for record in runner.journal.read.records(run.key, max(snapshots))
        )
        sizes = [len(snapshot.memory or b"") for _, snapshot in sorted(snapshots.items())]
        assert all(later > 1.9 * earlier for earlier, later in pairwise(sizes)), "so the total stays linear"
