"""A rate that runs share in words: what it demands, how many visits have begun lately, what it answered."""

from collections.abc import Iterator
from typing import Any

from fsm.core.rate import RateRow, Rating
from fsm.core.shares import rating
from fsm.define.guard import Placed, Verdict
from fsm.journal.guards import Change, Stored
from fsm.show.here import Here
from fsm.show.sight import Finding, Line, Sight, asked_by
from fsm.show.words import ago, count, duration, moment, safe, shown

DAMAGED = "its row was damaged"


def demands(guard: Placed) -> str:
    """`up to 60 visits of all runs that name model begin in any 1 min`."""
    return f"{limit_words(rating(guard))}, of all runs that name {shown(str(guard.params['name']))}"


def limit_words(limits: Rating) -> str:
    return f"up to {count(limits.limit, 'visit')} in any {duration(limits.window_ms)}"


def answered(guard: Placed, verdict: Verdict, now_ms: int | None = None) -> str:
    """`put it off until ... (rate_limited): 60 begun or due in 1 min, limit 60`, or that it allowed."""
    numbers, limits = verdict.numbers, rating(guard)
    if verdict.code == "unreadable":
        return "refused (unreadable): its row is damaged"
    told = f"{numbers.get('taken', 0):,} begun or due in {duration(limits.window_ms)}, limit {limits.limit:,}"
    told = "it has its slot" if "slot_ms" in numbers else told
    if verdict.decision == "allow":
        return f"allowed: {told}"
    until = f" until {moment(verdict.until_ms)}" if verdict.until_ms is not None and now_ms is None else ""
    word = "refused" if verdict.decision == "refuse" else f"put it off{until}"
    if "defers_max" in numbers:
        told += f"; put off {numbers['defers']:,} times of at most {numbers['defers_max']:,}"
        told += f", for {numbers['defer_s']:,} s of at most {numbers['defer_s_max']:,}"
    return f"{word} ({safe(verdict.code)}): {told}"


def again(guard: Placed, verdict: Verdict, row: RateRow, now_ms: int) -> Verdict:
    """As it answered: a slot is kept."""
    return verdict


def remedies(row: str, guard: Placed, verdict: Verdict, here: Here) -> list[tuple[str, str]]:
    """What a person may do about a refusal or a deferral: a damaged row begins anew, a slot is waited for."""
    if verdict.code == "unreadable":
        return [("reset its row", _reset(row, here))]
    return [("see what has slots ahead of it", here.command("rate", row))] if verdict.decision == "defer" else []


def told(found: Stored, sight: Sight) -> Iterator[Line]:
    """A rate in a few lines: what has begun and is due, what it demands, who asks."""
    limits, row = limits_of(found), found.row
    name = (f'RateLimit("{safe(found.name)}") ', "bold")
    if not row.readable:
        yield name, ("unreadable: its row in the journal is damaged, and it refuses until a person resets it", "red")
        yield "-> ", (_reset(found.name, sight.here), "cyan")
    elif limits is None:
        yield name, f"{_begun(row, None, sight.now_ms):,} visits of late"
    else:
        begun, due = _begun(row, limits, sight.now_ms), _due(row, sight.now_ms)
        if due:
            least = "at least " if due >= limits.limit else ""
            last = duration(row.last_ms - sight.now_ms)
            yield (
                name,
                (f"full: {least}{count(due, 'visit has', 'visits have')} a slot ahead, the last in {last}", "yellow"),
            )
        else:
            told = f"{begun:,} of {count(limits.limit, 'visit')} begun in {duration(limits.window_ms)}"
            yield name, (told, "green" if begun < limits.limit else "yellow")
    yield from (((f"passes {limit_words(limits)}", "dim"),) for limits in ([limits] if limits else []))
    if found.last is not None:
        yield (change_words(found, found.last, sight.now_ms),)
    yield ((asked_by(found), "dim"),)
    for fault in faults(found, sight) if row.readable else ():
        yield ((f"! {fault.what}", "yellow"),)


def _begun(row: RateRow, limits: Rating | None, now_ms: int) -> int:
    """The visits that count at that moment, and have begun; where many wait, the row has forgotten older ones."""
    buckets = (one for one in row.taken if one[0] <= now_ms)
    return sum(number for start_ms, number in buckets if limits is None or limits.gone_ms(start_ms) > now_ms)


def _due(row: RateRow, now_ms: int) -> int:
    return sum(number for start_ms, number in row.taken if start_ms > now_ms)


def _reset(name: str, here: Here) -> str:
    return here.command("rate", name, "--reset", "--reason", DAMAGED)


def limits_of(found: Stored) -> Rating | None:
    """The parameters of the latest machine that asks it."""
    return rating(found.askers[0].guard) if found.askers else None


def faults(found: Stored, sight: Sight) -> Iterator[Finding]:
    """What somebody should look at: a damaged row, machines that do not agree."""
    name = safe(found.name)
    if not found.row.readable:
        what = f"the row of rate {name} is damaged, and so it refuses everything"
        yield Finding(what, _reset(found.name, sight.here), bad=True)
    asked = dict.fromkeys((safe(asker.machine), rating(asker.guard)) for asker in found.askers)
    if len({limits for _, limits in asked}) > 1:
        each = "; ".join(f"{machine} {limit_words(limits)}" for machine, limits in asked)
        what = f"rate {name}: its machines ask it with different parameters, and count the same visits: {each}"
        yield Finding(what, "give them the same parameters, or names of their own")


def fullness(found: Stored, now_ms: int) -> float:
    """Those that let nobody pass come first."""
    limits = limits_of(found)
    if not found.row.readable or limits is None:
        return float(not found.row.readable)
    return (_begun(found.row, limits, now_ms) + _due(found.row, now_ms)) / limits.limit


def data(found: Stored, now_ms: int) -> dict[str, Any]:
    """A rate as it stands at that moment."""
    limits, row = limits_of(found), found.row
    return {
        "readable": row.readable,
        "begun": _begun(row, limits, now_ms),
        "slots_ahead": (ahead := _due(row, now_ms)),
        "last_slot_at_ms": row.last_ms if ahead else None,
        "visits_max": limits.limit if limits else None,
        "window_ms": limits.window_ms if limits else None,
    }


def change_data(change: Change) -> dict[str, Any]:
    return {"before": change.before.state, "after": change.after.state}


def change_words(found: Stored, change: Change, now_ms: int) -> str:
    """`reset, its row was damaged, 3 min ago, by ann: restored a backup`."""
    did = "reset" if change.before.readable else "reset, its row was damaged"
    by = f", by {safe(change.note['by'])}" if change.note.get("by") else ""
    return f"{did}, {ago(now_ms - change.at_ms)}{by}: {safe(change.note.get('reason', ''))}"
