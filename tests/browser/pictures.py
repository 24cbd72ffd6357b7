"""What is drawn: every machine that is shipped, and a recorded run of the review loop."""

import runpy
from pathlib import Path
from typing import Any

import examples.docs_desk.desk
import machines
from fsm import Machine, MachineSpec, Runner, SqliteJournal
from fsm.show.overlay import Overlay, overlay
from fsm.testing import scripted
from machines.review_loop import Brief, Draft, Findings, ReviewLoop, Verdict
from tests.show.small import Chain, Small, Trying

ROOT = Path(__file__).parents[2]


def shipped() -> dict[str, MachineSpec]:
    """Every machine of `machines/` and of the examples, by where it stands."""
    found = {f"machines.{name}": getattr(machines, name) for name in machines.__all__}
    for path in sorted((ROOT / "examples").glob("[0-9]*.py")):
        found |= {f"{path.stem}.{name}": value for name, value in runpy.run_path(str(path)).items()}
    found |= {"docs_desk": examples.docs_desk.desk.desk(), "tests.Small": Small, "tests.Chain": Chain}
    found |= {"tests.Trying": Trying}
    return {name: value.spec for name, value in found.items() if is_machine(value)}


def is_machine(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Machine) and value is not Machine


async def reviewed(db: Path) -> Overlay:
    """A run of the review loop that is rejected four times and waits for a person; read from its journal alone."""
    desk = ReviewLoop.with_agents(
        research=scripted(*[Findings(passages=[], searched=1)] * 4),
        draft=scripted(*[Draft(claims=[])] * 4),
        review=scripted(*[Verdict(good=False)] * 4),
    )
    async with Runner(SqliteJournal(db, synchronous="OFF"), machines=[desk], handle_signals=False) as runner:
        run = await runner.start(desk, Brief(task="why?"))
        await runner.settled(run.run_id)
        read = runner.journal.read
        return overlay(read.spec(run.fingerprint), read.records(run.key))
