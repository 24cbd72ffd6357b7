"""From a class body to a `MachineSpec`: reading the lines, naming every mistake.

Lines refer to one another as objects and are compiled by name, so that a subclass may replace one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard, get_args

from attrs import define, field
from pydantic import BaseModel

from fsm.define.annotations import alias_of, is_union
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.exits import check_agent_results, check_chains, check_counts, check_ends, check_shares
from fsm.define.fallback import with_fallbacks
from fsm.define.functions import (
    arity,
    check_agent,
    check_no_memory,
    check_predicate,
    check_remember,
    check_retry,
    place_guards,
)
from fsm.define.guard import Placed
from fsm.define.mistakes import Mistakes, check_bodies, check_memory, check_payloads, check_state, told_briefly
from fsm.define.parts import (
    Bounds,
    EverywhereSpec,
    Named,
    PromiseSpec,
    RetrySpec,
    StateSpec,
    TransitionSpec,
    Ways,
    retry_spec,
)
from fsm.define.payload import event_name
from fsm.define.place import Body, Line
from fsm.define.promise import Promise
from fsm.define.retry import Retry
from fsm.define.shape import shape_of
from fsm.define.spec import MachineSpec
from fsm.define.state import State
from fsm.define.transition import Everywhere, Transition

DEFAULT_TIMEOUT_S = 300.0
OWN_CODES = ("guard_error", "defer_exhausted")
LINE_CODES = (*OWN_CODES, "predicate_error", "remember_error", "memory_full")


@define
class _Reading:
    """What compiling has gathered so far."""

    cls: type
    lines: dict[str, Line]
    memory: type[BaseModel] | None
    mistakes: Mistakes
    classes: dict[str, type[BaseModel]] = field(factory=dict)
    used: dict[str, list[tuple[Any, Line]]] = field(factory=dict)

    def name(self, line: Line) -> str:
        """The attribute that a line is, here."""
        return self.mistakes.names.get(id(line), line.name)


def compile_machine(
    cls: type, name: str, body: Body | None, memory: type[BaseModel] | None, bounds: Bounds, mistakes: Mistakes
) -> MachineSpec | None:
    """The spec of a machine class, unless there are mistakes; adds what is wrong with it to them."""
    reading = _Reading(cls, _lines(cls), memory, mistakes)
    mistakes.names.update(_names(cls, reading.lines))
    lost = check_bodies(mistakes, cls, body, reading.lines)
    states = [_state(reading, line) for line in reading.lines.values() if isinstance(line, State)]
    transitions = [_transition(reading, line) for line in reading.lines.values() if isinstance(line, Transition)]
    everywhere = [_everywhere(reading, line) for line in reading.lines.values() if isinstance(line, Everywhere)]
    promises = [_promise(reading, line) for line in reading.lines.values() if isinstance(line, Promise)]
    check_payloads(mistakes, reading.used)
    if memory is not None:
        check_memory(mistakes, memory, bounds.memory_bytes_max)
    else:
        check_no_memory(mistakes, reading.lines)
    classes = reading.classes | RUNTIME_EVENTS
    left = {reading.name(source) for line in lost if isinstance(line, Transition) for source in line.sources}
    fallbacks = {reading.name(line): line.fallback for line in reading.lines.values() if _has_fallback(line)}
    check_ends(mistakes, states, transitions, classes, left)
    check_agent_results(mistakes, states, transitions, classes, left, fallbacks)
    check_counts(mistakes, states, transitions)
    check_shares(mistakes, (*states, *transitions, *everywhere))
    check_chains(mistakes, states)
    if mistakes.found:
        return None
    states, transitions = with_fallbacks(states, transitions, fallbacks)
    return MachineSpec(
        name=name,
        doc=(cls.__doc__ or "").strip(),
        states=tuple(states),
        transitions=tuple(transitions),
        everywhere=tuple(everywhere),
        promises=tuple(promises),
        payloads=tuple(
            shape_of(reading.classes[event]) for event in sorted(reading.classes) if event not in RUNTIME_EVENTS
        ),
        memory=shape_of(memory) if memory else None,
        bounds=bounds,
        classes=classes,
        memory_class=memory,
    )


def _lines(cls: type) -> dict[str, Line]:
    """Every line of the class and its parents, in the order first written; None in a subclass removes one."""
    found: dict[str, Line] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, Line):
                found[name] = value
            elif name in found:
                del found[name]
    return found


def _names(cls: type, lines: dict[str, Line]) -> dict[int, str]:
    """The attribute of every line of the class and its parents, replaced ones too: lines are compiled by name."""
    family = [lines, *(vars(base) for base in reversed(cls.__mro__))]
    found: dict[int, str] = {}
    for name, value in (item for namespace in family for item in namespace.items()):
        if isinstance(value, Line):
            found.setdefault(id(value), name)
    return found


def _has_fallback(line: Line) -> TypeGuard[State[Any]]:
    return isinstance(line, State) and line.fallback is not None and line.agent is not None


def _state(reading: _Reading, line: State[Any]) -> StateSpec:
    check_state(reading.mistakes, line)
    check_agent(reading.mistakes, line, line.agent)
    check_agent(reading.mistakes, line, line.fallback, "fallback")
    retries = check_retry(reading.mistakes, line)
    check_remember(reading.mistakes, line, line.remember, reading.memory)
    kind: Any = "final" if line.final is not None else "agent" if line.agent is not None else "waiting"
    timeout_s = line.timeout_s if line.timeout_s is not None else (DEFAULT_TIMEOUT_S if kind == "agent" else None)
    guards = place_guards(reading.mistakes, line, line.guards, "state", reading.lines)
    return StateSpec(
        name=reading.name(line),
        kind=kind,
        initial=_events(reading, line, line.initial) if line.initial is not None else (),
        final=line.final,
        timeout_ms=max(1, round(timeout_s * 1000)) if _is_finite(timeout_s) else None,
        tokens_max=line.tokens_max,
        usd_micros_max=line.usd_micros_max,
        tokens_min=line.tokens_min,
        retry=_retry(reading.name(line), line.retry) if retries and line.retry is not None else None,
        guards=guards,
        otherwise=_ways(reading, line, guards),
        remember=_named(line.remember),
        title=line.title,
        place=line.place,
        agent=line.agent,
    )


def _retry(state: str, retry: Retry) -> RetrySpec:
    when = Named(retry.when.__name__, fn=retry.when)
    return retry_spec(state, retry.attempts_max, round(retry.base_s * 1000), round(retry.cap_s * 1000), when)


def _is_finite(timeout_s: Any) -> TypeGuard[float]:
    return isinstance(timeout_s, int | float) and abs(timeout_s) < 1e10


def _transition(reading: _Reading, line: Transition[Any]) -> TransitionSpec:
    mistakes = reading.mistakes
    if not line.sources:
        mistakes.add(line, "it has no source state", "name the states: any_of(draft, review).to(...)")
    sources = [_resolve(reading, line, source, "source") for source in line.sources]
    for source in line.sources:
        if isinstance(source, State) and source.final is not None:
            what = f"it leaves {reading.name(source)}, which is final"
            mistakes.add(line, what, "a final state ends the run; drop the line or final=")
    guards = place_guards(mistakes, line, line.guards, "transition", reading.lines)
    events = _events(reading, line, line.on)
    check_predicate(mistakes, line, line.when, reading.memory)
    check_remember(mistakes, line, line.remember, reading.memory)
    if "Cancelled" in events and (line.guards or line.otherwise):
        what = "it is taken on Cancelled and carries guards"
        mistakes.add(line, what, "drop guards= and otherwise=: a run can always be cancelled")
    elif line.otherwise is not None and not (line.guards or line.when or line.remember):
        mistakes.add(line, "otherwise= without guards is never taken", "add guards=[...], or drop otherwise=")
    return TransitionSpec(
        name=reading.name(line),
        sources=tuple(dict.fromkeys(sources)),
        target=_resolve(reading, line, line.target, "target"),
        events=events,
        when=_named(line.when, takes_memory=callable(line.when) and arity(line.when) == 2),
        guards=guards,
        otherwise=_ways(reading, line, guards),
        remember=_named(line.remember),
        place=line.place,
    )


def _named(fn: Any, *, takes_memory: bool = False) -> Named | None:
    return Named(getattr(fn, "__name__", ""), takes_memory, fn) if fn is not None else None


def _everywhere(reading: _Reading, line: Everywhere) -> EverywhereSpec:
    guards = place_guards(reading.mistakes, line, line.guards, "run", reading.lines)
    if not line.guards:
        instead = "name at least one: everywhere(LoopCap(200))"
        reading.mistakes.add(line, "everywhere() without guards checks nothing", instead)
    ways = _ways(reading, line, guards)
    return EverywhereSpec(name=reading.name(line), guards=guards, otherwise=ways, place=line.place)


def _promise(reading: _Reading, line: Promise) -> PromiseSpec:
    named = {role: getattr(line, role) for role in ("what", "then", "before")}
    names = {role: _happening(reading, line, other) for role, other in named.items() if other is not None}
    twice = next((name for role, name in names.items() if role != "then" and name and name == names.get("then")), "")
    if line.kind == "never" and names["what"] == names["before"]:
        twice = names["what"]
    if twice:
        reading.mistakes.add(line, f"it names {twice} twice, so it says nothing", "name two different lines")
    return PromiseSpec(name=reading.name(line), kind=line.kind, place=line.place, **names)


def _happening(reading: _Reading, line: Promise, other: object) -> str:
    """The name of the state or transition a promise is about; "" where it is none of this machine."""
    known = {name: known for name, known in reading.lines.items() if isinstance(known, State | Transition)}
    name = reading.mistakes.names.get(id(other), "")
    if name in known:
        return name
    what = f"it is about {name or told_briefly(other)}, which is no state or transition of {reading.cls.__name__}"
    near = reading.mistakes.near(name or str(other), known)
    reading.mistakes.add(line, what, f"name a State or a transition that is an attribute of this class{near}")
    return ""


def _resolve(reading: _Reading, line: Line, other: object, role: str) -> str:
    """The name of the state that `other` is in this machine; "" where it is none."""
    names = [name for name, known in reading.lines.items() if isinstance(known, State)]
    near = reading.mistakes.near
    if not isinstance(other, State):
        what = f"its {role} is {told_briefly(other)}, not a state"
        reading.mistakes.add(line, what, f"name a State of this class as the {role}{near(str(other), names)}")
        return ""
    name = reading.mistakes.names.get(id(other), "")
    if name in names:
        return name
    what = f"its {role} is {name or other}, which is no state of {reading.cls.__name__}"
    if name:
        what = f"its {role} {name} was removed from {reading.cls.__name__}"
    instead = f"use a State that is an attribute of this class{near(other.name, names)}"
    reading.mistakes.add(line, what, instead)
    return ""


def _events(reading: _Reading, line: Line, on: object) -> tuple[str, ...]:
    """The event names of `on=`: a class, a tuple of them, or `A | B`."""
    on = on if alias_of(on) is None else alias_of(on)
    classes: tuple[Any, ...] = on if isinstance(on, tuple) else get_args(on) if is_union(on) else (on,)
    if not classes:
        reading.mistakes.add(line, "on=() names no payload", "name the class it is taken on: on=Draft")
    names = []
    for cls in classes:
        known = isinstance(cls, type) and issubclass(cls, BaseModel)
        name = event_name(cls) if known else told_briefly(cls)
        reading.used.setdefault(name, []).append((cls, line))
        if known:
            reading.classes.setdefault(name, cls)
        names.append(name)
    return tuple(dict.fromkeys(names))


def _ways(reading: _Reading, line: State[Any] | Transition[Any] | Everywhere, guards: Sequence[Placed]) -> Ways:
    """The `otherwise` of a line, by verdict code."""
    otherwise: object = line.otherwise
    if otherwise is None:
        return {}
    if not isinstance(otherwise, Mapping):
        return {"*": _resolve(reading, line, otherwise, "otherwise")}
    known = [code for guard in guards for code in guard.codes]
    known += LINE_CODES if isinstance(line, Transition) else OWN_CODES
    given: object = line.guards
    readable = isinstance(given, Sequence) and len(guards) == len(given)
    for code in (code for code in otherwise if readable and code != "*" and code not in known):
        what = f"otherwise= answers to code {code!r}, which nothing here gives"
        reading.mistakes.add(line, what, f"the codes are {', '.join(known)}{reading.mistakes.near(str(code), known)}")
    if "*" not in otherwise:
        reading.mistakes.add(line, 'otherwise= has no "*"', 'add "*": some_state for every other code')
    return {str(code): _resolve(reading, line, state, "otherwise") for code, state in otherwise.items()}
