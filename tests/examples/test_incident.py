"""The incident: what the services saw and what the journal says, scene by scene, and under kill -9."""

import contextlib
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.incident.machine import Alert, Filed, Findings, Incident
from examples.incident.scenes import BROKEN, SCENES, Scene, Story, play
from examples.incident.services import Services, Trouble
from fsm import CallRefused, Record, Run, read_journal
from fsm.journal.rows import Call
from fsm.testing import MovableClock, assert_replays, table
from tests.crash.world import KILLED, processes
from tests.examples.responders import work
from tests.helpers import running

ROOT = Path(__file__).parents[2]
SCENE = {scene.name: scene for scene in SCENES}

WAYS = {
    "three-500s": "start blind told",
    "garbage": "start investigate.retry found told",
    "hang": "start found respond.retry told",
    "retry-after": "start found respond.retry told",
    "no-reports": "start found respond.retry respond.retry respond.fails told",
    "all-at-once": "start investigate.retry found respond.retry told",
}
SEEN = {
    "three-500s": {"metrics": 3, "reports": 1},
    "garbage": {"metrics": 6, "reports": 1},
    "hang": {"metrics": 4, "reports": 2},
    "retry-after": {"metrics": 4, "reports": 2},
    "no-reports": {"metrics": 4, "reports": 3, "pages": 1},
    "all-at-once": {"metrics": 7, "reports": 2},
}


async def played(db: Path, scene: Scene, late_s: float = 0.0) -> Story:
    """A scene under a clock that moves to the end of each pause, and `late_s` beyond."""
    clock = MovableClock()

    def wait_is_over(_: Run, record: Record) -> None:
        if record.kind == "retried":
            assert record.until_ms is not None
            clock.advance((record.until_ms - clock.now_ms()) / 1000 + late_s)

    async with running(db, clock=clock, observers=[wait_is_over]) as runner:
        return await play(runner, scene, scene.name)


def pauses_ms(story: Story) -> list[int]:
    return [(record.until_ms or 0) - record.at_ms for record in story.records if record.kind == "retried"]


def way(story: Story) -> str:
    return " ".join(record.hop or record.kind for record in story.records)


# --- the scenes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENE)
async def test_a_scene_takes_its_way_and_both_sides_count_the_same(db, name):
    story = await played(db, SCENE[name])
    assert (way(story), story.run.outcome) == (WAYS[name], "completed")
    assert story.seen == story.attempts == Counter(SEEN[name])
    assert story.filed == 1
    assert story.agreed


async def test_after_three_500s_the_run_leaves_by_its_declared_way_in_the_middle_of_the_visit(db):
    story = await played(db, SCENE["three-500s"])
    left = story.records[1]
    refused = CallRefused.model_validate_json(left.body or b"")
    assert refused == CallRefused(call="metrics", code="strikes", numbers={"strikes": 3, "strikes_max": 3}, attempt=1)
    assert (left.kind, left.source, left.hop, left.state) == ("taken", "investigate", "blind", "respond")
    assert (left.attempt, left.strikes) == (1, {"metrics": 3})
    assert left.spent.tokens == 160, "the question that was not asked had been paid for"


async def test_strikes_count_through_retries_and_refuse_the_next(db):
    scene = Scene("spread", "", metrics=["ok", "ok", "500", "500", "500"])
    story = await played(db, scene)
    assert way(story) == "start investigate.retry blind told"
    assert [record.strikes for record in story.records] == [{}, {"metrics": 2}, {"metrics": 3}, {}]
    assert story.seen == story.attempts == Counter(metrics=5, reports=1)


async def test_a_success_begins_the_count_again(db):
    story = await played(db, Scene("mixed", "", metrics=["500", "500", "ok", "500", "500"]))
    assert way(story) == "start investigate.retry investigate.retry found told"
    assert [record.strikes.get("metrics") for record in story.records] == [None, 1, 0, 0, None]


async def test_the_server_s_word_on_when_to_come_back_is_kept_up_to_the_cap(db):
    assert pauses_ms(await played(db, SCENE["retry-after"])) == [1_000]


async def test_pauses_grow(db):
    first, second = pauses_ms(await played(db, SCENE["no-reports"]))
    assert 50 <= first <= 100 <= second <= 200


async def test_a_retry_beyond_the_deadline_is_not_made(db):
    story = await played(db, Scene("late", "", reports=BROKEN), late_s=60)
    assert way(story) == "start found respond.retry respond.fails told"
    (refusal,) = [ruling for ruling in story.records[3].rulings if ruling.verdict.decision == "refuse"]
    assert (refusal.guard, refusal.at, refusal.verdict.code) == ("Deadline", "limits", "deadline")
    assert story.seen == story.attempts == Counter(metrics=4, reports=1, pages=1)  # nor is one that comes too late


def test_every_state_has_an_answer_to_every_event():
    found = table(Incident, [Alert(service="", site=""), Findings(readings=[]), Filed(place="", number=1)])
    failed = {event: hop for (state, event), hop in found.items() if state == "investigate" and hop != "unhandled"}
    assert failed == {
        "Findings": "found -> respond",
        "CallRefused": "blind -> respond",
        "AgentFailed": "failed -> respond",
        "TimedOut": "investigate.retry -> investigate",
        "PayloadInvalid": "investigate.retry -> investigate",
        "CallUnsure": "stuck",
        "Cancelled": "cancelled",
    }
    assert found["respond", "AgentFailed"] == "respond.fails -> respond.fallback"
    assert found["respond.fallback", "AgentFailed"] == "lost -> unfiled"


# --- kills ----------------------------------------------------------------------------------------

AT_ONCE = 4
AROUND = ("call.intended", "call.executed", "call.settled")
LIFE_S_MAX = 0.6
PATIENCE_S = 60.0


@pytest.mark.parametrize(("seed", "kills"), [(5, 6), *(pytest.param(n, 80, marks=pytest.mark.slow) for n in (1, 2))])
def test_whoever_dies_no_request_is_made_that_the_journal_does_not_know(db, seed, kills):
    """Every other process dies at any moment, the others around a call."""
    rng = random.Random(seed)
    runs: list[str] = []
    batch: list[str] = []
    killed = in_flight = 0
    metrics, reports = moods(random.Random(rng.random())), moods(random.Random(rng.random()))
    with Services(retry_after_s=0, metrics=metrics, reports=reports, pages=["hang", "500"]) as services:
        assert lived(None, rng, db, services.site, []) == 0  # there is a journal to look into, whoever dies first
        while batch or killed < kills:
            if not batch:
                batch = [f"run-{len(runs) + n}" for n in range(AT_ONCE)]
                runs += batch
            code = lived(killed if killed < kills else None, rng, db, services.site, batch)
            if code == 0:
                batch = []
            else:
                assert code == KILLED
                killed += 1
                in_flight = without_outcome(db)
    attempts, seen = attempted(db), services.seen
    assert killed == kills and in_flight
    assert without_outcome(db) == in_flight, "only a kill leaves an attempt without its outcome"
    assert seen <= attempts
    assert seen.total() <= attempts.total() <= seen.total() + in_flight
    assert len(services.filed) <= 2 * len(runs), "each at most once, as a report and as a page"
    assert assert_replays(db, Incident) == len(runs)
    with contextlib.closing(read_journal(db)) as reader:
        assert {run.outcome for run in reader.runs()} <= {"completed", "failed"}
    print(
        f"\n{killed} kills, {len(runs)} runs: {seen.total()} requests seen, {attempts.total()} attempted, "
        f"{in_flight} in flight at the kills"
    )


def lived(nth: int | None, rng: random.Random, db: Path, site: str, runs: list[str]) -> int:
    """The exit code of a process that worked on these runs; the `nth` to be killed dies, if it is not done before."""
    point, passes, life_s = "", 0, PATIENCE_S
    if nth is not None and nth % 2:
        point, passes = AROUND[nth // 2 % len(AROUND)], rng.randint(1, 12)
    elif nth is not None:
        life_s = rng.uniform(0, LIFE_S_MAX)
    process = processes.Process(target=work, args=(db, site, runs, point, passes))
    process.start()
    process.join(life_s)
    process.kill()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def moods(rng: random.Random) -> Iterator[Trouble]:
    troubles: list[Trouble] = ["500", "429", "hang", "garbage", "wrong"]
    while True:
        yield rng.choice(troubles) if rng.random() < 0.3 else "ok"


def calls(db: Path) -> list[Call]:
    with contextlib.closing(read_journal(db)) as reader:
        return [call for run in reader.runs() for call in reader.calls(run.key)]


def attempted(db: Path) -> Counter[str]:
    """The intents, by the name of the call."""
    return Counter(call.name for call in calls(db) if call.kind == "intent")


def without_outcome(db: Path) -> int:
    """How many intents have none."""
    kinds = Counter(call.kind for call in calls(db))
    return kinds["intent"] - kinds["outcome"]


# --- the command ----------------------------------------------------------------------------------


def told(place: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", *arguments],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_tells_each_scene_and_where_to_look_further(tmp_path):
    done = told(tmp_path, "examples.incident", "three-500s", "no-reports")
    assert (done.returncode, done.stderr) == (0, "")
    assert "requests seen by the services: 4 (metrics 3, reports 1) = attempts in the journal; filed: 1" in done.stdout
    assert "requests seen by the services: 8 (metrics 4, pages 1, reports 3) = attempts in the journal" in done.stdout
    assert "respond           call metrics: 3 failures in a row, limit 3 (strikes)" in done.stdout
    assert "Retry on respond.retry refuses (attempts_max: fires 2, fires_max 2)" in done.stdout
    printed = re.findall(r"→ (fsm (?:why|replay) .*)", done.stdout)
    assert len(printed) == 4
    for command in printed:
        again = told(tmp_path, *command.split())
        assert again.returncode == 0, again.stderr


def test_a_scene_that_there_is_not_is_named(tmp_path):
    done = told(tmp_path, "examples.incident", "three-400s")
    assert done.returncode == 2
    assert "three-400s" in done.stderr and "three-500s" in done.stderr
