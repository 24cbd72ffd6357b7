"""What there is to say of a row that guards share, whatever its kind: who asks it, who holds some of it, who acted."""

from collections.abc import Iterable

from attrs import field, frozen

from fsm.journal.guards import Asker, Change, Stored
from fsm.journal.holding import Holder
from fsm.show.here import Here
from fsm.show.words import safe

Line = tuple[str | tuple[str, str], ...]
"""A line of text in parts, each with its style or without one."""


@frozen(kw_only=True)
class Sight:
    """What whoever looks at a row has before him: the moment, the keys of runs that nobody advances, how much to show.

    `here` makes the commands about it.
    """

    now_ms: int
    here: Here = field(factory=Here)
    left: frozenset[int] = frozenset()
    holders_max: int = 3


@frozen
class Finding:
    """Something to look at, and what to do; `bad` where the journal itself is not as it should be."""

    what: str
    next: str
    bad: bool = False


def asked_by(found: Stored) -> str:
    """`asked by Desk on limits`."""
    return f"asked by {', '.join(places(found.askers)) or 'no machine here'}"


def places(askers: Iterable[Asker]) -> list[str]:
    return list(dict.fromkeys(f"{safe(asker.machine)} on {safe(asker.at)}" for asker in askers))


def act_words(change: Change) -> str:
    """`open by ann, maintenance until noon`."""
    by = f" by {safe(change.note['by'])}" if change.note.get("by") else ""
    return f"{safe(change.note.get('act', ''))}{by}, {safe(change.note.get('reason', ''))}"


def left_among(found: Iterable[Holder], sight: Sight) -> list[Holder]:
    """Those that nobody advances."""
    return [holder for holder in found if holder.run.key in sight.left]
