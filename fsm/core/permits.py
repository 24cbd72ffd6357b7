"""Shared guards beside the decisions: a call asks before it is made, and tells what came of it."""

from collections.abc import Iterable, Mapping

from attrs import frozen

from fsm.core import breaker
from fsm.core.breaking import BreakerRow
from fsm.core.plan import Asked, Told, permitted
from fsm.core.shares import Shared, breaking, share_of
from fsm.core.snapshot import Snapshot
from fsm.define.guard import Placed, Share
from fsm.define.spec import MachineSpec
from fsm.errors import FsmError


@frozen(kw_only=True)
class NotPermitted(FsmError):
    """A shared guard refuses a call; nothing was written."""

    name: str
    code: str
    numbers: Mapping[str, int]

    def message(self) -> str:
        return f"call {self.name!r} refused: {self.code}"


def asked_of(spec: MachineSpec, snapshot: Snapshot, name: str) -> tuple[Asked, ...]:
    """Whom to ask before a call: guards of its state and machine that share what it is named after.

    With each the generation in which it permitted the visit, if it was asked on entering.
    """
    named = Share("breaker", name)
    found = [guard for guard in (*spec.state[snapshot.state].guards, *spec.machine_wide) if guard.shares == named]
    return tuple((guard, permitted(snapshot, guard)) for guard in found[:1])


def permit(shared: Shared, asked: Iterable[Asked], at_ms: int, time_ms: int) -> tuple[int, ...]:
    """The generations in which a call is permitted; raises `NotPermitted`, then no row has changed.

    A visit that was permitted itself, and still is, needs no other permit: it may be the probe.
    """
    taken: list[tuple[Placed, BreakerRow]] = []
    generations = []
    for guard, generation in asked:
        row = shared.row(guard)
        now = breaker.seen(row, breaking(guard), at_ms)
        if now.generation == generation and now.state in ("closed", "half_open"):
            generations.append(generation)
            continue
        verdict, after = breaker.ask(row, breaking(guard), at_ms, shared.lease_ms(guard, time_ms))
        if verdict.decision == "refuse":
            raise NotPermitted(name=share_of(guard).name, code=verdict.code, numbers=verdict.numbers)
        generations.append(breaker.generation_of(verdict))
        taken.append((guard, after))
    for guard, row in taken:
        shared.put(guard, row)
    return tuple(generations)


def tell(shared: Shared, told: Iterable[Told], at_ms: int) -> None:
    """What came of what guards had permitted."""
    for guard, generation, outcome in told:
        shared.put(guard, breaker.heard(shared.row(guard), breaking(guard), outcome, generation, at_ms))
