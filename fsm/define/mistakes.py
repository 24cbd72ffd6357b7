"""What can be wrong with a definition, each said with its attribute, its line, and what to write instead."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, field
from pydantic import BaseModel

from fsm.define.contract import contract_mistakes
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.parts import StateSpec
from fsm.define.payload import former_names
from fsm.define.place import Body, Line, Place
from fsm.define.spec import MachineSpec
from fsm.define.state import State
from fsm.errors import Mistake

RESERVED = ("spec", "with_agents", "start")


@define
class Mistakes:
    """The mistakes found so far, in the order of the user's lines."""

    found: list[Mistake] = field(factory=list)

    def add(self, line: Line | StateSpec | None, what: str, instead: str, place: Place | None = None) -> None:
        where = place or (line.place if line is not None else None)
        attribute = line.name if line is not None else ""
        mistake = Mistake(attribute, str(where) if where else "?", what, instead)
        if mistake not in self.found:
            self.found.append(mistake)

    @staticmethod
    def near(word: str, known: Iterable[str]) -> str:
        close = difflib.get_close_matches(word, list(known), n=1)
        return f" (did you mean {close[0]}?)" if close else ""


def check_bodies(mistakes: Mistakes, body: Body | None, lines: Mapping[str, Line]) -> None:
    """Lines overwritten, unnamed or named twice; names that are ours."""
    if body is not None:
        for name, line in body.overwritten:
            mistakes.add(line, f"{name} is written again below, so this line is lost", "give one of them another name")
        named = {id(line) for line in body.values()} | {id(line) for _, line in body.overwritten}
        for line in body.made:
            if id(line) not in named and not _is_part(line, body):
                mistakes.add(
                    None,
                    "this line has no name, so it is no part of the machine",
                    "name it: submit = draft.to(...)",
                    line.place,
                )
    for name, line in lines.items():
        for alias in line.aliases:
            mistakes.add(line, f"it is also called {alias}", "one line, one name; make a second line for the other")
        if name in RESERVED or name.startswith("_"):
            mistakes.add(
                line,
                f"{name} is not a name for a line",
                "choose a name without a leading _, not " + ", ".join(RESERVED),
            )
    initial = [line for line in lines.values() if isinstance(line, State) and line.initial is not None]
    if not initial:
        mistakes.add(None, "no state is initial, so no run can start", "give one state initial=SomePayload")
    for line in initial[1:]:
        mistakes.add(
            line,
            f"it is initial, and so is {initial[0].name}",
            "one state is initial; it may take several classes: initial=(A, B)",
        )


def _is_part(line: Line, body: Body) -> bool:
    """A line that another was made from, as `reject.but(...)`'s original, needs no name here."""
    return any(
        getattr(other, "name", None) == line.name and line.name for other in body.values() if isinstance(other, Line)
    )


def check_state(mistakes: Mistakes, line: State[Any], memory: type[BaseModel] | None) -> None:
    final: object = line.final
    if final not in (None, "completed", "failed"):
        mistakes.add(line, f"final={final!r}", 'write final="completed" or final="failed"')
    if line.final is not None:
        given = [name for name in ("agent", "timeout_s", "initial", "otherwise") if getattr(line, name) is not None]
        given += ["guards"] if line.guards else []
        if given:
            mistakes.add(
                line,
                f"it is final and has {', '.join(given)}",
                "a final state only ends the run; put guards on the lines to it",
            )
    if line.agent is not None and not callable(line.agent):
        mistakes.add(line, f"its agent {line.agent!r} cannot be called", "give agent= a function of one view")
    if inspect.isclass(line.agent):
        mistakes.add(
            line, f"its agent is the class {line.agent.__name__}", f"give agent= an instance: {line.agent.__name__}()"
        )
    timeout: object = line.timeout_s
    if timeout is not None and (
        not isinstance(timeout, int | float) or isinstance(timeout, bool) or not 0 < timeout < 1e10
    ):
        mistakes.add(line, f"timeout_s={timeout!r}", "give a number of seconds above 0")
    if line.otherwise is not None and not line.guards and line.final is None:
        mistakes.add(line, "otherwise= without guards is never taken", "add guards=[...], or drop otherwise=")
    if line.remember is not None and line.initial is None:
        mistakes.add(
            line, "remember= on a state that is not initial", "put remember= on the transition that brings the payload"
        )
    check_remember(mistakes, line, line.remember, memory)


def check_predicate(mistakes: Mistakes, line: Line, when: object, memory: type[BaseModel] | None) -> None:
    wants = _function_mistake("when", when, (1, 2))
    if wants:
        mistakes.add(line, *wants)
    elif when is not None and arity(when) == 2 and memory is None:
        mistakes.add(
            line, "its predicate takes the memory, and this machine has none", "class X(Machine, memory=Notes)"
        )


def check_remember(mistakes: Mistakes, line: Line, remember: object, memory: type[BaseModel] | None) -> None:
    wants = _function_mistake("remember", remember, (2,))
    if wants:
        mistakes.add(line, *wants)
    elif remember is not None and memory is None:
        mistakes.add(line, "remember= in a machine without memory", "class X(Machine, memory=Notes)")


def _function_mistake(role: str, fn: Any, arities: tuple[int, ...]) -> tuple[str, str] | None:
    shape = "def name(payload) -> bool" if role == "when" else "def name(memory, payload) -> memory"
    if fn is None:
        return None
    if not callable(fn):
        return f"{role}={fn!r} cannot be called", f"give it a function: {shape}"
    if getattr(fn, "__name__", "<lambda>") == "<lambda>":
        return f"{role}= has no name, so a record could not name it", f"write it as {shape}"
    if inspect.iscoroutinefunction(fn):
        return f"{role}={fn.__name__} is async", f"it must be pure and immediate: {shape}"
    if arity(fn) not in (*arities, None):
        return f"{role}={fn.__name__} takes {arity(fn)} arguments", f"write it as {shape}"
    return None


def arity(fn: Any) -> int | None:
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in parameters)


def check_payloads(
    mistakes: Mistakes, used: Mapping[str, list[tuple[type[BaseModel], Line]]], memory: type[BaseModel] | None
) -> None:
    """The payload contract for every class named anywhere, and for the memory."""
    for name, uses in used.items():
        first, line = uses[0]
        for what, instead in contract_mistakes(first):
            mistakes.add(line, what, instead)
        for other, at in uses[1:]:
            if other is not first and isinstance(other, type):
                mistakes.add(
                    at, f"two payload classes are called {name}", f"give one of them event_name = 'Other{name}'"
                )
        if name in RUNTIME_EVENTS and first is not RUNTIME_EVENTS[name]:
            mistakes.add(
                line,
                f"{name} is the runtime's own event",
                f"import it from fsm, or rename yours: event_name = 'My{name}'",
            )
        for former in former_names(first) if name not in RUNTIME_EVENTS else ():
            if former in used or former in RUNTIME_EVENTS:
                mistakes.add(
                    line, f"{name} was formerly {former}, but {former} is still a payload here", "drop one of the two"
                )
        if isinstance(line, State) and name in RUNTIME_EVENTS:
            mistakes.add(line, f"a run cannot start with {name}", "name a payload of your own as initial=")
    if memory is not None:
        for what, instead in contract_mistakes(memory):
            mistakes.add(None, f"memory: {what}", instead)
        if not contract_mistakes(memory) and any(f.is_required() for f in memory.model_fields.values()):
            mistakes.add(
                None,
                f"memory {memory.__name__} has required fields, but a run begins with an empty one",
                "give every field a default",
            )


def check_ends(mistakes: Mistakes, spec: MachineSpec) -> None:
    """States without a way out, unhandled timeouts, classes that hide one another."""
    for state in spec.states:
        leaving = [line for line in spec.transitions if state.name in line.sources]
        events = {event: line for line in leaving for event in line.events}
        if state.kind != "final" and not any(event not in RUNTIME_EVENTS for event in events):
            mistakes.add(
                state,
                "no transition leaves it on a payload, so a run stays there",
                f"write {state.name}.to(..., on=...), or final=",
            )
        if state.kind == "waiting" and state.timeout_ms is not None and not {"TimedOut", "AgentFailed"} & set(events):
            mistakes.add(
                state,
                "its wait has a timeout that leads nowhere",
                f"write {state.name}.to(..., on=TimedOut), or drop timeout_s=",
            )
        for event, line in events.items():
            for other in events:
                cls, parent = spec.classes[event], spec.classes[other]
                if cls is not parent and issubclass(cls, parent):
                    place = line.place
                    mistakes.add(
                        None,
                        f"{line.name}: {event} is a subclass of {other}, both leave {state.name}; the exact class decides",
                        "let neither inherit from the other",
                        place,
                    )


def check_agent_results(mistakes: Mistakes, spec: MachineSpec, results: Mapping[str, tuple[type, ...] | None]) -> None:
    for name, classes in results.items():
        taken = {event for line in spec.transitions if name in line.sources for event in line.events}
        for cls in classes or ():
            if not any(spec.classes[event] is cls for event in taken):
                known = ", ".join(sorted(taken - set(RUNTIME_EVENTS))) or "nothing"
                mistakes.add(
                    spec.state[name],
                    f"its agent returns {cls.__name__}, which no transition takes from here (it takes {known})",
                    f"write {name}.to(..., on={cls.__name__}), or change what the agent returns",
                )


def check_chains(mistakes: Mistakes, spec: MachineSpec) -> None:
    """An `otherwise` leads to a state whose own guards may refuse and lead on; that must come to an end."""
    for state in spec.states:
        todo, seen = list(state.otherwise.values()), [state.name]
        while todo:
            name = todo.pop()
            if name == state.name:
                chain = " -> ".join([*seen, name])
                mistakes.add(
                    state,
                    f"its otherwise comes back to itself: {chain}",
                    "let the last refusal end in a state without guards",
                )
                break
            if name not in seen:
                seen.append(name)
                todo += spec.state[name].otherwise.values()
