"""No run without an end in sight."""

from typing import ClassVar

from attrs import frozen

from fsm import Counter, Guard, Kind, Standing


@frozen
class Deadline(Guard):
    """Refuses to go on once the run is `seconds` old, by wall clock, since it was started.

    In `everywhere` no visit gets more time than its run has left: an attempt, or a wait that has a timeout, which
    was entered before the deadline ends with it in `TimedOut`. So a person who is asked a minute before it has that
    minute, whatever the state's `timeout_s`. What is entered after it is the declared way out, and has its own
    time. Elsewhere it only refuses its transition, or entry into its state. Time that the run spent waiting or
    halted counts. Code: `deadline`, with milliseconds.
    """

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("deadline",)

    seconds: float

    def counted(self, standing: Standing, owner: str) -> Counter:
        return Counter("elapsed_ms")

    def limit_of(self) -> int:
        return round(self.seconds * 1000)

    def mistake(self, standing: Standing) -> tuple[str, str] | None:
        seconds: object = self.seconds
        if type(seconds) in (int, float) and 0.001 <= seconds < 1e10:  # type: ignore[operator]
            return None
        return f"Deadline({seconds!r})", "give seconds, 0.001 or more, as Deadline(minutes(5))"

    def params(self) -> dict[str, int | str]:
        return {"ms": self.limit_of()}
