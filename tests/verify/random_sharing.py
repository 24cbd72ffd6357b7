"""Guards that share rows with other runs, put on random machines; and rows that a chooser fills."""

import random
from collections.abc import Iterable
from typing import Any

from attrs import define, evolve, field

from fsm import MachineSpec
from fsm.core.breaking import BreakerRow
from fsm.core.budget import BudgetRow
from fsm.core.rate import RateRow
from fsm.core.shares import Row, budgeting, rating, share_of
from fsm.define.guard import Guard, Placed, Share, numbered
from fsm.define.parts import EverywhereSpec, StateSpec
from guards import Breaker, Bulkhead, CostBudget, RateLimit, TokenBudget

CODES = ("open", "half_open", "token_budget", "budget_warned", "unreadable", "defer_exhausted", "guard_error")
FAR = 1 << 40
APART = 100
"""How far the limits of these budgets lie apart: further than what any visit spends or asks."""


def guard(chance: random.Random) -> Guard:
    """Few names, so that several guards ask one row, with other parameters."""
    limit = APART * chance.randint(2, 4)
    budget: dict[str, Any] = {
        "scope": chance.choice(["machine", "label:tenant", "pool:x"]),
        "window_s": chance.choice([None, None, 60]),
        "warn_at": chance.choice([None, limit - APART]),
    }
    return chance.choice(
        [
            Breaker(chance.choice(["tool", "model"]), failures_max=chance.randint(1, 2)),
            TokenBudget(limit, **budget),
            TokenBudget(limit, **budget),
            CostBudget(limit, **budget),
            RateLimit("tool", chance.randint(1, 3)),
            Bulkhead("tool", chance.randint(1, 3)),
        ]
    )


def sharing(spec: MachineSpec, seed: int) -> MachineSpec:
    """The machine with some such guards on its states and on all of it."""
    chance = random.Random(f"sharing {seed}")
    names = [state.name for state in spec.states]
    states = [_state(chance, state, names[at + 1 :]) for at, state in enumerate(spec.states)]
    everywhere = list(spec.everywhere)
    if chance.random() < 0.3 or states == list(spec.states):
        placed = [guard(chance).place("run", "pool") for _ in range(chance.choice([1, 1, 1, 2]))]
        ways = _ways(chance, names)
        everywhere.insert(
            chance.randint(0, len(everywhere)), EverywhereSpec(name="pool", guards=numbered(placed), otherwise=ways)
        )
    return evolve(spec, states=tuple(states), everywhere=tuple(everywhere))


def _state(chance: random.Random, state: StateSpec, later: list[str]) -> StateSpec:
    if chance.random() < 0.8:
        return state
    guards = list(state.guards)
    guards.insert(chance.randint(0, len(guards)), guard(chance).place("state", state.name))
    codes = {code: chance.choice(later) for code in chance.sample(CODES, chance.choice([0, 1, 2])) if later}
    otherwise = {**codes, **state.otherwise} if state.otherwise else _ways(chance, later)
    return evolve(state, guards=numbered(guards), otherwise=otherwise)


def _ways(chance: random.Random, targets: list[str]) -> dict[str, str]:
    if not targets or chance.random() < 0.3:
        return {}
    codes = ["*", *chance.sample(CODES, chance.choice([0, 1, 2]))]
    return {code: chance.choice(targets) for code in codes}


def rows_of(guards: Iterable[Placed]) -> dict[Share, list[Row]]:
    """All that can make a difference to these guards, of each row they share."""
    found: dict[Share, list[Row]] = {}
    for placed in guards:
        if placed.shares is not None and placed.shares.kind == "breaker":
            found[placed.shares] = [
                BreakerRow(),
                BreakerRow(generation=7, state="open", retry_at_ms=1),
                *(
                    BreakerRow(generation=7, state=state, retry_at_ms=FAR, until_ms=FAR)
                    for state in ("open", "half_open", "forced_open", "unreadable")
                ),
            ]
        elif placed.shares is not None and placed.shares.kind == "rate":
            rows = found.setdefault(placed.shares, [RateRow(), RateRow(readable=False)])
            rows += [RateRow(taken=((start, rating(placed).limit),)) for start in (0, FAR)]
        elif placed.shares is not None:
            limits = budgeting(placed)
            whole = limits.limit + APART
            rows = found.setdefault(placed.shares, [_budget(0, 0), BudgetRow(readable=False)])
            rows += [_budget(limits.limit, 0), _budget(0, whole)]
            rows += [_budget(limits.warn_at, 0), _budget(limits.warn_at, whole)] if limits.warn_at is not None else []
    return {share: [row for at, row in enumerate(rows) if row not in rows[:at]] for share, rows in found.items()}


def _budget(spent: int, reserved: int) -> BudgetRow:
    """Raised, so that what the run itself spends is little beside it."""
    return BudgetRow(spent=spent and spent + APART, reserved=reserved, raised=APART, window=FAR)


@define
class Chosen:
    """`fsm.core.sharing.Shared` with rows that hold whatever other runs and people may have made of them."""

    choose: Any
    options: dict[Share, list[Row]]
    rows: dict[Share, Row] = field(factory=dict)
    past: bool = False

    def row(self, guard: Placed, turn: int = 0) -> Row:
        share = share_of(guard)
        if share not in self.rows:
            options = self.options[share]
            self.rows[share] = options[self.choose(len(options))]
        return self.rows[share]

    def put(self, guard: Placed, row: Row) -> None:
        self.rows[share_of(guard)] = row

    def lease_ms(self, guard: Placed, time_ms: int, turn: int = 0) -> int:
        return max(1, time_ms)

    def asked(self, guard: Placed, most: int | None, turn: int = 0) -> int | None:
        return most

    def waiting(self, guard: Placed, turn: int = 0) -> int:
        return 0
