"""A view without a run, for tests of agents; `fsm.testing` has it."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import define, field

from fsm.core.record import NOTHING, Spent
from fsm.define.agent import Unsure
from fsm.define.events import CallRefused, RuntimeEvent
from fsm.define.guard import Ruling
from fsm.define.prices import Prices
from fsm.runner.bodies import arguments_body, decoded, outcome_body, prepared
from fsm.runner.calls import VisitOver
from fsm.runner.declared import overshoot
from fsm.runner.live import Purse, calling
from fsm.runner.most import Most, declared
from fsm.runner.pricing import UNTOLD, Till
from fsm.runner.spending import beyond, left


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
    prices: Prices | None = None
    refused: CallRefused | None = field(init=False, default=None)
    _remaining: Mapping[str, int] = field(factory=dict)
    spent: Spent = field(factory=Spent)
    _purses: set[Purse] = field(factory=set, init=False)
    calls: list[tuple[str, tuple[Any, ...]]] = field(factory=list)

    @property
    def remaining(self) -> Mapping[str, int]:
        return left(self, self.spent + self._held, self._remaining)

    def spend(self, usage: Any = UNTOLD, /, *, tokens: int = 0, usd_micros: int | None = None, model: str = "") -> None:
        till = Till(self.prices, self.usd_micros_max is not None)
        report, purse = till.read(usage, tokens, usd_micros, model, self.spent.usage), calling.get()
        if purse in self._purses:
            assert purse is not None
            purse.report(report.spent)
        self.spent += report.spent
        over = (beyond(self, self.spent) or report.refusal) if self.refused is None else None
        if over is not None:
            self._refuse("", *over)
        if report.mistake:
            raise ValueError(report.mistake)

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
        tokens_max: int | None = None,
        usd_micros_max: int | None = None,
    ) -> Any:
        most = declared(name, tokens_max, usd_micros_max)
        ready = self._ready(name, fn, args, key, most)
        try:
            with self._under_way(name, most):
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
        tokens_max: int | None = None,
        usd_micros_max: int | None = None,
    ) -> Any:
        most = declared(name, tokens_max, usd_micros_max)
        ready = self._ready(name, fn, args, key, most)
        try:
            with self._under_way(name, most):
                result = ready(*args)
        except (Exception, SystemExit) as error:
            return decoded(name, *outcome_body(None, error, 0), returns)
        return decoded(name, *outcome_body(result, None, 0), returns)

    @contextlib.contextmanager
    def _under_way(self, name: str, most: Most) -> Iterator[None]:
        """What is reported in here was spent in this call; what it declared is held back meanwhile."""
        purse = Purse("", name, 0, self.attempt, calling.get())
        purse.declare(most)
        self._purses.add(purse)
        before = calling.set(purse)
        try:
            yield
        except (Exception, SystemExit):
            raise
        except BaseException:  # it was cut off, and nobody knows
            self.spent += purse.most
            raise
        finally:
            calling.reset(before)
            self._purses.discard(purse)

    @property
    def _held(self) -> Spent:
        return sum((purse.most for purse in self._purses), NOTHING)

    def _ready(
        self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], key: str | None, most: Most
    ) -> Callable[..., Any]:
        if self.refused is not None:
            raise VisitOver("the attempt is over")
        arguments_body(name, args)
        if self.calls_max is not None and len(self.calls) >= self.calls_max:
            self._refuse(name, "calls_max", {"calls": len(self.calls), "calls_max": self.calls_max})
        if (over := overshoot(self, self.spent, self._held, most)) is not None:
            self._refuse(name, *over)
        self.calls.append((name, args))
        return prepared(fn, key or name)

    def _refuse(self, call: str, code: str, numbers: dict[str, int], text: str = "") -> None:
        self.refused = CallRefused(call=call, code=code, numbers=numbers, attempt=self.attempt, text=text)
        raise VisitOver(f"refused: {code}")
