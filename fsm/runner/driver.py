"""What moves runs: visit, decide, adopt, and again.

One task carries a run from attempt to attempt; nothing else is created per hop. When an attempt is
abandoned (deadline, an event from outside that moves the run, a stop) its task is cancelled, never
awaited, and a new task goes on: an agent may swallow cancellation, and its late result then holds an old
token.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from attrs import define, evolve, field

from fsm.clock import Clock
from fsm.core.recall import recall
from fsm.core.record import NOTHING, Record
from fsm.core.select import Event, Plan, select
from fsm.core.snapshot import apply
from fsm.crash import point
from fsm.define.events import RUNTIME_BYTES_MAX, RuntimeEvent, TimedOut
from fsm.define.parts import START
from fsm.define.payload import Invalid, Payload, seal
from fsm.define.spec import MachineSpec
from fsm.errors import Fenced
from fsm.journal.journal import Journal
from fsm.journal.operations import Decided
from fsm.journal.rows import Run
from fsm.runner.calls import look_back
from fsm.runner.live import Live
from fsm.runner.machines import Machines
from fsm.runner.threads import Threads
from fsm.runner.visit import attempt, crashed
from fsm.runner.watchdog import Watchdog

log = logging.getLogger("fsm.runner")

Observer = Callable[[Run, Record], object]


@define(eq=False)
class Driver:
    """The runs this process advances (`lives`, by key) and those it had to give up (`failed`)."""

    journal: Journal
    clock: Clock
    machines: Machines
    threads: Threads
    slots: asyncio.Semaphore
    observers: Sequence[Observer]
    stopping: bool = False
    lives: dict[int, Live] = field(factory=dict)
    failed: dict[int, Exception] = field(factory=dict)
    waiters: dict[int, "asyncio.Future[None]"] = field(factory=dict)
    watchdog: "Watchdog[Live]" = field(init=False)
    _tasks: "set[asyncio.Task[None]]" = field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.watchdog = Watchdog(self._timed_out)

    # -- moving on ---------------------------------------------------------------------------------

    def drive(self, live: Live, payload: Payload | None = None) -> None:
        """Go on with this run: decide `payload` first, if one is given, then visit after visit."""
        if self.stopping:
            return
        self.lives[live.run.key] = live
        live.task = asyncio.get_running_loop().create_task(self._advance(live, live.token, payload))
        self._tasks.add(live.task)
        live.task.add_done_callback(self._tasks.discard)

    async def _advance(self, live: Live, token: int, payload: Payload | None) -> None:
        try:
            while live.token == token and live.snapshot.outcome == "running" and not self.stopping:
                if payload is None and live.snapshot.pending is not None and live.snapshot.pending.own:
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
                self.give_up(live, error)

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
        timeout_ms = spec.state[live.snapshot.state].timeout_ms
        deadline_ms = None
        if timeout_ms is not None:
            self.watchdog.watch(live, self.clock.monotonic() + timeout_ms / 1000)
            deadline_ms = self.clock.now_ms() + timeout_ms
        try:
            return await attempt(live, self.journal, self.clock, self.threads, deadline_ms)
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

    def _timed_out(self, live: Live) -> None:
        if not live.in_agent:
            return
        timeout_ms = live.engine.spec.state[live.snapshot.state].timeout_ms
        assert timeout_ms is not None
        self.abandon(live)
        event = TimedOut(timeout_ms=timeout_ms, attempt=live.snapshot.attempt)
        self.drive(live, seal(event, live.engine.spec.bounds.payload_bytes_max))

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
    ) -> Record | None:
        """Decide one event and adopt what became of it, once it is committed.

        None if the attempt it comes from was abandoned, or if nothing was recorded (`refusals_max`).
        """
        async with live.turn:
            if token is not None and live.token != token:
                return None
            event = Event(
                payload=payload,
                at_ms=max(self.clock.now_ms(), live.snapshot.at_ms),
                own=own,
                event_id=event_id,
                spent=live.take(),
            )
            try:
                plan = select(live.engine, live.snapshot, event)
                point("decision.queued")
                decided = await self.journal.decide(
                    live.run,
                    live.engine,
                    live.snapshot,
                    plan,
                    inbox=inbox,
                    folded=live.folded,
                    snapshot_bytes=live.snapshot_bytes,
                )
            except BaseException:
                live.put_back()
                raise
            self._adopt(live, plan, decided)
            return decided.decision.record

    def _adopt(self, live: Live, plan: Plan, decided: Decided) -> None:
        before, live.snapshot = live.snapshot, decided.decision.snapshot
        record, after = decided.decision.record, live.snapshot
        if record is None:
            live.put_back()
            return
        live.folded += len(plan.event.payload.body)
        if decided.snapshot_bytes is not None:
            live.folded, live.snapshot_bytes = 0, decided.snapshot_bytes
        moved = after.entered != before.entered
        if moved:
            live.payload, live.earlier, live.covered = plan.event.payload, [], NOTHING
        interrupted = live.in_agent and (moved or after.outcome != "running")
        if interrupted:
            self.abandon(live)
        point("decision.adopted")
        self.tell(live, record)
        if after.outcome != "running":
            self.park(live)
        elif interrupted or before.outcome != "running":
            self.drive(live)

    def tell(self, live: Live, record: Record) -> None:
        """Observers hear of a committed record; one that fails is logged and undoes nothing."""
        if not self.observers:
            return
        after = live.snapshot
        run = evolve(live.run, state=after.state, outcome=after.outcome, seq=after.seq, entered=after.entered)
        for observer in self.observers:
            try:
                observer(run, record)
            except Exception:
                log.exception("an observer failed at %s record %d", run.run_id, record.seq)

    # -- coming and going --------------------------------------------------------------------------

    def park(self, live: Live) -> None:
        """The run stands still by itself: it needs no memory here."""
        self.lives.pop(live.run.key, None)
        self._wake(live.run.key)

    def give_up(self, live: Live, error: Exception) -> None:
        """This process cannot advance the run; its journal says where it is, whoever waits for it is told."""
        self.abandon(live)
        self.lives.pop(live.run.key, None)
        if isinstance(error, Fenced):
            log.warning("%s", error)
        else:
            log.error("run %s stopped here: %s", live.run.run_id, error, exc_info=error)
            self.failed[live.run.key] = error
        self._wake(live.run.key)

    def _wake(self, key: int) -> None:
        waiter = self.waiters.pop(key, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def wake_all(self) -> None:
        """Whoever waits for a run that is not in memory here looks again: another process may have moved it."""
        for key in list(self.waiters):
            if self.stopping or key not in self.lives:
                self._wake(key)

    def go_on(self, live: Live) -> None:
        """Visit after visit again, if the run is running and nothing of it is at work."""
        if live.snapshot.outcome == "running" and not live.in_agent:
            self.drive(live)

    def waiter(self, key: int) -> "asyncio.Future[None]":
        """A future that is done when something about this run has changed for good."""
        if key not in self.waiters:
            self.waiters[key] = asyncio.get_running_loop().create_future()
        return self.waiters[key]

    def load(self, run: Run) -> Live:
        """The run as its journal tells it; raises `MachineUnknown` or `MachineChanged`."""
        if run.key in self.lives:
            return self.lives[run.key]
        engine = self.machines.engine(run, self.journal.read)
        read = self.journal.read
        base = read.snapshot(run.key)
        records = list(read.records(run.key, base.seq if base else -1))
        snapshot = recall(engine.spec, records, base)
        entered = read.record(run.key, max(snapshot.entered, 0))
        memory = len(snapshot.memory or b"") if base else 0
        return Live(
            run=run,
            engine=engine,
            snapshot=snapshot,
            payload=self.stored(engine.spec, entered),
            folded=sum(len(record.body or b"") for record in records),
            snapshot_bytes=memory,
        )

    @staticmethod
    def stored(spec: MachineSpec, record: Record) -> Payload:
        """The payload of a record, as its class reads it today."""
        if record.body is None or record.digest is None:
            raise Invalid([f"record {record.seq}: its payload was erased"], "")
        return spec.stored(record.event, record.body, record.digest)

    async def take_over(self, run: Run, why: str, by: str = "") -> Live:
        """Go on with a run that nobody advances, or that was halted: a `resumed` record, and a new attempt."""
        live = self.load(run)
        spec, before = live.engine.spec, live.snapshot
        waits = before.state != START and spec.state[before.state].kind == "waiting"
        record = Record(
            seq=before.seq + 1,
            kind="resumed",
            at_ms=max(self.clock.now_ms(), before.at_ms),
            source=before.state,
            state=before.state,
            outcome="waiting" if waits else "running",
            attempt=before.attempt + 1,
            note={"why": why, **({"by": by} if by else {})},
        )
        record = await self.journal.append(
            run, record, timeout_ms=spec.state[before.state].timeout_ms if waits else None
        )
        point("resume.committed")
        live.snapshot = apply(spec, before, record)
        live.spent = live.unbooked = NOTHING
        look_back(live, self.journal.read)
        self.failed.pop(run.key, None)
        self.tell(live, record)
        if not waits:
            again = before.state == START and before.pending is None
            self.drive(live, live.payload if again else None)
        return live

    async def settle_tasks(self) -> None:
        """Stop: cut off every agent, let every decision in flight be committed."""
        self.stopping = True
        lives = list(self.lives.values())
        for live in lives:
            self.abandon(live)
        for live in lives:
            async with live.turn:
                pass
        self.wake_all()
