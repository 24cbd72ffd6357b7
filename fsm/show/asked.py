"""What was asked to make a decision: the candidate, each predicate's answer, each guard's numbers, who decided."""

from collections.abc import Mapping, Sequence

from attrs import frozen

from fsm.core.record import Record
from fsm.define.guard import Ruling
from fsm.define.parts import START_HOP, EverywhereSpec, StateSpec, TransitionSpec, Ways, way_for, way_id
from fsm.define.spec import MachineSpec
from fsm.show.telling import said, words

Places = Mapping[str, str]
"""File and line of each attribute of a machine whose code is at hand."""


@frozen
class Answer:
    """A predicate's answer; `result` is None where it raised."""

    transition: str
    predicate: str
    result: bool | None
    where: str = ""

    @property
    def said(self) -> str:
        return {True: "answered yes", False: "answered no", None: "raised"}[self.result]


@frozen(kw_only=True)
class Ruled:
    """A guard's verdict in words. The one that refused where it `decides` led to state `to` by `hop`, or nowhere."""

    guard: str
    at: str
    decision: str
    code: str
    numbers: Mapping[str, int]
    said: str
    decides: bool = False
    hop: str = ""
    to: str = ""
    where: str = ""


@frozen(kw_only=True)
class Asked:
    """One record's decision. `candidate` is the transition whose guards were asked, "" if none matched."""

    seq: int
    kind: str
    at_ms: int
    event: str
    event_id: str | None
    payload: str
    source: str
    state: str
    hop: str
    candidate: str
    predicates: tuple[Answer, ...] = ()
    verdicts: tuple[Ruled, ...] = ()
    where: str = ""


def asked(spec: MachineSpec, record: Record, places: Places) -> Asked:
    """What was asked for `record`, by the machine it was recorded under."""
    lines = {line.name: line for line in spec.transitions}
    named = [(name, lines[name].when if name in lines else None, result) for name, result in record.predicates]
    found = candidate(spec, record)
    return Asked(
        seq=record.seq,
        kind=record.kind,
        at_ms=record.at_ms,
        event=record.event,
        event_id=record.event_id,
        payload=words(record),
        source=record.source,
        state=record.state,
        hop=record.hop,
        candidate=found,
        predicates=tuple(
            Answer(name, when.name if when else "", yes, places.get(name, "")) for name, when, yes in named
        ),
        verdicts=_verdicts(spec, record, places),
        where=places.get(found, ""),
    )


def candidate(spec: MachineSpec, record: Record) -> str:
    """The transition that was for this record's event: the first whose predicate did not say no."""
    if record.hop == START_HOP or record.kind == "started":
        return START_HOP
    answers = dict(record.predicates)
    for line in takers(spec, record.source, record.event):
        if line.when is None or answers.get(line.name, False) is not False:
            return line.name
    return ""


def takers(spec: MachineSpec, state: str, event: str) -> list[TransitionSpec]:
    """The transitions from `state` for this event, in the order written."""
    event = spec.formerly.get(event, event)
    return [line for line in spec.transitions if state in line.sources and event in line.events]


def deciding(spec: MachineSpec, record: Record) -> Ruling | None:
    """The refusal that moved or halted the run last; None if nothing refused."""
    found = list(chain(spec, record.rulings))
    return record.rulings[found[-1]] if found else None


def _verdicts(spec: MachineSpec, record: Record, places: Places) -> tuple[Ruled, ...]:
    led = chain(spec, record.rulings)
    return tuple(
        Ruled(
            guard=ruling.guard,
            at=ruling.at,
            decision=ruling.verdict.decision,
            code=ruling.verdict.code,
            numbers=dict(ruling.verdict.numbers),
            said=said(ruling),
            decides=index in led,
            hop=led.get(index, ("", ""))[0],
            to=led.get(index, ("", ""))[1],
            where=places.get(ruling.at, ""),
        )
        for index, ruling in enumerate(record.rulings)
    )


def chain(spec: MachineSpec, rulings: Sequence[Ruling]) -> dict[int, tuple[str, str]]:
    """The refusals that decided, by their place among the rulings: the hop and state each led to, or neither.

    A refusal opens the way its `otherwise` names, where the target's entry guards are asked in turn.
    """
    found: dict[int, tuple[str, str]] = {}
    target: str | None = None
    for index, ruling in enumerate(rulings):
        if ruling.verdict.decision != "refuse" or (target is not None and ruling.at != target):
            continue
        ways = _ways(spec, ruling.at)
        key = way_for(ways, ruling.verdict.code)
        if key is None:
            return {**found, index: ("", "")}
        target = ways[key]
        found[index] = way_id(ruling.at, key), target
    return found


def _ways(spec: MachineSpec, attribute: str) -> Ways:
    return next((part.otherwise for part in attributes(spec) if part.name == attribute), {})


def attributes(spec: MachineSpec) -> list[TransitionSpec | StateSpec | EverywhereSpec]:
    """Everything in a machine that has a name, a place and guards."""
    return [*spec.transitions, *spec.states, *spec.everywhere]
