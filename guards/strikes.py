"""No hammering on what has failed."""

from typing import ClassVar

from attrs import frozen

from fsm import Counter, Guard, Kind, Standing
from fsm.define.guard import not_whole


@frozen
class Strikes(Guard):
    """Refuses to go on in this run after `name` has failed `limit` attempts in a row.

    `name` is what the run depends on: the name its agents give to `view.call`, or, where the guard stands on a
    state, the agent of that state as well, for visits that do not call it by name. A failure is an error, a
    timeout, HTTP 408, 425, 429 or 5xx; other 4xx are the caller's own and say nothing; a success begins the count
    again. On a state or in `everywhere` it refuses during the visit too: the next call of `name` is not made, and
    the state hears `CallRefused`. Code: `strikes`, with the failures in a row and their limit.
    """

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("strikes",)

    name: str
    limit: int = 3

    def counted(self, standing: Standing, owner: str) -> Counter:
        return Counter("strikes", self.name)

    def limit_of(self) -> int:
        return self.limit

    def mistake(self, standing: Standing) -> tuple[str, str] | None:
        name: object = self.name
        if not isinstance(name, str) or not name:
            return f"Strikes({self.name!r})", 'name what it watches, as view.call does: Strikes("search")'
        return not_whole(self, "limit", 1)
