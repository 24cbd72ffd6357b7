"""A run in a test: decided event by event, without journal, runner or clock."""

from typing import Any, ClassVar

import attrs
from attrs import define, field
from pydantic import BaseModel

from fsm import Facts, Guard, Kind, Machine, Record, Spent, Verdict, View, allow, defer, refuse
from fsm.core.conclude import Decision, decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.record import NOTHING
from fsm.core.snapshot import Snapshot, fold
from fsm.define.payload import seal

MIB = 1 << 20


class Word(BaseModel):
    """A payload that says what each guard and predicate answers, by its label."""

    says: dict[str, str] = {}


class Other(BaseModel):
    says: dict[str, str] = {}


@attrs.frozen
class Says(Guard):
    """Answers as the payload says; allows where it says nothing."""

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("no", "never", "later")
    label: str

    def check(self, facts: Facts, /) -> Verdict:
        said = getattr(facts.payload, "says", {}).get(self.label, "allow")
        answers: dict[str, Any] = {
            "allow": allow(asked=1),
            "refuse": refuse("no", asked=1),
            "never": refuse("never"),
            "later": defer("later", facts.at_ms + 1_000),
            "much later": defer("later", facts.at_ms + 10_000),
            "past": defer("later", facts.at_ms - 1_000),
            "next year": defer("later", facts.at_ms + 365 * 86_400_000),
            "unheard": refuse("unheard"),
            "nothing": None,
            "text": "no",
            "maybe": Verdict("maybe"),  # type: ignore[arg-type]
            "half": refuse("no", share=0.5),  # type: ignore[arg-type]
            "listed": Verdict("refuse", "no", [1]),  # type: ignore[arg-type]
            "numbered": Verdict("refuse", "no", {1: 1}),  # type: ignore[dict-item]
            "no moment": Verdict("defer", "later"),
        }
        if said == "raise":
            raise LookupError(f"{self.label} is lost")
        if said == "raise unprintable":
            raise Unprintable
        return answers[said]  # type: ignore[no-any-return]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def is_yes(word: Word) -> bool:
    """A predicate that answers as the payload says."""
    if word.says.get("when") == "raise":
        raise ValueError("cannot tell")
    return word.says.get("when", "yes") == "yes"


async def answer(view: View[Any]) -> BaseModel:
    raise AssertionError("no agent is called when deciding")


@define
class Trip:
    """One run: `snapshot` is where it stands, `records` what was decided so far."""

    machine: type[Machine]
    engine: Engine = field(init=False)
    snapshot: Snapshot = field(factory=Snapshot)
    records: list[Record] = field(factory=list)
    now_ms: int = 1_000_000

    def __attrs_post_init__(self) -> None:
        self.engine = Engine(self.machine.spec)

    def event(
        self, payload: BaseModel, *, own: bool = True, event_id: str | None = None, spent: Spent = NOTHING
    ) -> Event:
        self.now_ms += 1
        return Event(payload=seal(payload, MIB), at_ms=self.now_ms, own=own, event_id=event_id, spent=spent)

    def adopt(self, decision: Decision) -> Record | None:
        if decision.record is not None:
            assert fold(self.machine.spec, [decision.record], self.snapshot) == attrs.evolve(
                decision.snapshot, memory=self.snapshot.memory
            )
            self.records.append(decision.record)
        self.snapshot = decision.snapshot
        return decision.record

    def own(self, payload: BaseModel, *, spent: Spent = NOTHING) -> Record:
        """An event of the run's own visit, or the start."""
        record = self.adopt(decide(self.engine, self.snapshot, self.event(payload, spent=spent)))
        assert record is not None
        return record

    def send(self, payload: BaseModel, event_id: str = "e") -> Record | None:
        """An event from outside."""
        return self.adopt(decide(self.engine, self.snapshot, self.event(payload, own=False, event_id=event_id)))

    def sent(self, payload: BaseModel, event_id: str = "e") -> Record:
        """The same, where it must be recorded."""
        record = self.send(payload, event_id)
        assert record is not None
        return record


def begun(machine: type[Machine], payload: BaseModel | None = None) -> Trip:
    """A run that has just been started."""
    trip = Trip(machine)
    trip.own(payload or Word())
    return trip


def answers(record: Record) -> list[tuple[str, str, str]]:
    """Who was asked, in order, and the code or the decision."""
    return [(r.at, r.guard, r.verdict.code or r.verdict.decision) for r in record.rulings]
