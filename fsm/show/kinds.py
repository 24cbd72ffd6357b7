"""The kinds of rows that guards share, a module each; everything else is written without knowing which there are."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from fsm.core.shares import Row
from fsm.define.guard import Placed, Verdict
from fsm.journal.guards import Change, Stored
from fsm.show import breaking, budgets, rates
from fsm.show.here import Here
from fsm.show.sight import Finding, Line, Sight


class Kind(Protocol):
    """What a module says of the rows of its kind."""

    def demands(self, guard: Placed) -> str:
        """What a guard demands, as it stands beside its name in pictures."""
        ...

    def answered(self, guard: Placed, verdict: Verdict, now_ms: int | None = None) -> str:
        """What it answered, with its numbers; moments as they are, or as seen from `now_ms`."""
        ...

    def again(self, guard: Placed, verdict: Verdict, row: Row, now_ms: int) -> Verdict:
        """What it would answer to the same question as its row is now; as it answered, where that cannot be told."""
        ...

    def remedies(self, row: str, guard: Placed, verdict: Verdict, here: Here) -> list[tuple[str, str]]:
        """What a person may do about a refusal or a deferral, each with the command that does it."""
        ...

    def told(self, found: Stored, sight: Sight) -> Iterator[Line]:
        """How it stands, a line each; the first is its head."""
        ...

    def faults(self, found: Stored, sight: Sight) -> Iterator[Finding]: ...

    def fullness(self, found: Stored, now_ms: int) -> float:
        """Which of many to show first."""
        ...

    def data(self, found: Stored, now_ms: int) -> dict[str, Any]: ...

    def change_words(self, found: Stored, change: Change, now_ms: int) -> str: ...

    def change_data(self, change: Change) -> dict[str, Any]: ...


KINDS: Mapping[str, Kind] = {"breaker": breaking, "budget": budgets, "rate": rates}
TITLES = {"breaker": "breakers", "budget": "budgets", "rate": "rates"}
"""Under which name programs find them."""


def kind_of(guard: Placed | None) -> Kind | None:
    """The kind of what a guard shares; None if it shares nothing, or is not known."""
    return KINDS[guard.shares.kind] if guard is not None and guard.shares is not None else None
