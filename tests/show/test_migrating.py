"""Unfinished runs under a changed machine, in words: grouped by what stands in their way."""

from pathlib import Path

import pytest

from fsm import Machine, State
from fsm.runner.migrate import Candidate, candidates
from fsm.runner.repin import Obstacle
from fsm.show.here import Here
from fsm.show.migrating import Migration, counts, migration, migration_data
from fsm.testing import MovableClock, hang
from guards import LoopCap
from tests.replay.twins import BAD, Brief, Desk, Draft, Twins


@pytest.fixture
def twins(tmp_path: Path) -> Twins:
    found = Twins(tmp_path)
    for run_id in ("a", "b"):
        found.record(run_id, reviews=[BAD])
    found.record("over")
    return found


def seen(twins: Twins, machine: type[Machine], *more: Obstacle, left: str = "") -> Migration:
    with twins.reading() as reader:
        found = list(candidates(reader, machine, MovableClock()))
        found = [Candidate(one.run, (*one.obstacles, *more), left) for one in found]
        return migration(reader, machine.spec, found, Here("runs.db", ("desk.py:Desk",)))


def test_those_that_can_go_on_and_those_that_need_not_are_counted(twins: Twins):
    class Later(Desk, machine_name="Desk"):
        reject = Desk.reject.but(guards=[LoopCap(5)])

    later = seen(twins, Later)
    assert later.all_well and counts(later, dry=True) == [("2 runs can go on with it", "green")]
    assert counts(later, dry=False) == [("2 runs repinned", "green")]
    assert counts(seen(twins, Desk), dry=False) == [("2 runs under this Desk already", "dim")]
    left = seen(twins, Later, left="another runner advances it")
    assert not left.all_well and counts(left, dry=True) == [
        ("2 runs left alone, another runner advances it: a, b", "yellow")
    ]


def test_runs_whose_state_is_gone_are_one_group_and_may_be_forked_before_it(twins: Twins):
    class Gone(Machine, machine_name="Desk"):
        draft = State(initial=Brief, agent=hang)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)

    found = seen(twins, Gone)
    (group,) = found.groups
    assert (group.title, group.ids) == ("it is in state person, which Desk no longer has", "a, b")
    assert [command for _, command in group.next] == [
        "fsm fork a --at 4 --db runs.db -m desk.py:Desk",
        "fsm cancel a --db runs.db -m OLD.py:Desk",
    ]
    assert counts(found, dry=True) == [("2 runs cannot go on with it", "red")] and found.unable == 2


def test_payloads_are_grouped_by_event_and_field_whatever_stands_there(twins: Twins):
    obstacles = [
        Obstacle("visit", "Draft", (f"text: String should have at most 3 characters, got {text!r}",), 5)
        for text in ("first", "second")
    ]
    with twins.reading() as reader:
        runs = [run for run in reader.runs() if not run.ended]
        found = [Candidate(run, (one,)) for run, one in zip(runs, obstacles, strict=True)]
        (group,) = migration(reader, Desk.spec, found, Here()).groups
    assert group.title == "the Draft that its visit works on is read no more: text"
    assert group.example == "a: record 5 (Draft); text: String should have at most 3 characters, got 'first'"
    assert "Draft.upcast(old, version)" in group.next[0][0]


def test_the_data_names_every_run(twins: Twins):
    found = seen(twins, Desk, Obstacle("inbox", "Approval", ("by: Field required, got {}",)))
    data = migration_data(found, dry=True)
    assert data["able"] == data["ready"] == [] and data["unable"][0]["runs"] == ["a", "b"]
    assert data["unable"][0]["why"] == "the Approval in its inbox would be lost: by"
