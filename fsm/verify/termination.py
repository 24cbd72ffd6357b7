"""Whether every run ends, by the machine's caps alone, whatever the size of the machine.

A run that goes on for ever takes some moves infinitely often. Those hang together in one strongly connected
component; and no counter that none of them resets is both counted by one of them and a cap's below its
limit in one of them. If no set of moves is like that, every run ends. So, component by component: moves
that count a counter which must be below its limit, and which nothing in the component resets, are taken
finitely often; take them away and look at what is left.

Guards that look at payloads or the world never bound anything: they may allow for ever. What agents spend
is counted only where a visit has a declared, enforced minimum.
"""

from collections.abc import Iterable, Mapping, Sequence

import attrs
from attrs import field, frozen

from fsm.define.guard import Counter
from fsm.define.parts import START
from fsm.verify.costs import least
from fsm.verify.graph import components, reachable
from fsm.verify.move import Asked, Move
from fsm.verify.moves import Moves

BRANCHES_MAX = 256


def _bounded(arc: "Arc") -> tuple[Counter, ...]:
    return tuple([counter for counter in arc.below if counter in arc.up])


@frozen(eq=False)
class Arc:
    """A move as the proofs see it: numbers of states, what it counts, must find below a limit, and resets.

    `spends` is the least that the visit it ends has added to a count of tokens.
    """

    source: int
    target: int
    move: Move
    up: frozenset[Counter]
    below: Mapping[Counter, int]
    reset: frozenset[Counter]
    spends: int = 0
    bounded: tuple[Counter, ...] = field(init=False, default=attrs.Factory(_bounded, takes_self=True))
    """What it counts and must find below a limit: such a move cannot be taken for ever."""


def arcs_of(moves: Moves) -> list[Arc]:
    """The moves that can be reached when caps are left aside, as arcs between numbered states; START is 0."""
    spec = moves.spec
    number = {START: 0, **{state.name: at for at, state in enumerate(spec.states, 1)}}
    tokens = frozenset(counter for counter in moves.counters if counter.of == "tokens")
    spends = {START: 0, **{state.name: least(state, "tokens") for state in spec.states}}
    known: dict[int, tuple[frozenset[Counter], Mapping[Counter, int], frozenset[Counter]]] = {}
    arcs = []
    for move in moves.all:
        if not move.moved:
            continue
        course = move.course
        if id(course) not in known:
            known[id(course)] = frozenset(course.up), _limits(course.asked), frozenset(course.reset)
        up, limits, reset = known[id(course)]
        if move.before:
            limits = _limits(move.asked)
        spent = 0 if move.retries else spends[move.source]  # what it must spend, a visit may spend at its end
        counted = up | tokens if spent and tokens else up
        arcs.append(Arc(number[move.source], number[move.target], move, counted, limits, reset, spent))
    seen = reachable(neighbours(arcs), [0])
    return [arc for arc in arcs if arc.source in seen]


def _limits(all_asked: Iterable[Asked]) -> Mapping[Counter, int]:
    found: dict[Counter, int] = {}
    for asked in (one for one in all_asked if one.below):
        counter, limit = asked.guard.counter, asked.guard.limit
        assert counter is not None and limit is not None
        found[counter] = max(0, min(limit, found.get(counter, limit)))
    return found


def neighbours(arcs: Iterable[Arc]) -> dict[int, list[tuple[int, Arc]]]:
    found: dict[int, list[tuple[int, Arc]]] = {}
    for arc in arcs:
        found.setdefault(arc.source, []).append((arc.target, arc))
    return found


def inner(arcs: Sequence[Arc]) -> list[list[Arc]]:
    """The arcs inside each strongly connected component that has any."""
    of: dict[int, int] = {}
    for at, nodes in enumerate(components(neighbours(arcs))):
        of.update(dict.fromkeys(nodes, at))
    found: dict[int, list[Arc]] = {}
    for arc in arcs:
        if of[arc.source] == of[arc.target]:
            found.setdefault(of[arc.source], []).append(arc)
    return list(found.values())


def resets(arcs: Iterable[Arc]) -> set[Counter]:
    found: set[Counter] = set()
    for arc in arcs:
        if arc.reset:
            found |= arc.reset
    return found


def endless(arcs: Sequence[Arc]) -> tuple[Move, ...] | None:
    """Moves of a component that no cap keeps from being taken for ever; None if there are none: every run ends."""
    work, branches = [arcs], 0
    while work:
        for component in inner(work.pop()):
            reset = resets(component)
            left = [arc for arc in component if all(counter in reset for counter in arc.bounded)]
            if len(left) < len(component):
                work.append(left)
                continue
            counter = torn(component, reset)
            branches += 1
            if counter is None or branches > BRANCHES_MAX:
                return tuple(arc.move for arc in component)
            work.append([arc for arc in component if counter not in arc.below])
            work.append([arc for arc in component if counter not in arc.up])
    return None


def torn(component: Sequence[Arc], reset: set[Counter]) -> Counter | None:
    """A counter that some moves count and others need below its limit: for ever, only one kind can go on."""
    counted: set[Counter] = set()
    for arc in component:
        counted |= arc.up
    return next((c for arc in component for c in arc.below if c in counted and c not in reset), None)
