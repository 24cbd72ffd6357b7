"""From what names a machine, or the JSON of one, to its spec."""

from pathlib import Path

import click

from fsm.define.spec import MachineSpec


def spec_of(target: str) -> MachineSpec:
    """The spec of `FILE.py:Machine` or `package.module:Machine`, or the one in a .json file, which imports nothing."""
    from fsm.cli.parts.target import TargetError, machine

    if not target.endswith(".json"):
        return machine(target).spec
    if not Path(target).is_file():
        raise click.UsageError(f"there is no file {target}")
    try:
        return MachineSpec.from_json(Path(target).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TargetError(f"{target}: {error}\n  -> write it with spec.to_json()") from None


def specs_of(target: str) -> list[MachineSpec]:
    """The same, but a file or module without a machine's name stands for all that it makes."""
    from fsm.cli.parts.target import machines

    return [spec_of(target)] if target.endswith(".json") else [machine.spec for machine in machines([target])]


def specs_listed(target: str) -> list[MachineSpec]:
    """The specs of what stands in [tool.fsm] under this target."""
    from fsm.cli.parts.target import of_entry

    return [machine.spec for machine in of_entry(target)]
