"""A small machine with every kind of way, and trips on it."""

from pydantic import BaseModel

from fsm import AgentFailed, Machine, Retry, Spent, State, TimedOut, any_of, days, everywhere, minutes
from guards import Deadline, LoopCap, Strikes, TokenBudget
from tests.core.trip import Says, Trip, answer, begun


class Brief(BaseModel):
    says: dict[str, str] = {}


class Draft(Brief):
    pass


class Verdict(Brief):
    good: bool = False


class Approval(Brief):
    pass


def is_good(verdict: Verdict) -> bool:
    return verdict.good


class Small(Machine):
    """Write and check; a person helps."""

    lost = State(final="failed")
    write = State(initial=Brief, agent=answer, timeout_s=60)
    check = State(agent=answer, guards=[Says("door")], otherwise=lost)
    person = State(timeout_s=days(2), title="An editor")
    done = State(final="completed")

    submit = write.to(check, on=Draft)
    good = check.to(done, on=Verdict, when=is_good)
    again = check.to(write, on=Verdict, guards=[LoopCap(2), Says("tone")], otherwise={"loop_cap": person, "*": lost})
    accept = person.to(done, on=Approval, guards=[Says("signed")])
    drop = person.to(lost, on=TimedOut)
    broken = any_of(write, check).to(person, on=AgentFailed)
    limits = everywhere(TokenBudget(1_000))


def helped() -> Trip:
    """Rejected twice, then a person, whose first signature does not hold and whose second does."""
    trip = begun(Small, Brief())
    for _ in range(3):
        trip.own(Draft(), spent=Spent(100))
        trip.own(Verdict(), spent=Spent(10, 5))
    trip.send(Draft(), "stray")
    trip.send(Approval(says={"signed": "refuse"}), "first")
    trip.send(Approval(), "second")
    return trip


def stopped() -> Trip:
    """Spent too much, and no `otherwise` for that."""
    trip = begun(Small, Brief())
    trip.own(Draft(), spent=Spent(2_000))
    return trip


def kept_out() -> Trip:
    """The draft is refused at the door of `check`."""
    trip = begun(Small, Brief())
    trip.own(Draft(says={"door": "refuse"}))
    return trip


class Chain(Machine):
    """Refusals that lead on to refusals, and one at the very start."""

    work = State(initial=Brief, agent=answer, guards=[Says("start")])
    ask = State(agent=answer, guards=[Says("door")])
    done = State(final="completed")

    go = work.to(done, on=Draft, guards=[Says("line")], otherwise=ask)
    end = ask.to(done, on=Draft)


class Trying(Machine):
    """A tool that fails is tried again, then done without."""

    ask = State(initial=Brief, agent=answer, fallback=answer, retry=Retry(base_s=2), guards=[Strikes("tool", 2)])
    done = State(final="completed")
    lost = State(final="failed")

    found = ask.to(done, on=Draft)
    broken = ask.to(lost, on=AgentFailed)
    limits = everywhere(LoopCap(20), Deadline(minutes(2)), otherwise=lost)


def failed(retriable: bool = True, retry_after_ms: int | None = None) -> AgentFailed:
    return AgentFailed(
        error_type="ConnectionError", message="503", attempt=1, retriable=retriable, retry_after_ms=retry_after_ms
    )


def tried() -> Trip:
    """It failed, was tried again, and struck out: the fallback did it."""
    trip = begun(Trying, Brief())
    trip.own(failed())
    trip.own(failed())
    trip.own(Draft())
    return trip
