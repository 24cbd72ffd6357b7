"""`fsm.testing` is public: what its docstrings say is what users build their own tests on."""

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import AgentFailed, CallFailed, CallRefused, Machine, Runner, Spent, SqliteJournal, State, View, crash
from fsm.testing import (
    MovableClock,
    StubView,
    VisitOver,
    assert_replays,
    crash_at,
    hang,
    scratch_journal,
    scripted,
    table,
    trace,
)
from guards import LoopCap

ROOT = Path(__file__).parent.parent


class Brief(BaseModel):
    task: str


class Draft(BaseModel):
    text: str


class Verdict(BaseModel):
    good: bool


def is_good(verdict: Verdict) -> bool:
    return verdict.good


class Office(Machine):
    write = State(initial=Brief, agent=hang)
    review = State(agent=hang, timeout_s=5)
    desk = State()
    done = State(final="completed")

    written = write.to(review, on=Draft)
    approve = review.to(done, on=Verdict, when=is_good)
    reject = review.to(write, on=Verdict, guards=[LoopCap(1)], otherwise=desk)
    accept = desk.to(done, on=Verdict, when=is_good)


def run(journal: SqliteJournal, run_id: str, clock: MovableClock | None = None, **agents: Any) -> str:
    machine = Office.with_agents(**agents)

    async def settle() -> str:
        async with Runner(journal, machines=[machine], clock=clock, poll_s=0.005, handle_signals=False) as runner:
            await runner.start(machine, Brief(task="t"), run_id=run_id)
            return (await runner.settled(run_id)).outcome

    return asyncio.run(settle())


# -- the clock -------------------------------------------------------------------------------------


def test_a_movable_clock_stands_still_until_it_is_moved():
    clock = MovableClock()
    at = (clock.now_ms(), clock.monotonic())
    assert at == (clock.now_ms(), clock.monotonic())
    clock.advance(1.5)
    assert (clock.now_ms(), clock.monotonic()) == (at[0] + 1_500, at[1] + 1.5)
    clock.jump_ms(-10_000)
    assert (clock.now_ms(), clock.monotonic()) == (at[0] - 8_500, at[1] + 1.5)


def test_a_timeout_of_an_agent_is_a_matter_of_moving_the_clock():
    clock = MovableClock()

    async def late(view: View[Draft]) -> Verdict:
        clock.advance(5)
        return await hang(view)  # type: ignore[return-value]

    with scratch_journal() as journal:
        assert run(journal, "r", clock, write=scripted(Draft(text="x")), review=late) == "stuck"


# -- journals --------------------------------------------------------------------------------------


def test_a_scratch_journal_is_a_real_one_and_gone_afterwards():
    with scratch_journal(lease_s=3.0) as journal:
        path = Path(journal.path)
        assert run(journal, "r", write=scripted(Draft(text="x")), review=scripted(Verdict(good=True))) == "completed"
        assert assert_replays(path, Office) == 1
    assert not path.parent.exists()


def test_a_scratch_journal_that_nobody_opened_or_closed_is_gone_too():
    with scratch_journal() as journal:
        assert journal.read.runs() == []
    assert not Path(journal.path).parent.exists()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        journal.read._connection.execute("SELECT 1")


def journal_of_three(folder: Path) -> Path:
    good, bad = Verdict(good=True), Verdict(good=False)
    for run_id, verdicts in (("a", [good]), ("b", [bad, good]), ("c", [bad, bad])):
        journal = SqliteJournal(folder / "runs.db", synchronous="OFF")
        run(journal, run_id, write=scripted(Draft(text=run_id)), review=scripted(*verdicts))
    return folder / "runs.db"


def test_assert_replays_counts_what_agrees(tmp_path: Path):
    db = journal_of_three(tmp_path)
    assert assert_replays(db) == assert_replays(db, Office) == 3

    class Other(Machine):
        only = State(initial=Brief, agent=hang)
        over = State(final="completed")
        end = only.to(over, on=Draft)

    with pytest.raises(AssertionError, match="has no run of Other"):
        assert_replays(db, Other)


def test_assert_replays_fails_on_a_tampered_journal_and_names_every_run(tmp_path: Path):
    db = journal_of_three(tmp_path)
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER record_fixed")
        connection.execute("""UPDATE record SET body = replace(body, 'false', 'true') WHERE event = 'Verdict'""")
    with pytest.raises(AssertionError) as caught:
        assert_replays(db, Office)
    text = str(caught.value)
    assert text.count("its payload was changed") == 2
    assert "run a " not in text
    assert "run b diverges at record 2" in text
    assert "run c diverges at record 2" in text


def test_assert_replays_fails_on_a_changed_machine(tmp_path: Path):
    class Lenient(Office, machine_name="Office"):
        reject = Office.reject.but(guards=[LoopCap(5)])

    db = journal_of_three(tmp_path)
    with pytest.raises(
        AssertionError, match=r"LoopCap\(1\) on reject refused here .*today's LoopCap\(5\) lets it pass"
    ):
        assert_replays(db, Lenient)


# -- agents ----------------------------------------------------------------------------------------


def test_a_scripted_agent_follows_its_script_and_repeats_its_last_line():
    async def asked(view: Any) -> Draft:
        return Draft(text=f"async {view.payload.task}")

    agent = scripted(
        Draft(text="first"), OSError("no paper"), lambda view: Draft(text=view.payload.task), asked, Draft(text="last")
    )
    view = StubView(payload=Brief(task="t"))

    async def six() -> list[str]:
        told = []
        for _ in range(6):
            try:
                told.append((await agent(view)).text)
            except OSError as error:
                told.append(str(error))
        return told

    assert asyncio.run(six()) == ["first", "no paper", "t", "async t", "last", "last"]


def test_a_scripted_agent_that_only_raises_raises_every_time():
    agent = scripted(OSError("never"))
    for _ in range(2):
        with pytest.raises(OSError, match="never"):
            asyncio.run(agent(StubView(payload=None)))


def test_a_script_without_a_line_is_refused_at_once():
    with pytest.raises(ValueError, match="at least one result"):
        scripted()


def test_hang_never_answers_and_lets_itself_be_cancelled():
    async def main() -> None:
        task = asyncio.create_task(hang(StubView(payload=None)))
        done, _ = await asyncio.wait({task}, timeout=0.01)
        assert not done
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


# -- the view --------------------------------------------------------------------------------------


class Found(BaseModel):
    lines: tuple[int, ...]


def search(word: str, idempotency_key: str) -> Found:
    return Found(lines=(len(word), len(idempotency_key)))


async def search_async(word: str) -> dict[str, tuple[int, ...]]:
    return {"lines": (len(word),)}


async def reads(view: View[Brief]) -> Draft:
    """An agent as a user writes it; mypy checks here that a `StubView` is a `View`."""
    view.spend(tokens=3, usd_micros=1)
    plain = await view.call("search", search, "abc", key="k")
    typed = await view.call("search", search_async, "abcd", returns=Found)
    view.spend(tokens=4)
    return Draft(text=f"{view.payload.task} {plain} {typed}")


def test_an_agent_is_called_with_a_stub_view():
    view = StubView(payload=Brief(task="t"))
    assert asyncio.run(reads(view)).text == "t {'lines': [3, 1]} lines=(4,)"
    assert view.spent == Spent(7, 1)
    assert view.calls == [("search", ("abc",)), ("search", ("abcd",))]


def test_a_stub_view_has_a_sync_call_too():
    view = StubView(payload=Brief(task="t"), memory={"m": 1}, run_id="r9", visit=2, attempt=3, deadline_ms=5)
    assert view.call_sync("add", lambda a, b: a + b, 1, 2) == 3
    assert view.call_sync("search", search, "abc", returns=Found) == Found(lines=(3, 6))
    seen = (view.memory, view.run_id, view.visit, view.attempt, view.deadline_ms, view.refusal, dict(view.remaining))
    assert seen == ({"m": 1}, "r9", 2, 3, 5, None, {})


def fails() -> None:
    raise ConnectionError("no line")


async def fails_async() -> None:
    raise ValueError("no sense")


def test_a_failing_call_is_what_it_is_to_a_live_agent():
    view = StubView(payload=None)
    with pytest.raises(CallFailed) as caught:
        view.call_sync("phone", fails)
    error = caught.value
    assert (error.name, error.type, error.text, error.retriable) == ("phone", "ConnectionError", "no line", True)
    with pytest.raises(CallFailed, match="ValueError: no sense"):
        asyncio.run(view.call("phone", fails_async))
    with pytest.raises(CallFailed, match="its result is not JSON data"):
        view.call_sync("lookup", lambda: {1, 2})


def test_what_a_live_view_refuses_a_stub_refuses():
    view = StubView(payload=None)
    with pytest.raises(TypeError, match="the arguments of call 'send' are not JSON data"):
        view.call_sync("send", print, object())
    with pytest.raises(ValueError, match="give a whole number, 0 or more"):
        view.spend(tokens=-1)
    assert (view.calls, view.spent) == ([], Spent())


async def spends(view: View[Brief]) -> Draft:
    view.spend(tokens=3, usd_micros=1)
    view.spend(tokens=4)
    return Draft(text="too much")


async def swallows(view: View[Brief]) -> Draft:
    with contextlib.suppress(BaseException):
        view.spend(usd_micros=9)
    await view.call("search", search, "abc")
    raise AssertionError("unreachable")


async def calls(view: View[Brief]) -> Draft:
    for word in ("a", "b", "c"):
        await view.call("search", search, word)
    raise AssertionError("unreachable")


class Limited(Machine, calls_max=2):
    work = State(initial=Brief, agent=spends, tokens_max=6, usd_micros_max=5)
    done = State(final="completed")
    cut = State(final="failed")

    end = work.to(done, on=Draft)
    over = work.to(cut, on=CallRefused)


@pytest.mark.parametrize("agent", [spends, swallows, calls])
def test_a_stub_view_cuts_an_attempt_off_where_a_live_one_is(agent: Any):
    async def heard() -> CallRefused:
        with scratch_journal() as journal:
            async with Runner(journal, machines=[Limited.with_agents(work=agent)]) as runner:
                run = await runner.start(Limited.with_agents(work=agent), Brief(task="t"), run_id="r")
                await runner.finished(run.run_id)
                (record,) = [found for found in journal.read.records(run.key) if found.event == "CallRefused"]
                assert record.body is not None
                return CallRefused.model_validate_json(record.body)

    view = StubView(payload=Brief(task="t"), tokens_max=6, usd_micros_max=5, calls_max=2)
    with pytest.raises(VisitOver):
        asyncio.run(agent(view))
    assert view.refused == asyncio.run(heard())


def test_a_stub_view_says_what_is_left():
    view = StubView(payload=None, tokens_max=10, remaining={"tokens": 100, "hops": 3})
    view.spend(tokens=4)
    assert dict(view.remaining) == {"tokens": 6, "hops": 3}


# -- tables and traces -----------------------------------------------------------------------------


def test_a_table_tells_samples_apart_and_adds_what_the_runtime_may_say():
    class Small(Machine):
        work = State(initial=Brief, agent=hang)
        wait = State(timeout_s=9)
        rest = State()
        done = State(final="completed")

        made = work.to(wait, on=Draft)
        failed = work.to(rest, on=AgentFailed)
        good = wait.to(done, on=Verdict, when=is_good)
        late = wait.to(rest, on=AgentFailed)
        again = rest.to(work, on=Draft)

    assert table(Small, [Brief(task="t"), Draft(text=""), Verdict(good=True), Verdict(good=False)]) == {
        ("(start)", "Brief"): "start -> work",
        ("work", "Brief"): "unhandled",
        ("work", "Draft"): "made -> wait",
        ("work", "Verdict"): "unhandled",
        ("work", "Verdict#2"): "unhandled",
        ("work", "TimedOut"): "failed -> rest",
        ("work", "PayloadInvalid"): "failed -> rest",
        ("work", "CallRefused"): "failed -> rest",
        ("work", "CallUnsure"): "stuck",
        ("work", "AgentFailed"): "failed -> rest",
        ("work", "Cancelled"): "cancelled",
        ("wait", "Brief"): "unhandled",
        ("wait", "Draft"): "unhandled",
        ("wait", "Verdict"): "good -> done",
        ("wait", "Verdict#2"): "unhandled",
        ("wait", "TimedOut"): "late -> rest",
        ("wait", "Cancelled"): "cancelled",
        ("rest", "Brief"): "unhandled",
        ("rest", "Draft"): "again -> work",
        ("rest", "Verdict"): "unhandled",
        ("rest", "Verdict#2"): "unhandled",
        ("rest", "Cancelled"): "cancelled",
    }
    stuck = table(Office, [])
    assert stuck["review", "TimedOut"] == stuck["write", "AgentFailed"] == "stuck"
    assert ("desk", "TimedOut") not in stuck


def test_a_trace_is_the_same_however_often_a_run_was_interrupted():
    agents: dict[str, Any] = {"write": scripted(Draft(text="x")), "review": scripted(Verdict(good=True))}
    interrupted = Office.with_agents(**{**agents, "review": hang})

    async def both(journal: SqliteJournal) -> list[list[tuple[str, str, str, str, str]]]:
        async with Runner(SqliteJournal(journal.path), machines=[interrupted], handle_signals=False) as runner:
            await runner.start(interrupted, Brief(task="t"), run_id="interrupted")
            while runner.journal.read.run("interrupted").state != "review":
                await asyncio.sleep(0.001)
        machine = Office.with_agents(**agents)
        async with Runner(journal, machines=[machine], handle_signals=False) as runner:
            await runner.start(machine, Brief(task="t"), run_id="undisturbed")
            for run_id in ("interrupted", "undisturbed"):
                await runner.settled(run_id)
            read = runner.journal.read
            kinds = [record.kind for record in read.records(read.run("interrupted").key)]
            assert kinds == ["started", "taken", "resumed", "ended"]
            return [trace(read, "interrupted"), trace(read, "undisturbed")]

    with scratch_journal() as journal:
        interrupted_trace, undisturbed = asyncio.run(both(journal))
    assert interrupted_trace == undisturbed
    assert [entry[:4] for entry in undisturbed] == [
        ("started", "Brief", "start", "write"),
        ("taken", "Draft", "written", "review"),
        ("ended", "Verdict", "approve", "done"),
    ]


# -- crash points ----------------------------------------------------------------------------------


def test_crash_at_kills_the_process_at_the_nth_arrival_and_not_before():
    program = (
        "from fsm import crash\n"
        "from fsm.testing import crash_at\n"
        "crash_at('visit.started', 3)\n"
        "for n in range(9):\n"
        "    print(n, flush=True)\n"
        "    crash.point('visit.returned')\n"
        "    crash.point('visit.started')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1", "2"]


def test_a_crash_point_that_does_not_exist_is_no_crash_point():
    with pytest.raises(ValueError, match=r"no crash point 'visit\.strated'"):
        crash_at("visit.strated")
    assert "visit.started" in crash.POINTS
