"""SIGINT and SIGTERM while a runner is at work: the first asks it to stop, the second ends the process at once."""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from attrs import define, field

log = logging.getLogger("fsm.runner")

NUDGE_S = 0.05


@define
class Signals:
    """Catches both on the main thread of the process; `restore` puts back what was there.

    Plain handlers, not the event loop's: they are also called while an agent blocks the loop. The task that
    entered the runner's block is cancelled if it is not `heard` there that it is to stop.
    """

    stop: Callable[[], object]
    heard: Callable[[], bool]
    _came: bool = False
    _home: "asyncio.Task[Any] | None" = None
    _before: dict[int, Any] = field(factory=dict)

    def catch(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._home = asyncio.current_task()
        loop = asyncio.get_running_loop()

        def handle(number: int, _: object) -> None:
            if self._came:
                os._exit(128 + number)
            self._came = True
            with contextlib.suppress(RuntimeError):  # the loop is closed, or stderr was being written to just now
                loop.call_soon_threadsafe(self._stop)
                log.warning("stopping; runs stay resumable (once more to stop at once)")

        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, handle)

    def restore(self) -> None:
        while self._before:
            number, before = self._before.popitem()
            signal.signal(number, signal.SIG_DFL if before is None else before)

    def _stop(self) -> None:
        self.stop()
        self._nudge()

    def _nudge(self) -> None:
        if not self._before:
            return
        if self.heard():
            asyncio.get_running_loop().call_later(NUDGE_S, self._nudge)
        elif self._home is not None:
            self._home.cancel()
