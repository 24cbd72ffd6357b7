"""One heap of deadlines: who is barked at, and what the heap holds on to."""

import gc
import weakref

from attrs import define

from fsm.runner.watchdog import ENTRIES_MIN, Watchdog


@define(eq=False)
class Sheep:
    deadline: float | None = None
    watched_at: float | None = None


def test_short_visits_leave_a_bounded_number_of_entries_behind() -> None:
    barked: list[Sheep] = []
    dog: Watchdog[Sheep] = Watchdog(barked.append)
    staying = [Sheep() for _ in range(100)]
    for number, sheep in enumerate(staying):
        dog.watch(sheep, 1_000.0 + number)
    gone: list[weakref.ref[Sheep]] = []
    for number in range(10_000):
        visit = Sheep()
        dog.watch(visit, 300.0 + number / 100)
        visit.deadline = None
        gone.append(weakref.ref(visit))
        assert dog.entries <= 2 * len(staying) + ENTRIES_MIN
    del visit
    gc.collect()
    assert sum(ref() is not None for ref in gone) <= len(staying) + ENTRIES_MIN
    dog.look(2_000.0)
    assert barked == staying, "whoever was still watched is, and only they"


def test_a_run_whose_entry_was_dropped_is_watched_again() -> None:
    barked: list[Sheep] = []
    dog: Watchdog[Sheep] = Watchdog(barked.append)
    one = Sheep()
    dog.watch(one, 10.0)
    one.deadline = None
    for _ in range(ENTRIES_MIN + 1):
        dog.watch(Sheep(), 1_000.0)
    dog.watch(one, 20.0)
    dog.look(15.0)
    assert barked == []
    dog.look(20.0)
    assert barked == [one]


def test_deadlines_that_move_earlier_leave_no_second_entry_for_long() -> None:
    barked: list[Sheep] = []
    dog: Watchdog[Sheep] = Watchdog(barked.append)
    one = Sheep()
    for number in range(10_000):
        dog.watch(one, 20_000.0 - number)
        assert dog.entries <= ENTRIES_MIN
    dog.look(20_000.0)
    assert barked == [one]
