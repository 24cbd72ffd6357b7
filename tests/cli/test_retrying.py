"""Retries, failures in a row and fallbacks as the commands tell them, while a run rests and afterwards."""

import contextlib
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm import JournalError, read_journal
from tests.cli.conftest import Fsm
from tests.cli.moving import started, until

TOOL = '''\
"""A tool that is down."""

from pydantic import BaseModel

from fsm import AgentFailed, Machine, Retry, State, View, everywhere, minutes
from guards import Deadline, LoopCap, Strikes


class Order(BaseModel):
    item: str

class Done(BaseModel):
    by: str


def tool(item: str) -> str:
    raise ConnectionError("503 from tool")

async def ask(view: View[Order]) -> Done:
    return Done(by=await view.call("tool", tool, view.payload.item))

async def by_hand(view: View[Order]) -> Done:
    return Done(by="hand")


class Quick(Machine):
    """Tried again at once, then done by hand."""

    ask  = State(initial=Order, agent=ask, fallback=by_hand, retry=Retry(base_s=0.01), guards=[Strikes("tool", 2)])
    done = State(final="completed")
    over = State(final="failed")

    made   = ask.to(done, on=Done)
    broken = ask.to(over, on=AgentFailed)
    limits = everywhere(LoopCap(20), Deadline(minutes(2)), otherwise=over)


class Slow(Machine):
    """Tried again much later."""

    ask  = State(initial=Order, agent=ask, retry=Retry(base_s=600, cap_s=600))
    done = State(final="completed")
    made = ask.to(done, on=Done)
'''


@pytest.fixture
def tool(folder: Path) -> Path:
    (folder / "tool.py").write_text(TOOL)
    return folder


@pytest.fixture
def resting(tool: Path) -> Iterator[None]:
    """A run that rests before its second attempt, ten minutes at most."""
    with started("run", "tool.py:Slow", "--input", '{"item": "x"}', "--run-id", "42"):
        until(lambda: _records("42") == ["started", "retried"])
        yield


def _records(run_id: str) -> list[str]:
    with contextlib.suppress(JournalError):
        reader = read_journal("runs.db")
        try:
            return [record.kind for run in reader.runs_like(run_id, 1) for record in reader.records(run.key)]
        finally:
            reader.close()
    return []


def test_a_run_that_was_tried_again_and_fell_back_is_told_line_by_line(fsm: Fsm, tool: Path):
    ran = fsm("run", "tool.py:Quick", "--input", '{"item": "x"}', "--run-id", "42")
    assert ran.exit_code == 0
    result = fsm("show", "42")
    told = re.sub(r"\+[\d.]+ m?s ", "+T ", result.output)
    failed = "AgentFailed ConnectionError: call 'tool': 503 from tool at tool.py:20 in ask"
    called = "· tool failed (ConnectionError: 503 from tool)"
    assert re.sub(" +", " ", re.sub(r"after \d+ ms", "after T", told)).splitlines()[5:-1] == [
        ' 0 +T ask start Order item="x"',
        f" {called}",
        f" 1 +T ask ask.retry 2/3 {failed}",
        " ▸ attempt 2 of 3 begins after T; 1 failure in a row of tool",
        f" {called}",
        f" 2 +T ask.fallback ask.fails {failed}",
        " ✗ not tried again: Strikes on ask refused 2 failures in a row of tool, limit 2",
        ' 3 +T done made Done by="hand"',
    ]
    assert re.search(r"caps +hops 3 of 20, time \d+ ms of 2 min, tool 2 of 2 failures in a row\n", result.output)
    assert "attempt 2 of 3 begins after" in ran.stderr and "not tried again: Strikes on ask" in ran.stderr
    assert fsm("replay", "42", "--machine", "tool.py:Quick").exit_code == 0


def test_a_record_of_a_retry_is_told_whole(fsm: Fsm, tool: Path):
    fsm("run", "tool.py:Quick", "--input", '{"item": "x"}', "--run-id", "42")
    told = fsm("show", "42", "--seq", "1").output
    assert "record 1 of run 42: retried, ask → ask by ask.retry\n" in told
    assert re.search(r"\n  again     attempt 2 of 3 begins after \d+ ms, at 20", told)
    assert "\n  failures  1 failure in a row of tool\n" in told
    assert "asked  candidate: ask.retry\n  ✓ ask.retry: retriable answered yes\n" in told
    assert "  ✓ Retry on ask.retry allowed attempt 2 of 3\n" in told
    assert "  ✓ Strikes on ask allowed 1 failure in a row of tool, limit 2\n" in told
    struck = fsm("show", "42", "--seq", "2").output
    assert "✗ Strikes on ask refused 2 failures in a row of tool, limit 2; so it is not tried again\n" in struck
    (record,) = json.loads(fsm("show", "42", "--seq", "1", "--json").output)["records"]
    assert (record["kind"], record["hop"], record["strikes"]) == ("retried", "ask.retry", {"tool": 1})
    assert record["until_ms"] >= record["at_ms"]


def test_a_picture_of_the_run_counts_its_retries(fsm: Fsm, tool: Path):
    fsm("run", "tool.py:Quick", "--input", '{"item": "x"}', "--run-id", "42")
    assert re.search(r"ask\.retry +×1  up to 3 attempts, 10 ms to 1 min apart → ask\n", fsm("diagram", "42").output)


def test_a_run_that_rests_says_when_it_is_tried_again(fsm: Fsm, resting: None):
    why = fsm("why", "42")
    assert why.exit_code == 0
    assert re.search(
        r"\n`ask` is tried again in [4-9] min [^(]*\(attempt 2 of 3\) by runner \S+ \(pid \d+, alive\): ", why.output
    )
    assert "AgentFailed (ConnectionError: call 'tool': 503 from tool at tool.py:20 in ask)\n" in why.output
    assert "What you can do\n" in why.output
    assert re.search(r"^run 42 of Slow: running in ask, tried again in [4-9] min", fsm("show", "42").output)
    assert re.search(r"\n  caps +ask 2 of 3 attempts\n", fsm("show", "42").output)
    assert re.search(r" running, tried again in [4-9] min", fsm("runs").output)
    (run,) = json.loads(fsm("runs", "--json").output)
    assert run["again_at_ms"] - run["at_ms"] >= 300_000
    assert json.loads(fsm("why", "42", "--json").output)["case"] == "rests"


def test_a_run_that_is_let_go_while_it_rests_says_what_comes_next(fsm: Fsm, tool: Path):
    with started("run", "tool.py:Slow", "--input", '{"item": "x"}', "--run-id", "42") as process:
        until(lambda: _records("42") == ["started", "retried"])
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=30)
    assert re.match(r"… under way in ask: attempt 2 of 3 begins in [4-9] min", told)
    assert re.search(r"\n- attempt 2 of 3 begins in [4-9] min .* at the soonest\n", fsm("why", "42").output)
    assert "running, nobody at work" in fsm("runs").output


def test_a_run_that_does_not_rest_has_no_moment(fsm: Fsm, tool: Path):
    fsm("run", "tool.py:Quick", "--input", '{"item": "x"}', "--run-id", "42")
    (run,) = json.loads(fsm("runs", "--json").output)
    assert run["again_at_ms"] is None
