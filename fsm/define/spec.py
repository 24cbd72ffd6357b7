"""The machine as a value: everything that can be known of it before anything runs.

A spec compares, prints and travels as JSON without its code; compiled from a class it also carries the
code: agents, predicates, guards, payload classes. Nothing in it ever changes.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from attrs import field, frozen
from pydantic import BaseModel

from fsm.define import jsonform
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.forms import FORMAT, checked
from fsm.define.guard import Counter, Placed, Share
from fsm.define.parts import (
    BOUND_NAMES,
    START,
    START_HOP,
    Bounds,
    EverywhereSpec,
    Hop,
    Part,
    PromiseSpec,
    StateSpec,
    TransitionSpec,
    Ways,
    retry_id,
    way_id,
)
from fsm.define.payload import Payload, unseal
from fsm.define.shape import Shape


@frozen(kw_only=True)
class MachineSpec:
    """A whole machine. `payloads` maps event names to shapes, `classes` to the classes themselves."""

    name: str
    doc: str = ""
    states: tuple[StateSpec, ...]
    transitions: tuple[TransitionSpec, ...]
    everywhere: tuple[EverywhereSpec, ...] = ()
    promises: tuple[PromiseSpec, ...] = ()
    payloads: tuple[Shape, ...] = ()
    memory: Shape | None = None
    bounds: Bounds = field(factory=Bounds)
    classes: Mapping[str, type[BaseModel]] = field(factory=dict, eq=False, repr=False)
    memory_class: type[BaseModel] | None = field(default=None, eq=False, repr=False)

    @cached_property
    def state(self) -> dict[str, StateSpec]:
        return {state.name: state for state in self.states}

    @cached_property
    def parts(self) -> dict[str, Part]:
        """Everything that guards stand on, by attribute."""
        parts: tuple[Part, ...] = (*self.transitions, *self.states, *self.everywhere)
        return {part.name: part for part in parts}

    @cached_property
    def guards(self) -> tuple[Placed, ...]:
        """Every guard, in the order of the parts; a state's retry is one too."""
        retries = [state.retry.guard for state in self.states if state.retry is not None]
        return (*(guard for part in self.parts.values() for guard in part.guards), *retries)

    @cached_property
    def machine_wide(self) -> tuple[Placed, ...]:
        """The guards of the whole machine."""
        return tuple(guard for line in self.everywhere for guard in line.guards)

    @cached_property
    def initial(self) -> StateSpec:
        return next(state for state in self.states if state.initial)

    @cached_property
    def hops(self) -> dict[str, Hop]:
        """Every declared way, by id; `reject.otherwise` is the way a refused `reject` takes."""
        start = Hop(START_HOP, START_HOP, frozenset({START}), self.initial.name)
        found = [start, *(_direct(line) for line in self.transitions)]
        for line in self.transitions:
            found += _ways(line.name, frozenset(line.sources), line.otherwise)
        anywhere = frozenset({START, *(state.name for state in self.states if state.kind != "final")})
        for everywhere in self.everywhere:
            found += _ways(everywhere.name, anywhere, everywhere.otherwise)
        for state in self.states:
            found += _ways(state.name, anywhere, state.otherwise)
            if state.retry is not None:
                found.append(Hop(retry_id(state.name), state.name, frozenset({state.name}), state.name))
        return {hop.id: hop for hop in found}

    @cached_property
    def _names(self) -> dict[type[BaseModel], str]:
        return {cls: name for name, cls in self.classes.items()}

    def name_of(self, cls: type[BaseModel]) -> str | None:
        """The event name of exactly this class here; None if the machine does not know it."""
        return self._names.get(cls)

    def events_from(self, state: str) -> list[str]:
        """The user's events that some transition takes from `state`."""
        events = [event for line in self.transitions if state in line.sources for event in line.events]
        return [event for event in dict.fromkeys(events) if event not in RUNTIME_EVENTS]

    @cached_property
    def since_counters(self) -> tuple[Counter, ...]:
        """What is counted anew since a state was entered; every other count is kept for all hops and states."""
        counters = [guard.counter for guard in self.guards]
        return tuple(dict.fromkeys(counter for counter in counters if counter is not None and counter.since))

    def retry_guards(self, state: StateSpec) -> Iterator[Placed]:
        """The guards asked before a retry: its own cap, and those of state and machine that may judge it.

        There is no new payload, so none that looks at payloads; it is the same visit, so none that counts visits.
        """
        assert state.retry is not None
        yield state.retry.guard
        for guard in (*state.guards, *self.machine_wide):
            if guard.kind != "data" and (guard.counter is None or guard.counter.of != "visits"):
                yield guard

    @cached_property
    def timed(self) -> bool:
        """Whether any guard looks at how long the run has taken."""
        return any(guard.counter is not None and guard.counter.of == "elapsed_ms" for guard in self.guards)

    @cached_property
    def bounds_money(self) -> bool:
        """Whether a state or a guard, of this run or of many, limits what may be spent in money."""
        counted = [guard.counter.of for guard in self.guards if guard.counter is not None]
        shared = [guard.shares.name.partition(":")[0] for guard in self.guards if guard.shares is not None]
        return "usd_micros" in (*counted, *shared) or any(state.usd_micros_max is not None for state in self.states)

    @cached_property
    def deadlines_ms(self) -> tuple[int, ...]:
        """After how many milliseconds the whole machine refuses to go on."""
        return tuple(
            g.limit for g in self.machine_wide if g.counter and g.counter.of == "elapsed_ms" and g.limit is not None
        )

    @cached_property
    def shares(self) -> bool:
        """Whether any guard shares a row with other runs."""
        return any(guard.shares is not None for guard in self.guards)

    @cached_property
    def budgets(self) -> Mapping[tuple[str, str, int], Share]:
        """The budgets that guards share with other runs: by the guard's name, its place, and its number there."""
        shared = [(guard, guard.shares) for guard in self.guards if guard.shares is not None]
        return {(guard.name, guard.at, guard.nth): share for guard, share in shared if share.kind == "budget"}

    @cached_property
    def spends(self) -> Mapping[str, Mapping[Share, Placed]]:
        """Of each state the budgets that its visits spend, each once, with a guard that asks it."""
        found = {}
        for state in self.states:
            asked = [(guard, guard.shares) for guard in (*state.guards, *self.machine_wide)]
            found[state.name] = {share: guard for guard, share in asked if share and share.kind == "budget"}
        return found

    @cached_property
    def breakers(self) -> dict[str, tuple[Placed, ...]]:
        """Of each state with an agent the breakers that stand on it, each once."""
        found: dict[str, tuple[Placed, ...]] = {}
        for state in self.states:
            breakers = (guard for guard in state.guards if guard.shares is not None and guard.shares.kind == "breaker")
            if state.kind == "agent" and (once := {guard.shares: guard for guard in breakers}):
                found[state.name] = tuple(once.values())
        return found

    @cached_property
    def watched(self) -> frozenset[str]:
        """The names of what guards want to know the failures of."""
        struck = [g.counter.subject for g in self.guards if g.counter is not None and g.counter.of == "strikes"]
        return frozenset([*struck, *(g.shares.name for g in self.guards if g.shares and g.shares.kind == "breaker")])

    @cached_property
    def formerly(self) -> dict[str, str]:
        """Former event names, to the present ones."""
        return {former: shape.name for shape in self.payloads for former in shape.formerly}

    def stored(self, event: str, body: bytes, digest: bytes) -> Payload:
        """A payload as a record or an inbox holds it, under its event name of today, read by its class of today.

        Its value is None where no class is at hand. Raises `Invalid` where it does not satisfy its class any more.
        """
        now = event if event in self.classes else self.formerly.get(event, event)
        cls = self.classes.get(now) or RUNTIME_EVENTS.get(now)
        return Payload(now, unseal(cls, body) if cls is not None else None, body, digest)

    @cached_property
    def fingerprint(self) -> str:
        """sha256, in hex, of what decides how records are read: not titles, timeouts, promises or agents."""
        return jsonform.digest(self._form())

    def changes(self, after: "MachineSpec") -> tuple[str, ...]:
        """What differs in the fingerprint of two specs, a line each."""
        return jsonform.changes(self._form(), after._form())

    def to_json(self) -> str:
        """All of the machine but its code, as JSON text."""
        return self._json

    @cached_property
    def _json(self) -> str:
        return json.dumps({"format": FORMAT, **self._form()}, indent=1, ensure_ascii=False)

    @staticmethod
    def from_json(text: str) -> "MachineSpec":
        """The machine that `to_json` wrote; `ValueError` where the text is no machine. Nothing is imported."""
        try:
            form = checked(json.loads(text))
        except (json.JSONDecodeError, RecursionError, UnicodeDecodeError) as error:
            raise ValueError(f"not a machine: no JSON ({error})") from None
        return MachineSpec(
            name=form["name"],
            doc=form["doc"],
            states=tuple(jsonform.state_from(item) for item in form["states"]),
            transitions=tuple(jsonform.transition_from(item) for item in form["transitions"]),
            everywhere=tuple(jsonform.everywhere_from(item) for item in form["everywhere"]),
            promises=tuple(jsonform.promise_from(item) for item in form.get("promises", ())),
            payloads=tuple(jsonform.shape_from(item) for item in form["payloads"]),
            memory=jsonform.shape_from(form["memory"]) if form["memory"] else None,
            bounds=Bounds(**form["bounds"]),
        )

    def _form(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "doc": self.doc,
            "states": [jsonform.state_form(state) for state in self.states],
            "transitions": [jsonform.transition_form(line) for line in self.transitions],
            "everywhere": [jsonform.everywhere_form(line) for line in self.everywhere],
            "promises": [jsonform.promise_form(promise) for promise in self.promises],
            "payloads": [jsonform.shape_form(shape) for shape in self.payloads],
            "memory": jsonform.shape_form(self.memory) if self.memory else None,
            "bounds": {name: getattr(self.bounds, name) for name in BOUND_NAMES},
        }


def _direct(line: TransitionSpec) -> Hop:
    return Hop(line.name, line.name, frozenset(line.sources), line.target, carries=line.carries)


def _ways(owner: str, sources: frozenset[str], otherwise: Ways) -> list[Hop]:
    return [Hop(way_id(owner, code), owner, sources, target, otherwise=True) for code, target in otherwise.items()]
