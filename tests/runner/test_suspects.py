"""Which of the visits whose process died go on at once."""

from typing import Any

import pytest
from attrs import evolve
from pydantic import BaseModel

from fsm import Machine, Run, State, unbound
from fsm.core.engine import Engine
from fsm.core.snapshot import Pending, Snapshot
from fsm.define.payload import seal
from fsm.runner.live import Live
from fsm.runner.suspects import SUSPECTS_MAX, Suspects


class Job(BaseModel):
    task: str = ""


class Done(BaseModel):
    text: str = ""


class Work(Machine, resumes_max=3):
    work = State(initial=Job, agent=unbound)
    done = State(final="completed")
    finish = work.to(done, on=Done)


ENGINE, PAYLOAD = Engine(Work.spec), seal(Job(), 1_000)


def run(key: int) -> Run:
    return Run(
        key=key,
        run_id=f"r{key}",
        machine="Work",
        fingerprint="",
        labels={},
        state="work",
        outcome="running",
        seq=7,
        entered=0,
        attempt=2,
        head=b"",
        calls=None,
        dropped=0,
        owner=1,
        started_at_ms=0,
        at_ms=0,
    )


class House:
    """A runner's runs, and who of them was let in."""

    def __init__(self, engine: Engine = ENGINE) -> None:
        self.lives: dict[int, Live] = {}
        self.suspects = Suspects(self.lives)
        self.engine = engine

    def enter(self, resumes: int, why: str = "lost", key: int = 0, **snapshot: Any) -> bool:
        key = key or len(self.lives) + 1
        now = Snapshot(state="work", seq=7, entered=0, resumes=resumes, **snapshot)
        live = Live(run=run(key), engine=self.engine, snapshot=now, payload=PAYLOAD)
        let_in = self.suspects.admit(live, why, 0)
        if let_in:
            self.lives[key] = live
        return let_in


def test_after_a_first_loss_all_go_on_at_once():
    house = House()
    assert all(house.enter(0) for _ in range(1_000))
    assert house.enter(0)


def test_after_a_second_loss_some_go_on_at_once():
    house = House()
    assert sum([house.enter(1, key=key) for key in range(1, 101)]) == SUSPECTS_MAX
    assert house.enter(0, key=200), "those that are none go on beside them"
    assert house.suspects.waits(run(50)) and not house.suspects.waits(run(200))
    house.lives[1].snapshot = evolve(house.lives[1].snapshot, seq=8, entered=8)
    assert not house.suspects.waits(run(50)), "one has left its visit"


def test_who_has_its_last_chance_is_the_only_suspect():
    house = House()
    assert house.enter(2, key=1)
    assert not house.enter(2, key=2) and not house.enter(1, key=3)
    assert house.enter(0, key=4)
    del house.lives[1]
    assert house.enter(1, key=3)
    assert not house.enter(2, key=2), "another suspect is at work"
    del house.lives[3]
    assert house.enter(2, key=2)


@pytest.mark.parametrize("why", ["lost", "released"])
def test_a_clean_stop_clears_nobody(why: str):
    house = House()
    assert house.enter(3 - (why == "lost"), why, key=1)
    assert not house.enter(3 - (why == "lost"), why, key=2)


def test_whom_nothing_makes_wait():
    house = House()
    assert house.enter(2, key=1)
    assert house.enter(3, key=2), "it is over: no agent runs any more"
    assert house.enter(3, "asked", key=3) and house.enter(3, "answered", key=4), "somebody wants it now"
    own = Pending(seq=7, event="Done", event_id=None, own=True, until_ms=1, defers=1, since_ms=0)
    assert house.enter(2, key=5, pending=own), "its event is put off, its agent is not at work"


def test_whose_first_loss_is_its_last_chance_goes_on_alone():
    class Once(Work, resumes_max=1):
        pass

    class Never(Work, resumes_max=0):
        pass

    once, never = House(Engine(Once.spec)), House(Engine(Never.spec))
    assert once.enter(0, key=1) and not once.enter(0, key=2) and once.enter(1, key=3)
    assert once.enter(0, "released", key=4), "it was never lost"
    assert all(never.enter(0, why) for why in ("lost", "released")), "none of them goes on"
