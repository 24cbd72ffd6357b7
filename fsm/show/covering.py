"""Coverage in words: how much of a machine was taken, and what would take the rest."""

from collections.abc import Iterator
from typing import Any

from fsm.core.shares import putting_off
from fsm.define.guard import Placed
from fsm.define.parts import RetrySpec, TransitionSpec
from fsm.define.spec import MachineSpec
from fsm.replay.coverage import KINDS, Coverage, Item, Kind
from fsm.show.demands import guard_words
from fsm.show.words import count, duration, joined, safe

PLURALS: dict[Kind, str] = {"otherwise": "otherwise", "retry": "retries", "refusal": "refusals"}


def summary(found: Coverage) -> str:
    """`11 of 14 taken, by 3 runs of 20 records`."""
    runs = f"{count(found.runs, 'run')}, {count(found.records, 'record')}"
    return f"{found.taken:,} of {len(found.items):,} taken  ({runs})"


def parts(found: Coverage) -> Iterator[tuple[str, str, str]]:
    """Of each kind of item its name, how many were taken, and the percentage; kinds without items are left out."""
    for kind in KINDS:
        items = found.of(kind)
        taken = sum(item.times > 0 for item in items)
        if items:
            name = PLURALS.get(kind, f"{kind}s")
            yield name, f"{taken:,} of {len(items):,}", f"{100 * taken // len(items)} %"


def hint(found: Coverage, item: Item) -> str:
    """What would take an item that was never taken."""
    spec = found.spec
    match item.kind:
        case "state":
            return _leading(spec, item.name)
        case "refusal" | "deferral":
            return _refusing(spec, item)
        case "timeout":
            state = spec.state[item.name]
            what = "its agent gives no answer" if state.kind == "agent" else "nothing arrives"
            return _where(found, (item.name,), f"{what} within {duration(state.timeout_ms or 0)}")
        case "retry":
            state = spec.state[item.name.removesuffix(".retry")]
            assert state.retry is not None
            return _where(found, (state.name,), _failing(state.retry))
        case "otherwise":
            return _refused(spec, item.name)
        case _:
            line = next(line for line in spec.transitions if line.name == item.name)
            return _where(found, line.sources, _arriving(line))


def _arriving(line: TransitionSpec) -> str:
    when = f" when {safe(line.when.name)}" if line.when is not None else ""
    return f"{joined([safe(event) for event in line.events], 'or')}{when}"


def _failing(retry: RetrySpec) -> str:
    return f"a failure when {safe(retry.when.name)}"


def _where(found: Coverage, sources: tuple[str, ...], what: str) -> str:
    """What has to happen in one of these states; and that none of them was ever entered."""
    inside = joined([safe(name) for name in sources], "or")
    entered = any(found.entered(name) for name in sources)
    return f"{what} in {inside}" + ("" if entered else ", which no run entered")


def _leading(spec: MachineSpec, state: str) -> str:
    ways = [hop.id for hop in spec.hops.values() if hop.target == state and state not in hop.sources]
    return f"by {joined([safe(way) for way in ways], 'or')}" if ways else "no way leads there"


def _refusing(spec: MachineSpec, item: Item) -> str:
    """The guard whose code it is, with its limit."""
    name, at, code = item.verdict or ("", "", "")
    alike = [
        guard
        for guard in spec.guards
        if (guard.name, guard.at) == (name, at) and code in (*guard.codes, putting_off(guard))
    ]
    return joined([_demand(guard) for guard in alike], "or")


def _demand(guard: Placed) -> str:
    demanded = guard_words(guard, guard.at)
    if guard.shares is not None:
        return demanded
    why = "past its limit" if guard.limit is not None else "when its check says so"
    return f"{why}: {demanded}" if demanded else why


def _refused(spec: MachineSpec, way: str) -> str:
    """The guards whose refusal that way answers to."""
    owner, _, code = way.partition(".otherwise")
    part = spec.parts[owner]
    named = set(part.otherwise) - {"*"}
    codes = [
        f"{safe(guard.name)}: {safe(one)}"
        for guard in part.guards
        for one in guard.codes
        if one == code.removeprefix(".") or (not code and one not in named)
    ]
    return f"{safe(owner)} refused by {joined(codes, 'or')}" if codes else f"{safe(owner)} refused for another reason"


def coverage_data(found: Coverage) -> dict[str, Any]:
    """All of it as plain JSON data."""
    return {
        "machine": found.spec.name,
        "fingerprint": found.spec.fingerprint,
        "runs": found.runs,
        "records": found.records,
        "taken": found.taken,
        "of": len(found.items),
        "percent": found.percent,
        "items": [
            {**_item_data(item), "new": item.new, "hint": None if item.times else hint(found, item)}
            for item in found.items
        ],
        "removed": [_item_data(item) for item in found.removed],
    }


def _item_data(item: Item) -> dict[str, Any]:
    return {"kind": item.kind, "name": item.name, "times": item.times}


def never(found: Coverage) -> list[str]:
    """What was never taken, a line each, for an assertion that says so."""
    lines = [f"  {item.kind} {safe(item.name)}: {hint(found, item)}" for item in found.never]
    return [f"{found.spec.name}: {found.percent} % covered, {summary(found)}; never taken:", *lines]
