"""`fsm runs`: which runs there are, and how they stand."""

from typing import TYPE_CHECKING, get_args

import click

from fsm.cli.parts.options import db_option, emit, label_option, verb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fsm.core.record import Spent
    from fsm.journal.forks import Fork
    from fsm.journal.rows import Run

LIMIT = 20
LEFT = "running, nobody at work"
START = "start one: fsm run FILE.py:Machine --input JSON"
OUTCOMES = ("running", "waiting", "completed", "failed", "cancelled", "stopped", "stuck", "ended", "halted")
COLUMNS = ("run", "machine", "state", "outcome", "records", "tokens", "since", "labels", "forked from")
RUN, MACHINE, STATE, OUTCOME, RECORDS, TOKENS, SINCE, LABELS, PARENT = range(len(COLUMNS))
TO_THE_RIGHT = (RECORDS, TOKENS)


@verb("fsm runs --outcome halted --label team=docs")
@click.option("--machine", "-m", metavar="NAME", help="Runs of this machine.")
@click.option(
    "--outcome",
    "outcomes",
    multiple=True,
    type=click.Choice(OUTCOMES),
    metavar="OUTCOME",
    help=f"Runs that stand so: {', '.join(OUTCOMES)}. May be repeated.",
)
@label_option
@click.option("--state", metavar="NAME", help="Runs in this state.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), default=LIMIT, show_default=True, help="How many at most."
)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@db_option
def command(
    machine: str | None,
    outcomes: tuple[str, ...],
    labels: dict[str, str],
    state: str | None,
    limit: int,
    everything: bool,
    db: str | None,
    as_json: bool,
) -> None:
    """List runs, the newest first.

    `since` says how long ago a run's last record was written. Runs *ended* are completed, failed or cancelled;
    those *halted* are stopped by a guard or stuck, and stand until they are resumed.
    """
    from pathlib import Path

    from fsm.cli.parts.journals import reading
    from fsm.cli.parts.project import journal_path
    from fsm.clock import SystemClock
    from fsm.journal.forks import parents
    from fsm.journal.search import Search, count, find, resting, spent
    from fsm.show.data import run_data
    from fsm.show.evidence import left_of

    path = journal_path(db)
    if db is None and not Path(path).exists():
        if as_json:
            emit([])
        else:
            click.echo(f"no runs yet: {path} is not there\n  -> {START}")
        return

    clock = SystemClock()
    search = Search(machine=machine, state=state, outcomes=_outcomes(outcomes), labels=labels)
    with reading(db) as reader:
        found = count(reader, search)
        runs = find(reader, search, found if everything else limit)
        spending = spent(reader, [run.key for run in runs])
        left = left_of(reader, runs, clock.monotonic())
        again = resting(reader, runs, clock.now_ms())
        forked = parents(reader, runs)
        none_at_all = not found and not count(reader, Search())
    if as_json:
        told = ((run, spending[run.key], run.key in left, again.get(run.key), forked.get(run.key)) for run in runs)
        emit([run_data(*parts) for parts in told])
    elif runs:
        _table(runs, spending, left, again, forked, clock.now_ms())
        if found > len(runs):
            click.echo(f"\n{found - len(runs):,} more of {found:,} runs: fsm runs --all, or --limit {len(runs) * 5}")
    elif none_at_all:
        click.echo(f"no runs yet\n  -> {START}")
    else:
        click.echo("no run matches\n  -> leave something out, or list them all: fsm runs --all")


def _outcomes(given: "Sequence[str]") -> frozenset[str]:
    from fsm.core.record import ENDED, HALTED, Outcome

    groups = {"ended": ENDED, "halted": HALTED, **{name: frozenset({name}) for name in get_args(Outcome)}}
    return frozenset().union(*(groups[name] for name in given))


def _table(
    runs: "Sequence[Run]",
    spending: "dict[int, Spent]",
    left: "frozenset[int]",
    again: "Mapping[int, int]",
    forked: "Mapping[int, Fork]",
    now_ms: int,
) -> None:
    from fsm.cli.parts.output import Output, cell, widths
    from fsm.show.telling import told_fork
    from fsm.show.words import told_again

    output = Output()
    stands = [LEFT if run.key in left else run.outcome + told_again(again.get(run.key), now_ms) for run in runs]
    rows: list[tuple[str, ...]] = [COLUMNS]
    for run, at in zip(runs, stands, strict=True):
        rows.append((*_row(run, spending[run.key].tokens, at, now_ms), told_fork(forked.get(run.key))))
    kept = [place for place in range(len(COLUMNS)) if any(row[place] for row in rows[1:])]
    gives = [kept.index(place) for place in (PARENT, LABELS, MACHINE, STATE, RUN) if place in kept]
    wide = widths([[row[place] for place in kept] for row in rows], output.width, gives)
    for number, row in enumerate(rows):
        parts: list[str | tuple[str, str]] = []
        for place, width in zip(kept, wide, strict=True):
            text = row[place].rjust(width) if place in TO_THE_RIGHT else cell(row[place], width)
            parts += [(text, _style(place, row[OUTCOME])) if number else (text, "dim"), "  "]
        output.line(*parts)


def _style(place: int, outcome: str) -> str:
    from fsm.show.words import colour

    stands = "yellow" if outcome == LEFT else colour(outcome.partition(",")[0])
    return {RUN: "bold", OUTCOME: stands, SINCE: "dim", LABELS: "dim", PARENT: "dim"}.get(place, "")


def _row(run: "Run", tokens: int, stands: str, now_ms: int) -> tuple[str, ...]:
    from fsm.show.words import ago, safe

    labels = " ".join(f"{safe(name)}={safe(value)}" for name, value in run.labels.items())
    counts = (f"{run.seq + 1:,}", f"{tokens:,}" if tokens else "")
    return safe(run.run_id), safe(run.machine), safe(run.state), stands, *counts, ago(now_ms - run.at_ms), labels
