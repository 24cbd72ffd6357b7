"""How states are left: what only shows when a machine's lines are seen together.

Each check is sparing: where a line is lost or unreadable, what it might have done is taken as done.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from fsm.define.agent import returned
from fsm.define.events import RUNTIME_EVENTS, RuntimeEvent
from fsm.define.guard import Placed, Share
from fsm.define.mistakes import Mistakes
from fsm.define.parts import EverywhereSpec, StateSpec, TransitionSpec

Classes = Mapping[str, type[BaseModel]]


def check_ends(
    mistakes: Mistakes,
    states: Sequence[StateSpec],
    transitions: Sequence[TransitionSpec],
    classes: Classes,
    left: Collection[str],
) -> None:
    """States without a way out, timeouts that lead nowhere, classes that hide one another; `left` by lost lines."""
    unreadable = any("" in line.sources for line in transitions)
    for state in states:
        leaving = [line for line in transitions if state.name in line.sources]
        events = {event: line for line in leaving for event in line.events}
        rings = state.kind == "waiting" and state.timeout_ms is not None
        heard = bool({"TimedOut", "AgentFailed"} & set(events))
        stays = state.kind != "final" and not any(event not in RUNTIME_EVENTS for event in events)
        if stays and not (rings and heard) and not unreadable and state.name not in left:
            what = "no transition leaves it on a payload, so a run stays there"
            mistakes.add(state, what, f"write {state.name}.to(..., on=...), or final=")
        elif rings and not heard and state.name not in left:
            what = "its wait has a timeout that leads nowhere"
            mistakes.add(state, what, f"write {state.name}.to(..., on=TimedOut), or drop timeout_s=")
        _check_classes(mistakes, state, events, classes)


def _check_classes(
    mistakes: Mistakes, state: StateSpec, events: Mapping[str, TransitionSpec], classes: Classes
) -> None:
    known = {event: classes[event] for event in events if event in classes}
    for event, cls in known.items():
        for other, parent in known.items():
            if cls is not parent and issubclass(cls, parent):
                what = f"{event} is a subclass of {other}, and both leave {state.name}; the exact class decides"
                mistakes.add(events[event], what, "let neither inherit from the other")


def check_agent_results(
    mistakes: Mistakes,
    states: Sequence[StateSpec],
    transitions: Sequence[TransitionSpec],
    classes: Classes,
    left: Collection[str],
    fallbacks: Mapping[str, Any],
) -> None:
    """What agents, and the `fallbacks` of states, say they return, against what is taken from their states."""
    for state in states:
        taken = dict.fromkeys(event for line in transitions if state.name in line.sources for event in line.events)
        own = [event for event in taken if event not in RUNTIME_EVENTS]
        unknown = state.name in left or any(event not in classes for event in own) or not own
        of_state = None if unknown else [classes[event] for event in own]
        for role, agent in (("agent", state.agent), ("fallback", fallbacks.get(state.name))):
            for part in () if agent is None else returned(agent):
                wrong = _result_mistake(state.name, role, part, of_state)
                if wrong is not None:
                    mistakes.add(state, *wrong)


def _result_mistake(state: str, role: str, part: Any, taken: list[type[BaseModel]] | None) -> tuple[str, str] | None:
    """`part` is one of the types that an agent says it returns; an unknown one is no mistake."""
    if not isinstance(part, type) or part in (object, BaseModel):
        return None
    if issubclass(part, RuntimeEvent):
        return f"its {role} returns {part.__name__}, which only the runtime makes", "raise an error instead"
    if not issubclass(part, BaseModel):
        if part.__module__ != "builtins":
            return None
        name = "None" if part is type(None) else part.__name__
        return f"its {role} returns {name}, which is no payload", "return a pydantic model that a transition takes"
    if taken is None or any(issubclass(cls, part) for cls in taken):
        return None
    twin = next((cls for cls in taken if cls.__name__ == part.__name__), None)
    if twin is not None:
        what = f"its {role} returns the {part.__name__} of {part.__module__}, and that of {twin.__module__} is taken"
        return what, "declare it once, and import it everywhere by the same name"
    known = ", ".join(sorted(cls.__name__ for cls in taken))
    return (
        f"its {role} returns {part.__name__}, which no transition takes from here (it takes {known})",
        f"write {state}.to(..., on={part.__name__}), or change what the {role} returns",
    )


def check_counts(mistakes: Mistakes, states: Sequence[StateSpec], transitions: Sequence[TransitionSpec]) -> None:
    """A cap that counts the entries of the very state that begins its count again would never refuse."""
    finals = {state.name for state in states if state.kind == "final"}
    entered: list[tuple[StateSpec | TransitionSpec, str]] = [(state, state.name) for state in states]
    entered += [(line, line.target) for line in transitions]
    for place, target in entered:
        for guard in place.guards:
            counter = guard.counter
            if counter is not None and counter.subject and target and counter.since == target:
                what = f"{guard.name} begins to count again at {target}, where this leads, so it never refuses"
                mistakes.add(place, what, "name another state as since=, or drop it")
            if counter is not None and counter.since in finals:
                what = f"{guard.name} begins to count again at {counter.since}, which is final: nothing comes after it"
                mistakes.add(place, what, "name another state as since=, or drop it")


def check_shares(mistakes: Mistakes, places: Sequence[StateSpec | TransitionSpec | EverywhereSpec]) -> None:
    """Guards of one name share a row, so each would judge, and change, what another counted by other limits.

    A budget's limit is not what it counts: a state for the end of all runs may go further than the others.
    """
    first: dict[Share, tuple[Placed, str]] = {}
    for place in places:
        for guard in place.guards:
            if guard.shares is None:
                continue
            other, at = first.setdefault(guard.shares, (guard, place.name))
            own = ("limit", "warn_at") if guard.shares.kind == "budget" else ()
            names = [name for name in {**other.params, **guard.params} if name not in own]
            pairs = ((name, guard.params.get(name), other.params.get(name)) for name in names)
            told = ", ".join(f"{name} {here}, there {there}" for name, here, there in pairs if here != there)
            if told:
                what = f"{guard.name}({guard.shares.name!r}) is the one of {at} with other parameters: {told}"
                mistakes.add(place, what, "make it once, and put the same guard at each place; or give it another name")


def check_chains(mistakes: Mistakes, states: Sequence[StateSpec]) -> None:
    """An `otherwise` leads to a state whose own guards may refuse and lead on; that must come to an end."""
    leads = {state.name: tuple(dict.fromkeys(state.otherwise.values())) for state in states}
    told: set[frozenset[str]] = set()
    for state in states:
        chain = _way_back(leads, state.name, (state.name,))
        if chain and frozenset(chain) not in told:
            told.add(frozenset(chain))
            what = f"its otherwise comes back to itself: {' -> '.join(chain)}"
            mistakes.add(state, what, "let the last refusal end in a state without guards")


def _way_back(leads: Mapping[str, tuple[str, ...]], goal: str, path: tuple[str, ...]) -> tuple[str, ...] | None:
    """The way along `otherwise` from the end of `path` back to `goal`, if there is one."""
    for name in leads.get(path[-1], ()):
        if name == goal:
            return (*path, name)
        if name not in path and (found := _way_back(leads, goal, (*path, name))):
            return found
    return None
