"""Spending that must not be lost, and must not count twice."""

import asyncio
import logging
from collections.abc import Mapping

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
from fsm.runner.most import Limited, Refusal, limits

log = logging.getLogger("fsm.runner")


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


def left(of: Limited, spent: Spent, otherwise: Mapping[str, int]) -> dict[str, int]:
    """What a visit may still spend, having spent so much; no more than `otherwise` leaves."""
    found = dict(otherwise)
    for name, limit in limits(of).items():
        rest = max(0, limit - getattr(spent, name))
        found[name] = min(rest, found.get(name, rest))
    return found


def beyond(of: Limited, spent: Spent) -> Refusal | None:
    """The refusal by the limit that a visit has gone beyond, if it has."""
    for name, limit in limits(of).items():
        if getattr(spent, name) > limit:
            return f"{name}_max", {name: getattr(spent, name), f"{name}_max": limit}, ""
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

    async def calls(self, live: Live, *, ended: bool = False) -> None:
        """What calls in flight have reported, as rows of theirs: nothing else may hold it.

        Of those that are over, and where their attempt has `ended` of all, also what they declared: nobody knows.
        """
        for purse in list(live.purses):
            if purse.spent:
                row = _row(live, purse, live.empty(purse), self.clock.now_ms())
                await self.journal.call(row, reported=purse.gross)
            if purse.most and (ended or purse.over):
                await self._presume(live, purse)
            if purse.over:
                live.leave(purse)  # unless more was spent in it meanwhile

    async def _presume(self, live: Live, purse: Purse) -> None:
        presumed = live.presume(purse)
        row = evolve(_row(live, purse, presumed, self.clock.now_ms()), status="unknown")
        try:
            await self.journal.call(row, reported=purse.gross + presumed)
        except BaseException:
            live.unpresume(purse, presumed)
            raise

    async def all(self, live: Live, *, again: bool = False) -> None:
        """What a run that stops here has spent since its last record; `again`: another runner has taken it over.

        Its attempt reports anew what was reported outside of calls, as after the death of a process. Calls that are
        cut off hear no more: what they were permitted is given back.
        """
        try:
            async with live.turn:
                if told := (*live.hung, *live.unsettled()):
                    await self.journal.tell(live.run, told, self.clock.now_ms())
                await self.calls(live, ended=not again)
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

    def left(self, live: Live) -> None:
        """A run that needs no memory any more may leave calls in flight: what they had declared is booked."""
        if any(purse.most or purse.spent for purse in live.purses):
            task = asyncio.get_running_loop().create_task(self._left(live))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _left(self, live: Live) -> None:
        try:
            async with live.turn:
                await self.calls(live, ended=True)
        except FsmError as error:
            log.warning("what calls of run %s may have spent could not be recorded: %s", live.run.run_id, error)

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
