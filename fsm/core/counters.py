"""What a run counts, as its records say: how guards see it, and how it is folded."""

from collections.abc import Mapping

from fsm.core.record import NO_STRIKES, Record, Spent
from fsm.define.guard import Counter
from fsm.define.parts import START
from fsm.define.spec import MachineSpec


def with_hop(spec: MachineSpec, before: Mapping[str, int], record: Record) -> dict[str, int]:
    counters = dict(before)
    hop, target = record.hop, record.state
    started = record.source == START
    for key in (f"visits:{target}", f"fires:{hop}", *(() if started else ("hops",))):
        counters[key] = counters.get(key, 0) + 1
    for counter in spec.since_counters:
        if counter.since == target:
            counters[counter.key] = 0
        elif _counts(counter, hop, target) and not (started and counter.of == "hops"):
            counters[counter.key] = counters.get(counter.key, 0) + 1
    return counters


def _counts(counter: Counter, hop: str, target: str) -> bool:
    return counter.of == "hops" or (counter.of, counter.subject) in (("fires", hop), ("visits", target))


def _with_spending(spec: MachineSpec, before: Mapping[str, int], spent: Spent) -> dict[str, int]:
    counters = dict(before)
    for name, amount in (("tokens", spent.tokens), ("usd_micros", spent.usd_micros)):
        if amount:
            counters[name] = counters.get(name, 0) + amount
            for counter in spec.since_counters:
                if counter.of == name:
                    counters[counter.key] = counters.get(counter.key, 0) + amount
    return counters


def with_told(
    spec: MachineSpec, counters: Mapping[str, int], spent: Spent, strikes: Mapping[str, int] = NO_STRIKES
) -> Mapping[str, int]:
    """The counters as they are once `spent` and `strikes` are recorded; this is what guards look at."""
    counters = _with_spending(spec, counters, spent) if spent else counters
    return {**counters, **{key_of(name): count for name, count in strikes.items()}} if strikes else counters


def key_of(name: str) -> str:
    """The counter of what is depended on."""
    return f"strikes:{name}"
