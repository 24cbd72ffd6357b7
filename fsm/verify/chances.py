"""What may become of a counter between two decisions, though no hop counts it: spending, failures in a row, time.

A visit spends its declared minimum, or so much that the counter reaches some limit; whatever else it spends lies
between two limits, and no guard can tell. Time only grows. Failures in a row are any number after an attempt, and
stay as they are while a run waits.
"""

from collections.abc import Iterator, Mapping

from attrs import frozen

from fsm.define.guard import Counter
from fsm.define.parts import START, StateSpec
from fsm.verify.costs import SPENDING, least, most
from fsm.verify.moves import Moves
from fsm.verify.shares import may_defer

Fields = Mapping[Counter, tuple[int, int, int]]
"""Where a situation holds each counter: offset, mask, highest limit."""
Limits = Mapping[Counter, set[int]]


@frozen(eq=False)
class Chance:
    """What may be added to one counter: `least`, or up to one of the limits above; with `falls`, any of them or none.

    `paid` is where a visit counts its retries: after the first, what it must spend has been added.
    """

    offset: int
    mask: int
    limits: tuple[int, ...]
    least: int = 0
    more: bool = True
    falls: bool = False
    paid: tuple[int, int] | None = None

    def after(self, situation: int) -> Iterator[int]:
        """The situations that it makes of one."""
        before = situation >> self.offset & self.mask
        rest = situation & ~(self.mask << self.offset)
        due = self.least
        if self.paid is not None and situation >> self.paid[0] & self.paid[1]:
            due = 0
        surely = 0 if self.falls else min(before + due, self.limits[-1])
        yield rest | surely << self.offset
        if self.more:
            yield from (rest | limit << self.offset for limit in self.limits if limit > surely)


def chances_of(
    moves: Moves, name: str, limits: Limits, fields: Fields, frugal: bool, late: bool = False
) -> tuple[Chance, ...]:
    """What may happen before a decision in the state; `frugal`: no visit spends more than it must.

    `late`: the last report of a visit may be recorded in any later one, whatever that one may spend.
    """
    state = moves.spec.state.get(name)
    found = []
    for counter, known in limits.items():
        offset, mask, _ = fields[counter]
        steps = tuple(sorted(known))
        if counter.of == "elapsed_ms":
            if name != START or any(may_defer(moves.spec, move) for move in moves.by_source[START]):
                found.append(Chance(offset, mask, steps))
        elif late and state is not None and counter.of in SPENDING:
            more = any(most(other, counter.of) != 0 for other in moves.spec.states)
            found.append(Chance(offset, mask, steps, least(state, counter.of), more, paid=_paid(state, fields)))
        elif state is None or state.kind != "agent":
            continue
        elif counter.of == "strikes":
            found.append(Chance(offset, mask, steps, falls=True))
        elif counter.of in SPENDING:
            more = not frugal and most(state, counter.of) != 0
            found.append(Chance(offset, mask, steps, least(state, counter.of), more, paid=_paid(state, fields)))
    return tuple(found)


def retries_of(state: StateSpec) -> Counter | None:
    """What counts the retries of one visit of this state; None if it has none."""
    return state.retry.guard.counter if state.retry is not None else None


def _paid(state: StateSpec, fields: Fields) -> tuple[int, int] | None:
    counter = retries_of(state)
    if counter is None or counter not in fields:
        return None
    offset, mask, _ = fields[counter]
    return offset, mask
