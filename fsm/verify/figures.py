"""The worst any run can cost: each figure with how sure it is, why, and the run that does it.

Where all situations could be looked at, the figure is that of the longest run through them: *exact*, if that
run spends no more than its visits may. Beyond that it is the bound of the components. A budget caps
what is spent: it is looked at between visits, so what it allows is its limit, less one, and one visit more;
and whatever moves that it does not guard lead to after that. A budget that runs share caps no run: in a later window
it is whole again, people may raise it, and another journal has another row; so no figure is taken from its limit.

What a visit reports is recorded as it is, and the visit is cut off once that is more than it may spend. So every
figure of spending holds `UP_TO` the last report of each visit, and so does all that is proved with budgets.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from attrs import evolve, frozen

from fsm.define.guard import Placed
from fsm.define.parts import START
from fsm.verify.bounds import Unbounded, longest, onward
from fsm.verify.costs import COSTS, DECLARED, SPENDING, ZERO, Cost, Costs, Vector, most
from fsm.verify.finding import Finding, about, listed, named
from fsm.verify.move import Asked
from fsm.verify.moves import Moves
from fsm.verify.product import ELAPSED, Explored
from fsm.verify.shares import is_shared_budget
from fsm.verify.termination import Arc
from fsm.verify.witness import Leg
from fsm.verify.worst import Worst, is_real

Mark = Literal["exact", "upper bound", "unknown", "no end"]

UP_TO = "up to the last report of each visit"


@frozen(eq=False, kw_only=True)
class Figure:
    """The most of one cost, `None` where it is unknown or has no end; `binds` is the budget that makes it so.

    `up_to` says how far it holds, `counted` what is in it.
    """

    cost: Cost
    mark: Mark
    most: int | None = None
    why: str = ""
    binds: str = ""
    run: tuple[Leg, ...] = ()
    up_to: str = ""
    counted: str = ""

    @property
    def data(self) -> dict[str, Any]:
        told = {"cost": self.cost, "mark": self.mark, "most": self.most, "why": self.why, "binds": self.binds}
        return {**told, "up_to": self.up_to, "counted": self.counted, "run": [str(leg) for leg in self.run]}


def amount(cost: Cost, most: int) -> str:
    """A cost as people write it."""
    match cost:
        case "usd_micros":
            return f"{most / 1_000_000:,.2f} dollars"
        case "ms":
            seconds = -(-most // 1000)
            return f"{seconds:,} seconds" + (f" ({seconds / 3600:,.1f} hours)" if seconds >= 7200 else "")
        case _:
            return f"{most:,} {cost if most != 1 else cost.removesuffix('s')}"


@frozen(eq=False)
class Known:
    """What was found out about a machine, as far as figures need it."""

    moves: Moves
    arcs: Sequence[Arc]
    costs: Costs
    explored: Explored
    worst: Worst
    above: Vector | None
    ends: bool

    @property
    def states(self) -> list[str]:
        """The states runs can come to, in the order written."""
        names = self.explored.states if self.explored.complete else self._near
        return [state.name for state in self.moves.spec.states if state.name in names]

    @property
    def _near(self) -> frozenset[str]:
        return frozenset(arc.move.target for arc in self.arcs)


def figures(known: Known) -> tuple[Figure, ...]:
    """One for each cost."""
    attempts = known.moves.spec.bounds.resumes_max + 1
    counted = (
        f"a visit of an agent counts timeout_s {attempts} times, as it may be taken up again resumes_max "
        f"({attempts - 1}) times; timeout_s is 300 where none is given"
    )
    spends = any(known.moves.spec.state[state].kind == "agent" for state in known.states)
    found = (_figure(known, kind) for kind in range(len(COSTS)))
    return tuple(
        evolve(
            figure,
            up_to=UP_TO if spends and figure.cost in SPENDING and figure.most is not None else "",
            counted=counted if spends and figure.cost == "ms" and figure.most is not None else "",
        )
        for figure in found
    )


def overstepped(known: Known) -> Iterator[Finding]:
    """That limits of a visit do not hold to the last token."""
    agents = [state for state in map(known.moves.spec.state.__getitem__, known.states) if state.kind == "agent"]
    limits = {f"{cost}_max": [state for state in agents if most(state, cost) is not None] for cost in SPENDING}
    told = [f"{limit} of {listed([state.name for state in limited])}" for limit, limited in limits.items() if limited]
    if told:
        first = next(state for state in agents if any(state in limited for limited in limits.values()))
        yield Finding(
            level="note",
            code="may-overstep",
            attribute=first.name,
            what=f"a visit may overstep {' and '.join(told)} by its last report: that is recorded as it is, and the "
            "visit cut off; what is said here takes it that none does",
            instead="let agents report as they spend, call by call: view.spend(...)",
            place=first.place,
        )


def in_common(known: Known, found: Iterable[Figure]) -> Iterator[Finding]:
    """That of what no figure is known a budget is shared, which a reader may take for one."""
    unknown: list[Cost] = [figure.cost for figure in found if figure.most is None and figure.cost in SPENDING]
    for cost in unknown:
        shared = next((guard for guard in known.moves.spec.guards if is_shared_budget(guard, cost)), None)
        if shared is not None:
            what = f"{named(shared)} bounds what many runs spend together, until people raise it, and not what one does"
            instead = f"for a bound of each run give its states {DECLARED[cost]}=, and the machine caps on its loops"
            yield about(known.moves.spec.parts[shared.at], "note", "shared-bound", what, instead)


def _figure(known: Known, kind: int) -> Figure:
    cost = COSTS[kind]
    missing = [state for state in known.states if known.costs.unbounded(state, kind)]
    if missing:
        return Figure(cost=cost, mark="unknown", why=_missing(known, cost, missing))
    budget = _budget(known, kind)
    found = _endless(known, kind) if not known.ends else _ending(known, kind)
    if cost == "ms" and known.moves.spec.timed:
        return _timed(known, found)
    if budget is None or (found.most is not None and found.most <= budget[0]):
        return found
    most, cap = budget
    before = (cap.limit or 0) - 1
    why = f"{before:,} when it lets pass for the last time, and {most - before:,} more"
    return Figure(cost=cost, mark="upper bound", most=most, binds=named(cap), why=why)


def _timed(known: Known, found: Figure) -> Figure:
    """Where guards look at the time, visits that take long are cut off, and some runs have none for it."""
    spec = known.moves.spec
    limits = [guard.limit or 0 for guard in spec.guards if guard.counter == ELAPSED]
    if found.most is not None and found.most < min(limits):
        return found
    everywhere = [guard for guard in spec.machine_wide if guard.counter == ELAPSED]
    bounds = [(ms, guard) for guard in everywhere if (ms := _over(known, guard)) is not None]
    if bounds:
        most, guard = min(bounds, key=lambda bound: bound[0])
        if found.most is None or most < found.most:
            why = "and what visits and ways after it may take"
            return Figure(cost="ms", mark="upper bound", most=most, binds=f"{guard.name} on `{guard.at}`", why=why)
    return found if found.most is None else Figure(cost="ms", mark="upper bound", most=found.most)


def _over(known: Known, deadline: Placed) -> int | None:
    """The most a run takes with this deadline on the whole machine; None for no bound.

    An attempt that begins before it ends with it. One that had been decided on by then may begin later, then
    with all its time. After that, only moves are left on which nothing asks for the deadline.
    """
    limit = deadline.limit or 0
    begun = [known.costs.visit[START][4] or 0]
    for state in map(known.moves.spec.state.__getitem__, known.states):
        visit = known.costs.visit[state.name][4] or 0
        waits = state.timeout_ms or 0 if state.kind == "waiting" else 0  # from the moment it is entered
        begun.append(visit - waits + known.costs.retry_ms.get(state.name, 0))
    free = [arc for arc in known.arcs if not any(_early(asked, limit) for asked in arc.move.asked)]
    try:
        return limit + max(begun) + longest(free, known.costs)[4]
    except Unbounded:
        return None


def _early(asked: Asked, limit: int) -> bool:
    """Whether it lets pass only what comes before that time."""
    return asked.code == "" and asked.guard.counter == ELAPSED and (asked.guard.limit or 0) <= limit


def _missing(known: Known, cost: Cost, states: list[str]) -> str:
    kinds = {known.moves.spec.state[state].kind for state in states}
    verb = ("waits" if len(states) == 1 else "wait") if kinds == {"waiting"} else ""
    declares = "declares" if len(states) == 1 else "declare"
    return f"{listed(states)} {f'{verb} without' if verb else f'{declares} no'} {DECLARED[cost]}"


def _endless(known: Known, kind: int) -> Figure:
    cost, loop = COSTS[kind], known.worst.loop
    watched = any(spending_caps(known.moves, cost))  # the loop may need its visits to spend nothing
    if not watched and any(known.costs.of(leg.move)[kind] for leg in loop):
        return Figure(cost=cost, mark="no end", why="its loop costs more every time", run=loop)
    return Figure(cost=cost, mark="unknown", why="a run may go on for ever")


def _ending(known: Known, kind: int) -> Figure:
    cost = COSTS[kind]
    if known.explored.complete and known.worst.most:
        run, most = known.worst.runs[kind], known.worst.most[kind]
        watched = cost in SPENDING and any(counter.of == cost for counter in known.explored.situations.counters)
        if not watched and is_real(known.explored.situations, run):
            return Figure(cost=cost, mark="exact", most=most, run=run)
        return Figure(cost=cost, mark="upper bound", most=most)
    if known.above is None:
        return Figure(cost=cost, mark="unknown", why="its caps are nested too deep")
    why = (
        ""
        if known.explored.complete
        else f"more than {len(known.explored.arcs):,} situations, and --situations-max looks at more"
    )
    return Figure(cost=cost, mark="upper bound", most=known.above[kind], why=why)


def _budget(known: Known, kind: int) -> tuple[int, Placed] | None:
    """The least that a budget lets a run spend at most, and that budget."""
    if COSTS[kind] not in SPENDING:
        return None
    found: list[tuple[int, Placed]] = []
    for cap in spending_caps(known.moves, COSTS[kind]):
        counter, limit = cap.counter, cap.limit
        assert counter is not None and limit is not None
        if counter.since or any(limit == other.limit and counter == other.counter for _, other in found):
            continue
        free = [arc for arc in known.arcs if arc.below.get(counter, limit + 1) > limit]
        try:
            after = onward(free, known.costs)
        except Unbounded:
            continue
        unseen = after.get(0, ZERO)[kind]
        passing = (arc for arc in known.arcs if arc.below.get(counter, limit + 1) <= limit)
        seen = (_visit(known, arc, kind) + after.get(arc.target, ZERO)[kind] for arc in passing)
        found.append((max(unseen, limit - 1 + max(seen, default=0)), cap))
    return min(found, key=lambda item: item[0], default=None)


def _visit(known: Known, arc: Arc, kind: int) -> int:
    """What the visit it leads into may spend; one that a retry goes on with, what it has not spent yet."""
    return known.costs.visit[arc.move.target][kind] or 0


def spending_caps(moves: Moves, cost: Cost) -> Iterable[Placed]:
    """The budgets of one kind."""
    return (cap for cap in moves.caps if cap.counter is not None and cap.counter.of == cost)
