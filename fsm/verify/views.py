"""What arrives at a state, and what its agent says it takes.

A type checker sees the lines of a state. It does not see what the `otherwise` of a whole machine or of a state brings,
nor what reaches an agent bound by `with_agents`; and not every machine is type-checked. Nothing is said of an agent
whose annotation cannot be resolved, nor of a machine loaded from JSON.
"""

from collections import deque
from collections.abc import Iterator

from pydantic import BaseModel

from fsm.define.agent import is_model, viewed
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.parts import START, StateSpec
from fsm.define.spec import MachineSpec
from fsm.verify.finding import Finding, listed
from fsm.verify.graph import reachable
from fsm.verify.move import Move
from fsm.verify.moves import Moves

Arriving = dict[str, list[str]]
"""Event names, and the hops that bring them."""


def unviewed(moves: Moves) -> Iterator[Finding]:
    """Agents at which payloads arrive that their `View[...]` does not hold."""
    spec = moves.spec
    found = arriving(moves)
    for state in spec.states:
        taken = viewed(state.agent) if state.agent is not None else ()
        classes = [part for part in taken if is_model(part)]
        if not taken or len(classes) < len(taken):  # Any, or a name that stands for something else
            continue
        wrong = {event: hops for event, hops in found.get(state.name, {}).items() if not _is_of(spec, event, classes)}
        if wrong:
            yield _finding(state, [cls.__name__ for cls in classes], wrong)


def arriving(moves: Moves) -> dict[str, dict[str, list[str]]]:
    """By state and event the hops that bring it there; not those that only failing code takes.

    A hop that carries brings what has arrived where it leaves.
    """
    forth: dict[str, list[tuple[str, None]]] = {}
    for move in moves.all:
        if move.moved:
            forth.setdefault(move.source, []).append((move.target, None))
    reached = reachable(forth, [START])
    found: dict[str, dict[str, list[str]]] = {}
    carrying: dict[str, list[Move]] = {}
    work: deque[tuple[Move, str]] = deque()
    for move in moves.all:
        if move.moved and not move.retries and not move.fault and move.source in reached:
            if moves.spec.hops[move.hop].carries:
                carrying.setdefault(move.source, []).append(move)
            else:
                work.append((move, move.event))
    while work:
        move, event = work.popleft()
        hops = found.setdefault(move.target, {}).setdefault(event, [])
        if move.hop not in hops:
            hops.append(move.hop)
            work += [(onward, event) for onward in carrying.get(move.target, ())]
    return found


def _is_of(spec: MachineSpec, event: str, classes: list[type]) -> bool:
    cls: type[BaseModel] | None = spec.classes.get(event) or RUNTIME_EVENTS.get(event)
    return cls is None or issubclass(cls, tuple(classes))


def _finding(state: StateSpec, classes: list[str], wrong: dict[str, list[str]]) -> Finding:
    brought = " and ".join(f"{event} by {listed(hops)}" for event, hops in wrong.items())
    return Finding(
        level="warning",
        code="not-viewed",
        attribute=state.name,
        what=f"its agent takes View[{' | '.join(classes)}], but here arrives {brought}",
        instead=f"write View[{' | '.join([*classes, *wrong])}], or lead {'them' if len(wrong) > 1 else 'it'} elsewhere",
        place=state.place,
    )
