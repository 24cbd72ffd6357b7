"""The README's tables of guards: there are rows for each, and the record of a refusal says what its row says."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import guards
from fsm import AgentFailed, Guard, Machine, Spent, Standing, State, View, minutes
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.snapshot import Snapshot
from fsm.define.payload import seal
from fsm.testing import MovableClock
from tests.helpers import running


def is_of_one_run(guard: type[Guard]) -> bool:
    """Whether it says something of a run by itself: it counts there, or checks."""
    return guard.counted is not Guard.counted or guard.check is not Guard.check


OF_ONE_RUN = [name for name in guards.__all__ if is_of_one_run(getattr(guards, name))]
README = Path(__file__).parents[2] / "README.md"
ROW = re.compile(r"`((\w+)\(.*\))` \| ([\w ]*) \| .* \| `(\w+: .*)` \|")


def lines_of(first: str) -> list[str]:
    """The rows of the table whose first column has this head, without their first bar."""
    _, _, below = README.read_text("utf-8").partition(f"\n| {first} |")
    return [line.removeprefix("| ") for line in below.partition("\n\n")[0].splitlines()[2:]]


def rows_of(first: str) -> list[tuple[str, str, str, str]]:
    """How it is made, its name, where it stands, and what the record says."""
    return [found.groups() for found in map(ROW.fullmatch, lines_of(first)) if found]  # type: ignore[misc]


FOUND = rows_of("guard")
ROWS = {name: (made, said) for made, name, _, said in FOUND}
OF_MANY = rows_of("guard of many runs")
PLACES: dict[Standing, str] = {"transition": "transition", "state": "state", "run": "everywhere"}


class Draft(BaseModel):
    text: str
    open_points: int = 4


def open_points(draft: Draft) -> int:
    return draft.open_points


def test_every_guard_of_one_run_has_a_row() -> None:
    assert set(ROWS) == set(OF_ONE_RUN)


def test_every_guard_that_runs_share_has_a_row_and_each_row_was_read() -> None:
    shared = [name for name in guards.__all__ if getattr(guards, name).shared is not Guard.shared]
    assert {name for _, name, _, _ in OF_MANY} == set(shared)
    assert len(FOUND) == len(lines_of("guard")) and len(OF_MANY) == len(lines_of("guard of many runs"))


def test_every_guard_stands_beside_what_the_others_have_of_the_versions_that_were_measured() -> None:
    beside = [line.split("`")[1] for line in lines_of("beside")]
    assert sorted(beside) == sorted(guards.__all__)
    pins = (README.parent / "tests/benchmarks/engines/requirements.txt").read_text()
    for name, package in {"pydantic-ai": "pydantic-ai-slim", "LangGraph": "langgraph", "DBOS": "dbos"}.items():
        found = re.search(rf"\b{name}\s+(\d+\.\d+\.\d+)\s+\(", README.read_text("utf-8").partition("Looked up on")[2])
        assert found is not None and f"\n{package}=={found[1]}\n" in pins


@pytest.mark.parametrize(("made", "name", "stands", "said"), [*FOUND, *OF_MANY])
def test_a_guard_may_stand_where_the_row_says_and_nowhere_else(made: str, name: str, stands: str, said: str) -> None:
    guard: Guard = eval(made, {**vars(guards), "minutes": minutes, "open_points": open_points})
    allowed = {place for place in PLACES if guard.mistake(place) is None}
    assert allowed == {place for place, word in PLACES.items() if word in stands or stands == "anywhere"}


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


@pytest.mark.parametrize(("made", "name", "stands", "said"), OF_MANY)
async def test_runs_that_all_fail_are_refused_as_the_row_says(
    db: Path, made: str, name: str, stands: str, said: str
) -> None:
    """One after another; or all at once, where the record says that others are still at it."""
    at_once, over = "reserved" in said, asyncio.Event()

    async def work(view: View[Any]) -> Draft:
        view.spend(tokens=150, usd_micros=150)
        if at_once:
            await over.wait()
        raise ConnectionError("lost")

    class Failing(Machine):
        draft = State(initial=Draft, agent=work, tokens_max=150, usd_micros_max=150, guards=[eval(made, vars(guards))])
        lost = State[Any](final="failed")
        done = State[Any](final="completed")
        ok = draft.to(done, on=Draft)
        fails = draft.to(lost, on=AgentFailed)

    async with running(db, Failing, clock=MovableClock()) as runner:
        while True:
            run = await runner.start(Failing, Draft(text=""), labels={"tenant": "acme"})
            (ruling,) = next(runner.journal.read.records(run.key)).rulings
            if ruling.verdict.decision != "allow":
                break
            if not at_once:
                await runner.settled(run.run_id)
        assert str(ruling) == f"{name} on draft {ruling.verdict.decision}s ({said})"
        over.set()
