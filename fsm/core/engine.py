"""The one door to `transitions`: which transitions exist, and which one fires.

One `transitions.Machine` a spec, without models: any object with a `.state` can be triggered on it. Its
conditions, callbacks and queues are not used; `Event.trigger` and `Transition.execute` are overridden,
because what may fire and what comes of it is decided in `select` and `conclude`, and recorded.

A spec becomes two families of events. `?Draft` is *which*: the transitions on Draft from a state, in the
order written. `!reject` is *go*: one declared hop.
"""

from collections.abc import Callable, Iterable
from typing import Any

from attrs import define
from transitions import Event, Machine, MachineError, Transition

from fsm.define.parts import START, TransitionSpec
from fsm.define.spec import MachineSpec

Undeclared = MachineError  # what `go` raises for a hop that is not declared


@define
class _Trip:
    """What passes through the machine: a state, and while choosing, the question put to each transition."""

    state: str
    matches: Callable[[TransitionSpec], bool] | None = None
    chosen: TransitionSpec | None = None


class _Event(Event):
    """An event whose transitions are tried in order on a trip, without EventData and callbacks."""

    def trigger(self, model: Any, *args: Any, **kwargs: Any) -> bool:
        lines = self.transitions.get(model.state)
        if not lines:
            raise MachineError(f"no transition {self.name} from state {model.state}")
        for line in lines:  # noqa: SIM110 (a generator would be made, and thrown away, twice a hop)
            if line.execute(model):
                return True
        return False


class _Line(Transition):
    """A declared transition: it is chosen if its predicate matches, and moves the trip when it is to go."""

    def __init__(self, *args: Any, line: TransitionSpec | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.line = line

    def execute(self, event_data: Any) -> bool:
        trip: _Trip = event_data
        if trip.matches is None:
            assert self.dest is not None
            trip.state = self.dest
            return True
        assert self.line is not None
        if not trip.matches(self.line):
            return False
        trip.chosen = self.line
        return True


class _Machine(Machine):
    event_cls = _Event
    transition_cls = _Line


class Engine:
    """A spec's transitions, ready to be asked."""

    def __init__(self, spec: MachineSpec) -> None:
        self.spec = spec
        names = [START, *(state.name for state in spec.states)]
        self._machine = _Machine(
            model=None, states=names, initial=START, auto_transitions=False, send_event=True, queued=False
        )
        for line in spec.transitions:
            for event in line.events:
                self._add(f"?{event}", line.sources, line.target, line)
        for hop in spec.hops.values():
            self._add(f"!{hop.id}", hop.sources, hop.target, None)

    def _add(self, trigger: str, sources: Iterable[str], target: str, line: TransitionSpec | None) -> None:
        self._machine.add_transition(trigger, list(sources), target, line=line)

    def handles(self, state: str, event: str) -> bool:
        """Whether any transition from `state` is declared on `event`."""
        found = self._machine.events.get(f"?{event}")
        return found is not None and bool(found.transitions.get(state))

    def choose(self, state: str, event: str, matches: Callable[[TransitionSpec], bool]) -> TransitionSpec | None:
        """The first transition from `state` on `event`, in the order written, that `matches`."""
        found = self._machine.events.get(f"?{event}")
        if found is None or not found.transitions.get(state):
            return None
        trip = _Trip(state, matches)
        found.trigger(trip)
        return trip.chosen

    def go(self, state: str, hop: str) -> str:
        """The state after `hop`; `transitions` refuses a hop that is not declared from `state`."""
        trip, event = _Trip(state), self._machine.events.get(f"!{hop}")
        if event is None:
            raise Undeclared(f"no hop {hop}")
        event.trigger(trip)
        return trip.state
