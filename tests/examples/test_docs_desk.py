"""The docs desk from outside: real commands on a small folder, and the journals they leave."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import read_journal, replay_run
from fsm.testing import trace
from machines.review_loop import ReviewLoop
from tests.examples.notes import ALARMS, write_notes

ROOT = Path(__file__).parents[2]
MODULE = "examples.docs_desk"
ANSWERED = "how do I silence an alarm for a night?"
TWICE = "how do I dim a lamp when an alarm is raised?"  # found after one rejection
UNANSWERED = "how much does an alarm horse cost?"
MINUTE = 60.0

Done = subprocess.CompletedProcess[str]


class Desk:
    """The command, started in a folder of its own with notes beside it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.db = place / "runs.db"
        write_notes(place / "notes")
        self.options: dict[str, Any] = {
            "cwd": place,
            "env": {**os.environ, "PYTHONPATH": str(ROOT), "DOCS_DESK_CACHE": str(place / "cache"), "TERM": "xterm"},
            "stdin": subprocess.DEVNULL,
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", MODULE, *arguments]

    def __call__(self, *arguments: str) -> Done:
        return self.done(self.command(*arguments))

    def done(self, command: str | list[str]) -> Done:
        """A command carried out; as a text it goes through a shell, as if pasted."""
        shell = isinstance(command, str)
        return subprocess.run(
            command, shell=shell, capture_output=True, text=True, timeout=MINUTE, check=False, **self.options
        )

    def ask(self, question: str, *arguments: str) -> Done:
        return self(question, "--folder", "notes", *arguments)

    def begun(self, *arguments: str) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        return subprocess.Popen(self.command(*arguments), stdout=pipe, stderr=pipe, text=True, **self.options)

    def trace(self, run_id: str) -> list[tuple[str, str, str, str, str]]:
        reader = read_journal(self.db)
        try:
            return trace(reader, run_id)
        finally:
            reader.close()

    def kinds(self, run_id: str) -> list[str]:
        reader = read_journal(self.db)
        try:
            return [record.kind for record in reader.records(reader.run(run_id).key)]
        finally:
            reader.close()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MINUTE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def assert_replays_without_agents(desk: Desk, run_id: str) -> None:
    def never(view: Any) -> BaseModel:
        raise AssertionError("replay called an agent")

    mute = ReviewLoop.with_agents(research=never, draft=never, review=never)
    for replay in (replay_run(desk.db, run_id, mute), replay_run(desk.db, run_id)):
        assert replay.agreed, str(replay)


# --- answers --------------------------------------------------------------------------------------


def test_an_answer_is_published_with_its_citation_its_way_its_cost_and_its_replay(desk):
    done = desk.ask(ANSWERED, "--run-id", "night")
    assert done.returncode == 0, done.stderr
    assert "[1] alarms.md:4: To silence an alarm, acknowledge it in the console, or mute" in done.stdout
    assert [line.split()[2:4] for line in done.stdout.split("\n") if re.match(r" +\d+\.\d{3} s", line)] == [
        ["research", "start"],
        ["draft", "found"],
        ["review", "written"],
        ["published", "approve"],
    ]
    assert re.search(r"^spent: [1-9]\d* of 200,000 tokens, 3 of 100 hops, ", done.stdout, re.MULTILINE)
    assert "replay: 4 records decided again without agents: every decision came out the same" in done.stdout
    assert "ReviewLoop: every run ends  (by its caps); at most 13 hops, 1 approval" in done.stdout
    assert_replays_without_agents(desk, "night")


def test_the_same_command_again_tells_the_same_and_works_no_more(desk):
    first, again = (desk.ask(TWICE, "--run-id", "told") for _ in range(2))
    assert (first.returncode, again.returncode) == (0, 0)
    assert "reject" in first.stdout
    assert first.stdout.partition("\nrun told")[2] == again.stdout.partition("\nrun told")[2]


def test_on_a_terminal_the_machine_is_drawn_and_nothing_is_wider_than_it(desk):
    ours, theirs = pty.openpty()
    options = {**desk.options, "env": {**desk.options["env"], "COLUMNS": "80", "LINES": "40"}}
    with subprocess.Popen(
        desk.command(TWICE, "--folder", "notes"), stdout=theirs, stderr=subprocess.STDOUT, **options
    ) as process:
        os.close(theirs)
        written = b"".join(chunks(ours))
    os.close(ours)
    shown = re.sub(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\]8;[^\x1b]*\x1b\\)", "", written.decode()).replace("\r\n", "\n")
    assert process.returncode == 0, shown
    last_frame = shown[shown.rindex("╭─▶") :]
    assert "◆ published" in last_frame
    assert "rejected 1 of 3" in last_frame
    assert "╭─ Answer: how do I dim a lamp" in last_frame
    assert max(map(len, last_frame.split("\n"))) <= 80


def chunks(descriptor: int) -> Any:
    """What is written to a terminal until nobody holds its other end."""
    while True:
        try:
            chunk = os.read(descriptor, 65_536)
        except OSError:
            return
        if not chunk:
            return
        yield chunk


# --- a person -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state", "outcome"), [("approve", "published", "completed"), ("refuse", "dropped", "failed")]
)
def test_without_an_answer_the_run_waits_for_a_person_whose_word_comes_from_another_process(desk, word, state, outcome):
    asked = desk.ask(UNANSWERED, "--run-id", "a horse")
    assert asked.returncode == 3, asked.stderr
    assert "✗ LoopCap 3/3 fires" in asked.stdout
    assert "why: 4 drafts rejected. There is nothing to cite. No claim says alarm, horse, cost." in asked.stdout
    assert "LoopCap on reject refuses (loop_cap: fires 3, fires_max 3)" in asked.stdout
    reader = read_journal(desk.db)
    run = reader.run("a horse")
    last = reader.record(run.key, run.seq)
    reader.close()
    assert (run.state, run.outcome, last.hop) == ("person", "waiting", "reject.otherwise")
    refusal = next(ruling for ruling in last.rulings if ruling.verdict.decision == "refuse")
    assert (refusal.guard, refusal.verdict.numbers) == ("LoopCap", {"fires": 3, "fires_max": 3})
    assert_replays_without_agents(desk, "a horse")

    printed = dict(re.findall(r"^continue: (.* (approve|refuse) .*)$", asked.stdout, re.MULTILINE))
    command = next(line for line, named in printed.items() if named == word)
    sent = desk.done(command)
    assert sent.returncode == 0, sent.stderr
    assert "by YOUR_NAME" in sent.stdout
    assert desk.trace("a horse")[-1][2:4] == ("accept" if word == "approve" else "drop", state)
    assert_replays_without_agents(desk, "a horse")

    late = desk.done(command)
    assert late.returncode == 1
    assert f"run 'a horse' has ended ({outcome})" in late.stderr


# --- interruptions --------------------------------------------------------------------------------


@pytest.fixture
def undisturbed(desk: Desk) -> list[tuple[str, str, str, str, str]]:
    done = desk.ask(TWICE, "--run-id", "calm")
    assert done.returncode == 0, done.stderr
    return desk.trace("calm")


def interrupted(desk: Desk, records: int, number: int) -> "tuple[int, str, str]":
    """A paced run that got a signal once it had so many records: exit code, output, errors."""
    process = desk.begun(TWICE, "--folder", "notes", "--run-id", "rough", "--pace", "0.5")
    until(lambda: "rough" in runs(desk) and len(desk.kinds("rough")) >= records)
    process.send_signal(number)
    out, err = process.communicate(timeout=MINUTE)
    return process.returncode, out, err


def runs(desk: Desk) -> set[str]:
    reader = read_journal(desk.db)
    try:
        return {run.run_id for run in reader.runs()}
    finally:
        reader.close()


def test_a_killed_run_is_continued_by_the_same_command(desk, undisturbed):
    code, _, _ = interrupted(desk, 3, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert "taken" in desk.kinds("rough")
    assert len(desk.trace("rough")) < len(undisturbed)
    again = desk.ask(TWICE, "--run-id", "rough")
    assert again.returncode == 0, again.stderr
    assert "taken over: its process died" in again.stdout
    assert desk.kinds("rough").count("resumed") == 1
    assert desk.trace("rough") == undisturbed
    assert_replays_without_agents(desk, "rough")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on_and_does(desk, undisturbed, number):
    code, _, err = interrupted(desk, 2, number)
    assert code == 130
    assert "Traceback" not in err
    on = err.partition("To go on:\n")[2].strip()
    again = desk.done(on)
    assert again.returncode == 0, again.stderr
    assert "taken over where it was left" in again.stdout
    assert desk.trace("rough") == undisturbed
    assert_replays_without_agents(desk, "rough")


# --- wrong use ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["how do I do it?", "--folder", "notes"], 2, "stop words alone are not enough"),
        ([ANSWERED, "--folder", "gone"], 2, "'gone' does not exist"),
        ([ANSWERED, "--folder", "empty"], 1, "no text, Markdown or Python files in"),
        ([ANSWERED, "--folder", "notes", "--db", "notes/alarms.md"], 1, "notes/alarms.md: it is not a SQLite file"),
        ([ANSWERED, "--folder", "notes", "--db", "gone/runs.db"], 1, "create the folder, or give another path"),
        (["send", "a run", "approve", "--by", "Ada"], 1, "there is no journal runs.db"),
        (["send", "a run", "perhaps", "--by", "Ada"], 2, "'perhaps' is not one of"),
    ],
)
def test_wrong_use_says_what_to_do_instead(desk, arguments, code, message):
    (desk.place / "empty").mkdir()
    done = desk(*arguments)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert (desk.place / "notes" / "alarms.md").read_text() == ALARMS


def test_a_run_id_stands_for_one_question_and_one_journal(desk):
    assert desk.ask(ANSWERED, "--run-id", "mine").returncode == 0
    other = desk.ask(UNANSWERED, "--run-id", "mine")
    assert other.returncode == 1
    assert "run 'mine' exists and began with" in other.stderr
    unknown = desk("send", "yours", "approve", "--by", "Ada")
    assert unknown.returncode == 1
    assert "no run 'yours' in runs.db" in unknown.stderr
