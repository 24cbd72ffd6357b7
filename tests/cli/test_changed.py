"""A machine is changed: which recorded runs would go another way, as the command and a user's CI say it."""

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest

from fsm import Machine, Runner, read_journal
from fsm.cli.parts.target import machine
from fsm.testing import assert_covered, assert_replays
from tests.cli.conftest import Fsm

DESK = """\
from pydantic import BaseModel

from fsm import Machine, State, TimedOut, View, days, never
from guards import LoopCap


class Brief(BaseModel):
    topic: str

class Draft(BaseModel):
    text: str

class Review(BaseModel):
    good: bool

class Word(BaseModel):
    by: str


async def write(view: View[Brief | Review]) -> Draft:
    return Draft(text=f"take {view.visit}")

async def judge(view: View[Draft]) -> Review:
    return Review(good=view.payload.text == f"take {view.run_id[-1]}")

def is_good(review: Review) -> bool:
    return review.good


class Desk(Machine):
    draft = State(initial=Brief, agent=write)
    review = State(agent=judge)
    person = State(timeout_s=days(2))
    published = State(final="completed")
    dropped = State(final="failed")

    submit = draft.to(review, on=Draft)
    approve = review.to(published, on=Review, when=is_good)
    reject = review.to(draft, on=Review, guards=[LoopCap(3)], otherwise=person)
    accept = person.to(published, on=Word)
    drop = person.to(dropped, on=TimedOut)

    is_reviewed = never(published, before=submit)
"""

RUNS = ("run-1", "run-2", "run-3", "run-4", "run-5", "run-9")
"""Each is approved at the take that its last figure says; from the fifth on a person is asked before that."""


def rewritten(folder: Path, was: str, now: str) -> type[Machine]:
    """The machine after an edit of its file, imported anew."""
    text = (folder / "desk.py").read_text()
    assert was in text
    (folder / "desk.py").write_text(text.replace(was, now))
    sys.modules.pop("desk", None)
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    return machine("desk.py:Desk")


@pytest.fixture
def desk(folder: Path) -> type[Machine]:
    """The machine that six runs in the folder `kept` were recorded with."""
    (folder / "desk.py").write_text(DESK)
    (folder / "kept").mkdir()
    desk = machine("desk.py:Desk")

    async def record() -> None:
        async with Runner("kept/runs.db", handle_signals=False) as runner:
            for run_id in RUNS:
                await runner.start(desk, desk.spec.classes["Brief"](topic="t"), run_id=run_id)
                await runner.settled(run_id)

    asyncio.run(record())
    return desk


def test_a_cap_is_raised_and_ci_says_which_kept_runs_change_and_how(fsm: Fsm, folder: Path, desk: type[Machine]):
    """The story of cap 3 that becomes 5; what it takes to go on from there is in the commands it ends with."""
    assert assert_replays("kept", desk) == len(RUNS)
    raised = rewritten(folder, "LoopCap(3)", "LoopCap(5)")
    with pytest.raises(AssertionError) as caught:
        assert_replays("kept", raised)
    told = str(caught.value).splitlines()
    assert told[1:] == [
        "  transitions.reject.guards.0.params.limit: 3 -> 5",
        "  proof lost: at most 9 hops; today at most 13 hops",
        "",
        "Desk: 2 of 6 runs would go another way today; 4 go as recorded",
        "  only the first difference is told: what comes after it nobody knows without the agents",
        "",
        "bound_moved: a limit was moved, 2 runs",
        *(
            line
            for run_id in ("run-5", "run-9")
            for line in (
                f"  run {run_id}, record 8: LoopCap(3) on reject refused here (loop_cap: fires 3, fires_max 3);"
                " today's LoopCap(5) lets it pass (fires 3, fires_max 5)",
                "    recorded: taken on Review: review -> person by reject.otherwise"
                " (LoopCap on reject refuses (loop_cap: fires 3, fires_max 3))",
                "    today:    taken on Review: review -> draft by reject",
                f"    → fsm show {run_id} --seq 8 --db kept/runs.db",
                f"    → fsm fork {run_id} --at 7 --db kept/runs.db -m FILE.py:Desk",
            )
        ),
        "-> if the machine is to be as it is now, fork what should go on, and replace the kept runs by new ones;"
        " else undo the change",
    ]
    assert fsm("show", "run-9", "--seq", "8", "--db", "kept/runs.db").exit_code == 0
    (fork,) = (line.partition("→ fsm ")[2] for line in told if "fork run-5" in line)
    forked = fsm(*fork.replace("FILE.py", "desk.py").split(), "--as", "run-6", "--yes")
    assert forked.exit_code == 0, forked.output
    shown = fsm("show", "run-6", "--db", "kept/runs.db").output
    assert "completed in published" in shown and "forked from run-5 at record 7" in " ".join(shown.split())
    again = fsm("replay", "--against", "desk.py:Desk", "--db", "kept/runs.db")
    assert "Desk: 2 of 7 runs would go another way today; 5 go as recorded" in again.output


def test_the_command_says_the_same_and_fails(fsm: Fsm, folder: Path, desk: type[Machine]):
    unchanged = fsm("replay", "--against", "desk.py:Desk", "--db", "kept/runs.db")
    assert (unchanged.exit_code, unchanged.output) == (0, "Desk: all 6 runs go as recorded under today's machine\n")
    rewritten(folder, "LoopCap(3)", "LoopCap(1)")
    result = fsm("replay", "--all", "--against", "desk.py:Desk", "--db", "kept/runs.db")
    assert result.exit_code == 1
    assert "Desk: 4 of 6 runs would go another way today; 2 go as recorded\n" in result.output
    assert "LoopCap(3) on reject let it pass here (fires 1, fires_max 3); today's LoopCap(1) refuses" in result.output
    assert "  … and 1 run more" in result.output
    assert "    → fsm fork run-3 --at 3 --db kept/runs.db -m desk.py:Desk\n" in result.output
    one = fsm("replay", "run-2", "--against", "desk.py:Desk", "--db", "kept/runs.db")
    assert one.exit_code == 0 and one.output.endswith("Desk: its run goes as recorded under today's machine\n")


def test_programs_get_every_run(fsm: Fsm, folder: Path, desk: type[Machine]):
    rewritten(folder, "LoopCap(3)", "LoopCap(5)")
    told = json.loads(fsm("replay", "--against", "desk.py:Desk", "--db", "kept/runs.db", "--json").output)
    assert (told["machine"], told["diverging"], told["kinds"]) == ("Desk", 2, {"bound_moved": 2})
    assert [run["run_id"] for run in told["runs"]] == [*RUNS]
    assert [run["divergence"] and run["divergence"]["seq"] for run in told["runs"]] == [None] * 4 + [8, 8]
    assert [lost["what"] for lost in told["changed"][0]["lost"]] == ["worst"]


@pytest.mark.parametrize(
    ("was", "now", "lost"),
    [
        (
            "guards=[LoopCap(3)], otherwise=person",
            "",
            "ends or halts (by its caps); today a run may go on for ever",
        ),
        (
            "timeout_s=days(2)",
            "",
            "(by its caps); today every run ends or halts, or waits at `person`",
        ),
        ("    is_reviewed = never(published, before=submit)\n", "", "is kept; today nobody promises it"),
        ("before=submit", "before=drop", "is kept; today it is broken"),
    ],
)
def test_what_is_proved_no_more_is_told_once(
    fsm: Fsm, folder: Path, desk: type[Machine], was: str, now: str, lost: str
):
    rewritten(folder, was, now)
    output = fsm("replay", "--against", "desk.py:Desk", "--db", "kept/runs.db").output
    assert [line for line in output.splitlines() if "proof lost" in line and lost in line], output


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--against", "desk.py:Desk", "-m", "desk.py:Desk"), 2, "leave out -m, --alone, --scenario"),
        (("run-1", "--against", "door.py:Door"), 2, "run run-1 is of Desk, not of Door"),
        (("--against", "door.py:Door"), 1, "kept/runs.db has no run of Door; it has runs of Desk"),
        (("run-7", "--against", "desk.py:Desk"), 1, "no run 'run-7'"),
    ],
)
def test_what_cannot_be_held_against_it_is_said(
    fsm: Fsm, desk: type[Machine], arguments: tuple[str, ...], code: int, told: str
):
    result = fsm("replay", *arguments, "--db", "kept/runs.db")
    assert result.exit_code == code
    assert told in result.output


def test_a_folder_without_journals_keeps_nothing(tmp_path: Path):
    with pytest.raises(
        FileNotFoundError, match=r"holds no journal \(\*\.db\) and no export \(\*\.jsonl\)\n  -> fsm backup"
    ):
        assert_replays(tmp_path)


def test_runs_of_several_journals_are_told_together(folder: Path, desk: type[Machine]):
    shutil.copy("kept/runs.db", "kept/more.db")
    assert assert_replays("kept", desk) == 2 * len(RUNS)
    raised = rewritten(folder, "LoopCap(3)", "LoopCap(4)")
    with pytest.raises(AssertionError, match="4 of 12 runs would go another way today; 8 go as recorded"):
        assert_replays("kept", raised)


def test_exports_are_kept_runs_as_well(fsm: Fsm, folder: Path, desk: type[Machine]):
    (folder / "exported").mkdir()
    assert fsm("export", "--all", "--db", "kept/runs.db", "--out", "exported/runs.jsonl").exit_code == 0
    assert assert_replays("exported", desk) == len(RUNS)
    text = (folder / "exported" / "runs.jsonl").read_text()
    raised = rewritten(folder, "LoopCap(3)", "LoopCap(5)")
    with pytest.raises(AssertionError) as caught:
        assert_replays("exported", raised)
    told = str(caught.value)
    assert "Desk: 2 of 6 runs would go another way today" in told
    assert "    → fsm import exported/runs.jsonl --unfinished --db scratch.db\n" in told
    assert "    → fsm show run-5 --seq 8 --db scratch.db\n" in told
    assert "    → fsm fork run-5 --at 7 --db scratch.db -m FILE.py:" in told
    (folder / "exported" / "runs.jsonl").write_text(text.replace("take 2", "take 7"))
    with pytest.raises(AssertionError, match=r"exported/runs\.jsonl: line \d+, run run-2: "):
        assert_replays("exported", raised)
    assert [file.name for file in (folder / "exported").iterdir()] == ["runs.jsonl"]


def test_what_is_kept_is_covered_whatever_keeps_it(fsm: Fsm, folder: Path, desk: type[Machine]):
    of_journal = assert_covered("kept/runs.db", desk, min=1)
    assert fsm("export", "--all", "--db", "kept/runs.db", "--out", "kept/runs.jsonl").exit_code == 0
    assert assert_covered("kept/runs.jsonl", desk, min=1) == of_journal
    both = assert_covered("kept", desk, min=1)
    assert (both.runs, both.taken) == (2 * of_journal.runs, of_journal.taken)
    assert assert_covered(["kept", "kept/runs.db"], desk, min=1).runs == 3 * of_journal.runs
    export = folder / "kept" / "runs.jsonl"
    export.write_text(export.read_text().replace("take 2", "take 7"))
    with pytest.raises(AssertionError, match=r"kept/runs\.jsonl: line \d+, run run-2: "):
        assert_covered("kept", desk, min=1)


def test_nothing_is_written(desk: type[Machine]):
    before = Path("kept/runs.db").read_bytes()
    assert_replays("kept", desk)
    reader = read_journal("kept/runs.db")
    reader.close()
    assert Path("kept/runs.db").read_bytes() == before
