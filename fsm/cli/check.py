"""`fsm check`: a machine's definition, all that is wrong with it, and what its runs can come to."""

import shlex
from typing import TYPE_CHECKING, Any

import click

from fsm.cli.parts.options import FAILED, GOOD, emit, leave, verb

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fsm.errors import DefinitionError
    from fsm.verify.check import Report

STYLES: dict[str, dict[str, Any]] = {
    "good": {"fg": "green", "bold": True},
    "warning": {"fg": "yellow"},
    "error": {"fg": "red", "bold": True},
}


@verb("""
fsm check desk.py:Desk
fsm check desk.py:Desk --strict --scenarios proofs
fsm check
""")
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
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
    TARGET is FILE.py:Machine, package.module:Machine, FILE.py for all its machines, or a .json file that holds a
    machine's spec; without any, all machines of [tool.fsm] are checked. Exits with 1 if there is any error.
    """
    from fsm.cli.parts.specs import specs_listed, specs_of
    from fsm.errors import DefinitionError
    from fsm.verify.check import check

    told: list[dict[str, object]] = []
    code = GOOD
    for target in targets or _listed():
        try:
            specs = specs_of(target) if targets else specs_listed(target)
        except (DefinitionError, click.ClickException) as error:  # the others are checked all the same
            code = max(code, getattr(error, "exit_code", FAILED))
            told.append({"target": target, **_wrong(error)})
            if not as_json:
                _print_wrong(error)
            continue
        for spec in specs:
            report = check(spec, situations_max)
            code = max(code, FAILED if report.errors or (strict and report.warnings) else GOOD)
            told.append({"target": target, "fingerprint": spec.fingerprint, "mistakes": [], **report.data})
            if not as_json:
                _print(report, runs, notes)
            if scenarios is not None:
                from fsm.cli.parts.drawn import write_scenarios

                written = write_scenarios(spec, report, scenarios)
                if not as_json:
                    _print_commands(written, ["-m", target] if targets else [])
    if as_json:
        emit(told)
    if code != GOOD:
        leave(code)


def _wrong(error: "DefinitionError | click.ClickException") -> dict[str, object]:
    from fsm.show.data import mistake_data

    nothing: dict[str, object] = {"machine": None, "fingerprint": None, "mistakes": [], "termination": None}
    nothing |= {"worst": [], "promises": [], "findings": []}
    if isinstance(error, click.ClickException):
        return {**nothing, "error": error.message}
    return {**nothing, "machine": error.machine, "mistakes": [mistake_data(mistake) for mistake in error.mistakes]}


def _print_wrong(error: "DefinitionError | click.ClickException") -> None:
    if isinstance(error, click.ClickException):
        error.show()
    else:
        click.echo(f"{error}\n")


def _listed() -> list[str]:
    """The machines of the project, as they are listed there."""
    from fsm.cli.parts.project import FILE, project

    found = project()
    if not found.machines:
        raise click.UsageError(
            "no machine is named, and none is listed\n"
            f'  -> fsm check FILE.py:Machine, or list yours in {FILE}: [tool.fsm] machines = ["FILE.py:Machine"]'
        )
    return found.machines


def _print_commands(written: "Sequence[Path]", options: list[str]) -> None:
    commands = (shlex.join(["fsm", "replay", "--scenario", str(path), *options]) for path in written)
    click.echo("".join(f"  {command}\n" for command in commands))


def _print(report: "Report", runs: bool, notes: bool) -> None:
    from fsm.show.verdict import lines

    told = (click.style(line.text, **STYLES.get(line.tone, {})) for line in lines(report, runs=runs, notes=notes))
    click.echo("".join(f"{line}\n" for line in told))
