"""The guard protocol: a pure check that permits, or refuses with a code and numbers.

A guard says, besides its verdict, everything that a proof needs without running it: its *kind*, the
*codes* it may refuse with, what it counts (`counter`), and its *limit*. So a machine loaded from JSON can
be verified, drawn and replayed without the guard's class.

Kinds: `cap`, an exact count against a limit; `data`, a check of the payload, which may pass or not; `env`,
something outside the run (a clock, a breaker, a person) that may refuse for ever, and alone may defer; `sure`,
always allows.

A guard has no memory of its own. What it must remember of the run it *keeps*: whole numbers by name, given
with a verdict that allows. They are in the record, and from then on in `Facts.kept` of this very guard, if the
run makes the move that the verdict was about; of any other move, and of none, nothing is kept.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, ClassVar, Literal, Protocol

import attrs
from attrs import evolve, field, frozen
from pydantic import BaseModel

from fsm.define.place import Line
from fsm.define.value import value

Kind = Literal["cap", "data", "env", "sure"]
Standing = Literal["transition", "state", "run"]
Decision = Literal["allow", "refuse", "defer"]
Kept = Mapping[str, int]

KEPT_MAX = 1_024
"""How many counts one guard may keep of one run; beyond it refuses with `guard_error`."""
KEPT_NAME_MAX = 64
"""How long the name of such a count may be, in characters."""
NOTHING_KEPT: Kept = {}


@value
class Verdict:
    """What a guard says: allow; refuse with a code; or defer until a moment.

    Numbers are whole. `text` holds the error behind a `guard_error` and its like; it is for reading only.
    `keep` holds the counts to keep if the move that is allowed is made; 0 forgets one.
    """

    decision: Decision
    code: str = ""
    numbers: Mapping[str, int] = field(factory=dict)
    until_ms: int | None = None
    text: str = field(default="", eq=False)
    keep: Kept = NOTHING_KEPT


@value
class Ruling:
    """A verdict with the guard that gave it and where that stands; this is what a record holds.

    In a record it keeps something only where that applied. `nth` tells which guard did, of several alike there.
    """

    guard: str
    at: str
    standing: Standing
    verdict: Verdict
    nth: int = 1

    @property
    def kept_as(self) -> str:
        """Where a snapshot has what it keeps."""
        return _kept_as(self.at, self.guard, self.nth)

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value}" for name, value in self.verdict.numbers.items())
        word = {"allow": "allows", "refuse": "refuses", "defer": "defers"}[self.verdict.decision]
        kept = ", ".join(f"{name} {value}" for name, value in self.verdict.keep.items())
        parts = (self.verdict.code, told, self.verdict.text, kept and f"keeps {kept}")
        because = ": ".join(part for part in parts if part)
        return f"{self.guard} on {self.at} {word}" + (f" ({because})" if because else "")


def _kept_as(at: str, guard: str, nth: int) -> str:
    return f"{at}:{guard}:{nth}"


def allow(keep: Kept = NOTHING_KEPT, /, **numbers: int) -> Verdict:
    """Let it pass. `keep`: counts that this guard finds in `Facts.kept` from then on; those not named stay."""
    return Verdict("allow", numbers=numbers, keep=keep)


def refuse(code: str, **numbers: int) -> Verdict:
    """Do not let it pass. `code` is one of the guard's `codes`, for `otherwise`; the record keeps code and numbers.

    Told as counted against a limit is a number `cycles` beside a number `cycles_max`.
    """
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

    `of` is what counts: firings of a hop, visits of a state, hops of the run, its spending, the failures in a row
    of something it depends on, or milliseconds since it was started; `subject` names the hop, the state or what is
    depended on. With `since`, every entry of that state starts the count again. `ValueError`
    for a subject of what is counted for the run as a whole: nothing would ever count it.
    """

    of: Literal["fires", "visits", "hops", "tokens", "usd_micros", "strikes", "elapsed_ms"]
    subject: str = ""
    since: str = ""
    key: str = field(init=False, eq=False, default=attrs.Factory(_counter_key, takes_self=True))
    """The counter's name in a snapshot."""

    def __attrs_post_init__(self) -> None:
        if self.subject and self.of not in ("fires", "visits", "strikes"):
            raise ValueError(
                f"Counter({self.of!r}, {self.subject!r}): a run counts its {self.of} once, for no hop or state"
            )


@frozen(cache_hash=True)
class Share:
    """A row that runs of a journal share: what it is, and its name.

    A budget named `tokens:machine` is one for each machine, `tokens:label:tenant` one for each value of that label.
    """

    kind: Literal["breaker", "budget", "rate"]
    name: str


@frozen
class Facts:
    """All that a guard may look at. Nothing else exists for it: no clock, no file, no model.

    `kept` is what this guard has kept of this run so far, `payload_digest` the sha256 of the payload's bytes. A retry
    brings no payload: there it is None.
    """

    source: str
    target: str
    hop: str
    payload: BaseModel | None
    counters: Mapping[str, int]
    at_ms: int
    entered_at_ms: int
    started_at_ms: int
    payload_bytes: int = 0
    payload_digest: bytes = b""
    kept: Kept = NOTHING_KEPT
    _memory: Callable[[], Any] = field(default=lambda: None, alias="memory", repr=False)

    @property
    def memory(self) -> Any:
        """The run's memory before this payload, as its model; None where the machine has none."""
        return self._memory()


class Checks(Protocol):
    def __call__(self, facts: Facts, /) -> Verdict: ...


@frozen(kw_only=True)
class Placed:
    """A guard at its place in a machine: all of it but the code, and the code where there is one.

    With `counter` and `limit` it takes no code: it refuses with its first code once the counter has reached
    the limit. A `cap` always has them, and its counter never falls unless by `since`. `check` is None for a
    machine loaded from JSON; `at` is the attribute it stands on, `nth` which one of several alike there it is.
    One that `shares` a row with other runs is asked where that row can be seen, and takes no code either.
    """

    name: str
    at: str
    standing: Standing
    kind: Kind
    codes: tuple[str, ...]
    params: Mapping[str, int | str]
    counter: Counter | None = None
    limit: int | None = None
    shares: Share | None = None
    check: Checks | None = field(default=None, eq=False, repr=False)
    nth: int = field(default=1, eq=False, repr=False)

    @property
    def kept_as(self) -> str:
        """Where a snapshot has what it keeps."""
        return _kept_as(self.at, self.name, self.nth)

    def count(self, counters: Mapping[str, int]) -> Verdict | None:
        """The verdict of a guard that counts, which takes no code; None for every other."""
        if self.counter is None or self.limit is None:
            return None
        count = counters.get(self.counter.key, 0)
        numbers = {self.counter.of: count, f"{self.counter.of}_max": self.limit}
        return Verdict("refuse", self.codes[0], numbers) if count >= self.limit else Verdict("allow", "", numbers)


def numbered(guards: Iterable[Placed]) -> tuple[Placed, ...]:
    """The guards of one place, those alike numbered in their order: each keeps its own."""
    seen: dict[str, int] = {}
    found = []
    for guard in guards:
        nth = seen[guard.name] = seen.get(guard.name, 0) + 1
        found.append(guard if nth == guard.nth else evolve(guard, nth=nth))
    return tuple(found)


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

    One that counts writes `counted` and `limit_of` instead of `check`: counting is the kernel's work.
    """

    kind: ClassVar[Kind] = "data"
    codes: ClassVar[tuple[str, ...]] = ()

    @property
    def reads_memory(self) -> bool:
        """Whether it looks at the run's memory, and so stands only in a machine that has one."""
        return False

    def check(self, facts: Facts, /) -> Verdict:
        """Allow, refuse or defer, from the facts alone. Raising refuses with code `guard_error`."""
        raise NotImplementedError

    def counted(self, standing: Standing, owner: str) -> Counter | None:
        """What it counts when it stands there; None if this guard does not count."""
        return None

    def limit_of(self) -> int | None:
        """The count at which it refuses."""
        return None

    def shared(self) -> Share | None:
        """The row that it shares with other runs, if it does: the kernel asks it, and `check` is not used."""
        return None

    def mistake(self, standing: Standing) -> tuple[str, str] | None:
        """What is wrong with its parameters, or with it at such a place: (what, what to write instead), or None.

        Said here, and not raised where the guard is made, it is told with the user's line and all other mistakes.
        """
        return None

    def params(self) -> dict[str, int | str]:
        """The guard's parameters as plain data; they are part of the machine's fingerprint."""
        given = (attribute.name for attribute in attrs.fields(type(self)) if attribute.init)
        values = {name: getattr(self, name) for name in given}
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
            shares=self.shared(),
            check=self.check,
        )
