"""All the ways a run can move: what `core.select` could find, with every answer left open.

A `Move` is one decision in the abstract: the event, what each predicate and guard on the way must say, and
where the run is then. A machine's moves are all that its runs can ever do: one that is not here cannot
be taken, whatever agents, people and crashes do. Retries are among them. Resumes and deferrals move nothing; a
person who resumes a halted run begins it again, outside of any proof.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from attrs import field, frozen

from fsm.core.retrying import FAILURES
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.guard import Counter, Placed
from fsm.define.parts import START, START_HOP, StateSpec, TransitionSpec, Ways, retry_id, way_for, way_id
from fsm.define.spec import MachineSpec
from fsm.verify.move import FAULTS, Answers, Asked, Course, Move, Outcome, is_cap, is_counted
from fsm.verify.shares import may_defer, seen_by

OF_AGENTS = ("AgentFailed", "TimedOut", "PayloadInvalid", "CallRefused", "CallUnsure")
ESCALATING = ("TimedOut", "PayloadInvalid", "CallRefused")  # what nobody takes becomes AgentFailed
RETRIED = tuple(cls.__name__ for cls in FAILURES)


@frozen
class Moves:
    """A machine's moves, from `START` and every state that is not final."""

    spec: MachineSpec
    all: tuple[Move, ...] = field(repr=False)
    counters: tuple[Counter, ...]

    @cached_property
    def by_source(self) -> Mapping[str, list[Move]]:
        found: dict[str, list[Move]] = {START: [], **{state.name: [] for state in self.spec.states}}
        for move in self.all:
            found[move.source].append(move)
        return found

    @cached_property
    def caps(self) -> tuple[Placed, ...]:
        """Every guard that counts."""
        return tuple(guard for guard in self.spec.guards if is_cap(guard))


def moves_of(spec: MachineSpec) -> Moves:
    """Every move of the machine."""
    counters = dict.fromkeys(guard.counter for guard in spec.guards if guard.counter and is_cap(guard))
    found = _Finding(spec, tuple(counters)).found()
    if spec.shares:
        found = (move for move in found if seen_by(spec, move) is not None)
    return Moves(spec, tuple(found), tuple(counters))


class _Finding:
    """What is known while the moves of one machine are found; courses are shared by the sources of a line."""

    def __init__(self, spec: MachineSpec, counters: tuple[Counter, ...]) -> None:
        self.spec = spec
        self.hops = tuple(counter for counter in counters if counter.of == "hops")
        self.of: dict[tuple[str, str], list[Counter]] = {}
        self.since: dict[str, list[Counter]] = {}
        for counter in counters:
            if counter.of in ("fires", "visits"):
                self.of.setdefault((counter.of, counter.subject), []).append(counter)
            if counter.since:
                self.since.setdefault(counter.since, []).append(counter)
        self.lines: dict[tuple[str, str], list[TransitionSpec]] = {}
        for line in spec.transitions:
            for source in line.sources:
                for event in line.events:
                    self.lines.setdefault((source, event), []).append(line)
        self.courses: dict[tuple[str, str], list[Course]] = {}
        self.retries: dict[str, Course] = {}

    def found(self) -> Iterator[Move]:
        for event in self.spec.initial.initial:
            starts = [Move(START, event, "moved" if c.hop else "stopped", (), c) for c in self._start()]
            late = any(may_defer(self.spec, move) for move in starts if _can_begin(move, late=False))
            yield from (move for move in starts if _can_begin(move, late))
        heard: dict[str, list[str]] = {}
        for source, event in self.lines:
            heard.setdefault(source, []).append(event)
        for state in self.spec.states:
            if state.kind != "final":
                for event in _events(state, heard.get(state.name, []), self.lines):
                    yield from self._event(state, event)

    def _event(self, state: StateSpec, event: str) -> Iterator[Move]:
        """The moves on one event: it is retried, or goes its own way."""
        if state.retry is None or event not in RETRIED:
            yield from self._own_way(state, event)
            return
        hop = retry_id(state.name)
        yield from self._own_way(state, event, ((hop, False),))
        guards = tuple(self.spec.retry_guards(state))
        passing = tuple([Asked(guard, "") for guard in guards])
        for at, guard in enumerate(guards):  # one that raises refuses too, and does nothing else
            rest = tuple([Asked(later, None) for later in guards[at + 1 :]])
            for code in guard.codes[:1]:
                before = (*passing[:at], Asked(guard, code), *rest)
                yield from self._own_way(state, event, ((hop, True),), before)
        yield Move(state.name, event, "retried", ((hop, True),), self._retry(state.name, hop, passing))

    def _retry(self, state: str, hop: str, asked: tuple[Asked, ...]) -> Course:
        """It counts as a hop; the state is not entered, so nothing begins again."""
        if hop not in self.retries:
            up = (*self.of.get(("fires", hop), ()), *self.hops)
            self.retries[hop] = Course(line=hop, hop=hop, target=state, asked=asked, up=up)
        return self.retries[hop]

    def _own_way(
        self, state: StateSpec, event: str, before: Answers = (), refusing: tuple[Asked, ...] = ()
    ) -> Iterator[Move]:
        """The first line that matches is the candidate, so it shadows all later ones."""
        refused: Outcome = "refused" if state.kind == "waiting" and event not in RUNTIME_EVENTS else "stopped"
        for line in self.lines.get((state.name, event), ()):
            answers = before if line.when is None else (*before, (line.name, True))
            for course in self._courses(line, event):
                yield Move(state.name, event, "moved" if course.hop else refused, answers, course, refusing)
            if line.when is None:
                return
            for course in self._broken(line, event, "predicate_error", ()):
                answers = (*before, (line.name, None))
                yield Move(state.name, event, "moved" if course.hop else refused, answers, course, refusing)
            before = (*before, (line.name, False))
        if event not in ESCALATING and event != "Cancelled" and refused == "stopped":
            yield Move(state.name, event, "stuck", before, Course(line="", hop="", target=""), refusing)

    def _courses(self, line: TransitionSpec, event: str) -> list[Course]:
        key = (line.name, event if event == "Cancelled" else "runtime" if event in RUNTIME_EVENTS else "")
        if key not in self.courses:
            everywhere = event not in RUNTIME_EVENTS and self.spec.state[line.target].kind != "final"
            ways = self._ways(line.name, line.name, line.target, line.guards, line.otherwise, event, everywhere)
            found = [course for course in ways if course.hop or event != "Cancelled"]  # refused, it ends the run
            if line.remember is not None:
                direct = found[0].asked
                for code in ("remember_error", "memory_full"):
                    found += self._broken(line, event, code, direct)
            self.courses[key] = found
        return self.courses[key]

    def _broken(self, line: TransitionSpec, event: str, code: str, asked: tuple[Asked, ...]) -> Iterator[Course]:
        """Where a line's own code refuses it."""
        after = self._after(line.name, line.name, line.otherwise, code, asked, event, code, ())
        return (course for course in after if course.hop or event != "Cancelled")

    def _start(self) -> Iterator[Course]:
        initial = self.spec.initial
        if initial.remember is not None:
            yield from (Course(line=START_HOP, hop="", target="", fault=code) for code in FAULTS[3:])
        yield from self._ways(START_HOP, START_HOP, initial.name, (), {}, "", everywhere=True)

    def _ways(
        self,
        line: str,
        hop: str,
        target: str,
        guards: Iterable[Placed],
        otherwise: Ways,
        event: str,
        everywhere: bool,
        before: tuple[Asked, ...] = (),
        fault: str = "",
        chain: tuple[str, ...] = (),
    ) -> Iterator[Course]:
        """The hop itself, where all its guards let it pass; then what the refusal of each opens."""
        state = self.spec.state[target]
        asked = [(guard, otherwise, hop) for guard in guards]
        if event != "Cancelled":
            asked += [(guard, state.otherwise, target) for guard in state.guards]
        if everywhere:
            asked += [(guard, place.otherwise, place.name) for place in self.spec.everywhere for guard in place.guards]
        passing = tuple([Asked(guard, "") for guard, _, _ in asked])
        up, reset = self._counted(line, hop, target)
        yield Course(line=line, hop=hop, target=target, asked=before + passing, up=up, reset=reset, fault=fault)
        if target in chain:  # only in a machine that was never checked: it would be refused for ever
            return
        for at, (guard, ways, owner) in enumerate(asked):
            rest = tuple([Asked(later, None) for later, _, _ in asked[at + 1 :]])
            for code in _codes(guard, ways):
                so_far = (*before, *passing[:at], Asked(guard, code), *rest)
                failing = fault or (code if code in FAULTS else "")
                yield from self._after(line, owner, ways, code, so_far, event, failing, (*chain, owner))

    def _after(
        self,
        line: str,
        owner: str,
        ways: Ways,
        code: str,
        asked: tuple[Asked, ...],
        event: str,
        fault: str,
        chain: tuple[str, ...],
    ) -> Iterator[Course]:
        """Where a refusal leads: the entry guards of the target are asked there, the machine's are not."""
        key = way_for(ways, code)
        if key is None:
            yield Course(line=line, hop="", target="", asked=asked, fault=fault)
        else:
            yield from self._ways(line, way_id(owner, key), ways[key], (), {}, event, False, asked, fault, chain)

    def _counted(self, line: str, hop: str, target: str) -> tuple[tuple[Counter, ...], tuple[Counter, ...]]:
        """What the hop counts and what it begins again, as `core.snapshot` does; the start is no hop of the run."""
        reset = tuple(self.since.get(target, ()))
        up = (*self.of.get(("fires", hop), ()), *self.of.get(("visits", target), ()))
        up = up if line == START_HOP else up + self.hops
        return (tuple(counter for counter in up if counter.since != target) if reset else up), reset


def _can_begin(move: Move, late: bool) -> bool:
    """Whether nothing that has yet to be counted refuses; time has passed only if a start may be put off."""
    counted = [asked.guard for asked in move.asked if asked.code and is_counted(asked.guard)]
    return all((guard.limit or 0) < 1 or (late and _is_time(guard)) for guard in counted)


def _is_time(guard: Placed) -> bool:
    return guard.counter is not None and guard.counter.of == "elapsed_ms"


def _events(state: StateSpec, heard: list[str], lines: Mapping[tuple[str, str], list[TransitionSpec]]) -> list[str]:
    """What can come up in a state: the user's events, and what the runtime makes of failures and silence."""
    own = OF_AGENTS if state.kind == "agent" else ("TimedOut",)
    possible = [event for event in own if event != "TimedOut" or state.timeout_ms is not None]
    if state.kind == "waiting" and possible and not _sure(lines.get((state.name, "TimedOut"), ())):
        possible.append("AgentFailed")
    return [*(event for event in heard if event not in RUNTIME_EVENTS or event == "Cancelled"), *possible]


def _sure(lines: Iterable[TransitionSpec]) -> bool:
    """Whether one of these lines always matches."""
    return any(line.when is None for line in lines)


def _codes(guard: Placed, ways: Ways) -> list[str]:
    """What it may refuse with, one code for each place it leads to; a code of its own before a failure's."""
    if is_counted(guard):
        return list(guard.codes[:1])
    failing = ("guard_error",) if guard.shares is None else ()  # the kernel answers for one that shares a row
    deferring = ("defer_exhausted",) if guard.kind == "env" and guard.codes else ()
    found: dict[str | None, str] = {}
    for code in (*guard.codes, *failing, *deferring):
        found.setdefault(way_for(ways, code), code)
    return list(found.values())
