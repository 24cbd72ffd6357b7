"""What is decided, and what is found before it is: an event, the ways it may go, and a plan of them."""

from collections.abc import Mapping

from attrs import field

from fsm.core.asking import Answer
from fsm.core.record import NO_NOTE, NO_STRIKES, NOTHING, Spent
from fsm.core.snapshot import Snapshot
from fsm.core.strikes import Outcome
from fsm.define.guard import NOTHING_KEPT, Placed
from fsm.define.payload import Payload
from fsm.define.value import value

ESCALATED = "escalated"
PERMIT = "permit"  # what a guard that shares a row keeps: the generation, counted from 1
NEVER = -1

Asked = tuple[Placed, int]
"""A guard that shares a row, and the generation in which it permitted the visit or the call."""
Told = tuple[Placed, int, Outcome]
"""The same, and what it hears: what came of that."""


@value(kw_only=True)
class Event:
    """One payload arriving: from the run's own visit (`own`), or from outside with an `event_id`.

    `at_ms` is the moment it is decided at; `spent` what the run has spent since its last record; `strikes` the
    failures in a row of what was tried since, by name; `hung` what is to be told of calls that ended without an
    outcome, `unsettled` of those in flight, should their attempt end with this; `charge` the
    tokens that its visit, if it ends with this, lacks of `tokens_min`: guards see them as spent. `unread` says why
    its class reads it no more: it is for no transition, and only its digest is recorded. `note` goes into the record.
    """

    payload: Payload
    at_ms: int
    own: bool = True
    event_id: str | None = None
    spent: Spent = NOTHING
    strikes: Mapping[str, int] = NO_STRIKES
    hung: tuple[Told, ...] = ()
    unsettled: tuple[Told, ...] = ()
    charge: int = 0
    unread: str = ""
    note: Mapping[str, str | int] = NO_NOTE

    @property
    def escalated(self) -> bool:
        """Whether this is what another event became, which is not on record but for its name."""
        return ESCALATED in self.note

    @property
    def charged(self) -> Spent:
        """What will have been spent once the visit is over."""
        return self.spent + Spent(self.charge) if self.charge else self.spent


@value
class Way:
    """A hop that may be taken: what guards answer on it, and the ways that refusals there open, by place and code."""

    hop: str
    target: str
    answers: tuple[Answer, ...]
    otherwise: Mapping[tuple[str, str], "Way"] = field(factory=dict)


@value
class Retrying:
    """A retry that may be made after a `failure`: its hop, what guards answer, and when its attempt would begin."""

    hop: str
    failure: Event
    answers: tuple[Answer, ...]
    at_ms: int


@value(kw_only=True)
class Plan:
    """What `select` found: a `retry`, if nobody refuses it; a `way`, None where no transition is for this event.

    `told` is what guards hear that share what the attempt which ends with this depended on; `left` what they hear if
    an event from outside leads out of it.
    """

    event: Event
    predicates: tuple[tuple[str, bool | None], ...]
    way: Way | None
    memory: bytes | None = None
    retry: Retrying | None = None
    told: tuple[Told, ...] = ()
    left: tuple[Told, ...] = ()


def permitted(snapshot: Snapshot, guard: Placed) -> int:
    """The generation in which a guard that shares a row permitted the visit; NEVER if it was not asked."""
    return snapshot.kept.get(guard.kept_as, NOTHING_KEPT).get(PERMIT, NEVER + 1) - 1
