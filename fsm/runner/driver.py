"""What moves runs: visit, decide, adopt, and again.

One task carries a run from attempt to attempt; nothing else is created per hop. When an attempt is
abandoned (deadline, an event from outside that moves the run, a stop) its task is cancelled, never
awaited, and a new task goes on: an agent may swallow cancellation, and its late result then holds an old
token.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from attrs import define, field

from fsm.clock import Clock
from fsm.core.deadline import time_for
from fsm.core.plan import Event, Plan
from fsm.core.record import HALTED, Record
from fsm.core.select import select
from fsm.core.snapshot import Snapshot
from fsm.crash import point
from fsm.define.events import RUNTIME_BYTES_MAX, RuntimeEvent, TimedOut
from fsm.define.payload import Payload, excerpt, seal
from fsm.define.prices import Prices
from fsm.errors import Fenced, JournalClosed
from fsm.journal.journal import Journal
from fsm.journal.operations import Decided, Overlooked
from fsm.runner.failed import Failed
from fsm.runner.live import Live
from fsm.runner.machines import Machines
from fsm.runner.observers import Observers
from fsm.runner.spending import Books, reckoned
from fsm.runner.suspects import Suspects
from fsm.runner.task import RunTask
from fsm.runner.threads import Threads
from fsm.runner.visit import attempt, crashed
from fsm.runner.waiting import Waiting
from fsm.runner.watchdog import Watchdog

log = logging.getLogger("fsm.runner")

Still = Callable[[Snapshot], bool]


@define(eq=False)
class Driver:
    """The runs this process advances (`lives`, by key) and those it had to give up (`failed`)."""

    journal: Journal
    clock: Clock
    machines: Machines
    threads: Threads
    slots: asyncio.Semaphore
    observers: Observers
    prices: Prices | None = None
    stopping: bool = False
    lost: Exception | None = None
    lives: dict[int, Live] = field(factory=dict)
    failed: Failed = field(init=False)
    waiting: Waiting = field(factory=Waiting)
    suspects: Suspects = field(init=False)
    books: Books = field(init=False)
    watchdog: "Watchdog[Live]" = field(init=False)
    _tasks: "set[asyncio.Task[None]]" = field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.watchdog = Watchdog(self._woken)
        self.failed = Failed(self.clock)
        self.suspects = Suspects(self.lives)
        self.books = Books(self.journal, self.clock)

    # -- moving on ---------------------------------------------------------------------------------

    def drive(self, live: Live, payload: Payload | None = None) -> None:
        """Go on with this run: decide `payload` first, if one is given, then visit after visit."""
        if self.stopping:
            return
        self.lives[live.run.key] = live
        live.task = RunTask(self._advance(live, live.token, payload))
        self._tasks.add(live.task)
        live.task.add_done_callback(self._tasks.discard)

    async def _advance(self, live: Live, token: int, payload: Payload | None) -> None:
        try:
            while live.token == token and live.snapshot.outcome == "running" and not self.stopping:
                if payload is None and self._rests(live):
                    return
                payload = payload or await self._visit(live, token)
                if payload is None or await self.decide(live, payload, token=token) is None:
                    return
                payload = None
        except asyncio.CancelledError:
            if live.token == token and not self.stopping:
                self.give_up(live, RuntimeError("the task of this run was cancelled from outside"))
        except Exception as error:
            if live.token == token:
                self.give_up(live, error, payload)
        except BaseException as error:
            if live.token == token:
                self.give_up(live, RuntimeError(f"the task of this run ended with {type(error).__name__}"))
            raise

    async def _visit(self, live: Live, token: int) -> Payload | None:
        """One attempt, in one of the slots, under the watchdog; None if it was abandoned."""
        spec = live.engine.spec
        if live.snapshot.resumes > spec.bounds.resumes_max:
            return crashed(live)
        await self.slots.acquire()
        if live.token != token or self.stopping:
            self.slots.release()
            return None
        live.in_agent = True
        now, now_ms, deadline_ms = live.snapshot, self.clock.now_ms(), None
        live.time_ms = time_for(spec, spec.state[now.state], now_ms, now.started_at_ms, now.entered_at_ms)
        if live.time_ms == 0:  # the run's deadline was over before it could begin
            self._leave(live)
            return seal(TimedOut(timeout_ms=0, attempt=now.attempt), RUNTIME_BYTES_MAX)
        if live.time_ms is not None:
            self.watchdog.watch(live, self.clock.monotonic() + live.time_ms / 1000)
            deadline_ms = now_ms + live.time_ms
        try:
            cut = partial(self._cut, live)
            lost = partial(self.give_up, live)
            return await attempt(live, self.journal, self.clock, self.threads, self.prices, deadline_ms, cut, lost)
        finally:
            if live.token == token:
                self._leave(live)

    def _leave(self, live: Live) -> None:
        """The attempt no longer counts: its slot is free, its deadline gone."""
        if live.in_agent:
            live.in_agent = False
            live.deadline = None
            self.slots.release()

    def abandon(self, live: Live) -> None:
        """Whatever runs for this run is cut off; not awaited, its result will find an old token."""
        live.token += 1
        if live.in_agent and live.task is not None:
            live.task.cancel()
        self._leave(live)
        live.deadline = None

    def _woken(self, live: Live) -> None:
        """The watchdog barks: an attempt has had its time, or the next one may begin."""
        if live.in_agent:
            assert live.time_ms is not None
            live.unanswered()
            self._cut(live, TimedOut(timeout_ms=live.time_ms, attempt=live.snapshot.attempt))
        elif live.snapshot.again is not None and self.lives.get(live.run.key) is live:
            self.drive(live)

    def _rests(self, live: Live) -> bool:
        """Whether its next attempt has yet to begin; the watchdog, or the timer of what was put off, wakes it."""
        now, now_ms = live.snapshot, self.clock.now_ms()
        if now.again is not None and now.rests(now_ms):
            self.watchdog.watch(live, self.clock.monotonic() + (now.again.at_ms - now_ms) / 1000)
            return True
        return now.pending is not None and now.pending.own

    def _cut(self, live: Live, event: RuntimeEvent) -> None:
        """The attempt is over, whatever its agent does; `event` is what the state hears of instead."""
        self.abandon(live)
        self.drive(live, seal(event, RUNTIME_BYTES_MAX))

    # -- deciding ----------------------------------------------------------------------------------

    async def decide(
        self,
        live: Live,
        payload: Payload,
        *,
        token: int | None = None,
        own: bool = True,
        event_id: str | None = None,
        inbox: int | None = None,
        unread: str = "",
        still: Still | None = None,
    ) -> Record | None:
        """Decide one event and adopt what became of it, once it is committed.

        None if the attempt it comes from was abandoned or the run given up, if it is not `still` for the run as
        it stands when its turn has come, or if nothing was recorded (`refusals_max`).
        """
        async with live.turn:
            if live.purses:
                await self.books.calls(live, ended=token is not None and token == live.token)
            given_up = self.lives.get(live.run.key) is not live
            if given_up or token not in (None, live.token) or (still is not None and not still(live.snapshot)):
                return None
            at_ms = max(self.clock.now_ms(), live.snapshot.at_ms)
            event = reckoned(live, Event(payload=payload, at_ms=at_ms, own=own, event_id=event_id, unread=unread))
            try:
                plan, decided = await self._commit(live, event, inbox)
            except Exception:
                live.put_back()
                raise
            self._adopt(live, plan, decided, outside=token is None)
            return decided.decision.record

    async def _commit(self, live: Live, event: Event, inbox: int | None) -> tuple[Plan, Decided]:
        """Plan and decision for all that was spent, also by calls that others have settled."""
        while True:
            plan = select(live.engine, live.snapshot, event)
            point("decision.queued")
            try:
                return plan, await self.journal.decide(
                    live.run,
                    live.engine,
                    live.snapshot,
                    plan,
                    booked=live.booked,
                    inbox=inbox,
                    folded=live.folded,
                    snapshot_bytes=live.snapshot_bytes,
                )
            except Overlooked as overlooked:
                live.put_back(overlooked.spent)
                event = reckoned(live, event)

    def _adopt(self, live: Live, plan: Plan, decided: Decided, outside: bool) -> None:
        record, after = decided.decision.record, decided.decision.snapshot
        del live.hung[: len(plan.event.hung)]
        if record is None:
            live.put_back()
            return
        moved = live.adopt(after, record)
        live.folded += len(plan.event.payload.body)
        if decided.snapshot_bytes is not None:
            live.folded, live.snapshot_bytes = 0, decided.snapshot_bytes
        if moved or record.kind == "retried":
            live.begin(plan.event.payload)
        given_up = self.lives.get(live.run.key) is not live
        overtaken = (outside or given_up) and (moved or after.outcome != "running")
        if overtaken:
            self.abandon(live)  # at work, waiting for a slot, or about to decide: it is of a visit that is over
        point("decision.adopted")
        if overtaken or not given_up:  # else it stands where it failed, and is tried again from there
            self.failed.forget(live.run.key)
        self.observers.tell(live, record)
        if after.outcome in HALTED:
            log.warning("run %s: %s: %s", live.run.run_id, record, excerpt(plan.event.payload.body))
        if after.outcome != "running":
            self.park(live)
        elif overtaken:
            self.drive(live)

    # -- coming and going --------------------------------------------------------------------------

    def park(self, live: Live) -> None:
        """The run stands still by itself: it needs no memory here."""
        self.let_go(live)
        self.books.left(live)
        self.waiting.wake(live.run.key)

    def let_go(self, live: Live) -> None:
        """Forget a run that stands still, once nobody has it in hand."""
        if live.snapshot.outcome != "running" and not live.hands:
            self.forget(live)

    def forget(self, live: Live) -> None:
        """It is not in memory any more, unless another of it is."""
        if self.lives.get(live.run.key) is live:
            del self.lives[live.run.key]

    def give_up(self, live: Live, error: Exception, payload: Payload | None = None) -> None:
        """The run cannot go on from here; its journal says where it is, whoever waits for it is told.

        `payload` is what was to be decided; it is kept for the next try.
        """
        self.abandon(live)
        self.forget(live)
        self.books.later(live, again=isinstance(error, Fenced))
        if isinstance(error, Fenced):
            log.warning("%s", error)
        else:
            log.error("run %s stopped here: %s", live.run.run_id, error, exc_info=error)
            self.failed.note(live.run.key, live.snapshot.entered, error, live, payload)
        self.waiting.wake(live.run.key)
        if isinstance(error, JournalClosed) and self.lost is None:
            self.lose(error)

    def lose(self, error: Exception) -> None:
        """Nothing can be written any more: no run goes on here, and whoever waits is told why."""
        self.stopping, self.lost = True, error
        for live in list(self.lives.values()):
            self.give_up(live, error)
        self.waiting.wake_all()

    async def settle_tasks(self) -> None:
        """Stop: cut off every agent, let every decision in flight be committed, and what was spent be kept."""
        self.stopping = True
        lives = list(self.lives.values())
        for live in lives:
            self.abandon(live)
        for live in lives:
            await self.books.all(live)
        await self.books.close()
        self.waiting.wake_all()
