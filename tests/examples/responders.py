"""A process that works on incidents until they are over, or it dies."""

import asyncio
from pathlib import Path

from examples.incident.machine import Alert, Incident
from fsm import Runner
from fsm.testing import crash_at


def work(db: Path, site: str, run_ids: list[str], point: str, passes: int) -> None:
    """Start these runs, or go on with them, and see them end; or die at this arrival at the crash point, if given."""
    if point:
        crash_at(point, passes)
    asyncio.run(_work(db, site, run_ids))


async def _work(db: Path, site: str, run_ids: list[str]) -> None:
    async with Runner(db, machines=[Incident], poll_s=0.01) as runner:
        for run_id in run_ids:
            await runner.start(Incident, Alert(service="checkout", site=site), run_id=run_id)
        for run_id in run_ids:
            await runner.finished(run_id)
