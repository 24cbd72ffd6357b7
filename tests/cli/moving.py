"""What the tests of the verbs that move runs share: a machine on disk, processes to kill, a journal to look into."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fsm import JournalError, Run, read_journal

ROOT = Path(__file__).parents[2]
DESK = f"{Path(__file__).parent / 'moving_desk.py'}:Desk"
RALLY = DESK.replace(":Desk", ":Rally")
ORDER = '{"topic": "doors"}'
ORDERED = ("run", DESK, "--event", "Order", "--input")
DEADLINE_S = 30
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


def gated(gate: Path) -> str:
    """An order whose agent answers once the file `gate` is there."""
    return json.dumps({"topic": "doors", "gate": str(gate)})


@contextlib.contextmanager
def started(*arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """The command as a process of its own, in the current folder; gone at the end."""
    command = [sys.executable, "-m", "fsm", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT) as process:
        try:
            yield process
        finally:
            process.kill()


def until(look: Callable[[], Any], told: Callable[[], object] = lambda: "") -> Any:
    """What `look` finds, as soon as it finds something."""
    end = time.monotonic() + DEADLINE_S
    while not (found := look()):
        assert time.monotonic() < end, f"not within {DEADLINE_S} s; {told()}"
        time.sleep(0.02)
    return found


def state_of(run_id: str, db: str = "runs.db") -> Run:
    reader = read_journal(db)
    try:
        return reader.run(run_id)
    finally:
        reader.close()


def is_calling(run_id: str, db: str = "runs.db") -> bool:
    """Whether an agent of this run has a call under way; the journal may not be there yet."""
    with contextlib.suppress(JournalError):
        reader = read_journal(db)
        try:
            runs = reader.runs_like(run_id, 1)
            return any(calls[-1].kind == "intent" for run in runs if (calls := reader.calls(run.key)))
        finally:
            reader.close()
    return False
