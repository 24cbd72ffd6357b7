"""What a hop and a visit can cost at most, from what the machine declares.

`tokens_max` and `usd_micros_max` are enforced over all attempts of a visit; by how much its last report may
overstep them is not known and not counted: each figure says so. `timeout_s` is of one attempt, and a visit may be
taken up again `resumes_max` times after its process died, so its seconds count that many times over, plus once. A
deferred event waits `defer_s_max` seconds more, where a guard on its way is of kind `env`: no other may defer. Time
in which no runner drives the run, and what an explicit resume begins again, is not counted.
"""

from collections.abc import Mapping
from typing import Final, Literal

from attrs import frozen

from fsm.define.parts import START, StateSpec
from fsm.define.spec import MachineSpec
from fsm.verify.moves import Move, Moves, is_cap

Cost = Literal["hops", "tokens", "usd_micros", "approvals", "ms"]
COSTS: Final[tuple[Cost, ...]] = ("hops", "tokens", "usd_micros", "approvals", "ms")
SPENDING: Final[Mapping[str, int]] = {"tokens": 1, "usd_micros": 2}
"""What counters of spending count, and its place in COSTS."""
DECLARED: Final[Mapping[Cost, str]] = {"tokens": "tokens_max", "usd_micros": "usd_micros_max", "ms": "timeout_s"}


def least(state: StateSpec, kind: str) -> int:
    """What every visit is known to spend: tokens have a declared minimum, dollars have none."""
    return state.tokens_min if kind == "tokens" and state.kind == "agent" else 0


def most(state: StateSpec, kind: str) -> int | None:
    """What a visit may spend at most; None for no bound."""
    if state.kind != "agent":
        return 0
    return state.tokens_max if kind == "tokens" else state.usd_micros_max


@frozen
class Costs:
    """Per visit of a state what it costs at most, None where nothing bounds it; and per move what it adds."""

    visit: Mapping[str, tuple[int | None, ...]]

    def of(self, move: Move, kind: int) -> int:
        """Hop, approval, and the visit it begins; a visit without a bound counts as nothing here."""
        match COSTS[kind]:
            case "hops":
                return int(move.moved and move.source != START)
            case "approvals":
                return int(move.moved and self.visit[move.source][3] == 1 and move.of_user)
            case _:
                return (self.visit[move.target][kind] or 0) if move.moved else 0

    def unbounded(self, state: str, kind: int) -> bool:
        return self.visit[state][kind] is None


def costs_of(moves: Moves) -> Costs:
    """The costs of a machine's visits."""
    spec = moves.spec
    deferring = {move.source for move in moves.all if _may_defer(move)}
    visits = {state.name: _visit(spec, state, state.name in deferring) for state in spec.states}
    visits[START] = (0, 0, 0, 0, spec.bounds.defer_s_max * 1000 if START in deferring else 0)
    return Costs(visits)


def _may_defer(move: Move) -> bool:
    return any(
        asked.guard.kind == "env" and asked.guard.codes and not is_cap(asked.guard) for asked in move.course.asked
    )


def _visit(spec: MachineSpec, state: StateSpec, deferring: bool) -> tuple[int | None, ...]:
    """As in COSTS; at `approvals` whether the user's events taken here are a person's."""
    if state.kind == "final":
        return (0, 0, 0, 0, 0)
    attempts = spec.bounds.resumes_max + 1 if state.kind == "agent" else 1
    later = spec.bounds.defer_s_max * 1000 if deferring else 0
    return (
        0,
        most(state, "tokens"),
        most(state, "usd_micros"),
        int(state.kind == "waiting"),
        None if state.timeout_ms is None else state.timeout_ms * attempts + later,
    )
