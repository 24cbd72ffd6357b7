"""The circuit breaker: whether what many runs depend on may be tried now. Pure: no clock, no chance, no user code.

A breaker is one row, shared by all who depend on the same thing, and three questions to it. `ask`: may it be tried
now? `heard`: what came of it. `forced`: what a person decided. Each gives the row after it; of several in one
transaction each is given the row that the one before left. What may become of a row is `SPEC`, a machine that is
drawn and checked like any other: its moves are made here, and no others. Each move begins a *generation*.

    closed     allows; opens after `failures_max` failures in a row, or when `rate_pct` of a window have failed
    open       refuses until `retry_at_ms`; from then on the first to ask is the probe, the only one in the world
    half_open  refuses while the probe is out. Its success closes; its failure opens again, for twice as long, and so
               does its silence at `until_ms`; an outcome that says nothing lets the next who asks be the probe
    forced_open, disabled, observing   a person's: refuse all; allow all and count nothing; allow all and count, and
               say `would_refuse` while a limit is reached. They last until the next act
    unreadable what is stored is no row: it fails closed, and refuses until a person acts

Results carry the generation they were allowed in (`generation_of`); those of another are late, and change nothing.
A probe's lease ends when it ends, not when somebody looks (`seen`): no refusal has to be stored, and nothing depends
on who looks first.

Sources: the pattern, M. Nygard, "Release It!" (2007). Ten buckets and a minimum volume, one probe: Hystrix 1.5.18
(2018); one probe also in Polly 8. Generations: sony/gobreaker v2. A cool-down that doubles, up to a limit: Akka 2.5,
Arrow 2.2. A half-open state that ends without its probe: resilience4j 1.6 (2020, issue 935); in Polly 8 and gobreaker
v2 it lasts as long as the probe is silent. FORCED_OPEN, DISABLED, METRICS_ONLY: resilience4j (2020, pull request 817).

Times are wall clock in whole milliseconds. A clock that is set back lets an open breaker wait that much longer, and
a probe; the act `reset` ends it.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from attrs import evolve

from fsm.core.breaking import BUCKETS_MAX, STATES, BreakerRow, BreakerState, Breaking
from fsm.core.chance import shortened
from fsm.define.guard import Verdict
from fsm.define.parts import PromiseSpec, StateSpec, TransitionSpec
from fsm.define.shape import Shape
from fsm.define.spec import MachineSpec

Outcome = Literal["success", "failure", "neutral"]
Act = Literal["open", "close", "observe", "disable", "reset"]

REFUSALS: tuple[BreakerState, ...] = ("open", "half_open", "forced_open", "unreadable")
"""The codes that refuse, each named as its state; a verdict that allows may say `probe` or `would_refuse`."""


class _Move(NamedTuple):
    event: str
    sources: tuple[BreakerState, ...]
    target: BreakerState


MOVES = {
    "trip": _Move("LimitReached", ("closed",), "open"),
    "probe": _Move("AskedAfterCooldown", ("open",), "half_open"),
    "recover": _Move("ProbeSucceeded", ("half_open",), "closed"),
    "relapse": _Move("ProbeFailed", ("half_open",), "open"),
    "expire": _Move("ProbeExpired", ("half_open",), "open"),
    "give_back": _Move("ProbeSaidNothing", ("half_open",), "open"),
    "by_open": _Move("Open", STATES, "forced_open"),
    "by_close": _Move("Close", STATES, "closed"),
    "by_observe": _Move("Observe", STATES, "observing"),
    "by_disable": _Move("Disable", STATES, "disabled"),
    "by_reset": _Move("Reset", STATES, "closed"),
    "spoil": _Move("FoundUnreadable", STATES, "unreadable"),
}

SPEC = MachineSpec(
    name="CircuitBreaker",
    doc="May what many runs depend on be tried? It never ends, and waits in every state for who asks, reports or acts.",
    states=tuple(StateSpec(name=name, kind="waiting", initial=("Reset",) * (name == "closed")) for name in STATES),
    transitions=tuple(
        TransitionSpec(name=name, sources=move.sources, target=move.target, events=(move.event,))
        for name, move in MOVES.items()
    ),
    promises=(
        PromiseSpec(name="tries_before_it_closes", kind="always_after", what="trip", then="probe", before="recover"),
        PromiseSpec(name="tries_only_what_failed", kind="never", what="probe", before="trip"),
        PromiseSpec(name="is_forced_by_a_person", kind="never", what="forced_open", before="by_open"),
    ),
    payloads=tuple(Shape(event, ()) for event in sorted(move.event for move in MOVES.values())),
)


def ask(row: BreakerRow, breaking: Breaking, at_ms: int, lease_ms: int) -> tuple[Verdict, BreakerRow]:
    """May it be tried at that moment? With the row to store if it allows, and the move that was asked for is made.

    `lease_ms`: how long a probe may take until it counts as failed, what is left of the visit and of its runner's
    lease together. Only for a probe is the row another one. The numbers are all that `again` needs; a refusal and
    `would_refuse` hold the limits as well, `open` with `retry_at_ms`, `half_open` with `until_ms`.
    """
    assert lease_ms > 0, f"a probe needs time, not {lease_ms} ms"
    now = seen(row, breaking, at_ms)
    if now.state == "open" and at_ms >= now.retry_at_ms:
        probe = _moved(now, "probe", retry_at_ms=0, until_ms=at_ms + lease_ms)
        return Verdict("allow", "probe", {**now.numbers(), "lease_ms": lease_ms}), probe
    if now.state in REFUSALS:
        return Verdict("refuse", now.state, {**now.numbers(), **breaking.limits()}), row
    if now.state == "observing":
        now = evolve(now, window=breaking.recent(now.window, at_ms)[1])
        if breaking.reached(now):
            return Verdict("allow", "would_refuse", {**now.numbers(), **breaking.limits()}), row
    return Verdict("allow", "", now.numbers()), row


def again(numbers: Mapping[str, int], breaking: Breaking, at_ms: int) -> Verdict:
    """The verdict that `ask` gave, from its numbers, those of `breaking` in the machine, and the record's moment."""
    return ask(BreakerRow.from_numbers(numbers), breaking, at_ms, numbers.get("lease_ms", 1))[0]


def generation_of(verdict: Verdict) -> int:
    """The generation in which results are heard of what this verdict allowed; a probe begins its own."""
    return verdict.numbers.get("generation", 0) + (verdict.code == "probe")


def heard(row: BreakerRow, breaking: Breaking, outcome: Outcome, generation: int, at_ms: int) -> BreakerRow:
    """The row after a result; the very same one, if there is nothing to store.

    `neutral` is what says nothing of the other side: a cancelled visit, an invalid payload, a request that was wrong.
    """
    now = seen(row, breaking, at_ms)
    if generation != now.generation:
        return row
    match now.state, outcome:
        case "half_open", "success":
            return _moved(BreakerRow(state=now.state, generation=now.generation), "recover")
        case "half_open", "failure":
            return _opened(now, breaking, "relapse", at_ms)
        case "half_open", "neutral":
            return _moved(now, "give_back", until_ms=0, retry_at_ms=at_ms)
        case (("closed" | "observing"), ("success" | "failure")):
            counted = _counted(now, breaking, outcome == "failure", at_ms)
            if now.state == "closed" and breaking.reached(counted):
                return _opened(counted, breaking, "trip", at_ms)
            return counted if counted != row else row
        case _:
            return row


def forced(row: BreakerRow, breaking: Breaking, act: Act, at_ms: int) -> BreakerRow:
    """The row after a person's act, its counts begun anew.

    `open`, `disable` and `observe` last until the next act; `close` and `reset` let the breaker decide again. After
    `reset` it is as new. `close` is a person's word, no proof: should it trip again before a success was heard, the
    cool-down goes on growing. The generation after an unreadable row is the moment: none was ever as high.
    """
    now = seen(row, breaking, at_ms)
    return _moved(
        BreakerRow(
            state=now.state,
            generation=at_ms if now.state == "unreadable" else now.generation,
            trips=now.trips if act == "close" else 0,
        ),
        f"by_{act}",
    )


def seen(row: BreakerRow, breaking: Breaking, at_ms: int) -> BreakerRow:
    """The row as it stands at that moment: a probe that is still silent at the end of its lease failed just then."""
    if row.state == "half_open" and at_ms >= row.until_ms:
        return _opened(row, breaking, "expire", row.until_ms)
    return row


def _moved(row: BreakerRow, move: str, **changes: Any) -> BreakerRow:
    line = MOVES[move]
    assert row.state in line.sources, f"no move {move} from {row.state}"
    return evolve(row, state=line.target, generation=row.generation + 1, **changes)


def _opened(row: BreakerRow, breaking: Breaking, move: str, at_ms: int) -> BreakerRow:
    failures = row.failures + (row.state == "half_open")  # the probe's own; what trips a closed one is counted
    opened = _moved(row, move, failures=failures, trips=row.trips + 1, until_ms=0)
    return evolve(opened, retry_at_ms=at_ms + _cooldown_ms(breaking, opened))


def _cooldown_ms(breaking: Breaking, row: BreakerRow) -> int:
    most = min(breaking.cooldown_max_ms, breaking.cooldown_ms << min(row.trips - 1, 40))
    return shortened(most, f"{breaking.name}:{row.generation}")


def _counted(row: BreakerRow, breaking: Breaking, failed: bool, at_ms: int) -> BreakerRow:
    """With one more result; the window is kept only where a rate is asked for."""
    failures, trips = (row.failures + 1, row.trips) if failed else (0, 0)
    if breaking.rate_pct is None:
        unchanged = not failed and not row.failures and not row.trips
        return row if unchanged else evolve(row, failures=failures, trips=trips)
    start, window = breaking.recent(row.window, at_ms)
    results, failures_there = 1, int(failed)
    if window and window[-1][0] == start:
        *_, (_, before, before_failed) = window
        results, failures_there, window = before + 1, before_failed + failed, window[:-1]
    return BreakerRow(
        state=row.state,
        generation=row.generation,
        failures=failures,
        trips=trips,
        retry_at_ms=row.retry_at_ms,
        until_ms=row.until_ms,
        window=(*window, (start, results, failures_there))[-BUCKETS_MAX:],
    )
