"""The task that carries a run from attempt to attempt."""

import asyncio
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
