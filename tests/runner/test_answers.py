"""Calls of which nobody knows whether they were made: `unsure="ask"`, and what a person answers."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import AgentFailed, CallUnsure, Machine, Record, Runner, Spent, State, read_journal, unbound
from fsm.define.payload import digest
from fsm.errors import Fenced, NothingToAnswer
from fsm.journal.rows import Call
from tests.helpers import running


class Job(BaseModel):
    task: str = ""


class Done(BaseModel):
    text: str = ""


class Back(BaseModel):
    """A person sends the work back."""


class Asking(Machine):
    work = State(initial=Job, agent=unbound)
    done = State(final="completed")
    broken = State(final="failed")
    finish = work.to(done, on=Done)
    fail = work.to(broken, on=AgentFailed)


class Deciding(Machine):
    """The machine takes the question to a person, who sends the work back."""

    work = State(initial=Job, agent=unbound)
    person = State()
    done = State(final="completed")
    finish = work.to(done, on=Done)
    ask = work.to(person, on=CallUnsure)
    back = person.to(work, on=Back)


class Bank:
    """An agent with one call that looks and one that charges; the first charge never comes back."""

    def __init__(self, key: str | None = None, unsure: str = "ask") -> None:
        self.key, self.unsure = key, unsure
        self.looked = 0
        self.charged: list[str] = []
        self.begun = asyncio.Event()

    def look(self) -> int:
        self.looked += 1
        return 3

    async def charge(self, amount: int, *, idempotency_key: str) -> str:
        self.charged.append(idempotency_key)
        if len(self.charged) == 1:
            self.begun.set()
            await asyncio.Event().wait()
        return f"charged {amount}"

    async def agent(self, view: Any) -> Done:
        view.spend(tokens=1)
        amount = await view.call("look", self.look)
        return Done(text=await view.call("charge", self.charge, amount, key=self.key, unsure=self.unsure, returns=str))

    def sync_agent(self, view: Any) -> Done:
        amount = view.call_sync("look", self.look)
        return Done(text=view.call_sync("charge", self.charge, amount, key=self.key, unsure=self.unsure, returns=str))

    async def interrupted(self, db: Path, machine: type[Machine]) -> None:
        """A run of `machine` is lost in the middle of its charge."""
        async with running(db, machine) as runner:
            await runner.start(machine, Job(), run_id="r")
            await self.begun.wait()


def records(runner: Runner) -> list[Record]:
    return list(runner.journal.read.records(runner.journal.read.run("r").key))


def last(runner: Runner, cls: type[BaseModel]) -> Any:
    body = records(runner)[-1].body
    assert body is not None
    return cls.model_validate_json(body)


@pytest.mark.parametrize("kind", ["agent", "sync_agent"])
async def test_a_run_halts_to_ask_and_goes_on_with_the_answer(db: Path, kind: str) -> None:
    bank = Bank()
    bound = Asking.with_agents(work=getattr(bank, kind))
    await bank.interrupted(db, bound)
    async with running(db, bound) as runner:
        run = await runner.settled("r")
        assert (run.state, run.outcome) == ("work", "stuck")
        key = bank.charged[0]
        assert last(runner, CallUnsure) == CallUnsure(call="charge", key=key, arguments="[3]", attempt=2)
        await runner.answer("r", "charge", result="charged by hand", by="ann")
        run = await runner.settled("r")
        assert (run.outcome, last(runner, Done)) == ("completed", Done(text="charged by hand"))
        assert (bank.looked, len(bank.charged)) == (1, 1), "what had finished counts, what is answered is not made"
        resumed = records(runner)[-2]
        assert (resumed.kind, resumed.note) == ("resumed", {"why": "answered", "by": "ann", "key": key})
        rows = [(row.kind, row.status, row.seq) for row in runner.journal.read.calls(run.key) if row.key == key]
        assert rows == [("intent", "", 0), ("outcome", "ok", resumed.seq - 1)]
    assert [record.spent for record in records_at(db)][-1] == Spent(), "reported again, counted once"


def records_at(db: Path) -> list[Record]:
    reader = read_journal(db)
    try:
        return list(reader.records(reader.run("r").key))
    finally:
        reader.close()


async def test_again_makes_the_call_under_the_same_key(db: Path) -> None:
    bank = Bank()
    bound = Asking.with_agents(work=bank.agent)
    await bank.interrupted(db, bound)
    async with running(db, bound) as runner:
        await runner.settled("r")
        await runner.answer("r", bank.charged[0], again=True)
        assert (await runner.settled("r")).outcome == "completed"
        assert last(runner, Done) == Done(text="charged 3")
        assert bank.charged == [bank.charged[0]] * 2
        assert bank.looked == 1


async def test_after_again_a_second_loss_asks_again(db: Path) -> None:
    bank = Bank()
    bound = Asking.with_agents(work=bank.agent)
    await bank.interrupted(db, bound)
    async with running(db, bound) as runner:
        await runner.settled("r")
        bank.charged.clear()
        bank.begun.clear()
        await runner.answer("r", "charge", again=True)
        await bank.begun.wait()
    async with running(db, bound) as runner:
        assert (await runner.settled("r")).outcome == "stuck"
        await runner.answer("r", "charge", result="yes")
        assert (await runner.settled("r")).outcome == "completed"
        assert len(bank.charged) == 1


async def test_a_call_that_is_known_to_have_failed_is_not_asked_about(db: Path) -> None:
    charges = iter([ConnectionError("busy"), None])

    def charge() -> str:
        error = next(charges)
        if error is not None:
            raise error
        return "charged"

    async def agent(view: Any) -> Done:
        for _ in range(2):
            try:
                return Done(text=await view.call("charge", charge, key="7", unsure="ask"))
            except Exception:
                continue
        return Done()

    bound = Asking.with_agents(work=agent)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        assert (await runner.settled("r")).outcome == "completed"
        assert last(runner, Done) == Done(text="charged")


async def test_a_machine_may_take_the_question_elsewhere(db: Path) -> None:
    """A call that the user keyed is met again; its answer is known then, the visit is another."""
    bank = Bank(key="order 7")
    bound = Deciding.with_agents(work=bank.agent)
    await bank.interrupted(db, bound)
    async with running(db, bound) as runner:
        run = await runner.settled("r")
        assert (run.state, run.outcome) == ("person", "waiting")
        await runner.answer("r", "charge", result="charged by hand")
        with pytest.raises(NothingToAnswer, match="its outcome is known by now"):
            await runner.answer("r", "charge", again=True)
        assert runner.journal.read.run("r").outcome == "waiting"
        await runner.send("r", Back())
        assert (await runner.settled("r")).outcome == "completed"
        assert (last(runner, Done), len(bank.charged)) == (Done(text="charged by hand"), 1)


async def test_an_outcome_that_came_meanwhile_counts_and_not_the_answer(db: Path) -> None:
    """The process had only been stopped: what it did is a fact."""
    bank = Bank()
    bound = Asking.with_agents(work=bank.agent)
    await bank.interrupted(db, bound)
    async with running(db, bound) as runner:
        run = await runner.settled("r")
        body = b'"charged 3, late"'
        late = Call(
            run=run.key,
            seq=0,
            entered=0,
            attempt=1,
            kind="outcome",
            key=bank.charged[0],
            name="charge",
            status="ok",
            spent=Spent(5),
            at_ms=0,
            digest=digest(body),
            body=body,
        )
        await runner.journal.call(late)
        await runner.answer("r", "charge", again=True)
        assert (await runner.settled("r")).outcome == "completed"
        assert (last(runner, Done), len(bank.charged)) == (Done(text="charged 3, late"), 1)
        assert sum((record.spent for record in records(runner)), Spent()) == Spent(6)


async def test_what_cannot_be_answered(db: Path) -> None:
    bank = Bank()
    bound = Asking.with_agents(work=bank.agent)
    await bank.interrupted(db, bound)
    async with running(db, bound) as runner:
        await runner.settled("r")
        before = records(runner)
        with pytest.raises(NothingToAnswer) as error:
            await runner.answer("r", "look", again=True)
        assert str(error.value) == (
            f"run 'r' does not ask about call 'look': it asked about 'charge'\n  -> answer {bank.charged[0]!r}"
        )
        with pytest.raises(TypeError, match="the result of call 'charge' is not JSON data"):
            await runner.answer("r", "charge", result=object())
        neither_or_both: list[dict[str, Any]] = [{}, {"result": 1, "again": True}]
        for wrong in neither_or_both:
            with pytest.raises(ValueError, match="needs one of two"):
                await runner.answer("r", "charge", **wrong)
        assert records(runner) == before and len(runner.journal.read.calls(1)) == 3
        answers = [runner.answer("r", "charge", result=text) for text in ("one", "two")]
        told = await asyncio.gather(*answers, return_exceptions=True)
        assert sorted(type(answer).__name__ for answer in told) == ["Fenced", "Run"]
        await runner.settled("r")
        with pytest.raises(NothingToAnswer, match="it is completed since then"):
            await runner.answer("r", "charge", again=True)
        await runner.start(bound, Job(task="other"), run_id="s")
        with pytest.raises(NothingToAnswer, match="it has asked nothing"):
            await runner.answer("s", "charge", again=True)
        await runner.settled("s")


async def test_an_old_question_is_not_answered_where_the_run_stands_for_another_reason(db: Path) -> None:
    class Bare(Machine):
        work = State(initial=Job, agent=unbound)
        done = State(final="completed")
        finish = work.to(done, on=Done)

    bank, turns = Bank(), iter([1, 2])

    async def agent(view: Any) -> Done:
        if next(turns, None) is None:
            raise OSError("broken")
        return await bank.agent(view)

    bound = Bare.with_agents(work=agent)
    await bank.interrupted(db, bound)
    async with running(db, bound) as runner:
        await runner.settled("r")
        await runner.resume("r")
        assert (await runner.settled("r")).outcome == "stuck"
        with pytest.raises(NothingToAnswer, match="it is stuck since then"):
            await runner.answer("r", "charge", again=True)


async def test_the_answer_is_fenced_by_the_position_it_was_made_for(db: Path) -> None:
    bank = Bank()
    bound = Asking.with_agents(work=bank.agent)
    await bank.interrupted(db, bound)
    async with running(db, bound) as one, running(db, bound, adopt=False) as other:
        await one.settled("r")
        told = await asyncio.gather(
            one.answer("r", "charge", result="one"),
            other.answer("r", "charge", result="two"),
            return_exceptions=True,
        )
        assert sum(isinstance(answer, Fenced) for answer in told) == 1
        await one.settled("r")
        assert [row.body for row in one.journal.read.calls(1) if row.key == bank.charged[0]][1:] in (
            [b'"one"'],
            [b'"two"'],
        )


# -- two at once under one key -----------------------------------------------------------------------


class Shop:
    def __init__(self, error: Exception | None = None) -> None:
        self.made = 0
        self.error = error

    async def buy(self, what: str) -> str:
        self.made += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return f"{what} {self.made}"

    def take(self, what: str) -> str:
        self.made += 1
        return f"{what} {self.made}"


@pytest.mark.parametrize("unsure", ["repeat", "refuse", "ask"])
@pytest.mark.parametrize("fn", ["buy", "take"])
async def test_the_second_of_two_at_once_gets_the_outcome_of_the_first(db: Path, fn: str, unsure: str) -> None:
    shop = Shop()

    async def agent(view: Any) -> Done:
        calls = [view.call("buy", getattr(shop, fn), "tea", key="7", unsure=unsure) for _ in range(3)]
        return Done(text=", ".join(await asyncio.gather(*calls)))

    bound = Asking.with_agents(work=agent)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        await runner.settled("r")
        assert (last(runner, Done), shop.made) == (Done(text="tea 1, tea 1, tea 1"), 1)
        assert [row.kind for row in runner.journal.read.calls(1)] == ["intent", "outcome"]


async def test_they_share_a_failure_too(db: Path) -> None:
    shop = Shop(ConnectionError("closed"))

    async def agent(view: Any) -> Done:
        calls = [view.call("buy", shop.buy, "tea", key="7") for _ in range(2)]
        return Done(text=" / ".join(str(told) for told in await asyncio.gather(*calls, return_exceptions=True)))

    bound = Asking.with_agents(work=agent)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        await runner.settled("r")
        assert (last(runner, Done).text.count("ConnectionError: closed"), shop.made) == (2, 1)


async def test_where_the_first_is_given_up_the_second_is_made(db: Path) -> None:
    made: list[int] = []

    async def buy() -> str:
        made.append(1)
        if len(made) == 1:
            await asyncio.Event().wait()
        return "tea"

    async def agent(view: Any) -> Done:
        first = asyncio.ensure_future(view.call("buy", buy, key="7"))
        while not made:
            await asyncio.sleep(0)
        second = asyncio.ensure_future(view.call("buy", buy, key="7"))
        await asyncio.sleep(0)
        first.cancel()
        return Done(text=await second)

    bound = Asking.with_agents(work=agent)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        await runner.settled("r")
        assert (last(runner, Done), len(made)) == (Done(text="tea"), 2)


@pytest.mark.parametrize(
    ("key", "told"),
    [("coffee", "already stands for other arguments"), ("tea", "is made inside itself")],
    ids=["other arguments", "inside itself"],
)
async def test_what_one_key_cannot_stand_for(db: Path, key: str, told: str) -> None:
    async def agent(view: Any) -> Done:
        async def outer(what: str) -> str:
            return str(await view.call("buy", outer, key, key="7"))

        return Done(text=await view.call("buy", outer, "tea", key="7"))

    bound = Asking.with_agents(work=agent)
    async with running(db, bound) as runner:
        await runner.start(bound, Job(), run_id="r")
        assert (await runner.settled("r")).state == "broken"
        assert told in last(runner, AgentFailed).message
