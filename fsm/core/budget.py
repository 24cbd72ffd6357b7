"""A budget that many runs share: what is spent of it, and what is set aside. Pure: no clock, no user code.

Budgets that are looked at after the fact are gone when they trip: ten agents at once, each under the limit when it
began, spend five times the limit. So a visit sets aside what it may spend at most before its agent begins, and
settles what it did spend when it is over; what it did not need is free again. A visit that declares no limit sets
nothing aside: its verdict says so (no `asked`), and it may overshoot.

    allow    spent + reserved + asked <= limit; that much is set aside if the move is made
    defer    it would fit if nothing were set aside, and nobody waited: `busy`, asked again when some may be settled
    refuse   spent + asked > limit; or the soft limit is reached: `budget_warned`, so that a machine can go on with
             something cheaper

A bulkhead is a budget of visits: one is set aside for each, and none is ever spent.

With `window_ms` spending counts in the window that it was settled in, and each begins with nothing spent; windows
are aligned to the epoch. What is set aside stays so across windows. A row that cannot be read refuses: `unreadable`.
"""

import json
from collections.abc import Mapping

from attrs import evolve, frozen

from fsm.define.guard import Verdict
from fsm.define.value import value

NAMES = ("spent", "reserved", "raised", "window")
DEFER_MS = 250
DEFER_MS_MAX = 30_000


@frozen(kw_only=True)
class Budgeting:
    """The limits of a budget, in tokens, millionths of a dollar, or visits at once.

    `code` is what it refuses with, `busy` what it defers with.
    """

    code: str
    busy: str = "reserved"
    limit: int
    warn_at: int | None = None
    window_ms: int | None = None


@value(kw_only=True)
class BudgetRow:
    """A budget as it is stored. `raised` is what people have added to its limit; `window` counts from the epoch."""

    spent: int = 0
    reserved: int = 0
    raised: int = 0
    window: int = 0
    readable: bool = True

    @property
    def state(self) -> str:
        """What is logged when it changes: its spending changes all the time."""
        return f"raised by {self.raised}" if self.readable else "unreadable"

    def numbers(self) -> dict[str, int]:
        """All that `ask` looks at, for a record."""
        if not self.readable:
            return {"unreadable": 1}
        found = {"spent": self.spent, "reserved": self.reserved, "raised": self.raised, "window": self.window}
        return {name: number for name, number in found.items() if number}

    @staticmethod
    def from_numbers(numbers: Mapping[str, int]) -> "BudgetRow":
        """The row of which `ask` says the same; other numbers may stand beside its own."""
        own = {name: numbers.get(name, 0) for name in NAMES}
        return BudgetRow(**own, readable=not numbers.get("unreadable"))

    def to_json(self) -> str:
        return json.dumps(self.numbers(), separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "BudgetRow":
        """The row that `to_json` wrote; anything else is one that refuses."""
        try:
            found = json.loads(text)
            fits = isinstance(found, dict) and found.keys() <= set(NAMES)
            if fits and all(type(number) is int and number >= 0 for number in found.values()):
                return BudgetRow(**found)
        except (ValueError, RecursionError):
            pass
        return BudgetRow(readable=False)


def ask(
    row: BudgetRow, budgeting: Budgeting, asked: int | None, at_ms: int, defers: int = 0, waiting: int = 0
) -> tuple[Verdict, BudgetRow]:
    """May a visit begin that spends `asked` at most (0: nobody knows, None: nothing)? With the row, should it begin.

    `defers` is how often it was put off before: it is asked again after a quarter of a second, then ever later.
    `waiting` is what those ask for who were put off before it: it does not overtake them.
    """
    now, limit = seen(row, budgeting, at_ms), budgeting.limit + row.raised
    told = {"asked": asked or 0, "waiting": waiting if asked else 0}
    numbers = {**now.numbers(), **{name: number for name, number in told.items() if number}, "limit": limit}
    if not now.readable:
        return Verdict("refuse", "unreadable", numbers), row
    if asked is None:
        return Verdict("allow", "", numbers), row
    if now.spent + max(asked, 1) > limit:
        return Verdict("refuse", budgeting.code, numbers), row
    if budgeting.warn_at is not None and now.spent + max(asked, 1) > budgeting.warn_at + row.raised:
        warned = {**numbers, "warn_at": budgeting.warn_at + row.raised}
        return Verdict("refuse", "budget_warned", warned), row
    if now.spent + now.reserved + max(asked, 1) + waiting > limit:
        pause_ms = min(DEFER_MS << min(defers, 10), DEFER_MS_MAX)
        return Verdict("defer", budgeting.busy, numbers, at_ms + pause_ms), row
    return Verdict("allow", "", numbers), _with(now, now.spent, now.reserved + asked) if asked else row


def settled(row: BudgetRow, budgeting: Budgeting, spent: int, held: int, at_ms: int) -> BudgetRow:
    """The row after a visit that had set `held` aside and spent that much."""
    if not row.readable or not (spent or held):
        return row
    now = seen(row, budgeting, at_ms)
    return _with(now, now.spent + spent, max(0, now.reserved - held))


def _with(row: BudgetRow, spent: int, reserved: int) -> BudgetRow:
    return BudgetRow(spent=spent, reserved=reserved, raised=row.raised, window=row.window)


def raised(row: BudgetRow, amount: int) -> BudgetRow:
    """The row after a person's increase."""
    return evolve(row, raised=row.raised + amount)


def recounted(row: BudgetRow, held: int) -> BudgetRow:
    """The row with just that much set aside."""
    return evolve(row, reserved=held)


def seen(row: BudgetRow, budgeting: Budgeting, at_ms: int) -> BudgetRow:
    """The row as it stands at that moment: in a later window nothing is spent yet; what comes late counts in this."""
    window = at_ms // budgeting.window_ms if budgeting.window_ms else 0
    return row if window <= row.window or not row.readable else evolve(row, window=window, spent=0)
