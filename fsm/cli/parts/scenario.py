"""`fsm replay --scenario`: a run that `fsm check` drew, on the real engine."""

from collections.abc import Sequence
from pathlib import Path

import click

from fsm.cli.parts.options import FAILED, emit, leave
from fsm.cli.parts.specs import specs_of
from fsm.cli.parts.target import machines
from fsm.define.spec import MachineSpec
from fsm.replay.scenario import Scenario, Taken, replayed
from fsm.show.data import record_data


def replay_scenario(path: str, targets: Sequence[str], as_json: bool) -> None:
    """Decide a scenario's events and print what the engine made of each; leaves with 1 where it goes elsewhere."""
    try:
        scenario = Scenario.from_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{path}: {error}\n  -> write one with fsm check --scenarios FOLDER") from None
    spec = _spec(scenario, targets)
    taken: list[Taken] = []
    wrong = ""
    try:
        for found in replayed(scenario, spec):
            taken.append(found)
            if not as_json:
                _print(found, first=len(taken) == 1 or taken[-2].lap != found.lap)
    except ValueError as error:
        wrong = str(error)
    if as_json:
        events = [{**record_data(found.record), "counters": found.counters, "lap": found.lap} for found in taken]
        emit({"machine": spec.name, "scenario": path, "agreed": not wrong, "why": wrong, "events": events})
    elif wrong:
        click.echo(f"✗ {wrong}")
    else:
        again = ", and the loop can be taken again and again" if scenario.loop else ""
        asked = any(event["predicates"] or event["guards"] for event in (*scenario.events, *scenario.loop))
        assumed = ", if predicates and guards answer as written there" if asked else ""
        click.echo(f"✓ {spec.name} goes this way, event by event{again}{assumed}")
    if wrong:
        leave(FAILED)


def _spec(scenario: Scenario, targets: Sequence[str]) -> MachineSpec:
    found = [spec for target in targets for spec in specs_of(target)] or [machine.spec for machine in machines(())]
    for spec in found:
        if spec.name == scenario.machine:
            return spec
    name = scenario.machine
    raise click.UsageError(f"the scenario is of {name}, which is not at hand\n  -> name it: --machine FILE.py:{name}")


def _print(found: Taken, first: bool) -> None:
    record = found.record
    if first and found.lap:
        click.echo("  over and over:" if found.lap == 1 else "  and once more:")
    spent = f"  {record.spent.tokens:,} tokens" if record.spent.tokens else ""
    counted = "".join(f"  {key} {count}" for key, count in found.counters.items())
    way = f"{record.source} -> {record.state}  {record.hop}" if record.hop else f"{record.source}  {record.outcome}"
    click.echo(f"  {record.seq:3}  {record.event}: {way}{spent}{counted}")
