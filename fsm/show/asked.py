"""What was asked to make a decision: the candidate, each predicate's answer, each guard's numbers, who decided."""

from collections.abc import Mapping

from attrs import frozen

from fsm.core.record import Record
from fsm.define.parts import START_HOP, Named, TransitionSpec, retry_id
from fsm.define.spec import MachineSpec
from fsm.show.rulings import chain, given, retry_refused
from fsm.show.telling import ANSWERED, said, words

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
        return ANSWERED[self.result]


@frozen(kw_only=True)
class Ruled:
    """A guard's verdict in words. The one that refused where it `decides` led to state `to` by `hop`, or nowhere.

    `retry`: it was asked whether the attempt begins again; the first that refused that `decides` it.
    """

    guard: str
    at: str
    decision: str
    code: str
    numbers: Mapping[str, int]
    said: str
    decides: bool = False
    retry: bool = False
    hop: str = ""
    to: str = ""
    where: str = ""


@frozen(kw_only=True)
class Asked:
    """One record's decision. `candidate` is the transition or retry whose guards were asked, "" if none matched."""

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
    choosing = predicates(spec)
    named = [(name, choosing.get(name), result) for name, result in record.predicates]
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
            Answer(name, when.name if when else "", yes, place(places, name)) for name, when, yes in named
        ),
        verdicts=_verdicts(spec, record, places),
        where=place(places, found),
    )


def place(places: Places, name: str) -> str:
    """File and line of an attribute, or of the state that a retry is of; "" where the code is not at hand."""
    return places.get(name) or places.get(name.partition(".")[0], "")


def predicates(spec: MachineSpec) -> dict[str, Named]:
    """What chooses, by the transition or retry it belongs to."""
    found = {line.name: line.when for line in spec.transitions if line.when is not None}
    return found | {retry_id(state.name): state.retry.when for state in spec.states if state.retry is not None}


def candidate(spec: MachineSpec, record: Record) -> str:
    """The transition that was for this record's event: the first whose predicate did not say no; or the retry made."""
    if record.kind in ("retried", "forked"):
        return record.hop
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


def _verdicts(spec: MachineSpec, record: Record, places: Places) -> tuple[Ruled, ...]:
    found = given(spec, record)
    led, not_again = chain(spec, found), retry_refused(found)
    return tuple(
        Ruled(
            guard=one.ruling.guard,
            at=one.ruling.at,
            decision=one.ruling.verdict.decision,
            code=one.ruling.verdict.code,
            numbers=dict(one.ruling.verdict.numbers),
            said=said(one.ruling, one.guard),
            decides=index in led or one is not_again,
            retry=one.retry,
            hop=led.get(index, ("", ""))[0],
            to=led.get(index, ("", ""))[1],
            where=place(places, one.ruling.at),
        )
        for index, one in enumerate(found)
    )
