"""`fsm check`: a machine's definition, all that is wrong with it, and what its runs can come to."""

import shlex
from typing import TYPE_CHECKING, Any

import click

from fsm.cli.parts.options import FAILED, emit, leave, verb

if TYPE_CHECKING:
    from fsm.verify.check import Report

STYLES: dict[str, dict[str, Any]] = {
    "good": {"fg": "green", "bold": True},
    "warning": {"fg": "yellow"},
    "error": {"fg": "red", "bold": True},
}


@verb("""
fsm check desk.py:Desk
fsm check desk.py:Desk --strict --scenarios proofs
""")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@click.option("--runs", is_flag=True, help="Print the run behind each figure of the worst case.")
@click.option("--notes", is_flag=True, help="Print the notes as well.")
@click.option(
    "--scenarios", metavar="FOLDER", help="Write each run shown, for `fsm replay --scenario`, and its picture."
)
@click.option(
    "--situations-max",
    type=click.IntRange(min=1),
    default=200_000,
    show_default=True,
    help="How many situations to look at before only bounds are given.",
)
def command(
    targets: tuple[str, ...],
    strict: bool,
    runs: bool,
    notes: bool,
    scenarios: str | None,
    situations_max: int,
    as_json: bool,
) -> None:
    """Prove a machine before it runs: mistakes, endings, worst case, promises.

    Whether every run ends, what the worst one costs, which promises are kept, each with a run that shows it; and all
    mistakes of a definition at once. Every finding names its attribute, file and line, and what to write instead.
    TARGET is FILE.py:Machine, or a .json file that holds a machine's spec. Exits with 1 if there is any error.
    """
    from fsm.cli.parts.specs import spec_of
    from fsm.errors import DefinitionError
    from fsm.show.data import mistake_data
    from fsm.verify.check import check

    told: list[dict[str, object]] = []
    good = True
    for target in targets:
        try:
            spec = spec_of(target)
        except DefinitionError as error:
            good = False
            mistakes = [mistake_data(mistake) for mistake in error.mistakes]
            told.append({"target": target, "machine": error.machine, "mistakes": mistakes})
            if not as_json:
                click.echo(f"{error}\n")
            continue
        report = check(spec, situations_max)
        good = good and not report.errors and not (strict and report.warnings)
        told.append({"target": target, "fingerprint": spec.fingerprint, "mistakes": [], **report.data})
        if not as_json:
            _print(report, runs, notes)
        if scenarios is not None:
            from fsm.cli.parts.drawn import write_scenarios

            written = write_scenarios(spec, report, scenarios)
            if not as_json:
                commands = (shlex.join(["fsm", "replay", "--scenario", str(path), "-m", target]) for path in written)
                click.echo("".join(f"  {command}\n" for command in commands))
    if as_json:
        emit(told)
    if not good:
        leave(FAILED)


def _print(report: "Report", runs: bool, notes: bool) -> None:
    from fsm.show.verdict import lines

    told = (click.style(line.text, **STYLES.get(line.tone, {})) for line in lines(report, runs=runs, notes=notes))
    click.echo("".join(f"{line}\n" for line in told))
