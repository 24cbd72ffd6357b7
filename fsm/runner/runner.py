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
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import BaseModel

from fsm import ids
from fsm.clock import Clock, SystemClock
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.record import Record
from fsm.core.select import select
from fsm.core.snapshot import Snapshot
from fsm.crash import point
from fsm.define.machine import Machine
from fsm.define.payload import Payload
from fsm.define.prices import Prices
from fsm.define.spec import MachineSpec
from fsm.errors import Fenced, NotResumable, RunEnded, RunnerStopped
from fsm.journal.journal import Journal, SqliteJournal
from fsm.journal.rows import Run
from fsm.runner.answer import UNTOLD, answer
from fsm.runner.driver import Driver
from fsm.runner.entry import arriving, bounded, cancelling, name, starting, tags
from fsm.runner.hearing import check_heard
from fsm.runner.live import Live
from fsm.runner.machines import Machines
from fsm.runner.observers import Observer, Observers
from fsm.runner.outside import Outside
from fsm.runner.pulse import Pulse
from fsm.runner.recovery import take_over
from fsm.runner.repin import repin
from fsm.runner.signals import Signals
from fsm.runner.threads import Threads

log = logging.getLogger("fsm.runner")

POLL_S = 0.05

T = TypeVar("T")


class Runner:
    """Advances runs on one event loop.

    `journal` is a path or an open journal. Of `machines` it takes up every run that nobody advances; with
    `adopt=False` only those that it was asked to start or resume. `visits_max` bounds the agents at work at
    once, `sync_threads_max` the threads for those that block. `observers` are called with (run, record) after each
    commit; `prices` say what the usage costs that agents report. `poll_s` is how often other processes' events and
    timers are looked for, in seconds, and how late a timeout may be noticed.
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
        adopt: bool = True,
        prices: Prices | None = None,
    ) -> None:
        bounded(visits_max=visits_max, sync_threads_max=sync_threads_max, poll_s=poll_s)
        self.journal: Journal = SqliteJournal(journal) if isinstance(journal, str | os.PathLike) else journal
        self.name = name or f"{os.getpid()}-{ids.fresh()[:4]}"
        self._clock = clock or SystemClock()
        self._machines = Machines()
        self._given = tuple(machines)
        self._handle_signals = handle_signals
        threads = Threads(sync_threads_max)
        slots = asyncio.Semaphore(visits_max)
        watching = Observers(tuple(observers))
        self._driver = Driver(self.journal, self._clock, self._machines, threads, slots, watching, prices)
        self._outside = Outside(self._driver, None if adopt else set())
        self._signals = Signals(self.stop, lambda: self._heard or self._driver.waiting.count > 0)
        self._pulse = Pulse(self._driver, self._outside, poll_s)
        self._acts: set[asyncio.Task[Any]] = set()
        self._heard = False

    # -- life --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            for machine in self._given:
                self._machines.add(machine)
            await self.journal.open(self._clock, self.name)
            if self._handle_signals:
                self._signals.catch()
            self._pulse.keep()
            await self._outside.adopt()
            await self._outside.look()
        except BaseException:
            await self._leave()
            raise
        self._pulse.watch()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        """Stop: nothing new begins, what is being decided is decided, agents are cut off, the journal is closed."""
        self._driver.stopping = self._heard = True
        try:
            while self._acts:
                await asyncio.wait(self._acts)
            await self._pulse.stop()
            await self._driver.settle_tasks()
        finally:
            try:
                await self.journal.close()
            finally:
                self._signals.restore()

    async def _whole(self, act: Coroutine[Any, Any, T]) -> T:
        """Carried through even if the caller is cancelled: half of it would leave a run that nobody advances."""
        task = asyncio.ensure_future(act)
        self._acts.add(task)
        task.add_done_callback(self._acts.discard)
        with self._driver.waiting.counted():
            return await asyncio.shield(task)

    def stop(self) -> None:
        """Start no more visits, and wake whoever waits with `RunnerStopped`; leaving the block does the rest."""
        self._driver.stopping = True
        self._driver.waiting.wake_all()

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
        nobody advances it. Raises `PayloadRefused`, `RunConflict`, `AgentsMissing`, `MachineChanged`, `JournalError`.
        """
        self._check()
        engine = self._machines.add(machine)
        sealed = starting(engine.spec, payload)
        run_id, tagged = ids.fresh() if run_id is None else name("run_id", run_id), tags(labels)
        return await self._whole(self._start(engine, sealed, run_id, tagged))

    async def _start(self, engine: Engine, sealed: Payload, run_id: str, labels: str) -> Run:
        spec = engine.spec
        note = {"run_id": run_id, "machine": spec.name, "fingerprint": spec.fingerprint}
        plan = select(engine, Snapshot(), Event(payload=sealed, at_ms=self._clock.now_ms(), note=note))
        run, decision = await self.journal.begin(run_id, engine, labels, plan)
        point("decision.adopted")
        if decision is not None:
            assert decision.record is not None
            live = Live(run=run, engine=engine, snapshot=decision.snapshot, payload=sealed, folded=len(sealed.body))
            self._driver.observers.tell(live, decision.record)
            if not run.settled:
                self._driver.drive(live)
        elif not run.settled and run.key not in self._driver.lives:
            with contextlib.suppress(Fenced):  # another runner advances it
                return await self._resume(run, accept=False, by="")
        return run

    async def send(self, run_id: str, payload: BaseModel, *, event_id: str | None = None) -> Record | None:
        """Give a run an event from outside; the record that decided it, once it is committed.

        The event is durable in the run's inbox first. The same `event_id` and payload again return the
        recorded decision; None means that the visit had its `refusals_max` and it was only counted.
        Raises `RunNotFound`, `RunEnded`, `RunHalted`, `EventConflict`, `PayloadRefused`, `Busy`.
        """
        event_id = ids.fresh() if event_id is None else name("event_id", event_id)
        run = self.journal.read.run(run_id)
        spec = self._machines.engine(run, self.journal.read).spec
        return await self._post(run, spec, arriving(spec, payload), event_id)

    async def cancel(self, run_id: str, *, by: str = "", reason: str = "") -> Run:
        """Ask a run to stop: it goes where the machine declares, or ends *cancelled*. On an ended run a no-op."""
        run = self.journal.read.run(run_id)
        if not run.ended:
            spec = self._machines.engine(run, self.journal.read).spec
            with contextlib.suppress(RunEnded):
                await self._post(run, spec, cancelling(by, reason), ids.fresh())
        return self.journal.read.run(run_id)

    async def _post(self, run: Run, spec: MachineSpec, payload: Payload, event_id: str) -> Record | None:
        """Into the inbox, and wait until it is decided: here, or by the runner that advances the run."""
        read, inbox_max, since = self.journal.read, spec.bounds.inbox_max, run.seq
        known = await self.journal.post(run.run_id, event_id, payload, self._clock.now_ms(), inbox_max)
        point("inbox.committed")
        while known is None:
            if read.run_at(run.key).owner in (0, self.journal.epoch):
                await self._whole(self._outside.attend(read.run_at(run.key)))
            waits = any(posted.event_id == event_id for posted in read.inbox(run.key, inbox_max + 1))
            run = read.run_at(run.key)
            known = read.record_of(run.key, event_id)  # last: whatever took it out of the inbox has happened by now
            if known is None:
                check_heard(read, run, payload.event, since, waits)
                if not waits:
                    return None
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
        self._check()
        return await self._whole(self._resume(run, accept, by))

    async def _resume(self, run: Run, accept: bool, by: str) -> Run:
        if self._outside.only is not None:
            self._outside.only.add(run.key)
        if accept:
            run = await repin(self._driver, run, by)
        if run.outcome == "waiting":
            self._driver.failed.lift(run.key)
        if run.outcome == "waiting" or (run.outcome == "running" and run.key in self._driver.lives):
            return run
        why = "asked" if run.halted else "lost" if run.owner else "released"
        await take_over(self._driver, run, why, by)
        return self.journal.read.run(run.run_id)

    async def answer(self, run_id: str, call: str, *, result: Any = UNTOLD, again: bool = False, by: str = "") -> Run:
        """Tell what became of a call that a run asked about (`CallUnsure`); its visit goes on.

        Either it happened and gave `result`, or it did not and is made `again`, under its key. `call` is its
        name or whole key. Raises `NothingToAnswer`, saying what is asked; `TypeError` for no JSON data.
        """
        self._check()
        return await self._whole(answer(self._driver, self.journal.read.run(run_id), call, result, again, by))

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
            await self._woken(next(iter(self._driver.lives.values())).run)
        if self._driver.lost is not None:
            raise self._driver.lost

    async def _until(self, run_id: str, done: Callable[[Run], bool]) -> Run:
        while True:
            run = self.journal.read.run(run_id)
            if done(run):
                return run
            await self._changed(run)

    async def _changed(self, run: Run) -> None:
        if why := self._driver.failed.why(run.key):
            raise why
        await self._woken(run)

    async def _woken(self, run: Run) -> None:
        if not self._driver.stopping:
            await self._driver.waiting.change(run.key)
        self._check()

    def _check(self) -> None:
        """Raises why no more visits begin here, once it is so."""
        if self._driver.lost is not None:
            raise self._driver.lost
        if self._driver.stopping:
            self._heard = True
            raise RunnerStopped(unfinished=len(self._driver.lives))
