"""What a runner asks its journal again and again: bounded answers, out of which nothing is left to chance."""

from pathlib import Path

from pydantic import BaseModel

from fsm import Machine, State, TimedOut
from fsm.define.payload import seal
from tests.helpers import running


class Job(BaseModel):
    pass


class Wait(Machine):
    person = State(initial=Job, timeout_s=1)
    done = State(final="completed")
    accept = person.to(done, on=(Job, TimedOut))


async def test_runs_that_are_left_aside_do_not_crowd_out_the_others(db: Path) -> None:
    async with running(db, Wait, poll_s=3_600) as runner:
        runs = [await runner.start(Wait, Job(), run_id=f"r{n}") for n in range(5)]
        for run in runs:
            await runner.journal.post(run.run_id, "e", seal(Job(), 1_000), 0, 10)
        read, epoch, machines = runner.journal.read, runner.journal.epoch, [Wait.spec.fingerprint]
        failed = [run.key for run in runs[:3]]
        assert [run.run_id for run in read.called(epoch, machines, failed, limit=1)] == ["r3"]
        assert [timer.run for timer in read.due(1 << 60, epoch, machines, failed, limit=1)] == [runs[3].key]
        assert len(read.called(epoch, machines)) == len(read.due(1 << 60, epoch, machines)) == 5
        many = range(100, 50_000)
        assert len(read.called(epoch, machines, many)) == len(read.due(1 << 60, epoch, machines, many)) == 5


async def test_the_next_timer(db: Path) -> None:
    async with running(db, Wait, poll_s=3_600) as runner:
        read = runner.journal.read
        assert read.next_due(0) is None
        run = await runner.start(Wait, Job())
        due_ms = run.at_ms + 1_000
        assert (read.next_due(0), read.next_due(due_ms - 1), read.next_due(due_ms)) == (due_ms, due_ms, None)
