"""What there is to say of a row that guards share, whatever its kind: who asks it, who holds some of it, who acted."""

from collections.abc import Iterable, Sequence

from attrs import field, frozen

from fsm.journal.guards import Asker, Stored
from fsm.journal.holding import Holder
from fsm.show.here import Here
from fsm.show.words import joined, safe

NAMED_MAX = 3

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


def left_among(found: Iterable[Holder], sight: Sight) -> list[Holder]:
    """Those that nobody advances."""
    return [holder for holder in found if holder.run.key in sight.left]


def run_names(found: Sequence[Holder]) -> str:
    """`41, 42 and 5 more`."""
    more = [f"{len(found) - NAMED_MAX:,} more"] if len(found) > NAMED_MAX else []
    return joined([*(safe(holder.run.run_id) for holder in found[:NAMED_MAX]), *more], "and")


def resume(found: Sequence[Holder], here: Here) -> str:
    """What to type so that somebody goes on with these runs."""
    run = (found[0].run.run_id,) if len(found) == 1 else ()
    machines = {holder.run.machine for holder in found}
    return here.command("resume", *run, machine=machines.pop() if len(machines) == 1 else "Machine")
