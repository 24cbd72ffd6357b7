"""A recorded run on its diagram: what was visited, taken and refused, and where the run is now.

A fold of the run's records and of nothing else, so the first n of them give the picture at that moment, and
the journal alone is enough: `overlay(reader.spec(run.fingerprint), reader.records(run.key))`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from attrs import define, field, frozen

from fsm.core.record import HALTED, MOVES, NOTHING, Outcome, Record, Spent
from fsm.define.guard import Ruling
from fsm.define.parts import START, retry_id
from fsm.define.spec import MachineSpec
from fsm.show.rulings import deciding, given
from fsm.show.telling import objection


@frozen
class Tally:
    """What a run did in one state: visits, spending, and milliseconds of wall clock between its records."""

    visits: int = 0
    spent: Spent = NOTHING
    ms: int = 0


@frozen(kw_only=True)
class Overlay:
    """A run so far, by the names of its machine.

    `taken` counts hops by (state left, hop id). `refusals` counts, by the attribute a guard stands on, the
    verdict codes it refused with (once a record), wherever that led; where it kept an attempt from beginning
    again, by the hop of that retry. `halts` counts how often the run was stopped there. `unhandled` counts events
    no transition took, by (state, event). `by` is the refusal that stopped the run, `because` the same in words,
    `event` what arrived last. `elsewhere` counts hops that this machine does not have: it was changed since.
    """

    records: int = 0
    state: str = START
    outcome: Outcome = "running"
    event: str = ""
    by: Ruling | None = None
    because: str = ""
    spent: Spent = NOTHING
    deferred: int = 0
    hops: int = 0
    states: Mapping[str, Tally] = field(factory=dict)
    taken: Mapping[tuple[str, str], int] = field(factory=dict)
    refusals: Mapping[str, Mapping[str, int]] = field(factory=dict)
    halts: Mapping[str, int] = field(factory=dict)
    unhandled: Mapping[tuple[str, str], int] = field(factory=dict)
    elsewhere: Mapping[str, int] = field(factory=dict)

    def visits(self, state: str) -> int:
        """How often a state was entered."""
        return self.states[state].visits if state in self.states else 0

    def times(self, hop: str, source: str | None = None) -> int:
        """How often a hop was taken; from one state, or from all."""
        if source is not None:
            return self.taken.get((source, hop), 0)
        return sum(number for (_, id), number in self.taken.items() if id == hop)


def overlay(spec: MachineSpec, records: Iterable[Record]) -> Overlay:
    """The overlay of a run's records on `spec`, the machine it was recorded under."""
    folding = _Folding(spec)
    for record in records:
        folding.add(record)
    return folding.overlay()


@define
class _Folding:
    """The counts so far, and the last record."""

    spec: MachineSpec
    last: Record | None = None
    by: Ruling | None = None
    because: str = ""
    records: int = 0
    visits: Counter[str] = field(factory=Counter)
    spent: dict[str, Spent] = field(factory=dict)
    ms: Counter[str] = field(factory=Counter)
    taken: Counter[tuple[str, str]] = field(factory=Counter)
    refusals: dict[str, Counter[str]] = field(factory=dict)
    halts: Counter[str] = field(factory=Counter)
    unhandled: Counter[tuple[str, str]] = field(factory=Counter)
    deferred: int = 0

    def add(self, record: Record) -> None:
        self.records += 1
        self._stayed(record)
        if record.kind in MOVES and record.hop:
            self.visits[record.state] += 1
            self.taken[record.source, record.hop] += 1
        elif record.kind == "retried":
            self.taken[record.source, record.hop] += 1
        elif record.kind == "forked":
            self.visits[record.state] += 1
        elif record.kind == "unhandled":
            self.unhandled[record.state, record.event] += 1
        self.deferred += record.kind == "deferred"
        rulings = given(self.spec, record) if record.rulings else ()
        against = {
            (retry_id(record.source) if one.retry else one.ruling.at, one.ruling.verdict.code)
            for one in rulings
            if one.refuses
        }
        for at, code in sorted(against):
            self.refusals.setdefault(at, Counter())[code] += 1
        moved = self.last is None or self.last.outcome != record.outcome
        if record.outcome not in HALTED:
            self.by, self.because = None, ""
        elif moved or record.kind == "halted":
            by = deciding(self.spec, record)
            if by is not None:
                self.by, self.because = by.ruling, objection(by.ruling, by.guard)
                self.halts[by.ruling.at] += 1
            else:
                self.by, self.because = None, ""
        self.last = record

    def _stayed(self, record: Record) -> None:
        if record.spent:
            self.spent[record.source] = self.spent.get(record.source, NOTHING) + record.spent
        if self.last is not None and self.last.outcome in ("running", "waiting"):
            self.ms[self.last.state] += max(0, record.at_ms - self.last.at_ms)

    def overlay(self) -> Overlay:
        last = self.last
        if last is None:
            return Overlay()
        names = dict.fromkeys([*self.visits, *self.spent, *self.ms])
        states = {name: Tally(self.visits[name], self.spent.get(name, NOTHING), self.ms[name]) for name in names}
        known = self.spec.hops
        elsewhere: Counter[str] = Counter()
        for (_, hop), number in self.taken.items():
            elsewhere.update({} if hop in known else {hop: number})
        return Overlay(
            records=self.records,
            state=last.state,
            outcome=last.outcome,
            event=last.event,
            by=self.by,
            because=self.because,
            spent=sum(self.spent.values(), NOTHING),
            deferred=self.deferred,
            hops=sum(number for (source, _), number in self.taken.items() if source != START),
            states=states,
            taken=dict(self.taken),
            refusals={at: dict(codes) for at, codes in self.refusals.items()},
            halts=dict(self.halts),
            unhandled=dict(self.unhandled),
            elsewhere=dict(elsewhere),
        )
