"""What the rulings of a record come to: which were asked on the way taken, what that sets aside, what guards keep."""

from collections.abc import Iterable, Mapping

from fsm.core.record import Record
from fsm.define.guard import NOTHING_KEPT, Decision, Kept, Ruling, Share
from fsm.define.spec import MachineSpec

NO_HOLDS: Mapping[str, int] = {}


def of_budgets(spec: MachineSpec, rulings: Iterable[Ruling], decision: Decision) -> dict[Share, int]:
    """Of the budgets that decided so on one way what they were asked for; each guard rules there once.

    A record says which of several guards alike it was only where that one keeps something: here their order tells.
    """
    found: dict[Share, int] = {}
    turns: dict[tuple[str, str], int] = {}
    for ruling in rulings:
        alike = ruling.guard, ruling.at
        turns[alike] = turns.get(alike, 0) + 1
        share, asked = spec.budgets.get((*alike, turns[alike])), ruling.verdict.numbers.get("asked", 0)
        if share is not None and asked and ruling.verdict.decision == decision:
            found[share] = asked
    return found


def set_aside(spec: MachineSpec, rulings: Iterable[Ruling]) -> Mapping[str, int]:
    """What a move sets aside, by the rulings on the way that is taken."""
    return {share.name: asked for share, asked in of_budgets(spec, rulings, "allow").items()} or NO_HOLDS


def on_the_way(spec: MachineSpec, record: Record) -> tuple[Ruling, ...]:
    """The rulings of a record but for those on a retry that was refused first."""
    state = spec.state.get(record.source)
    retry = state.retry if state is not None else None
    if state is None or retry is None or not record.rulings or record.rulings[0].at != retry.guard.at:
        return record.rulings
    asked = len(list(spec.retry_guards(state))) if record.rulings[0].guard == retry.guard.name else 1  # or `when` broke
    return record.rulings[asked:]


def of_move(spec: MachineSpec, record: Record) -> tuple[Ruling, ...]:
    """The rulings on the way that was taken, and none of those on ways refused before."""
    rulings = on_the_way(spec, record)
    asked = len(spec.state[record.state].guards)
    return rulings[len(rulings) - asked :] if spec.hops[record.hop].otherwise else rulings


def deciding(rulings: Iterable[Ruling], owner: str) -> Ruling | None:
    """The refusal that decided at `owner`, the attribute whose guards were asked: the first one there."""
    return next((ruling for ruling in rulings if ruling.at == owner and ruling.verdict.decision == "refuse"), None)


def with_kept(before: Mapping[str, Kept], rulings: Iterable[Ruling]) -> Mapping[str, Kept]:
    """What guards keep after a move; its record holds of that only what applies."""
    after = before
    for ruling in rulings:
        if ruling.verdict.keep:
            place = ruling.kept_as
            own = keeping(before.get(place, NOTHING_KEPT), ruling.verdict.keep)
            after = {**after, place: own} if own else {name: kept for name, kept in after.items() if name != place}
    return after


def keeping(kept: Kept, keep: Kept) -> Kept:
    """What a guard keeps, after `keep`: 0 forgets."""
    after = {**kept, **keep}
    for name, number in keep.items():
        if not number:
            del after[name]
    return after
