"""One watch over all attempts: a heap of deadlines, looked at by the runner's own pulse.

A timer per attempt costs forty microseconds a hop. Here a run has one entry in the heap as long as its
deadlines only move later: an entry that comes up too early is pushed back. What is watched no longer would
be held until its old deadline; it is dropped whenever the heap has doubled, which costs a constant per entry.
"""

import heapq
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Watched(Protocol):
    """Something with a deadline on the monotonic clock, in seconds, or None; `watched_at` is the dog's own."""

    deadline: float | None
    watched_at: float | None


W = TypeVar("W", bound=Watched)

ENTRIES_MIN = 64


class Watchdog(Generic[W]):
    """Calls `bark(watched)` once a deadline has passed, at the first `look` after it."""

    def __init__(self, bark: Callable[[W], None]) -> None:
        self._bark = bark
        self._heap: list[tuple[float, int, W]] = []
        self._count = 0
        self._entries_max = ENTRIES_MIN

    def watch(self, watched: W, deadline: float) -> None:
        """Watch for this deadline until it is set to None or to another."""
        watched.deadline = deadline
        if watched.watched_at is None or deadline < watched.watched_at:
            self._push(watched, deadline)

    def _push(self, watched: W, deadline: float) -> None:
        watched.watched_at = deadline
        self._count += 1
        heapq.heappush(self._heap, (deadline, self._count, watched))
        if len(self._heap) > self._entries_max:
            self._compact()

    def _compact(self) -> None:
        """Keep what is still watched, each once."""
        current = [(at, count, watched) for at, count, watched in self._heap if at == watched.watched_at]
        for _, _, watched in current:
            if watched.deadline is None:
                watched.watched_at = None
        self._heap = [entry for entry in current if entry[2].watched_at is not None]
        heapq.heapify(self._heap)
        self._entries_max = max(ENTRIES_MIN, 2 * len(self._heap))

    @property
    def entries(self) -> int:
        """How many entries it holds: at most ENTRIES_MIN, or twice what was watched when it was last compacted."""
        return len(self._heap)

    def look(self, now: float) -> None:
        """Bark at everything whose deadline has passed."""
        while self._heap and self._heap[0][0] <= now:
            at, _, watched = heapq.heappop(self._heap)
            if at != watched.watched_at:
                continue
            watched.watched_at = None
            if watched.deadline is not None and watched.deadline > now:
                self._push(watched, watched.deadline)
            elif watched.deadline is not None:
                watched.deadline = None
                self._bark(watched)

    def next(self) -> float | None:
        """The earliest moment something may be due."""
        return self._heap[0][0] if self._heap else None
