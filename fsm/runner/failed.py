"""Runs that had to be given up here: why, and when each is tried again.

What the journal could not take it may take later, so that is tried again, ever more seldom. Any other error
would only come again; such a run is for another process, one with the right code.
"""

from attrs import define, field

from fsm.clock import Clock
from fsm.define.payload import Payload
from fsm.runner.live import Live

RETRY_S = 1.0
RETRY_S_MAX = 60.0


@define(eq=False)
class Failure:
    """One run given up during the visit that `entered` numbers. `error` is None while it is being tried again.

    `live` and `payload` are what was to be decided, if it came that far: an agent that has answered is not
    asked again because the journal could not take its answer.
    """

    run: int
    entered: int
    error: Exception | None = None
    live: Live | None = None
    payload: Payload | None = None
    tries: int = 0
    next_s: float = 0.0


@define(eq=False)
class Failed:
    """By key of the run; the moments of the next tries are on the monotonic clock."""

    clock: Clock
    _failures: dict[int, Failure] = field(factory=dict)

    def note(
        self, run: int, entered: int, error: Exception, live: Live | None = None, payload: Payload | None = None
    ) -> None:
        """This run cannot go on; each time again it rests twice as long, up to RETRY_S_MAX."""
        failure = self._failures.setdefault(run, Failure(run, entered))
        if payload is not None or live is not failure.live:  # else it fails once more, beside what is kept
            failure.live, failure.payload = live, payload
        failure.entered, failure.error = entered, error
        failure.next_s = self.clock.monotonic() + min(RETRY_S * 2.0**failure.tries, RETRY_S_MAX)
        failure.tries = min(failure.tries + 1, 32)

    def why(self, run: int) -> Exception | None:
        """Why this run does not go on here; None if it does."""
        failure = self._failures.get(run)
        return failure.error if failure is not None else None

    @property
    def runs(self) -> list[int]:
        """The runs that do not go on here."""
        return [run for run, failure in self._failures.items() if failure.error is not None]

    def due(self) -> list[Failure]:
        """The failures whose time has come."""
        now = self.clock.monotonic()
        return [failure for failure in self._failures.values() if failure.error is not None and failure.next_s <= now]

    def lift(self, run: int) -> None:
        """It is tried again; should it fail, it will not rest shorter than before."""
        if run in self._failures:
            self._failures[run].error = None

    def wait(self, run: int) -> None:
        """Somebody else comes first; it is looked at again soon, and has not failed once more."""
        if run in self._failures:
            self._failures[run].next_s = self.clock.monotonic() + RETRY_S

    def forget(self, run: int) -> None:
        """It has moved."""
        if self._failures:
            self._failures.pop(run, None)
