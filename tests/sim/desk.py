"""A real runner on a real journal, stepped by hand: no threads, no waiting, and it can be killed anywhere."""

import asyncio
import os
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fsm import Runner, SqliteJournal, View
from fsm.clock import Clock
from fsm.journal.operations import Operation
from fsm.testing import MovableClock
from tests.sim.mill import Mill
from tests.sim.model import LEASE_S

TURNS_MAX = 500


class Stepped(SqliteJournal):
    """Every write is committed at once, on the loop. `fuse` is the number of the write that is the last one.

    A half number dies before that commit, a whole one after it. Once dead, nothing is ever answered.
    """

    dead = False
    fuse: float | None = None

    async def open(self, clock: Clock, name: str) -> None:
        self._writer.start = lambda deliver: None  # type: ignore[method-assign]
        await super().open(clock, name)

    async def _write(self, operation: Operation, size: int = 0) -> Any:
        if self.fuse is not None:
            self.fuse -= 1
            self.dead = self.dead or self.fuse < 0
        if not self.dead:
            self._writer.now(operation)
            self.dead = self.fuse == 0
        if self.dead:
            await asyncio.Event().wait()
        return operation.result

    def tick(self, hung: Sequence[str] = ()) -> None:
        super().tick(hung)
        renewal = self._writer.lease.due() if self._writer.lease is not None else None
        if renewal is not None:
            self._writer._commit([renewal])
            self._writer._keep(renewal)


class Desk:
    """A runner with agents that do what they are told, one step after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, db: Path, clock: MovableClock) -> None:
        self.loop, self.clock = loop, clock
        self.journal = Stepped(db, synchronous="OFF", lease_s=LEASE_S)
        self.machine = Mill.with_agents(work=self._agent, check=self._agent)
        self.runner = Runner(
            self.journal,
            machines=[self.machine],
            clock=clock,
            poll_s=3_600,  # the test is the pulse
            handle_signals=False,
        )
        self.at_work: dict[str, asyncio.Future[Any]] = {}
        self.effects: list[str] = []
        self.do(self.runner.__aenter__())

    async def _agent(self, view: View[Any]) -> BaseModel:
        while True:
            told = self.at_work[view.run_id] = self.loop.create_future()
            try:
                step = await told
            finally:
                if self.at_work.get(view.run_id) is told:
                    del self.at_work[view.run_id]
            if isinstance(step, BaseModel):
                return step
            if isinstance(step, Exception):
                raise step
            assert await view.call("do", self._effect, step) == step

    async def _effect(self, n: int, idempotency_key: str) -> int:
        self.effects.append(idempotency_key)
        return n

    def do(self, act: Coroutine[Any, Any, Any]) -> Any:
        """Begin this and let the loop turn until nothing moves; the result, the error, or None if it still waits."""
        task = self.loop.create_task(act)
        self.turn()
        if task.done():
            return task.exception() or task.result()
        task.cancel()
        self.turn()
        return None

    def turn(self) -> None:
        async def turns() -> None:
            for _ in range(TURNS_MAX):
                await asyncio.sleep(0)
                if not self.loop._ready:  # type: ignore[attr-defined]
                    return
            raise AssertionError("the loop does not come to rest")

        self.loop.run_until_complete(turns())

    def tell(self, run_id: str, step: Any) -> None:
        """The next thing the agent of this run does."""
        self.at_work[run_id].set_result(step)
        self.turn()

    def beat(self) -> None:
        """The part of the pulse that keeps the lease and notices deadlines."""

        async def beat() -> None:
            self.journal.tick()
            self.runner._driver.watchdog.look(self.clock.monotonic())

        self.do(beat())

    def look(self) -> None:
        self.do(self.runner._outside.look())

    def adopt(self) -> None:
        self.do(self.runner._outside.adopt())
        self.runner._driver.waiting.wake_all(but=self.runner._driver.lives)
        self.turn()

    def kill(self) -> None:
        """As kill -9 does: nothing more is written, all memory is gone, the kernel takes locks and files."""
        self.journal.dead = self.runner._driver.stopping = True
        runner = self.runner
        for task in [*runner._driver._tasks, *runner._acts, *runner._pulse._tasks]:
            task.cancel()
        self.turn()
        self.journal._reader.close()
        self.journal._writer.connection.close()
        if self.journal._flock is not None and self.journal._flock._file is not None:
            os.close(self.journal._flock._file)

    def close(self) -> None:
        """A clean stop."""
        self.loop.run_until_complete(self.runner.__aexit__(None, None, None))
