"""A circuit breaker in words: what it demands, how it stands, what it answered."""

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import asdict

from fsm.core.breaker import REFUSALS, seen
from fsm.core.breaking import STATES, BreakerRow, BreakerState, Breaking
from fsm.core.shares import breaking
from fsm.define.guard import Placed, Verdict
from fsm.journal.guards import Change, Stored
from fsm.show.here import Here
from fsm.show.sight import Finding, Line, Sight, asked_by
from fsm.show.words import ago, count, duration, moment, safe, shown


def is_of_breaker(code: str, numbers: Mapping[str, int]) -> bool:
    """Whether this is a breaker's refusal, where no guard says so: its numbers hold its state, which is its code."""
    return code in REFUSALS and numbers.get("state") == STATES.index(code)


def demands(guard: Placed) -> str:
    """`until model fails 3 times in a row, then none for 30 s`."""
    return limit_words(breaking(guard))


def limit_words(limits: Breaking) -> str:
    found = []
    if limits.failures_max is not None:
        times = count(limits.failures_max, "time")
        found.append(f"{times} in a row" if limits.failures_max > 1 else "once")
    if limits.rate_pct is not None:
        within = duration(limits.window_ms)
        found.append(f"{limits.rate_pct} % of at least {count(limits.volume_min, 'time')} within {within}")
    return f"until {shown(limits.name)} fails {' or '.join(found)}, then none for {duration(limits.cooldown_ms)}"


def stands(state: str, numbers: Mapping[str, int], now_ms: int | None = None) -> str:
    """`open: 3 failures in a row, limit 3; tried again in 28 s`; without `now_ms` it says at which moment."""
    match state:
        case "open":
            told = "; ".join([*_counts(numbers), _tried_again(numbers.get("retry_at_ms", 0), now_ms)])
            return f"open: {told}"
        case "half_open":
            return f"half open: its probe is out, {_left(numbers.get('until_ms', 0), now_ms)}"
        case "forced_open":
            return "forced open, until a person says otherwise"
        case "unreadable":
            return "unreadable, as its row in the journal is damaged, until a person resets it"
        case "disabled":
            return "disabled: it lets everything pass, and counts nothing"
        case "observing":
            return "; ".join(["observing: it counts, and lets everything pass", *_counts(numbers)])
        case _:
            return "; ".join(["closed", *_counts(numbers)])


def answered(guard: Placed, verdict: Verdict, now_ms: int | None = None) -> str:
    """`is open: ...`, or that it allowed."""
    if verdict.decision == "refuse":
        return f"is {stands(verdict.code, verdict.numbers, now_ms)}"
    if verdict.code == "would_refuse":
        return f"allowed, {stands('observing', verdict.numbers)}"
    return "allowed its one probe" if verdict.code == "probe" else "allowed"


def told(found: Stored, sight: Sight) -> Iterator[Line]:
    """A breaker in a few lines: how it stands, what it demands, what moved it last, who asks."""
    state, words = now_words(found, sight.now_ms)
    colour = {"closed": "green", "open": "red", "unreadable": "red", "forced_open": "red"}.get(state, "yellow")
    yield (f'Breaker("{safe(found.name)}") ', "bold"), (words, colour)
    yield ((f"passes {limit_words(limits_of(found))}", "dim"),)
    if found.last is not None:
        yield (change_words(found, found.last, sight.now_ms),)
    yield ((asked_by(found), "dim"),)
    if risk := risks(found):
        yield ((f"! {risk}", "yellow"),)


def data(found: Stored, now_ms: int) -> dict[str, Any]:
    """A breaker as it stands at that moment."""
    limits = limits_of(found)
    row = seen(found.row, limits, now_ms)
    results, failed = row.volume
    return {
        "state": row.state,
        "generation": row.generation,
        "failures": row.failures,
        "window_results": results,
        "window_failures": failed,
        "trips": row.trips,
        "retry_at_ms": row.retry_at_ms or None,
        "until_ms": row.until_ms or None,
        "parameters": asdict(limits),
        "disagreeing": bool(risks(found)),
    }


def change_data(change: Change) -> dict[str, Any]:
    return {"before": change.before.state, "after": change.after.state, "generation": change.after.generation}


def faults(found: Stored, sight: Sight) -> Iterator[Finding]:
    """What somebody should look at."""
    if found.row.state == "unreadable":
        told = f"the row of breaker {found.name!r} is damaged, and so it refuses everything"
        reset = sight.here.command("breaker", found.name, "--reset", "--reason", "its row was damaged")
        yield Finding(told, reset, bad=True)
    if risk := risks(found):
        yield Finding(f"breaker {found.name!r}: {risk}", "give them the same parameters, or names of their own")


def fullness(found: Stored, now_ms: int) -> float:
    """Those that do not just let pass come first."""
    return float(now_words(found, now_ms)[0] != "closed")


def again(guard: Placed, verdict: Verdict, row: BreakerRow, now_ms: int) -> Verdict:
    """As it answered: an open one may let a probe pass, and what that finds nobody can tell."""
    return verdict


def remedies(row: str, guard: Placed, verdict: Verdict, here: Here) -> list[tuple[str, str]]:
    """What a person may do about a refusal, and the command that does it."""
    return [("say that it is well again", here.command("breaker", row, "--reset", "--reason", "REASON"))]


def limits_of(found: Stored) -> Breaking:
    """The parameters of the latest machine that asks it."""
    return breaking(found.askers[0].guard) if found.askers else Breaking(name=found.name)


def now_words(found: Stored, now_ms: int) -> tuple[BreakerState, str]:
    """How it stands at that moment, and that in words."""
    limits = limits_of(found)
    row = seen(found.row, limits, now_ms)
    return row.state, stands(row.state, {**row.numbers(), **_rates(row), **limits.limits()}, now_ms)


def _rates(row: BreakerRow) -> dict[str, int]:
    """Also of a closed one."""
    results, failed = row.volume
    return {"window_results": results, "window_failures": failed}


def change_words(found: Stored, change: Change, now_ms: int) -> str:
    """`closed to open, 3 min ago, by run 42`."""
    told = f"{_name(change.before)} to {_name(change.after)}, {ago(now_ms - change.at_ms)}"
    if change.note:
        by = f" by {safe(change.note['by'])}" if change.note.get("by") else ""
        return f"{told}: {safe(change.note.get('act', ''))}{by}, {safe(change.note.get('reason', ''))}"
    return told + (f", by run {safe(change.run_id)}" if change.run_id is not None else "")


def _name(row: BreakerRow) -> str:
    return row.state.replace("_", " ")


def risks(found: Stored) -> str:
    """What is wrong with how it is used; "" if nothing is."""
    limits = [(asker.machine, breaking(asker.guard)) for asker in found.askers]
    if len({limit for _, limit in limits}) < 2:
        return ""
    told = "; ".join(dict.fromkeys(f"{safe(machine)} {limit_words(limit)}" for machine, limit in limits))
    return f"its machines ask it with different parameters, and each judges what the others count: {told}"


def _counts(numbers: Mapping[str, int]) -> list[str]:
    told = []
    if failures := numbers.get("failures", 0):
        limit = f", limit {numbers['failures_max']:,}" if "failures_max" in numbers else ""
        told.append(f"{count(failures, 'failure')} in a row{limit}")
    if results := numbers.get("window_results", 0):
        limit = f", limit {numbers['rate_pct']} %" if "rate_pct" in numbers else ""
        told.append(f"{numbers.get('window_failures', 0):,} of the last {results:,} failed{limit}")
    return told


def _tried_again(at_ms: int, now_ms: int | None) -> str:
    if now_ms is None:
        return f"tried again from {moment(at_ms)}"
    if at_ms > now_ms:
        return f"tried again in {duration(at_ms - now_ms)}"
    return "it may be tried now"


def _left(until_ms: int, now_ms: int | None) -> str:
    if now_ms is None:
        return f"at most until {moment(until_ms)}"
    return f"at most {duration(until_ms - now_ms)} more" if until_ms > now_ms else "and has had its time"
