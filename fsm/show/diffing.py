"""Two runs beside each other, in words: where they part and why, what differs on the way, what each did in all."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import asdict, frozen

from fsm.core.record import Record
from fsm.define.guard import Ruling
from fsm.define.spec import MachineSpec
from fsm.journal.rows import Run
from fsm.replay.diff import ABSENT, Change, Diff, Row, Side
from fsm.show.path import Gap, PathLine, line
from fsm.show.rulings import given
from fsm.show.telling import ANSWERED, happened, objection, words
from fsm.show.texts import worded
from fsm.show.words import count, duration, money, safe, spending

BEFORE_MAX, AFTER_MAX, NEAR = 8, 24, 1
CHANGES_MAX, SHORT = 4, 60
NOTHING = "nothing"


@frozen(kw_only=True)
class Specs:
    """The machines as the two runs were recorded under them."""

    a: MachineSpec
    b: MachineSpec

    def of(self, run: str) -> MachineSpec:
        return self.a if run == "A" else self.b


def opening(found: Diff) -> str:
    """How far they agree, in one sentence."""
    number, parting = len(found.agreed), found.parting
    if parting is None:
        change = found.first_change
        first = (
            f"; payloads first differ at record {change.a.seq} ({safe(change.a.event)})" if change and change.a else ""
        )
        same = "" if change else ", with the same payloads"
        return f"the same way to the end, {count(number, 'record')}{same}{first}"
    state = next((safe(one.source) for one in (parting.a, parting.b) if one is not None), "")
    if not number:
        return f"different from the first record on, in {state}"
    last = found.agreed[-1]
    seqs = {one.seq for one in (last.a, last.b) if one is not None}
    at = f"record {seqs.pop()}" if len(seqs) == 1 else f"record {last.a.seq if last.a else ''} of A"
    return f"the same until {at}; then, in {state}:"


def parted(found: Diff) -> list[tuple[str, str]]:
    """What each run did where they part: `A`, `4 reject → draft`."""
    parting = found.parting
    if parting is None:
        return []
    sides = (("A", parting.a, found.a.run), ("B", parting.b, found.b.run))
    return [(name, _step(one) if one is not None else _over(run)) for name, one, run in sides]


def _step(record: Record) -> str:
    way = (
        f"{safe(record.hop)} → {safe(record.state)}"
        if record.hop
        else f"{record.kind}, it stays in {safe(record.state)}"
    )
    stands = f" ({record.outcome})" if record.kind in ("halted", "ended") else ""
    return f"record {record.seq}: {happened(record)}, {way}{stands}"


def _over(run: Run) -> str:
    return f"no record more: {run.outcome} in {safe(run.state)}"


def causes(found: Diff, specs: Specs) -> list[str]:
    """Why they part: of what is on record, the first that differs."""
    parting = found.parting
    if parting is None or parting.a is None or parting.b is None:
        return []
    a, b = parting.a, parting.b
    if a.source != b.source:
        return [f"A was in {safe(a.source)}, B in {safe(b.source)}"]
    if a.event != b.event:
        return [f"{safe(a.event) or a.kind} arrived in A, {safe(b.event) or b.kind} in B"]
    if told := [_predicate(specs.a, *answer) for answer in parting.predicates]:
        return told
    if told := list(_guards(parting, specs)):
        return told
    undeclared = [name for name, one, spec in (("A", b, specs.a), ("B", a, specs.b)) if one.hop not in ("", *spec.hops)]
    return [f"the machine of {name} does not have that way" for name in undeclared]


def _predicate(spec: MachineSpec, at: str, a: bool | None, b: bool | None) -> str:
    whens = {one.name: one.when for one in spec.transitions}
    whens |= {one.retry.guard.at: one.retry.when for one in spec.states if one.retry is not None}
    when = whens.get(at)
    name = f"{safe(when.name)} of {safe(at)}" if when is not None else safe(at)
    return f"predicate {name} {ANSWERED[a]} in A, {ANSWERED[b].removeprefix('answered ')} in B"


def _guards(row: Row, specs: Specs) -> Iterator[str]:
    """The guards that decided otherwise."""
    for a, b in row.verdicts:
        if (a and a.verdict.decision) != (b and b.verdict.decision):
            yield f"{_ruling(specs.a, row.a, a)} in A, {_ruling(specs.b, row.b, b)} in B"


def _ruling(spec: MachineSpec, record: Record | None, ruling: Ruling | None) -> str:
    if ruling is None or record is None:
        return "it was not asked"
    guard = next((one.guard for one in given(spec, record) if one.ruling is ruling), None)
    return objection(ruling, guard)


def beneath(row: Row, specs: Specs, everything: bool = False) -> Iterator[str]:
    """What differs at records that took the same way; of those that did not, what had arrived."""
    if not row.same:
        for name, one in (("A", row.a), ("B", row.b)):
            if one is not None and one.event and not row.aside:
                yield safe(f"{name}  {one.event} {words(one)}", 2 * SHORT)
        return
    yield from fields(row.changes, everything)
    yield from _guards(row, specs)
    a, b = row.a, row.b
    if a is not None and b is not None and a.spent != b.spent:
        yield " / ".join(", ".join(spending(one.spent)) or NOTHING for one in (a, b)) + " spent before it"


def fields(changes: Sequence[Change], everything: bool = False) -> Iterator[str]:
    """Each field that differs, and how: of a text the words."""
    most = len(changes) if everything else CHANGES_MAX
    for change in changes[:most]:
        yield f"{safe(change.field)}: {_unlike(change.a, change.b)}"
    if len(changes) > most:
        yield f"and {count(len(changes) - most, 'field')} more"


def _unlike(a: Any, b: Any) -> str:
    if isinstance(a, str) and isinstance(b, str):
        told = worded(a, b)
        if told is not None:
            return told
    return f"{_value(a)} / {_value(b)}"


def _value(value: Any) -> str:
    return "absent" if value is ABSENT else safe(json.dumps(value, ensure_ascii=False), SHORT)


def whose(found: Diff) -> str:
    """The heading over the totals: those of a fork leave out what it has from its parent."""
    return "of its own" if any("forked" in side.kinds for side in (found.a, found.b)) else ""


def totals(found: Diff) -> Iterator[tuple[str, str, str]]:
    """What each did in all, a name and two values; what neither did is left out."""
    a, b = found.a, found.b
    yield "records", f"{a.run.seq + 1:,}", f"{b.run.seq + 1:,}"
    yield from _counted("hops", a.hops, b.hops)
    for kind, name in (("retried", "tried again"), ("resumed", "taken up again"), ("refused", "events refused")):
        yield from _counted(name, a.kinds.get(kind, 0), b.kinds.get(kind, 0))
    for guard, at, code in dict.fromkeys([*a.refusals, *b.refusals]):
        numbers = (side.refusals.get((guard, at, code), 0) for side in (a, b))
        yield from _counted(f"{safe(guard)} on {safe(at)}: {safe(code)}", *numbers)
    yield from _counted("calls", a.calls, b.calls)
    yield from _counted("tokens", a.spent.tokens, b.spent.tokens)
    if a.spent.usd_micros or b.spent.usd_micros:
        yield "money", money(a.spent.usd_micros), money(b.spent.usd_micros)
    yield "took", duration(a.took_ms), duration(b.took_ms)


def _counted(name: str, a: int, b: int) -> Iterator[tuple[str, str, str]]:
    if a or b:
        yield name, f"{a:,}", f"{b:,}"


def picked(found: Diff, everything: bool = False) -> Iterator[Row | Gap]:
    """The rows to show: all, or those that differ, with one before and after, around the place where they part."""
    rows = found.rows
    unlike = [at for at, row in enumerate(rows) if row.differs]
    centre = found.parted if found.parted is not None else unlike[0] if unlike else len(rows)
    near = {at + step for at in unlike for step in range(-NEAR, NEAR + 1)} | {centre - 1}
    wanted = [at for at in sorted(near) if centre - BEFORE_MAX <= at < centre + AFTER_MAX and 0 <= at < len(rows)]
    after = 0
    for at in range(len(rows)) if everything else wanted:
        if at > after:
            yield Gap(at - after)
        yield rows[at]
        after = at + 1
    if after < len(rows):
        yield Gap(len(rows) - after)


def told_side(spec: MachineSpec, run: Run, record: Record | None) -> PathLine | None:
    return line(spec, run, record) if record is not None else None


def diff_data(found: Diff, specs: Specs) -> dict[str, Any]:
    """All of it as plain JSON data; of a row the seqs, and what differs."""
    parting = found.parting
    return {
        "a": _side_data(found.a),
        "b": _side_data(found.b),
        "machines": list(found.machines),
        "agreed": len(found.agreed),
        "parting": None
        if parting is None
        else {
            "a": parting.a.seq if parting.a else None,
            "b": parting.b.seq if parting.b else None,
            "causes": causes(found, specs),
            "fields": _fields_data(parting.changes),
        },
        "rows": [_row_data(row, specs) for row in found.rows],
    }


def _side_data(side: Side) -> dict[str, Any]:
    return {
        "run_id": side.run.run_id,
        "machine": side.run.machine,
        "state": side.run.state,
        "outcome": side.run.outcome,
        "records": side.run.seq + 1,
        "inherited": side.inherited,
        "hops": side.hops,
        "kinds": side.kinds,
        "refusals": [
            {"guard": guard, "at": at, "code": code, "times": times}
            for (guard, at, code), times in side.refusals.items()
        ],
        "calls": side.calls,
        **asdict(side.spent),
        "took_ms": side.took_ms,
    }


def _row_data(row: Row, specs: Specs) -> dict[str, Any]:
    return {
        "a": row.a.seq if row.a else None,
        "b": row.b.seq if row.b else None,
        "same": row.same,
        "differs": row.differs,
        "fields": _fields_data(row.changes),
        "verdicts": list(_guards(row, specs)) if row.same else [],
    }


def _fields_data(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """A field that a payload does not have is left out there."""
    pairs = ((change, (("a", change.a), ("b", change.b))) for change in changes)
    return [
        {"field": change.field, **{name: value for name, value in sides if value is not ABSENT}}
        for change, sides in pairs
    ]
