"""Runs that begin here: started with a payload, or forked from another run's record."""

from collections.abc import Mapping

from pydantic import BaseModel

from fsm.core.engine import Engine
from fsm.core.fork import fork
from fsm.core.plan import Event
from fsm.core.select import select
from fsm.core.snapshot import Snapshot
from fsm.crash import point
from fsm.define.events import RuntimeEvent
from fsm.define.payload import Payload
from fsm.errors import MachineUnknown
from fsm.journal.begin import Begins
from fsm.journal.rows import Run, snapshot_bytes
from fsm.runner.driver import Driver
from fsm.runner.entry import tags
from fsm.runner.fork import forking
from fsm.runner.live import Live

Begun = tuple[Run, bool]
"""A run, and whether it is new; else it had begun the same way before."""


async def start(driver: Driver, engine: Engine, payload: Payload, run_id: str, labels: str) -> Begun:
    """A run of this machine from its first state on."""
    spec = engine.spec
    note = {"run_id": run_id, "machine": spec.name, "fingerprint": spec.fingerprint}
    plan = select(engine, Snapshot(), Event(payload=payload, at_ms=driver.clock.now_ms(), note=note))
    return await _begin(driver, engine, run_id, labels, plan, payload)


async def start_fork(
    driver: Driver, run: Run, at: int, payload: BaseModel | None, run_id: str, labels: Mapping[str, str]
) -> Begun:
    """A run that goes on where `run` stood after record `at`, with its labels and these; under today's machine."""
    engine = driver.machines.by_name.get(run.machine)
    if engine is None:
        raise MachineUnknown(run_id=run.run_id, machine=run.machine)
    found = forking(driver.journal.read, run, engine.spec, at, payload)
    at_ms = driver.clock.now_ms()
    decision = fork(engine.spec, found.origin, found.payload, found.memory, run_id=run_id, at_ms=at_ms)
    tagged = tags({**run.labels, **labels})
    failure = found.origin.failure.value if found.origin.failure is not None else None
    return await _begin(driver, engine, run_id, tagged, decision, found.payload, failure)


async def _begin(
    driver: Driver,
    engine: Engine,
    run_id: str,
    labels: str,
    begins: Begins,
    payload: Payload,
    failure: BaseModel | None = None,
) -> Begun:
    run, decision = await driver.journal.begin(run_id, engine, labels, begins)
    point("decision.adopted")
    if decision is None:
        return run, False
    assert decision.record is not None
    live = Live(
        run=run,
        engine=engine,
        snapshot=decision.snapshot,
        payload=payload,
        failure=failure if isinstance(failure, RuntimeEvent) else None,
        folded=len(payload.body),
        snapshot_bytes=snapshot_bytes(decision.snapshot) if decision.record.kind == "forked" else 0,
    )
    driver.observers.tell(live, decision.record)
    if not run.settled:
        driver.drive(live)
    return run, True
