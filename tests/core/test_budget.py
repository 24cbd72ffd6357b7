"""A budget that many runs share: what it says, and any course of visits against a model of a few lines."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fsm.core.budget import DEFER_MS, DEFER_MS_MAX, Budgeting, BudgetRow, ask, raised, seen, settled
from fsm.define.guard import Verdict

NOW = 1_700_000_000_000
HOUR = 3_600_000
PLAIN = Budgeting(code="token_budget", limit=1_000)
WARNED = Budgeting(code="token_budget", limit=1_000, warn_at=600)
HOURLY = Budgeting(code="token_budget", limit=1_000, window_ms=HOUR)
UNREADABLE = BudgetRow(readable=False)
NUMBERS = st.integers(min_value=0, max_value=1 << 70)
ROWS = st.builds(BudgetRow, spent=NUMBERS, reserved=NUMBERS, raised=NUMBERS, window=NUMBERS)


def word(verdict: Verdict) -> str:
    return f"{verdict.decision} {verdict.code}".strip()


@pytest.mark.parametrize(
    ("spent", "reserved", "asked", "said"),
    [
        (0, 0, 1_000, "allow"),
        (0, 0, 1_001, "refuse token_budget"),
        (400, 400, 200, "allow"),
        (400, 401, 200, "defer reserved"),
        (801, 0, 200, "refuse token_budget"),
        (801, 199, 200, "refuse token_budget"),
        (999, 0, 0, "allow"),
        (1_000, 0, 0, "refuse token_budget"),
        (999, 1, 0, "defer reserved"),
        (5_000, 0, None, "allow"),
    ],
)
def test_what_is_said(spent: int, reserved: int, asked: int | None, said: str) -> None:
    row = BudgetRow(spent=spent, reserved=reserved)
    verdict, after = ask(row, PLAIN, asked, NOW, 0)
    assert word(verdict) == said
    assert verdict.numbers.get("asked", 0) == (asked or 0)
    assert verdict.numbers["limit"] == 1_000
    taken = (asked or 0) if said == "allow" else 0
    assert after == BudgetRow(spent=spent, reserved=reserved + taken)
    assert (after is row) == (not taken), "what changes nothing is not stored"


def test_it_warns_before_it_refuses_and_before_it_defers() -> None:
    said = {spent: word(ask(BudgetRow(spent=spent, reserved=300), WARNED, 200, NOW, 0)[0]) for spent in (400, 401, 801)}
    assert said == {400: "allow", 401: "refuse budget_warned", 801: "refuse token_budget"}
    assert [word(ask(BudgetRow(spent=n), WARNED, 0, NOW, 0)[0]) for n in (599, 600)] == [
        "allow",
        "refuse budget_warned",
    ], "from warn_at on, also where nobody knows what a visit spends"
    assert ask(BudgetRow(spent=600), WARNED, 1, NOW, 0)[0].numbers == {
        "spent": 600,
        "asked": 1,
        "limit": 1_000,
        "warn_at": 600,
    }


def test_an_increase_moves_the_limit_and_the_warning() -> None:
    row = raised(raised(BudgetRow(spent=1_000), 200), 100)
    assert (row.raised, row.state) == (300, "raised by 300")
    assert word(ask(row, PLAIN, 300, NOW, 0)[0]) == "allow"
    assert word(ask(row, PLAIN, 301, NOW, 0)[0]) == "refuse token_budget"
    verdict, _ = ask(raised(BudgetRow(spent=850), 300), WARNED, 51, NOW, 0)
    assert (word(verdict), verdict.numbers["warn_at"], verdict.numbers["limit"]) == ("refuse budget_warned", 900, 1_300)


def test_what_is_put_off_is_asked_again_ever_later() -> None:
    row = BudgetRow(reserved=1_000)
    waits = [(ask(row, PLAIN, 1, NOW, defers)[0].until_ms or 0) - NOW for defers in range(40)]
    assert waits[:4] == [DEFER_MS, 2 * DEFER_MS, 4 * DEFER_MS, 8 * DEFER_MS]
    assert waits == sorted(waits)
    assert waits[-1] == DEFER_MS_MAX


def test_settling_frees_what_was_held_and_counts_what_was_spent() -> None:
    row = BudgetRow(spent=100, reserved=500)
    assert settled(row, PLAIN, 150, 200, NOW) == BudgetRow(spent=250, reserved=300)
    assert settled(row, PLAIN, 0, 0, NOW) is row, "what changes nothing is not stored"
    assert settled(row, PLAIN, 7, 0, NOW) == BudgetRow(spent=107, reserved=500)


# --- windows ----------------------------------------------------------------------------------------


def test_a_window_begins_with_nothing_spent_and_with_what_is_set_aside() -> None:
    row = settled(BudgetRow(reserved=300), HOURLY, 900, 0, NOW)
    assert word(ask(row, HOURLY, 200, NOW, 0)[0]) == "refuse token_budget"
    verdict, after = ask(row, HOURLY, 200, NOW + HOUR, 0)
    assert word(verdict) == "allow"
    assert after == BudgetRow(reserved=500, window=NOW // HOUR + 1)
    assert verdict.numbers == {"reserved": 300, "window": NOW // HOUR + 1, "asked": 200, "limit": 1_000}


def test_windows_are_aligned_to_the_epoch() -> None:
    row = settled(BudgetRow(), HOURLY, 5, 0, 2 * HOUR)
    assert (row.window, seen(row, HOURLY, 3 * HOUR - 1).spent, seen(row, HOURLY, 3 * HOUR).spent) == (2, 5, 0)


def test_a_clock_that_is_behind_does_not_forget_what_was_spent() -> None:
    """Two processes at the turn of a window, one with a moment from before it."""
    ahead = settled(BudgetRow(), HOURLY, 900, 0, 3 * HOUR)
    assert word(ask(ahead, HOURLY, 200, 3 * HOUR - 1, 0)[0]) == "refuse token_budget"
    behind = settled(ahead, HOURLY, 50, 0, 3 * HOUR - 1)
    assert seen(behind, HOURLY, 3 * HOUR) == BudgetRow(spent=950, window=3)


# --- as it is stored, and as it is recorded ------------------------------------------------------------


@given(row=ROWS)
def test_a_row_comes_back_from_json_and_from_numbers(row: BudgetRow) -> None:
    assert BudgetRow.from_json(row.to_json()) == row
    assert BudgetRow.from_numbers({**row.numbers(), "asked": 7, "limit": 9}) == row


@given(
    row=ROWS, asked=st.none() | NUMBERS, warn_at=st.none() | st.integers(1, 999), window_ms=st.none() | st.just(HOUR)
)
def test_the_numbers_of_a_verdict_are_all_that_it_was_made_from(
    row: BudgetRow, asked: int | None, warn_at: int | None, window_ms: int | None
) -> None:
    budgeting = Budgeting(code="token_budget", limit=1_000, warn_at=warn_at, window_ms=window_ms)
    verdict, _ = ask(row, budgeting, asked, NOW, 3)
    found = verdict.numbers.get("asked", None if asked is None else 0)
    assert ask(BudgetRow.from_numbers(verdict.numbers), budgeting, found, NOW, 3)[0] == verdict
    assert set(map(type, verdict.numbers.values())) == {int}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "null",
        "[]",
        "7",
        '{"spent":-1}',
        '{"spent":1.5}',
        '{"spent":true}',
        '{"spent":"1"}',
        '{"spent":null}',
        '{"other":1}',
        '{"spent":NaN}',
        "[" * 100_000,
        '{"spent":' + "9" * 5_000 + "}",
    ],
    ids=lambda text: text[:16] or "empty",
)
def test_a_row_that_cannot_be_read_refuses_and_stays_as_it_is(text: str) -> None:
    row = BudgetRow.from_json(text)
    assert row == UNREADABLE
    for asked in (None, 0, 1):
        verdict, after = ask(row, HOURLY, asked, NOW, 0)
        assert (word(verdict), after is row) == ("refuse unreadable", True)
        assert ask(BudgetRow.from_numbers(verdict.numbers), HOURLY, asked, NOW, 0)[0] == verdict
    assert settled(row, HOURLY, 5, 5, NOW) is row
    assert BudgetRow.from_json(row.to_json()) == row


def test_a_fresh_row_is_an_empty_object() -> None:
    assert (json.loads(BudgetRow().to_json()), BudgetRow.from_json("{}")) == ({}, BudgetRow())


# --- any course of visits ------------------------------------------------------------------------------


class Visits(RuleBasedStateMachine):
    """Visits that declare what they may spend and keep to it, against two sums over those that there were."""

    budgeting = HOURLY

    def __init__(self) -> None:
        super().__init__()
        self.row, self.at_ms, self.raised = BudgetRow(), 5 * HOUR, 0
        self.held: list[int] = []
        self.bills: list[tuple[int, int]] = []

    @property
    def spent(self) -> int:
        window_ms = self.budgeting.window_ms or 1 << 60
        return sum(bill for at_ms, bill in self.bills if at_ms // window_ms == self.at_ms // window_ms)

    @rule(asked=st.integers(1, 600))
    def enter(self, asked: int) -> None:
        limit = self.budgeting.limit + self.raised
        verdict, after = ask(self.row, self.budgeting, asked, self.at_ms, 0)
        free = limit - self.spent
        soft = (self.budgeting.warn_at or limit) + self.raised * (self.budgeting.warn_at is not None)
        expected = (
            "token_budget"
            if asked > free
            else "budget_warned"
            if self.spent + asked > soft
            else "reserved"
            if asked > free - sum(self.held)
            else ""
        )
        assert verdict.code == expected
        if not expected:
            self.held.append(asked)
            self.row = after

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        held = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        spent = data.draw(st.integers(0, held))
        self.bills.append((self.at_ms, spent))
        self.row = settled(self.row, self.budgeting, spent, held, self.at_ms)

    @rule(ms=st.integers(1, HOUR))
    def pass_time(self, ms: int) -> None:
        self.at_ms += ms

    @rule(amount=st.integers(1, 300))
    def increase(self, amount: int) -> None:
        self.raised += amount
        self.row = raised(self.row, amount)

    @rule()
    def store(self) -> None:
        self.row = BudgetRow.from_json(self.row.to_json())

    @invariant()
    def the_sums_are_right(self) -> None:
        now = seen(self.row, self.budgeting, self.at_ms)
        assert (now.spent, now.reserved, now.raised) == (self.spent, sum(self.held), self.raised)
        assert now.spent + now.reserved <= self.budgeting.limit + self.raised, "never above it"


class PlainVisits(Visits):
    budgeting = PLAIN


class WarnedVisits(Visits):
    budgeting = WARNED


test_visits_in_windows = Visits.TestCase
test_visits = PlainVisits.TestCase
test_visits_with_a_warning = WarnedVisits.TestCase
