"""The form of a machine in JSON, and whether given data has it: nothing of it is evaluated or imported."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from fsm.define.events import RUNTIME_EVENTS
from fsm.define.guard import Kind as GuardKind
from fsm.define.guard import Standing
from fsm.define.parts import BOUND_NAMES, START, START_HOP, Kind, PromiseKind, retry_id, way_id
from fsm.define.payload import validation_problems

FORMAT = 1
Whole = Annotated[int, Field(ge=0)]


class CounterForm(TypedDict):
    of: Literal["fires", "visits", "hops", "tokens", "usd_micros", "strikes", "elapsed_ms"]
    subject: str
    since: str


class ShareForm(TypedDict):
    kind: Literal["breaker", "budget", "rate"]
    name: str


class GuardForm(TypedDict):
    guard: str
    at: str
    standing: Standing
    kind: GuardKind
    codes: list[str]
    params: dict[str, bool | int | str]
    counter: CounterForm | None
    limit: int | None
    shares: NotRequired[ShareForm]


class RetryForm(TypedDict):
    attempts_max: int
    base_ms: int
    cap_ms: int
    when: str


class StateForm(TypedDict):
    name: str
    kind: Kind
    initial: list[str]
    final: Literal["completed", "failed"] | None
    timeout_ms: Annotated[int, Field(ge=1)] | None
    tokens_max: NotRequired[Whole | None]
    usd_micros_max: NotRequired[Whole | None]
    tokens_min: NotRequired[Whole]
    guards: list[GuardForm]
    otherwise: dict[str, str]
    remember: str | None
    retry: NotRequired[RetryForm]
    title: str


class PredicateForm(TypedDict):
    name: str
    memory: bool


class TransitionForm(TypedDict):
    name: str
    sources: list[str]
    target: str
    events: list[str]
    when: PredicateForm | None
    guards: list[GuardForm]
    otherwise: dict[str, str]
    remember: str | None
    carries: NotRequired[bool]


class EverywhereForm(TypedDict):
    name: str
    guards: list[GuardForm]
    otherwise: dict[str, str]


class PromiseForm(TypedDict):
    name: str
    kind: PromiseKind
    what: str
    then: str
    before: str


class FieldForm(TypedDict):
    type: str
    required: bool
    constraints: list[str]


class ShapeForm(TypedDict):
    name: str
    fields: dict[str, FieldForm]
    formerly: list[str]
    parts: list["ShapeForm"]


class MachineForm(TypedDict):
    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")  # type: ignore[misc]

    format: Literal[1]
    name: str
    doc: str
    states: list[StateForm]
    transitions: list[TransitionForm]
    everywhere: list[EverywhereForm]
    promises: NotRequired[list[PromiseForm]]
    payloads: list[ShapeForm]
    memory: ShapeForm | None
    bounds: dict[str, Whole]


@cache
def _forms() -> TypeAdapter[MachineForm]:
    return TypeAdapter(MachineForm)


def checked(form: Any) -> dict[str, Any]:
    """The form of a machine; `ValueError` saying where it is not one."""
    if not isinstance(form, dict) or form.get("format") != FORMAT:
        raise ValueError(f"not a machine in format {FORMAT}: write it with spec.to_json()")
    try:
        _forms().validate_python(form, strict=True)
    except ValidationError as error:
        raise ValueError(f"not a machine: {'; '.join(validation_problems(error))}") from None
    wrong = next(_wrong(form), None)
    if wrong is not None:
        raise ValueError(f"not a machine: {wrong}")
    return form


def _wrong(form: dict[str, Any]) -> Iterator[str]:
    """Names that lead nowhere, or to two things, and what no class could have said."""
    states = [state["name"] for state in form["states"]]
    payloads = {*RUNTIME_EVENTS, *(shape["name"] for shape in form["payloads"])}
    places = [*form["states"], *form["transitions"], *form["everywhere"]]
    yield from (f"two parts are named {name!r}" for name in _twice(place["name"] for place in places))
    yield from (f"two payloads are named {name!r}" for name in _twice(shape["name"] for shape in form["payloads"]))
    yield from (f"two hops have the id {id!r}" for id in _twice(_hop_ids(form)))
    yield from (f"{line['name']} leaves no state" for line in form["transitions"] if not line["sources"])
    yield from (f"{line['name']} takes no payload" for line in form["transitions"] if not line["events"])
    yield from (f"a part is named {place['name']!r}" for place in places if place["name"] in (START, START_HOP))
    yield from filter(None, map(_wrong_state, form["states"]))
    yield from (wrong for place in places for wrong in _wrong_guards(place))
    if sum(bool(state["initial"]) for state in form["states"]) != 1:
        yield "not exactly one state is initial"
    yield from (f"there is no bound {name!r}" for name in form["bounds"] if name not in BOUND_NAMES)
    lines = {*states, *(line["name"] for line in form["transitions"])}
    for promise in form.get("promises", ()):
        named = [name for name in (promise["what"], promise["then"], promise["before"]) if name]
        yield from (
            f"{promise['name']} promises about {name!r}, which is not there" for name in named if name not in lines
        )
    for place in places:
        ways = [
            *place["otherwise"].values(),
            *place.get("sources", ()),
            *(place[key] for key in ("target",) if key in place),
        ]
        yield from (
            f"{place['name']} names the state {name!r}, which is not there" for name in ways if name not in states
        )
        events = [*place.get("initial", ()), *place.get("events", ())]
        yield from (
            f"{place['name']} names the payload {name!r}, which is not there" for name in events if name not in payloads
        )


def _wrong_state(state: dict[str, Any]) -> str:
    if (state["kind"] == "final") != (state["final"] is not None):
        return f"{state['name']} is of kind {state['kind']} and final={state['final']}"
    most, least = state.get("tokens_max"), state.get("tokens_min", 0)
    above = most is not None and least > most
    return f"{state['name']} has tokens_min {least} above tokens_max {most}" if above else ""


def _wrong_guards(place: dict[str, Any]) -> Iterator[str]:
    for guard in place["guards"]:
        if guard["at"] != place["name"]:
            yield f"{guard['guard']} of {place['name']} says that it stands at {guard['at']}"
        if not guard["codes"] and (guard["kind"] != "sure" or guard["counter"] is not None):
            yield f"{guard['guard']} of {place['name']} has no code to refuse with"


def _hop_ids(form: dict[str, Any]) -> Iterator[str]:
    """Of every hop that these parts declare, and of the start."""
    yield START_HOP
    yield from (line["name"] for line in form["transitions"])
    for place in (*form["states"], *form["transitions"], *form["everywhere"]):
        yield from (way_id(place["name"], code) for code in place["otherwise"])
        yield from (retry_id(place["name"]) for _ in range("retry" in place))


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, number in Counter(names).items() if number > 1]
