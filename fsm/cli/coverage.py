"""`fsm coverage`: what of a machine its recorded runs ever came to."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from fsm.cli.parts.options import FAILED, GOOD, db_option, emit, leave, verb

if TYPE_CHECKING:
    from fsm.cli.parts.output import Output, Part
    from fsm.define.spec import MachineSpec
    from fsm.journal.tallies import Tallies
    from fsm.replay.coverage import Coverage, Item

NAME_MAX, HANG = 24, 4


@verb("fsm coverage runs.db --min 90\nfsm coverage ci/*.db -m desk.py:Desk")
@click.argument("paths", metavar="[DB...]", nargs=-1)
@click.option(
    "--machine",
    "-m",
    "targets",
    metavar="TARGET",
    multiple=True,
    help="FILE.py:Machine, as it is today; without it each machine as last recorded. May be repeated.",
)
@click.option("--min", "least", type=click.FloatRange(0, 100), metavar="PERCENT", help="Exit with 1 below that.")
@click.option("--all", "everything", is_flag=True, help="Also what was taken, and how often.")
@db_option
def command(
    paths: tuple[str, ...],
    targets: tuple[str, ...],
    least: float | None,
    everything: bool,
    db: str | None,
    as_json: bool,
) -> None:
    """Tell which states, ways and refusals the runs of a journal ever came to, and which never.

    Counted are states, transitions, fallbacks, `otherwise` ways, retries, each code of each guard, and timeouts; of
    what no run came to it is told what would lead there. With --machine that is counted against today's definition,
    and what is new or was removed is told. Several journals count together. With --min it is a test's threshold.
    """
    from fsm.show.covering import coverage_data

    if paths and db is not None:
        raise click.UsageError("name the journals once: as DB..., or with --db")
    found = _coverages(paths or (db,), targets)
    if as_json:
        emit([coverage_data(one) for one in found])
    elif not found:
        click.echo("no runs yet\n  -> start one: fsm run FILE.py:Machine --input JSON")
    else:
        _print(found, everything, least)
    low = not found or any(one.is_below(least) for one in found) if least is not None else False
    leave(FAILED if low else GOOD)


def _coverages(paths: Sequence[str | None], targets: Sequence[str]) -> "list[Coverage]":
    from fsm.cli.parts.journals import reading
    from fsm.cli.parts.specs import specs_of
    from fsm.journal.tallies import recorded, tallies
    from fsm.replay.coverage import coverage

    wanted: dict[str, MachineSpec] = {spec.name: spec for target in targets for spec in specs_of(target)}
    counted: dict[str, list[Tallies]] = {}
    last: dict[str, tuple[int, MachineSpec]] = {}
    for path in paths:
        with reading(path) as reader:
            for name, (at_ms, fingerprint) in recorded(reader).items():
                if targets and name not in wanted:
                    continue
                counted.setdefault(name, []).append(tallies(reader, name))
                if name not in last or at_ms > last[name][0]:
                    last[name] = at_ms, reader.spec(fingerprint)
    names = wanted or last
    known = {name: spec for name, (_, spec) in last.items()}
    return [coverage(wanted.get(name) or known[name], counted.get(name, ()), known.get(name)) for name in names]


def _print(found: "Sequence[Coverage]", everything: bool, least: float | None) -> None:
    from fsm.cli.parts.output import Output

    output = Output()
    for number, one in enumerate(found):
        if number:
            output.line()
        _print_one(output, one, everything, least)


def _print_one(output: "Output", found: "Coverage", everything: bool, least: float | None) -> None:
    from fsm.show.covering import hint, parts, summary
    from fsm.show.words import safe, times

    low = least is not None and found.is_below(least)
    style = "bold red" if low else "bold green" if not found.never else "bold"
    short = f", below {least:g} %" if low else ""
    output.line((safe(found.spec.name), "bold"), "  ", (f"{found.percent} %{short}", style), f"  {summary(found)}")
    for name, number, percent in parts(found):
        output.line((f"  {name:<12}", "dim"), f"{number:>10}", f"{percent:>7}")
    never = [(item, hint(found, item)) for item in found.never]
    _items(output, "never", [(item, text + (" (new)" if item.new else "")) for item, text in never], "yellow")
    removed = [(item, times(item.times)) for item in found.removed]
    _items(output, f"recorded, and no longer in {safe(found.spec.name)}", removed, "dim")
    if everything:
        _items(output, "taken", [(item, times(item.times)) for item in found.items if item.times], "green")


def _items(output: "Output", title: str, items: "Sequence[tuple[Item, str]]", style: str) -> None:
    from fsm.cli.parts.output import widths
    from fsm.show.words import safe

    if not items:
        return
    output.line()
    output.line((title, "bold"))
    kind, wide = widths([(item.kind, safe(item.name)) for item, _ in items], None, ())
    for item, text in items:
        start: list[Part] = [
            (f"{item.kind:<{kind}}  ", "dim"),
            (f"{safe(item.name):<{min(wide, NAME_MAX)}}", style),
            "  ",
        ]
        output.paragraph(*start, text, indent=2, hang=HANG)
