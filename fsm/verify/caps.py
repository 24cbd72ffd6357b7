"""What the situations of a machine say of its lines and caps: never taken, never refusing, always refusing."""

from collections import deque
from collections.abc import Iterator

from fsm.define.guard import Placed
from fsm.define.parts import START, Part
from fsm.verify.costs import COSTS, SPENDING
from fsm.verify.figures import Known, amount
from fsm.verify.finding import Finding, about, named
from fsm.verify.product import Explored, gets_on

CAPS_MAX = 16  # so many are asked whether a run completes without their refusal


def caps(known: Known) -> Iterator[Finding]:
    """All that can be said; where not every situation could be looked at, only where runs may come to a dead end."""
    explored = known.explored
    if not explored.complete:
        yield from _narrow(known)
        return
    yield from _never_taken(known)
    yield from _dead_ends(known)
    refusing = {id(asked.guard) for move in explored.made for asked in move.asked if asked.reached}
    going_round = {id(asked.guard) for leg in known.worst.loop for asked in leg.move.asked}  # said with the loop
    for cap in known.moves.caps:
        if id(cap) not in refusing and not (id(cap) in going_round and cap.counter and cap.counter.since):
            yield _idle(known, cap)
    for cap in [cap for cap in known.moves.caps if id(cap) in refusing][:CAPS_MAX]:
        if _always(explored, cap):
            what = f"every run that completes must be refused by {named(cap)} first"
            yield about(_part(known, cap), "warning", "always-trips", what, "raise its limit")


def _never_taken(known: Known) -> Iterator[Finding]:
    """Lines that could be taken, were it not for counters."""
    possible = {move.course.line for move in known.moves.all if move.source in known.explored.states}
    taken = known.explored.taken
    near = {arc.move.target for arc in known.arcs}
    for state in known.moves.spec.states:
        if state.name in near and state.name not in known.explored.states:
            what = "no run comes here: the counts on the way never allow it"
            yield about(state, "warning", "unreachable", what, "look at the caps on the way")
    for line in known.moves.spec.transitions:
        if line.name in possible and line.name not in taken:
            what = "never taken: where it is the candidate, a cap always refuses it"
            yield about(line, "warning", "never-taken", what, "raise the limits on it, or drop the line")


def _dead_ends(known: Known) -> Iterator[Finding]:
    situations = known.explored.situations
    spending = any(counter.of in SPENDING for counter in situations.counters)
    can = "may" if spending else "can"  # what its visits would have to spend was not held against their limits
    told: dict[str, int] = {}
    for situation in known.explored.dead_ends:
        told.setdefault(situations.state(situation), situation)
    for state, situation in told.items():
        if state != START and not _can_get_on(known, state):
            continue
        counts = ", ".join(f"{key} {count}" for key, count in situations.counts(situation).items())
        what = f"a run {can} come to `{state}` with every way out refused" + (f" ({counts})" if counts else "")
        instead = "give the caps on the lines that leave it an otherwise="
        yield about(known.moves.spec.parts.get(state), "warning", "dead-end", what, instead)


def _narrow(known: Known) -> Iterator[Finding]:
    """States each of whose lines a cap may refuse without saying where that leads."""
    spec = known.moves.spec
    for state in known.states:
        moves = [move for move in known.moves.by_source[state] if gets_on(move, spec)]
        lines = {move.course.line for move in moves if move.moved}
        stopping = {m.course.line for m in moves if not m.moved and any(asked.reached for asked in m.asked)}
        if lines and lines <= stopping:
            what = f"a run may come to `{state}` with every way out refused: a cap stands on each, without otherwise"
            instead = "give one of them an otherwise=, or leave one line without a cap"
            yield about(known.moves.spec.parts.get(state), "warning", "dead-end", what, instead)


def _can_get_on(known: Known, state: str) -> bool:
    """Whether counters are to blame: a state that nothing ever leaves is told by its shape."""
    return any(move.moved and not move.fault and move.of_user for move in known.moves.by_source[state])


def _idle(known: Known, cap: Placed) -> Finding:
    assert cap.counter is not None and cap.limit is not None
    part = _part(known, cap)
    if cap.counter.of not in SPENDING:
        what = f"{named(cap)} never decides: no run counts that far, or another guard refuses before it"
        return about(part, "note", "idle-cap", what, "keep it as a safety net, or lower its limit")
    kind = SPENDING[cap.counter.of]
    most = known.worst.most[kind] if known.worst.most else cap.limit
    told = most < cap.limit
    spends = f"no run spends more than {amount(COSTS[kind], most)}" if told else "no run comes to where it refuses"
    what = f"{named(cap)} never refuses: {spends}"
    return about(part, "warning", "dead-budget", what, "lower its limit, or drop it")


def _part(known: Known, cap: Placed) -> Part:
    """What a cap stands on; that of a retry on its state."""
    spec = known.moves.spec
    return spec.parts[cap.at] if cap.at in spec.parts else spec.parts[spec.hops[cap.at].owner]


def _always(explored: Explored, cap: Placed) -> bool:
    """Whether a completed run exists, and none of them goes without this refusal."""
    spec = explored.situations.moves.spec
    goals = {state.name for state in spec.states if state.final == "completed"} & explored.states
    return bool(goals) and not _arrives(explored, goals, cap)


def _arrives(explored: Explored, goals: set[str], cap: Placed) -> bool:
    """Whether a run gets to a goal with no refusal by the cap on its way."""
    situations = explored.situations
    blocked = {id(move) for move in explored.made if any(a.reached and a.guard is cap for a in move.asked)}
    seen, work = {explored.start}, deque([explored.start])
    while work:
        for move, after, _ in situations.enabled(work.popleft()):
            if move.moved and id(move) not in blocked and after not in seen:
                if situations.state(after) in goals:
                    return True
                seen.add(after)
                work.append(after)
    return False
