"""What a guard demands, as it stands beside its name in every picture: its limit in words, or its parameters."""

from collections.abc import Callable, Mapping
from itertools import starmap

from fsm.define.guard import Counter, Placed
from fsm.show.kinds import kind_of
from fsm.show.words import count, duration, money, shown

COUNTED = {"fires": ("time", "times"), "visits": ("visit", "visits"), "hops": ("hop", "hops")}
Params = Mapping[str, int | str]


def guard_words(guard: Placed, owner: str) -> str:
    """What a guard demands, after its name: its limit in words, or its parameters. `owner`: where it stands."""
    if guard.counter is not None and guard.limit is not None:
        return _limit_words(guard.counter, guard.limit, owner)
    if (kind := kind_of(guard)) is not None:
        return kind.demands(guard)
    told = DEMANDS.get((guard.name, *guard.params))
    return told(guard.params) if told is not None else ", ".join(starmap(_param_words, guard.params.items()))


def _param_words(name: str, value: int | str) -> str:
    """`up to 16,384 bytes`, of what is named `bytes_max`; else the name and the value."""
    if isinstance(value, int) and name.endswith("_max"):
        return f"up to {value:,} {shown(name.removesuffix('_max').replace('_', ' '))}"
    return f"{shown(name)} {shown(str(value))}"


def _repeat_words(params: Params) -> str:
    often = count(int(params["nth"]) - 1, "arrival")
    return f"up to {often} of the same payload, among the last {int(params['remembered_max']):,}"


def _progress_words(params: Params) -> str:
    return f"until {shown(str(params['of']))} stays the same for {count(int(params['cycles_max']), 'cycle')}"


DEMANDS: dict[tuple[str, ...], Callable[[Params], str]] = {
    ("Repeat", "nth", "remembered_max"): _repeat_words,
    ("NoProgress", "cycles_max", "of"): _progress_words,
}
"""What guards with parameters of just these names demand, where their names would not tell it."""


def _limit_words(counter: Counter, limit: int, owner: str) -> str:
    match counter.of:
        case "strikes":
            often = f" {limit:,} times in a row" if limit > 1 else ""
            return f"until {shown(counter.subject)} fails{often}"
        case "elapsed_ms":
            return f"within {duration(limit)} of the start"
        case "usd_micros":
            told = money(limit)
        case "tokens":
            told = count(limit, "token")
        case _:
            told = count(limit, *COUNTED[counter.of])
    of = f" of {shown(counter.subject)}" if counter.subject not in ("", owner) else ""
    since = f" since {shown(counter.since)}" if counter.since else ""
    return f"up to {told}{of}{since}"
