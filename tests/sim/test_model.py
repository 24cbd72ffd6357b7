"""The real runner and journal beside the model, driven through the same random history.

A failing history is printed by hypothesis as a program; it is the bug report.
"""

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pydantic import BaseModel

from fsm import AgentFailed, Cancelled, Record, TimedOut, read_journal, replay_run
from fsm.core.recall import position, recall
from fsm.core.select import Event, select
from fsm.core.snapshot import Snapshot, fold
from fsm.define.payload import canonical, digest, seal
from fsm.errors import EventConflict, Fenced, NotResumable, RunConflict, RunEnded, RunHalted, RunNotFound
from fsm.testing import MovableClock
from tests.sim.desk import Desk
from tests.sim.mill import Found, Go, Job, Made, Mill, Nudge, Poke, Tally
from tests.sim.model import ENDED, HALTED, LEASE_S, TIMEOUTS, Belief, ModelDesk, ModelRun, Row

DESKS = st.sampled_from(("a", "b"))
RUNS = st.sampled_from(("r1", "r2", "r3"))
OUTSIDE = st.sampled_from((Go(wait=False), Go(wait=True), Poke(wait=False), Poke(wait=True), Nudge(n=1), Made(n=3)))
EVENT_IDS = st.sampled_from(("e1", "e2", "e3", "e4", "e5", "e6"))


class MillWorld(RuleBasedStateMachine):
    """Two desks at most, with the runs they advance; any of them may be frozen, thawed, closed or killed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="fsm-")
        self.db = Path(self.folder.name) / "runs.db"
        self.loop = asyncio.new_event_loop()
        self.clock = MovableClock()
        self.desks: dict[str, Desk] = {}
        self.models: dict[str, ModelDesk] = {}
        self.frozen: set[str] = set()
        self.runs: dict[str, ModelRun] = {}
        self.epochs = self.cancels = 0
        self.snapshots: dict[str, Snapshot] = {}
        self.made: list[str] = []
        self.expected: list[str] = []

    # -- the model of a desk -----------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    def fresh(self, name: str, run: ModelRun) -> bool:
        """Whether what the desk believes of the run is so; otherwise it is fenced, and knows it from then on."""
        belief, epoch = self.models[name].lives.get(run.run_id), self.models[name].epoch
        true = belief is None or (belief.seq == run.seq and run.owner in (0, epoch))
        if not true:
            del self.models[name].lives[run.run_id]
        return true

    def decide(self, name: str, run: ModelRun, event: Any, event_id: str | None = None, own: bool = True) -> bool:
        """The desk decides an event of this run; False where nothing was recorded."""
        if not self.fresh(name, run):
            return False
        desk, entered = self.models[name], run.visit
        belief = desk.lives.get(run.run_id)
        if run.decide(event, self.clock.now_ms(), desk.epoch, event_id=event_id, own=own):
            if run.outcome != "running":
                desk.lives.pop(run.run_id, None)
            elif run.visit is not entered or belief is None:
                self.drive(name, run)
            else:
                belief.seq, belief.working = run.seq, belief.working and not own
            return True
        return False

    def drive(self, name: str, run: ModelRun) -> None:
        desk = self.models[name]
        waits = run.pending is not None and run.pending.own
        deadline = None if waits else self.now + TIMEOUTS[run.state]
        desk.lives[run.run_id] = Belief(run.seq, not waits, deadline)
        if run.crashed and not waits:
            self.decide(name, run, AgentFailed(error_type="crashed", message="", attempt=1))

    def attend(self, name: str, run: ModelRun) -> None:
        for event_id, event in list(run.inbox):
            deaf = ENDED if isinstance(event, Cancelled) else ENDED + HALTED
            if run.outcome in deaf:
                continue
            if not self.fresh(name, run):
                return
            run.inbox.remove((event_id, event))
            self.decide(name, run, event, event_id, own=False)
        if run.outcome in ENDED:
            run.inbox.clear()

    def may_hold(self, name: str, run: ModelRun) -> bool:
        return run.outcome != "running" or run.run_id in self.models[name].lives

    def look(self, name: str) -> None:
        epoch = self.models[name].epoch
        for run in self.runs.values():
            hears = run.outcome not in HALTED or any(isinstance(event, Cancelled) for _, event in run.inbox)
            if run.inbox and run.owner in (0, epoch) and hears and self.may_hold(name, run):
                self.attend(name, run)
        due = [(at, run) for run in self.runs.values() for at in self.timers(run).values()]
        for at, run in sorted(due, key=lambda pair: pair[0]):
            if at <= self.clock.now_ms() and run.owner in (0, epoch) and at in self.timers(run).values():
                self.ring(name, run, at)

    def ring(self, name: str, run: ModelRun, at: int) -> None:
        if not self.may_hold(name, run):
            return
        if run.pending is not None and run.pending.until_ms == at:
            put = run.pending
            self.decide(name, run, put.event, put.event_id, put.own)
        elif run.outcome == "waiting":
            self.decide(name, run, TimedOut(timeout_ms=0, attempt=1))

    @staticmethod
    def timers(run: ModelRun) -> dict[str, int]:
        defer = {"defer": run.pending.until_ms} if run.pending is not None else {}
        return defer | ({"timeout": run.timer_ms} if run.timer_ms is not None else {})

    def adopt(self, name: str) -> None:
        alive = [desk.epoch for desk in self.models.values() if desk.expires > self.now]
        for run in self.runs.values():
            if run.outcome == "running" and run.owner not in alive and run.run_id not in self.models[name].lives:
                self.take_over(name, run, "lost" if run.owner else "released")

    def take_over(self, name: str, run: ModelRun, why: str) -> None:
        run.resume(why, self.clock.now_ms(), self.models[name].epoch)
        self.drive(name, run)

    def times_out(self, name: str) -> None:
        desk = self.models[name]
        for run_id, belief in list(desk.lives.items()):
            if belief.working and belief.deadline is not None and belief.deadline <= self.now:
                self.decide(name, self.runs[run_id], TimedOut(timeout_ms=0, attempt=1))

    # -- both, step by step ------------------------------------------------------------------------

    def settle(self) -> None:
        """Every desk that is not frozen does what it does by itself, until nothing is left to do."""
        awake = [name for name in sorted(self.desks) if name not in self.frozen]
        for _ in range(3):
            for name in awake:
                self.desks[name].beat()
                self.models[name].tick(self.now)
                self.times_out(name)
            for name in awake:
                self.desks[name].look()
                self.look(name)
            for name in awake:
                self.desks[name].adopt()
                self.adopt(name)

    def awake(self, name: str) -> bool:
        return name in self.desks and name not in self.frozen

    @initialize()
    def first(self) -> None:
        self.open("a")

    @rule(name=DESKS)
    def open(self, name: str) -> None:
        if name in self.desks:
            return
        self.epochs += 1
        self.models[name] = ModelDesk(self.epochs, self.now + LEASE_S)
        self.desks[name] = Desk(self.loop, self.db, self.clock)
        self.adopt(name)
        self.look(name)
        assert self.desks[name].journal.epoch == self.epochs
        self.settle()

    @rule(name=DESKS)
    def close(self, name: str) -> None:
        if not self.awake(name):
            return
        epoch = self.models[name].epoch
        self.leave(name)
        for run in self.runs.values():
            if run.owner == epoch and run.outcome == "running":
                run.owner = 0
        self.settle()

    def leave(self, name: str) -> None:
        desk = self.desks.pop(name)
        del self.models[name]
        self.frozen.discard(name)
        desk.close()
        self.made += desk.effects

    @rule(name=DESKS)
    def kill(self, name: str) -> None:
        if name in self.desks:
            self.lose(name)
            self.settle()

    def lose(self, name: str) -> None:
        desk = self.desks.pop(name)
        del self.models[name]
        self.frozen.discard(name)
        desk.kill()
        self.made += desk.effects

    @rule(name=DESKS)
    def freeze(self, name: str) -> None:
        """SIGSTOP: it does nothing by itself any more, and holds its lock."""
        if name in self.desks:
            self.frozen.add(name)

    @rule(name=DESKS)
    def thaw(self, name: str) -> None:
        self.frozen.discard(name)
        self.settle()

    @rule(seconds=st.sampled_from((1, 6, 11, 51, 61, 101, 401)))
    def later(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.settle()

    @rule(ms=st.sampled_from((-90_000, -1, 500, 70_000)))
    def somebody_sets_the_clock(self, ms: int) -> None:
        self.clock.jump_ms(ms)
        self.settle()

    @rule(name=DESKS, run_id=RUNS, size=st.sampled_from((0, 0, 0, 5)))
    def start(self, name: str, run_id: str, size: int) -> None:
        if not self.awake(name):
            return
        desk = self.desks[name]
        answer = desk.do(desk.runner.start(desk.machine, Job(size=size), run_id=run_id))
        run = self.runs.get(run_id)
        if run is None:
            run = self.runs[run_id] = ModelRun(run_id, size=size)
            run.start(size, self.clock.now_ms(), self.models[name].epoch)
            self.drive(name, run)
        elif run.size != size:
            assert isinstance(answer, RunConflict)
        else:
            assert answer.run_id == run_id
        self.settle()

    @rule(name=DESKS, run_id=RUNS, event=OUTSIDE, event_id=EVENT_IDS)
    def send(self, name: str, run_id: str, event: BaseModel, event_id: str) -> None:
        if self.awake(name):
            answer = self.desks[name].do(self.desks[name].runner.send(run_id, event, event_id=event_id))
            self.posted(name, run_id, event, event_id, answer)
            self.settle()

    def posted(self, name: str, run_id: str, event: BaseModel, event_id: str, answer: Any) -> None:
        run = self.runs.get(run_id)
        if run is None:
            assert isinstance(answer, RunNotFound)
            return
        decided = [row for row in run.rows if row.event_id == event_id]
        waiting = [posted for known, posted in run.inbox if known == event_id]
        if (decided or waiting) and run.ids[event_id] != event:
            assert isinstance(answer, EventConflict)
        elif decided:
            assert isinstance(answer, Record)
            assert (answer.kind, answer.at_ms) == (decided[-1].kind, decided[-1].at_ms)
        elif run.outcome in ENDED and not waiting:
            assert isinstance(answer, RunEnded)
        elif run.outcome in HALTED and not isinstance(event, Cancelled) and not waiting:
            assert isinstance(answer, RunHalted)
        else:
            run.ids[event_id] = event
            if not waiting:
                run.inbox.append((event_id, event))
            if run.owner in (0, self.models[name].epoch) and self.may_hold(name, run):
                self.attend(name, run)

    @rule(name=DESKS, run_id=RUNS)
    def cancel(self, name: str, run_id: str) -> None:
        run = self.runs.get(run_id)
        if run is None or not self.awake(name):
            return
        answer = self.desks[name].do(self.desks[name].runner.cancel(run_id, by="hypothesis"))
        assert not isinstance(answer, BaseException)
        if run.outcome not in ENDED:
            (event_id,) = self.unknown_ids(run) or [f"gone-{self.cancels}"]
            self.cancels += 1
            self.posted(name, run_id, Cancelled(by="hypothesis"), event_id, answer)
        self.settle()

    def unknown_ids(self, run: ModelRun) -> list[str]:
        """The id that the runner gave to a cancel: the one in the journal that the model has not seen."""
        with contextlib.closing(read_journal(self.db)) as reader:
            key = reader.run(run.run_id).key
            found = {record.event_id for record in reader.records(key)} | {post.event_id for post in reader.inbox(key)}
        return [event_id for event_id in found if event_id and event_id not in run.ids]

    @rule(name=DESKS, run_id=RUNS)
    def resume(self, name: str, run_id: str) -> None:
        run = self.runs.get(run_id)
        if run is None or not self.awake(name):
            return
        answer = self.desks[name].do(self.desks[name].runner.resume(run_id))
        if run.outcome in ENDED:
            assert isinstance(answer, NotResumable)
        elif run.outcome == "running" and run_id not in self.models[name].lives:
            assert isinstance(answer, Fenced)
        else:
            assert answer.run_id == run_id
            if run.outcome in HALTED:
                self.take_over(name, run, "asked")
        self.settle()

    # -- agents ------------------------------------------------------------------------------------

    def working(self, name: str, run_id: str) -> bool:
        """Whether the desk thinks that an agent of this run is at work there; both must think the same."""
        if name not in self.desks:
            return False
        belief = self.models[name].lives.get(run_id)
        real = run_id in self.desks[name].at_work
        assert real == (belief is not None and belief.working), f"{name}: the agent of {run_id} at work: {real}"
        return real

    def result(self, run_id: str, made: int | None, ok: bool) -> BaseModel | Exception:
        if made is None:
            return OSError("broken")
        return Found(ok=ok) if self.runs[run_id].state == "check" else Made(n=made)

    def tells(self, name: str, run_id: str, result: Any) -> None:
        event = AgentFailed(error_type="", message="", attempt=1) if isinstance(result, Exception) else result
        self.decide(name, self.runs[run_id], event)

    @rule(name=DESKS, run_id=RUNS, made=st.sampled_from((0, 1, 1, 1, None)), ok=st.booleans())
    def answers(self, name: str, run_id: str, made: int | None, ok: bool) -> None:
        """The agent of a run returns or raises; at a frozen desk, as the first thing it does when it wakes."""
        if self.working(name, run_id):
            stale = not self.fresh_now(name, run_id)
            result = Made(n=1) if stale else self.result(run_id, made, ok)
            self.desks[name].tell(run_id, result)
            self.tells(name, run_id, result)
            self.settle()

    def fresh_now(self, name: str, run_id: str) -> bool:
        belief, run = self.models[name].lives[run_id], self.runs[run_id]
        return belief.seq == run.seq and run.owner in (0, self.models[name].epoch)

    @rule(name=DESKS, run_id=RUNS, n=st.sampled_from((1, 1, 2)))
    def calls(self, name: str, run_id: str, n: int) -> None:
        """The agent makes a call; a desk that is fenced does not make it."""
        if self.working(name, run_id):
            stale = not self.fresh_now(name, run_id)
            self.desks[name].tell(run_id, n)
            if stale:
                del self.models[name].lives[run_id]
            else:
                self.called(run_id, n, 2)
            self.settle()

    def called(self, run_id: str, n: int, writes: float) -> None:
        """The model of a call of which so many writes are committed, out of intent and outcome."""
        run = self.runs[run_id]
        key, recorded = run.call(n, digest(canonical([n])).hex()[:16])
        if recorded:
            return
        run.call_rows += int(writes)
        if writes > 1:
            self.expected.append(key)
        if writes >= 2:
            run.visit.finished.add(key)

    @rule(name=DESKS, run_id=RUNS, made=st.sampled_from((0, 1, 1, None)), ok=st.booleans(), survives=st.booleans())
    def dies_deciding(self, name: str, run_id: str, made: int | None, ok: bool, survives: bool) -> None:
        """The process dies right before, or right after, the commit of what its agent returned."""
        if self.working(name, run_id) and self.fresh_now(name, run_id):
            result = self.result(run_id, made, ok)
            self.desks[name].journal.fuse = 1 if survives else 0.5
            self.desks[name].tell(run_id, result)
            if survives:
                self.tells(name, run_id, result)
            self.lose(name)
            self.settle()

    @rule(name=DESKS, run_id=RUNS, n=st.sampled_from((1, 2)), writes=st.sampled_from((0.5, 1, 1.5, 2)))
    def dies_calling(self, name: str, run_id: str, n: int, writes: float) -> None:
        if self.working(name, run_id) and self.fresh_now(name, run_id):
            self.desks[name].journal.fuse = writes
            self.desks[name].tell(run_id, n)
            self.called(run_id, n, writes)
            self.lose(name)
            self.settle()

    # -- what nobody may do ------------------------------------------------------------------------

    @precondition(lambda self: self.snapshots)
    @rule(name=DESKS, run_id=RUNS, event=OUTSIDE)
    def decides_from_an_old_snapshot(self, name: str, run_id: str, event: BaseModel) -> None:
        """Whoever holds an old position, or an epoch that is not the owner's, is fenced by the transaction itself."""
        run, old = self.runs.get(run_id), self.snapshots.get(run_id)
        if run is None or old is None or name not in self.desks:
            return
        desk = self.desks[name]
        if old.seq == run.seq and run.owner in (0, self.models[name].epoch):
            return
        row, engine = desk.journal.read.run(run_id), desk.runner._machines.by_name["Mill"]
        plan = select(engine, old, Event(payload=seal(event, 1_000), at_ms=old.at_ms, own=False, event_id="stale"))
        answer = desk.do(desk.journal.decide(row, engine, old, plan, inbox=None, folded=0, snapshot_bytes=0))
        assert isinstance(answer, Fenced)

    @rule(run_id=RUNS)
    def remember_a_snapshot(self, run_id: str) -> None:
        if run_id in self.runs:
            with contextlib.closing(read_journal(self.db)) as reader:
                self.snapshots[run_id] = recall(Mill.spec, reader.records(reader.run(run_id).key))

    # -- what must always be so --------------------------------------------------------------------

    @invariant()
    def the_journal_says_what_the_model_says(self) -> None:
        for name in self.desks:
            for run_id in self.runs:
                self.working(name, run_id)
        with contextlib.closing(read_journal(self.db)) as reader:
            assert {row.run_id for row in reader.runs()} == set(self.runs)
            for run_id, run in self.runs.items():
                row = reader.run(run_id)
                records = list(reader.records(row.key))
                assert [told(record) for record in records] == run.rows
                assert [record.seq for record in records] == list(range(row.seq + 1))
                assert (row.state, row.outcome, row.attempt, row.owner, row.dropped) == (
                    *(run.state, run.outcome, run.attempt, run.owner, run.dropped),
                )
                assert [(post.event_id, post.event) for post in reader.inbox(row.key)] == [
                    (event_id, type(event).__name__) for event_id, event in run.inbox
                ]
                timers = {timer.kind: timer.due_ms for timer in reader.due(1 << 60, row.owner, [row.fingerprint])}
                if sum(bool(self.timers(other)) for other in self.runs.values()) == bool(self.timers(run)):
                    assert timers == self.timers(run)
                snapshot = recall(Mill.spec, records)
                assert (snapshot.memory or b"").decode() == Tally(total=run.total).model_dump_json()
                assert position(snapshot) == fold(Mill.spec, records)
                assert (snapshot.seq, snapshot.state, snapshot.resumes) == (row.seq, run.state, run.resumes)
                assert len(reader.calls(row.key)) == run.call_rows
                for machine in (Mill, None):
                    replayed = replay_run(reader, run_id, machine)
                    assert replayed.agreed, str(replayed)
        assert sorted([*self.made, *(key for desk in self.desks.values() for key in desk.effects)]) == sorted(
            self.expected
        )

    def teardown(self) -> None:
        for name in list(self.desks):
            self.lose(name)
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()


def told(record: Record) -> Row:
    note = {name: value for name, value in record.note.items() if name in ("dropped", "superseded", "why")}
    return Row(
        *(record.kind, record.event, record.event_id, record.hop, record.state, record.outcome, record.attempt),
        *(record.at_ms, record.until_ms, note),
    )


def campaign(examples: int, steps: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        MillWorld,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=checks,
        ),
    )


def test_runner_and_journal_do_what_the_model_says():
    campaign(examples=60, steps=40)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_runner_and_journal_do_what_the_model_says_for_long():
    campaign(examples=2_000, steps=100)
