"""What guards that share rows with other runs can say together: all that ask one row find the same in it.

Other runs and people make of a row what they like, whatever this run did, so such a guard bounds nothing: it may
refuse for ever, and allow for ever, a budget too, whose limit a person may raise. But no code answers for it: what
it says is what the kernel says of some row. So the kernel is asked here about rows that differ in all that makes a
difference, and a move is possible where one row of each kind answers all that ask it as the move needs.
"""

from collections.abc import Iterable, Iterator, Mapping

from attrs import frozen

from fsm.core.asking import DEFER_EXHAUSTED
from fsm.core.breaking import BreakerRow, BreakerState
from fsm.core.budget import BudgetRow
from fsm.core.plan import Event, Plan
from fsm.core.sharing import UNITS, Apart, Row, Sharing, budgeting, share_of, unit_of
from fsm.core.snapshot import Snapshot
from fsm.define.guard import Placed, Share, Verdict
from fsm.define.parts import way_for
from fsm.define.payload import Payload, digest
from fsm.define.spec import MachineSpec
from fsm.verify.move import Asked, Move, is_counted

KNOWN = ("breaker", "budget")
FAR_MS = 1 << 60
EVENT = Event(payload=Payload("", None, b"{}", digest(b"{}")), at_ms=0)
BREAKERS: tuple[BreakerState, ...] = ("disabled", "open", "half_open", "forced_open", "unreadable")


@frozen
class Seen:
    """The rows that a move is made with, and whether its event was put off before as long as it may be."""

    rows: Mapping[Share, Row]
    put_off: bool = False


@frozen
class _Asked:
    """A guard that asks a row, the state it is asked for, and what it must say there."""

    asked: Asked
    target: str
    again: bool


def seen_by(spec: MachineSpec, move: Move) -> Seen | None:
    """Rows that answer as the move needs; None where there are none: it is never made.

    Of kinds that are not known here nothing is said: whatever such guards have to say, they may.
    """
    asking: dict[Share, list[_Asked]] = {}
    for one in _sharing(spec, move):
        asking.setdefault(share_of(one.asked.guard), []).append(one)
    rows: dict[Share, Row] = {}
    put_off = False
    for share, all_asked in asking.items():
        for row in _rows(spec, share, all_asked):
            verdicts = [_says(spec, one, row, held=not one.asked.code) for one in all_asked]
            if all(_agrees(spec, *pair) for pair in zip(all_asked, verdicts, strict=True)):
                rows[share] = row
                asked = zip(all_asked, verdicts, strict=True)
                put_off = put_off or any(v.decision == "defer" and one.asked.code and not one.again for one, v in asked)
                break
        else:
            if share.kind in KNOWN:
                return None
    return Seen(rows, put_off)


def may_defer(spec: MachineSpec, move: Move) -> bool:
    """Whether one of its guards may put the event off; what the kernel counts for one only refuses."""
    for asked in move.asked:
        guard = asked.guard
        if guard.shares is None and guard.kind == "env" and guard.codes and not is_counted(guard):
            return True
    return any(
        share_of(one.asked.guard).kind not in KNOWN
        or any(_says(spec, one, row).decision == "defer" for row in _rows(spec, share_of(one.asked.guard), [one]))
        for one in _sharing(spec, move)
    )


def _sharing(spec: MachineSpec, move: Move) -> Iterator[_Asked]:
    """The guards of a move that share rows, and whose answer matters."""
    retried = (*move.before, *(move.course.asked if move.retries else ()))
    for asked in retried:
        if asked.guard.shares is not None and asked.code is not None:
            yield _Asked(asked, move.source, again=True)
    for asked in () if move.retries else move.course.asked:
        if asked.guard.shares is not None and asked.code is not None:
            entered = asked.guard.at if asked.guard.standing == "state" else spec.hops[move.course.line].target
            yield _Asked(asked, entered, again=False)


def _rows(spec: MachineSpec, share: Share, all_asked: Iterable[_Asked]) -> Iterable[Row]:
    """Rows that differ in what these guards can tell apart, the quietest first."""
    match share.kind:
        case "breaker":
            return [BreakerRow(state=state, retry_at_ms=FAR_MS, until_ms=FAR_MS) for state in BREAKERS]
        case "budget":
            return _budgets(spec, [(one.asked.guard, one.target) for one in all_asked])
        case _:
            return ()


def _budgets(spec: MachineSpec, asked: Iterable[tuple[Placed, str]]) -> Iterator[Row]:
    """Spent so much that the next is just let pass by a limit, or just not any more; all with nothing set aside or much.

    People have added to its limit, so that it was never less than what any visit asks.
    """
    asks = [(budgeting(guard), max(getattr(spec.state[to], UNITS[unit_of(guard)]) or 0, 1)) for guard, to in asked]
    raised = max(most for _, most in asks)
    limits = {limit + raised - most for one, most in asks for limit in (one.limit, one.warn_at) if limit is not None}
    spent = sorted({0, *limits, *(limit + 1 for limit in limits)})
    for amount in spent:
        yield BudgetRow(spent=amount, raised=raised, window=FAR_MS)
    for amount in spent:
        for one, most in asks:
            reserved = one.limit + raised - most - amount + 1
            if reserved > 0:
                yield BudgetRow(spent=amount, reserved=reserved, raised=raised, window=FAR_MS)
    yield BudgetRow(readable=False)


def _says(spec: MachineSpec, one: _Asked, row: Row, held: bool = False) -> Verdict:
    """`held`: whether its visit has set aside already what a retry may spend."""
    guard = one.asked.guard
    share = share_of(guard)
    now = Snapshot(state=one.target, holds={share.name: 1} if held and one.again else {})
    sharing = Sharing(spec, now, Plan(event=EVENT, predicates=(), way=None), Apart({share: row}, past=True))
    (ruling,) = sharing.again([guard], 0) if one.again else sharing.rulings([guard], one.target)
    return ruling.verdict


def _agrees(spec: MachineSpec, one: _Asked, verdict: Verdict) -> bool:
    """Whether it says what it must; one code stands for all that lead to the same place."""
    if one.again:
        return (verdict.decision == "refuse") is bool(one.asked.code)
    if verdict.decision == "allow" or not one.asked.code:
        return verdict.decision == "allow" and not one.asked.code
    otherwise = spec.parts[one.asked.guard.at].otherwise
    code = DEFER_EXHAUSTED if verdict.decision == "defer" else verdict.code
    return way_for(otherwise, code) == way_for(otherwise, one.asked.code)
