"""Spending that must not be lost, and must not count twice."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from attrs import define, evolve, field

from fsm.clock import Clock
from fsm.core.plan import Event
from fsm.core.record import NOTHING, Spent
from fsm.define.payload import digest
from fsm.errors import FsmError
from fsm.journal.journal import Journal
from fsm.journal.reader import Reader
from fsm.journal.rows import Call
from fsm.runner.live import Live, Purse

log = logging.getLogger("fsm.runner")


class Limited(Protocol):
    """What bounds the spending of one visit: a state, or what stands for one."""

    @property
    def tokens_max(self) -> int | None: ...

    @property
    def usd_micros_max(self) -> int | None: ...


def reported(tokens: int, usd_micros: int) -> Spent:
    """What an agent reports; `ValueError` unless both are whole numbers, 0 or more."""
    for name, amount in (("tokens", tokens), ("usd_micros", usd_micros)):
        if type(amount) is not int or amount < 0:
            raise ValueError(f"spend({name}={amount!r}): give a whole number, 0 or more")
    return Spent(tokens, usd_micros)


def look_back(live: Live, read: Reader) -> None:
    """What the lost attempts of this visit left: their calls, and what they reported outside of them.

    An attempt that goes on starts the visit from its beginning and reports the latter again. A budget must not
    count it twice. What was spent inside a call is in a row with the call's key and no intent: it was paid.
    """
    entered, fresh = live.snapshot.entered, live.snapshot.fresh
    rows = read.calls(live.run.key, entered)
    live.earlier = [row for row in rows if row.entered == entered and row.attempt >= fresh]
    booked: dict[int, Spent] = {}
    for row in rows:
        booked[row.seq] = booked.get(row.seq, NOTHING) + row.spent
    reported = [row.spent for row in live.earlier if row.kind == "intent" or not row.key]
    reported += [
        record.spent - booked.get(record.seq - 1, NOTHING)
        for record in read.records(live.run.key, entered)
        if record.attempt >= fresh
    ]
    live.covered = sum(reported, NOTHING)


def is_limited(live: Live) -> bool:
    """Whether it matters what this visit spends."""
    state = live.engine.spec.state.get(live.snapshot.state)
    return state is not None and (bool(limits(state)) or state.tokens_min > 0)


def limits(of: Limited) -> dict[str, int]:
    """The most that a visit may report, by what is spent; what is not limited is absent."""
    declared = {"tokens": of.tokens_max, "usd_micros": of.usd_micros_max}
    return {name: limit for name, limit in declared.items() if limit is not None}


def left(of: Limited, spent: Spent, otherwise: Mapping[str, int]) -> dict[str, int]:
    """What a visit may still spend, having spent so much; no more than `otherwise` leaves."""
    found = dict(otherwise)
    for name, limit in limits(of).items():
        rest = max(0, limit - getattr(spent, name))
        found[name] = min(rest, found.get(name, rest))
    return found


def beyond(of: Limited, spent: Spent) -> tuple[str, dict[str, int]] | None:
    """The code and numbers of the limit that a visit has gone beyond, if it has."""
    for name, limit in limits(of).items():
        if getattr(spent, name) > limit:
            return f"{name}_max", {name: getattr(spent, name), f"{name}_max": limit}
    return None


def lacking(live: Live) -> int:
    """The tokens that this visit is charged if it ends now, once what it has spent is taken."""
    state = live.engine.spec.state.get(live.snapshot.state)
    return max(0, state.tokens_min - live.visit.tokens) if state is not None else 0


def reckoned(live: Live, event: Event) -> Event:
    """The event with all that there is to account for: spending, what was tried and what came of it."""
    spent = live.take()
    streaks, hung = live.streaks(event.own), tuple(live.hung)
    event = evolve(event, strikes=streaks, hung=hung, unsettled=live.unsettled())
    return evolve(event, spent=spent, charge=lacking(live))


@define(eq=False)
class Books:
    """Writes into the journal what no record is about to hold."""

    journal: Journal
    clock: Clock
    _tasks: "set[asyncio.Task[None]]" = field(factory=set)

    async def calls(self, live: Live) -> None:
        """What calls in flight have reported, as rows of theirs: nothing else may hold it."""
        for purse in [purse for purse in live.purses if purse.spent]:
            await self.journal.call(_row(live, purse, live.empty(purse), self.clock.now_ms()))
            if purse.over:
                live.leave(purse)  # unless more was spent in it meanwhile

    async def all(self, live: Live, *, again: bool = False) -> None:
        """What a run that stops here has spent since its last record; `again`: another runner has taken it over.

        Its attempt reports anew what was reported outside of calls, as after the death of a process. Calls that are
        cut off hear no more: what they were permitted is given back.
        """
        try:
            async with live.turn:
                if told := (*live.hung, *live.unsettled()):
                    await self.journal.tell(live.run, told, self.clock.now_ms())
                await self.calls(live)
                if live.unbooked and not again:
                    outside = Purse("", "", live.snapshot.entered, live.snapshot.attempt)
                    await self.journal.call(_row(live, outside, live.book(), self.clock.now_ms()))
        except FsmError as error:
            log.warning("what run %s spent last could not be recorded: %s", live.run.run_id, error)

    def later(self, live: Live, *, again: bool) -> None:
        """The same, from where nothing can be awaited."""
        if live.purses or live.hung or (live.unbooked and not again):
            task = asyncio.get_running_loop().create_task(self.all(live, again=again))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)


def _row(live: Live, purse: Purse, spent: Spent, at_ms: int) -> Call:
    """Spending as a row of its own."""
    body = b"null"
    return Call(
        run=live.run.key,
        seq=live.snapshot.seq,
        entered=purse.entered,
        attempt=purse.attempt,
        kind="spent",
        key=purse.key,
        name=purse.name,
        status="",
        spent=spent,
        at_ms=at_ms,
        digest=digest(body),
        body=body,
    )
