"""The runner: starts runs, advances them, hears what comes from outside, stops cleanly.

    async with Runner("runs.db", machines=[ReviewLoop]) as runner:
        run = await runner.start(ReviewLoop, Brief(task="..."))
        run = await runner.settled(run.run_id)

On entering it takes over every run of its machines that nobody advances. On leaving it stops what is in
progress; those runs go on with the next runner.
"""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel

from fsm import ids
from fsm.clock import Clock, SystemClock
from fsm.core.conclude import decide
from fsm.core.record import Record
from fsm.core.select import Event
from fsm.core.snapshot import Snapshot
from fsm.crash import point
from fsm.define.events import Cancelled
from fsm.define.machine import Machine
from fsm.define.payload import Invalid, Payload, canonical, excerpt, seal
from fsm.define.spec import MachineSpec
from fsm.errors import NotResumable, PayloadRefused, RunEnded, RunnerStopped
from fsm.journal.journal import Journal, SqliteJournal
from fsm.journal.rows import Run
from fsm.runner.calls import spending_row
from fsm.runner.driver import Driver, Observer
from fsm.runner.live import Live
from fsm.runner.machines import Machines
from fsm.runner.outside import Outside
from fsm.runner.repin import repin
from fsm.runner.threads import Threads

log = logging.getLogger("fsm.runner")

POLL_S = 0.05
ADOPT_S = 1.0
FRESH_S = 0.5


class Runner:
    """Advances runs on one event loop.

    `journal` is a path or an open journal; `machines` those whose runs it takes up by itself. `visits_max`
    bounds the agents at work at once, `sync_threads_max` the threads for those that block. `observers` are
    called with (run, record) after each commit. `poll_s` is how often other processes' events and timers
    are looked for, in seconds, and how late a timeout may be noticed.
    """

    def __init__(
        self,
        journal: str | os.PathLike[str] | Journal,
        *,
        machines: Sequence[type[Machine]] = (),
        observers: Sequence[Observer] = (),
        visits_max: int = 1_000,
        sync_threads_max: int = 64,
        clock: Clock | None = None,
        poll_s: float = POLL_S,
        handle_signals: bool = True,
        name: str = "",
    ) -> None:
        self.journal: Journal = SqliteJournal(journal) if isinstance(journal, str | os.PathLike) else journal
        self.name = name or f"{os.getpid()}-{ids.fresh()[:4]}"
        self._clock = clock or SystemClock()
        self._machines = Machines()
        self._given = tuple(machines)
        self._poll_s = poll_s
        self._handle_signals = handle_signals
        threads = Threads(sync_threads_max)
        slots = asyncio.Semaphore(visits_max)
        self._driver = Driver(self.journal, self._clock, self._machines, threads, slots, tuple(observers))
        self._outside = Outside(self._driver)
        self._tasks: list[asyncio.Task[None]] = []
        self._home: asyncio.Task[Any] | None = None
        self._waiting = 0
        self._restore: list[Callable[[], object]] = []

    # -- life --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        for machine in self._given:
            self._machines.add(machine)
        await self.journal.open(self._clock, self.name)
        self._home = asyncio.current_task()
        if self._handle_signals:
            self._catch_signals()
        await self._outside.adopt()
        await self._outside.look()
        self._tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._watch())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._driver.settle_tasks()
        for live in list(self._driver.lives.values()):
            await self._book(live)
        await self.journal.close()
        for restore in self._restore:
            restore()

    async def _book(self, live: Live) -> None:
        """Spending of an attempt that was cut off is kept: budgets must not undercount."""
        if live.unbooked:
            await self.journal.call(spending_row(live, self._clock.now_ms()))

    def stop(self) -> None:
        """Start no more visits, and wake whoever waits with `RunnerStopped`; leaving the block does the rest."""
        self._driver.stopping = True
        self._driver.wake_all()

    def _catch_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(number)
            with contextlib.suppress(NotImplementedError, ValueError):
                loop.add_signal_handler(number, self._signalled, number)
                self._restore.append(lambda number=number, before=before: _put_back(loop, number, before))  # type: ignore[misc]

    def _signalled(self, number: int) -> None:
        if self._driver.stopping:
            os._exit(128 + number)
        log.warning("stopping; runs stay resumable (once more to stop at once)")
        self.stop()
        if not self._waiting and self._home is not None:
            self._home.cancel()

    async def _beat(self) -> None:
        """The pulse: the lease is kept, deadlines are noticed. Nothing here waits for the journal's writer."""
        watchdog = self._driver.watchdog
        while True:
            self.journal.tick(self._driver.threads.hung)
            watchdog.look(self._clock.monotonic())
            due = watchdog.next()
            rest = self._poll_s if due is None else min(self._poll_s, max(0.0, due - self._clock.monotonic()))
            await asyncio.sleep(rest)

    async def _watch(self) -> None:
        """Events and timers in the journal, other processes' commits, runs left by others."""
        beats, fresh, adopt = 0, round(FRESH_S / self._poll_s) or 1, round(ADOPT_S / self._poll_s) or 1
        while True:
            beats += 1
            try:
                await self._outside.look()
                if beats % fresh == 0:
                    self._driver.wake_all()
                if beats % adopt == 0:
                    await self._outside.adopt()
            except Exception:
                log.exception("the journal could not be looked at; trying again")
            await asyncio.sleep(self._poll_s)

    # -- runs --------------------------------------------------------------------------------------

    async def start(
        self,
        machine: type[Machine],
        payload: BaseModel,
        *,
        run_id: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Run:
        """Start a run; it is durable when this returns.

        With a `run_id` that exists, begun with the same payload, that run is returned, and goes on if
        nobody advances it. Raises `PayloadRefused`, `RunConflict`, `AgentsMissing`, `JournalError`.
        """
        engine = self._machines.add(machine)
        spec = engine.spec
        sealed = _sealed(spec, payload, spec.initial.initial, "starts with")
        run_id = run_id or ids.fresh()
        note = {"run_id": run_id, "machine": spec.name, "fingerprint": spec.fingerprint}
        decision = decide(engine, Snapshot(), Event(payload=sealed, at_ms=self._clock.now_ms(), note=note))
        named = {str(name): str(value) for name, value in (labels or {}).items()}
        run, new = await self.journal.begin(run_id, spec, canonical(named).decode(), sealed, decision)
        point("decision.adopted")
        if new:
            assert decision.record is not None
            live = Live(run=run, engine=engine, snapshot=decision.snapshot, payload=sealed, folded=len(sealed.body))
            self._driver.tell(live, decision.record)
            if not run.settled:
                self._driver.drive(live)
        elif run.key not in self._driver.lives:
            await self._outside.adopt()
        return run

    async def send(self, run_id: str, payload: BaseModel, *, event_id: str | None = None) -> Record | None:
        """Give a run an event from outside; the record that decided it, once it is committed.

        The event is durable in the run's inbox first. The same `event_id` and payload again return the
        recorded decision; None means that the visit had its `refusals_max` and it was only counted.
        Raises `RunNotFound`, `RunEnded`, `RunHalted`, `EventConflict`, `PayloadRefused`, `Busy`.
        """
        run = self.journal.read.run(run_id)
        spec = self._machines.engine(run, self.journal.read).spec
        taken = sorted({event for line in spec.transitions for event in line.events})
        return await self._post(run, spec, _sealed(spec, payload, taken, "takes"), event_id or ids.fresh())

    async def cancel(self, run_id: str, *, by: str = "", reason: str = "") -> Run:
        """Ask a run to stop: it goes where the machine declares, or ends *cancelled*. On an ended run a no-op."""
        run = self.journal.read.run(run_id)
        if not run.ended:
            spec = self._machines.engine(run, self.journal.read).spec
            sealed = seal(Cancelled(by=by, reason=reason), spec.bounds.payload_bytes_max)
            with contextlib.suppress(RunEnded):
                await self._post(run, spec, sealed, ids.fresh())
        return self.journal.read.run(run_id)

    async def _post(self, run: Run, spec: MachineSpec, payload: Payload, event_id: str) -> Record | None:
        read = self.journal.read
        at_ms, inbox_max = self._clock.now_ms(), spec.bounds.inbox_max
        known = await self.journal.post(run.run_id, event_id, payload, at_ms, inbox_max)
        point("inbox.committed")
        while known is None:
            run = read.run_at(run.key)
            if run.owner in (0, self.journal.epoch):
                await self._outside.attend(run)
            known = read.record_of(run.key, event_id)
            if known is None:
                if all(posted.event_id != event_id for posted in read.inbox(run.key)):
                    return read.record_of(run.key, event_id)
                await self._changed(run)
        return known

    async def resume(self, run_id: str, *, accept: bool = False, by: str = "") -> Run:
        """Go on with a run that halted, or that nobody advances: a recorded act, and a new attempt.

        `accept=True` takes a changed definition of its machine (a `repinned` record names it). Raises
        `MachineChanged` with the differences, `NotResumable`, `MachineUnknown`.
        """
        run = self.journal.read.run(run_id)
        if run.ended:
            raise NotResumable(run_id=run_id, why=f"it has ended ({run.outcome})")
        if accept:
            run = await repin(self._driver, run, by)
        if run.key in self._driver.lives or run.outcome == "waiting":
            return run
        why = "asked" if run.halted else "lost" if run.owner else "released"
        await self._driver.take_over(run, why, by)
        return self.journal.read.run(run_id)

    # -- waiting -----------------------------------------------------------------------------------

    async def settled(self, run_id: str) -> Run:
        """The run once it stands still: ended, halted or waiting. Raises `RunnerStopped`, or why it stopped here."""
        return await self._until(run_id, lambda run: run.settled)

    async def finished(self, run_id: str) -> Run:
        """The run once it has ended or halted; a waiting one is waited for."""
        return await self._until(run_id, lambda run: run.ended or run.halted)

    async def idle(self) -> None:
        """Wait until this runner advances no run."""
        while self._driver.lives:
            await self._changed(next(iter(self._driver.lives.values())).run)

    async def _until(self, run_id: str, done: Callable[[Run], bool]) -> Run:
        while True:
            run = self.journal.read.run(run_id)
            if done(run):
                return run
            if run.key in self._driver.failed:
                raise self._driver.failed[run.key]
            await self._changed(run)

    async def _changed(self, run: Run) -> None:
        self._waiting += 1
        try:
            if not self._driver.stopping:
                await asyncio.shield(self._driver.waiter(run.key))
        finally:
            self._waiting -= 1
        if self._driver.stopping:
            raise RunnerStopped(unfinished=len(self._driver.lives))


def _sealed(spec: MachineSpec, payload: object, taken: Sequence[str], verb: str) -> Payload:
    """The payload sealed, if it is one of the classes this machine takes there."""
    name = type(payload).__name__
    if not isinstance(payload, BaseModel) or spec.name_of(type(payload)) not in taken:
        problem = f"{spec.name} {verb} {', '.join(taken)}; not {name}"
        raise PayloadRefused(event=name, problems=(problem,), excerpt=excerpt(payload))
    try:
        return seal(payload, spec.bounds.payload_bytes_max)
    except Invalid as invalid:
        raise PayloadRefused(event=name, problems=tuple(invalid.problems), excerpt=invalid.excerpt) from None


def _put_back(loop: asyncio.AbstractEventLoop, number: int, before: Any) -> None:
    loop.remove_signal_handler(number)
    signal.signal(number, before)
