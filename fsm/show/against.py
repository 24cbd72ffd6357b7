"""Recorded runs against the machine of today, as text: what changed, how many runs, the first few, and what to type."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attrs import asdict

from fsm.replay.comparison import KINDS, Changed, Comparison, Held
from fsm.show.verdict import Line
from fsm.show.words import count, safe

CHANGES_MAX = 8
EXAMPLES_MAX = 3
CHARS_MAX = 200

Next = Callable[[Held], list[str]]
"""The commands that lead on from a run that diverges."""


def lines(found: Comparison, onward: Next) -> Iterator[Line]:
    """All there is to say, the changes first, then the kinds with a few runs each."""
    for changed in found.changed:
        yield from _changed(found, changed)
    diverging, total = found.diverging, len(found.held)
    if not diverging:
        yield Line(f"{found.machine}: {_runs(total)} as recorded under today's machine", "good")
        yield from _erased(found)
        return
    rest = f"; {total - len(diverging):,} go as recorded" if len(diverging) < total else ""
    yield Line(
        f"{found.machine}: {len(diverging):,} of {count(total, 'run')} would go another way today{rest}", "error"
    )
    yield Line("  only the first difference is told: what comes after it nobody knows without the agents")
    yield from _erased(found)
    for kind, runs in found.kinds.items():
        yield Line("")
        yield Line(f"{kind}: {KINDS[kind]}, {count(len(runs), 'run')}", "error")
        for held in runs[:EXAMPLES_MAX]:
            yield from _example(held, onward)
        if len(runs) > EXAMPLES_MAX:
            yield Line(
                f"  … and {count(len(runs) - EXAMPLES_MAX, 'run')} more (fsm replay --all --against ... --json has all)"
            )


def _runs(total: int) -> str:
    return (
        f"all {count(total, 'run')} go" if total > 1 else "its run goes" if total else "there is no run that could go"
    )


def _changed(found: Comparison, changed: Changed) -> Iterator[Line]:
    yield Line(f"{found.machine} has changed since definition {changed.fingerprint[:12]}:")
    changes = [change for change in changed.changes if not _follows(change, changed.changes)]
    for change in changes[:CHANGES_MAX]:
        yield Line(f"  {safe(change, CHARS_MAX)}")
    if len(changes) > CHANGES_MAX:
        yield Line(f"  … and {count(len(changes) - CHANGES_MAX, 'change')} more")
    for proof in changed.lost:
        yield Line(f"  {safe(str(proof))}", "warning")
    if changed.unseen:
        yield Line(f"  not on record, so taken to find nothing wrong: what {', '.join(changed.unseen)} would have seen")
    yield Line("")


def _follows(change: str, changes: Sequence[str]) -> bool:
    """Whether others say as much: lines that come or go change the order."""
    lines = [other for other in changes if other.startswith("transitions.") and other.endswith((": gone", ": new"))]
    return change.startswith("order:") and any(line.count(".") == 1 for line in lines)


def _erased(found: Comparison) -> Iterator[Line]:
    erased = sum(held.replay.erased for held in found.held)
    if erased:
        yield Line(f"  {count(erased, 'record')} without payload, which was erased, not decided again", "warning")


def _example(held: Held, onward: Next) -> Iterator[Line]:
    divergence = held.replay.divergence
    assert divergence is not None
    yield Line(f"  run {safe(held.replay.run_id)}, record {divergence.seq}: {safe(divergence.why)}")
    yield Line(f"    recorded: {safe(divergence.recorded, CHARS_MAX)}")
    yield Line(f"    today:    {safe(divergence.decided, CHARS_MAX)}")
    for command in onward(held):
        yield Line(f"    → {command}")


def data(found: Comparison) -> dict[str, Any]:
    """The same for programs, every run."""
    kinds = {kind: len(runs) for kind, runs in found.kinds.items()}
    runs = [{"journal": held.journal, **asdict(held.replay), "agreed": held.replay.agreed} for held in found.held]
    changed = [asdict(changed) for changed in found.changed]
    return {
        "machine": found.machine,
        "diverging": len(found.diverging),
        "kinds": kinds,
        "changed": changed,
        "runs": runs,
    }
