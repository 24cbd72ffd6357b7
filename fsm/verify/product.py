"""Every situation a run can be in, one by one: state and counters together, up to a limit.

A *situation* is a state and the counters that caps look at, each no further than the highest limit it is held
against; what lies beyond makes no difference. It is one whole number: the state in the low bits, above
it a field for each counter.

What a visit spends, no situation knows exactly (`fsm.verify.chances`). So a budget may seem to trip earlier than
`tokens_max` lets it: what is found is an upper bound, and exact where the run that shows it spends no more than it may.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from attrs import frozen

from fsm.define.guard import Counter
from fsm.define.parts import START
from fsm.define.spec import MachineSpec
from fsm.verify.chances import Chance, chances_of
from fsm.verify.costs import SPENDING
from fsm.verify.move import Asked, Move, is_cap, of_world
from fsm.verify.moves import Moves

SITUATIONS_MAX = 200_000
ELAPSED = Counter("elapsed_ms")
COUNTED = ("fires", "visits", "hops")  # what only moves count; all else may change without one
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
class Situations:
    """A machine's situations as numbers, and how its moves change them."""

    moves: Moves
    counters: tuple[Counter, ...]
    field_of: Mapping[Counter, tuple[int, int, int]]  # offset, mask, highest limit
    names: tuple[str, ...]
    state_mask: int
    ways: tuple[tuple[_Way, ...], ...]
    chances: tuple[tuple[Chance, ...], ...]
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
        """The same situation once the visit has spent what it may, and the world done what it likes."""
        found = [situation]
        for chance in self.chances[situation & self.state_mask]:
            found = [after for before in found for after in chance.after(before)]
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


def situations_of(
    moves: Moves, dead: frozenset[Counter] = frozenset(), frugal: bool = False, late: bool = False
) -> Situations:
    """The machine's situations; `dead` counters are known never to reach a limit, and left out.

    `frugal`: only those of runs that spend no more than they must. `late`: visits may report late.
    """
    limits = _limits(moves, dead)
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
    struck = tuple(counter for counter in fields if counter.of == "strikes")
    way = partial(_way, spec=moves.spec, fields=fields, number=number, struck=struck, kept=kept)
    ways = {name: [way(move) for move in moves.by_source[name]] for name in names}
    by_chance = {counter: known for counter, known in limits.items() if counter.of not in COUNTED}
    return Situations(
        moves=moves,
        counters=tuple(limits),
        field_of=fields,
        names=names,
        state_mask=(1 << state_bits) - 1,
        ways=tuple(tuple(sorted(filter(None, ways[name]), key=lambda way: bool(way.move.fault))) for name in names),
        chances=tuple(chances_of(moves, name, by_chance, fields, frugal, late) for name in names),
        alone=frugal or _alone(limits),
    )


def _limits(moves: Moves, dead: frozenset[Counter]) -> dict[Counter, set[int]]:
    """The limits of every counter that a situation must hold: of failures in a row only where a wait looks at them."""
    waiting = (move for move in moves.all if move.source != START and moves.spec.state[move.source].kind == "waiting")
    kept = {asked.guard.counter for move in waiting for asked in move.asked if of_world(asked.guard)}
    found: dict[Counter, set[int]] = {}
    for guard in moves.spec.guards:
        counter, limit = guard.counter, guard.limit
        if counter is None or limit is None or counter in dead or (counter.of == "strikes" and counter not in kept):
            continue
        found.setdefault(counter, set()).add(max(limit, 0))
    return found


def _way(
    move: Move,
    spec: MachineSpec,
    fields: Mapping[Counter, tuple[int, int, int]],
    number: Mapping[str, int],
    struck: Iterable[Counter],
    kept: int,
) -> _Way | None:
    """The move on these fields; None where it needs what never is."""
    tests: list[Test] = []
    for asked in (*_of_retry(move, spec), *move.course.asked):
        counter, limit = asked.guard.counter, asked.guard.limit
        if counter is None or limit is None or asked.code is None:
            continue
        if counter in fields:
            offset, mask, _ = fields[counter]
            tests.append((offset, mask, limit, not asked.code))
        elif asked.code and (is_cap(asked.guard) or move.source == START):
            return None
    if not _is_possible(move, fields):
        return None
    anew = struck if move.moved and _works(spec, move.target) else ()
    for offset, mask, _ in (fields[counter] for counter in (*anew, *move.course.reset) if counter in fields):
        kept &= ~(mask << offset)
    up = tuple(fields[counter] for counter in move.course.up if counter in fields)
    return _Way(move, tuple(dict.fromkeys(tests)), up, kept, number[move.target])


def _works(spec: MachineSpec, state: str) -> bool:
    """Whether attempts are made there, so that failures in a row may be any number when it is left."""
    return state != START and spec.state[state].kind != "waiting"


def _of_retry(move: Move, spec: MachineSpec) -> tuple[Asked, ...]:
    """What was asked of a refused retry; it would have been made after a pause, so time may have refused only that."""
    if not move.before:
        return ()
    retry = spec.state[move.source].retry
    pauses = retry is not None and retry.cap_ms > 0
    timed = (asked for asked in move.before if not (pauses and asked.code and asked.guard.counter == ELAPSED))
    return tuple(timed)


def _is_possible(move: Move, fields: Mapping[Counter, tuple[int, int, int]]) -> bool:
    """Whether failures in a row that no situation holds can be as many as all that are asked say."""
    low: dict[Counter, int] = {}
    high: dict[Counter, int] = {}
    for asked in move.asked:
        counter, limit = asked.guard.counter, asked.guard.limit
        if counter is None or limit is None or counter in fields or not of_world(asked.guard):
            continue
        if asked.code:
            low[counter] = max(limit, low.get(counter, 0))
        elif asked.code is not None:
            high[counter] = min(limit, high.get(counter, limit))
    return all(least < high.get(counter, least + 1) for counter, least in low.items())


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
