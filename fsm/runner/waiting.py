"""Who waits for runs to change, and how they are told."""

import asyncio
from collections.abc import Container, Iterator
from contextlib import contextmanager

from attrs import define, field


@define(eq=False)
class Waiting:
    """A future a run, for all who wait for it; `count` tells how many are inside the runner's methods."""

    count: int = 0
    _futures: "dict[int, asyncio.Future[None]]" = field(factory=dict)

    async def change(self, key: int) -> None:
        """Until something about this run has changed for good, or may have."""
        if key not in self._futures:
            self._futures[key] = asyncio.get_running_loop().create_future()
        with self.counted():
            await asyncio.shield(self._futures[key])

    @contextmanager
    def counted(self) -> Iterator[None]:
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    def wake(self, key: int) -> None:
        future = self._futures.pop(key, None)
        if future is not None and not future.done():
            future.set_result(None)

    def wake_all(self, but: Container[int] = ()) -> None:
        """Whoever waits for a run that is not in memory here looks again: another process may have moved it."""
        for key in list(self._futures):
            if key not in but:
                self.wake(key)
