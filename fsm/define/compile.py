"""From a class body to a `MachineSpec`: reading the lines, naming every mistake.

Lines refer to one another as objects and are compiled by name, so that a subclass may replace one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field
from pydantic import BaseModel

from fsm.define.agent import returned
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.guard import Guard, Placed, Standing
from fsm.define.mistakes import (
    Mistakes,
    arity,
    check_agent_results,
    check_bodies,
    check_chains,
    check_ends,
    check_payloads,
    check_predicate,
    check_remember,
    check_state,
)
from fsm.define.parts import Bounds, EverywhereSpec, Named, StateSpec, TransitionSpec, Ways
from fsm.define.payload import event_name
from fsm.define.place import Body, Line
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
    mistakes: Mistakes = field(factory=Mistakes)
    classes: dict[str, type[BaseModel]] = field(factory=dict)
    used: dict[str, list[tuple[type[BaseModel], Line]]] = field(factory=dict)


def compile_machine(
    cls: type, name: str, body: Body | None, memory: type[BaseModel] | None, bounds: Bounds
) -> tuple[MachineSpec | None, Mistakes]:
    """The spec of a machine class, and what is wrong with it; a spec only where nothing is."""
    reading = _Reading(cls, _lines(cls), memory)
    check_bodies(reading.mistakes, body, reading.lines)
    states = [_state(reading, line) for line in reading.lines.values() if isinstance(line, State)]
    transitions = [_transition(reading, line) for line in reading.lines.values() if isinstance(line, Transition)]
    everywhere = [_everywhere(reading, line) for line in reading.lines.values() if isinstance(line, Everywhere)]
    check_payloads(reading.mistakes, reading.used, memory)
    if reading.mistakes.found:
        return None, reading.mistakes
    spec = MachineSpec(
        name=name,
        doc=(cls.__doc__ or "").strip(),
        states=tuple(states),
        transitions=tuple(transitions),
        everywhere=tuple(everywhere),
        payloads=tuple(
            shape_of(reading.classes[event]) for event in sorted(reading.classes) if event not in RUNTIME_EVENTS
        ),
        memory=shape_of(memory) if memory else None,
        bounds=bounds,
        classes=reading.classes | RUNTIME_EVENTS,
        memory_class=memory,
    )
    check_ends(reading.mistakes, spec)
    check_agent_results(reading.mistakes, spec, {state.name: returned(state.agent) for state in states if state.agent})
    check_chains(reading.mistakes, spec)
    return (None if reading.mistakes.found else spec), reading.mistakes


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


def _state(reading: _Reading, line: State[Any]) -> StateSpec:
    check_state(reading.mistakes, line, reading.memory)
    kind: Any = "final" if line.final else "agent" if line.agent is not None else "waiting"
    timeout_s = line.timeout_s if line.timeout_s is not None else (DEFAULT_TIMEOUT_S if kind == "agent" else None)
    guards = _guards(reading, line, line.guards, "state")
    return StateSpec(
        name=line.name,
        kind=kind,
        initial=_events(reading, line, line.initial) if line.initial is not None else (),
        final=line.final,
        timeout_ms=round(timeout_s * 1000) if isinstance(timeout_s, int | float) else None,
        guards=guards,
        otherwise=_ways(reading, line, line.otherwise, guards, OWN_CODES),
        remember=Named(getattr(line.remember, "__name__", ""), fn=line.remember) if line.remember else None,
        title=line.title,
        place=line.place,
        agent=line.agent,
    )


def _transition(reading: _Reading, line: Transition[Any]) -> TransitionSpec:
    mistakes = reading.mistakes
    if not line.sources:
        mistakes.add(line, "it has no source state", "name the states: any_of(draft, review).to(...)")
    sources = [_resolve(reading, line, source, "source") for source in line.sources]
    for source in line.sources:
        if isinstance(source, State) and source.final:
            mistakes.add(
                line, f"it leaves {source.name}, which is final", "a final state ends the run; drop the line or final="
            )
    guards = _guards(reading, line, line.guards, "transition")
    events = _events(reading, line, line.on)
    check_predicate(mistakes, line, line.when, reading.memory)
    check_remember(mistakes, line, line.remember, reading.memory)
    if "Cancelled" in events and (guards or line.otherwise):
        mistakes.add(
            line,
            "it is taken on Cancelled and carries guards",
            "drop guards= and otherwise=: a run can always be cancelled",
        )
    if line.otherwise is not None and not (line.guards or line.when or line.remember):
        mistakes.add(line, "otherwise= without guards is never taken", "add guards=[...], or drop otherwise=")
    return TransitionSpec(
        name=line.name,
        sources=tuple(dict.fromkeys(sources)),
        target=_resolve(reading, line, line.target, "target"),
        events=events,
        when=_predicate(line.when),
        guards=guards,
        otherwise=_ways(reading, line, line.otherwise, guards, LINE_CODES),
        remember=Named(getattr(line.remember, "__name__", ""), fn=line.remember) if line.remember else None,
        place=line.place,
    )


def _everywhere(reading: _Reading, line: Everywhere) -> EverywhereSpec:
    guards = _guards(reading, line, line.guards, "run")
    if not line.guards:
        reading.mistakes.add(
            line, "everywhere() without guards checks nothing", "name at least one: everywhere(LoopCap(200))"
        )
    ways = _ways(reading, line, line.otherwise, guards, OWN_CODES)
    return EverywhereSpec(name=line.name, guards=guards, otherwise=ways, place=line.place)


def _resolve(reading: _Reading, line: Line, other: object, role: str) -> str:
    """The name of the state that `other` is in this machine."""
    if not isinstance(other, State):
        reading.mistakes.add(
            line,
            f"its {role} is {other!r}, not a state",
            f"name a State of this class as the {role}" + reading.mistakes.near(str(other), _state_names(reading)),
        )
        return ""
    if not isinstance(reading.lines.get(other.name), State) or other.owner not in reading.cls.__mro__:
        whose = f"{other.owner.__name__}.{other.name}" if other.owner else f"the state of {other.place}"
        reading.mistakes.add(
            line,
            f"its {role} is {whose}, which is no state of {reading.cls.__name__}",
            "use a State that is an attribute of this class" + reading.mistakes.near(other.name, _state_names(reading)),
        )
    return other.name


def _state_names(reading: _Reading) -> list[str]:
    return [name for name, line in reading.lines.items() if isinstance(line, State)]


def _events(reading: _Reading, line: Line, on: object) -> tuple[str, ...]:
    classes: tuple[Any, ...]
    if isinstance(on, tuple):
        classes = on
    else:
        classes = (
            getattr(on, "__args__", None) or (on,)
            if type(on).__name__ in ("UnionType", "Union", "_UnionGenericAlias")
            else (on,)
        )
    if not classes:
        reading.mistakes.add(line, "on=() names no payload", "name the class it is taken on: on=Draft")
    names = []
    for cls in classes:
        name = event_name(cls) if isinstance(cls, type) and issubclass(cls, BaseModel) else repr(cls)
        reading.used.setdefault(name, []).append((cls, line))
        if isinstance(cls, type) and issubclass(cls, BaseModel):
            reading.classes.setdefault(name, cls)
        names.append(name)
    return tuple(names)


def _guards(reading: _Reading, line: Line, guards: object, standing: Standing) -> tuple[Placed, ...]:
    if not isinstance(guards, Sequence):
        reading.mistakes.add(line, f"guards= is {guards!r}, not a list", f"write guards=[{guards!r}]")
        return ()
    placed = []
    for guard in guards:
        if not isinstance(guard, Guard):
            called = f"{guard.__name__}(...)" if isinstance(guard, type) else "a Guard"
            reading.mistakes.add(line, f"{guard!r} is not a guard", f"put {called} there")
            continue
        wrong = guard.mistake(standing)
        if wrong is None and not guard.codes:
            wrong = (f"{type(guard).__name__} names no verdict codes", 'give the class codes = ("why_it_refuses",)')
        if (
            wrong is None
            and guard.kind == "cap"
            and (guard.counted(standing, line.name) is None or guard.limit_of() is None)
        ):
            wrong = (
                f"{type(guard).__name__} is a cap but counts nothing",
                "write counted() and limit_of(), or another kind",
            )
        if wrong is not None:
            reading.mistakes.add(line, *wrong)
        placed.append(guard.place(standing, line.name))
    return tuple(placed)


def _ways(reading: _Reading, line: Line, otherwise: object, guards: Iterable[Placed], own: tuple[str, ...]) -> Ways:
    if otherwise is None:
        return {}
    if not isinstance(otherwise, Mapping):
        return {"*": _resolve(reading, line, otherwise, "otherwise")}
    known = [code for guard in guards for code in guard.codes] + list(own)
    for code in otherwise:
        if code != "*" and code not in known:
            reading.mistakes.add(
                line,
                f"otherwise= answers to code {code!r}, which nothing here gives",
                f"the codes are {', '.join(known)}" + reading.mistakes.near(str(code), known),
            )
    if "*" not in otherwise:
        reading.mistakes.add(line, 'otherwise= has no "*"', 'add "*": some_state for every other code')
    return {str(code): _resolve(reading, line, state, "otherwise") for code, state in otherwise.items()}


def _predicate(fn: Callable[..., bool] | None) -> Named | None:
    return Named(getattr(fn, "__name__", ""), takes_memory=arity(fn) == 2, fn=fn) if fn is not None else None
