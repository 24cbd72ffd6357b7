"""Every example runs as its page says, and goes on where it was killed."""

import asyncio
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fsm import Runner
from fsm.testing import assert_replays, trace

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
HERE = Path(__file__).parent

TURNSTILE = """\
Push    locked -> locked   unhandled
Coin    locked -> unlocked pay
Push  unlocked -> locked   enter
Coin    locked -> unlocked pay
Push  unlocked -> locked   enter
Coin    locked -> unlocked pay
Push  unlocked -> locked   enter
Coin    locked -> unlocked pay
Push  unlocked -> closed   enter.otherwise
"""

KILLED = """\
import asyncio, runpy, sys
from fsm import Runner, SqliteJournal
from fsm.testing import crash_at

example, db, point, passes = sys.argv[1:]
names = runpy.run_path(example)

async def main():
    async with Runner(SqliteJournal(db, lease_s=0.3), machines=[names["Game"]]) as runner:
        await runner.start(names["Game"], names["Range"](low=1, high=100), run_id="killed")
        crash_at(point, int(passes))
        await runner.settled("killed")

asyncio.run(main())
"""


def ran(name: str, place: Path) -> str:
    """What an example prints, run as a file, in a folder of its own."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_example_has_its_test():
    found = {path.name for path in EXAMPLES.iterdir() if not path.name.startswith("_")}
    tests = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    assert found
    assert {name for name in found if name not in tests} == set()


def test_the_turnstile_closes_after_three_visitors(tmp_path):
    for _ in range(2):
        printed = ran("01_turnstile.py", tmp_path)
        assert printed.startswith(TURNSTILE)
        assert printed.endswith(": 10 records, all agree\n")
    assert assert_replays(tmp_path / "turnstile.db") == 2


def test_the_guess_is_right_at_the_seventh_time(tmp_path):
    *way, told = ran("02_hello_agents.py", tmp_path).splitlines()
    assert [line.split()[2] for line in way] == ["guessing", "answering"] * 7 + ["won"]
    assert way[-1].endswith('{"number":42}')
    assert told.endswith(": 15 records, all agree")


@pytest.mark.parametrize(
    ("point", "passes"), [("visit.started", 2), ("visit.returned", 3), ("writer.written", 4), ("decision.adopted", 5)]
)
def test_agents_whose_process_was_killed_leave_the_same_trace(tmp_path, point, passes):
    example, db = str(EXAMPLES / "02_hello_agents.py"), str(tmp_path / "runs.db")
    command = [sys.executable, "-c", KILLED, example, db, point, str(passes)]
    assert subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode == -signal.SIGKILL
    names = runpy.run_path(example)

    async def main() -> None:
        async with Runner(db, machines=[names["Game"]]) as runner:
            for run_id in ("calm", "killed"):
                await runner.start(names["Game"], names["Range"](low=1, high=100), run_id=run_id)
                assert (await runner.settled(run_id)).state == "won"
            read = runner.journal.read
            assert trace(read, "killed") == trace(read, "calm")
            assert [record.kind for record in read.records(read.run("killed").key)].count("resumed") == 1

    asyncio.run(main())
    assert assert_replays(db, names["Game"]) == 2
