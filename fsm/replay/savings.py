"""What a guard's stops come to: what they would have saved of runs that failed, and which good runs they kill."""

import statistics
from collections.abc import Iterable

from attrs import frozen

from fsm.replay.backtest import Found, Stop
from fsm.replay.traces.trace import Trace
from fsm.replay.wilson import wilson


@frozen
class Killed:
    """Good runs that would have been stopped, of how many, and the 95 % interval of that share (Wilson)."""

    runs: int
    of: int
    interval: tuple[float, float]


@frozen
class Savings:
    """Of the runs not known to be good: how many are stopped, at which message (median), and what is left undone.

    `steps` and `spent` are shares of what all these runs came to, also those it did not stop. `beside` counts its
    stops before, at and after the labelled mistake, of all runs that have one; None where no run has. `killed` is None
    where no run is known to be good.
    """

    stopped: int
    of: int
    at: float | None
    steps: float
    spent: float
    beside: tuple[int, int, int] | None
    killed: Killed | None


def savings(found: Found) -> Savings:
    others = [trace for trace in found.judged if not trace.good]
    stops = [stop for stop in found.stops if not stop.trace.good]
    return Savings(
        stopped=len(stops),
        of=len(others),
        at=statistics.median(stop.step for stop in stops) if stops else None,
        steps=_share(sum(len(stop.trace.messages) - stop.step - 1 for stop in stops), map(_length, others)),
        spent=_share(sum(sum(stop.trace.spent()[stop.step + 1 :]) for stop in stops), map(_spent, others)),
        beside=_beside(found),
        killed=_killed(found.stops, found.judged),
    )


def _share(part: int, whole: Iterable[int]) -> float:
    return part / (sum(whole) or 1)


def _length(trace: Trace) -> int:
    return len(trace.messages)


def _spent(trace: Trace) -> int:
    return sum(trace.spent())


def _beside(found: Found) -> tuple[int, int, int] | None:
    if all(trace.mistake is None for trace in found.judged):
        return None
    places = [stop.beside_mistake for stop in found.stops]
    return places.count("before"), places.count("at"), places.count("after")


def _killed(stops: Iterable[Stop], judged: Iterable[Trace]) -> Killed | None:
    of = sum(trace.good is True for trace in judged)
    runs = sum(stop.trace.good is True for stop in stops)
    return Killed(runs, of, wilson(runs, of)) if of else None
