"""The task that carries a run from attempt to attempt, and work that is given only so much time."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class RunTask(asyncio.Task[None]):
    """Knows its own cancellations, an agent's doing, from those that come from outside."""

    _own = 0

    def cancel(self, msg: Any | None = None) -> bool:
        self._own += asyncio.current_task(self.get_loop()) is self
        return super().cancel(msg)

    async def catch_up(self) -> None:
        """A cancellation that was asked for and has not come yet comes now, not in the midst of a decision."""
        if self.cancelling():
            await asyncio.sleep(0)
            self.take_back()

    def take_back(self) -> bool:
        """Undo what the task asked for itself; False, and nothing is undone, if somebody else cancelled it too."""
        if self.cancelling() > self._own:
            return False
        while self.cancelling():
            self.uncancel()
        self._own = 0
        return True


async def within(work: Coroutine[Any, Any, Any], timeout_s: float | None) -> Any:
    """The result of `work`; after `timeout_s` it is cancelled, but not awaited: it may swallow that."""
    if timeout_s is None:
        return await work
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
    finally:
        task.cancel()
    if not done:
        raise TimeoutError(f"no answer within {timeout_s:g} s")
    return task.result()
