"""What guards that share rows with other runs can say together: all that ask one row find the same in it.

Other runs and people make of a row what they like, whatever this run did, so such a guard bounds nothing: it may
refuse for ever, and allow for ever, a budget too, whose limit a person may raise. But no code answers for it: what
it says is what the kernel says of some row. So the kernel is asked here about rows that differ in all that makes a
difference, and a move is possible where one row of each kind answers all that ask it as the move needs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attrs import frozen

from fsm.core.asking import DEFER_EXHAUSTED
from fsm.core.breaking import BreakerRow, BreakerState
from fsm.core.budget import BudgetRow
from fsm.core.plan import Event, Plan
from fsm.core.rate import RateRow
from fsm.core.shares import Apart, Row, budgeting, most_of, rating, share_of, unit_of
from fsm.core.sharing import Sharing
from fsm.core.snapshot import Snapshot
from fsm.define.guard import Placed, Share, Verdict
from fsm.define.parts import way_for
from fsm.define.payload import Payload, digest
from fsm.define.spec import MachineSpec
from fsm.verify.move import Asked, Move, is_counted

SPENT = ("tokens", "usd_micros")
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
    """Rows that answer as the move needs; None where there are none: it is never made."""
    asking: dict[Share, list[_Asked]] = {}
    for one in _sharing(spec, move):
        asking.setdefault(share_of(one.asked.guard), []).append(one)
    rows: dict[Share, Row] = {}
    put_off = False
    for share, all_asked in asking.items():
        for row in _rows(spec, share, all_asked):
            said = [(one, _says(spec, one, row, held=not one.asked.code)) for one in all_asked]
            if all(_agrees(spec, one, verdict) for one, verdict in said):
                rows[share] = row
                put_off |= any(verdict.decision == "defer" and not one.again for one, verdict in said)
                break
        else:
            return None
    return Seen(rows, put_off)


def is_shared_budget(guard: Placed, unit: str = "") -> bool:
    """Whether it is a budget of what many runs spend together; of that `unit`, if one is given."""
    if guard.shares is None or guard.shares.kind != "budget" or unit_of(guard) not in SPENT:
        return False
    return not unit or unit == unit_of(guard)


def may_defer(spec: MachineSpec, move: Move) -> bool:
    """Whether a guard on its way may put the event, or the retry, off; what the kernel counts for one only refuses."""
    for asked in move.course.asked:
        guard = asked.guard
        if guard.shares is None and guard.kind == "env" and guard.codes and not is_counted(guard):
            return True
    return any(
        _is_deferring(_says(spec, one, row))
        for one in _sharing(spec, move)
        for row in _rows(spec, share_of(one.asked.guard), [one])
        if one.again is move.retries
    )


def _sharing(spec: MachineSpec, move: Move) -> Iterator[_Asked]:
    """The guards of a move that share rows, and whose answer matters; first those asked before a retry."""
    entered = spec.hops[move.course.line].target if move.course.line else ""
    for asked in move.asked:
        again = move.retries or asked in move.before
        target = move.source if again else asked.guard.at if asked.guard.standing == "state" else entered
        if asked.guard.shares is not None and asked.code is not None:
            yield _Asked(asked, target, again)


def _rows(spec: MachineSpec, share: Share, all_asked: Sequence[_Asked]) -> Iterable[Row]:
    """Rows that differ in what these guards can tell apart, the quietest first."""
    match share.kind:
        case "breaker":
            return [BreakerRow(state=state, retry_at_ms=FAR_MS, until_ms=FAR_MS) for state in BREAKERS]
        case "budget":
            return _budgets(spec, all_asked)
        case "rate":
            full = max(rating(one.asked.guard).limit for one in all_asked)
            return [RateRow(), RateRow(taken=((FAR_MS, full),)), RateRow(readable=False)]


def _budgets(spec: MachineSpec, all_asked: Iterable[_Asked]) -> Iterator[Row]:
    """Spent so much that the next visit is just let pass by a limit, or just not; with nothing set aside, or too much.

    People have added to its limit, so that no visit asks for more than that.
    """
    asks = [
        (budgeting(one.asked.guard), max(most_of(one.asked.guard, spec.state[one.target]) or 0, 1)) for one in all_asked
    ]
    raised = max(most for _, most in asks)
    limits = {limit + raised - most for one, most in asks for limit in (one.limit, one.warn_at) if limit is not None}
    spent = sorted({0, *limits, *(limit + 1 for limit in limits)})
    yield from (BudgetRow(spent=amount, raised=raised, window=FAR_MS) for amount in spent)
    for amount in spent:
        too_much = {one.limit + raised - most - amount + 1 for one, most in asks}
        for reserved in sorted(much for much in too_much if much > 0):
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
    code = DEFER_EXHAUSTED if _is_deferring(verdict) else verdict.code
    return way_for(otherwise, code) == way_for(otherwise, one.asked.code)


def _is_deferring(verdict: Verdict) -> bool:
    """Whether it puts off, or did so as long as it may."""
    return verdict.decision == "defer" or verdict.code == DEFER_EXHAUSTED
