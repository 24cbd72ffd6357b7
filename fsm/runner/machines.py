"""The machines a runner was given, by name and by fingerprint."""

from typing import Any

from attrs import define, field

from fsm.core.engine import Engine
from fsm.define.agent import unbound
from fsm.define.machine import Machine
from fsm.errors import AgentsMissing, MachineChanged, MachineUnknown
from fsm.journal.reader import Reader
from fsm.journal.rows import Run


@define
class Machines:
    """Engines of the machines at hand; a run whose machine is not among them is left alone."""

    by_name: dict[str, Engine] = field(factory=dict)
    by_fingerprint: dict[str, Engine] = field(factory=dict)

    def add(self, machine: type[Machine]) -> Engine:
        """Know this machine from now on; `AgentsMissing` where a ready-made one has no agents bound."""
        spec = machine.spec
        known: Any = self.by_fingerprint.get(spec.fingerprint)
        if known is not None and known.spec is spec:
            return known  # type: ignore[no-any-return]
        missing = tuple(state.name for state in spec.states if state.agent is unbound)
        if missing:
            raise AgentsMissing(machine=spec.name, states=missing)
        engine = Engine(spec)
        self.by_name[spec.name] = self.by_fingerprint[spec.fingerprint] = engine
        return engine

    def engine(self, run: Run, read: Reader) -> Engine:
        """The engine for a run: of exactly the machine it was recorded under."""
        found = self.by_fingerprint.get(run.fingerprint)
        if found is not None:
            return found
        known = self.by_name.get(run.machine)
        if known is None:
            raise MachineUnknown(run_id=run.run_id, machine=run.machine)
        changes = read.spec(run.fingerprint).changes(known.spec)
        raise MachineChanged(run_id=run.run_id, machine=run.machine, changes=changes)
