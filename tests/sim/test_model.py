"""The real runner and journal beside the model, driven through the same random history.

A failing history is printed by hypothesis as a program; it is the bug report.
"""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test
from pydantic import BaseModel

from fsm import Cancelled, Spent
from fsm.core.plan import Event
from fsm.core.recall import recall
from fsm.core.select import select
from fsm.core.snapshot import Snapshot
from fsm.define.payload import digest, seal
from fsm.errors import Fenced, NotResumable, RunConflict
from fsm.journal.rows import Call
from tests.sim.mill import Found, Go, Job, Made, Mill, Nudge, Poke
from tests.sim.model import ENDED, HALTED, ModelRun
from tests.sim.world import World

RUN_IDS = ("r1", "r2", "r3", "r4")
OUTSIDE = st.sampled_from((Go(wait=False), Go(wait=True), Poke(wait=False), Poke(wait=True), Nudge(n=1), Made(n=3)))
EVENT_IDS = st.sampled_from(("e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8"))
MADE = st.sampled_from((1, 1, 1, 2, 2, 0, None))
OPEN = precondition(lambda self: len(self.desks) < 2)
AWAKE = precondition(lambda self: self.awake())
RUNNING = precondition(lambda self: self.awake() and self.runs)
WORKING = precondition(lambda self: self.at_work())
TRUE = precondition(lambda self: self.at_work(true=True))


class MillWorld(World):
    """Two runners at most, with the runs they advance; each may be frozen, thawed, closed or killed at any time."""

    @initialize()
    def first(self) -> None:
        """Whatever rules hypothesis leaves out of a history, it has two runners with a run each."""
        for name, run_id in zip("ab", RUN_IDS, strict=False):
            self.begin(name)
            self.start_at(name, run_id, 0)

    # -- runners and clocks ------------------------------------------------------------------------

    @OPEN
    @rule()
    def open(self) -> None:
        self.begin("a" if "a" not in self.desks else "b")
        self.settle()

    @AWAKE
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.awake()))
        epoch = self.models[name].epoch
        self.leave(name, clean=True)
        for run in self.runs.values():
            if run.owner == epoch and run.outcome == "running":
                run.owner = 0
        self.settle()

    @precondition(lambda self: self.desks)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        self.leave(data.draw(st.sampled_from(sorted(self.desks))), clean=False)
        self.settle()

    @AWAKE
    @rule(data=st.data())
    def freeze(self, data: st.DataObject) -> None:
        """SIGSTOP: it does nothing by itself any more, and holds its lock."""
        self.frozen.add(data.draw(st.sampled_from(self.awake())))

    @precondition(lambda self: self.frozen)
    @rule(data=st.data())
    def thaw(self, data: st.DataObject) -> None:
        self.frozen.discard(data.draw(st.sampled_from(sorted(self.frozen))))
        self.settle()

    @rule(seconds=st.sampled_from((1, 3, 11, 51, 61, 401)))
    def later(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.settle()

    @rule(ms=st.sampled_from((-90_000, -1, 500, 70_000)))
    def somebody_sets_the_clock(self, ms: int) -> None:
        self.clock.jump_ms(ms)
        self.settle()

    # -- from outside ------------------------------------------------------------------------------

    @AWAKE
    @rule(data=st.data(), run_id=st.sampled_from(RUN_IDS), size=st.sampled_from((0, 0, 0, 5)))
    def start(self, data: st.DataObject, run_id: str, size: int) -> None:
        """A new run; or one that is there, begun with the same payload or another."""
        self.start_at(data.draw(st.sampled_from(self.awake())), run_id, size)

    def start_at(self, name: str, run_id: str, size: int) -> None:
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

    @RUNNING
    @rule(data=st.data(), event=OUTSIDE, event_id=EVENT_IDS)
    def send(self, data: st.DataObject, event: BaseModel, event_id: str) -> None:
        """An event with an id that is new, or known for the same event, or for another one."""
        name, run = data.draw(st.sampled_from(self.awake())), data.draw(st.sampled_from(list(self.runs.values())))
        answer = self.desks[name].do(self.desks[name].runner.send(run.run_id, event, event_id=event_id))
        self.posted(name, run, event, event_id, answer)
        self.settle()

    @precondition(lambda self: self.awake() and len(self.runs) > 3)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name, run = data.draw(st.sampled_from(self.awake())), data.draw(st.sampled_from(list(self.runs.values())))
        answer = self.desks[name].do(self.desks[name].runner.cancel(run.run_id, by="hypothesis"))
        assert not isinstance(answer, BaseException)
        if run.outcome not in ENDED:
            (event_id,) = self.unknown_ids(run)
            self.posted(name, run, Cancelled(by="hypothesis"), event_id, answer)
        self.settle()

    @RUNNING
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        name, run = data.draw(st.sampled_from(self.awake())), data.draw(st.sampled_from(list(self.runs.values())))
        answer = self.desks[name].do(self.desks[name].runner.resume(run.run_id))
        if run.outcome in ENDED:
            assert isinstance(answer, NotResumable)
        elif run.outcome == "running" and run.run_id not in self.models[name].lives:
            assert isinstance(answer, Fenced) == self.has_room(name, run, "lost" if run.owner else "released")
        else:
            assert answer.run_id == run.run_id
            if run.outcome in HALTED:
                self.take_over(name, run, "asked")
        self.settle()

    # -- agents ------------------------------------------------------------------------------------

    def result(self, run: ModelRun, made: int | None, ok: bool) -> BaseModel | Exception:
        if made is None:
            return ConnectionError("broken")
        return Found(ok=ok) if run.state == "check" else Made(n=made)

    @WORKING
    @rule(data=st.data(), made=MADE, ok=st.booleans())
    def answer(self, data: st.DataObject, made: int | None, ok: bool) -> None:
        """An agent returns or raises; at a frozen runner as the first thing that happens when it wakes."""
        name, run = data.draw(st.sampled_from(self.at_work()))
        result = self.result(run, made, ok) if self.true(name, run) else Made(n=1)
        self.desks[name].tell(run.run_id, result)
        self.returned(name, run, result)
        self.settle()

    @TRUE
    @rule(data=st.data(), made=MADE, ok=st.booleans())
    def answer_well(self, data: st.DataObject, made: int | None, ok: bool) -> None:
        """The same, more often."""
        name, run = data.draw(st.sampled_from(self.at_work(true=True)))
        result = self.result(run, made, ok)
        self.desks[name].tell(run.run_id, result)
        self.returned(name, run, result)
        self.settle()

    @WORKING
    @rule(data=st.data(), n=st.sampled_from((1, 1, 2)))
    def call(self, data: st.DataObject, n: int) -> None:
        """An agent makes a call; at a runner that is fenced it is not made, if its result is not known there."""
        name, run = data.draw(st.sampled_from(self.at_work()))
        true = self.true(name, run)
        self.desks[name].tell(run.run_id, n)
        if true:
            self.called(run, n, writes=2)
        elif run.run_id not in self.desks[name].at_work:
            del self.models[name].lives[run.run_id]
        self.settle()

    @TRUE
    @rule(data=st.data(), made=MADE, ok=st.booleans(), committed=st.booleans())
    def die_deciding(self, data: st.DataObject, made: int | None, ok: bool, committed: bool) -> None:
        """The process dies right before, or right after, the commit of what its agent returned."""
        name, run = data.draw(st.sampled_from(self.at_work(true=True)))
        result = self.result(run, made, ok)
        self.desks[name].journal.fuse = 1 if committed else 0.5
        self.desks[name].tell(run.run_id, result)
        if committed:
            self.returned(name, run, result)
        self.leave(name, clean=False)
        self.settle()

    @TRUE
    @rule(data=st.data(), n=st.sampled_from((1, 2)), writes=st.sampled_from((0.5, 1, 1.5, 2)))
    def die_calling(self, data: st.DataObject, n: int, writes: float) -> None:
        """The process dies around the intent of a call, or around its outcome."""
        name, run = data.draw(st.sampled_from(self.at_work(true=True)))
        self.desks[name].journal.fuse = writes
        self.desks[name].tell(run.run_id, n)
        self.called(run, n, writes)
        self.leave(name, clean=False)
        self.settle()

    # -- what nobody may do ------------------------------------------------------------------------

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def remember_a_snapshot(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(list(self.runs)))
        self.snapshots[run_id] = recall(Mill.spec, self.reader.records(self.reader.run(run_id).key))

    @precondition(lambda self: self.outdated())
    @rule(data=st.data(), event=OUTSIDE)
    def decide_from_an_old_snapshot(self, data: st.DataObject, event: BaseModel) -> None:
        """Whoever holds an old position is fenced by the transaction itself."""
        name, run_id = data.draw(st.sampled_from(self.outdated()))
        self.fenced(name, run_id, self.snapshots[run_id], event)

    @precondition(lambda self: self.foreign())
    @rule(data=st.data(), event=OUTSIDE)
    def decide_and_call_for_another(self, data: st.DataObject, event: BaseModel) -> None:
        """And so is whoever knows the position, but is not the one who advances the run."""
        name, run_id = data.draw(st.sampled_from(self.foreign()))
        row = self.reader.run(run_id)
        snapshot = recall(Mill.spec, self.reader.records(row.key))
        self.fenced(name, run_id, snapshot, event)
        intent = Call(
            run=row.key,
            seq=row.seq,
            entered=row.entered,
            attempt=row.attempt,
            kind="intent",
            key="stolen",
            name="do",
            status="",
            spent=Spent(),
            at_ms=row.at_ms,
            digest=digest(b"[]"),
            body=b"[]",
        )
        desk = self.desks[name]
        assert isinstance(desk.do(desk.journal.call(intent)), Fenced)

    def fenced(self, name: str, run_id: str, snapshot: Snapshot, event: BaseModel) -> None:
        desk, row = self.desks[name], self.reader.run(run_id)
        engine = desk.runner._machines.by_name["Mill"]
        plan = select(engine, snapshot, Event(payload=seal(event, 1_000), at_ms=row.at_ms, own=False, event_id="x"))
        answer = desk.do(desk.journal.decide(row, engine, snapshot, plan, inbox=None, folded=0, snapshot_bytes=0))
        assert isinstance(answer, Fenced)

    @invariant()
    def the_journal_says_what_the_model_says(self) -> None:
        self.check()


def campaign(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        MillWorld,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=True,
            phases=[phase for phase in Phase if phase is not Phase.explain],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(600)  # half a minute; if it fails hypothesis looks for the shortest history that does
def test_runner_and_journal_do_what_the_model_says():
    campaign(examples=75, steps=40)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_runner_and_journal_do_what_the_model_says_for_long():
    campaign(examples=1_000, steps=120)
