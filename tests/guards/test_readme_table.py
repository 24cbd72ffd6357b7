"""The README's table of guards: there is a row for each, and the record of its refusal says what the row says."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import guards
from fsm import Guard, Machine, Spent, Standing, State, minutes
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.snapshot import Snapshot
from fsm.define.payload import seal


def is_of_one_run(guard: type[Guard]) -> bool:
    """Whether it says something of a run by itself: it counts there, or checks."""
    return guard.counted is not Guard.counted or guard.check is not Guard.check


OF_ONE_RUN = [name for name in guards.__all__ if is_of_one_run(getattr(guards, name))]
README = Path(__file__).parents[2] / "README.md"
ROW = re.compile(r"^\| `((\w+)\(.*\))` \| ([\w ]*) \| .* \| `(\w+: .*)` \|$", re.MULTILINE)
FOUND = ROW.findall(README.read_text("utf-8"))
ROWS = {name: (made, said) for made, name, _, said in FOUND}
STANDS = {name: stands for _, name, stands, _ in FOUND}
PLACES: tuple[Standing, ...] = ("transition", "state", "run")


class Draft(BaseModel):
    text: str
    open_points: int = 4


def open_points(draft: Draft) -> int:
    return draft.open_points


def test_every_guard_of_one_run_has_a_row() -> None:
    assert set(ROWS) == set(OF_ONE_RUN)


@pytest.mark.parametrize("name", OF_ONE_RUN)
def test_a_guard_may_stand_where_the_row_says_and_nowhere_else(name: str) -> None:
    guard: Guard = eval(ROWS[name][0], {**vars(guards), "minutes": minutes, "open_points": open_points})
    allowed = {place for place in PLACES if guard.mistake(place) is None}
    assert allowed == {place for place in PLACES if place in STANDS[name] or STANDS[name] == "anywhere"}


@pytest.mark.parametrize("name", OF_ONE_RUN)
def test_a_run_in_which_everything_goes_wrong_is_refused_as_the_row_says(name: str) -> None:
    made, said = ROWS[name]
    known: dict[str, Any] = {**vars(guards), "minutes": minutes, "open_points": open_points}

    class Wrong(Machine):
        draft = State(initial=Draft)
        again = draft.to(draft, on=Draft, guards=[eval(made, known)])

    engine, snapshot, payload = Engine(Wrong.spec), Snapshot(), seal(Draft(text="x" * 20_000), 1 << 20)
    for n in range(6):
        event = Event(
            payload=payload, at_ms=1 + n * 100_000, spent=Spent(20_000, 300_000), strikes={"search": n} if n else {}
        )
        decision = decide(engine, snapshot, event)
        record, snapshot = decision.record, decision.snapshot
        if snapshot.outcome == "stopped":
            break
    assert record is not None
    assert [str(ruling) for ruling in record.rulings] == [f"{name} on again refuses ({said})"]
