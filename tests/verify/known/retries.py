"""Flows that try again: exponential backoff, the circuit breaker, polling until done."""

from typing import ClassVar

from attrs import frozen

from fsm import AgentFailed, Facts, Guard, Kind, Machine, State, TimedOut, Verdict, allow, never, unbound
from guards import LoopCap
from tests.verify.known.words import Done, Job, Known, No, Yes


class Backoff(Machine, resumes_max=0):
    """Retry with backoff and at most three retries.

    Source: Marc Brooker, "Timeouts, retries, and backoff with jitter", Amazon Builders' Library: retries that are few,
    a capped pause before each. One call and three retries: 4 visits of `call`, 3 of `pause`; a hop out of each, 7
    hops.
    """

    call = State(initial=Job, agent=unbound, timeout_s=2, tokens_max=1_000)
    pause = State(timeout_s=8)
    answered = State(final="completed")
    gave_up = State(final="failed")
    answer = call.to(answered, on=Done)
    fail = call.to(pause, on=AgentFailed, guards=[LoopCap(3)], otherwise=gave_up)
    again = pause.to(call, on=TimedOut)
    tried = never(gave_up, before=fail)


class Tripped(Machine):
    """The circuit breaker as a machine of its own: closed, open, half open.

    Source: Michael Nygard, "Release It!", Pragmatic Bookshelf, 2007, as told by Martin Fowler, "CircuitBreaker", in
    his bliki. It guards calls for as long as there are any, so no run of it has to end; the shortest loop is one good
    call.
    """

    closed = State(initial=Job, agent=unbound)
    open = State(timeout_s=30)
    half_open = State(agent=unbound)
    stopped = State(final="completed")
    good = closed.to(closed, on=Done)
    trip = closed.to(open, on=AgentFailed)
    retry = open.to(half_open, on=TimedOut)
    reset = half_open.to(closed, on=Done)
    trip_again = half_open.to(open, on=AgentFailed)
    stop = closed.to(stopped, on=No)


@frozen
class Breaker(Guard):
    """Looks at the world: it may refuse for ever, and never counts as a bound."""

    kind: ClassVar[Kind] = "env"
    codes: ClassVar[tuple[str, ...]] = ("open",)

    def check(self, facts: Facts) -> Verdict:
        return allow()


class BehindBreaker(Machine):
    """A caller behind a breaker, that asks again after a pause while it is open, twice at most.

    After `Tripped`; the caller and its cap are ours. At most two pauses: ready -> pause -> ready -> pause -> ready ->
    call or gave_up, then the call's answer: 6 hops.
    """

    ready = State(initial=Job, agent=unbound)
    pause = State(timeout_s=30)
    call = State(agent=unbound)
    answered = State(final="completed")
    gave_up = State(final="failed")
    go = ready.to(call, on=Done, guards=[Breaker()], otherwise=pause)
    wait = pause.to(ready, on=TimedOut, guards=[LoopCap(2)], otherwise=gave_up)
    answer = call.to(answered, on=Done)
    broken = call.to(gave_up, on=AgentFailed)


class Poll(Machine, resumes_max=0):
    """Submit, then ask every ten seconds whether it is done, five times at most.

    Source: "Asynchronous Request-Reply pattern", Azure Architecture Center: 202 Accepted, then a status endpoint to
    poll; how often is ours. submit, 6 looks with 5 pauses between, and the way out: 12 hops; 5 + 6 * 5 + 5 * 10 = 85
    seconds.
    """

    submit = State(initial=Job, agent=unbound, timeout_s=5)
    look = State(agent=unbound, timeout_s=5)
    pause = State(timeout_s=10)
    done = State(final="completed")
    expired = State(final="failed")
    accepted = submit.to(look, on=Done)
    finished = look.to(done, on=Yes)
    pending = look.to(pause, on=No, guards=[LoopCap(5)], otherwise=expired)
    again = pause.to(look, on=TimedOut)
    refused = submit.to(expired, on=AgentFailed)
    lost = look.to(expired, on=AgentFailed)


KNOWN = [
    Known(Backoff, True, {"hops": 7, "tokens": 4_000, "ms": 4 * 2_000 + 3 * 8_000}, {}),
    Known(Tripped, False, loop=frozenset({"good"})),
    Known(BehindBreaker, True, {"hops": 6}),
    Known(Poll, True, {"hops": 12, "ms": 85_000}),
]
