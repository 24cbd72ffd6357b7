"""Upper bounds on the cost of any run of a machine that ends, whatever its size.

Inside a strongly connected component, the moves that its caps bound are taken at most as often as the limits
say, all together `n` times; between and around them lie `n + 1` stretches through what is left, which is
bounded in the same way. Across components a run goes one way only, so the longest path through their
order is the bound. These are bounds and not runs: nobody says that all of it can happen in one.
"""

from collections.abc import Sequence

from fsm.define.guard import Counter
from fsm.verify.costs import ZERO, Costs, Vector
from fsm.verify.graph import components
from fsm.verify.termination import Arc, neighbours, resets, torn

DEPTH_MAX = 100


class Unbounded(Exception):
    """The caps do not bound it, or they are nested deeper than DEPTH_MAX."""


def longest(arcs: Sequence[Arc], costs: Costs, start: int | None = None, depth: int = 0) -> Vector:
    """The most that any way along these arcs costs, from `start` or from anywhere; `Unbounded` where it has no end."""
    best = onward(arcs, costs, depth)
    if start is not None:
        return best.get(start, ZERO)
    found = ZERO
    for vector in best.values():
        found = _max(found, vector)
    return found


def onward(arcs: Sequence[Arc], costs: Costs, depth: int = 0) -> dict[int, Vector]:
    """The most that any way along these arcs costs from each state that one of them leaves or enters."""
    part: dict[int, int] = {}
    parts = components(neighbours(arcs))
    for at, nodes in enumerate(parts):
        part.update(dict.fromkeys(nodes, at))
    inside: dict[int, list[Arc]] = {}
    leaving: dict[int, list[Arc]] = {}
    for arc in arcs:
        same = part[arc.source] == part[arc.target]
        (inside if same else leaving).setdefault(part[arc.source], []).append(arc)
    best: list[Vector] = []
    for at in range(len(parts)):  # each after all that it leads to
        after = ZERO
        for arc in leaving.get(at, ()):
            after = _max(after, _plus(costs.of(arc.move), best[part[arc.target]]))
        best.append(_plus(around(inside[at], costs, depth), after) if at in inside else after)
    return {node: best[at] for node, at in part.items()}


def around(component: Sequence[Arc], costs: Costs, depth: int) -> Vector:
    """The most that any way inside one component costs."""
    if depth > DEPTH_MAX:
        raise Unbounded
    reset = resets(component)
    counters = {counter for arc in component for counter in arc.bounded if counter not in reset}
    if not counters:
        return _divided(component, reset, costs, depth)
    choices = [counters, {counter for counter in counters if counter.of != "hops"}]
    found = [_capped(component, chosen, costs, depth) for chosen in choices if chosen]
    known = [vector for vector in found if vector is not None]
    if not known:
        raise Unbounded
    return tuple(map(min, *known)) if len(known) > 1 else known[0]


def _capped(component: Sequence[Arc], chosen: set[Counter], costs: Costs, depth: int) -> Vector | None:
    """With the moves that these counters bound taken as often as they allow; None if the rest has no end."""
    counting: dict[Counter, list[Arc]] = {}
    left: list[Arc] = []
    for arc in component:
        counter = next((counter for counter in arc.bounded if counter in chosen), None)
        (left if counter is None else counting.setdefault(counter, [])).append(arc)
    try:
        rest = longest(left, costs, depth=depth + 1)
    except Unbounded:
        return None
    often = {counter: _often(counter, arcs) for counter, arcs in counting.items()}
    total = _times(sum(often.values()) + 1, rest)
    for counter, arcs in counting.items():
        total = _plus(total, _times(often[counter], _dearest(arcs, costs)))
    return total


def _often(counter: Counter, arcs: Sequence[Arc]) -> int:
    """How often these moves can be taken, all together: up to the highest limit, by the least that one counts."""
    step = min(arc.spends for arc in arcs) if counter.of == "tokens" else 1
    return -(-max(arc.below[counter] for arc in arcs) // step)


def _dearest(arcs: Sequence[Arc], costs: Costs) -> Vector:
    found = ZERO
    for arc in arcs:
        found = _max(found, costs.of(arc.move))
    return found


def _divided(component: Sequence[Arc], reset: set[Counter], costs: Costs, depth: int) -> Vector:
    """Some moves count a counter that others need below its limit: until it is reached, and from then on."""
    counter = torn(component, reset)
    if counter is None:
        raise Unbounded
    limit = max(arc.below[counter] for arc in component if counter in arc.below)
    quiet = longest([arc for arc in component if counter not in arc.up], costs, depth=depth + 1)
    after = longest([arc for arc in component if counter not in arc.below], costs, depth=depth + 1)
    dearest = _dearest([arc for arc in component if counter in arc.up], costs)
    return _plus(_plus(_times(limit + 1, quiet), _times(limit, dearest)), after)


def _plus(one: Vector, other: Vector) -> Vector:
    a, b, c, d, e = one
    v, w, x, y, z = other
    return (a + v, b + w, c + x, d + y, e + z)


def _times(often: int, one: Vector) -> Vector:
    return tuple([often * cost for cost in one])


def _max(one: Vector, other: Vector) -> Vector:
    return tuple([a if a > b else b for a, b in zip(one, other, strict=True)])
