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

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from attrs import evolve

from fsm.core.asking import DEFER_EXHAUSTED, Answer, Asking, NotRecorded, broken, is_allowed, refusing
from fsm.core.counters import with_told
from fsm.core.engine import Engine
from fsm.core.plan import ESCALATED, Event, Plan, Retrying, Told, Way, permitted
from fsm.core.record import Record
from fsm.core.retrying import FAILURES, pause_ms
from fsm.core.shares import share_of
from fsm.core.snapshot import Snapshot, is_pending
from fsm.core.strikes import Outcome, outcome_of, with_attempt
from fsm.define.events import RUNTIME_BYTES_MAX, RUNTIME_EVENTS, RuntimeEvent, escalated
from fsm.define.guard import Facts, Kept, Placed, Ruling
from fsm.define.parts import START, START_HOP, Named, TransitionSpec, Ways, retry_id, way_for, way_id
from fsm.define.payload import Invalid, Payload, TooLarge, seal, unseal
from fsm.define.spec import MachineSpec


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
        self.first = 0
        self.broken: dict[str, Ruling] = {}
        self._memory: Any = None

    def plan(self, event: Event) -> Plan:
        pending = self.snapshot.pending if is_pending(self.snapshot, event.event_id, event.own) else None
        self.asking = Asking(self.spec.bounds, pending, self.recorded, self.snapshot.kept)
        if self.snapshot.state == START and event.own and event.payload.event in self.spec.initial.initial:
            way, memory = self._start(event)
            return Plan(event=event, predicates=(), way=way, memory=memory)
        fresh = event.own and pending is None and not event.escalated
        told = (*event.hung, *self._told(event), *event.unsettled) if fresh else event.hung
        left = () if event.own else (*self._permits("neutral"), *event.unsettled)
        if fresh:
            strikes = with_attempt(self.spec, self.snapshot, event.payload, event.strikes)
            event = evolve(event, strikes=strikes) if strikes is not event.strikes else event
        retry = self._retry(event) if pending is None else None
        if retry is not None and all(is_allowed(answer) for answer in retry.answers):
            return Plan(event=event, predicates=tuple(self.predicates), way=None, retry=retry, told=told)
        line, event = self._candidate(event) if not event.unread else (None, event)
        plan = Plan(event=event, predicates=tuple(self.predicates), way=None, retry=retry, told=told, left=left)
        made = retry is not None and self.recorded is not None and self.recorded.kind == "retried"
        if line is None or made:  # no ruling on a way is in the record of a retry
            return plan
        way, memory = self._transition(line, event)
        return evolve(plan, way=way, memory=memory)

    def _told(self, event: Event) -> tuple[Told, ...]:
        """What the end of an attempt says to those that share what it depended on.

        Each call has said so with its outcome; its end does, of what guards on its state watch and it did not call.
        """
        permits = self._permits(outcome_of(event.payload))
        return tuple([told for told in permits if share_of(told[0]).name not in event.strikes])

    def _permits(self, outcome: Outcome) -> tuple[Told, ...]:
        """Of each row that guards on the run's state share, in which generation it permitted the visit."""
        shared = self.spec.breakers.get(self.snapshot.state, ())
        return tuple([(guard, permitted(self.snapshot, guard), outcome) for guard in shared])

    def _retry(self, event: Event) -> Retrying | None:
        """The retry of the attempt that ended in this event, if its state has one that is for it."""
        state = self.spec.state.get(self.snapshot.state)
        failure = event.payload.value
        if state is None or state.retry is None or not event.own or not isinstance(failure, FAILURES):
            return None
        if self.snapshot.resumes > self.spec.bounds.resumes_max:  # none but the runtime's `crashed` comes after that
            return None
        at_ms = event.at_ms + pause_ms(state.retry, self.snapshot, failure)
        hop = retry_id(state.name)
        when = state.retry.when
        if event.escalated and self.recorded is not None:
            if hop not in dict(self.recorded.predicates):
                return None
            when = evolve(when, fn=None)
        answer = self._answer(hop, when, event)
        if answer is None:
            return Retrying(hop, event, (self.broken[hop],), at_ms)
        if not answer:
            return None
        counters = self._counters(event, at_ms)
        facts = self._facts(hop, state.name, counters, at_ms, None)
        answers = tuple([self.asking.ruling(guard, counters, facts) for guard in self.spec.retry_guards(state)])
        return Retrying(hop, event, answers, at_ms)

    def _candidate(self, event: Event) -> tuple[TransitionSpec | None, Event]:
        """The candidate, and the event it is for: what a state does not handle escalates."""
        self.first = len(self.predicates)
        while True:
            matches = partial(self._matches, event)
            line = self.engine.choose(self.snapshot.state, event.payload.event, matches)
            value = event.payload.value
            higher = escalated(value) if line is None and event.own and isinstance(value, RuntimeEvent) else None
            if higher is None:
                return line, event
            self.predicates = self.predicates[: self.first]
            note = {**event.note, ESCALATED: event.payload.event}
            event = evolve(event, payload=seal(higher, RUNTIME_BYTES_MAX), note=note)

    def _matches(self, event: Event, line: TransitionSpec) -> bool:
        return line.when is None or self._answer(line.name, line.when, event) is not False

    def _answer(self, at: str, when: Named, event: Event) -> bool | None:
        """What the predicate at `at` answers, noted for the record; None if it raised."""
        try:
            result: bool | None = self._predicate(at, when, event)
        except NotRecorded:
            raise
        except Exception as error:
            result = None
            self.broken[at] = broken(when.name, at, "predicate_error", error)
        self.predicates.append((at, result))
        return result

    def _predicate(self, at: str, when: Named, event: Event) -> bool | None:
        if when.fn is not None:
            arguments = (event.payload.value, self.memory) if when.takes_memory else (event.payload.value,)
            return bool(when.fn(*arguments))
        known = dict(self.recorded.predicates) if self.recorded else {}
        if at not in known:
            raise NotRecorded(f"predicate {when.name} of {at}")
        if known[at] is None:
            self.broken[at] = broken(when.name, at, "predicate_error", None)
        return known[at]

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
            return self._refused(line, (self.broken[line.name],), event, {}), None
        everywhere = event.payload.event not in RUNTIME_EVENTS and self.spec.state[line.target].kind != "final"
        way = self._way(line.name, line.target, line.guards, line.otherwise, event, everywhere)
        if refusing(way.answers) is not None or line.remember is None:
            return way, None
        memory, refusal = self._remember(line.remember, line.name, event)
        return (self._refused(line, (*way.answers, refusal), event, way.otherwise), None) if refusal else (way, memory)

    def _refused(
        self, line: TransitionSpec, answers: tuple[Answer, ...], event: Event, opened: Mapping[tuple[str, str], Way]
    ) -> Way:
        """The way of a transition that its own predicate or `remember` refused; guards may have `opened` others."""
        refusal = refusing(answers)
        assert refusal is not None
        sure = not any(isinstance(answer, Placed) for answer in answers)
        after = self._after(line.name, line.otherwise, refusal.verdict.code, event, sure)
        return Way(line.name, line.target, answers, {**opened, **after})

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
            return None, broken(remember.name, owner, code, ValueError(text))
        except Exception as error:
            return None, broken(remember.name, owner, "remember_error", error)

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
        counters = self._counters(event, event.at_ms)
        facts = self._facts(hop, target, counters, event.at_ms, event.payload)
        answers = tuple([self.asking.ruling(guard, counters, facts) for _, _, placed in asked for guard in placed])
        refusal = refusing(answers)
        may_refuse = [guard for guard in answers if isinstance(guard, Placed)]
        if refusal is None and not may_refuse:
            return Way(hop, target, answers)
        leads = {owner: ways for owner, ways, _ in asked}
        opening = [guard for guard in may_refuse if leads[guard.at]]
        codes = [(guard.at, code) for guard in opening for code in (*guard.codes, DEFER_EXHAUSTED)]
        codes += [(refusal.at, refusal.verdict.code)] if refusal is not None else []
        after: dict[tuple[str, str], Way] = {}
        for at, code in dict.fromkeys(codes):
            after |= self._after(at, leads[at], code, event, sure=not may_refuse)
        return Way(hop, target, answers, after)

    def _after(self, at: str, ways: Ways, code: str, event: Event, sure: bool) -> dict[tuple[str, str], Way]:
        """The way that a refusal opens: the target's entry guards are asked there, the machine's are not.

        Of ways of which one at most is taken (not `sure`) a record has the answers of that one alone.
        """
        key = way_for(ways, code)
        if key is None:
            return {}
        hop, before = way_id(at, key), self.asking.answered
        try:
            return {(at, code): self._way(hop, ways[key], (), {}, event, everywhere=False)}
        except NotRecorded:
            if sure:
                raise
            return {}
        finally:
            if not sure:
                self.asking.answered = before

    def _counters(self, event: Event, at_ms: int) -> Mapping[str, int]:
        """What a run will have counted when this happens, at `at_ms`."""
        counters = with_told(self.spec, self.snapshot.counters, event.charged, event.strikes)
        if not self.spec.timed:
            return counters
        return {**counters, "elapsed_ms": at_ms - (self.snapshot.started_at_ms or at_ms)}

    def _facts(
        self, hop: str, target: str, counters: Mapping[str, int], at_ms: int, arriving: Payload | None
    ) -> Callable[[Kept], Facts]:
        """What a guard may look at, given what it keeps: made for those only that do not just count."""
        body, digest = (arriving.body, arriving.digest) if arriving is not None else (b"", b"")
        return lambda kept: Facts(
            source=self.snapshot.state,
            target=target,
            hop=hop,
            payload=arriving.value if arriving is not None else None,
            counters=counters,
            at_ms=at_ms,
            entered_at_ms=self.snapshot.entered_at_ms,
            started_at_ms=self.snapshot.started_at_ms,
            payload_bytes=len(body),
            payload_digest=digest,
            kept=kept,
            memory=lambda: self.memory,
        )


def _recorded_refusal(recorded: Record | None, owner: str, codes: tuple[str, ...]) -> Ruling | None:
    found: Callable[[Ruling], bool] = lambda ruling: ruling.at == owner and ruling.verdict.code in codes  # noqa: E731
    return next(filter(found, recorded.rulings if recorded else ()), None)
