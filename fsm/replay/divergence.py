"""What a replay says: the first record that differs, in words."""

from collections.abc import Mapping
from typing import Literal, NoReturn

from attrs import frozen

from fsm.core.record import Record
from fsm.define.guard import Ruling

ANSWERS = {True: "yes", False: "no", None: "an error"}

Kind = Literal[
    "guard_flips",
    "bound_moved",
    "predicate_differs",
    "transition_gone",
    "transition_new",
    "leads_elsewhere",
    "state_gone",
    "outcome_differs",
    "payload_invalid",
    "memory_differs",
    "unknown",
    "damaged",
]
"""In which way a run would go otherwise; `unknown` where what it takes to know was erased, `damaged` where the journal
is not what was written."""


@frozen
class Divergence:
    """The first record that differs: what was recorded, what is there or would be decided now, and why.

    `kind` says in which way a changed machine decides otherwise; None where record and decision were compared in all.
    """

    seq: int
    recorded: str
    decided: str
    why: str
    kind: Kind | None = None

    def __str__(self) -> str:
        return f"record {self.seq}: {self.why}\n  recorded: {self.recorded}\n  now:      {self.decided}"


class Diverged(Exception):
    """Ends a replay; what follows a divergence means nothing."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(str(divergence))
        self.divergence = divergence


def differ(seq: int, recorded: str, decided: str, why: str, kind: Kind | None = None) -> NoReturn:
    raise Diverged(Divergence(seq, recorded, decided, why, kind))


def short(digest: bytes | None) -> str:
    return f"{digest.hex()[:16]}…" if digest else "(none)"


def cause(recorded: Record, now: Record, hops: Mapping[str, object]) -> str | None:
    """Why two decisions on one event differ, causes before their effects; None where they do not."""
    if recorded.hop not in ("", *hops):
        return f"the machine no longer declares {recorded.hop}"
    if recorded.predicates != now.predicates:
        return _predicates(dict(recorded.predicates), dict(now.predicates))
    if recorded.rulings != now.rulings:
        return _rulings(recorded.rulings, now.rulings)
    for name in ("source", "hop", "state", "kind", "outcome", "until_ms", "attempt"):
        before, after = getattr(recorded, name), getattr(now, name)
        if before != after:
            return f"its {name} would be {after!r}, not {before!r}"
    return None


def told(recorded: Record, now: Record) -> tuple[str, str]:
    """Both records in a line each; with the verdicts in which they differ, where nothing else tells them apart."""
    if str(recorded) != str(now):
        return str(recorded), str(now)
    return _with_verdicts(recorded, now.rulings), _with_verdicts(now, recorded.rulings)


def _with_verdicts(record: Record, but: tuple[Ruling, ...]) -> str:
    return "; ".join([str(record), *(str(ruling) for ruling in record.rulings if ruling not in but)])


def _predicates(before: Mapping[str, bool | None], after: Mapping[str, bool | None]) -> str:
    changed = [
        f"{line} answered {ANSWERS[before[line]]} and now {ANSWERS[after[line]]}"
        for line in before
        if line in after and before[line] is not after[line]
    ]
    gone = [f"{line} answered {ANSWERS[before[line]]} and is not asked now" for line in before if line not in after]
    new = [f"{line} was not asked and now answers {ANSWERS[after[line]]}" for line in after if line not in before]
    return f"predicates: {'; '.join([*changed, *gone, *new]) or 'they are asked in another order'}"


def _rulings(before: tuple[Ruling, ...], after: tuple[Ruling, ...]) -> str:
    lost = [str(ruling) for ruling in before if ruling not in after]
    new = [str(ruling) for ruling in after if ruling not in before]
    if not lost and not new:
        return "guards: they are asked in another order"
    return f"guards: it was {'; '.join(lost) or 'not asked'}, and now {'; '.join(new) or 'is not asked'}"
