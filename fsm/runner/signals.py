"""SIGINT and SIGTERM while runners are at work: the first asks them to stop, the second ends the process at once."""

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


@define(eq=False)
class Signals:
    """Catches both on the main thread of the process, for one runner, from `catch` to `restore`.

    The task that entered the runner's block is cancelled if it is not `heard` there that it is to stop; of
    several runners in one task it is enough that one is heard, and the innermost cancels it.
    """

    stop: Callable[[], object]
    heard: Callable[[], bool]
    _home: "asyncio.Task[Any] | None" = None
    _loop: asyncio.AbstractEventLoop | None = None

    def catch(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._home, self._loop = asyncio.current_task(), asyncio.get_running_loop()
            _process.enter(self)

    def restore(self) -> None:
        if self._loop is not None:
            _process.leave(self)

    def ask(self) -> None:
        """Stop soon; called in a signal handler."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self.stop()
        self._nudge()

    def _nudge(self) -> None:
        here = [other for other in _process.runners if other._home is self._home]
        if self not in here or self._home is None:
            return
        if any(other.heard() for other in here) or here[-1] is not self:
            asyncio.get_running_loop().call_later(NUDGE_S, self._nudge)
        else:
            self._home.cancel()


@define
class _Process:
    """The handlers of this process: a signal has one, however many runners are at work, and in whatever order they end.

    Plain handlers, not an event loop's: they are also called while an agent blocks the loop.
    """

    runners: list[Signals] = field(factory=list)
    _came: bool = False
    _before: dict[int, Any] = field(factory=dict)

    def enter(self, runner: Signals) -> None:
        self.runners.append(runner)
        for number in (signal.SIGINT, signal.SIGTERM):
            if number not in self._before:
                self._before[number] = signal.signal(number, self.handle)

    def leave(self, runner: Signals) -> None:
        """Put back what was there before the first, unless somebody else has put a handler of their own there."""
        if runner in self.runners:
            self.runners.remove(runner)
        while self._before and not self.runners:
            number, before = self._before.popitem()
            if signal.getsignal(number) == self.handle:
                signal.signal(number, signal.SIG_DFL if before is None else before)
            self._came = False

    def handle(self, number: int, _: object) -> None:
        if self._came:
            os._exit(128 + number)
        self._came = True
        for runner in list(self.runners):
            runner.ask()
        with contextlib.suppress(RuntimeError):  # stderr was being written to just now
            log.warning("stopping; runs stay resumable (once more to stop at once)")


_process = _Process()
