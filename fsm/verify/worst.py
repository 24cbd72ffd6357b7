"""The longest run through all situations, and the loop that has no end."""

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from fsm.core.record import Spent
from fsm.define.guard import Counter
from fsm.verify.costs import COSTS, SPENDING, Costs, least, most
from fsm.verify.graph import components, shortest
from fsm.verify.moves import Move
from fsm.verify.product import Explored, Situations
from fsm.verify.witness import Leg

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
    return tuple(_spending(leg, cost, costs.visit[leg.move.source][kind] or 0) for leg in found)


def _spending(leg: Leg, cost: str, most: int) -> Leg:
    tokens, usd_micros = (most, leg.spent.usd_micros) if cost == "tokens" else (leg.spent.tokens, most)
    return Leg(leg.move, leg.counts, Spent(tokens, usd_micros))


def legs(situations: Situations, path: Path) -> tuple[Leg, ...]:
    """The legs of a path, each with the spending that brings it about."""
    return tuple(
        Leg(move, situations.counts(after), _spent(situations, here, move, after)) for here, move, after in path
    )


def _spent(situations: Situations, here: int, move: Move, after: int) -> Spent:
    for found, end, spent in situations.enabled(here):
        if found is move and end == after:
            tokens, usd_micros = (_added(situations, kind, here, spent) for kind in SPENDING)
            state = situations.moves.spec.state.get(move.source)
            return Spent(max(tokens, least(state, "tokens") if state is not None else 0), usd_micros)
    raise AssertionError("the path leaves the machine")


def is_real(situations: Situations, run: Iterable[Leg]) -> bool:
    """Whether each visit of this run spends no more than it may; if so it can happen as it is told."""
    return situations.alone and all(_within(situations, leg) for leg in run)


def _within(situations: Situations, leg: Leg) -> bool:
    state = situations.moves.spec.state.get(leg.move.source)
    if state is None or not leg.spent:
        return True
    limits = (most(state, "tokens"), leg.spent.tokens), (most(state, "usd_micros"), leg.spent.usd_micros)
    return all(limit is None or spent <= limit for limit, spent in limits)


def _added(situations: Situations, kind: str, before: int, after: int) -> int:
    places: Mapping[Counter, tuple[int, int, int]] = situations.field_of
    found = [(o, mask) for counter, (o, mask, _) in places.items() if counter.of == kind]
    return max(((after >> o & mask) - (before >> o & mask) for o, mask in found), default=0)
