"""No more requests than the other side allows."""

from typing import ClassVar

from attrs import field, frozen

from fsm import Guard, Kind, Share, Standing
from fsm.define.guard import not_whole
from guards.bulkhead import not_named


@frozen
class RateLimit(Guard):
    """Lets at most `visits_max` visits begin in any `window_s` seconds, of all runs and processes of the journal.

    One rate a name: on several states, also of other machines, it counts their visits together. Who comes too early
    is put off (`rate_limited`) to a slot of its own, in the order of asking; the run parks and comes back by itself,
    once. It never lets more begin than it says, in windows that start anywhere; a queue moves at ten elevenths of the
    limit, as visits are counted in tenths of the window. Each attempt of a `Retry` takes a slot too, at the end of its
    pause; who comes beyond the limit meanwhile is put off until after it. An attempt that goes on after a crash takes
    none. A run that comes too late for its slot (by a tenth of the window: its process was down, or a `Bulkhead` was
    full) gets another. It counts visits of agents:
    one that makes three requests a visit gets a third of what the other side allows. `unreadable`: its row is
    damaged; it fails closed.
    """

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("unreadable",)

    name: str
    visits_max: int
    window_s: float = field(default=60, kw_only=True)

    def shared(self) -> Share:
        return Share("rate", self.name)

    def params(self) -> dict[str, int | str]:
        return {"name": self.name, "visits_max": self.visits_max, "window_ms": round(self.window_s * 1000)}

    def mistake(self, standing: Standing) -> tuple[str, str] | None:
        window: object = self.window_s
        if type(window) not in (int, float) or not 0.01 <= window < 1e9:  # type: ignore[operator]
            return f"RateLimit(window_s={window!r})", "give seconds, 0.01 or more"
        return not_named(self, self.name, standing) or not_whole(self, "visits_max", 1)
