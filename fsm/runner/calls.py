"""Calls: the recorded effects of a visit. Intent first, then the effect, then its outcome.

After a crash a finished call gives back its recorded result, one in flight is made again under the same
key; an attempt that begins anew (a halted run that somebody resumed) makes its calls again under new keys,
except those the user keyed. Live and resumed attempts both get the value as the journal holds it, so they
cannot be told apart. What was taken back (an outcome `undone`) counts as not made.
"""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import define, field

from fsm.clock import Clock
from fsm.core.permits import NotPermitted, asked_of
from fsm.core.record import NOTHING, Spent
from fsm.core.strikes import struck_out
from fsm.crash import point
from fsm.define.agent import Unsure
from fsm.define.events import CallRefused, CallUnsure, RuntimeEvent
from fsm.define.payload import digest, excerpt
from fsm.errors import Fenced, JournalError
from fsm.journal.journal import Journal
from fsm.journal.rows import Call
from fsm.runner.bodies import arguments_body, decoded, outcome_body, prepared, said_of
from fsm.runner.declared import too_much
from fsm.runner.faults import NAME_MAX
from fsm.runner.known import known_of
from fsm.runner.live import Live, Purse, calling
from fsm.runner.most import UNDECLARED, Most
from fsm.runner.task import within
from fsm.runner.threads import Threads
from fsm.runner.ticket import Ticket, inside

KEY_MAX = 2_000


class VisitOver(BaseException):
    """Ends the attempt from inside a call. No `Exception`, so that an agent's `except` does not swallow it."""


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
    _under_way: dict[str, Ticket] = field(factory=dict)
    _occurrences: dict[tuple[str, str], int] = field(factory=dict)

    async def call(
        self,
        name: str,
        fn: Callable[..., Any],
        arguments: tuple[Any, ...],
        returns: Any,
        key: str | None,
        timeout_s: float | None,
        unsure: Unsure,
        most: Most,
    ) -> Any:
        """The whole of a call on the event loop; a blocking `fn` runs on a thread."""
        known, ticket = await self.intend(name, arguments, returns, key, unsure, most)
        if ticket is None:
            return known
        try:
            with inside(ticket):
                result = await within(self._execute(fn, ticket), timeout_s)
        except asyncio.CancelledError as error:
            current = asyncio.current_task()
            if current is None or current.cancelling():
                self.leave(ticket)
                raise
            return await self.settle(ticket, None, error)
        except (Exception, SystemExit) as error:
            return await self.settle(ticket, None, error)
        except BaseException:
            self.leave(ticket)
            raise
        return await self.settle(ticket, result, None)

    async def _execute(self, fn: Callable[..., Any], ticket: Ticket) -> Any:
        ready = prepared(fn, ticket.key)
        if inspect.iscoroutinefunction(fn):
            return await ready(*ticket.arguments)
        result = await self.threads.run(functools.partial(ready, *ticket.arguments), f"call {ticket.name}")
        return await result if inspect.isawaitable(result) else result

    async def settle_later(self, ticket: Ticket, result: Awaitable[Any]) -> Any:
        """Settle with what a function that is not async returned to be awaited."""
        try:
            with inside(ticket):
                answer = await result
        except (Exception, SystemExit) as error:
            return await self.settle(ticket, None, error)
        except BaseException:
            self.leave(ticket)
            raise
        return await self.settle(ticket, answer, None)

    async def intend(
        self, name: str, arguments: tuple[Any, ...], returns: Any, key: str | None, unsure: Unsure, most: Most
    ) -> tuple[Any, Ticket | None]:
        """Either the recorded result of this very call, or the ticket to make it, its intent committed."""
        await self._check()
        body = arguments_body(name, arguments)
        full_key = self._key(name, body, key)
        while (same := self._under_way.get(full_key)) is not None:
            outcome = await self._outcome_of(same, name, key, digest(body))
            if outcome is not None:
                return _decoded(outcome, returns), None
        rows = self.journal.read.calls_of(self.live.run.key, full_key) if key is not None else self.live.earlier
        known = known_of(rows, full_key, digest(body), keyed=key is not None)
        if not known.same:
            raise _other_arguments(name, key)
        if known.outcome is not None:
            self.live.heard(name)
            return _decoded(known.outcome, returns), None
        if known.unsure and unsure == "refuse":
            self._refuse(name, "unsure", {"attempts": known.unsure})
        if known.unsure and unsure == "ask":
            self._ask(name, full_key, body)
        calls_max = self.live.engine.spec.bounds.calls_max
        earlier = {row.key for row in self.live.earlier if row.kind == "intent"}
        made = self._made + len(earlier - self._keys - {full_key})
        if made >= calls_max:
            self._refuse(name, "calls_max", {"calls": made, "calls_max": calls_max})
        now = self.live.snapshot
        struck = struck_out(self.live.engine.spec, now.state, name, self.live.streak(name))
        if struck is not None:
            self._refuse(name, struck.code, dict(struck.numbers))
        if (over := too_much(self.live, most)) is not None:
            self._refuse(name, *over)
        self._made += 1
        self._keys.add(full_key)
        ticket = self._ticket(full_key, name, arguments, returns, digest(body))
        ticket.purse.declare(most)
        try:
            asked = asked_of(self.live.engine.spec, now, name)
            time_ms = self._left_ms()
            row = self._row("intent", full_key, name, "", body, self._general(), most)
            row = await self._write(row, ask=asked, time_ms=time_ms)
            ticket.purse.permits += [(guard, given) for (guard, _), given in zip(asked, row.permits, strict=True)]
        except NotPermitted as refused:
            self.leave(ticket, made=False)
            self._refuse(name, refused.code, dict(refused.numbers))
        except BaseException:
            self.leave(ticket, made=False)
            raise
        point("call.intended")
        return None, ticket

    def _ticket(self, key: str, name: str, arguments: tuple[Any, ...], returns: Any, digested: bytes) -> Ticket:
        purse = Purse(key, name, self.entered, self.attempt, calling.get())
        outcome = asyncio.get_running_loop().create_future()
        ticket = self._under_way[key] = Ticket(key, name, arguments, returns, digested, purse, outcome)
        self.live.open(purse)
        return ticket

    async def _outcome_of(self, same: Ticket, name: str, key: str | None, digested: bytes) -> Call | None:
        """The outcome of a call that is under way already; None if it has none, and this one may be made."""
        if same.digest != digested:
            raise _other_arguments(name, key)
        around = calling.get()
        while around is not None:
            if around is same.purse:
                raise ValueError(f"call {name!r} with key {key!r} is made inside itself\n  -> give it a key of its own")
            around = around.outer
        outcome = await asyncio.shield(same.outcome)
        await self._check()
        return outcome

    async def settle(self, ticket: Ticket, result: Any, error: BaseException | None) -> Any:
        """Commit the outcome and hand it out as it will be read from the journal ever after."""
        point("call.executed")
        status, body = outcome_body(result, error, self.clock.now_ms())
        outcome: Call | None = None
        try:
            spent = self.live.close(ticket.purse)
            permits, ticket.purse.permits = ticket.purse.permits, []
            tell = [(guard, generation, said_of(status, body)) for guard, generation in permits]
            row = self._row("outcome", ticket.key, ticket.name, status, body, spent)
            outcome = await self._write(row, tell=tell, reported=ticket.purse.gross)
            if self.live.token == self.token:
                self.live.tried(ticket.name, said_of(outcome.status, outcome.body or b"null"))
        finally:
            self.leave(ticket, outcome)
        point("call.settled")
        await self._check()
        assert outcome is not None
        return _decoded(outcome, ticket.returns)

    def leave(self, ticket: Ticket, outcome: Call | None = None, made: bool = True) -> None:
        """The call is over; whoever wanted to make the same is told its outcome, if it has one."""
        if not made:
            ticket.purse.declare(UNDECLARED)
        self.live.leave(ticket.purse)
        self._under_way.pop(ticket.key, None)
        if not ticket.outcome.done():
            ticket.outcome.set_result(outcome)

    def _left_ms(self) -> int:
        """What the attempt has left; 0 where nothing bounds it."""
        deadline = self.live.deadline
        return max(0, round((deadline - self.clock.monotonic()) * 1000)) if deadline is not None else 0

    def _general(self) -> Spent:
        """What was spent outside of calls; what others spend is not booked with an attempt that is over."""
        return self.live.book() if self.live.token == self.token else NOTHING

    def _row(
        self, kind: Any, key: str, name: str, status: Any, body: bytes, spent: Spent, most: Most = UNDECLARED
    ) -> Call:
        """A row of this attempt."""
        return Call(
            run=self.live.run.key,
            seq=self.live.snapshot.seq,
            entered=self.entered,
            attempt=self.attempt,
            kind=kind,
            key=key,
            name=name,
            status=status,
            spent=spent,
            tokens_max=most.tokens_max,
            usd_micros_max=most.usd_micros_max,
            at_ms=self.clock.now_ms(),
            digest=digest(body),
            body=body,
        )

    async def _write(self, row: Call, **shared: Any) -> Call:
        try:
            return await self.journal.call(row, **shared)
        except (NotPermitted, Fenced, JournalError) as error:
            self.live.unbook(row.spent)
            if isinstance(error, NotPermitted):
                raise
            if not isinstance(error, Fenced) and self.live.token == self.token:
                self.lost(error)
            raise VisitOver(str(error)) from None

    async def _check(self) -> None:
        """A refused or abandoned attempt makes no more calls."""
        now = self.live.snapshot
        if self.live.token != self.token or (now.entered, now.attempt) != (self.entered, self.attempt):
            await asyncio.sleep(0)  # one that swallows everything and tries again must not block the event loop
            raise VisitOver("the attempt is over")

    def _refuse(self, name: str, code: str, numbers: dict[str, int]) -> None:
        self.cut(CallRefused(call=_shown(name), code=code, numbers=numbers, attempt=self.attempt))
        raise VisitOver(f"call {name!r} refused: {code}")

    def _ask(self, name: str, key: str, body: bytes) -> None:
        self.cut(CallUnsure(call=_shown(name), key=key, arguments=excerpt(body), attempt=self.attempt))
        raise VisitOver(f"nobody knows whether call {name!r} was made")

    def _key(self, name: str, body: bytes, key: str | None) -> str:
        run, snapshot = self.live.run.run_id, self.live.snapshot
        if len(name) + len(str(key)) > KEY_MAX:
            raise ValueError(f"call {name[:NAME_MAX]!r}...: give name and key of at most {KEY_MAX} characters together")
        if key is not None:
            return f"{run}:{name}:{key}"
        entered = f"{snapshot.entered}" if snapshot.fresh == 1 else f"{snapshot.entered}.{snapshot.fresh}"
        arguments = digest(body).hex()[:16]
        occurrence = self._occurrences.get((name, arguments), 0) + 1
        self._occurrences[name, arguments] = occurrence
        return f"{run}:{entered}:{name}:{arguments}:{occurrence}"


def _shown(name: str) -> str:
    return name[:NAME_MAX].encode("utf-8", "replace").decode()


def _other_arguments(name: str, key: str | None) -> ValueError:
    return ValueError(
        f"key {key!r} of call {name!r} already stands for other arguments\n  -> give this call a key of its own"
    )


def _decoded(outcome: Call, returns: Any) -> Any:
    return decoded(outcome.name, outcome.status, outcome.body or b"null", returns)
