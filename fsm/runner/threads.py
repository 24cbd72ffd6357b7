"""Daemon threads for agents and calls that block, bounded, owned by the runner.

A thread cannot be stopped. One that is still at work when its attempt is abandoned is left behind and
named; being a daemon, it does not keep the process from ending.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from attrs import define

IDLE_S = 10.0


@define(eq=False)
class _Job:
    fn: Callable[[], Any]
    label: str
    future: "asyncio.Future[tuple[Any, BaseException | None]]"
    loop: asyncio.AbstractEventLoop
    context: contextvars.Context
    stage: Literal["queued", "begun", "over"] = "queued"

    def answer(self, result: Any, error: BaseException | None) -> None:
        if not self.future.done():
            self.future.set_result((result, error))


class Threads:
    """At most `limit` threads, those left behind included; what finds none free waits."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._count = 0
        self._idle = 0
        self._hung: dict[_Job, str] = {}

    @property
    def hung(self) -> list[str]:
        """The labels of what was abandoned and has not come back."""
        with self._wake:
            return sorted(self._hung.values())

    async def run(self, fn: Callable[[], Any], label: str) -> Any:
        """`fn()` on a thread. If this is cancelled the thread is left behind, its result dropped."""
        loop = asyncio.get_running_loop()
        job = _Job(fn, label, loop.create_future(), loop, contextvars.copy_context())
        self._put(job)
        try:
            result, error = await job.future
        except asyncio.CancelledError:
            self._abandon(job)
            raise
        if error is not None:
            raise error
        return result

    def _put(self, job: _Job) -> None:
        """Queue it, and start a thread if none is free for it."""
        with self._wake:
            self._jobs.append(job)
            grow = self._idle < len(self._jobs) and self._count < self._limit
            self._count += grow
            self._wake.notify()
        if grow:
            try:
                threading.Thread(target=self._work, name=f"fsm-agent-{self._count}", daemon=True).start()
            except RuntimeError:
                with self._wake:
                    self._count -= 1
                self._abandon(job)
                raise

    def _abandon(self, job: _Job) -> None:
        with self._wake:
            if job.stage == "queued":
                self._jobs.remove(job)
            elif job.stage == "begun":
                self._hung[job] = job.label

    def _work(self) -> None:
        while (job := self._next()) is not None:
            self._do(job)

    def _next(self) -> _Job | None:
        """The next job, waited for; None once there has been none for a while."""
        with self._wake:
            self._idle += 1
            waited = True
            while not self._jobs and waited:
                waited = self._wake.wait(IDLE_S)
            self._idle -= 1
            if not self._jobs:
                self._count -= 1
                return None
            job = self._jobs.popleft()
            job.stage = "begun"
            return job

    def _do(self, job: _Job) -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = job.context.run(job.fn)
        except BaseException as raised:
            error = raised
        with self._wake:
            job.stage = "over"
            self._hung.pop(job, None)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            job.loop.call_soon_threadsafe(job.answer, result, error)
