"""The view an agent gets: its window on the run, alive for one attempt."""

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define
from pydantic import BaseModel

from fsm.core.counters import with_told
from fsm.define.agent import Unsure
from fsm.define.events import CallRefused, RuntimeEvent
from fsm.define.guard import Placed, Ruling
from fsm.define.parts import StateSpec
from fsm.define.payload import unseal
from fsm.define.spec import MachineSpec
from fsm.runner.bodies import prepared
from fsm.runner.calls import CallDesk, VisitOver
from fsm.runner.live import Live, calling
from fsm.runner.most import declared
from fsm.runner.pricing import UNTOLD, Till
from fsm.runner.spending import beyond, left
from fsm.runner.ticket import inside


@define(eq=False)
class LiveView:
    """`fsm.View` for a live attempt; see there for what each part means."""

    _live: Live
    _desk: CallDesk
    _till: Till
    _payload: BaseModel
    deadline_ms: int | None
    _loop: asyncio.AbstractEventLoop
    _thread: int

    @property
    def payload(self) -> Any:
        return self._payload

    @property
    def memory(self) -> Any:
        cls = self._live.engine.spec.memory_class
        if cls is None:
            return None
        body = self._live.snapshot.memory
        return unseal(cls, body) if body is not None else cls()

    @property
    def refusal(self) -> Ruling | None:
        return self._live.snapshot.refusal

    @property
    def failure(self) -> RuntimeEvent | None:
        return self._live.failure

    @property
    def run_id(self) -> str:
        return self._live.run.run_id

    @property
    def visit(self) -> int:
        return self._live.snapshot.counters[f"visits:{self._live.snapshot.state}"]

    @property
    def attempt(self) -> int:
        return self._live.snapshot.attempt

    @property
    def remaining(self) -> Mapping[str, int]:
        spec, held = self._live.engine.spec, self._live.held
        counters = with_told(spec, self._live.snapshot.counters, self._live.reported + held)
        counted: dict[str, int] = {}
        for guard in _run_caps(spec):
            assert guard.counter is not None and guard.limit is not None
            rest = max(0, guard.limit - counters.get(guard.counter.key, 0))
            counted[guard.counter.of] = min(rest, counted.get(guard.counter.of, rest))
        return left(self._state, self._live.in_visit + held, counted)

    @property
    def _state(self) -> StateSpec:
        return self._live.engine.spec.state[self._live.snapshot.state]

    def spend(self, usage: Any = UNTOLD, /, *, tokens: int = 0, usd_micros: int | None = None, model: str = "") -> None:
        now, desk = self._live.snapshot, self._desk
        report = self._till.read(usage, tokens, usd_micros, model, self._live.in_visit.usage)
        counts = (now.entered, now.attempt) == (desk.entered, desk.attempt)  # also while it is being cut off
        self._live.spend(report.spent, calling.get(), counts)
        here = counts and self._live.token == desk.token
        over = (beyond(self._state, self._live.in_visit) or report.refusal) if here else None
        if over is not None:
            if threading.get_ident() == self._thread:
                self._refuse(*over)
            else:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nothing goes on here
                    self._loop.call_soon_threadsafe(self._refuse, *over)
            raise VisitOver(f"its spending is refused: {over[0]}")
        if report.mistake:
            raise ValueError(report.mistake)

    def _refuse(self, code: str, numbers: dict[str, int], text: str = "") -> None:
        if self._live.token == self._desk.token:
            self._desk.cut(CallRefused(call="", code=code, numbers=numbers, attempt=self._desk.attempt, text=text))

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
        return await self._desk.call(name, fn, args, returns, key, timeout_s, unsure, most)

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
        if threading.get_ident() == self._thread:
            raise RuntimeError("call_sync in an async agent would block every run\n  -> await view.call(...)")
        most = declared(name, tokens_max, usd_micros_max)
        if timeout_s is not None or inspect.iscoroutinefunction(fn):
            return self._on_loop(self._desk.call(name, fn, args, returns, key, timeout_s, unsure, most))
        known, ticket = self._on_loop(self._desk.intend(name, args, returns, key, unsure, most))
        if ticket is None:
            return known
        try:
            with inside(ticket):
                result = prepared(fn, ticket.key)(*args)
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            return self._on_loop(self._desk.settle(ticket, None, error))
        except BaseException:
            self._loop.call_soon_threadsafe(self._desk.leave, ticket)
            raise
        if inspect.isawaitable(result):
            return self._on_loop(self._desk.settle_later(ticket, result))
        return self._on_loop(self._desk.settle(ticket, result, None))

    def _on_loop(self, coroutine: Any) -> Any:
        if self._loop.is_closed():
            coroutine.close()
            raise VisitOver("the runner is gone")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def _run_caps(spec: MachineSpec) -> list[Placed]:
    return [guard for guard in spec.machine_wide if guard.kind == "cap" and guard.counter is not None]
