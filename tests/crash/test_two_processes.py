"""Two processes on one file: each run is advanced by one, and by the other once the one is gone."""

import asyncio
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm import FsmError, Machine, Run, SqliteJournal, replay_run
from fsm.journal.flock import left
from tests.crash.gates import Parlour, Vault
from tests.crash.mill import Mill
from tests.crash.world import Peer, World, check_mill, check_runs

REACH_S_MAX = 2.0  # how long a word may take to another process; 0.1 s is usual
LEASE_S = 1.0
TAKEOVER_S_MAX = 5.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world in which no process is left behind."""
    world = World(tmp_path)
    yield world
    world.clear()


def run_of(world: World, run_id: str) -> Run:
    reader = world.reader()
    try:
        return reader.run(run_id)
    finally:
        reader.close()


def attempts(world: World, run_id: str) -> int:
    return sum(key.startswith(f"attempt:{run_id}:") for key in world.effects())


def calls(world: World, run_id: str) -> list[str]:
    """The kinds of a run's call rows."""
    reader = world.reader()
    try:
        return [call.kind for call in reader.calls(reader.run(run_id).key)]
    except FsmError:
        return []
    finally:
        reader.close()


def seen(world: World, run_id: str, machine: type[Machine]) -> list[str]:
    """The kinds of a run's records, once all that must hold was checked."""
    check_runs(world, machine, [run_id])
    reader = world.reader()
    try:
        return [record.kind for record in reader.records(reader.run(run_id).key)]
    finally:
        reader.close()


# --- sharing --------------------------------------------------------------------------------------


def test_each_run_is_advanced_by_one_of_them_whoever_started_it(world: World, undisturbed: World):
    peers = [Peer.begin(world, "ann"), Peer.begin(world, "bob")]
    runs = [f"run-{n}" for n in range(20)]
    for n, run_id in enumerate(runs):
        for peer in peers if n % 5 == 0 else [peers[n % 2]]:  # some are started by both
            peer.order("start", run_id, "Mill", {"n": 1})
    for n, run_id in enumerate(runs):
        peers[n % 2].answer("start", run_id)
        for peer in peers:
            peer.order("finished", run_id)
            assert peer.answer("finished", run_id)[0] == "completed"
    for peer in peers:
        peer.stop()
    by = {(run_id, pid) for run_id, *_, pid in world.told("acknowledged")}
    assert len(by) == len(runs), "a run was advanced by both"
    assert len({pid for _, pid in by}) == 2
    found = check_mill(world, runs, undisturbed)
    assert found.repeated == found.attempts == 0


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_who_opens_a_file_that_another_is_creating_waits_for_it(lock: str, world: World):
    """SQLite does not wait by itself for the lock that the switch to WAL takes."""
    other = sqlite3.connect(world.db, isolation_level=None, check_same_thread=False)
    other.execute(lock)
    letting_go = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    letting_go.start()
    asyncio.run(SqliteJournal(world.db).close())
    letting_go.join()
    other.close()


def test_eight_open_a_new_file_in_one_moment(world: World):
    openers = [world.begin("opener") for _ in range(8)]
    world.until(lambda: len(world.told("at the door")) == len(openers))
    (world.folder / "go").touch()
    assert [world.ended(opener) for opener in openers] == [0] * len(openers), world.errors()


def test_four_processes_share_a_new_file_from_its_first_moment(world: World, undisturbed: World):
    runs = ["a", "b", "c", "d"]
    workers = [world.begin("work", runs=[run_id]) for run_id in runs]
    assert [world.ended(worker) for worker in workers] == [0] * len(runs), world.errors()
    assert check_mill(world, runs, undisturbed).attempts == 0
    assert not left(str(world.db))


def test_an_event_reaches_the_owner_in_another_process(world: World):
    ann, bob = Peer.begin(world, "ann"), Peer.begin(world, "bob")
    ann.order("start", "one", "Vault", {})
    world.until(lambda: attempts(world, "one"))
    bob.order("send", "one", "Answer", {"text": "from bob"}, "event-1")
    assert bob.answer("send", "one")[0] == "ended"
    assert bob.answer("send", "one")[1] < REACH_S_MAX
    assert run_of(world, "one").state == "answered"
    ann.stop()
    bob.stop()
    assert seen(world, "one", Vault) == ["started", "ended"]
    assert {pid for run_id, *_, pid in world.told("acknowledged") if run_id == "one"} == {ann.pid}


def test_a_cancel_reaches_the_owner_in_another_process(world: World):
    ann, bob = Peer.begin(world, "ann"), Peer.begin(world, "bob")
    ann.order("start", "one", "Vault", {})
    world.until(lambda: attempts(world, "one"))
    bob.order("cancel", "one")
    told, took_s = bob.answer("cancel", "one")
    assert told == "cancelled"
    assert took_s < REACH_S_MAX
    ann.order("finished", "one")
    assert ann.answer("finished", "one")[0] == "cancelled"
    ann.stop()
    bob.stop()
    assert seen(world, "one", Vault) == ["started", "ended"]


def test_a_parked_run_is_answered_from_another_process(world: World):
    ann, bob = Peer.begin(world, "ann"), Peer.begin(world, "bob")
    ann.order("start", "one", "Parlour", {"text": "well?"})
    world.until(lambda: (world.folder / "acknowledged").exists() and run_of(world, "one").outcome == "waiting")
    ann.order("finished", "one")
    bob.order("send", "one", "Answer", {"text": "yes"}, "event-1")
    assert bob.answer("send", "one")[0] == "taken"
    told, took_s = ann.answer("finished", "one")
    assert told == "completed"
    assert took_s < REACH_S_MAX
    ann.stop()
    bob.stop()
    assert seen(world, "one", Parlour) == ["started", "taken", "taken", "ended"]


def test_both_answer_a_parked_run_at_once_and_one_of_them_is_first(world: World):
    ann, bob = Peer.begin(world, "ann"), Peer.begin(world, "bob")
    ann.order("start", "one", "Parlour", {"text": "well?"})
    world.until(lambda: (world.folder / "acknowledged").exists() and run_of(world, "one").outcome == "waiting")
    for peer in (ann, bob):
        peer.order("send", "one", "Answer", {"text": f"{peer.name} says so"}, f"event-{peer.name}")
    told = {peer.answer("send", "one")[0] for peer in (ann, bob)}
    assert "taken" in told
    assert told <= {"taken", "unhandled", "RunEnded"}
    for peer in (ann, bob):
        peer.order("finished", "one")
        peer.answer("finished", "one")
        peer.stop()
    assert run_of(world, "one").outcome == "completed"
    assert seen(world, "one", Parlour).count("taken") == 2


def test_a_run_agrees_with_its_replay_at_any_moment_while_the_other_advances_it(world: World):
    runs, replayed = ["a", "b", "c"], 0
    worker = world.begin("work", runs=runs)
    world.until(lambda: len({told[0] for told in world.told("acknowledged")}) == len(runs))
    reader = world.reader()
    while worker.is_alive():
        for run_id in runs:
            replay = replay_run(reader, run_id, Mill)
            assert replay.agreed, str(replay)
            replayed += 1
    reader.close()
    assert world.ended(worker) == 0, world.errors()
    assert replayed > len(runs)


# --- taking over ----------------------------------------------------------------------------------


@pytest.mark.parametrize("hint", [True, False], ids=["its lock is free", "only the lease tells"])
def test_after_kill_9_the_other_takes_over(hint: bool, world: World):
    lease_s = 60.0 if hint else LEASE_S
    ann, bob = (Peer.begin(world, name, lease_s=lease_s, stall_s_max=lease_s) for name in ("ann", "bob"))
    ann.order("start", "one", "Vault", {"text": "a"})
    world.until(lambda: attempts(world, "one"))
    if not hint:
        os.unlink(f"{world.db}-runner{run_of(world, 'one').owner}")
    ann.signal(signal.SIGKILL)
    began = time.monotonic()
    world.until(lambda: attempts(world, "one") == 2)
    assert time.monotonic() - began < TAKEOVER_S_MAX
    (world.folder / "gate-one-2").touch()
    bob.order("finished", "one")
    assert bob.answer("finished", "one")[0] == "completed"
    bob.stop()
    assert seen(world, "one", Vault) == ["started", "resumed", "ended"]
    assert not left(str(world.db)), "a dead runner's file was left"


def test_a_runner_that_stops_cleanly_leaves_its_runs_to_the_other_at_once(world: World):
    ann, bob = Peer.begin(world, "ann"), Peer.begin(world, "bob")
    ann.order("start", "one", "Vault", {"text": "a"})
    world.until(lambda: attempts(world, "one"))
    ann.stop()
    world.until(lambda: attempts(world, "one") == 2, TAKEOVER_S_MAX)
    (world.folder / "gate-one-2").touch()
    bob.order("finished", "one")
    assert bob.answer("finished", "one")[0] == "completed"
    bob.stop()
    assert seen(world, "one", Vault) == ["started", "resumed", "ended"]


@pytest.mark.parametrize("wakes", ["before", "after"], ids=["while the other works", "when all is over"])
def test_a_stopped_owner_that_wakes_after_the_takeover_is_fenced(wakes: str, world: World):
    ann, bob = (Peer.begin(world, name, lease_s=LEASE_S, stall_s_max=LEASE_S / 2) for name in ("ann", "bob"))
    ann.order("start", "one", "Vault", {"text": "a"})
    world.until(lambda: calls(world, "one") == ["intent", "outcome"])
    ann.pause()
    world.until(lambda: attempts(world, "one") == 2)
    for gate in ("gate-one-1",) if wakes == "before" else ("gate-one-1", "gate-one-2"):
        (world.folder / gate).touch()
    if wakes == "after":
        world.until(lambda: run_of(world, "one").ended)
    ann.signal(signal.SIGCONT)
    world.until(lambda: "nothing was written" in world.errors(ann.pid))
    (world.folder / "gate-one-2").touch()
    for peer in (ann, bob):
        peer.order("finished", "one")
        assert peer.answer("finished", "one")[0] == "completed"
    lives_on(world, ann)
    ann.stop()
    bob.stop()
    assert seen(world, "one", Vault) == ["started", "resumed", "ended"]
    assert {pid for run_id, seq, *_, pid in world.told("acknowledged") if (run_id, seq) == ("one", 2)} == {bob.pid}
    assert set(world.effects().values()) == {1}, "the call had finished; it was not made again"


def test_of_two_outcomes_of_one_call_the_first_counts_for_both(world: World):
    """The owner is stopped in a call, another makes it again, and the first outcome comes late after all."""
    ann, bob = (Peer.begin(world, name, lease_s=LEASE_S, stall_s_max=LEASE_S / 2) for name in ("ann", "bob"))
    ann.order("start", "one", "Vault", {"slow_call": True})
    world.until(lambda: len(world.effects()) == 2)
    ann.pause()
    world.until(lambda: calls(world, "one") == ["intent", "intent"])
    (world.folder / "call-one-1").touch()
    ann.signal(signal.SIGCONT)
    world.until(lambda: calls(world, "one") == ["intent", "intent", "outcome"])
    (world.folder / "call-one-2").touch()
    (world.folder / "gate-one-2").touch()
    bob.order("finished", "one")
    assert bob.answer("finished", "one")[0] == "completed"
    ann.stop()
    bob.stop()
    assert seen(world, "one", Vault) == ["started", "resumed", "ended"]
    reader = world.reader()
    last = reader.record(reader.run("one").key, 2)
    reader.close()
    assert last.body == b'{"not_before_ms":0,"text":"by attempt 1"}'
    assert sorted(times for key, times in world.effects().items() if key.startswith("one:")) == [2]


def test_an_agent_that_blocks_the_loop_past_the_lease_cannot_commit(world: World):
    ann, bob = (Peer.begin(world, name, lease_s=LEASE_S, stall_s_max=LEASE_S / 2) for name in ("ann", "bob"))
    ann.order("start", "one", "Vault", {"text": "a", "block_s": 4 * LEASE_S})
    world.until(lambda: attempts(world, "one") == 2)
    world.until(lambda: "nothing was written" in world.errors(ann.pid))
    (world.folder / "gate-one-2").touch()
    bob.order("finished", "one")
    assert bob.answer("finished", "one")[0] == "completed"
    lives_on(world, ann)
    ann.stop()
    bob.stop()
    assert seen(world, "one", Vault) == ["started", "resumed", "ended"]


def lives_on(world: World, peer: Peer) -> None:
    """This process still does its work."""
    (world.folder / "gate-two-1").touch()
    peer.order("start", "two", "Vault", {"text": "b"})
    peer.answer("start", "two")
    peer.order("finished", "two")
    assert peer.answer("finished", "two")[0] == "completed"
    assert {pid for run_id, *_, pid in world.told("acknowledged") if run_id == "two"} == {peer.pid}
    assert seen(world, "two", Vault) == ["started", "ended"]
