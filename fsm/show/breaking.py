"""A circuit breaker in words: what it demands, how it stands, what it answered."""

from collections.abc import Mapping
from typing import TypeGuard

from fsm.core.breaker import REFUSALS, seen
from fsm.core.breaking import STATES, BreakerRow, BreakerState, Breaking
from fsm.define.guard import Placed, Verdict
from fsm.journal.guards import Breaker, Change
from fsm.show.words import ago, count, duration, moment, safe, shown


def is_breaker(guard: Placed | None) -> TypeGuard[Placed]:
    return guard is not None and guard.shares is not None and guard.shares.kind == "breaker"


def is_of_breaker(code: str, numbers: Mapping[str, int]) -> bool:
    """Whether this is a breaker's refusal, where no guard says so: its numbers hold its state, which is its code."""
    return code in REFUSALS and numbers.get("state") == STATES.index(code)


def demands(breaking: Breaking) -> str:
    """`until model fails 3 times in a row, then none for 30 s`."""
    limits = []
    if breaking.failures_max is not None:
        times = count(breaking.failures_max, "time")
        limits.append(f"{times} in a row" if breaking.failures_max > 1 else "once")
    if breaking.rate_pct is not None:
        within = duration(breaking.window_ms)
        limits.append(f"{breaking.rate_pct} % of at least {count(breaking.volume_min, 'time')} within {within}")
    return f"until {shown(breaking.name)} fails {' or '.join(limits)}, then none for {duration(breaking.cooldown_ms)}"


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


def answered(verdict: Verdict) -> str:
    """`is open: ...`, or that it allowed."""
    if verdict.decision == "refuse":
        return f"is {stands(verdict.code, verdict.numbers)}"
    if verdict.code == "would_refuse":
        return f"allowed, {stands('observing', verdict.numbers)}"
    return "allowed its one probe" if verdict.code == "probe" else "allowed"


def now_words(found: Breaker, now_ms: int) -> tuple[BreakerState, str]:
    """How it stands at that moment, and that in words."""
    row = seen(found.row, found.breaking, now_ms)
    return row.state, stands(row.state, {**row.numbers(), **_rates(row), **found.breaking.limits()}, now_ms)


def _rates(row: BreakerRow) -> dict[str, int]:
    """Also of a closed one."""
    results, failed = row.volume
    return {"window_results": results, "window_failures": failed}


def change_words(change: Change, now_ms: int) -> str:
    """`closed to open, 3 min ago, by run 42`."""
    told = f"{_name(change.before)} to {_name(change.after)}, {ago(now_ms - change.at_ms)}"
    if change.note:
        by = f" by {safe(change.note['by'])}" if change.note.get("by") else ""
        return f"{told}: {safe(change.note.get('act', ''))}{by}, {safe(change.note.get('reason', ''))}"
    return told + (f", by run {safe(change.run_id)}" if change.run_id is not None else "")


def _name(row: BreakerRow) -> str:
    return row.state.replace("_", " ")


def risks(found: Breaker) -> str:
    """What is wrong with how it is used; "" if nothing is."""
    if not found.disagreeing:
        return ""
    told = "; ".join(dict.fromkeys(f"{safe(asker.machine)} {demands(asker.breaking)}" for asker in found.askers))
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
