"""`fsm machines`: which machines there are, here and in the journal."""

from typing import Any

import click

from fsm.cli.parts.options import db_option, emit, machine_option, verb


@verb("fsm machines --db runs.db")
@machine_option
@db_option
def command(targets: tuple[str, ...], db: str | None, as_json: bool) -> None:
    """List the machines at hand, and those of a journal.

    At hand are those of [tool.fsm] in pyproject.toml, or of --machine. Of a machine whose definition has changed
    since runs were recorded, both are listed; runs of the older go on with `fsm resume RUN --accept`.
    """
    from pathlib import Path

    from fsm.cli.parts.journals import reading
    from fsm.cli.parts.project import journal_path
    from fsm.cli.parts.target import machines
    from fsm.show.words import count, safe

    found: dict[str, dict[str, Any]] = {}
    for machine in machines(targets):
        spec = machine.spec
        found[spec.fingerprint] = _machine(spec.name, spec.fingerprint, f"{machine.__module__}:{machine.__name__}")
    if db is not None or Path(journal_path(db)).is_file():
        with reading(db) as reader:
            for name, fingerprint, runs in reader.machines():
                found.setdefault(fingerprint, _machine(name, fingerprint, None))["runs"] = runs
    if as_json:
        emit(list(found.values()))
    elif not found:
        click.echo('no machines\n  -> list yours in pyproject.toml: [tool.fsm] machines = ["FILE.py:Machine"]')
    else:
        width = max(len(safe(entry["machine"])) for entry in found.values())
        for entry in sorted(found.values(), key=lambda entry: str(entry["machine"])):
            counted = count(entry["runs"], "run")
            where = entry["code"] or "in the journal only"
            click.echo(f"{safe(entry['machine']):<{width}}  {entry['fingerprint'][:12]}  {counted:>10}  {where}")


def _machine(name: str, fingerprint: str, code: str | None) -> dict[str, Any]:
    return {"machine": name, "fingerprint": fingerprint, "code": code, "runs": 0}
