"""Usage that agents report: priced once, recorded by model and price version, carried through every kind of weather."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    CallRefused,
    Machine,
    Prices,
    Record,
    Retry,
    Runner,
    Spent,
    State,
    TimedOut,
    Usage,
    everywhere,
    unbound,
)
from fsm.core.used import Used
from fsm.journal.search import used
from fsm.testing import StubView
from guards import CostBudget
from tests.helpers import running


class Job(BaseModel):
    pass


class Done(BaseModel):
    pass


class Work(Machine):
    work = State(initial=Job, agent=unbound)
    wait = State()
    done = State(final="completed")
    finish = work.to(done, on=Done)
    cut = work.to(wait, on=CallRefused)
    fail = work.to(wait, on=(AgentFailed, TimedOut))
    close = wait.to(done, on=Done)


class Tried(Work):
    work = Work.work.but(retry=Retry(attempts_max=3, base_s=0, cap_s=0))


class Money(Work):
    limits = everywhere(CostBudget(1_000_000), otherwise=Work.wait)


class PerVisit(Work):
    work = Work.work.but(usd_micros_max=1_000_000)


class Shared(Work):
    work = Work.work.but(guards=[CostBudget(1_000_000, scope="machine")], otherwise=Work.wait)


def price(model: str, usage: Usage) -> int | None:
    """Three dollars a million tokens of input, fifteen of output."""
    return usage.input * 3 + usage.output * 15 if model == "large" else None


PRICES = Prices("2026-11", price)
CHEAP = Prices("2026-11", price, unknown=500_000)
ONE = Usage(100, 40, cached=60, reasoning=30)
LARGE = Used("large", "2026-11", 100, 60, 40, 30, 1, 900)


def records(runner: Runner) -> list[Record]:
    return list(runner.journal.read.records(runner.journal.read.run("r").key))


async def ran(runner: Runner, machine: type[Machine]) -> Record:
    await runner.start(machine, Job(), run_id="r")
    await runner.settled("r")
    return records(runner)[-1]


def reporting(report: Callable[[Any], None]) -> Callable[[Any], Any]:
    async def agent(view: Any) -> Done:
        report(view)
        return Done()

    return agent


async def test_a_usage_is_recorded_by_model_and_price_version(db: Path) -> None:
    def report(view: Any) -> None:
        view.spend(ONE, model="large")
        view.spend({"model": "large", "usage": {"prompt_tokens": 10, "completion_tokens": 2}})
        view.spend(Usage(5, 5), model="own", usd_micros=7)
        view.spend(tokens=1, usd_micros=2)

    machine = Work.with_agents(work=reporting(report))
    async with running(db, machine, prices=PRICES) as runner:
        record = await ran(runner, machine)
        lines = (Used("large", "2026-11", 110, 60, 42, 30, 2, 960), Used("own", "", 5, 0, 5, 0, 1, 7))
        assert record.spent == Spent(163, 969, lines)
        assert used(runner.journal.read, runner.journal.read.run("r")) == lines


async def test_nobody_told_of_usage_so_records_are_what_they_were(db: Path) -> None:
    machine = Work.with_agents(work=reporting(lambda view: view.spend(tokens=3)))
    async with running(db, machine, prices=PRICES) as runner:
        record = await ran(runner, machine)
        assert record.spent == Spent(3)
        assert b"usage" not in record.detail
        assert used(runner.journal.read, runner.journal.read.run("r")) == ()


async def test_a_call_row_holds_the_usage_of_its_call(db: Path) -> None:
    async def agent(view: Any) -> Done:
        await view.call("ask", lambda: view.spend(ONE, model="large"))
        view.spend(ONE, model="large")
        await view.call("again", lambda: 1)
        return Done()

    machine = Work.with_agents(work=agent)
    async with running(db, machine, prices=PRICES) as runner:
        record = await ran(runner, machine)
        paid = Spent(140, 900, (LARGE,))
        rows = runner.journal.read.calls(1)
        assert [(row.kind, row.spent) for row in rows] == [
            ("intent", Spent()),
            ("outcome", paid),
            ("intent", paid),
            ("outcome", Spent()),
        ]
        assert record.spent == paid + paid


@pytest.mark.parametrize("where", ["on the loop", "on a thread", "in a call"])
async def test_an_unknown_price_that_is_refused_ends_the_visit_and_counts_the_tokens(db: Path, where: str) -> None:
    def sync(view: Any) -> Done:
        view.spend(ONE, model="other")
        raise AssertionError("it went on")

    async def agent(view: Any) -> Done:
        if where == "in a call":
            await view.call("ask", lambda: view.spend(ONE, model="other"))
        return sync(view)

    machine = Work.with_agents(work=sync if where == "on a thread" else agent)
    async with running(db, machine, prices=PRICES) as runner:
        record = await ran(runner, machine)
        assert (record.hop, record.spent) == (
            "cut",
            Spent(140, 0, (Used("other", "2026-11", *(100, 60, 40, 30, 1), 0, 140),)),
        )
        body = CallRefused.model_validate_json(record.body or b"")
        assert (body.code, body.numbers) == ("price_unknown", {"tokens": 140})
        assert body.text == "prices 2026-11 know no price of model 'other'"


async def test_an_unknown_price_is_charged_as_declared_and_told_once(
    db: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Work.with_agents(
        work=reporting(lambda view: [view.spend(Usage(1, 0), model="other") for _ in range(3)])  # type: ignore[arg-type]
    )
    async with running(db, machine, prices=CHEAP) as runner:
        with caplog.at_level(logging.WARNING, logger="fsm.runner"):
            record = await ran(runner, machine)
        assert record.spent == Spent(3, 3, (Used("other", "2026-11", 3, 0, 0, 0, 3, 3, 3),))
    told = [entry.message for entry in caplog.records if "other" in entry.message]
    assert told == ["prices 2026-11 know no price of model 'other'; 500000 micro-dollars a million tokens are charged"]


@pytest.mark.parametrize("machine", [Money, PerVisit, Shared])
async def test_usage_without_a_price_is_a_mistake_where_money_is_bounded(db: Path, machine: type[Machine]) -> None:
    bound = machine.with_agents(work=reporting(lambda view: view.spend(ONE, model="large")))
    async with running(db, bound) as runner:
        record = await ran(runner, bound)
        failed = AgentFailed.model_validate_json(record.body or b"")
        assert record.spent == Spent(140, 0, (Used("large", "", 100, 60, 40, 30, 1),)), "its tokens were spent"
        assert failed.error_type == "ValueError"
        assert "nobody knows what this usage of large costs, and this machine bounds money" in failed.message
        assert "-> Runner(..., prices=Prices(...))" in failed.message


async def test_what_is_free_says_so(db: Path) -> None:
    machine = Money.with_agents(work=reporting(lambda view: view.spend(ONE, model="own", usd_micros=0)))
    async with running(db, machine) as runner:
        assert (await ran(runner, machine)).hop == "finish"


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (lambda view: view.spend(None), "no usage: None"),
        (lambda view: view.spend({"usage": None}), "that is not zero"),
        (lambda view: view.spend(ONE, tokens=140), "its tokens are those of the usage"),
        (lambda view: view.spend(model="large", tokens=140), "without a usage"),
        (lambda view: view.spend(ONE, model=3), "give the name of a model"),
        (lambda view: view.spend(tokens=1.5), "spend(tokens=1.5)"),
        (lambda view: view.spend(usd_micros=-1), "spend(usd_micros=-1)"),
    ],
)
async def test_what_is_no_report(db: Path, report: Callable[[Any], None], said: str) -> None:
    machine = Work.with_agents(work=reporting(report))
    async with running(db, machine, prices=PRICES) as runner:
        record = await ran(runner, machine)
        assert said in AgentFailed.model_validate_json(record.body or b"").message
        assert record.spent == Spent()
    with pytest.raises(ValueError, match=r"usage|spend") as error:
        report(StubView(payload=Job(), prices=PRICES))
    assert said in str(error.value)


async def test_the_usage_of_failed_attempts_is_recorded_with_each(db: Path) -> None:
    async def agent(view: Any) -> Done:
        view.spend(ONE, model="large")
        if view.attempt < 3:
            raise ConnectionError("lost")
        return Done()

    machine = Tried.with_agents(work=agent)
    async with running(db, machine, prices=PRICES) as runner:
        await ran(runner, machine)
        assert [found.spent for found in records(runner)[1:]] == [Spent(140, 900, (LARGE,))] * 3


async def test_an_attempt_that_goes_on_reports_the_same_usage_again_and_it_counts_once(db: Path) -> None:
    begun = asyncio.Event()

    async def agent(view: Any) -> Done:
        view.spend(ONE, model="large")
        await view.call("ask", lambda: view.spend(ONE, model="large"))
        begun.set()
        if view.attempt == 1:
            await asyncio.Event().wait()
        view.spend(ONE, model="large")
        return Done()

    machine = Work.with_agents(work=agent)
    async with running(db, machine, prices=PRICES) as runner:
        await runner.start(machine, Job(), run_id="r")
        await begun.wait()
    async with running(db, machine, prices=PRICES) as runner:
        await runner.settled("r")
        total = sum((record.spent for record in records(runner)), Spent())
        assert total == Spent(420, 2_700, (Used("large", "2026-11", 300, 180, 120, 90, 3, 2_700),))
        assert used(runner.journal.read, runner.journal.read.run("r")) == total.usage


async def test_more_models_than_a_record_bears_are_told_together(db: Path) -> None:
    def report(view: Any) -> None:
        for number in range(40):
            view.spend(Usage(1, 0), model=f"m{number:02}", usd_micros=0)

    machine = Work.with_agents(work=reporting(report))
    async with running(db, machine) as runner:
        spent = (await ran(runner, machine)).spent
        assert (len(spent.usage), spent.tokens) == (33, 40)
        assert spent.usage[0] == Used("(others)", "", 8, requests=8)


def test_a_stub_view_prices_alike() -> None:
    view = StubView(payload=Job(), prices=PRICES, usd_micros_max=1_000)
    view.spend(ONE, model="large")
    assert view.spent == Spent(140, 900, (LARGE,))
    with pytest.raises(BaseException, match="price_unknown"):
        view.spend(ONE, model="other")
    assert view.refused is not None and view.refused.text == "prices 2026-11 know no price of model 'other'"
    bare = StubView(payload=Job(), usd_micros_max=1_000)
    with pytest.raises(ValueError, match="nobody knows what this usage of large costs"):
        bare.spend(ONE, model="large")
    assert bare.spent.tokens == 140
