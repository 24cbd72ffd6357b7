"""A machine whose visits have few places, and begin no faster than they may, in all processes."""

import asyncio
from typing import Any

from pydantic import BaseModel

from fsm import Machine, State, View
from guards import Bulkhead, RateLimit
from tests.crash import gates

PLACES, PER_WINDOW, WINDOW_S = 3, 8, 0.25


class Patient(BaseModel):
    pass


class Better(BaseModel):
    pass


async def treat(view: View[Patient]) -> Better:
    gates.note(f"in:{view.run_id}")
    await asyncio.sleep(0.005)
    gates.note(f"out:{view.run_id}")
    return Better()


class Ward(Machine):
    treated = State(
        initial=Patient,
        agent=treat,
        guards=[Bulkhead("beds", PLACES), RateLimit("door", PER_WINDOW, window_s=WINDOW_S)],
    )
    home = State[Any](final="completed")
    leave = treated.to(home, on=Better)
