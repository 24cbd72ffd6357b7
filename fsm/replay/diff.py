"""Two recorded runs beside each other: where they go the same way, where they part, and what differs there.

Of records it is compared what they decided: source, event, way, state. Records that decide nothing (taken up again,
forked) stand in the path and never count as a difference. The runs may be of different machines.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import field, frozen

from fsm.core.record import MOVES, Record, Spent
from fsm.define.guard import Ruling
from fsm.define.parts import START
from fsm.journal.reader import Reader
from fsm.journal.rows import Run
from fsm.journal.search import spent
from fsm.journal.tallies import calls_made
from fsm.replay.alignment import Pairs, common
from fsm.replay.causes import spotted

ASIDE = frozenset({"forked", "resumed", "repinned"})
ABSENT: Any = ...

Asked = tuple[str, bool | None, bool | None]
"""A transition, and what its predicate answered in each run; it was asked in both."""
Ruled = tuple[Ruling | None, Ruling | None]
"""What one guard said in each run; None where it was not asked."""


@frozen
class Change:
    """A field of a payload, by its path, and what it holds in each run; ABSENT where it is not there."""

    field: str
    a: Any
    b: Any


@frozen
class Row:
    """A record of each run, None where the other went on alone; `same`: they decided the same."""

    a: Record | None
    b: Record | None
    same: bool = False

    @property
    def aside(self) -> bool:
        """Whether it decides nothing."""
        return any(one is not None and one.kind in ASIDE for one in (self.a, self.b))

    @property
    def changes(self) -> tuple[Change, ...]:
        """What differs between two payloads of one event."""
        if self.a is None or self.b is None or self.a.event != self.b.event or self.a.digest == self.b.digest:
            return ()
        return tuple(_changes("", *(json.loads(one.body) if one.body else {} for one in (self.a, self.b))))

    @property
    def verdicts(self) -> tuple[Ruled, ...]:
        """What guards said in one run and not in the other, the decisions that differ first."""
        return _ruled(self.a.rulings if self.a else (), self.b.rulings if self.b else ())

    @property
    def predicates(self) -> tuple[Asked, ...]:
        """What was answered otherwise."""
        a, b = (dict(one.predicates) if one is not None else {} for one in (self.a, self.b))
        return tuple((line, a[line], b[line]) for line in a if line in b and a[line] is not b[line])

    @property
    def differs(self) -> bool:
        """Whether anything is to be told of it, be it that one spent more."""
        a, b = self.a, self.b
        if a is None or b is None or not self.same:
            return True
        return (a.digest, a.rulings, a.spent, a.outcome) != (b.digest, b.rulings, b.spent, b.outcome)


@frozen(kw_only=True)
class Side:
    """One of the two runs: what it did in all. `refusals` counts by guard, place and code, once a verdict.

    `inherited`: how many of its first records are left aside, since the other run was forked after them.
    """

    run: Run
    inherited: int = 0
    hops: int = 0
    kinds: dict[str, int] = field(factory=dict)
    refusals: dict[tuple[str, str, str], int] = field(factory=dict)
    calls: int = 0
    spent: Spent

    @property
    def took_ms(self) -> int:
        return self.run.at_ms - self.run.started_at_ms


@frozen(kw_only=True)
class Diff:
    """Both runs, their records side by side, and how their machines differ, a line each.

    `parted` is the row from which on they differ, None where both took the same way to the end; its records are the
    first that each decided then, None where it has none.
    """

    a: Side
    b: Side
    rows: tuple[Row, ...]
    machines: tuple[str, ...] = ()
    parted: int | None = None

    @property
    def parting(self) -> Row | None:
        if self.parted is None:
            return None
        rest = [row for row in self.rows[self.parted :] if not row.aside]
        a, b = (row.a for row in rest if row.a), (row.b for row in rest if row.b)
        return Row(next(a, None), next(b, None))

    @property
    def agreed(self) -> list[Row]:
        """The rows before they part that decided anything."""
        return [row for row in self.rows[: self.parted] if not row.aside]

    @property
    def first_change(self) -> Row | None:
        """The first row with another payload, up to where they part."""
        return next((row for row in self.agreed if row.changes), None)


def diff(reader: Reader, a: Run, b: Run) -> Diff:
    """Both runs as far as they are recorded by now."""
    records = [list(reader.span(run.key, 0, run.seq)) for run in (a, b)]
    skips = inherited(a, records[1]), inherited(b, records[0])
    rows = tuple(beside(*(found[skip:] for found, skip in zip(records, skips, strict=True))))
    parted = next((at for at, row in enumerate(rows) if not row.same and not row.aside), None)
    spending = spent(reader, [a.key, b.key])
    sides = [
        _side(run, found, skip, calls_made(reader, run.key), spending[run.key])
        for run, found, skip in zip((a, b), records, skips, strict=True)
    ]
    return Diff(a=sides[0], b=sides[1], rows=rows, machines=_machines(reader, a, b), parted=parted)


def inherited(run: Run, other: Sequence[Record]) -> int:
    """How many records of `run` the other one has from it, if it was forked from there."""
    first = other[0] if other else None
    forked = first is not None and first.kind == "forked" and first.note.get("parent") == run.run_id
    return int(first.note["parent_seq"]) + 1 if first is not None and forked else 0


def _machines(reader: Reader, a: Run, b: Run) -> tuple[str, ...]:
    if a.fingerprint == b.fingerprint:
        return ()
    if a.machine != b.machine:
        return (f"{a.machine} and {b.machine} are two machines",)
    return reader.spec(a.fingerprint).changes(reader.spec(b.fingerprint)) or ("their fingerprints differ",)


def beside(a: Sequence[Record], b: Sequence[Record]) -> Iterator[Row]:
    """The records of two runs in rows: as many as can be in one with a counterpart that decided the same."""
    pairs: Pairs = common([_decided(record) for record in a], [_decided(record) for record in b])
    i = j = 0
    for at, opposite in [*pairs, (len(a), len(b))]:
        yield from _between(a[i:at], b[j:opposite])
        if at < len(a):
            yield Row(a[at], b[opposite], same=True)
        i, j = at + 1, opposite + 1


def _decided(record: Record) -> tuple[str, ...]:
    return record.kind, record.source, record.event, record.hop, record.state


def _between(a: Sequence[Record], b: Sequence[Record]) -> Iterator[Row]:
    """Records that have no counterpart, beside each other all the same; those that decide nothing stand alone."""
    i = j = 0
    while i < len(a) or j < len(b):
        one, other = a[i] if i < len(a) else None, b[j] if j < len(b) else None
        if one is not None and (one.kind in ASIDE) != (other is not None and other.kind in ASIDE):
            one, other = (one, None) if one.kind in ASIDE else (None, other)
        yield Row(one, other)
        i, j = i + (one is not None), j + (other is not None)


def _side(run: Run, records: Sequence[Record], inherited: int, calls: int, spending: Spent) -> Side:
    moved = [record for record in records if record.kind in MOVES and record.hop and record.source != START]
    rulings = [ruling for record in records for ruling in record.rulings if ruling.verdict.decision != "allow"]
    return Side(
        run=run,
        inherited=inherited,
        hops=len(moved) + sum(record.kind == "retried" for record in records),
        kinds=dict(Counter(record.kind for record in records)),
        refusals=dict(Counter((one.guard, one.at, one.verdict.code) for one in rulings)),
        calls=calls,
        spent=spending,
    )


def _ruled(a: Sequence[Ruling], b: Sequence[Ruling]) -> tuple[Ruled, ...]:
    before, after = spotted(a), spotted(b)
    found = [(before.get(place), after.get(place)) for place in dict.fromkeys([*before, *after])]
    unlike = [pair for pair in found if pair[0] != pair[1]]
    return tuple(sorted(unlike, key=lambda pair: _decision(pair[0]) == _decision(pair[1])))


def _decision(ruling: Ruling | None) -> str:
    return ruling.verdict.decision if ruling is not None else ""


def _changes(path: str, a: Any, b: Any) -> Iterator[Change]:
    if isinstance(a, dict) and isinstance(b, dict):
        for name in dict.fromkeys([*a, *b]):
            yield from _changes(f"{path}.{name}" if path else name, a.get(name, ABSENT), b.get(name, ABSENT))
    elif isinstance(a, list) and isinstance(b, list):
        for at in range(max(len(a), len(b))):
            yield from _changes(f"{path}[{at}]", *(items[at] if at < len(items) else ABSENT for items in (a, b)))
    elif a is not b and (type(a) is not type(b) or a != b):
        yield Change(path, a, b)
