"""`fsm runs`, `fsm show` and `fsm why`, run as a user runs them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fsm import Runner, SqliteJournal, read_journal
from fsm.cli.parts.target import machine
from fsm.journal.search import Search, count, find, spent
from tests.cli.conftest import Fsm

LOOP = """\
from pydantic import BaseModel

from fsm import Machine, State, View, everywhere
from guards import LoopCap, TokenBudget


class Brief(BaseModel):
    topic: str

class Draft(BaseModel):
    text: str

class Review(BaseModel):
    good: bool


async def write(view: View[Brief | Review]) -> Draft:
    text = await view.call("model", lambda n: f"[red]take[/red] {n}\\x1b[2J", view.visit)
    view.spend(tokens=7)
    return Draft(text=text)

async def judge(view: View[Draft]) -> Review:
    return Review(good=False)

def is_good(review: Review) -> bool:
    return review.good


class Loop(Machine):
    draft  = State(initial=Brief, agent=write)
    review = State(agent=judge)
    done   = State(final="completed")

    submit  = draft.to(review, on=Draft)
    approve = review.to(done, on=Review, when=is_good)
    reject  = review.to(draft, on=Review, guards=[LoopCap(30)])
    limits  = everywhere(TokenBudget(9_000))
"""


@pytest.fixture
def looped(folder: Path) -> str:
    """A journal with a run of 63 records, stopped by a cap."""
    (folder / "loop.py").write_text(LOOP)
    loop = machine("loop.py:Loop")

    async def record() -> None:
        async with Runner(SqliteJournal("runs.db", synchronous="OFF"), handle_signals=False) as runner:
            await runner.start(loop, loop.spec.classes["Brief"](topic="[bold]x"), run_id="loop-1")
            await runner.settled("loop-1")

    asyncio.run(record())
    return "runs.db"


# --- runs -----------------------------------------------------------------------------------------


def test_runs_are_listed_the_newest_first(fsm: Fsm, two_runs: str):
    told = fsm("runs").output.splitlines()
    assert told[0].split() == ["run", "machine", "state", "outcome", "records", "since", "labels"]
    assert [line.split()[0] for line in told[1:]] == ["first-1", "fast-1"]
    assert told[2].split()[1:5] == ["Door", "hall", "waiting", "2"]
    assert told[2].endswith("team=fast")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--outcome", "ended"], ["first-1"]),
        (["--outcome", "waiting", "--outcome", "completed"], ["first-1", "fast-1"]),
        (["--outcome", "halted"], []),
        (["--label", "team=fast"], ["fast-1"]),
        (["--label", "team=fast", "--label", "x=y"], []),
        (["--state", "inside"], ["first-1"]),
        (["--machine", "Door"], ["first-1", "fast-1"]),
        (["--machine", "Gate"], []),
        (["--limit", "1"], ["first-1"]),
        (["--limit", "1", "--all"], ["first-1", "fast-1"]),
    ],
)
def test_runs_are_filtered(fsm: Fsm, two_runs: str, options: list[str], found: list[str]):
    assert [run["run_id"] for run in json.loads(fsm("runs", *options, "--json").output)] == found


def test_more_runs_than_shown_are_told(fsm: Fsm, two_runs: str):
    assert "1 more of 2 runs: fsm runs --all" in fsm("runs", "--limit", "1").output


def test_no_runs_say_what_to_do_next(fsm: Fsm, two_runs: str):
    assert fsm("runs", "--state", "nowhere").output == (
        "no run matches\n  -> leave something out, or list them all: fsm runs --all\n"
    )
    assert fsm("runs", "--label", "team").exit_code == 2
    assert fsm("runs", "--outcome", "sad").exit_code == 2


def test_without_a_journal_there_are_no_runs_yet(fsm: Fsm, folder: Path):
    told = fsm("runs")
    assert (told.exit_code, told.output) == (
        0,
        "no runs yet: runs.db is not there\n  -> start one: fsm run FILE.py:Machine --input JSON\n",
    )
    assert json.loads(fsm("runs", "--json").output) == []
    assert fsm("runs", "--db", "other.db").exit_code == 1  # a journal that was named is missed


def test_a_journal_of_many_runs_answers_at_once(fsm: Fsm, two_runs: str, folder: Path):
    import sqlite3

    connection = sqlite3.connect(folder / two_runs)
    columns = "machine, fingerprint, labels, state, outcome, seq, entered, attempt, head, owner, started_at_ms, at_ms"
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
        f" INSERT INTO run (run_id, {columns}) SELECT 'copy-' || i, {columns} FROM n, run WHERE run.run_id = 'fast-1'"
    )
    connection.commit()
    connection.close()
    reader = read_journal(folder / two_runs)
    try:
        begun = time.perf_counter()
        wanted = Search(labels={"team": "fast"}, outcomes=frozenset({"waiting"}))
        assert count(reader, wanted) == 100_001
        runs = find(reader, wanted, 20)
        assert len(spent(reader, [run.key for run in runs])) == 20
        assert time.perf_counter() - begun < 2
    finally:
        reader.close()


# --- show -----------------------------------------------------------------------------------------


def test_a_run_is_shown_with_its_path(fsm: Fsm, two_runs: str):
    told = fsm("show", "fast")
    assert told.exit_code == 0
    lines = told.output.splitlines()
    assert lines[0] == "run fast-1 of Door: waiting in hall"
    assert "  caps      stay 0 of 2 fires" in lines
    path = [line.split() for line in lines if line.strip()[:1].isdigit()]
    assert [line[:1] + line[3:5] for line in path] == [["0", "porch", "start"], ["1", "hall", "seen"]]
    assert 'Seen face="ann"' in told.output
    assert lines[-1] == "why it waits: fsm why fast-1"


def test_a_long_run_shows_its_beginning_its_end_and_what_refused(fsm: Fsm, looped: str):
    told = fsm("show", "loop").output
    assert "41 records" in told
    assert "… 63 records, 22 shown: fsm show loop-1 --all" in told
    assert "✗ LoopCap on reject refused firing 31 of 30" in told
    assert "caps      tokens 217 of 9,000, reject 30 of 30 fires" in told
    assert len(told.splitlines()) < 60
    everything = fsm("show", "loop", "--all").output
    assert sum(line.strip()[:1].isdigit() for line in everything.splitlines()) == 63
    assert "reject 30/30" in everything
    assert "· model ok; 7 tokens in all" in everything


def test_a_payload_is_text_and_nothing_else(fsm: Fsm, looped: str):
    for options in ([], ["--all"], ["--seq", "1"], ["--calls"]):
        told = fsm("show", "loop", *options).output
        assert "[red]take[/red] 1\\u001b[2J" in told
        assert "\x1b" not in told


def test_one_record_is_shown_whole(fsm: Fsm, looped: str):
    told = fsm("show", "loop", "--seq", "62").output
    assert told.startswith("record 62 of run loop-1: halted, it stays in review\n")
    assert "✗ LoopCap on reject refused firing 31 of 30; it declares no otherwise" in told
    assert "· approve: is_good answered no" in told
    assert '  "good": false' in told
    told = fsm("show", "loop", "--seq", "1").output
    assert "calls that led here\n  · model ok" in told
    assert "arguments [1]" in told
    result = fsm("show", "loop", "--seq", "63")
    assert (result.exit_code, "has records 0 to 62" in result.output) == (1, True)


def test_show_gives_one_document(fsm: Fsm, looped: str):
    found = json.loads(fsm("show", "loop", "--json").output)
    assert list(found) == ["run", "records", "calls"]
    assert [record["seq"] for record in found["records"]] == list(range(63))
    assert found["run"]["tokens"] == 217
    assert len(found["calls"]) == 62
    one = json.loads(fsm("show", "loop", "--seq", "1", "--json").output)
    assert (len(one["records"]), [call["kind"] for call in one["calls"]]) == (1, ["intent", "outcome"])


def test_an_unknown_run_is_not_found(fsm: Fsm, two_runs: str):
    for verb in ("show", "why"):
        assert fsm(verb, "nothing").exit_code == 1
        assert fsm(verb, "f").exit_code == 2  # both begin so


def test_following_a_run_ends_with_it(folder: Path, fsm: Fsm, two_runs: str):
    door = machine("door.py:Door")
    word = door.spec.classes["Word"]

    async def send() -> None:
        async with Runner("runs.db", machines=[door], handle_signals=False) as runner:
            await runner.send("fast-1", word(open=False))
            await runner.send("fast-1", word(open=True))

    sender = threading.Timer(0.3, lambda: asyncio.run(send()))
    sender.start()
    told = fsm("show", "fast-1", "--follow", "--json")
    sender.join()
    assert [json.loads(line)["hop"] for line in told.output.splitlines()] == ["start", "seen", "stay", "enter"]
    again = fsm("show", "fast-1", "--follow").output
    assert again.splitlines()[-2].split()[3:5] == ["inside", "enter"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_following_without_a_traceback(fsm: Fsm, two_runs: str):
    command = [sys.executable, "-m", "fsm", "show", "fast-1", "--follow"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as follow:
        assert follow.stdout is not None
        while "seen" not in (line := follow.stdout.readline()):
            assert line, "it ended before its last record"
        follow.send_signal(signal.SIGINT)
        assert follow.stdout.read().strip() == ""
        assert follow.wait(timeout=20) == 0


# --- why ------------------------------------------------------------------------------------------


def why(fsm: Fsm, *arguments: str) -> tuple[int, dict[str, Any]]:
    result = fsm("why", *arguments, "--json")
    return result.exit_code, json.loads(result.output)


def test_why_tells_what_a_run_waits_for_and_what_to_type(fsm: Fsm, two_runs: str):
    result = fsm("why", "fast")
    assert result.exit_code == 3
    assert "waits in `hall` for Word, 1 d 23 h left of its 2 d timeout" in result.output
    assert "fsm send fast-1 Word --payload '{\"open\": false}' -m FILE.py:Door\n" in result.output


def test_why_of_an_ended_run(fsm: Fsm, two_runs: str):
    assert why(fsm, "first")[0] == 0
    assert why(fsm, "first")[1]["answer"] == "ended, completed in `inside`: nothing to move"


def test_why_names_file_and_line_where_the_code_is_at_hand(fsm: Fsm, looped: str):
    code, alone = why(fsm, "loop")
    assert (code, alone["case"], alone["asked"][0]["where"]) == (1, "stopped", "")
    _, found = why(fsm, "loop", "-m", "loop.py:Loop")
    assert found["asked"][0]["where"] == "loop.py:36"
    assert "raise LoopCap(30) on `reject` (loop.py:36), or give it an otherwise" in found["moves"][0]["text"]
    assert found["moves"][0]["command"] == "fsm resume loop-1 --accept -m loop.py:Loop"


def test_why_tells_when_the_machine_has_changed(fsm: Fsm, looped: str, folder: Path):
    (folder / "changed.py").write_text(LOOP.replace("LoopCap(30)", "LoopCap(40)"))
    _, found = why(fsm, "loop", "-m", "changed.py:Loop")
    assert any("transitions.reject.guards.0.params.limit: 30 -> 40" in note for note in found["notes"])


def test_why_answers_although_the_code_of_the_project_is_broken(fsm: Fsm, two_runs: str, folder: Path):
    (folder / "pyproject.toml").write_text('[tool.fsm]\nmachines = ["broken.py:Door"]\n')
    (folder / "broken.py").write_text("import nothing_of_this_name\n")
    code, found = why(fsm, "fast")
    assert (code, found["case"]) == (3, "waits")
    assert "the project's machines cannot be loaded" in found["notes"][-1]


def test_why_of_a_run_whose_runner_was_killed(fsm: Fsm, folder: Path):
    (folder / "slow.py").write_text(LOOP.replace("async def judge(view: View[Draft]) -> Review:", SLOW))
    program = "from slow import *; from fsm import run; run(Loop, Brief(topic='x'), db='runs.db', run_id='slow')"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parent.parent.parent)])}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"here\n"
        _, running = why(fsm, "slow")
        (at_work,) = json.loads(fsm("runs", "--json").output)
        assert (at_work["outcome"], at_work["left"]) == ("running", False)
        process.kill()
        process.wait()
    _, left = why(fsm, "slow")
    assert "running, nobody at work" in fsm("runs").output
    assert fsm("show", "slow").output.startswith("run slow of Loop: running, nobody at work in review\n")
    (listed,) = json.loads(fsm("runs", "--json").output)
    shown = json.loads(fsm("show", "slow", "--json").output)["run"]
    assert (listed["outcome"], listed["left"], shown["left"]) == ("running", True, True)
    assert (running["case"], left["case"]) == ("running", "left")
    assert f"(pid {process.pid}, alive)" in running["answer"]
    assert "call `model` open for" in running["answer"]
    assert left["answer"].startswith("nobody advances it: its runner ")
    assert left["answer"].endswith("; `fsm resume slow -m FILE.py:Loop` goes on")
    assert left["moves"][0]["command"] == "fsm resume slow -m FILE.py:Loop"


SLOW = """async def judge(view: View[Draft]) -> Review:
    import asyncio

    async def hang() -> None:
        print("here", flush=True)
        await asyncio.Event().wait()

    await view.call("model", hang)"""


PAID = """\
from pydantic import BaseModel

from fsm import CallRefused, Machine, State, Usage, View


class Ask(BaseModel):
    pass

class Told(BaseModel):
    pass


async def work(view: View[Ask]) -> Told:
    view.spend(Usage(100, 20, cached=60), model="large", usd_micros=900)
    await view.call("model", lambda: view.spend(Usage(5, 5), model="small", usd_micros=1))
    await view.call("model", lambda: None, tokens_max=900)
    return Told()


class Paid(Machine):
    work  = State(initial=Ask, agent=work, tokens_max=1_000)
    done  = State(final="completed")
    broke = State(final="failed")

    ok  = work.to(done, on=Told)
    cut = work.to(broke, on=CallRefused)
"""


def test_the_usage_of_a_run_by_model_and_a_call_that_was_not_made(folder: Path, fsm: Fsm) -> None:
    (folder / "paid.py").write_text(PAID, encoding="utf-8")
    paid = machine("paid.py")

    async def record() -> None:
        async with Runner(SqliteJournal("runs.db", synchronous="OFF"), handle_signals=False) as runner:
            await runner.start(paid, paid.spec.classes["Ask"](), run_id="r")
            await runner.settled("r")

    asyncio.run(record())
    large, small = "large 100 tokens in (60 cached), 20 out, 1 request, $0.0009", "small 5 tokens in, 5 out, 1 request"
    for shown in (fsm("show", "r").output, fsm("show", "r", "--seq", "1").output):
        assert f"usage     {large}" in shown, shown
        assert f"usage     {small}" in shown
    assert "call model: 130 of 1,000 tokens, 900 asked (tokens_max)" in fsm("show", "r").output
    document = json.loads(fsm("show", "r", "--json").output)
    assert [(line["model"], line["input"], line["usd_micros"]) for line in document["run"]["usage"]] == [
        ("large", 100, 900),
        ("small", 5, 1),
    ]
    assert document["records"][1]["usage"] == document["run"]["usage"]
    assert "usage" not in document["records"][0]
