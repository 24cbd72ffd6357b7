"""What several verbs take, and the codes they end with."""

import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click

GOOD, FAILED, WAITING, INTERRUPTED = 0, 1, 3, 130
CODES = {"completed": GOOD, "waiting": WAITING, "running": GOOD}

F = TypeVar("F", bound=Callable[..., Any])


def verb(example: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A verb's command: `--json`, and an example at the end of its help."""

    def make(function: Callable[..., Any]) -> click.Command:
        flagged = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(function)
        lines = "\n".join(f"  {line}" for line in example.strip().splitlines())
        return click.command(epilog=f"\b\nExample:\n{lines}")(flagged)

    return make


def db_option(function: F) -> F:
    text = "The journal; without it db of [tool.fsm], or runs.db."
    return click.option("--db", metavar="PATH", help=text)(function)


def machine_option(function: F) -> F:
    text = "FILE.py:Machine, or FILE.py for all its machines; without it those of [tool.fsm]. May be repeated."
    return click.option("--machine", "-m", "targets", metavar="TARGET", multiple=True, help=text)(function)


def label_option(function: F) -> F:
    text = "A label of the run. May be repeated."
    return click.option("--label", "-l", "labels", metavar="KEY=VALUE", multiple=True, callback=_labels, help=text)(
        function
    )


def _labels(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    parted = [label.partition("=") for label in given]
    wrong = [label for label, (name, sign, _) in zip(given, parted, strict=True) if not name or not sign]
    if wrong:
        raise click.UsageError(f"--label {wrong[0]}: write KEY=VALUE, as in --label team=docs")
    return {name: value for name, _, value in parted}


def emit(value: object) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def leave(code: int) -> NoReturn:
    sys.exit(code)


def code_of(outcome: str) -> int:
    """The exit code for how a run stands."""
    return CODES.get(outcome, FAILED)
