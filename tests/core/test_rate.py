"""A rate that runs share, against a log of every moment: never more than it says, in the order of asking."""

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fsm import AgentFailed, Machine, Retry, State
from fsm.core.conclude import decide
from fsm.core.rate import BUCKETS, LIMITED, SLOT, RateRow, Rating, ask
from fsm.core.shares import Apart
from fsm.define.guard import Share, Verdict
from guards import RateLimit
from tests.core.trip import Trip, Word, answer

BEGAN = 1_700_000_000_000


def most_at_once(begun: list[int], window_ms: int) -> int:
    """The most that began in any window, by looking at each that begins with one of them."""
    return max((sum(at <= other < at + window_ms for other in begun) for at in begun), default=0)


ratings = st.builds(Rating, limit=st.integers(1, 12), window_ms=st.integers(10, 5_000))
pauses = st.lists(st.integers(0, 900), min_size=1, max_size=120)


@given(ratings, pauses, st.randoms(use_true_random=False))
def test_never_more_begin_in_any_window_than_the_limit_and_who_waits_comes_in_turn(
    rating: Rating, pauses: list[int], chance: Random
) -> None:
    row, at_ms = RateRow(), BEGAN
    begun: list[int] = []
    slots: list[int] = []
    for pause in pauses:
        at_ms += pause
        verdict, after = ask(row, rating, at_ms)
        if verdict.decision == "allow":
            begun.append(at_ms)
            assert not slots or at_ms >= slots[-1], "nobody overtakes those who wait"
        else:
            assert verdict.until_ms is not None and verdict.until_ms > at_ms
            assert (verdict.code, verdict.keep) == (LIMITED, {SLOT: verdict.until_ms})
            assert not slots or verdict.until_ms >= slots[-1]
            slots.append(verdict.until_ms)
            again, same = ask(after, rating, verdict.until_ms + rating.width_ms - 1, verdict.until_ms)
            assert (again.decision, same) == ("allow", after), "its slot is its own, whatever else was given"
        assert ask(RateRow.from_numbers(verdict.numbers), rating, at_ms)[0] == verdict
        assert RateRow.from_json(after.to_json()) == after
        row = after
    come = [slot + chance.choice((0, rating.width_ms - 1)) for slot in slots]
    assert most_at_once(sorted([*begun, *come]), rating.window_ms) <= rating.limit


@given(ratings, st.integers(1, 60))
def test_a_queue_moves_at_ten_elevenths_of_the_limit(rating: Rating, waiting: int) -> None:
    row, last_ms = RateRow(), BEGAN
    for _ in range(rating.limit + waiting):
        verdict, row = ask(row, rating, BEGAN)
        last_ms = verdict.until_ms or BEGAN
    rounds = -(-waiting // rating.limit)
    assert last_ms - BEGAN <= rounds * (BUCKETS + 1) * rating.width_ms
    assert len(row.taken) <= BUCKETS + 3 or rating.limit > len(row.taken) - 3


def test_a_row_stays_small_however_many_wait() -> None:
    rating, row = Rating(limit=10, window_ms=60_000), RateRow()
    for n in range(1_000):
        _, row = ask(row, rating, BEGAN + n)
    assert len(row.to_json()) < 300
    assert row.last_ms - BEGAN // 6_000 * 6_000 == 99 * 66_000


def test_who_comes_too_late_for_its_slot_gets_another() -> None:
    rating, row = Rating(limit=1, window_ms=1_000), RateRow()
    _, row = ask(row, rating, BEGAN)
    verdict, row = ask(row, rating, BEGAN)
    slot = verdict.until_ms or 0
    in_time, _ = ask(row, rating, slot + 99, slot)
    assert in_time == Verdict("allow", "", {"slot_ms": slot, "visits_max": 1}, keep={SLOT: 0})
    late, row = ask(row, rating, slot + 100, slot)
    assert (late.decision, late.until_ms) == ("defer", slot + 1_100)
    much_later, _ = ask(row, rating, slot + 9_000, slot)
    assert (much_later.decision, much_later.keep) == ("allow", {SLOT: 0})


def test_who_is_asked_before_its_slot_keeps_it() -> None:
    rating, row = Rating(limit=1, window_ms=1_000), RateRow()
    _, row = ask(row, rating, BEGAN)
    verdict, row = ask(row, rating, BEGAN)
    slot = verdict.until_ms or 0
    early, same = ask(row, rating, slot - 1, slot)
    assert (early.decision, early.until_ms, same) == ("defer", slot, row)


def test_what_cannot_be_read_refuses() -> None:
    rating = Rating(limit=1, window_ms=1_000)
    for text in ("", "{}", "[]", '{"taken": 5}', '{"taken": [[1]]}', '{"taken": [[1, -1]]}', '{"taken": [], "x": 1}'):
        row = RateRow.from_json(text)
        verdict, after = ask(row, rating, BEGAN)
        assert (verdict.decision, verdict.code, after) == ("refuse", "unreadable", row)
        assert ask(RateRow.from_numbers(verdict.numbers), rating, BEGAN)[0] == verdict
    assert RateRow.from_json(RateRow(readable=False).to_json()) == RateRow(readable=False)


def test_a_retry_waits_for_its_slot_no_longer_than_anything_may_be_put_off() -> None:
    class Again(Machine, defer_s_max=100):
        work = State[Any](
            initial=Word, agent=answer, retry=Retry(attempts_max=2), guards=[RateLimit("model", 1, window_s=1)]
        )
        done = State[Any](final="completed")
        end = work.to(done, on=(Word, AgentFailed))

    lost = AgentFailed(error_type="ConnectionError", message="lost", attempt=1, retriable=True)
    for ahead_ms, kind in ((50_000, "retried"), (500_000, "ended")):
        trip = Trip(Again)
        trip.own(Word())
        row = RateRow(taken=((trip.now_ms + ahead_ms, 1),))
        shared = Apart({Share("rate", "model"): row})
        record = decide(trip.engine, trip.snapshot, trip.event(lost), shared=shared).record
        assert record is not None and record.kind == kind
    assert record is not None
    assert [ruling.verdict.code for ruling in record.rulings] == ["", "defer_exhausted"]


attempts = st.lists(st.tuples(st.integers(0, 900), st.integers(0, 9_000)), min_size=1, max_size=60)


@given(ratings, attempts)
def test_attempts_that_begin_after_a_pause_forget_nothing_of_what_begins_before_them(
    rating: Rating, attempts: list[tuple[int, int]]
) -> None:
    row, at_ms = RateRow(), BEGAN
    begun: list[int] = []
    for later_ms, pause_ms in attempts:
        at_ms += later_ms
        verdict, row = ask(row, rating, at_ms + pause_ms, pause_ms=pause_ms)
        begun.append(verdict.until_ms or at_ms + pause_ms)
        assert ask(RateRow.from_numbers(verdict.numbers), rating, at_ms + pause_ms, pause_ms=pause_ms)[0] == verdict
    assert most_at_once(begun, rating.window_ms) <= rating.limit
