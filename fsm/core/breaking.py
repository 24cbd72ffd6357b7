"""When a circuit breaker opens, and the row that it is: as stored, and as the numbers of a record."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, Required, get_args

from attrs import frozen
from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from fsm.define.value import value

BreakerState = Literal["closed", "open", "half_open", "forced_open", "disabled", "observing", "unreadable"]
Window = tuple[tuple[int, int, int], ...]

STATES: tuple[BreakerState, ...] = get_args(BreakerState)
"""Records hold a state as its place here: only ever add to the end."""
BUCKETS_MAX = 10
MS_MAX = 10**12


@frozen(kw_only=True)
class Breaking:
    """When the breaker `name` opens, and for how long; guards that share a row should agree on it.

    `failures_max` in a row; `rate_pct` percent of at least `volume_min` results within `window_ms`; either may be
    None. The window is `BUCKETS_MAX` buckets: a result counts for nine to ten tenths of it, never longer. The
    cool-down is `cooldown_ms`, twice as long for each further trip without a success, at most `cooldown_max_ms`;
    a hash of name and generation takes off up to half of it, so that breakers which opened together are not tried
    together.
    """

    name: str
    failures_max: int | None = 5
    rate_pct: int | None = None
    window_ms: int = 60_000
    volume_min: int = 10
    cooldown_ms: int = 30_000
    cooldown_max_ms: int = 600_000

    def mistake(self) -> tuple[str, str] | None:
        """What is wrong with it, and what to write instead; for a guard's `mistake`."""
        name: object = self.name
        if not isinstance(name, str) or not name or not name.isprintable():
            return f"Breaker({name!r})", 'name what it watches, as view.call does: Breaker("search")'
        if self.failures_max is None and self.rate_pct is None:
            return f"Breaker({name!r}) is opened by nothing", "give failures_max, or rate_pct"
        for part, least, most in (
            ("failures_max", 1, MS_MAX),
            ("rate_pct", 1, 100),
            ("window_ms", BUCKETS_MAX, MS_MAX),
            ("volume_min", 1, MS_MAX),
            ("cooldown_ms", 1, MS_MAX),
            ("cooldown_max_ms", self.cooldown_ms, MS_MAX),
        ):
            number = getattr(self, part)
            unused = number is None and part in ("failures_max", "rate_pct")
            if not unused and (type(number) is not int or not least <= number <= most):
                return f"Breaker({part}={number!r})", f"give a whole number from {least} to {most}"
        return None

    def limits(self) -> dict[str, int]:
        """What refusals are measured against."""
        found = {} if self.failures_max is None else {"failures_max": self.failures_max}
        return found if self.rate_pct is None else {**found, "rate_pct": self.rate_pct, "volume_min": self.volume_min}

    def reached(self, row: "BreakerRow") -> bool:
        """Whether the row's counts are at a limit."""
        if self.failures_max is not None and row.failures >= self.failures_max:
            return True
        results, failed = row.volume
        return self.rate_pct is not None and results >= self.volume_min and 100 * failed >= self.rate_pct * results

    def recent(self, window: Window, at_ms: int) -> tuple[int, Window]:
        """The start of the bucket for a result of that moment, and the buckets within the window that ends with it.

        A moment before the newest bucket, by less than the window, counts as of that bucket: clocks differ a little.
        """
        width = self.window_ms // BUCKETS_MAX
        start = at_ms - at_ms % width
        newest = window[-1][0] if window else start
        if start < newest < start + BUCKETS_MAX * width:
            start = newest
        return start, tuple(bucket for bucket in window if start - BUCKETS_MAX * width < bucket[0] <= start)


@value(kw_only=True)
class BreakerRow:
    """A breaker as it is stored; the default is one of which nothing was heard.

    `failures` in a row; `window` as (start of the bucket, results, failures among them), oldest first; `trips`
    without a success since; `retry_at_ms` is set while it is open, `until_ms` while half open. The counts of a
    breaker that is not closed are those that opened it, and its failed probes.
    """

    state: BreakerState = "closed"
    generation: int = 0
    failures: int = 0
    trips: int = 0
    retry_at_ms: int = 0
    until_ms: int = 0
    window: Window = ()

    @property
    def volume(self) -> tuple[int, int]:
        """The results in the window, and the failures among them."""
        return sum(results for _, results, _ in self.window), sum(failed for _, _, failed in self.window)

    def numbers(self) -> dict[str, int]:
        """What `ask` looks at, for a record; none that is 0. Of a closed breaker it does not look at the window."""
        found = {"state": STATES.index(self.state), "generation": self.generation, "failures": self.failures}
        found |= {"trips": self.trips, "retry_at_ms": self.retry_at_ms, "until_ms": self.until_ms}
        if self.window and self.state != "closed":
            results, failed = self.volume
            found |= {"window_at_ms": self.window[-1][0], "window_results": results, "window_failures": failed}
        return {name: number for name, number in found.items() if number}

    @staticmethod
    def from_numbers(numbers: Mapping[str, int]) -> "BreakerRow":
        """The row of which `ask` says the same; other numbers may stand beside its own."""
        state, results = numbers.get("state", 0), numbers.get("window_results", 0)
        if not 0 <= state < len(STATES):
            return UNREADABLE
        bucket = (numbers.get("window_at_ms", 0), results, numbers.get("window_failures", 0))
        own = ("generation", "failures", "trips", "retry_at_ms", "until_ms")
        return BreakerRow(
            state=STATES[state], window=(bucket,) if results else (), **{name: numbers.get(name, 0) for name in own}
        )

    def to_json(self) -> str:
        """One line, with nothing that is 0; at most about 600 bytes."""
        parts = {name: getattr(self, name) for name in _Form.__annotations__}
        return json.dumps({name: part for name, part in parts.items() if part}, separators=(",", ":"))

    @staticmethod
    def from_json(text: str | bytes | None) -> "BreakerRow":
        """The row that `to_json` wrote. Anything else, None too, is `UNREADABLE`, which refuses; this never raises.

        A breaker that was never stored is `BreakerRow()`.
        """
        try:
            form: Any = _forms().validate_json(text or b"")
        except ValueError:
            return UNREADABLE
        return BreakerRow(**form)


UNREADABLE = BreakerRow(state="unreadable")

Whole = Annotated[int, Field(ge=0, lt=1 << 63)]


class _Form(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")  # type: ignore[misc]

    state: Required[BreakerState]
    generation: Whole
    failures: Whole
    trips: Whole
    retry_at_ms: Whole
    until_ms: Whole
    window: Annotated[tuple[tuple[Whole, Whole, Whole], ...], Field(max_length=BUCKETS_MAX)]


@cache
def _forms() -> TypeAdapter[_Form]:
    return TypeAdapter(_Form)
