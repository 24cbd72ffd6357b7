"""What is shown of budgets, rates and bulkheads; and a person's increase: recorded, with a reason, heard at once."""

import asyncio
import json
import shlex
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fsm import Machine, Runner, read_journal
from fsm.cli.parts.target import machine
from fsm.clock import SystemClock
from fsm.core.budget import BudgetRow
from fsm.journal.acts import Raise
from fsm.journal.guards import stored
from fsm.journal.journal import SqliteJournal
from fsm.show.diagram import diagram
from fsm.show.evidence import evidence
from fsm.show.why import Why, why
from tests.cli.conftest import Fsm
from tests.helpers import assert_sound, running

DESK = """\
import asyncio
from typing import Any

from pydantic import BaseModel

from fsm import Machine, State, View, everywhere
from guards import Bulkhead, CostBudget, RateLimit, TokenBudget

OPEN: list[bool] = []


class Brief(BaseModel):
    waits: bool = False

class Draft(BaseModel):
    pass


async def write(view: View[Any]) -> Draft:
    if view.payload.waits and not OPEN:
        await asyncio.get_running_loop().create_future()
    view.spend(tokens=300, usd_micros=600_000)
    return Draft()


class Desk(Machine):
    draft = State(initial=Brief, agent=write, tokens_max=400, usd_micros_max=700_000)
    end   = State(agent=write, tokens_max=400, guards=[TokenBudget(1_200, scope="machine")])
    done  = State[Any](final="completed")
    wrap  = draft.to(done, on=Draft)
    close = end.to(done, on=Draft)
    limit = everywhere(TokenBudget(1_000, scope="machine", warn_at=950))


class Shop(Machine):
    draft = State(initial=Brief, agent=write, usd_micros_max=700_000)
    done  = State[Any](final="completed")
    end   = draft.to(done, on=Draft)
    limit = everywhere(CostBudget(1_000_000, scope="label:customer", window_s=3600))


class Db(Machine):
    draft = State(initial=Brief, agent=write, guards=[Bulkhead("db", 2)])
    done  = State[Any](final="completed")
    end   = draft.to(done, on=Draft)


class Api(Machine):
    draft = State(initial=Brief, agent=write, guards=[RateLimit("model", 2, window_s=60)])
    done  = State[Any](final="completed")
    end   = draft.to(done, on=Draft)
"""
DESK_ROW, ACME = "tokens:machine=Desk", "usd_micros:label:customer/3600000=acme"

Get = Callable[[str], type[Machine]]


@pytest.fixture
def get(folder: Path) -> Get:
    """A machine of that file, by its name."""
    (folder / "desk.py").write_text(DESK)
    return lambda name: machine(f"desk.py:{name}")


def record(made: type[Machine], *run_ids: str, waits: bool = False, customer: str = "acme") -> None:
    """These runs, as far as they come; those that wait are left by their runner."""

    async def start() -> None:
        async with running("runs.db", made, adopt=False) as runner:
            for run_id in run_ids:
                payload = made.spec.classes["Brief"](waits=waits)
                await runner.start(made, payload, run_id=run_id, labels={"customer": customer})
                if not waits:
                    await runner.settled(run_id)

    asyncio.run(start())


def rows(fsm: Fsm, kind: str = "budgets") -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(fsm("guards", "--json").output)[kind]}


def damage(body: str, name: str) -> None:
    with closing(sqlite3.connect("runs.db", isolation_level=None)) as connection:
        connection.execute("UPDATE shared SET body = ? WHERE name = ?", (body, name))


def flat(text: str) -> str:
    return " ".join(text.split())


# --- how one stands -------------------------------------------------------------------------------------


def test_a_budget_is_shown_with_what_is_spent_who_holds_some_and_who_asks(get: Get, fsm: Fsm) -> None:
    record(get("Desk"), "a")
    record(get("Desk"), "left", waits=True)
    told = fsm("guards").output
    assert told.startswith(f"{DESK_ROW}  300 of 1,200 tokens spent, 400 set aside, 500 left\n")
    assert "warns from 950 tokens" in told
    assert "asked by Desk on limit up to 1,000; Desk on end up to 1,200" in told
    assert "set aside by 1 run: left in draft 400 for " in told
    assert "! left holds 400 tokens of it, and nobody advances it\n    -> fsm resume left" in told
    row = rows(fsm)[DESK_ROW]
    numbers = {"spent": 300, "reserved": 400, "limit": 1_200, "left": 500, "warn_at": 950, "unaccounted": 0}
    assert numbers.items() <= row.items()
    assert [(one["run_id"], one["state"], one["amount"]) for one in row["holders"]] == [("left", "draft", 400)]
    assert {(one["at"], one["limit"]) for one in row["limits"]} == {("end", 1_200), ("limit", 1_000)}


def test_money_is_told_in_dollars_and_a_window_says_when_it_begins_anew(get: Get, fsm: Fsm) -> None:
    record(get("Shop"), "a")
    told = fsm("guards").output
    assert f"{ACME}  $0.6 of $1 spent, $0.4 left\n  begins anew every 1 h, next in " in told
    row = rows(fsm)[ACME]
    assert row["next_window_at_ms"] % 3_600_000 == 0 and row["next_window_at_ms"] > row["now_ms"]


def test_of_an_older_window_nothing_is_spent(get: Get, fsm: Fsm) -> None:
    record(get("Shop"), "a")
    damage('{"spent":900000,"window":7}', ACME)
    assert f"{ACME}  $0 of $1 spent, $1 left" in fsm("guards").output


def test_of_many_label_values_the_fullest_are_shown(get: Get, fsm: Fsm) -> None:
    for number in range(5):
        record(get("Shop"), f"r{number}", customer=f"c{number}")
    damage('{"spent":900000,"window":9000000}', ACME.replace("acme", "c3"))
    told = fsm("guards").output
    shown = [line.split("  ")[0].rpartition("=")[2] for line in told.splitlines() if line.startswith("usd_micros")]
    assert shown[0] == "c3" and len(shown) == 3
    assert "and 2 more of usd_micros:label:customer/3600000, less full: --all, or --name TEXT" in told
    assert fsm("guards", "--all").output.count("usd_micros:label") == 5
    assert fsm("guards", "--name", "=c4").output.count("usd_micros:label") == 1
    assert "no guard whose name holds 'nobody'" in fsm("guards", "--name", "nobody").output
    assert len(rows(fsm)) == 5


def test_what_is_set_aside_that_no_run_accounts_for_is_said_and_counted_anew(get: Get, fsm: Fsm) -> None:
    record(get("Desk"), "left", waits=True)
    damage('{"spent":100,"reserved":450,"raised":7}', DESK_ROW)
    told = f"50 tokens of {DESK_ROW} set aside that no run under way accounts for"
    assert told in flat(fsm("guards").output) and told in fsm("doctor", "runs.db").output
    assert fsm("budget", DESK_ROW, "--reset", "--reason", "restored a backup").exit_code == 0
    row = rows(fsm)[DESK_ROW]
    assert (row["spent"], row["reserved"], row["raised"], row["unaccounted"]) == (100, 400, 7, 0)
    assert "reset, 450 set aside to 400, just now: restored a backup" in fsm("guards").output


def test_doctor_says_what_runs_hold_that_nobody_advances(get: Get, fsm: Fsm) -> None:
    record(get("Desk"), "one", "two", waits=True)
    record(get("Shop"), "three", waits=True)
    told = fsm("doctor", "runs.db", "--quick").output
    assert (
        f"! one, two and three, which nobody advances, hold 800 tokens of {DESK_ROW} and $0.7 of {ACME}\n"
        "  -> fsm resume" in told
    )


def test_bulkheads_and_rates_are_shown_as_what_they_are(get: Get, fsm: Fsm) -> None:
    record(get("Db"), "x", "y", "z", waits=True)
    record(get("Api"), "a")
    told = fsm("guards").output
    assert "visits:pool:db  2 of 2 visits at once, 0 left" in told
    assert "held by 2 runs: x in draft for " in told
    assert "1 run waits for 1 visit of it" in told
    assert 'RateLimit("model") 1 of 2 visits begun in 1 min\n  passes up to 2 visits in any 1 min' in told
    record(get("Api"), "b", "c", waits=True)
    assert 'RateLimit("model") full: 1 visit has a slot ahead, the last in ' in fsm("guards").output
    told = flat(fsm("why", "c").output)
    assert 'deferred by RateLimit("model") on `draft` until ' in told
    assert "put it off (rate_limited): 2 begun or due in 1 min, limit 2" in told


def test_who_waits_for_room_is_told_that_it_goes_on_by_itself_and_who_holds_it(get: Get) -> None:
    """The event that waits is sent once: again, it would be put off no less."""
    answers: dict[str, Why] = {}

    async def look() -> None:
        async with running("runs.db", get("Db"), get("Api"), adopt=False) as runner:
            for name, run_ids in {"Db": "xyz", "Api": "abc"}.items():
                for run_id in run_ids:
                    await runner.start(get(name), get(name).spec.classes["Brief"](waits=True), run_id=run_id)
                run = runner.journal.read.run(run_ids[-1])
                assert run is not None
                answers[name] = why(evidence(runner.journal.read, run, SystemClock()))

    asyncio.run(look())
    for name, command in {"Db": "fsm budget visits:pool:db", "Api": "fsm rate model"}.items():
        wait, see, *more = answers[name].moves
        assert answers[name].case == "deferred"
        assert wait.text.startswith("wait: it goes on by itself, asked again ") and see.command == command
        assert not [move for move in more if "fsm send" in move.command]


def test_a_damaged_rate_refuses_is_named_and_begins_as_new(get: Get, fsm: Fsm) -> None:
    record(get("Api"), "a")
    damage("{", "model")
    record(get("Api"), "refused")
    assert "refused (unreadable): its row is damaged" in flat(fsm("why", "refused").output)
    assert 'RateLimit("model") unreadable' in fsm("guards").output
    doctor = fsm("doctor", "runs.db")
    assert doctor.exit_code == 1
    assert "-> fsm rate model --reset --reason 'its row was damaged'" in doctor.output
    assert fsm("rate", "model", "--reset", "--reason", "a disk error", "--by", "ann").exit_code == 0
    assert "reset, its row was damaged, just now, by ann: a disk error" in fsm("rate", "model").output
    assert fsm("doctor", "runs.db").exit_code == 0


# --- a person's increase ----------------------------------------------------------------------------------


def test_an_increase_is_recorded_and_lets_pass_what_was_refused(get: Get, fsm: Fsm) -> None:
    desk = get("Desk")
    record(desk, "a", "b", "refused")
    told = fsm("why", "refused").output
    assert (
        f'TokenBudget("{DESK_ROW}") on `limit` refused 400 tokens (budget_warned): '
        "600 of 1,000 tokens spent; it warns from 950" in flat(told)
    )
    command = next(line for line in told.splitlines() if line.strip().startswith("fsm budget"))
    assert shlex.split(command)[1:] == ["budget", DESK_ROW, "--raise", "50", "--reason", "REASON"]
    result = fsm(*shlex.split(command)[1:], "--by", "ann", "--json")
    assert result.exit_code == 0
    (change,) = json.loads(result.output)["changes"]
    assert {"act": "raise", "by": "ann", "reason": "REASON"}.items() <= change.items()
    assert change["after"] == {"spent": 600, "raised": 50}
    assert "raised by 50 tokens, just now, by ann: REASON" in fsm("guards").output
    assert fsm("resume", "refused", "-m", "desk.py:Desk").exit_code == 0
    assert rows(fsm)[DESK_ROW]["spent"] == 900
    assert_sound("runs.db", desk)


def test_what_a_refused_run_lacks_is_told_of_the_row_as_it_is_now(get: Get, fsm: Fsm) -> None:
    record(get("Desk"), "a", "b", "refused")
    assert "--raise 50 " in fsm("why", "refused").output
    fsm("budget", DESK_ROW, "--raise", "20", "--reason", "x")
    told = fsm("why", "refused").output
    assert f"raise {DESK_ROW}, which lacks 30 tokens now" in told and "--raise 30 " in told
    fsm("budget", DESK_ROW, "--raise", "30", "--reason", "x")
    told = fsm("why", "refused", "-m", "desk.py:Desk").output
    assert "there is room now: resume it" in told and "fsm resume refused -m desk.py:Desk" in told
    assert "--raise" not in told
    assert fsm("resume", "refused", "-m", "desk.py:Desk").exit_code == 0


def test_a_run_refused_in_an_older_window_has_room_in_the_next(get: Get, fsm: Fsm) -> None:
    record(get("Shop"), "a", "refused")
    assert "--raise '$0.3'" in fsm("why", "refused").output
    damage('{"spent":600000,"window":7}', ACME)
    assert "there is room now: resume it" in fsm("why", "refused").output


def test_what_was_added_may_be_taken_back_and_no_more(get: Get, fsm: Fsm) -> None:
    record(get("Shop"), "a")
    for amount in ("$1.50", "$0.25", "-$1"):
        assert fsm("budget", ACME, "--raise", amount, "--reason", "x").exit_code == 0
    told = fsm("budget", ACME).output
    assert "raised by $0.75 in all; lowered by $1, just now: x" in told
    assert [line.split(",")[0].strip() for line in told.splitlines()[-2:]] == ["raised by $0.25", "raised by $1.5"]
    result = fsm("budget", ACME, "--raise", "-$2", "--reason", "x")
    assert result.exit_code == 1
    assert "it was raised by 750,000 usd_micros, so it cannot be lowered by 2,000,000\n  -> lower" in result.output
    assert rows(fsm)[ACME]["raised"] == 750_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--raise", "5"), "--raise needs a reason: --reason 'launch day'"),
        (("--reset", "--reason", " "), "--reset needs a reason"),
        (("--raise", "5", "--reset", "--reason", "x"), "one act at a time, not --raise and --reset"),
        (("--by", "ann"), "--reason and --by are for an act: --raise or --reset"),
        (("--raise", "$5", "--reason", "x"), "'$5' is no amount of tokens: write 50_000"),
    ],
)
def test_what_is_no_act_changes_nothing(words: tuple[str, ...], said: str, get: Get, fsm: Fsm) -> None:
    record(get("Desk"), "a")
    result = fsm("budget", DESK_ROW, *words)
    assert result.exit_code == 2
    assert said in result.output
    assert json.loads(fsm("budget", DESK_ROW, "--json").output)["changes"] == []


def test_a_budget_that_nobody_asked_yet_is_raised_by_its_name(get: Get, fsm: Fsm) -> None:
    record(get("Shop"), "a")
    new = ACME.replace("acme", "new")
    assert "no visit has set any of it aside or spent any yet" in fsm("budget", new).output
    assert fsm("budget", new, "--raise", "$1", "--reason", "they paid").exit_code == 0
    assert rows(fsm)[new]["limit"] == 2_000_000
    result = fsm("budget", "usd_micros:label:costumer/3600000=acme")
    assert result.exit_code == 1
    assert f"-> did you mean '{ACME}'?" in result.output


@pytest.mark.parametrize("act", [(), ("--raise", "5", "--reason", "x")], ids=["looked at", "raised"])
def test_a_scope_without_whose_it_is_names_no_budget(act: tuple[str, ...], get: Get, fsm: Fsm) -> None:
    """A row of that name would be raised, and asked by nobody."""
    record(get("Desk"), "a")
    record(get("Shop"), "b")
    record(get("Db"), "c")
    before = rows(fsm).keys()
    for row in (DESK_ROW, ACME):
        result = fsm("budget", row.partition("=")[0], *act)
        assert result.exit_code == 1
        assert f"-> did you mean {row!r}?" in result.output
    assert rows(fsm).keys() == before
    assert fsm("budget", "visits:pool:db", *act).exit_code == 0


def test_of_a_label_whose_values_spent_nothing_yet_the_form_of_its_rows_is_told(get: Get, fsm: Fsm) -> None:
    record(get("Shop"), "a")
    scope = ACME.partition("=")[0]
    with closing(sqlite3.connect("runs.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM shared")
    result = fsm("budget", scope)
    assert result.exit_code == 1 and f"-> did you mean '{scope}=VALUE'?" in result.output


def test_a_damaged_row_is_reset_with_what_runs_hold_and_what_the_log_knows(get: Get, fsm: Fsm) -> None:
    desk = get("Desk")
    record(desk, "a")
    record(desk, "left", waits=True)
    fsm("budget", DESK_ROW, "--raise", "50", "--reason", "x")
    damage("{", DESK_ROW)
    record(desk, "refused")
    assert "fsm budget tokens:machine=Desk --reset --reason 'its row was damaged'" in fsm("why", "refused").output
    result = fsm("budget", DESK_ROW, "--raise", "5", "--reason", "x")
    assert result.exit_code == 1 and f"its row is damaged\n  -> reset it first: fsm budget {DESK_ROW}" in result.output
    assert fsm("doctor", "runs.db").exit_code == 1
    fsm("budget", DESK_ROW, "--reset", "--reason", "mended")
    row = rows(fsm)[DESK_ROW]
    assert (row["spent"], row["reserved"], row["raised"]) == (300, 400, 50)
    asyncio.run(_finish(desk, "left"))
    row = rows(fsm)[DESK_ROW]
    assert (row["spent"], row["reserved"]) == (600, 0)


async def _finish(made: type[Machine], run_id: str) -> None:
    sys.modules[made.__module__].OPEN.append(True)
    async with running("runs.db", made) as runner:
        await runner.settled(run_id)


def test_who_waits_for_room_goes_on_at_once_when_the_limit_is_raised(get: Get, fsm: Fsm) -> None:
    desk = get("Desk")
    brief = desk.spec.classes["Brief"]

    async def wait() -> None:
        async with Runner(SqliteJournal("runs.db", synchronous="OFF"), handle_signals=False, poll_s=0.01) as runner:
            for run_id in ("first", "second"):
                await runner.start(desk, brief(waits=True), run_id=run_id)
            await runner.start(desk, brief(), run_id="waits")
            (row,) = (found for found in stored(runner.journal.read) if found.name == DESK_ROW)
            assert row.waiting == (1, 400)
            raising = Raise(share=row.share, act="raise", at_ms=0, reason="x", by="", limit=1_000, amount=200)
            await runner.journal.act(raising)
            assert (await asyncio.wait_for(runner.settled("waits"), 20)).outcome == "completed"

    asyncio.run(wait())
    reader = read_journal("runs.db")
    row = BudgetRow.from_json(reader.query("SELECT body FROM shared")[0][0])
    reader.close()
    assert (row.spent, row.reserved, row.raised) == (300, 800, 200)


def test_a_deferral_is_drawn_as_no_refusal(get: Get) -> None:
    for name in ("Desk", "Db", "Api"):
        shown = diagram(get(name).spec)
        codes = {code for box in shown.boxes for guard in box.guards for code in guard.codes}
        assert "unreadable" in codes
        assert codes.isdisjoint({"reserved", "full", "rate_limited"})
