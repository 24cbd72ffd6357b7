"""Deaths in odd places: while an event is put off, in a wait, in the start, between inbox and decision, by suicide."""

import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fsm import AgentFailed, CallRefused, Machine, Record, Run
from fsm.core.snapshot import fold
from fsm.journal.reader import Posted
from tests.crash.gates import RESUMES_MAX, BarePit, Cell, Kiln, Parlour, Pit, Porch, Stove, Till, Vault
from tests.crash.world import KILLED, Peer, World, check_mill, check_runs

ONE = "one"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.clear()


def records(world: World, machine: type[Machine], run_id: str = ONE) -> list[Record]:
    """The records of a run, once all that must hold was checked."""
    check_runs(world, machine, [run_id])
    reader = world.reader()
    try:
        return list(reader.records(reader.run(run_id).key))
    finally:
        reader.close()


def run_of(world: World, run_id: str = ONE) -> Run | None:
    if not world.db.exists():
        return None
    reader = world.reader()
    try:
        return next((run for run in reader.runs() if run.run_id == run_id), None)
    finally:
        reader.close()


def inbox(world: World) -> list[Posted]:
    reader = world.reader()
    try:
        return reader.inbox(reader.run(ONE).key)
    finally:
        reader.close()


def stands(world: World, outcome: str) -> bool:
    run = run_of(world)
    return run is not None and run.outcome == outcome


def kill(world: World, peer: Peer) -> None:
    peer.signal(signal.SIGKILL)
    assert world.ended(peer.process) == KILLED


# --- an agent that kills its process --------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "outcome", "last"),
    [(Pit, "failed", "ended"), (BarePit, "stuck", "halted")],
    ids=["declared", "undeclared"],
)
def test_an_agent_that_kills_its_process_stops_after_resumes_max(
    machine: type[Machine], outcome: str, last: str, world: World
):
    deaths = 0
    while (code := world.run("carry", machine=machine.spec.name, run_id=ONE)) == KILLED:
        deaths += 1
        assert deaths <= RESUMES_MAX + 1, "it loops"
    assert code == 0, world.errors()
    assert deaths == RESUMES_MAX + 1
    assert run_of(world) is not None
    assert stands(world, outcome)
    assert world.effects() == {f"attempt:{ONE}:{attempt}": 1 for attempt in range(1, deaths + 1)}
    found = records(world, machine)
    assert [record.kind for record in found] == ["started", *["resumed"] * deaths, last]
    assert found[-1].body is not None
    failed = AgentFailed.model_validate_json(found[-1].body)
    assert failed.error_type == "crashed"
    assert str(RESUMES_MAX) in failed.message


CELLS = ("one", "two", "three")


def test_who_shares_its_process_with_one_that_kills_it_is_not_condemned(world: World):
    """All were in progress at every death, and none may be resumed more often than the killer."""
    peer = Peer.begin(world, "0")
    for cell in CELLS:
        peer.order("start", cell, "Cell", {"text": cell})
        world.until(partial(world.executed, f"attempt:{cell}:1"))
    peer.order("start", "pit", "Pit", {})
    assert world.ended(peer.process) == KILLED
    assert world.run("serve", name="0") == KILLED, "all go on together"
    for cell in CELLS:
        assert run_of(world, cell) is not None
        (world.folder / f"gate-{cell}-3").touch()
    code = world.run("serve", name="0")
    assert code == KILLED, world.errors()
    last = Peer.begin(world, "1")
    for run_id in (*CELLS, "pit"):
        last.order("finished", run_id)
        assert last.answer("finished", run_id)[0] == ("failed" if run_id == "pit" else "completed")
    last.stop()
    assert len([key for key in world.effects() if key.startswith("attempt:pit")]) == RESUMES_MAX + 1
    for cell in CELLS:
        assert [record.kind for record in records(world, Cell, cell)] == ["started", "resumed", "resumed", "ended"]


# --- attempts that begin again --------------------------------------------------------------------


def test_a_pause_outlives_its_process_and_no_attempt_is_lost_in_it(world: World):
    peer = Peer.begin(world, "0")
    peer.order("start", ONE, "Kiln", {})
    world.until(lambda: ["one", 1, "retried"] in [told[:3] for told in world.told("acknowledged")])
    kill(world, peer)
    last = Peer.begin(world, "1")
    last.order("finished", ONE)
    assert last.answer("finished", ONE)[0] == "failed"
    last.stop()
    found = records(world, Kiln)
    assert [record.kind for record in found] == ["started", "retried", "resumed", "ended"]
    assert found[2].at_ms < (found[1].until_ms or 0) <= found[3].at_ms
    assert fold(Kiln.spec, found[:3]).resumes == 0, "nobody was at work"
    assert world.effects() == {"attempt:one:1:first": 1, "attempt:one:2:again": 1}


def test_an_attempt_that_dies_is_resumed_and_none_is_added_to_attempts_max(world: World):
    assert world.run("carry", machine="Stove", run_id=ONE, crash={"visit.started": 2}) == KILLED
    assert world.run("carry", machine="Stove", run_id=ONE, crash={"visit.returned": 1, "decision.queued": 1}) == KILLED
    world.finish("carry", machine="Stove", run_id=ONE)
    found = records(world, Stove)
    assert [record.kind for record in found] == ["started", "retried", "resumed", "resumed", "ended"]
    assert fold(Stove.spec, found[:-1]).resumes == 2
    assert found[-1].rulings[0].verdict.numbers == {"fires": 1, "fires_max": 1}
    assert world.effects() == {"attempt:one:1:first": 1, "attempt:one:3:again": 1, "attempt:one:4:again": 1}


@pytest.mark.parametrize(("point", "requests"), [("call.settled", 3), ("call.executed", 6), ("call.intended", 3)])
def test_strikes_are_counted_across_deaths(point: str, requests: int, world: World):
    """Killed at each of the calls: what has no outcome is made again, and is no strike till it has one."""
    for boot in range(3):
        crash = {point: 1}
        assert world.run("carry", machine="Porch", run_id=ONE, boot=f"boot-{boot}", crash=crash) == KILLED
        if point != "call.settled":
            break
    for boot in range(3, 5) if point != "call.settled" else ():
        assert world.run("carry", machine="Porch", run_id=ONE, boot=f"boot-{boot}", crash={point: 2}) == KILLED
    world.finish("carry", machine="Porch", run_id=ONE, boot="last")
    found = records(world, Porch)
    assert (found[-1].hop, found[-1].event) == ("leave", "CallRefused")
    assert CallRefused.model_validate_json(found[-1].body or b"").numbers == {"strikes": 3, "strikes_max": 3}
    assert len(world.effects()) == 3
    assert world.effects().total() == requests


# --- a call of which nobody knows whether it was made ---------------------------------------------


@pytest.mark.parametrize(
    ("point", "answer"),
    [("call.executed", {"result": "by hand"}), ("call.intended", {"again": True})],
    ids=["it was made", "it was not made"],
)
def test_a_run_asks_and_is_answered_from_another_process(point: str, answer: dict[str, object], world: World):
    assert world.run("carry", machine="Till", run_id=ONE, crash={point: 1}) == KILLED
    world.finish("carry", machine="Till", run_id=ONE)
    assert stands(world, "stuck")
    assert records(world, Till)[-1].event == "CallUnsure"
    peer = Peer.begin(world, "0")
    peer.order("answer", ONE, "charge", answer)
    peer.answer("answer", ONE)
    peer.order("finished", ONE)
    assert peer.answer("finished", ONE)[0] == "completed"
    peer.stop()
    found = records(world, Till)
    assert [record.kind for record in found] == ["started", "resumed", "halted", "resumed", "ended"]
    assert list(world.effects().values()) == [1], "exactly once"
    reader = world.reader()
    assert {call.key for call in reader.calls(reader.run(ONE).key)} == set(world.effects())
    reader.close()


# --- between the inbox and the decision -----------------------------------------------------------


def test_an_event_that_outlived_its_sender_is_decided_by_whoever_comes_next(world: World):
    peer = Peer.begin(world, "0")
    peer.order("start", ONE, "Parlour", {"text": "well?"})
    world.until(lambda: stands(world, "waiting"))
    peer.stop()
    sender = Peer.begin(world, "sender", crash={"inbox.committed": 1}, poll_s=3_600.0)  # it does not look itself
    sender.order("send", ONE, "Answer", {"text": "yes"}, "event-1")
    assert world.ended(sender.process) == KILLED
    assert [posted.event_id for posted in inbox(world)] == ["event-1"]
    assert stands(world, "waiting")
    last = Peer.begin(world, "last")
    last.order("finished", ONE)
    assert last.answer("finished", ONE)[0] == "completed"
    last.order("send", ONE, "Answer", {"text": "yes"}, "event-1")  # its sender asks again what became of it
    assert last.answer("send", ONE)[0] == "taken"
    last.stop()
    assert [record.event_id for record in records(world, Parlour)].count("event-1") == 1
    assert not inbox(world)


# --- while an event is put off --------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True], ids=["in time", "after its moment"])
def test_a_deferred_event_outlives_its_process_and_the_agent_does_not_run_again(late: bool, world: World):
    peer = Peer.begin(world, "0")
    not_before_ms = int(time.time() * 1000) + 3_000
    peer.order("start", ONE, "Parlour", {"text": "later", "not_before_ms": not_before_ms})
    world.until(lambda: ["one", 1, "deferred"] in [told[:3] for told in world.told("acknowledged")])
    kill(world, peer)
    if late:
        world.until(lambda: time.time() * 1000 > not_before_ms)
    again = Peer.begin(world, "1")
    world.until(lambda: stands(world, "waiting"))
    again.stop()
    found = records(world, Parlour)
    assert [record.kind for record in found] == ["started", "deferred", "resumed", "taken"]
    assert found[-1].at_ms >= not_before_ms
    assert found[-1].digest == found[1].digest
    assert set(world.effects().values()) == {1}, "the agent ran again"


# --- while waiting --------------------------------------------------------------------------------


def test_a_wait_goes_on_where_it_was_and_ends_when_it_would_have(world: World):
    peer = Peer.begin(world, "0")
    peer.order("start", ONE, "Parlour", {"text": "well?"})
    world.until(lambda: stands(world, "waiting"))
    kill(world, peer)
    last = Peer.begin(world, "1")
    last.order("finished", ONE)
    assert last.answer("finished", ONE)[0] == "failed"
    last.stop()
    found = records(world, Parlour)
    assert [record.kind for record in found] == ["started", "taken", "ended"]
    assert found[-1].event == "TimedOut"
    assert 2_000 <= found[-1].at_ms - found[-2].at_ms < 4_000, "the wait counts from when the state was entered"


# --- in the start ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "passes", "durable"),
    [("writer.written", 2, False), ("writer.committed", 2, True), ("decision.adopted", 1, True)],
)
def test_the_same_start_again_returns_the_run(point: str, passes: int, durable: bool, world: World):
    (world.folder / f"gate-{ONE}-1").touch()
    (world.folder / f"gate-{ONE}-2").touch()
    peer = Peer.begin(world, "0", crash={point: passes})
    peer.order("start", ONE, "Vault", {"text": "a"})
    assert world.ended(peer.process) == KILLED
    assert (run_of(world) is not None) == durable
    again = Peer.begin(world, "1")
    again.order("start", ONE, "Vault", {"text": "b"})
    assert again.answer("start", ONE)[0] == ("RunConflict" if durable else "running")
    again.order("start", "two", "Vault", {"text": "a"})
    again.order("finished", ONE)
    assert again.answer("finished", ONE)[0] == "completed"
    again.stop()
    kinds = [record.kind for record in records(world, Vault)]
    assert kinds == (["started", "resumed", "ended"] if durable else ["started", "ended"])


# --- a host that was switched off -----------------------------------------------------------------


def test_after_a_reboot_no_lease_holds(world: World):
    """The monotonic clock begins anew, so that an old lease would seem to hold for days."""
    first = Peer.begin(world, "0", boot="before", lease_s=1e6, stall_s_max=1e6)
    first.order("start", ONE, "Vault", {"text": "a"})
    world.until(partial(world.executed, f"attempt:{ONE}:1"))
    kill(world, first)
    for file in world.folder.glob("*-runner*"):
        file.unlink()
    same = Peer.begin(world, "1", boot="before")
    same.order("send", ONE, "Answer", {"text": "anybody?"}, "event-1")
    world.until(lambda: inbox(world))
    same.stop()
    assert [record.kind for record in records(world, Vault)] == ["started"], "on the same boot the lease holds"
    (world.folder / f"gate-{ONE}-2").touch()
    other = Peer.begin(world, "2", boot="after")
    other.order("finished", ONE)
    assert other.answer("finished", ONE)[0] == "completed"
    other.stop()
    assert [record.kind for record in records(world, Vault)][:2] == ["started", "resumed"]


# --- clean stops ----------------------------------------------------------------------------------


def test_a_clean_stop_leaves_nothing_behind_and_no_loss_is_counted(world: World):
    for attempt in range(1, RESUMES_MAX + 4):
        peer = Peer.begin(world, str(attempt))
        peer.order("start", ONE, "Vault", {"text": "a"})
        world.until(partial(world.executed, f"attempt:{ONE}:{attempt}"))
        peer.stop()
    found = records(world, Vault)
    assert [record.note.get("why") for record in found[1:]] == ["released"] * (RESUMES_MAX + 2)
    assert not list(world.folder.glob("*-runner*"))


def test_spending_of_an_attempt_that_is_cut_off_is_kept_and_counted_once(world: World, undisturbed: World):
    """A clean stop in the middle of a visit, again and again, until the runs are done."""
    for n in range(8):
        peer = Peer.begin(world, str(n))
        peer.order("start", ONE, "Mill", {"n": 1})
        peer.answer("start", ONE)
        effects = world.effects().total()
        world.until(lambda: world.effects().total() > effects or stands(world, "completed"))  # noqa: B023 - at once
        peer.stop()
    world.finish("work", runs=[ONE])
    found = check_mill(world, [ONE], undisturbed)
    assert found.attempts > 0
