"""The parts of a machine's spec: plain frozen values, the code beside them where there is any."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
from attrs import field, frozen

from fsm.define.guard import Counter, Placed
from fsm.define.place import Place

START = "(start)"
START_HOP = "start"

Kind = Literal["agent", "waiting", "final"]
PromiseKind = Literal["never", "always_after", "unreachable"]
Ways = Mapping[str, str]


@frozen
class Bounds:
    """The machine's own bounds on what the runtime may do for one run; each is a class keyword.

    `resumes_max`: takeovers of one visit after its process died; then it becomes `AgentFailed("crashed")`. From
    the second on such visits go on few at a time, for the last time alone, so that one which only shared its
    process with another that kills it is not condemned; below 2 there is no telling them apart.
    `refusals_max`: refused outside events recorded per visit. `defers_max`, `defer_s_max`: how often and how
    long one event may be put off. `calls_max`: calls per visit, begun
    again with each retry. `payload_bytes_max`, `memory_bytes_max`:
    canonical JSON bytes. `inbox_max`: outside events waiting per run.
    """

    resumes_max: int = 3
    refusals_max: int = 32
    defers_max: int = 100
    defer_s_max: int = 86_400
    calls_max: int = 100
    payload_bytes_max: int = 1 << 20
    memory_bytes_max: int = 1 << 20
    inbox_max: int = 100


@frozen
class Named:
    """A function of the user's: its name, and itself where the code is at hand."""

    name: str
    takes_memory: bool = False
    fn: Callable[..., Any] | None = field(default=None, eq=False, repr=False)


_code: Any = field(default=None, eq=False, repr=False)


@frozen(kw_only=True)
class RetrySpec:
    """How a state's attempts begin again; `guard` is the cap that `attempts_max` is, on the hop of the retry."""

    attempts_max: int
    base_ms: int
    cap_ms: int
    when: Named
    guard: Placed


@frozen(kw_only=True)
class StateSpec:
    """A state; `tokens_max`, `usd_micros_max` and `tokens_min` are of one visit, all its attempts together."""

    name: str
    kind: Kind
    initial: tuple[str, ...] = ()
    final: Literal["completed", "failed"] | None = None
    timeout_ms: int | None = None
    tokens_max: int | None = None
    usd_micros_max: int | None = None
    tokens_min: int = 0
    retry: RetrySpec | None = None
    guards: tuple[Placed, ...] = ()
    otherwise: Ways = field(factory=dict)
    remember: Named | None = None
    title: str = ""
    place: Place | None = _code
    agent: Any = _code


@frozen(kw_only=True)
class TransitionSpec:
    """A transition; one that `carries` enters its target with the payload of the visit it leaves, not its event's."""

    name: str
    sources: tuple[str, ...]
    target: str
    events: tuple[str, ...]
    when: Named | None = None
    guards: tuple[Placed, ...] = ()
    otherwise: Ways = field(factory=dict)
    remember: Named | None = None
    carries: bool = False
    place: Place | None = _code


@frozen(kw_only=True)
class PromiseSpec:
    """What no run does; `what`, `then` and `before` name states or transitions, "" where the kind has none."""

    name: str
    kind: PromiseKind
    what: str
    then: str = ""
    before: str = ""
    place: Place | None = _code

    def __str__(self) -> str:
        before = [f"before={self.before}"] if self.before else []
        return f"{self.kind}({', '.join([self.what, *([self.then] if self.then else []), *before])})"


@frozen(kw_only=True)
class EverywhereSpec:
    name: str
    guards: tuple[Placed, ...]
    otherwise: Ways = field(factory=dict)
    place: Place | None = _code


Part = StateSpec | TransitionSpec | EverywhereSpec
"""What guards stand on: a line that is an attribute of its own."""


@frozen
class Hop:
    """One declared way from state to state: a transition, an `otherwise` of something, a retry, or the start."""

    id: str
    owner: str
    sources: frozenset[str]
    target: str
    otherwise: bool = False
    carries: bool = False


def way_id(owner: str, code: str) -> str:
    """The id of the hop an `otherwise` declares for a verdict code."""
    return f"{owner}.otherwise" if code == "*" else f"{owner}.otherwise.{code}"


def retry_spec(state: str, attempts_max: int, base_ms: int, cap_ms: int, when: Named) -> RetrySpec:
    """The retry of a state: its hop is capped at what it may add to the first attempt, anew in every visit."""
    hop = retry_id(state)
    guard = Placed(
        name="Retry",
        at=hop,
        standing="state",
        kind="cap",
        codes=("attempts_max",),
        params={"attempts_max": attempts_max},
        counter=Counter("fires", hop, since=state),
        limit=attempts_max - 1,
    )
    return RetrySpec(attempts_max=attempts_max, base_ms=base_ms, cap_ms=cap_ms, when=when, guard=guard)


def retry_id(state: str) -> str:
    """The id of the hop that a retry in a state is."""
    return f"{state}.retry"


def is_retry(hop: str) -> bool:
    """Whether a hop, or the place of a guard, is that of a retry; no attribute's name has a dot."""
    return hop.endswith(".retry")


def way_for(otherwise: Ways, code: str) -> str | None:
    """Which key of an `otherwise` answers to a verdict code."""
    return code if code in otherwise else ("*" if "*" in otherwise else None)


BOUND_NAMES = tuple(attribute.name for attribute in attrs.fields(Bounds))
