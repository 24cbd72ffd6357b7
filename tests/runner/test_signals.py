"""Handlers of several runners in one process: there from the first to the last of them, whatever their order."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import Machine, Runner, SqliteJournal, State
from fsm.errors import RunnerStopped
from fsm.runner import signals
from fsm.testing import hang


class Job(BaseModel):
    pass


class Slow(Machine):
    work = State(initial=Job, agent=hang)
    done = State(final="completed")
    finish = work.to(done, on=Job)


NUMBERS = (signal.SIGINT, signal.SIGTERM)


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in NUMBERS]


def runner(db: Path) -> Runner:
    return Runner(SqliteJournal(db, synchronous="OFF"), machines=[Slow], poll_s=0.01)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the first leaves first", "nested"])
async def test_handlers_are_there_until_the_last_runner_has_left(db: Path, order: tuple[int, int]) -> None:
    before, both = handlers(), [runner(db), runner(db)]
    for one in both:
        await one.__aenter__()
    caught = handlers()
    assert caught != before
    await both[order[0]].__aexit__(None, None, None)
    assert handlers() == caught
    run = await both[order[1]].start(Slow, Job())
    waiting = asyncio.create_task(both[order[1]].settled(run.run_id))
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(RunnerStopped):
        await waiting
    await both[order[1]].__aexit__(None, None, None)
    assert handlers() == before
    async with runner(db):
        assert handlers() == caught, "and for the next one all begins anew"
    assert handlers() == before


async def test_one_signal_stops_all(db: Path) -> None:
    async with runner(db) as outer, runner(db.with_name("other.db")) as inner:
        runs = [await one.start(Slow, Job()) for one in (outer, inner)]
        waits = [asyncio.create_task(one.settled(run.run_id)) for one, run in zip((outer, inner), runs, strict=True)]
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGINT)
        for waiting in waits:
            with pytest.raises(RunnerStopped):
                await waiting


@pytest.mark.parametrize("which", ["outer", "inner"])
async def test_of_nested_runners_one_that_is_heard_is_enough(
    db: Path, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "NUDGE_S", 0.001)

    async def block() -> None:
        async with runner(db) as outer, runner(db.with_name("other.db")) as inner:
            one = outer if which == "outer" else inner
            run = await one.start(Slow, Job())
            os.kill(os.getpid(), signal.SIGTERM)
            await one.settled(run.run_id)

    with pytest.raises(RunnerStopped):
        await asyncio.create_task(block())


async def test_a_block_of_nested_runners_that_waits_elsewhere_is_cancelled_once(db: Path) -> None:
    cancelled = []

    async def block() -> None:
        async with runner(db), runner(db.with_name("other.db")):
            os.kill(os.getpid(), signal.SIGTERM)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                assert task is not None
                cancelled.append(task.cancelling())
                raise

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(block())
    assert cancelled == [1]


async def test_a_handler_that_somebody_put_there_meanwhile_stays(db: Path) -> None:
    before = handlers()

    def theirs(number: int, frame: object) -> None: ...

    with contextlib.ExitStack() as after:
        for number, handler in zip(NUMBERS, before, strict=True):
            after.callback(signal.signal, number, handler)
        async with runner(db):
            signal.signal(signal.SIGTERM, theirs)
        assert handlers() == [before[0], theirs]
