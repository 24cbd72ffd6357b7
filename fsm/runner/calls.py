"""Calls: the recorded effects of a visit. Intent first, then the effect, then its outcome.

After a crash a finished call gives back its recorded result, one in flight is made again under the same
key; an attempt that begins anew (a halted run that somebody resumed) makes its calls again under new keys,
except those the user keyed. Live and resumed attempts both get the value as the journal holds it, so they
cannot be told apart.
"""

import asyncio
import functools
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from attrs import define, field
from pydantic import BaseModel, TypeAdapter

from fsm.clock import Clock
from fsm.core.record import NOTHING
from fsm.crash import point
from fsm.define.agent import Unsure
from fsm.define.events import CallRefused, RuntimeEvent
from fsm.define.payload import canonical, digest
from fsm.errors import CallFailed, Fenced, JournalError
from fsm.journal.journal import Journal
from fsm.journal.rows import Call
from fsm.runner.live import Live
from fsm.runner.threads import Threads

RETRIABLE = (TimeoutError, ConnectionError)
NAME_MAX = 200
TEXT_MAX = 2_000


class VisitOver(BaseException):
    """Ends the attempt from inside a call. No `Exception`, so that an agent's `except` does not swallow it."""


@define(frozen=True)
class _Ticket:
    """A call whose intent is committed."""

    key: str
    name: str
    arguments: tuple[Any, ...]
    returns: Any


@define(eq=False, kw_only=True)
class CallDesk:
    """The calls of one attempt.

    One that is refused ends the visit by `cut`, whatever the agent does then; one that the journal cannot
    take stops the run by `lost`: no run goes on unrecorded.
    """

    live: Live
    token: int
    entered: int
    attempt: int
    journal: Journal
    clock: Clock
    threads: Threads
    cut: Callable[[RuntimeEvent], None]
    lost: Callable[[Exception], None]
    _made: int = 0
    _keys: set[str] = field(factory=set)
    _occurrences: Counter[tuple[str, str]] = field(factory=Counter)

    async def call(
        self,
        name: str,
        fn: Callable[..., Any],
        arguments: tuple[Any, ...],
        returns: Any,
        key: str | None,
        timeout_s: float | None,
        unsure: Unsure,
    ) -> Any:
        """The whole of a call on the event loop; a blocking `fn` runs on a thread."""
        known, ticket = await self.intend(name, arguments, returns, key, unsure)
        if ticket is None:
            return known
        try:
            result = await _within(self._execute(fn, ticket), timeout_s)
        except asyncio.CancelledError as error:
            current = asyncio.current_task()
            if current is None or current.cancelling():
                raise
            return await self.settle(ticket, None, error)
        except (Exception, SystemExit) as error:
            return await self.settle(ticket, None, error)
        return await self.settle(ticket, result, None)

    async def _execute(self, fn: Callable[..., Any], ticket: _Ticket) -> Any:
        ready = prepared(fn, ticket.key)
        if inspect.iscoroutinefunction(fn):
            return await ready(*ticket.arguments)
        result = await self.threads.run(functools.partial(ready, *ticket.arguments), f"call {ticket.name}")
        return await result if inspect.isawaitable(result) else result

    async def settle_later(self, ticket: _Ticket, result: Awaitable[Any]) -> Any:
        """Settle with what a function that is not async returned to be awaited."""
        try:
            answer = await result
        except (Exception, SystemExit) as error:
            return await self.settle(ticket, None, error)
        return await self.settle(ticket, answer, None)

    async def intend(
        self, name: str, arguments: tuple[Any, ...], returns: Any, key: str | None, unsure: Unsure
    ) -> tuple[Any, _Ticket | None]:
        """Either the recorded result of this very call, or the ticket to make it, its intent committed."""
        await self._check()
        body = arguments_body(name, arguments)
        full_key = self._key(name, body, key)
        intents, outcomes = self._recorded(full_key, key is not None)
        if any(intent.digest != digest(body) for intent in intents):
            raise ValueError(
                f"key {key!r} of call {name!r} already stands for other arguments\n  -> give this call a key of its own"
            )
        if outcomes:
            return _decoded(outcomes[0], returns), None
        if intents and unsure == "refuse":
            self._refuse(name, "unsure", {"attempts": len(intents)})
        calls_max = self.live.engine.spec.bounds.calls_max
        earlier = {row.key for row in self.live.earlier if row.kind == "intent"}
        made = self._made + len(earlier - self._keys - {full_key})
        if made >= calls_max:
            self._refuse(name, "calls_max", {"calls": made, "calls_max": calls_max})
        self._made += 1
        self._keys.add(full_key)
        await self._write("intent", full_key, name, "", body)
        point("call.intended")
        return None, _Ticket(full_key, name, arguments, returns)

    async def settle(self, ticket: _Ticket, result: Any, error: BaseException | None) -> Any:
        """Commit the outcome and hand it out as it will be read from the journal ever after."""
        point("call.executed")
        status, body = outcome_body(result, error)
        outcome = await self._write("outcome", ticket.key, ticket.name, status, body)
        point("call.settled")
        await self._check()
        return _decoded(outcome, ticket.returns)

    async def _write(self, kind: Any, key: str, name: str, status: Any, body: bytes) -> Call:
        """A row of this attempt; what others spend meanwhile is not booked with one that has been abandoned."""
        spent = self.live.book() if self.live.token == self.token else NOTHING
        call = Call(
            run=self.live.run.key,
            seq=self.live.snapshot.seq,
            entered=self.entered,
            attempt=self.attempt,
            kind=kind,
            key=key,
            name=name,
            status=status,
            spent=spent,
            at_ms=self.clock.now_ms(),
            digest=digest(body),
            body=body,
        )
        try:
            return await self.journal.call(call)
        except Fenced as fenced:
            raise VisitOver(str(fenced)) from None
        except JournalError as error:
            if self.live.token == self.token:
                self.lost(error)
            raise VisitOver(str(error)) from None

    async def _check(self) -> None:
        """A refused or abandoned attempt makes no more calls."""
        if self.live.token != self.token:
            await asyncio.sleep(0)  # one that swallows everything and tries again must not block the event loop
            raise VisitOver("the attempt is over")

    def _refuse(self, name: str, code: str, numbers: dict[str, int]) -> None:
        shown = name[:NAME_MAX].encode("utf-8", "replace").decode()
        self.cut(CallRefused(call=shown, code=code, numbers=numbers, attempt=self.attempt))
        raise VisitOver(f"call {name!r} refused: {code}")

    def _key(self, name: str, body: bytes, key: str | None) -> str:
        run, snapshot = self.live.run.run_id, self.live.snapshot
        if key is not None:
            return f"{run}:{name}:{key}"
        entered = f"{snapshot.entered}" if snapshot.fresh == 1 else f"{snapshot.entered}.{snapshot.fresh}"
        arguments = digest(body).hex()[:16]
        self._occurrences[name, arguments] += 1
        return f"{run}:{entered}:{name}:{arguments}:{self._occurrences[name, arguments]}"

    def _recorded(self, key: str, keyed: bool) -> tuple[list[Call], list[Call]]:
        """Intents and outcomes under this key: of the visit's lost attempts, or of the run where the user keyed it."""
        rows = self.journal.read.calls_of(self.live.run.key, key) if keyed else self.live.earlier
        same = [row for row in rows if row.key == key]
        intents = [row for row in same if row.kind == "intent"]
        outcomes = [row for row in same if row.kind == "outcome"]
        good = [row for row in outcomes if row.status == "ok"]
        return intents, good if good or keyed else outcomes


def prepared(fn: Callable[..., Any], key: str) -> Callable[..., Any]:
    """`fn`, given the idempotency key if it has a parameter of that name."""
    return functools.partial(fn, idempotency_key=key) if _wants_key(fn) else fn


async def _within(work: Coroutine[Any, Any, Any], timeout_s: float | None) -> Any:
    """The result of `work`; after `timeout_s` it is cancelled, but not awaited: it may swallow that."""
    if timeout_s is None:
        return await work
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
    finally:
        task.cancel()
    if not done:
        raise TimeoutError(f"no answer within {timeout_s:g} s")
    return task.result()


@functools.lru_cache(maxsize=1024)
def _wants_key(fn: Callable[..., Any]) -> bool:
    try:
        return "idempotency_key" in inspect.signature(fn).parameters
    except (TypeError, ValueError):
        return False


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, round_trip=True)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def told(error: BaseException) -> tuple[str, str, bool]:
    """Type, text, and whether trying again may help; safe to store, whatever the error is made of."""
    if isinstance(error, CallFailed):
        return error.type, f"call {error.name!r}: {error.text}", error.retriable
    try:
        text = str(error)[:TEXT_MAX].encode("utf-8", "replace").decode()
    except Exception as unprintable:
        text = f"unprintable: {type(unprintable).__name__}"
    try:
        retriable = bool(getattr(error, "retriable", isinstance(error, RETRIABLE)))
    except Exception:
        retriable = False
    return type(error).__name__[:NAME_MAX], text, retriable


def arguments_body(name: str, arguments: tuple[Any, ...]) -> bytes:
    """The arguments of a call as they are recorded; `TypeError` if they are not JSON data."""
    try:
        return canonical([_plain(argument) for argument in arguments])
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"the arguments of call {name!r} are not JSON data: {error}") from None


def outcome_body(result: Any, error: BaseException | None) -> tuple[str, bytes]:
    """How a call went, and the bytes that say so."""
    if error is None:
        try:
            return "ok", canonical(_plain(result))
        except (TypeError, ValueError, RecursionError) as unfit:
            error = TypeError(f"its result is not JSON data: {unfit}")
    return "failed", canonical(_failure(error))


def _failure(error: BaseException) -> dict[str, object]:
    if isinstance(error, CallFailed):
        return {"type": error.type, "text": error.text, "retriable": error.retriable}
    return dict(zip(("type", "text", "retriable"), told(error), strict=True))


def _decoded(outcome: Call, returns: Any) -> Any:
    return decoded(outcome.name, outcome.status, outcome.body or b"null", returns)


def decoded(name: str, status: str, body: bytes, returns: Any) -> Any:
    """What an agent gets of a recorded outcome: the value, or `CallFailed`."""
    adapter: TypeAdapter[Any] = TypeAdapter(Any if status == "failed" or returns is None else returns)
    value = adapter.validate_json(body)
    if status == "failed":
        raise CallFailed(name=name, type=value["type"], text=value["text"], retriable=value["retriable"])
    return value
