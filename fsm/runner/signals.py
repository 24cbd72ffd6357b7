"""SIGINT and SIGTERM while a runner is at work: the first asks it to stop, the second ends the process at once."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from attrs import define, field


@define
class Signals:
    """Catches both on the main thread of the process; `restore` puts back what was there."""

    stopping: Callable[[], bool]
    stop: Callable[[], object]
    _before: dict[int, Any] = field(factory=dict)

    def catch(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            with contextlib.suppress(NotImplementedError, ValueError):
                loop.add_signal_handler(number, self._came, number)
                self._before[number] = before

    def restore(self) -> None:
        while self._before:
            number, before = self._before.popitem()
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL if before is None else before)

    def _came(self, number: int) -> None:
        if self.stopping():
            os._exit(128 + number)
        self.stop()
