"""No loop without a declared bound."""

from typing import Any, ClassVar, Literal

from attrs import field, frozen

from fsm import Counter, Guard, Kind, Standing, State
from fsm.define.guard import not_whole


@frozen
class LoopCap(Guard):
    """Refuses the n+1st time: firing of a transition, visit of a state, or hop of the run.

    What is counted follows from where it stands: on a transition its direct firings, on a state its
    visits, in `everywhere` the hops of the run; `scope="run"` counts hops wherever it stands. The count is
    a fold of the run's records: neither restart nor resume begins it again. With `since=some_state` each
    entry of that state does. Code: `loop_cap`, with the count and its limit.
    """

    kind: ClassVar[Kind] = "cap"
    codes: ClassVar[tuple[str, ...]] = ("loop_cap",)

    limit: int
    scope: Literal["transition", "state", "run"] | None = field(default=None, kw_only=True)
    since: State[Any] | None = field(default=None, kw_only=True)

    def counted(self, standing: Standing, owner: str) -> Counter:
        since = self.since.name if self.since is not None else ""
        match self.scope or standing:
            case "transition":
                return Counter("fires", owner, since)
            case "state":
                return Counter("visits", owner, since)
            case _:
                return Counter("hops", "", since)

    def limit_of(self) -> int:
        return self.limit

    def mistake(self, standing: Standing) -> tuple[str, str] | None:
        wrong = not_whole(self, "limit", 1)
        if wrong is not None:
            return wrong
        if self.scope not in (None, "transition", "state", "run"):
            return f"LoopCap(scope={self.scope!r})", 'write "transition", "state" or "run", or leave it out'
        since: object = self.since
        if not isinstance(since, State | None):
            return f"LoopCap(since={since!r})", "name a State of the machine, as since=draft"
        if self.scope in (None, "run", standing):
            return None
        where = "in everywhere()" if standing == "run" else f"on a {standing}"
        return (
            f"LoopCap with scope={self.scope!r} stands {where}",
            f"leave scope out, or put the guard on a {self.scope}",
        )
