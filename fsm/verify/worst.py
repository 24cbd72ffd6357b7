"""The longest run through all situations, and the loop that has no end."""

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from fsm.core.record import NO_STRIKES, Spent
from fsm.define.parts import START
from fsm.define.spec import MachineSpec
from fsm.verify.chances import retries_of
from fsm.verify.costs import COSTS, SPENDING, Costs, least, most
from fsm.verify.graph import components, shortest
from fsm.verify.move import Move
from fsm.verify.product import ELAPSED, Explored, Situations
from fsm.verify.witness import Leg, drive, scenario, without_code

Path = list[tuple[int, Move, int]]


@frozen(eq=False)
class Worst:
    """Of an explored machine: per cost the most, with the run; or the stem and the loop of an endless run."""

    most: tuple[int, ...] = ()
    runs: tuple[tuple[Leg, ...], ...] = ()
    stem: tuple[Leg, ...] = ()
    loop: tuple[Leg, ...] = ()


def worst(explored: Explored, costs: Costs) -> Worst:
    """The longest run per cost, where every run ends; otherwise one that does not."""
    endless = endless_run(explored)
    if endless.loop:
        return endless
    order = [node for (node,) in components(explored.arcs)]
    found = [_longest(explored, costs, kind, order) for kind in range(len(COSTS))]
    return Worst(tuple(most for most, _ in found), tuple(run for _, run in found))


def endless_run(explored: Explored) -> Worst:
    """A run that comes back to a situation it was in; empty where none does."""
    arcs = explored.arcs
    parts = components(arcs)
    rounds = {node for part in parts if len(part) > 1 for node in part}
    rounds |= {node for node, onward in arcs.items() if any(after == node for after, _ in onward)}
    if not rounds:
        return Worst()
    return _round(explored, rounds, {node: at for at, part in enumerate(parts) for node in part})


def _round(explored: Explored, rounds: set[int], part: Mapping[int, int]) -> Worst:
    stem = shortest(explored.arcs, explored.start, rounds.__contains__)
    assert stem is not None, "everything explored is reachable"
    at = stem[-1][2] if stem else explored.start
    within = {n: [arc for arc in explored.arcs[n] if part[arc[0]] == part[at]] for n in rounds if part[n] == part[at]}
    loop = shortest(within, at, at.__eq__, empty=False)
    assert loop is not None, "a component has a way round"
    return Worst(stem=legs(explored.situations, stem), loop=legs(explored.situations, loop))


def _longest(explored: Explored, costs: Costs, kind: int, order: Sequence[int]) -> tuple[int, tuple[Leg, ...]]:
    """`order` has every situation after all that it leads to."""
    best: dict[int, int] = {}
    onward: dict[int, tuple[Move, int]] = {}
    price: dict[Move, int] = {}
    for node in order:
        dearest = 0
        for after, move in explored.arcs.get(node, ()):
            if move not in price:
                price[move] = costs.of(move)[kind]
            if price[move] + best[after] > dearest or node not in onward:
                dearest = max(dearest, price[move] + best[after])
                onward[node] = move, after
        best[node] = dearest
    path: Path = []
    here = explored.start
    while here in onward and best[here] > 0:
        move, after = onward[here]
        path.append((here, move, after))
        here = after
    if COSTS[kind] in SPENDING and here in onward:  # what the last visit spends is recorded when it is left
        path.append((here, *onward[here]))
        here = path[-1][2]
    return best[explored.start], _priced(explored.situations, path, here, costs, kind)


def _priced(situations: Situations, path: Path, last: int, costs: Costs, kind: int) -> tuple[Leg, ...]:
    """The run along a path, with what its visits spend at most; and the halt in its last state, if it has to."""
    cost = COSTS[kind]
    if cost not in SPENDING or any(counter.of == cost for counter in situations.counters):
        return legs(situations, path)
    stop = next(((last, move, after) for move, after, _ in situations.enabled(last) if not move.moved), None)
    found = legs(situations, [*path, stop] if stop is not None else path)
    return tuple(
        leg if leg.move.retries else _spending(leg, cost, costs.visit[leg.move.source][kind] or 0) for leg in found
    )


def _spending(leg: Leg, cost: str, most: int) -> Leg:
    tokens, usd_micros = (most, leg.spent.usd_micros) if cost == "tokens" else (leg.spent.tokens, most)
    return evolve(leg, spent=Spent(tokens, usd_micros))


def legs(situations: Situations, path: Path) -> tuple[Leg, ...]:
    """The legs of a path, each with what brings it about."""
    return tuple(_leg(situations, here, move, after) for here, move, after in path)


def _leg(situations: Situations, here: int, move: Move, after: int) -> Leg:
    spent = next((spent for found, end, spent in situations.enabled(here) if found is move and end == after), None)
    assert spent is not None, "the path leaves the machine"
    before, then = situations.counts(here), situations.counts(spent)
    return Leg(
        move=move,
        counts=situations.counts(after),
        spent=_spent(situations, before, then, move),
        strikes=_strikes(situations, then, move),
        elapsed_ms=_elapsed(then.get("elapsed_ms", 0), move),
    )


def _spent(situations: Situations, before: Mapping[str, int], then: Mapping[str, int], move: Move) -> Spent:
    """What the visit adds: at least what it must, with its first retry, or where no cap looks at it, with its end."""
    state = situations.moves.spec.state.get(move.source)
    retries = retries_of(state) if state is not None else None
    found = {}
    for kind in SPENDING:
        added = [then.get(c.key, 0) - before.get(c.key, 0) for c in situations.counters if c.of == kind]
        paid = retries is not None and (before.get(retries.key, 0) > 0 if added else move.retries)
        found[kind] = max([*added, least(state, kind) if state is not None and not paid else 0])
    return Spent(found["tokens"], found["usd_micros"])


def _strikes(situations: Situations, then: Mapping[str, int], move: Move) -> Mapping[str, int]:
    """The failures in a row that the guards on the way are to find."""
    if move.source == START or situations.moves.spec.state[move.source].kind != "agent":
        return NO_STRIKES
    found = {c.subject: then.get(c.key, 0) for c in situations.counters if c.of == "strikes"}
    for asked in move.asked:
        counter, limit = asked.guard.counter, asked.guard.limit
        if counter is None or limit is None or counter.of != "strikes" or counter in situations.field_of:
            continue
        if asked.code is not None:
            found[counter.subject] = max(limit if asked.code else 0, found.get(counter.subject, 0))
    return found or NO_STRIKES


def _elapsed(at_ms: int, move: Move) -> int:
    """How old the run is; just so old that the pause of a retry would be too long, if that is what refused it."""
    late = [a.guard.limit or 0 for a in move.before if a.code and a.guard.counter == ELAPSED]
    return max([at_ms, *(limit - 1 for limit in late)])


def is_real(situations: Situations, run: Sequence[Leg]) -> bool:
    """Whether each visit of this run spends no more than it may, and time allows it; if so it can happen as told."""
    if not situations.alone:
        return False
    spec, visit = situations.moves.spec, Spent()
    for leg in run:
        visit = visit + leg.spent
        state = spec.state.get(leg.move.source)
        if state is not None and visit:
            limits = (most(state, "tokens"), visit.tokens), (most(state, "usd_micros"), visit.usd_micros)
            if not all(limit is None or spent <= limit for limit, spent in limits):
                return False
        visit = visit if leg.move.retries else Spent()
    return not spec.timed or _is_timely(spec, run)


def _is_timely(spec: MachineSpec, run: Sequence[Leg]) -> bool:
    """Whether the engine goes this way, with the pauses that it makes."""
    try:
        drive(without_code(spec), scenario(spec, run)["events"])
    except ValueError:
        return False
    return True
