"""Daemon threads for agents and calls that block, bounded, owned by the runner.

A thread cannot be stopped. One that is still at work when its attempt is abandoned is left behind and
named; being a daemon, it does not keep the process from ending.
"""

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any

from attrs import define

IDLE_S = 10.0


@define(eq=False)
class _Job:
    fn: Callable[[], Any]
    label: str
    future: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop
    context: contextvars.Context
    begun: bool = False
    abandoned: bool = False

    def answer(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class Threads:
    """At most `limit` threads, those left behind included; what finds none free waits."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0
        self._idle = 0
        self._hung: dict[int, str] = {}

    @property
    def hung(self) -> list[str]:
        """The labels of what was abandoned and has not come back."""
        return sorted(self._hung.values())

    async def run(self, fn: Callable[[], Any], label: str) -> Any:
        """`fn()` on a thread. If this is cancelled the thread is left behind, its result dropped."""
        loop = asyncio.get_running_loop()
        job = _Job(fn, label, loop.create_future(), loop, contextvars.copy_context())
        self._jobs.put(job)
        self._grow()
        try:
            return await job.future
        except asyncio.CancelledError:
            with self._lock:
                job.abandoned = True
                if job.begun:
                    self._hung[id(job)] = label
            raise

    def _grow(self) -> None:
        with self._lock:
            if self._idle >= self._jobs.qsize() or self._count >= self._limit:
                return
            self._count += 1
        threading.Thread(target=self._work, name=f"fsm-agent-{self._count}", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            try:
                job = self._jobs.get(timeout=IDLE_S)
            except queue.Empty:
                job = None
            with self._lock:
                self._idle -= 1
                if job is None and self._jobs.empty():
                    self._count -= 1
                    return
                if job is None:
                    continue
                if job.abandoned:
                    continue
                job.begun = True
            self._do(job)

    def _do(self, job: _Job) -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = job.context.run(job.fn)
        except BaseException as raised:
            error = raised
        with self._lock:
            self._hung.pop(id(job), None)
        if not job.loop.is_closed():
            job.loop.call_soon_threadsafe(job.answer, result, error)
