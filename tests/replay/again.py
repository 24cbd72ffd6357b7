"""`python -m tests.replay.again JOURNAL` replays every run where nothing may be written, called or run.

It prints a JSON list of (run id, replay with code, replay from the journal alone).
"""

import json
import os
import sys
from typing import Any

from fsm import View, read_journal, replay_run
from tests.replay.workshop import Older, Workshop

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
FORBIDDEN = ("socket.", "subprocess.", "os.exec", "os.fork", "os.system", "urllib.")


def boom(view: View[Any]) -> Any:
    raise AssertionError("replay ran an agent")


def forbid(event: str, details: tuple[Any, ...]) -> None:
    """An audit hook: no network, no other program, no file opened for writing."""
    assert not event.startswith(FORBIDDEN), f"replay did {event} {details}"
    assert event != "open" or not int(details[2]) & WRITING, f"replay opened {details[0]} for writing"
    assert event != "sqlite3.connect" or "?mode=ro" in str(details[0]), f"replay opened {details[0]} for writing"


def without_agents() -> dict[str, Any]:
    """The machines by fingerprint, every agent replaced by one that raises."""
    machines = [machine.with_agents(make=boom, test=boom) for machine in (Workshop, Older)]
    return {machine.spec.fingerprint: machine for machine in machines}


if __name__ == "__main__":
    machines = without_agents()
    if os.geteuid() == 0:
        os.seteuid(65534)  # root may write whatever the modes say
    sys.addaudithook(forbid)
    reader = read_journal(sys.argv[1])
    told = [
        (
            run.run_id,
            str(replay_run(reader, run.run_id, machines[run.fingerprint])),
            str(replay_run(reader, run.run_id)),
        )
        for run in reader.runs()
    ]
    reader.close()
    print(json.dumps(told))
