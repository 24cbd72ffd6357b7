"""Which transition an event is for, and what the run's own guards say: the first half of a decision.

`decide = conclude . select` is pure: no I/O, no clock, no chance. `select` finds *the* candidate, the first
transition in the order written whose payload class and predicate match, asks its guards and folds the
memory; all of the user's code that decides anything runs here. What it returns, a `Plan`, is data for
`conclude`, which looks at guards shared between runs and makes the record.

A refusal does not try a later transition. It goes where the refusing guard's own `otherwise` says, and
there the entry guards of the target are asked in turn; so a plan is a chain of *ways*, each with the
rulings given on it.

Where a predicate or guard has no code at hand (a machine loaded from JSON), its answer is taken from the
record that is being replayed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from attrs import evolve, field, frozen

from fsm.core.engine import Engine
from fsm.core.record import NOTHING, Record, Spent
from fsm.core.snapshot import Pending, Snapshot, is_pending, spending_added
from fsm.define.events import RUNTIME_BYTES_MAX, RUNTIME_EVENTS, RuntimeEvent, escalated
from fsm.define.guard import Facts, Placed, Ruling, Verdict
from fsm.define.parts import START, START_HOP, Named, TransitionSpec, Ways, way_for, way_id
from fsm.define.payload import Invalid, Payload, TooLarge, excerpt, seal, told, unseal
from fsm.define.spec import MachineSpec


@frozen(kw_only=True)
class Event:
    """One payload arriving: from the run's own visit (`own`), or from outside with an `event_id`.

    `at_ms` is the moment it is decided at; `spent` what the run has spent since its last record.
    """

    payload: Payload
    at_ms: int
    own: bool = True
    event_id: str | None = None
    spent: Spent = NOTHING
    note: Mapping[str, str | int] = field(factory=dict)


@frozen
class Way:
    """A hop that may be taken: the rulings given on it, and the ways a refusal there opens, by hop id."""

    hop: str
    target: str
    rulings: tuple[Ruling, ...]
    otherwise: Mapping[str, "Way"] = field(factory=dict)


@frozen(kw_only=True)
class Plan:
    """What `select` found; `way` is None where no transition is for this event."""

    event: Event
    predicates: tuple[tuple[str, bool | None], ...]
    way: Way | None
    memory: bytes | None = None


class NotRecorded(Exception):
    """A predicate's or guard's answer is needed that neither code nor record gives."""


def select(engine: Engine, snapshot: Snapshot, event: Event, recorded: Record | None = None) -> Plan:
    """The plan for `event`; `recorded` answers for code that is not at hand."""
    return _Selection(engine, snapshot, recorded).plan(event)


class _Selection:
    """One run of `select`: the arguments, and what has been asked so far."""

    def __init__(self, engine: Engine, snapshot: Snapshot, recorded: Record | None) -> None:
        self.engine = engine
        self.spec: MachineSpec = engine.spec
        self.snapshot = snapshot
        self.recorded = recorded
        self.predicates: list[tuple[str, bool | None]] = []
        self.broken: dict[str, Ruling] = {}
        self.answered: Counter[tuple[str, str]] = Counter()
        self.pending: Pending | None = None
        self._memory: Any = None

    def plan(self, event: Event) -> Plan:
        self.pending = self.snapshot.pending if is_pending(self.snapshot, event.event_id, event.own) else None
        if self.snapshot.state == START and event.own and event.payload.event in self.spec.initial.initial:
            way, memory = self._start(event)
            return Plan(event=event, predicates=(), way=way, memory=memory)
        line, event = self._candidate(event)
        if line is None:
            return Plan(event=event, predicates=tuple(self.predicates), way=None)
        way, memory = self._transition(line, event)
        return Plan(event=event, predicates=tuple(self.predicates), way=way, memory=memory)

    def _candidate(self, event: Event) -> tuple[TransitionSpec | None, Event]:
        """The candidate, and the event it is for: what a state does not handle escalates."""
        while True:
            matches = partial(self._matches, event)
            line = self.engine.choose(self.snapshot.state, event.payload.event, matches)
            value = event.payload.value
            higher = escalated(value) if line is None and event.own and isinstance(value, RuntimeEvent) else None
            if higher is None:
                return line, event
            self.predicates = []
            event = evolve(event, payload=seal(higher, RUNTIME_BYTES_MAX))

    def _matches(self, event: Event, line: TransitionSpec) -> bool:
        when = line.when
        if when is None:
            return True
        try:
            result: bool | None = self._predicate(line, when, event)
        except NotRecorded:
            raise
        except Exception as error:
            result = None
            self.broken[line.name] = _broken(when.name, line.name, "predicate_error", error)
        self.predicates.append((line.name, result))
        return result is not False

    def _predicate(self, line: TransitionSpec, when: Named, event: Event) -> bool | None:
        if when.fn is not None:
            arguments = (event.payload.value, self.memory) if when.takes_memory else (event.payload.value,)
            return bool(when.fn(*arguments))
        known = dict(self.recorded.predicates) if self.recorded else {}
        if line.name not in known:
            raise NotRecorded(f"predicate {when.name} of {line.name}")
        if known[line.name] is None:
            self.broken[line.name] = _broken(when.name, line.name, "predicate_error", None)
        return known[line.name]

    @property
    def memory(self) -> Any:
        """The run's memory as its model, decoded once a decision."""
        if self._memory is None and self.spec.memory_class is not None:
            body = self.snapshot.memory
            self._memory = unseal(self.spec.memory_class, body) if body else self.spec.memory_class()
        return self._memory

    def _start(self, event: Event) -> tuple[Way, bytes | None]:
        initial = self.spec.initial
        memory, refusal = self._remember(initial.remember, START_HOP, event)
        if refusal is not None:
            return Way(START_HOP, initial.name, (refusal,)), None
        return self._way(START_HOP, initial.name, (), {}, event, everywhere=True), memory

    def _transition(self, line: TransitionSpec, event: Event) -> tuple[Way, bytes | None]:
        if line.name in self.broken:
            return self._refused(line, (self.broken[line.name],), event), None
        everywhere = event.payload.event not in RUNTIME_EVENTS and self.spec.state[line.target].kind != "final"
        way = self._way(line.name, line.target, line.guards, line.otherwise, event, everywhere)
        if _refusing(way.rulings) is not None or line.remember is None:
            return way, None
        memory, refusal = self._remember(line.remember, line.name, event)
        return (self._refused(line, (*way.rulings, refusal), event), None) if refusal else (way, memory)

    def _refused(self, line: TransitionSpec, rulings: tuple[Ruling, ...], event: Event) -> Way:
        """The way of a transition that its own predicate or `remember` refused."""
        refusal = _refusing(rulings)
        assert refusal is not None
        return Way(line.name, line.target, rulings, self._after(line.name, line.otherwise, refusal, event))

    def _remember(self, remember: Named | None, owner: str, event: Event) -> tuple[bytes | None, Ruling | None]:
        """The memory after this payload; or the refusal, where it cannot be made or kept."""
        if remember is None or remember.fn is None:
            return None, _recorded_refusal(self.recorded, owner, ("remember_error", "memory_full"))
        try:
            value = remember.fn(self.memory, event.payload.value)
            if type(value) is not self.spec.memory_class:
                raise TypeError(f"{remember.name} returned {type(value).__name__}, not the machine's memory")
            return seal(value, self.spec.bounds.memory_bytes_max).body, None
        except Invalid as error:
            code = "memory_full" if isinstance(error, TooLarge) else "remember_error"
            text = str(error).replace("payload_bytes_max", "memory_bytes_max")
            return None, _broken(remember.name, owner, code, ValueError(text))
        except Exception as error:
            return None, _broken(remember.name, owner, "remember_error", error)

    def _way(
        self, hop: str, target: str, guards: Iterable[Placed], otherwise: Ways, event: Event, everywhere: bool
    ) -> Way:
        """Asks all guards on the way to `target`: the line's own, the state's, the machine's, in this order."""
        state = self.spec.state[target]
        asked: list[tuple[str, Ways, Iterable[Placed]]] = [
            (hop, otherwise, guards),
            (target, state.otherwise, () if event.payload.event == "Cancelled" else state.guards),
        ]
        if everywhere:
            asked += [(line.name, line.otherwise, line.guards) for line in self.spec.everywhere]
        facts = self._facts(hop, target, event)
        rulings = tuple(self._ask(guard, facts) for _, _, placed in asked for guard in placed)
        refusal = _refusing(rulings)
        if refusal is None:
            return Way(hop, target, rulings)
        owner, ways = next((owner, ways) for owner, ways, _ in asked if owner == refusal.at)
        return Way(hop, target, rulings, self._after(owner, ways, refusal, event))

    def _after(self, owner: str, ways: Ways, refusal: Ruling, event: Event) -> dict[str, Way]:
        """The way that `refusal` opens: the target's entry guards are asked there, the machine's are not."""
        key = way_for(ways, refusal.verdict.code)
        if key is None:
            return {}
        hop = way_id(owner, key)
        return {hop: self._way(hop, ways[key], (), {}, event, everywhere=False)}

    def _facts(self, hop: str, target: str, event: Event) -> Facts:
        return Facts(
            source=self.snapshot.state,
            target=target,
            hop=hop,
            payload=event.payload.value,
            counters=spending_added(self.spec, self.snapshot, event.spent),
            at_ms=event.at_ms,
            entered_at_ms=self.snapshot.entered_at_ms,
            started_at_ms=self.snapshot.started_at_ms,
            payload_bytes=len(event.payload.body),
        )

    def _ask(self, guard: Placed, facts: Facts) -> Ruling:
        try:
            verdict = guard.ask(facts)
        except Exception as error:
            return _broken(guard.name, guard.at, "guard_error", error, guard.standing)
        if verdict is None and guard.check is None:
            return self._recorded_ruling(guard)
        flaw = _flaw(verdict, guard)
        if verdict is None or flaw:
            wrong = TypeError(f"answered {excerpt(verdict)}: {flaw}")
            return _broken(guard.name, guard.at, "guard_error", wrong, guard.standing)
        return Ruling(guard.name, guard.at, guard.standing, self._bounded(verdict, facts.at_ms))

    def _recorded_ruling(self, guard: Placed) -> Ruling:
        """What the record holds of this guard; of several alike at one place each gets its own."""
        rulings = self.recorded.rulings if self.recorded else ()
        same = [ruling for ruling in rulings if (ruling.guard, ruling.at) == (guard.name, guard.at)]
        nth = self.answered[guard.name, guard.at]
        if nth >= len(same):
            raise NotRecorded(f"{guard.name} on {guard.at}")
        self.answered[guard.name, guard.at] += 1
        return same[nth]

    def _bounded(self, verdict: Verdict, at_ms: int) -> Verdict:
        """A deferral within the machine's bounds; beyond them it is refused with `defer_exhausted`."""
        pending, bounds = self.pending, self.spec.bounds
        if verdict.decision != "defer" or verdict.until_ms is None:
            return verdict
        defers = pending.defers if pending else 0
        since_ms = pending.since_ms if pending else at_ms
        waited_s = (max(verdict.until_ms, at_ms) - since_ms) // 1000
        if defers < bounds.defers_max and waited_s <= bounds.defer_s_max:
            return verdict
        numbers = {
            "defers": defers,
            "defers_max": bounds.defers_max,
            "defer_s": waited_s,
            "defer_s_max": bounds.defer_s_max,
        }
        return Verdict("refuse", "defer_exhausted", numbers)


def _refusing(rulings: Iterable[Ruling]) -> Ruling | None:
    return next((ruling for ruling in rulings if ruling.verdict.decision == "refuse"), None)


def _broken(name: str, at: str, code: str, error: Exception | None, standing: Any = "transition") -> Ruling:
    return Ruling(name, at, standing, Verdict("refuse", code, text=told(error) if error is not None else ""))


def _flaw(verdict: object, guard: Placed) -> str:
    """What is wrong with a guard's answer, if anything is."""
    if not isinstance(verdict, Verdict):
        return "no verdict"
    if verdict.decision not in ("allow", "refuse", "defer"):
        return "it neither allows nor refuses nor defers"
    if verdict.code not in guard.codes and (verdict.decision != "allow" or verdict.code != ""):
        return f"its codes are {', '.join(guard.codes)}"
    numbers: object = verdict.numbers
    if not isinstance(numbers, Mapping) or any(type(number) is not int for number in numbers.values()):
        return "its numbers are not whole"
    if not all(_is_text(text) for text in (verdict.text, *numbers)):
        return "its text cannot be stored"
    if verdict.decision == "defer" and type(verdict.until_ms) is not int:
        return "it defers without a moment"
    return ""


def _is_text(value: object) -> bool:
    return isinstance(value, str) and (value.isascii() or value.encode("utf-8", "replace").decode() == value)


def _recorded_refusal(recorded: Record | None, owner: str, codes: tuple[str, ...]) -> Ruling | None:
    found: Callable[[Ruling], bool] = lambda ruling: ruling.at == owner and ruling.verdict.code in codes  # noqa: E731
    return next(filter(found, recorded.rulings if recorded else ()), None)
