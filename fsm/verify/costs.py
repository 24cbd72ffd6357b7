"""What a hop and a visit can cost at most, from what the machine declares.

`tokens_max` and `usd_micros_max` are enforced over all attempts of a visit; by how much its last report may
overstep them is not known and not counted: each figure says so. `timeout_s` is of one attempt, and a visit may be
taken up again `resumes_max` times after its process died, so its seconds count that many times over, plus once; a
retry is one attempt more, and its longest pause. A deferred event waits `defer_s_max` seconds more, where a guard on
its way is of kind `env`: no other may defer. Time
in which no runner drives the run or has a free slot for it is not counted, nor what is begun again by an explicit
resume or because a runner was stopped in good order, which may be as often as somebody likes.
"""

from collections.abc import Mapping
from typing import Final, Literal

from attrs import frozen

from fsm.define.parts import START, StateSpec
from fsm.define.spec import MachineSpec
from fsm.verify.move import Move
from fsm.verify.moves import Moves
from fsm.verify.shares import may_defer

Cost = Literal["hops", "tokens", "usd_micros", "approvals", "ms"]
COSTS: Final[tuple[Cost, ...]] = ("hops", "tokens", "usd_micros", "approvals", "ms")
Vector = tuple[int, ...]
"""An amount of each."""
ZERO: Final[Vector] = (0,) * len(COSTS)
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
    retry_ms: Mapping[str, int]

    def of(self, move: Move) -> Vector:
        """Hop, approval, and the visit it begins; a visit without a bound counts as nothing here.

        No move begins the start itself, so what a run may be put off there counts with the move that leaves it.
        """
        if not move.moved:
            return ZERO
        if move.retries:
            return (1, 0, 0, 0, self.retry_ms[move.source])
        _, tokens, usd_micros, _, ms = self.visit[move.target]
        start = move.source == START
        put_off = (self.visit[START][4] or 0) if start else 0
        approval = int(self.visit[move.source][3] == 1 and move.of_user)
        return (int(not start), tokens or 0, usd_micros or 0, approval, (ms or 0) + put_off)

    def unbounded(self, state: str, kind: int) -> bool:
        return self.visit[state][kind] is None


def costs_of(moves: Moves) -> Costs:
    """The costs of a machine's visits."""
    spec = moves.spec
    deferring = {move.source for move in moves.all if not move.retries and may_defer(spec, move)}
    pausing = {move.source for move in moves.all if move.retries and may_defer(spec, move)}
    visits = {state.name: _visit(spec, state, state.name in deferring) for state in spec.states}
    visits[START] = (0, 0, 0, 0, spec.bounds.defer_s_max * 1000 if START in deferring else 0)
    put_off = spec.bounds.defer_s_max * 1000
    retries = {
        state.name: (state.timeout_ms or 0) + state.retry.cap_ms + (put_off if state.name in pausing else 0)
        for state in spec.states
        if state.retry is not None
    }
    return Costs(visits, retries)


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
