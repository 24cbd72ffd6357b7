"""The desk as a machine, its runs, and what is told about them: all that touches the runtime is here."""

import json
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from examples.docs_desk.agents import review, search, write
from examples.docs_desk.story import MOVES, Asked, Hop, Story, Watcher
from fsm import Machine, Record, Ruling, Run, Runner, replay
from machines.review_loop import Approval, Brief, Draft, Findings, Refusal, ReviewLoop, Verdict

AgentT = TypeVar("AgentT", bound=Callable[..., Any])
PayloadT = TypeVar("PayloadT", bound=BaseModel)
TOLD: dict[str, type[BaseModel]] = {
    model.__name__: model for model in (Brief, Findings, Draft, Verdict, Approval, Refusal)
}


def desk(pace_s: float = 0.0) -> type[Machine]:
    """`ReviewLoop` with the desk's agents; each waits `pace_s` seconds first, to be watched or killed."""
    return ReviewLoop.with_agents(
        research=paced(search, pace_s), draft=paced(write, pace_s), review=paced(review, pace_s)
    )


def paced(agent: AgentT, pace_s: float) -> AgentT:
    """The agent itself, or one that waits a while before it begins."""
    if pace_s <= 0:
        return agent

    @wraps(agent)
    def slow(view: Any) -> Any:
        time.sleep(pace_s)
        return agent(view)

    return slow  # type: ignore[return-value]


async def ask(db: Path, brief: Brief, run_id: str | None, watcher: Watcher, pace_s: float = 0.0) -> Story:
    """Run the brief until it ends or waits for a person; a run id that exists already is continued."""
    machine = desk(pace_s)
    async with Runner(db, machines=[machine], observers=[lambda _, record: watcher.saw(hop_of(record))]) as runner:
        run = await runner.start(machine, brief, run_id=run_id, labels={"example": "docs_desk"})
        watcher.began(run.run_id)
        for record in runner.journal.records(run.run_id):
            watcher.saw(hop_of(record))
        return story_of(runner, await runner.settled(run.run_id))


async def send(db: Path, run_id: str, word: Approval | Refusal, watcher: Watcher) -> Story:
    """Give a waiting run a person's word, from this process or any other, and follow it to its end."""
    machine = desk()
    async with Runner(db, machines=[machine], observers=[lambda _, record: watcher.saw(hop_of(record))]) as runner:
        watcher.began(run_id)
        await runner.send(run_id, word)
        return story_of(runner, await runner.settled(run_id))


def story_of(runner: Runner, run: Run) -> Story:
    """Everything the journal says about the run, and what a replay of it found."""
    hops = tuple(hop_of(record) for record in runner.journal.records(run.run_id))
    again = replay(runner.journal, run.run_id, machine=desk())
    draft, findings, verdict = last(hops, Draft), last(hops, Findings), last(hops, Verdict)
    return Story(
        run_id=run.run_id,
        state=run.state,
        outcome=run.outcome,
        brief=last(hops, Brief) or Brief(task=""),
        hops=hops,
        claims=draft.claims if draft else [],
        searched=findings.searched if findings else 0,
        verdict=verdict,
        tokens=sum(hop.tokens for hop in hops),
        agreed=again.agreed,
        divergence="" if again.agreed else str(again.divergence),
    )


def last(hops: tuple[Hop, ...], model: type[PayloadT]) -> PayloadT | None:
    """The latest payload of a class that moved the run."""
    moved = (hop.payload for hop in reversed(hops) if hop.kind in MOVES)
    return next((payload for payload in moved if isinstance(payload, model)), None)


def hop_of(record: Record) -> Hop:
    """A record of the journal, read."""
    body = json.loads(record.body or b"{}")
    model = TOLD.get(record.event)
    return Hop(
        seq=record.seq,
        at_ms=record.at_ms,
        kind=record.kind,
        source="" if record.kind == "started" else record.source,
        state=record.state,
        hop=record.hop,
        event=record.event,
        payload=model.model_validate(body) if model else body,
        outcome=record.outcome,
        asked=tuple(asked_of(ruling) for ruling in record.rulings),
        tokens=record.spent.tokens,
    )


def asked_of(ruling: Ruling) -> Asked:
    verdict = ruling.verdict
    return Asked(ruling.guard, ruling.at, verdict.decision, verdict.code, dict(verdict.numbers))
