"""Two runs that may go other ways: a writer and a reviewer, each answering what a test says."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel

from fsm import AgentFailed, Machine, Retry, Runner, SqliteJournal, State, TimedOut, any_of, days, read_journal
from fsm.journal.reader import Reader
from fsm.replay.diff import Diff, diff
from fsm.testing import MovableClock, hang, scripted
from guards import LoopCap


class Brief(BaseModel):
    topic: str = "doors"


class Draft(BaseModel):
    text: str
    tags: list[str] = []
    source: dict[str, int] = {}


class Review(BaseModel):
    good: bool


class Approval(BaseModel):
    by: str = "ann"


def is_good(review: Review) -> bool:
    return review.good


class Desk(Machine):
    draft = State(initial=Brief, agent=hang, timeout_s=60)
    review = State(agent=hang, retry=Retry(attempts_max=2, base_s=0, cap_s=0))
    person = State(timeout_s=days(2))
    done = State(final="completed")
    dropped = State(final="failed")

    submit = draft.to(review, on=Draft)
    approve = review.to(done, on=Review, when=is_good)
    reject = review.to(draft, on=Review, guards=[LoopCap(2)], otherwise=person)
    accept = person.to(done, on=Approval)
    drop = person.to(dropped, on=TimedOut)
    broken = any_of(draft, review).to(person, on=AgentFailed)


Answers = Sequence[BaseModel | Exception]
GOOD, BAD, TEXT = Review(good=True), Review(good=False), Draft(text="a text")


class Twins:
    """A journal, and runs recorded in it one after the other."""

    def __init__(self, folder: Path) -> None:
        self.db = folder / "runs.db"
        self.clock = MovableClock()

    def record(
        self,
        run_id: str,
        *,
        drafts: Answers = (TEXT,),
        reviews: Answers = (GOOD,),
        sends: Sequence[BaseModel] = (),
        machine: type[Machine] = Desk,
        wait_s: float = 0,
    ) -> None:
        """Start a run and let it stand still; then send it these events, or let this time go by."""
        bound = machine.with_agents(draft=scripted(*drafts), review=scripted(*reviews))

        async def main() -> None:
            journal = SqliteJournal(self.db, synchronous="OFF")
            async with Runner(journal, clock=self.clock, poll_s=0.005, handle_signals=False) as runner:
                await runner.start(bound, Brief(), run_id=run_id)
                await runner.settled(run_id)
                for event in sends:
                    await runner.send(run_id, event)
                if wait_s:
                    self.clock.advance(wait_s)
                    await runner.finished(run_id)

        asyncio.run(main())

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        reader = read_journal(self.db)
        try:
            yield reader
        finally:
            reader.close()

    def diff(self, a: str, b: str) -> Diff:
        with self.reading() as reader:
            return diff(reader, reader.run(a), reader.run(b))
