"""A run as the desk tells it: plain values read from the journal, with nothing of the runtime in them."""

from typing import Any

from attrs import frozen
from pydantic import BaseModel

from guards import TokenBudget
from machines.review_loop import Brief, Passage, ReviewLoop, Verdict

MOVES = ("started", "taken", "ended")
STATES = tuple(state.name for state in ReviewLoop.spec.states)
TOKENS_MAX = next(
    guard.limit or 0
    for line in ReviewLoop.spec.everywhere
    for guard in line.guards
    if guard.name == TokenBudget.__name__
)


@frozen
class Asked:
    """One guard's verdict: which guard, where it stands, what it said, and its numbers."""

    guard: str
    place: str
    verdict: str
    code: str
    numbers: dict[str, int]


@frozen
class Hop:
    """One record, as a reader wants it: from where to where, by which event, asked by which guards."""

    seq: int
    at_ms: int
    kind: str
    source: str
    state: str
    hop: str
    event: str
    payload: BaseModel | dict[str, Any]
    outcome: str
    asked: tuple[Asked, ...]
    tokens: int


@frozen
class Story:
    """A run and how it stands: every hop, the draft it has, what it cost, and whether replay agreed."""

    run_id: str
    state: str
    outcome: str
    brief: Brief
    hops: tuple[Hop, ...]
    claims: list[Passage]
    searched: int
    verdict: Verdict | None
    tokens: int
    agreed: bool
    divergence: str


class Watcher:
    """Hears of a run while it runs; this one only remembers its name."""

    run_id = ""

    def began(self, run_id: str) -> None:
        self.run_id = run_id

    def saw(self, hop: Hop) -> None:
        """A record was committed; a watcher may hear of the same one twice."""
