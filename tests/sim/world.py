"""Runners and their models side by side, and the proof that they agree."""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine
from pydantic import BaseModel

from fsm import AgentFailed, Cancelled, Record, TimedOut, read_journal, replay_run
from fsm.core.recall import position, recall
from fsm.core.snapshot import Snapshot, fold
from fsm.define.payload import canonical, digest
from fsm.errors import EventConflict, RunEnded, RunHalted
from fsm.journal.reader import Reader
from fsm.testing import MovableClock
from tests.replay.carried import exported, heads, imported
from tests.sim.desk import Desk
from tests.sim.mill import RESUMES_MAX, Mill, Tally
from tests.sim.model import ENDED, HALTED, LEASE_S, TIMEOUTS, Belief, ModelDesk, ModelRun, Row


class World(RuleBasedStateMachine):
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
        self.snapshots: dict[str, Snapshot] = {}
        self.effects: list[str] = []
        self.expected: list[str] = []
        self.epochs = 0
        self.reader: Reader

    def teardown(self) -> None:
        for name in list(self.desks):
            self.leave(name, clean=False)
        self.carry()
        self.reader.close()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()

    def carry(self) -> None:
        """Whatever has happened: all runs can leave this journal, and in another one they are the same."""
        other, text = Path(self.folder.name) / "other.db", exported(self.db)
        assert {arrival.what for arrival in imported(text, other)} <= {"taken"}
        assert exported(other) == text and heads(other) == heads(self.db)

    # -- who is there ------------------------------------------------------------------------------

    def awake(self) -> list[str]:
        return [name for name in sorted(self.desks) if name not in self.frozen]

    def true(self, name: str, run: ModelRun) -> bool:
        """Whether what this runner believes of the run is so; if not, it must be fenced."""
        belief, epoch = self.models[name].lives.get(run.run_id), self.models[name].epoch
        return belief is None or (belief.seq == run.seq and run.owner in (0, epoch))

    def at_work(self, true: bool = False) -> list[tuple[str, ModelRun]]:
        """The runners and runs whose agent is at work there."""
        found = [
            (name, self.runs[run_id])
            for name, desk in sorted(self.models.items())
            for run_id, belief in desk.lives.items()
            if belief.working
        ]
        return [(name, run) for name, run in found if not true or self.true(name, run)]

    def outdated(self) -> list[tuple[str, str]]:
        """Runners and runs of which a snapshot is remembered that they may not decide from."""
        return [
            (name, run_id)
            for name in sorted(self.models)
            for run_id, old in self.snapshots.items()
            if old.seq != self.runs[run_id].seq
        ]

    def foreign(self) -> list[tuple[str, str]]:
        """Runners and runs that another runner advances."""
        runs = [run for run in self.runs.values() if run.outcome == "running"]
        return [
            (name, run.run_id)
            for name, desk in sorted(self.models.items())
            for run in runs
            if run.owner not in (0, desk.epoch)
        ]

    def unknown_ids(self, run: ModelRun) -> list[str]:
        """Event ids in the journal that the model has not seen: the one the runner gave to a cancel."""
        key = self.reader.run(run.run_id).key
        found = {record.event_id for record in self.reader.records(key)}
        found |= {posted.event_id for posted in self.reader.inbox(key)}
        return [event_id for event_id in found if event_id and event_id not in run.ids]

    # -- both, step by step ------------------------------------------------------------------------

    def begin(self, name: str) -> None:
        self.epochs += 1
        self.models[name] = ModelDesk(self.epochs, self.clock.monotonic() + LEASE_S)
        self.desks[name] = Desk(self.loop, self.db, self.clock)
        assert self.desks[name].journal.epoch == self.epochs
        if self.epochs == 1:
            self.reader = read_journal(self.db)
        self.adopt(name)
        self.look(name)

    def leave(self, name: str, clean: bool) -> None:
        desk = self.desks.pop(name)
        del self.models[name]
        self.frozen.discard(name)
        (desk.close if clean else desk.kill)()
        self.effects += desk.effects

    def settle(self) -> None:
        """Every runner that is not frozen does what it does by itself."""
        for _ in range(2):
            for name in self.awake():
                self.desks[name].beat()
                self.models[name].tick(self.clock.monotonic())
                self.time_out(name)
            for name in self.awake():
                self.desks[name].look()
                self.look(name)
            for name in self.awake():
                self.desks[name].adopt()
                self.adopt(name)

    # -- the model of a runner ---------------------------------------------------------------------

    def decide(self, name: str, run: ModelRun, event: Any, event_id: str | None = None, own: bool = True) -> None:
        """The runner decides an event of this run, or notices that it is fenced."""
        desk, visit = self.models[name], run.visit
        if not self.true(name, run):
            del desk.lives[run.run_id]
            return
        belief = desk.lives.get(run.run_id)
        if not run.decide(event, self.clock.now_ms(), desk.epoch, event_id=event_id, own=own):
            return
        if run.outcome != "running":
            desk.lives.pop(run.run_id, None)
        elif run.visit is not visit or belief is None:  # another visit, or another attempt of this one
            self.drive(name, run)
        else:
            belief.seq, belief.working = run.seq, belief.working and not own

    def returned(self, name: str, run: ModelRun, result: BaseModel | Exception) -> None:
        failed = AgentFailed(error_type="", message="", attempt=1, retriable=True)
        self.decide(name, run, failed if isinstance(result, Exception) else result)

    def drive(self, name: str, run: ModelRun) -> None:
        waits = run.pending is not None and run.pending.own
        suspect = run.resumes == RESUMES_MAX and not waits
        belief = self.models[name].lives[run.run_id] = Belief(run.seq, False, 0.0, suspect, run.again_ms)
        if not waits:
            self.begin_attempt(belief, run.state)
        if run.crashed and belief.working:
            self.decide(name, run, AgentFailed(error_type="crashed", message="", attempt=1))

    def begin_attempt(self, belief: Belief, state: str) -> None:
        """Or rest until the moment for it has come, by the wall clock."""
        rest_ms = (belief.again_ms or 0) - self.clock.now_ms()
        belief.working = rest_ms <= 0
        belief.wakes = self.clock.monotonic() + rest_ms / 1000 if rest_ms > 0 else None
        belief.deadline = self.clock.monotonic() + TIMEOUTS[state]

    def time_out(self, name: str) -> None:
        for run_id, belief in list(self.models[name].lives.items()):
            if belief.working and belief.deadline <= self.clock.monotonic():
                self.decide(name, self.runs[run_id], TimedOut(timeout_ms=0, attempt=1))
            elif belief.wakes is not None and belief.wakes <= self.clock.monotonic():
                self.begin_attempt(belief, "work")  # true or not: it is fenced when it wants to write
                if self.true(name, self.runs[run_id]) and self.runs[run_id].crashed and belief.working:
                    self.decide(name, self.runs[run_id], AgentFailed(error_type="crashed", message="", attempt=1))

    def posted(self, name: str, run: ModelRun, event: BaseModel, event_id: str, answer: Any) -> None:
        """What `send` and `cancel` do, and must answer."""
        decided = [row for row in run.rows if row.event_id == event_id]
        waiting = any(known == event_id for known, _ in run.inbox)
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
            if run.owner in (0, self.models[name].epoch) and self.in_hand(name, run):
                self.attend(name, run)

    def attend(self, name: str, run: ModelRun) -> None:
        for event_id, event in list(run.inbox):
            if run.outcome in (ENDED if isinstance(event, Cancelled) else ENDED + HALTED):
                continue
            if self.true(name, run):
                run.inbox.remove((event_id, event))
            self.decide(name, run, event, event_id, own=False)

    def in_hand(self, name: str, run: ModelRun) -> bool:
        return run.outcome != "running" or run.run_id in self.models[name].lives

    def look(self, name: str) -> None:
        """Inboxes first, then timers."""
        epoch = self.models[name].epoch
        for run in self.runs.values():
            if run.inbox and run.owner in (0, epoch) and self.in_hand(name, run):
                self.attend(name, run)
        due = [(at, kind, run) for run in self.runs.values() for kind, at in run.timers().items()]
        for at, kind, run in sorted(due, key=lambda timer: timer[0]):
            mine = run.owner in (0, epoch) and self.in_hand(name, run)
            if at <= self.clock.now_ms() and mine and run.timers().get(kind) == at:
                put = run.pending
                if kind == "defer" and put is not None:
                    self.decide(name, run, put.event, put.event_id, put.own)
                else:
                    self.decide(name, run, TimedOut(timeout_ms=0, attempt=1))

    def adopt(self, name: str) -> None:
        alive = [desk.epoch for desk in self.models.values() if desk.expires > self.clock.monotonic()]
        for run in self.runs.values():
            if run.outcome == "running" and run.owner not in alive and run.run_id not in self.models[name].lives:
                why = "lost" if run.owner else "released"
                if self.has_room(name, run, why):
                    self.take_over(name, run, why)

    def has_room(self, name: str, run: ModelRun, why: str) -> bool:
        """A visit in which two processes died has its last chance here; it goes on as the only such one."""
        desk = self.models[name]
        full = any(belief.suspect and (belief.working or belief.wakes is not None) for belief in desk.lives.values())
        if full and desk.told_to_wait.get(run.run_id) == run.seq:  # so it does, even if a clock set back lets it rest
            return False
        losses = run.resumes + (why == "lost" and not run.rests(self.clock.now_ms()))
        if losses != RESUMES_MAX or (run.pending is not None and run.pending.own):
            return True
        if full:
            desk.told_to_wait[run.run_id] = run.seq
        return not full

    def take_over(self, name: str, run: ModelRun, why: str) -> None:
        run.resume(why, self.clock.now_ms(), self.models[name].epoch)
        self.drive(name, run)

    def called(self, run: ModelRun, n: int, writes: float) -> None:
        """A call of which so many rows, of intent and outcome, are committed; a half more is done and lost."""
        key, recorded = run.call(n, digest(canonical([n])).hex()[:16])
        if recorded:
            return
        run.call_rows += int(writes)
        if writes > 1:
            self.expected.append(key)
        if writes >= 2:
            run.visit.finished.add(key)

    # -- what must always be so --------------------------------------------------------------------

    def check(self) -> None:
        """The journal says what the model says, folds to it, and replays."""
        assert {row.run_id for row in self.reader.runs()} == set(self.runs)
        for run in self.runs.values():
            self._check_run(run)
        effects = [*self.effects, *(key for desk in self.desks.values() for key in desk.effects)]
        assert Counter(effects) == Counter(self.expected)
        for name, desk in self.desks.items():
            assert set(desk.at_work) == {run.run_id for at, run in self.at_work() if at == name}
        timers = {(timer.run, timer.kind): timer.due_ms for timer in self._timers()}
        keys = {run_id: self.reader.run(run_id).key for run_id in self.runs}
        assert timers == {
            (keys[run_id], kind): at for run_id, run in self.runs.items() for kind, at in run.timers().items()
        }

    def _timers(self) -> list[Any]:
        owners = {run.owner for run in self.runs.values()}
        return [timer for owner in owners for timer in self.reader.due(1 << 60, owner, [Mill.spec.fingerprint])]

    def _check_run(self, run: ModelRun) -> None:
        row = self.reader.run(run.run_id)
        records = list(self.reader.records(row.key))
        assert [_told(record) for record in records] == run.rows
        assert [record.seq for record in records] == list(range(row.seq + 1))
        said = (row.state, row.outcome, row.attempt, row.owner, row.dropped)
        assert said == (run.state, run.outcome, run.attempt, run.owner, run.dropped)
        posted = [(posted.event_id, posted.event) for posted in self.reader.inbox(row.key)]
        assert posted == [(event_id, type(event).__name__) for event_id, event in run.inbox]
        assert len(self.reader.calls(row.key)) == run.call_rows
        snapshot = recall(Mill.spec, records)
        assert position(snapshot) == fold(Mill.spec, records)
        assert (snapshot.seq, snapshot.state, snapshot.resumes) == (row.seq, run.state, run.resumes)
        assert (snapshot.again.at_ms if snapshot.again is not None else None) == run.again_ms
        assert (snapshot.memory or b"").decode() == Tally(total=run.total).model_dump_json()
        for machine in (Mill, None):
            replayed = replay_run(self.reader, run.run_id, machine)
            assert replayed.agreed, str(replayed)


def _told(record: Record) -> Row:
    note = {name: value for name, value in record.note.items() if name in ("dropped", "superseded", "why")}
    return Row(
        *(record.kind, record.event, record.event_id, record.hop, record.state, record.outcome, record.attempt),
        *(record.at_ms, record.until_ms, note),
    )
