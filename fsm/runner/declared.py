"""Calls that declare the most they spend: whether that still fits, before they are made."""

from collections.abc import Iterator

from fsm.core.counters import with_told
from fsm.core.record import Spent
from fsm.runner.live import Live
from fsm.runner.most import Limited, Most, limits


def too_much(live: Live, most: Most) -> tuple[str, dict[str, int]] | None:
    """The code and numbers of what this call could go beyond: a limit of its state, or a budget of the run."""
    if not limits(most):
        return None
    state, held = live.engine.spec.state[live.snapshot.state], live.held
    return overshoot(state, live.in_visit, held, most) or next(_budgets(live, held, most), None)


def overshoot(of: Limited, spent: Spent, held: Spent, most: Most) -> tuple[str, dict[str, int]] | None:
    """The same of the limits of one visit, which has `spent` that much; `held` is what calls in flight declared."""
    found = (
        _beyond(f"{unit}_max", unit, getattr(spent, unit), held, most, limit) for unit, limit in limits(of).items()
    )
    return next(filter(None, found), None)


def _budgets(live: Live, held: Spent, most: Most) -> Iterator[tuple[str, dict[str, int]]]:
    """Of guards that count what the run spends, on its state or the whole machine, those that would have to say no."""
    spec, now = live.engine.spec, live.snapshot
    counters = with_told(spec, now.counters, live.reported)
    for guard in (*spec.state[now.state].guards, *spec.machine_wide):
        if guard.counter is not None and guard.limit is not None:
            count = counters.get(guard.counter.key, 0)
            found = _beyond(guard.codes[0], guard.counter.of, count, held, most, guard.limit)
            if found is not None:
                yield found


def _beyond(code: str, unit: str, spent: int, held: Spent, most: Most, limit: int) -> tuple[str, dict[str, int]] | None:
    asked = limits(most).get(unit)
    if asked is None:
        return None
    reserved = getattr(held, unit)
    told = {"reserved": reserved} if reserved else {}
    numbers = {unit: spent, **told, "asked": asked, f"{unit}_max": limit}
    return (code, numbers) if spent + reserved + asked > limit else None
