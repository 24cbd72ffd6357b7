"""A view without a run, for tests of agents; `fsm.testing` has it."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field

from fsm.core.record import Spent
from fsm.define.agent import Unsure
from fsm.define.events import CallRefused, RuntimeEvent
from fsm.define.guard import Ruling
from fsm.runner.bodies import arguments_body, decoded, outcome_body, prepared
from fsm.runner.calls import VisitOver
from fsm.runner.spending import beyond, left, reported


@define(kw_only=True)
class StubView:
    """A `View` to call an agent with; nothing is recorded.

    Calls are made at once, their names and arguments kept in `calls`, and give what the journal would give:
    the result as JSON holds it, or `CallFailed`. Spending is summed in `spent`. Beyond a limit given here the attempt
    is over, as in a run: `VisitOver` is raised, and `refused` is what the state would hear.
    """

    payload: Any
    memory: Any = None
    refusal: Ruling | None = None
    failure: RuntimeEvent | None = None
    run_id: str = "test"
    visit: int = 1
    attempt: int = 1
    deadline_ms: int | None = None
    tokens_max: int | None = None
    usd_micros_max: int | None = None
    calls_max: int | None = None
    refused: CallRefused | None = field(init=False, default=None)
    _remaining: Mapping[str, int] = field(factory=dict)
    spent: Spent = field(factory=Spent)
    calls: list[tuple[str, tuple[Any, ...]]] = field(factory=list)

    @property
    def remaining(self) -> Mapping[str, int]:
        return left(self, self.spent, self._remaining)

    def spend(self, *, tokens: int = 0, usd_micros: int = 0) -> None:
        self.spent += reported(tokens, usd_micros)
        over = beyond(self, self.spent) if self.refused is None else None
        if over is not None:
            self._refuse("", *over)

    async def call(
        self,
        name: str,
        fn: Callable[..., Any],
        /,
        *args: Any,
        returns: Any = None,
        key: str | None = None,
        timeout_s: float | None = None,
        unsure: Unsure = "repeat",
    ) -> Any:
        ready = self._ready(name, fn, args, key)
        try:
            result = ready(*args)
            result = await result if inspect.isawaitable(result) else result
        except (Exception, SystemExit) as error:
            return decoded(name, *outcome_body(None, error, 0), returns)
        return decoded(name, *outcome_body(result, None, 0), returns)

    def call_sync(
        self,
        name: str,
        fn: Callable[..., Any],
        /,
        *args: Any,
        returns: Any = None,
        key: str | None = None,
        timeout_s: float | None = None,
        unsure: Unsure = "repeat",
    ) -> Any:
        ready = self._ready(name, fn, args, key)
        try:
            result = ready(*args)
        except (Exception, SystemExit) as error:
            return decoded(name, *outcome_body(None, error, 0), returns)
        return decoded(name, *outcome_body(result, None, 0), returns)

    def _ready(self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], key: str | None) -> Callable[..., Any]:
        if self.refused is not None:
            raise VisitOver("the attempt is over")
        arguments_body(name, args)
        if self.calls_max is not None and len(self.calls) >= self.calls_max:
            self._refuse(name, "calls_max", {"calls": len(self.calls), "calls_max": self.calls_max})
        self.calls.append((name, args))
        return prepared(fn, key or name)

    def _refuse(self, call: str, code: str, numbers: dict[str, int]) -> None:
        self.refused = CallRefused(call=call, code=code, numbers=numbers, attempt=self.attempt)
        raise VisitOver(f"refused: {code}")
