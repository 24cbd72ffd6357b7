"""A scenario: a run that nobody has made yet, as `fsm check` writes one, decided event by event by the engine.

It holds no payloads: predicates and guards that do not count answer what stands in it, caps count. `loop` is what
an endless run does over and over; it is decided twice, and has to come back each time to where it began, counters
included as far as any cap looks at them: so it can be taken again for ever.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal, NotRequired

from attrs import frozen
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from fsm.core.asking import NotRecorded
from fsm.core.record import Record
from fsm.core.snapshot import Snapshot
from fsm.define.payload import validation_problems
from fsm.define.spec import MachineSpec
from fsm.verify.move import is_cap
from fsm.verify.witness import decisions, without_code

LAPS = 2


class EventForm(TypedDict):
    event: str
    own: bool
    source: str
    state: str
    hop: str
    outcome: str
    predicates: list[tuple[str, bool | None]]
    guards: list[tuple[str, str, str, str]]
    spent: tuple[int, int]
    counters: dict[str, int]
    strikes: NotRequired[dict[str, int]]
    elapsed_ms: NotRequired[int]
    shared: NotRequired[list[tuple[str, str, dict[str, Any]]]]
    put_off: NotRequired[bool]


class ScenarioForm(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    format: Literal[1]
    machine: str
    fingerprint: str
    events: list[EventForm]
    loop: NotRequired[list[EventForm]]


@frozen
class Scenario:
    """A scenario as its file holds it."""

    machine: str
    fingerprint: str
    events: tuple[EventForm, ...]
    loop: tuple[EventForm, ...] = ()

    @staticmethod
    def from_json(text: str) -> "Scenario":
        """The scenario in a text; `ValueError` saying why it is none."""
        try:
            form = _forms().validate_python(json.loads(text))
        except ValidationError as error:
            raise ValueError(f"not a scenario: {'; '.join(validation_problems(error))}") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not a scenario: no JSON ({error})") from None
        return Scenario(form["machine"], form["fingerprint"], tuple(form["events"]), tuple(form.get("loop", ())))


@frozen
class Taken:
    """An event of a scenario as the engine decided it, what caps count after it, and which lap of the loop it is in."""

    record: Record
    counters: dict[str, int]
    lap: int = 0


@cache
def _forms() -> TypeAdapter[ScenarioForm]:
    return TypeAdapter(ScenarioForm)


def replayed(scenario: Scenario, spec: MachineSpec) -> Iterator[Taken]:
    """Each event, decided; `ValueError` where the machine goes another way than the scenario says."""
    if scenario.fingerprint != spec.fingerprint:
        raise ValueError(f"{spec.name} has changed since the scenario was written; check it again")
    capped: dict[str, int] = {}
    for guard in spec.guards:
        if is_cap(guard) and guard.counter is not None and guard.limit is not None:
            capped[guard.counter.key] = max(guard.limit, capped.get(guard.counter.key, 0))
    engine, now = without_code(spec), Snapshot()
    for lap, events in enumerate([scenario.events, *[scenario.loop] * LAPS]):
        forms: list[dict[str, Any]] = [dict(event) for event in events]
        began = _counted(now, capped)
        try:
            for decision in decisions(engine, forms, now):
                now = decision.snapshot
                if decision.record is not None:  # beyond refusals_max a refusal is only counted
                    yield Taken(decision.record, {key: now.counters.get(key, 0) for key in capped}, lap)
        except NotRecorded as missing:
            raise ValueError(f"the scenario has no answer of {missing}") from None
        except KeyError as error:
            raise ValueError(f"the scenario names {error}, which {spec.name} does not have") from None
        grown = [key for key, count in _counted(now, capped).items() if lap and count != began[key]]
        if grown:
            after = now.counters.get(grown[0], 0)
            raise ValueError(f"the loop is none: {grown[0]} goes from {began[grown[0]]} to {after}")


def _counted(now: Snapshot, capped: Mapping[str, int]) -> dict[str, int]:
    """Each count, no further than the highest limit that it is held against."""
    return {key: min(now.counters.get(key, 0), limit) for key, limit in capped.items()}
