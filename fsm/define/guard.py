"""The guard protocol: a pure check that permits, or refuses with a code and numbers.

A guard says, besides its verdict, everything that a proof needs without running it: its *kind*, the
*codes* it may refuse with, what it counts (`counter`), and its *limit*. So a machine loaded from JSON can
be verified, drawn and replayed without the guard's class.

Kinds: `cap`, an exact count against a limit; `data`, a check of the payload, which may pass or not; `env`,
something outside the run (a clock, a breaker, a person) that may refuse for ever, and alone may defer; `sure`,
always allows.
"""

from collections.abc import Mapping
from enum import Enum
from typing import ClassVar, Literal, Protocol

import attrs
from attrs import field, frozen
from pydantic import BaseModel

from fsm.define.place import Line
from fsm.define.value import value

Kind = Literal["cap", "data", "env", "sure"]
Standing = Literal["transition", "state", "run"]
Decision = Literal["allow", "refuse", "defer"]


@value
class Verdict:
    """What a guard says: allow; refuse with a code; or defer until a moment.

    Numbers are whole. `text` holds the error behind a `guard_error` and its like; it is for reading only.
    """

    decision: Decision
    code: str = ""
    numbers: Mapping[str, int] = field(factory=dict)
    until_ms: int | None = None
    text: str = field(default="", eq=False)


@value
class Ruling:
    """A verdict with the guard that gave it and where that stands; this is what a record holds."""

    guard: str
    at: str
    standing: Standing
    verdict: Verdict

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value}" for name, value in self.verdict.numbers.items())
        word = {"allow": "allows", "refuse": "refuses", "defer": "defers"}[self.verdict.decision]
        because = ": ".join(part for part in (self.verdict.code, told, self.verdict.text) if part)
        return f"{self.guard} on {self.at} {word}" + (f" ({because})" if because else "")


def allow(**numbers: int) -> Verdict:
    return Verdict("allow", numbers=numbers)


def refuse(code: str, **numbers: int) -> Verdict:
    return Verdict("refuse", code, numbers)


def defer(code: str, until_ms: int, **numbers: int) -> Verdict:
    """Not yet: ask again at `until_ms` (wall clock, milliseconds). For a guard of kind `env` only."""
    return Verdict("defer", code, numbers, until_ms)


def _counter_key(counter: "Counter") -> str:
    named = f"{counter.of}:{counter.subject}" if counter.subject else counter.of
    return f"{named}@{counter.since}" if counter.since else named


@frozen
class Counter:
    """Something a run counts, a fold of its records.

    `of` is what counts: firings of a hop, visits of a state, hops of the run, or its spending; `subject`
    names the hop or state. With `since`, every entry of that state starts the count again.
    """

    of: Literal["fires", "visits", "hops", "tokens", "usd_micros"]
    subject: str = ""
    since: str = ""
    key: str = field(init=False, eq=False, default=attrs.Factory(_counter_key, takes_self=True))
    """The counter's name in a snapshot."""


@frozen
class Facts:
    """All that a guard may look at. Nothing else exists for it: no clock, no file, no model."""

    source: str
    target: str
    hop: str
    payload: BaseModel | None
    counters: Mapping[str, int]
    at_ms: int
    entered_at_ms: int
    started_at_ms: int
    payload_bytes: int = 0


class Checks(Protocol):
    def __call__(self, facts: Facts, /) -> Verdict: ...


@frozen(kw_only=True)
class Placed:
    """A guard at its place in a machine: all of it but the code, and the code where there is one.

    `counter` and `limit` are set for a `cap`: it refuses with its first code once the counter has reached
    the limit. `check` is None for a machine loaded from JSON; `at` is the attribute it stands on.
    """

    name: str
    at: str
    standing: Standing
    kind: Kind
    codes: tuple[str, ...]
    params: Mapping[str, int | str]
    counter: Counter | None = None
    limit: int | None = None
    check: Checks | None = field(default=None, eq=False, repr=False)

    def count(self, counters: Mapping[str, int]) -> Verdict | None:
        """The verdict of a cap, which takes no code; None for every other guard."""
        if self.counter is None or self.limit is None:
            return None
        count = counters.get(self.counter.key, 0)
        numbers = {self.counter.of: count, f"{self.counter.of}_max": self.limit}
        return Verdict("refuse", self.codes[0], numbers) if count >= self.limit else Verdict("allow", "", numbers)


def not_whole(guard: "Guard", name: str, least: int) -> tuple[str, str] | None:
    """What is wrong with a parameter that must be an int, `least` or more; for a guard's `mistake`."""
    value = getattr(guard, name)
    if type(value) is int and value >= least:
        return None
    return f"{type(guard).__name__}({name}={value!r})", f"give a whole number, {least} or more"


def _param(value: object) -> int | str:
    if isinstance(value, int | str) and not isinstance(value, Enum):
        return value
    if isinstance(value, Line | Enum):
        return value.name
    return getattr(value, "__name__", None) or repr(value)


@frozen
class Guard:
    """What every guard is: subclass it with `attrs.frozen`, name its `codes` and `kind`, write `check`.

    A `cap` writes `counted` and `limit_of` instead of `check`: counting is the kernel's work.
    """

    kind: ClassVar[Kind] = "data"
    codes: ClassVar[tuple[str, ...]] = ()

    def check(self, facts: Facts, /) -> Verdict:
        """Allow, refuse or defer, from the facts alone. Raising refuses with code `guard_error`."""
        raise NotImplementedError

    def counted(self, standing: Standing, owner: str) -> Counter | None:
        """What a cap counts when it stands there; None if this guard is no cap."""
        return None

    def limit_of(self) -> int | None:
        """The count at which a cap refuses."""
        return None

    def mistake(self, standing: Standing) -> tuple[str, str] | None:
        """What is wrong with its parameters, or with it at such a place: (what, what to write instead), or None.

        Said here, and not raised where the guard is made, it is told with the user's line and all other mistakes.
        """
        return None

    def params(self) -> dict[str, int | str]:
        """The guard's parameters as plain data; they are part of the machine's fingerprint."""
        values = {attribute.name: getattr(self, attribute.name) for attribute in attrs.fields(type(self))}
        return {name: _param(value) for name, value in values.items() if value is not None}

    def place(self, standing: Standing, owner: str) -> Placed:
        """This guard standing on the attribute `owner`."""
        return Placed(
            name=type(self).__name__,
            at=owner,
            standing=standing,
            kind=self.kind,
            codes=self.codes,
            params=self.params(),
            counter=self.counted(standing, owner),
            limit=self.limit_of(),
            check=self.check,
        )
