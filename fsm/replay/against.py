"""Recorded runs held against the machine of today: where would it have gone another way?

Nothing is run. The events are those of the records; predicates, guards and `remember` are today's code, and every
count is folded anew, from record 0, under today's definition; so a run that was repinned on its way is compared as a
whole. What code cannot know is taken from the records: the moments, what was spent, and the rows that guards share
with other runs, as they were seen then. Of a guard that did not stand there then nothing of that is on record; it is
taken to find nothing against it (`Against.unseen` names them).

Compared is where a run goes: kind, state, outcome, whose way it takes, and the memory that its agents see. How long
it waits and what stands in a verdict that decides the same is not. Calls inside of visits are not made again: a limit
that would stop one sooner than it was is not seen, one that has been raised is. What comes after the first difference
nobody knows without the agents.
"""

from collections.abc import Mapping

from attrs import Factory, define, evolve, field, frozen

from fsm.core.conclude import conclude
from fsm.core.engine import Engine
from fsm.core.record import Record
from fsm.core.select import select
from fsm.core.shares import Recorded
from fsm.core.snapshot import Snapshot, apply
from fsm.define.guard import Placed
from fsm.define.parts import START
from fsm.define.payload import digest, excerpt
from fsm.define.spec import MachineSpec
from fsm.journal.reader import Reader
from fsm.journal.rows import Run
from fsm.replay.causes import Against, way_of
from fsm.replay.divergence import Diverged, differ, short, told
from fsm.replay.event import event_of
from fsm.replay.intact import Intact
from fsm.replay.replay import UNDECIDED, Replay

STANDS = {"agent": "running", "waiting": "waiting", "final": "final"}
"""How a run stands in a state of each kind."""


@frozen
class Today:
    """A machine of today, made ready once for many runs, with the definitions it has been held against."""

    spec: MachineSpec
    engine: Engine = field(init=False, default=Factory(lambda own: Engine(own.spec), takes_self=True))
    pairs: dict[str, Against] = field(init=False, factory=dict)

    def holds(self, reader: Reader, run: Run) -> Replay:
        """One run against this machine: how many records go the way they went, and the first that does not."""
        held = _Held(self, Intact(reader, run))
        try:
            held.all()
        except Diverged as diverged:
            found = diverged.divergence
            return Replay(run.run_id, held.agreed, evolve(found, kind=found.kind or "damaged"), held.erased)
        return Replay(run.run_id, held.agreed, None, held.erased)

    def against(self, then: MachineSpec) -> Against:
        pair = self.pairs.get(then.fingerprint)
        if pair is None:
            pair = self.pairs[then.fingerprint] = Against(then, self.spec)
        return pair


@define
class _Seen(Recorded):
    """Shared rows as a record says they were seen, for guards of today; what is asked of a budget is today's matter."""

    pair: Against = field(kw_only=True)

    def asked(self, guard: Placed, most: int | None, turn: int = 0) -> int | None:
        return most

    def _numbers(self, guard: Placed, turn: int) -> Mapping[str, int]:
        return super()._numbers(guard, turn) if self.pair.saw(guard) else {}


class _Held:
    """One run, held against the machine of today."""

    def __init__(self, today: Today, intact: Intact) -> None:
        self.engine = today.engine
        self.spec = today.spec
        self.today = today
        self.intact = intact
        self.agreed = 0
        self.erased = 0
        self.snapshot = Snapshot()

    def all(self) -> None:
        for record in self.intact.records():
            pair = self.today.against(self.intact.spec())
            if record.kind in UNDECIDED:
                self._adopt(record)
            elif record.body is None and "unread" not in record.note:
                self._follow(record)
            else:
                self._decide(record, pair)
            self.agreed += 1

    def _adopt(self, record: Record) -> None:
        """What somebody did, or the runtime, without deciding anything."""
        if record.state not in (START, *self.spec.state):
            differ(record.seq, str(record), "nothing", f"state {record.state} is gone", "state_gone")
        memory = self._inherited(record) if record.kind == "forked" else None
        self.snapshot = apply(self.spec, self.snapshot, record, memory)

    def _inherited(self, record: Record) -> bytes | None:
        """The memory that a fork has of its parent, where it would stand today as it did."""
        memory = self.intact.memory_at(record.seq)
        kept = digest(memory) if memory is not None else None
        if kept != record.memory:
            was, now = f"memory {short(record.memory)}", f"memory {short(kept)}"
            differ(record.seq, was, now, "its snapshot row was changed, or is missing")
        today = STANDS[self.spec.state[record.state].kind]
        if record.outcome != today:
            why = f"in {record.state} it was forked, {record.outcome}; today it would be {today}"
            differ(record.seq, str(record), today, why, "outcome_differs")
        return memory

    def _follow(self, record: Record) -> None:
        """A record whose payload was erased is not decided again; only its effect is looked at."""
        self.erased += 1
        hop = self.spec.hops.get(record.hop)
        known = not record.hop or (hop is not None and (record.source in hop.sources and hop.target == record.state))
        if not known or record.state not in (self.snapshot.state, *self.spec.state):
            differ(record.seq, str(record), "nothing", f"today's machine has no {record.hop} to it", "transition_gone")
        if record.memory is not None:
            why = "its payload was erased, and the memory after it was made of it"
            differ(record.seq, str(record), "unknown", why, "unknown")
        self.snapshot = apply(self.spec, self.snapshot, record)

    def _decide(self, record: Record, pair: Against) -> None:
        event = event_of(self.spec, record)
        cause = pair.before(record, event.payload)
        if cause is not None:
            differ(record.seq, str(record), "unknown", cause[1], cause[0])
        answers = evolve(record, rulings=()) if event.escalated else None  # what it was before is not on record
        plan = select(self.engine, self.snapshot, event, answers)
        decision = conclude(self.engine, self.snapshot, plan, _Seen(record, pair=pair))
        now = decision.record
        if now is None:
            limits = f"refusals_max {pair.then.bounds.refusals_max}; today's {self.spec.bounds.refusals_max}"
            differ(record.seq, str(record), "only counted", f"{limits} is reached here", "bound_moved")
        if _way(record) != _way(now):
            kind, why = pair.cause(record, now)
            differ(record.seq, *told(record, now), why, kind)
        if now.memory != record.memory:
            text = f": {excerpt(decision.snapshot.memory)}" if now.memory is not None else ""
            before, after = f"memory {short(record.memory)}", f"memory {short(now.memory)}{text}"
            differ(record.seq, before, after, "the memory after it is another", "memory_differs")
        self.snapshot = decision.snapshot


def _way(record: Record) -> tuple[object, ...]:
    """What of a record tells where the run went."""
    return record.kind, record.state, record.outcome, way_of(record.hop)
