"""A budget that runs share in words: what it demands, how it stands, who holds some of it, what it answered."""

from collections.abc import Iterator, Mapping
from typing import Any

from fsm.core.budget import BudgetRow, ask, seen
from fsm.core.shares import budgeting
from fsm.define.guard import Placed, Verdict
from fsm.journal.guards import Change, Stored
from fsm.journal.holding import Holder
from fsm.show.amounts import VISITS, amount, bare, of_limit, unit_of
from fsm.show.here import Here
from fsm.show.sight import Finding, Line, Sight, asked_by, left_among, places, resume, run_names
from fsm.show.words import ago, count, duration, joined, moment, money, safe, shown

HOLDERS_MAX = 20  # for programs
DAMAGED = "its row was damaged"


# --- what a guard demands and answers -------------------------------------------------------------------


def demands(guard: Placed) -> str:
    """`up to 2,000 tokens of all runs with one tenant, every 1 h, warned from 1,500`."""
    assert guard.shares is not None
    limits, (unit, _, scope) = budgeting(guard), guard.shares.name.partition("/")[0].partition(":")
    kind, _, name = scope.partition(":")
    whose = {"label": f"all runs with one {shown(name)}", "pool": f"all runs of pool {shown(name)}"}
    at_once = " at once" if unit == VISITS else ""
    words = [f"up to {amount(unit, limits.limit)}{at_once} of {whose.get(kind, 'all runs of the machine')}"]
    words += [f"every {duration(limits.window_ms)}"] if limits.window_ms else []
    words += [f"warned from {amount(unit, limits.warn_at)}"] if limits.warn_at else []
    return ", ".join(words)


def answered(guard: Placed, verdict: Verdict, now_ms: int | None = None) -> str:
    """`refused 200 tokens (token_budget): 900 of 1,000 tokens spent`, or that it allowed or put off."""
    assert guard.shares is not None
    unit, numbers, code = unit_of(guard.shares.name), verdict.numbers, verdict.code
    if code == "unreadable":
        return "refused (unreadable): its row is damaged"
    asked = f" {amount(unit, numbers['asked'])}" if "asked" in numbers else ""
    told = "; ".join([*_counts(unit, numbers), *_bounds(numbers)])
    match verdict.decision:
        case "allow":
            return f"allowed{asked or ', setting nothing aside'}: {told}"
        case "defer":
            until = f" until {moment(verdict.until_ms)}" if verdict.until_ms is not None and now_ms is None else ""
            return f"put off{asked}{until} ({code}): {told}"
        case _:
            return f"refused{asked} ({code}): {told}"


def _counts(unit: str, numbers: Mapping[str, int]) -> list[str]:
    """`900 of 1,000 tokens spent, 50 set aside`, and where it warns if it does."""
    aside = numbers.get("reserved", 0)
    if unit == VISITS:
        told = f"{of_limit(unit, aside, numbers['limit'])} at once"
    else:
        told = f"{of_limit(unit, numbers.get('spent', 0), numbers['limit'])} spent"
        told += f", {bare(unit, aside)} set aside" if aside else ""
    for name, words in (("waiting", "asked by those before it"), ("raised", "of it added by a person")):
        told += f", {bare(unit, numbers[name])} {words}" if name in numbers else ""
    return [told, *([f"it warns from {bare(unit, numbers['warn_at'])}"] if "warn_at" in numbers else [])]


def _bounds(numbers: Mapping[str, int]) -> list[str]:
    """How often and how long it was put off, where that was too much."""
    if "defers_max" not in numbers:
        return []
    often = f"put off {numbers['defers']:,} times of at most {numbers['defers_max']:,}"
    return [f"{often}, for {numbers['defer_s']:,} s of at most {numbers['defer_s_max']:,}"]


def again(guard: Placed, verdict: Verdict, row: BudgetRow, now_ms: int) -> Verdict:
    """What it would answer now to a visit that asks as much; one that waits has the same others before it."""
    waiting = verdict.numbers.get("waiting", 0) if verdict.decision == "defer" else 0
    return ask(row, budgeting(guard), verdict.numbers.get("asked", 0), now_ms, waiting=waiting)[0]


def remedies(row: str, guard: Placed, verdict: Verdict, here: Here) -> list[tuple[str, str]]:
    """What a person may do about a refusal or a deferral, each with the command that does it."""
    if verdict.code == "unreadable":
        return [("reset its row", here.command("budget", row, "--reset", "--reason", DAMAGED))]
    unit, numbers, put_off = unit_of(row), verdict.numbers, verdict.code in ("reserved", "full", "defer_exhausted")
    gone = sum(numbers.get(name, 0) for name in ("spent", *(("reserved", "waiting") if put_off else ())))
    lacking = max(gone + max(numbers.get("asked", 0), 1) - numbers.get("warn_at", numbers["limit"]), 1)
    written = money(lacking).replace(",", "") if unit == "usd_micros" else str(lacking)
    raising = here.command("budget", row, "--raise", written, "--reason", "REASON")
    found = [(f"raise {safe(row)}, which lacks {amount(unit, lacking)} now", raising)]
    return [("see which runs hold some of it", here.command("budget", row)), *found] if put_off else found


# --- how one stands ------------------------------------------------------------------------------------


def told(found: Stored, sight: Sight) -> Iterator[Line]:
    """A budget in a few lines: spent, set aside and left; when its window ends; who asks, who holds, who raised it."""
    row, unit = now_row(found, sight.now_ms), unit_of(found.name)
    name = (f"{safe(found.name)}  ", "bold")
    if not row.readable:
        yield name, ("unreadable: its row in the journal is damaged, and it refuses until a person resets it", "red")
        yield from (("-> ", (fault.next, "cyan")) for fault in faults(found, sight))
    elif found.askers:
        yield name, _standing(found, row)
    else:
        yield name, f"{amount(unit, row.spent)} spent, {bare(unit, row.reserved)} set aside"
    if found.last is not None:
        yield (f"{_raised(found)}{change_words(found, found.last, sight.now_ms)}",)
    if found.at_ms is None:
        yield (("no visit has set any of it aside or spent any yet", "dim"),)
    yield from (((line, "dim"),) for line in (*_terms(found, sight.now_ms), _asked(found)))
    if found.holders:
        yield (_held(found, sight),)
    if found.waiting[0]:
        runs, asks = found.waiting
        yield (f"{count(runs, 'run waits', 'runs wait')} for {amount(unit, asks)} of it",)
    if left := left_among(found.holders, sight):
        verb, them = ("holds", "it") if len(left) == 1 else ("hold", "them")
        held = amount(unit, sum(holder.amount for holder in left))
        told = f"! {run_names(left)} {verb} {held} of it, and nobody advances {them}"
        yield ((told, "yellow"),)
        yield "  -> ", (resume(left, sight.here), "cyan")
    for fault in faults(found, sight) if row.readable else ():
        yield ((f"! {fault.what}", "yellow"),)
        yield "  -> ", (fault.next, "cyan")


def _standing(found: Stored, row: BudgetRow) -> tuple[str, str]:
    unit, limit = unit_of(found.name), limit_of(found) + row.raised
    parts = [f"{of_limit(unit, row.spent, limit)} spent"]
    parts += [f"{bare(unit, row.reserved)} set aside"] if row.reserved else []
    parts = [f"{of_limit(unit, row.reserved, limit)} at once"] if unit == VISITS else parts
    left = limit - row.spent - row.reserved
    parts += [f"{bare(unit, left)} left" if left >= 0 else f"{bare(unit, -left)} over"]
    warn_at = warn_at_of(found)
    warns = warn_at is not None and row.spent >= warn_at + row.raised
    parts += ["it warns"] if warns else []
    return ", ".join(parts), "red" if row.spent >= limit else "yellow" if warns or left <= 0 else "green"


def _raised(found: Stored) -> str:
    """By how much in all, where the last act does not say it."""
    total, last = found.row.raised, found.last
    if last is None or not total or last.after.raised - last.before.raised == total:
        return ""
    return f"raised by {amount(unit_of(found.name), total)} in all; "


def _terms(found: Stored, now_ms: int) -> list[str]:
    """Where it warns, and when its window ends."""
    if not found.askers:
        return []
    unit, limits, warn_at = unit_of(found.name), budgeting(found.askers[0].guard), warn_at_of(found)
    terms = [f"warns from {amount(unit, warn_at + found.row.raised)}"] if warn_at is not None else []
    if limits.window_ms:
        next_ms = (now_ms // limits.window_ms + 1) * limits.window_ms
        terms.append(f"begins anew every {duration(limits.window_ms)}, next in {duration(next_ms - now_ms)}")
    return ["; ".join(terms)] if terms else []


def _asked(found: Stored) -> str:
    """Who asks; with limits where they differ: what lies between two is a reserve for those with the higher one."""
    limits = {budgeting(asker.guard).limit for asker in found.askers}
    if len(limits) < 2:
        return asked_by(found)
    unit = unit_of(found.name)
    told = []
    for limit in sorted(limits):
        these = places(asker for asker in found.askers if budgeting(asker.guard).limit == limit)
        told.append(f"{joined(these, 'and')} up to {bare(unit, limit)}")
    return f"asked by {'; '.join(told)}"


def _held(found: Stored, sight: Sight) -> str:
    """`set aside by 4 runs, the longest: 42 in draft 2,000 for 3 min, ...`."""
    shown_, unit = found.holders[: sight.holders_max], unit_of(found.name)
    told = ", ".join(_holder(holder, unit, sight) for holder in shown_)
    longest = ", the longest" if len(found.holders) > len(shown_) else ""
    held = "held" if unit == VISITS else "set aside"
    return f"{held} by {count(len(found.holders), 'run')}{longest}: {told}"


def _holder(holder: Holder, unit: str, sight: Sight) -> str:
    run, lasted = holder.run, duration(sight.now_ms - holder.since_ms)
    held = "" if unit == VISITS else f" {bare(unit, holder.amount)}"
    return f"{safe(run.run_id)} in {safe(run.state)}{held} for {lasted}"


def faults(found: Stored, sight: Sight) -> Iterator[Finding]:
    """What somebody should look at: a damaged row, and what is set aside for nothing."""
    here, name, unit = sight.here, found.name, unit_of(found.name)
    if not found.row.readable:
        told = f"the row of budget {safe(name)} is damaged, and so it refuses everything"
        yield Finding(told, here.command("budget", name, "--reset", "--reason", DAMAGED), bad=True)
        return
    if over := found.row.reserved - found.held:
        what = f"{amount(unit, abs(over))} of {safe(name)} " + (
            "set aside that no run under way accounts for" if over > 0 else "held by runs beyond what is set aside"
        )
        yield Finding(what, here.command("budget", name, "--reset", "--reason", "nobody holds it"))


def left_words(found: Stored, sight: Sight) -> str:
    """`400 tokens of tokens:machine=Desk`: what runs have set aside that nobody advances."""
    held = sum(holder.amount for holder in left_among(found.holders, sight))
    return f"{amount(unit_of(found.name), held)} of {safe(found.name)}"


def now_row(found: Stored, now_ms: int) -> BudgetRow:
    """The row at that moment: of an older window nothing is spent in this one."""
    row: BudgetRow = found.row
    return seen(row, budgeting(found.askers[0].guard), now_ms) if found.askers else row


def limit_of(found: Stored) -> int:
    """The highest that anybody asks it with, as declared."""
    return max((budgeting(asker.guard).limit for asker in found.askers), default=0)


def warn_at_of(found: Stored) -> int | None:
    """Where the first of them is warned."""
    return min((at for asker in found.askers if (at := budgeting(asker.guard).warn_at) is not None), default=None)


def fullness(found: Stored, now_ms: int) -> float:
    """Which part of it is spent or set aside; one that cannot be read is fuller than any."""
    row, limit = now_row(found, now_ms), limit_of(found) + found.row.raised
    return (row.spent + row.reserved) / max(limit, 1) if row.readable else float("inf")


def data(found: Stored, now_ms: int) -> dict[str, Any]:
    """A budget as it stands at that moment, in tokens or millionths of a dollar; a list of askers with their limits."""
    row, limit = now_row(found, now_ms), limit_of(found)
    window_ms = budgeting(found.askers[0].guard).window_ms if found.askers else None
    return {
        "unit": unit_of(found.name),
        "readable": row.readable,
        "spent": row.spent,
        "reserved": row.reserved,
        "raised": row.raised,
        "limit": limit + row.raised if found.askers else None,
        "left": limit + row.raised - row.spent - row.reserved if found.askers else None,
        "warn_at": warn_at + row.raised if (warn_at := warn_at_of(found)) is not None else None,
        "window_ms": window_ms,
        "next_window_at_ms": (now_ms // window_ms + 1) * window_ms if window_ms else None,
        "limits": [
            {"machine": asker.machine, "at": asker.at, "limit": budgeting(asker.guard).limit} for asker in found.askers
        ],
        "holders": [
            {"run_id": one.run.run_id, "state": one.run.state, "amount": one.amount, "since_ms": one.since_ms}
            for one in found.holders[:HOLDERS_MAX]
        ],
        "holding": len(found.holders),
        "waiting": found.waiting[0],
        "waiting_for": found.waiting[1],
        "unaccounted": found.row.reserved - found.held if row.readable else None,
    }


def change_data(change: Change) -> dict[str, Any]:
    return {"before": change.before.numbers(), "after": change.after.numbers()}


def change_words(found: Stored, change: Change, now_ms: int) -> str:
    """`raised by $1.5, 3 min ago, by ann: launch day`."""
    unit, by, when = unit_of(found.name), change.after.raised - change.before.raised, ago(now_ms - change.at_ms)
    if not change.note:
        run = f", by run {safe(change.run_id)}" if change.run_id is not None else ""
        return f"{change.before.state} to {change.after.state}, {when}{run}"
    if change.note.get("act") == "raise":
        did = f"{'raised' if by >= 0 else 'lowered'} by {amount(unit, abs(by))}"
    elif change.before.readable:
        did = f"reset, {bare(unit, change.before.reserved)} set aside to {bare(unit, change.after.reserved)}"
    else:
        did = "reset, its row was damaged"
    by_whom = f", by {safe(change.note['by'])}" if change.note.get("by") else ""
    return f"{did}, {when}{by_whom}: {safe(change.note.get('reason', ''))}"
