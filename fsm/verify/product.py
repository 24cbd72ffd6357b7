"""Every situation a run can be in, one by one: state and counters together, up to a limit.

A *situation* is a state and the counters that caps look at, each no further than the highest limit it is held
against; what lies beyond makes no difference. It is one whole number: the state in the low bits, above
it a field for each counter.

Spending is the one thing no situation knows exactly. A visit spends its declared minimum, or so much that the
counter reaches some limit; whatever else it spends lies between two limits, and no guard can tell. So a
budget may seem to trip earlier than `tokens_max` lets it: what is found is an upper bound, and exact where the
run that shows it spends no more than it may.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from attrs import frozen

from fsm.define.guard import Counter
from fsm.define.parts import START
from fsm.define.spec import MachineSpec
from fsm.verify.costs import SPENDING, least, most
from fsm.verify.moves import Move, Moves

SITUATIONS_MAX = 200_000
BITS_FREE = 256  # situations of very many counters are large, so fewer are looked at

Test = tuple[int, int, int, bool]  # offset, mask, limit, whether the count must be below it


@frozen(eq=False)
class _Way:
    """A move as arithmetic on a situation."""

    move: Move
    tests: tuple[Test, ...]
    up: tuple[tuple[int, int, int], ...]  # offset, mask, highest limit
    kept: int
    target: int


@frozen(eq=False)
class Spending:
    """What a visit may add to one counter: `least`, or up to one of the limits above."""

    offset: int
    mask: int
    limits: tuple[int, ...]
    least: int
    more: bool


@frozen(eq=False)
class Situations:
    """A machine's situations as numbers, and how its moves change them."""

    moves: Moves
    counters: tuple[Counter, ...]
    field_of: Mapping[Counter, tuple[int, int, int]]  # offset, mask, highest limit
    names: tuple[str, ...]
    state_mask: int
    ways: tuple[tuple[_Way, ...], ...]
    spending: tuple[tuple[Spending, ...], ...]
    alone: bool  # whether no two counters of one kind of spending would have to agree

    @property
    def bits(self) -> int:
        """The length of a situation."""
        return max((offset + mask.bit_length() for offset, mask, _ in self.field_of.values()), default=0)

    def state(self, situation: int) -> str:
        return self.names[situation & self.state_mask]

    def counts(self, situation: int) -> dict[str, int]:
        """The counters there, those that are not zero."""
        found = {c.key: situation >> offset & mask for c, (offset, mask, _) in self.field_of.items()}
        return {key: count for key, count in found.items() if count}

    def spent(self, situation: int) -> list[int]:
        """The same situation once the visit has spent what it may."""
        found = [situation]
        for spending in self.spending[situation & self.state_mask]:
            found = [after for before in found for after in _spent(spending, before)]
        return found

    def enabled(self, situation: int) -> Iterator[tuple[Move, int, int]]:
        """Every move that can be made there, with the situation after it, and the one in which it was decided."""
        for spent in self.spent(situation):
            for way in self.ways[situation & self.state_mask]:
                for offset, mask, limit, below in way.tests:
                    if ((spent >> offset & mask) < limit) is not below:
                        break
                else:
                    after = spent & way.kept | way.target
                    for offset, mask, highest in way.up:
                        if (after >> offset & mask) < highest:
                            after += 1 << offset
                    yield way.move, after if way.move.moved else spent, spent


def _spent(spending: Spending, situation: int) -> Iterator[int]:
    offset, mask = spending.offset, spending.mask
    before = situation >> offset & mask
    highest = spending.limits[-1]
    surely = min(before + spending.least, highest)
    rest = situation & ~(mask << offset)
    yield rest | surely << offset
    if spending.more:
        yield from (rest | limit << offset for limit in spending.limits if limit > surely)


def situations_of(moves: Moves, dead: frozenset[Counter] = frozenset()) -> Situations:
    """The machine's situations; `dead` counters are known never to reach a limit, and left out."""
    limits: dict[Counter, set[int]] = {}
    for cap in moves.caps:
        assert cap.counter is not None and cap.limit is not None
        if cap.counter not in dead:
            limits.setdefault(cap.counter, set()).add(max(cap.limit, 0))
    names = (START, *(state.name for state in moves.spec.states))
    state_bits = len(names).bit_length()
    fields: dict[Counter, tuple[int, int, int]] = {}
    offset = state_bits
    for counter, known in limits.items():
        bits = max(known).bit_length()
        fields[counter] = (offset, (1 << bits) - 1, max(known))
        offset += bits
    number = {name: at for at, name in enumerate(names)}
    kept = (1 << offset) - (1 << state_bits)
    ways = {name: [_way(move, fields, number, kept) for move in moves.by_source[name]] for name in names}
    return Situations(
        moves=moves,
        counters=tuple(limits),
        field_of=fields,
        names=names,
        state_mask=(1 << state_bits) - 1,
        ways=tuple(tuple(sorted(filter(None, ways[name]), key=lambda way: bool(way.move.fault))) for name in names),
        spending=((), *(_spendings(moves, name, limits, fields) for name in names[1:])),
        alone=_alone(limits),
    )


def _way(
    move: Move, fields: Mapping[Counter, tuple[int, int, int]], number: Mapping[str, int], kept: int
) -> _Way | None:
    """The move on these fields; None where it needs a limit reached that never is."""
    tests: list[Test] = []
    for asked in move.course.asked:
        counter, limit = asked.guard.counter, asked.guard.limit
        if not (asked.below or asked.reached):
            continue
        assert counter is not None and limit is not None
        if counter in fields:
            offset, mask, _ = fields[counter]
            tests.append((offset, mask, limit, asked.below))
        elif asked.reached:
            return None
    for counter in move.course.reset:
        if counter in fields:
            offset, mask, _ = fields[counter]
            kept &= ~(mask << offset)
    up = tuple(fields[counter] for counter in move.course.up if counter in fields)
    return _Way(move, tuple(dict.fromkeys(tests)), up, kept, number[move.target])


def _spendings(
    moves: Moves, name: str, limits: Mapping[Counter, set[int]], fields: Mapping[Counter, tuple[int, int, int]]
) -> tuple[Spending, ...]:
    state = moves.spec.state[name]
    if state.kind != "agent":
        return ()
    found = []
    for counter, known in limits.items():
        if counter.of in SPENDING:
            offset, mask, _ = fields[counter]
            more = most(state, counter.of) != 0
            found.append(Spending(offset, mask, tuple(sorted(known)), least(state, counter.of), more))
    return tuple(found)


def _alone(counters: Iterable[Counter]) -> bool:
    spending = [counter.of for counter in counters if counter.of in SPENDING]
    return len(set(spending)) == len(spending)


@frozen(eq=False)
class Explored:
    """All situations a run can come to, and what leads from each to the next; `complete` unless there were too many.

    `made` are all moves that can be made in one of them.
    Of several moves between two situations one stands for all with the same cost; one that only failing
    code takes stands only where no other does.
    """

    situations: Situations
    start: int
    arcs: Mapping[int, list[tuple[int, Move]]]
    made: frozenset[Move]
    dead_ends: tuple[int, ...]
    complete: bool

    @property
    def taken(self) -> frozenset[str]:
        """The hops that some run takes."""
        return frozenset(move.hop for move in self.made if move.moved)

    @property
    def states(self) -> frozenset[str]:
        """The states that some run comes to."""
        return frozenset(map(self.situations.state, self.arcs)) - {START}


def explore(situations: Situations, limit: int = SITUATIONS_MAX) -> Explored:
    """Breadth first from the start."""
    start = 0
    limit //= 1 + situations.bits // BITS_FREE
    arcs: dict[int, list[tuple[int, Move]]] = {}
    made: set[Move] = set()
    dead_ends: list[int] = []
    seen = {start}
    work = deque([start])
    complete = True
    final = {state.name for state in situations.moves.spec.states if state.kind == "final"}
    while work:
        here = work.popleft()
        state = situations.state(here)
        onward: dict[tuple[int, bool], Move] = {}
        alive = state in final
        for move, after, _ in situations.enabled(here):
            made.add(move)
            if move.moved:
                alive = alive or gets_on(move, situations.moves.spec)
                onward.setdefault((after, move.of_user), move)
        if not alive:
            dead_ends.append(here)
        arcs[here] = [(after, move) for (after, _), move in onward.items()]
        for after, _ in onward:
            if after not in seen:
                if len(seen) >= limit:
                    complete = False
                    continue
                seen.add(after)
                work.append(after)
    return Explored(situations, start, arcs, frozenset(made), tuple(dead_ends), complete)


def gets_on(move: Move, spec: MachineSpec) -> bool:
    """Whether it is a way to get on: failing and being cancelled is always possible, and none."""
    if move.fault or move.event == "Cancelled":
        return False
    return move.source == START or move.of_user or spec.state[move.source].kind == "waiting"
