"""A person's word on a row that guards share: which row, what is done to it, and how it stands then."""

import asyncio
import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from fsm.journal.acts import Act
    from fsm.journal.guards import Stored
    from fsm.journal.reader import Reader
    from fsm.show.sight import Sight

LIMIT = 20
MAINTENANCE = "maintenance until noon"

F = TypeVar("F", bound=Callable[..., Any])


def act_options(function: F) -> F:
    """Why, who, and how much of its past to show."""
    limit = click.option(
        "--limit", metavar="N", type=click.IntRange(min=1), default=LIMIT, show_default=True, help="Of its past."
    )
    by = click.option("--by", default="", help="Who acts; it is recorded.")
    reason = click.option("--reason", default="", help="Why; it is recorded, and needed.")
    return reason(by(limit(function)))


def check_reason(acts: tuple[str, ...], known: str, reason: str, by: str, example: str) -> None:
    """One act at a time, and none without a reason."""
    if len(acts) > 1:
        raise click.UsageError(f"one act at a time, not --{' and --'.join(acts)}")
    if acts and not reason.strip():
        raise click.UsageError(f"--{acts[0]} needs a reason: --reason '{example}'")
    if not acts and (reason or by):
        raise click.UsageError(f"--reason and --by are for an act: {known}")


def find(db: str | None, kind: Any, name: str) -> "Stored":
    """The row of this kind and name; or it says which may be meant."""
    from fsm.cli.parts.journals import reading
    from fsm.define.guard import Share
    from fsm.journal.guards import stored, unwritten

    with reading(db) as reader:
        known = {found.name: found for found in stored(reader) if found.share.kind == kind}
        found = known.get(name) or unwritten(reader, Share(kind, name))
        of_a_label = found is None and unwritten(reader, Share(kind, f"{name}=")) is not None
    if found is not None:
        return found
    rows = [row for row in known if row.startswith(f"{name}=")] or ([f"{name}=VALUE"] if of_a_label else [])
    near = rows or difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "`fsm guards` lists those there are"
    raise click.ClickException(f"no machine of this journal asks a {kind} {name!r}\n  -> {hint}")


def act(db: str | None, deed: "Act") -> None:
    """Write it; no runner need be at work."""
    from fsm.cli.parts.project import journal_path
    from fsm.clock import SystemClock
    from fsm.journal.journal import SqliteJournal

    async def write() -> None:
        journal = SqliteJournal(journal_path(db))
        try:
            await journal.open(SystemClock(), "a person")
            await journal.act(deed)
        finally:
            await journal.close()

    asyncio.run(write())


def tell(db: str | None, found: "Stored", limit: int, as_json: bool) -> None:
    """How it stands, and what was done to it before."""
    from fsm.cli.parts.journals import reading
    from fsm.cli.parts.options import emit
    from fsm.cli.parts.output import Output
    from fsm.journal.guards import changes
    from fsm.show.data import change_data, shared_data
    from fsm.show.kinds import KINDS

    with reading(db) as reader:
        past = changes(reader, found.share, limit)
        sight = sight_of(reader, db, [found], limit)
    if as_json:
        emit({**shared_data(found, sight.now_ms), "changes": [change_data(found, change) for change in past]})
        return
    show(found, sight)
    output = Output()
    for change in past[1:]:
        words = KINDS[found.share.kind].change_words(found, change, sight.now_ms)
        output.paragraph((words, "dim"), indent=2, hang=2)


def sight_of(reader: "Reader", db: str | None, found: "list[Stored]", holders_max: int) -> "Sight":
    from fsm.cli.parts.project import here
    from fsm.clock import SystemClock
    from fsm.show.evidence import left_of
    from fsm.show.sight import Sight

    clock = SystemClock()
    runs = {holder.run.key: holder.run for one in found for holder in one.holders}
    left = left_of(reader, runs.values(), clock.monotonic())
    return Sight(now_ms=clock.now_ms(), here=here(db), left=left, holders_max=holders_max)


def show(found: "Stored", sight: "Sight") -> None:
    """A row in a few lines."""
    from fsm.cli.parts.output import Output
    from fsm.show.kinds import KINDS

    output = Output()
    head, *lines = KINDS[found.share.kind].told(found, sight)
    output.paragraph(*head, hang=2)
    for line in lines:
        output.paragraph(*line, indent=2, hang=2)
