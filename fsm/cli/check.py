"""`fsm check`: a machine's definition, all that is wrong with it, and what its runs can come to."""

from typing import TYPE_CHECKING

import click

from fsm.cli.options import FAILED, emit, leave, verb

if TYPE_CHECKING:
    from fsm.verify.check import Report
    from fsm.verify.finding import Finding

COLOURS = {"error": "red", "warning": "yellow", "note": None}


@verb("""
fsm check desk.py:Desk
fsm check desk.py:Desk --strict --scenarios proofs
""")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
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
    targets: tuple[str, ...], strict: bool, notes: bool, scenarios: str | None, situations_max: int, as_json: bool
) -> None:
    """Say what is wrong with a machine's definition.

    And what its runs can come to: whether each ends, what the worst one costs, which promises are kept, each with a
    run that shows it. Every finding names its attribute, file and line, and what to write instead. TARGET is
    FILE.py:Machine, or a .json file that holds a machine's spec. Exits with 1 if there is any error.
    """
    from fsm.cli.specs import spec_of
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
            _print(report, notes)
        if scenarios is not None:
            from fsm.cli.drawn import write_scenarios

            written = write_scenarios(spec, report, scenarios)
            if not as_json:
                click.echo("".join(f"  fsm replay --scenario {path} --machine {target}\n" for path in written))
    if as_json:
        emit(told)
    if not good:
        leave(FAILED)


def _print(report: "Report", notes: bool) -> None:
    from fsm.show.verdict import table, way

    colour = "red" if report.errors else "yellow" if report.warnings else "green"
    click.echo(click.style(f"{report.machine}: {report.termination}", fg=colour, bold=True))
    click.echo("".join(f"  {line}\n" for line in table(report).splitlines()[1:]), nl=False)
    for finding in report.findings:
        if notes or finding.level != "note":
            _print_finding(finding)
            answer = next((answer for answer in report.promises if answer.promise.name == finding.attribute), None)
            if finding.code == "endless" and report.termination.loop:
                stem, loop = report.termination.stem, report.termination.loop
                click.echo("".join(f"      {line}\n" for line in way(stem)), nl=False)
                click.echo("      and then over and over:")
                click.echo("".join(f"      {line}\n" for line in way(loop, len(stem) + 1)), nl=False)
            elif answer is not None:
                click.echo("".join(f"      {line}\n" for line in way(answer.run)), nl=False)
    if report.notes and not notes:
        many = f"{len(report.notes)} notes" if len(report.notes) != 1 else "1 note"
        click.echo(f"  {many}: --notes shows {'them' if len(report.notes) != 1 else 'it'}")
    click.echo()


def _print_finding(finding: "Finding") -> None:
    level = click.style(finding.level, fg=COLOURS[finding.level], bold=finding.level == "error")
    where = f"  ({finding.place})" if finding.place is not None else ""
    at = f" {finding.attribute}" if finding.attribute else ""
    click.echo(f"  {level}{at}{where}\n      {finding.what}\n      -> {finding.instead}")
