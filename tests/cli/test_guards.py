"""What is shown of breakers, and a person's word on one: recorded, with a reason, and heard by whoever asks next."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fsm import Machine, Runner, read_journal, replay_run
from fsm.cli.parts.target import machine
from fsm.core.breaker import SPEC
from fsm.core.breaking import BreakerRow
from fsm.define.guard import Placed, Share, Verdict
from fsm.journal.guards import Asker, Stored
from fsm.show.breaking import answered, demands, now_words, stands
from fsm.testing import MovableClock
from guards import Breaker
from tests.cli.conftest import Fsm

PHONE = """\
from pydantic import BaseModel

from fsm import AgentFailed, CallRefused, Machine, State, View, everywhere
from guards import Breaker


class Number(BaseModel):
    reachable: bool = False

class Said(BaseModel):
    text: str


def line(reachable: bool) -> str:
    if not reachable:
        raise ConnectionError("dead line")
    return "hello"


async def dial(view: View[Number]) -> Said:
    return Said(text=await view.call("line", line, view.payload.reachable, returns=str))


class Phone(Machine):
    dialling = State(initial=Number, agent=dial)
    talked   = State(final="completed")
    gave_up  = State(final="failed")

    answer = dialling.to(talked, on=Said)
    broken = dialling.to(gave_up, on=AgentFailed)
    limits = everywhere(Breaker("line", failures_max=3, cooldown_s=30))
"""
NOW = 1_700_000_000_000


@pytest.fixture
def phone(folder: Path) -> type[Machine]:
    (folder / "phone.py").write_text(PHONE)
    return machine("phone.py:Phone")


def dial(phone: type[Machine], *run_ids: str, reachable: bool = False, clock: Any = None) -> list[str]:
    """The states in which these runs end, one after the other."""
    number = phone.spec.classes["Number"](reachable=reachable)

    async def record() -> list[str]:
        async with Runner("runs.db", handle_signals=False, clock=clock) as runner:
            for run_id in run_ids:
                await runner.start(phone, number, run_id=run_id)
                await runner.settled(run_id)
            return [runner.journal.read.run(run_id).state for run_id in run_ids]

    return asyncio.run(record())


def test_a_breaker_is_shown_with_its_counts_its_time_and_who_changed_it(phone: type[Machine], fsm: Fsm) -> None:
    dial(phone, "a", "b")
    assert fsm("guards").output.startswith('Breaker("line") closed; 2 failures in a row, limit 3\n')
    dial(phone, "c")
    told = fsm("guards", "runs.db").output
    assert 'Breaker("line") open: 3 failures in a row, limit 3; tried again in ' in told
    assert "passes until line fails 3 times in a row, then none for 30 s" in told
    assert "closed to open, " in told and ", by run c\n" in told
    assert "asked by Phone on limits" in told
    (data,) = json.loads(fsm("guards", "--json").output)["breakers"]
    assert (data["state"], data["failures"], data["trips"], data["last"]["run_id"]) == ("open", 3, 1, "c")
    assert 0 < data["retry_at_ms"] - data["now_ms"] <= 30_000
    assert data["askers"] == [{"machine": "Phone", "at": "limits"}]


def test_why_says_in_a_sentence_what_refused_it_and_when_it_is_tried_again(phone: type[Machine], fsm: Fsm) -> None:
    dial(phone, "a", "b", "c", "late")
    told = " ".join(fsm("why", "late").output.split())
    assert 'never started: Breaker("line") on `limits` is open: 3 failures in a row, limit 3; tried again in ' in told
    assert "`limits` declares no otherwise" in told
    assert "fsm breaker line --reset --reason" in told
    assert 'Breaker("line") on limits is open: 3 failures in a row' in fsm("show", "late").output
    assert "until line fails 3 times in a row, then none for 30 s" in fsm("diagram", "late", "--json").output


@pytest.mark.parametrize(
    ("act", "state", "reached"),
    [
        ("open", "forced_open", "(start)"),
        ("close", "closed", "talked"),
        ("observe", "observing", "talked"),
        ("disable", "disabled", "talked"),
        ("reset", "closed", "talked"),
    ],
)
def test_an_act_is_recorded_and_heard_by_the_next_run(
    act: str, state: str, reached: str, phone: type[Machine], fsm: Fsm
) -> None:
    dial(phone, "a", "b", "c")
    result = fsm("breaker", "line", f"--{act}", "--reason", "maintenance until noon", "--by", "ann", "--json")
    assert result.exit_code == 0
    told = json.loads(result.output)
    assert told["state"] == state
    last = {"before": "open", "after": state, "act": act, "by": "ann", "reason": "maintenance until noon"}
    assert last.items() <= told["last"].items()
    assert told["last"]["run_id"] is None
    assert [(change["before"], change["after"]) for change in told["changes"]] == [("open", state), ("closed", "open")]
    assert dial(phone, "next", reachable=True) == [reached]
    history = fsm("breaker", "line").output
    assert f"{act} by ann, maintenance until noon" in history
    assert history.count(" to ") >= 2
    reader = read_journal("runs.db")
    assert all(replay_run(reader, run.run_id, code).agreed for run in reader.runs() for code in (phone, None))
    reader.close()


def test_an_act_on_one_that_stands_so_already_is_recorded_too(phone: type[Machine], fsm: Fsm) -> None:
    dial(phone, "a")
    for reason in ("once", "twice"):
        assert fsm("breaker", "line", "--open", "--reason", reason).exit_code == 0
    changes = json.loads(fsm("breaker", "line", "--json").output)["changes"]
    assert [change["reason"] for change in changes] == ["twice", "once"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("line", "--open"), "--open needs a reason: --reason"),
        (("line", "--open", "--reason", "  "), "--open needs a reason: --reason"),
        (("line", "--open", "--close", "--reason", "x"), "one act at a time, not --open and --close"),
        (("line", "--by", "ann"), "--reason and --by are for an act"),
        ((), "name the breaker: fsm guards lists them"),
    ],
)
def test_what_is_no_act_changes_nothing(words: tuple[str, ...], said: str, phone: type[Machine], fsm: Fsm) -> None:
    dial(phone, "a")
    result = fsm("breaker", *words)
    assert result.exit_code == 2
    assert said in result.output
    assert json.loads(fsm("breaker", "line", "--json").output)["changes"] == []


def test_a_name_that_nobody_asks_is_met_with_the_nearest(phone: type[Machine], fsm: Fsm) -> None:
    dial(phone, "a")
    result = fsm("breaker", "lime", "--open", "--reason", "x")
    assert result.exit_code == 1
    assert "no machine of this journal asks a breaker 'lime'\n  -> did you mean 'line'?" in result.output


def test_a_damaged_row_is_named_and_reset(phone: type[Machine], fsm: Fsm) -> None:
    dial(phone, "a")
    with closing(sqlite3.connect("runs.db", isolation_level=None)) as connection:
        connection.execute("UPDATE shared SET body = '{'")
    assert dial(phone, "b", reachable=True) == ["(start)"]
    assert 'Breaker("line") unreadable' in fsm("guards").output
    doctor = fsm("doctor", "runs.db")
    assert doctor.exit_code == 1
    assert (
        "✗ the row of breaker 'line' is damaged, and so it refuses everything\n  -> fsm breaker line" in doctor.output
    )
    fsm("breaker", "line", "--reset", "--reason", "its row was damaged")
    assert fsm("doctor", "runs.db").exit_code == 0
    assert dial(phone, "c", reachable=True) == ["talked"]


def test_machines_that_ask_with_different_parameters_are_named(phone: type[Machine], folder: Path, fsm: Fsm) -> None:
    dial(phone, "a")
    assert "!" not in fsm("guards").output
    (folder / "fax.py").write_text(PHONE.replace("Phone", "Fax").replace("failures_max=3", "failures_max=9"))
    dial(machine("fax.py:Fax"), "b")
    for output in (fsm("guards").output, fsm("doctor", "runs.db").output):
        told = " ".join(output.split())
        assert "its machines ask it with different parameters" in told
        assert "Phone until line fails 3 times in a row" in told and "Fax until line fails 9 times in a row" in told
    (data,) = json.loads(fsm("guards", "--json").output)["breakers"]
    assert data["disagreeing"]


def test_what_a_machine_asked_before_it_was_changed_is_no_disagreement(
    phone: type[Machine], folder: Path, fsm: Fsm
) -> None:
    clock = MovableClock()
    dial(phone, "a", clock=clock)
    clock.advance(1)
    (folder / "other.py").write_text(PHONE.replace("failures_max=3", "failures_max=9"))
    dial(machine("other.py:Phone"), "b", clock=clock)
    (data,) = json.loads(fsm("guards", "--json").output)["breakers"]
    assert (data["disagreeing"], data["parameters"]["failures_max"]) == (False, 9)


def test_where_none_is_shared_it_says_how_one_is_made(two_runs: str, fsm: Fsm) -> None:
    assert "no guard that runs share in this journal\n  -> everywhere(Breaker(" in fsm("guards", two_runs).output


def test_the_machine_of_every_breaker_is_drawn(fsm: Fsm) -> None:
    told = fsm("breaker", "--diagram").output
    assert all(state.name in told for state in SPEC.states)
    assert "AskedAfterCooldown → half_open" in told
    assert json.loads(fsm("breaker", "--diagram", "--json").output)["diagram"]["name"] == SPEC.name


# -- in words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (BreakerRow(), "closed"),
        (BreakerRow(failures=1), "closed; 1 failure in a row, limit 3"),
        (
            BreakerRow(state="open", failures=3, trips=1, retry_at_ms=NOW + 28_000),
            "open: 3 failures in a row, limit 3; tried again in 28 s",
        ),
        (
            BreakerRow(state="open", failures=3, trips=1, retry_at_ms=NOW),
            "open: 3 failures in a row, limit 3; it may be tried now",
        ),
        (BreakerRow(state="half_open", until_ms=NOW + 40_000), "half open: its probe is out, at most 40 s more"),
        (BreakerRow(state="forced_open"), "forced open, until a person says otherwise"),
        (BreakerRow(state="disabled"), "disabled: it lets everything pass, and counts nothing"),
        (
            BreakerRow(state="observing", failures=4),
            "observing: it counts, and lets everything pass; 4 failures in a row, limit 3",
        ),
    ],
)
def test_how_one_stands(row: BreakerRow, words: str) -> None:
    stored = Stored(share=Share("breaker", "line"), row=row, at_ms=NOW, askers=(Asker("Phone", on_line()),))
    assert now_words(stored, NOW)[1] == words


def on_line(**limits: Any) -> Placed:
    return Breaker("line", **{"failures_max": 3, **limits}).place("run", "limits")


def test_a_rate_is_told_with_its_results() -> None:
    guard = on_line(failures_max=None, rate_pct=50)
    row = BreakerRow(window=((NOW, 12, 5),))
    stored = Stored(share=Share("breaker", "line"), row=row, at_ms=NOW, askers=(Asker("Phone", guard),))
    assert now_words(stored, NOW)[1] == "closed; 5 of the last 12 failed, limit 50 %"
    assert demands(guard) == "until line fails 50 % of at least 10 times within 1 min, then none for 30 s"
    both = demands(on_line(failures_max=1, rate_pct=50))
    assert both == "until line fails once or 50 % of at least 10 times within 1 min, then none for 30 s"


def test_what_one_answered() -> None:
    assert answered(on_line(), Verdict("allow", "probe", {"state": 1})) == "allowed its one probe"
    assert answered(on_line(), Verdict("allow", "", {"generation": 3})) == "allowed"
    assert stands("open", {"failures": 3, "retry_at_ms": NOW}) == (
        "open: 3 failures in a row; tried again from 2023-11-14 22:13:20 UTC"
    )
