"""What a guard demands, as it stands beside its name in every picture: its limit in words, or its parameters."""

from collections.abc import Callable, Mapping
from itertools import starmap

from fsm.core.shares import breaking
from fsm.define.guard import Counter, Placed, Share
from fsm.show.breaking import demands, is_breaker
from fsm.show.words import count, duration, money, shown

COUNTED = {"fires": ("time", "times"), "visits": ("visit", "visits"), "hops": ("hop", "hops")}
Params = Mapping[str, int | str]


def guard_words(guard: Placed, owner: str) -> str:
    """What a guard demands, after its name: its limit in words, or its parameters. `owner`: where it stands."""
    if guard.counter is not None and guard.limit is not None:
        return _limit_words(guard.counter, guard.limit, owner)
    if guard.shares is not None:
        return demands(breaking(guard)) if is_breaker(guard) else _shared_words(guard.shares, guard.params)
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


def _shared_words(share: Share, params: Params) -> str:
    """`up to 2,000 tokens of all runs with one tenant, every 1 h, warned from 1,500`."""
    unit, _, scope = share.name.partition("/")[0].partition(":")
    told: Callable[[int], str] = (lambda limit: count(limit, "token")) if unit == "tokens" else money
    kind, _, name = scope.partition(":")
    whose = {"label": f"all runs with one {shown(name)}", "pool": f"all runs of pool {shown(name)}"}
    words = [f"up to {told(int(params['limit']))} of {whose.get(kind, 'all runs of the machine')}"]
    words += [f"every {duration(int(params['window_ms']))}"] if "window_ms" in params else []
    words += [f"warned from {told(int(params['warn_at']))}"] if "warn_at" in params else []
    return ", ".join(words)


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
