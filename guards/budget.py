"""What budgets of tokens and of money have in common."""

from typing import Any, ClassVar

from attrs import evolve, field, frozen

from fsm import Counter, Guard, Kind, Share, Standing
from fsm.define.guard import Placed, not_whole

FORMS = '"run", "machine", "label:NAME" or "pool:NAME"'


@frozen
class Budget(Guard):
    """Spending of one unit, in a scope; `TokenBudget` and `CostBudget` name the unit and the limit."""

    kind: ClassVar[Kind] = "cap"
    unit: ClassVar[Any]

    scope: str = field(default="run", kw_only=True)
    window_s: float | None = field(default=None, kw_only=True)
    warn_at: int | None = field(default=None, kw_only=True)

    def limit_of(self) -> int:
        raise NotImplementedError

    def counted(self, standing: Standing, owner: str) -> Counter | None:
        return Counter(self.unit) if self.scope == "run" else None

    def shared(self) -> Share | None:
        window = f"/{round(self.window_s * 1000)}" if self.window_s else ""
        return Share("budget", f"{self.unit}:{self.scope}{window}") if self.scope != "run" else None

    def params(self) -> dict[str, int | str]:
        if self.scope == "run":
            return {f"{self.unit}_max": self.limit_of()}
        own: dict[str, int | str | None] = {"limit": self.limit_of(), "scope": self.scope, "warn_at": self.warn_at}
        own["window_ms"] = round(self.window_s * 1000) if self.window_s else None
        return {name: value for name, value in own.items() if value is not None}

    def place(self, standing: Standing, owner: str) -> Placed:
        placed = super().place(standing, owner)
        if placed.shares is None:
            return placed
        warned = ("budget_warned",) if self.warn_at is not None else ()
        return evolve(placed, kind="env", limit=None, codes=(*self.codes, *warned, "unreadable"))

    def mistake(self, standing: Standing) -> tuple[str, str] | None:
        name, scope = type(self).__name__, self.scope
        wrong = not_whole(self, f"{self.unit}_max", 1)
        if wrong is not None:
            return wrong
        known: object = scope
        is_known = isinstance(known, str) and (
            scope in ("run", "machine") or (scope.startswith(("label:", "pool:")) and scope.partition(":")[2])
        )
        if not is_known or "/" in scope or "=" in scope:
            return f"{name}(scope={scope!r})", f"write {FORMS}"
        if scope == "run" and (self.window_s is not None or self.warn_at is not None):
            return f"{name} of a run with window_s or warn_at", f"give it a scope that runs share: {FORMS[7:]}"
        if scope != "run" and standing == "transition":
            return (
                f"{name}(scope={scope!r}) stands on a transition",
                "put it on the state, or in everywhere(): visits spend",
            )
        window: object = self.window_s
        if window is not None and (type(window) not in (int, float) or not 0.001 <= window < 1e9):  # type: ignore[operator]
            return f"{name}(window_s={window!r})", "give seconds, 0.001 or more"
        if self.warn_at is not None and not (type(self.warn_at) is int and 0 < self.warn_at < self.limit_of()):
            return (
                f"{name}(warn_at={self.warn_at!r})",
                f"give a whole number between 0 and {self.limit_of()}",
            )
        return None
