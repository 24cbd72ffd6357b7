"""What is spent in calls, from any thread and at any moment, is counted."""

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fsm import Spent
from fsm.core.snapshot import Snapshot
from fsm.errors import JournalUnwritable
from fsm.runner.live import Live, Purse
from fsm.runner.most import Most
from fsm.runner.spending import Books
from fsm.testing import MovableClock

NEVER: Any = None
RUN: Any = type("Run", (), {"key": 1, "run_id": "r"})


@pytest.fixture
def live() -> Live:
    return Live(run=RUN, engine=NEVER, snapshot=Snapshot(), payload=NEVER)


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
def test_calls_begin_and_end_while_a_thread_looks_at_what_is_spent(live: Live) -> None:
    for number in range(50):
        live.open(Purse(f"{number}", "fetch", 0, 1))
    errors: list[Exception] = []
    done = threading.Event()

    def look() -> None:
        try:
            while not done.is_set():
                live.spend(Spent(1), None, True)
                assert live.in_visit.tokens > 0
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(500):
        purse = Purse("more", "fetch", 0, 1)
        live.open(purse)
        live.leave(purse)
    done.set()
    thread.join()
    assert errors == []


async def test_what_a_call_that_is_over_spends_while_its_row_is_written_is_not_lost(live: Live) -> None:
    purse = Purse("r:1:fetch", "fetch", 0, 1)
    live.open(purse)
    live.spend(Spent(5), purse, False)
    live.leave(purse)
    written: list[int] = []

    class Slow:
        async def call(self, row: Any, **more: Any) -> None:
            written.append(row.spent.tokens)
            if len(written) == 1:
                live.spend(Spent(3), purse, False)

    journal: Any = Slow()
    books = Books(journal, MovableClock())
    await books.calls(live)
    await books.calls(live)
    assert written == [5, 3]
    assert live.purses == set()


async def test_what_a_call_may_have_spent_is_booked_once_also_where_its_row_could_not_be_written(live: Live) -> None:
    purse = Purse("r:1:fetch", "fetch", 0, 1)
    purse.declare(Most(tokens_max=100))
    live.open(purse)
    live.spend(Spent(30), purse, False)
    written: list[tuple[str, int]] = []

    class Full:
        async def call(self, row: Any, **more: Any) -> None:
            if len(written) == 1:
                written.append(("lost", 0))
                raise JournalUnwritable(path="runs.db", what="the disk is full", next="free some space")
            written.append((row.status, row.spent.tokens))

    journal: Any = Full()
    books = Books(journal, MovableClock())
    with pytest.raises(JournalUnwritable):
        await books.calls(live, ended=True)
    assert (live.in_visit, live.held) == (Spent(30), Spent(70))
    await books.calls(live, ended=True)
    assert written == [("", 30), ("lost", 0), ("unknown", 70)]
    live.spend(Spent(50), purse, False)
    assert live.in_visit == Spent(100)
    live.spend(Spent(50), purse, False)
    assert (live.in_visit, live.close(purse)) == (Spent(130), Spent(30))
