"""One decision in the abstract: the event, what each predicate and guard on the way must say, and where it leads.

Predicates, checks and `remember` may answer anything, and may raise; only what the kernel counts is known.
"""

from typing import Literal

from attrs import frozen

from fsm.define.events import RUNTIME_EVENTS
from fsm.define.guard import Counter, Placed

Outcome = Literal["moved", "retried", "refused", "stopped", "stuck"]
Answers = tuple[tuple[str, bool | None], ...]

FAULTS = ("guard_error", "defer_exhausted", "predicate_error", "remember_error", "memory_full")
WORLD = ("strikes", "elapsed_ms")


@frozen(eq=False)
class Asked:
    """A guard on the way, and what it must say: "" lets pass, a code refuses, None is all the same."""

    guard: Placed
    code: str | None

    @property
    def below(self) -> bool:
        """Whether this is a cap whose count must be below its limit."""
        return self.code == "" and is_cap(self.guard)

    @property
    def reached(self) -> bool:
        """Whether this is a cap whose count must have reached its limit."""
        return bool(self.code) and is_cap(self.guard)


@frozen(eq=False, repr=False, kw_only=True)
class Course:
    """What a decision on a line asks and does, from whatever state it comes.

    `hop` and `target` are "" where a refusal leads nowhere. `up` and `reset` are the counters, of those that
    caps look at, that the hop counts and begins again. `fault` is the first code on the way that only
    failing code gives: an exception, a full memory, a deferral without end.
    """

    line: str
    hop: str
    target: str
    asked: tuple[Asked, ...] = ()
    up: tuple[Counter, ...] = ()
    reset: tuple[Counter, ...] = ()
    fault: str = ""


@frozen(eq=False, repr=False)
class Move:
    """One decision that may be made in `source`: `predicates` and the guards `asked` have to agree.

    `event` is what is decided: an unanswered wait that nobody takes is `AgentFailed` here. `before` are the guards
    that refused a retry first. A retry stays in the same visit: it is a hop, and enters nothing.
    """

    source: str
    event: str
    outcome: Outcome
    predicates: Answers
    course: Course
    before: tuple[Asked, ...] = ()

    @property
    def asked(self) -> tuple[Asked, ...]:
        """All guards on the way, in the order asked."""
        return self.before + self.course.asked if self.before else self.course.asked

    @property
    def target(self) -> str:
        """Where the run is after it."""
        return self.course.target or self.source

    @property
    def hop(self) -> str:
        return self.course.hop

    @property
    def moved(self) -> bool:
        """Whether it takes a declared hop."""
        return self.outcome in ("moved", "retried")

    @property
    def retries(self) -> bool:
        return self.outcome == "retried"

    @property
    def fault(self) -> str:
        """The failure of the user's own code without which this does not happen."""
        return self.course.fault

    @property
    def of_user(self) -> bool:
        """Whether it is an event of the user's, not the runtime's."""
        return self.event not in RUNTIME_EVENTS

    def __str__(self) -> str:
        if self.retries:
            return f"{self.event}: {self.source} is tried again by {self.hop}"
        where = f"{self.source} -> {self.target} by {self.hop}" if self.moved else f"{self.outcome} in {self.source}"
        return f"{self.event}: {where}"


def is_counted(guard: Placed) -> bool:
    """Whether the kernel counts for it, and asks no code."""
    return guard.counter is not None and guard.limit is not None


def is_cap(guard: Placed) -> bool:
    """Whether it counts what the run itself does; any other guard may say anything, or all that the world may count."""
    return is_counted(guard) and not of_world(guard)


def of_world(guard: Placed) -> bool:
    """Whether it counts what happens to the run: failures in a row, and time."""
    return is_counted(guard) and guard.counter is not None and guard.counter.of in WORLD
