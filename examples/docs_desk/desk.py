"""The docs desk: three agents on `ReviewLoop`, and the two things that can be done with it, ask and send.

Agents are plain functions of what they are shown. They read files only inside a call, so every reading is on
record, and they spend a token for every four bytes they read, as a model would have.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen
from pydantic import BaseModel

from examples.docs_desk.claims import pick
from examples.docs_desk.library import query_index, read_document
from examples.docs_desk.words import covered, queries, terms
from fsm import Machine, Record, Replay, Run, Runner, View, replay_run
from machines.review_loop import Approval, Brief, Draft, Findings, Notes, Passage, Refusal, ReviewLoop, Verdict

BYTES_PER_TOKEN = 4
LEAD_SHARE = 0.5
CITED_LINES_MAX = 60


class Watcher(Protocol):
    """Hears of a run while it runs, and why it does not when it does not; of one record perhaps twice."""

    def __call__(self, run: Run, record: Record) -> None: ...

    def wait(self, why: str) -> None: ...


# --- the agents -----------------------------------------------------------------------------------


def search(view: View[Brief | Verdict]) -> Findings:
    """Find passages about the task; a rejection says what was missing and widens the search."""
    notes: Notes = view.memory
    missing = view.payload.missing if isinstance(view.payload, Verdict) else []
    asked, limit = queries(terms(notes.task), missing, notes.rejections)
    found: Findings = view.call_sync("search_index", query_index, notes.material, asked, limit, returns=Findings)
    view.spend(tokens=tokens_of(passage.text for passage in found.passages))
    return found


def write(view: View[Findings]) -> Draft:
    """Answer with the statements that say most of the question, each with its source."""
    notes: Notes = view.memory
    claims = pick(terms(notes.task), view.payload.passages)
    view.spend(tokens=tokens_of(passage.text for passage in [*view.payload.passages, *claims]))
    return Draft(claims=claims)


def review(view: View[Draft]) -> Verdict:
    """Open every cited file: each claim must stand there, and together they must say the whole question."""
    notes: Notes = view.memory
    claims = view.payload.claims
    texts: list[str] = view.call_sync("read_cited", read_cited, notes.material, claims, returns=list[str])
    view.spend(tokens=tokens_of([*texts, *(claim.text for claim in claims)]))
    return judged(terms(notes.task), claims, texts)


def tokens_of(texts: Iterable[str]) -> int:
    """The price of reading: a token for every BYTES_PER_TOKEN bytes, rounded up."""
    return -(-sum(len(text.encode("utf-8", "replace")) for text in texts) // BYTES_PER_TOKEN)


def read_cited(folder: str, claims: Sequence[Passage]) -> list[str]:
    """What stands today where claims point: as many lines as each has; "" where there is nothing to read."""
    texts: list[str] = []
    for claim in claims:
        lines = read_document(Path(folder), claim.source) or []
        last = claim.line - 1 + min(claim.text.count("\n") + 1, CITED_LINES_MAX)
        texts.append("\n".join(lines[max(claim.line - 1, 0) : last]))
    return texts


def judged(wanted: Sequence[str], claims: Sequence[Passage], standing: Sequence[str]) -> Verdict:
    """The verdict on a draft, given what its sources say today; every fault is named, none is scored away."""
    said = [covered(wanted, f"{claim.source} {claim.text}") for claim in claims]
    missing = [term for term in wanted if not any(term in one for one in said)]
    most = max(said, key=len, default=[])
    false = [
        f"{claim.source}:{claim.line}" for claim, text in zip(claims, standing, strict=True) if not stands(claim, text)
    ]
    faults: list[str] = []
    if not claims:
        faults.append("There is nothing to cite.")
    if false:
        faults.append(f"Not what the file says: {', '.join(false)}.")
    if missing:
        faults.append(f"No claim says {', '.join(missing)}.")
    if claims and len(most) < LEAD_SHARE * len(wanted):
        faults.append(f"A patchwork: no claim says more than {len(most)} of {len(wanted)} terms.")
        missing = missing or [term for term in wanted if term not in most]
    return Verdict(good=not faults, critique=" ".join(faults), missing=missing)


def stands(claim: Passage, text: str) -> bool:
    """Whether a claim begins in the first line read and stands there letter for letter."""
    first_line = text.partition("\n")[0]
    return bool(claim.text.strip()) and 0 <= text.find(claim.text) <= len(first_line)


def desk(pace_s: float = 0.0) -> type[Machine]:
    """`ReviewLoop` with these agents; each waits `pace_s` seconds first, to be watched or killed."""

    def paced(agent: Callable[[Any], BaseModel]) -> Callable[[Any], BaseModel]:
        def slow(view: Any) -> BaseModel:
            time.sleep(pace_s)
            return agent(view)

        return slow if pace_s else agent

    return ReviewLoop.with_agents(research=paced(search), draft=paced(write), review=paced(review))


# --- its runs -------------------------------------------------------------------------------------


@frozen
class Story:
    """A run as its journal tells it, and what a replay of it found."""

    run: Run
    records: tuple[Record, ...]
    replay: Replay


async def ask(db: Path, brief: Brief, run_id: str, watcher: Watcher, pace_s: float = 0.0) -> Story:
    """Run the brief until it ends, halts or waits for a person; a run of this id is continued."""
    machine = desk(pace_s)
    async with Runner(db, machines=[machine], observers=[watcher], adopt=False) as runner:
        run = await runner.start(machine, brief, run_id=run_id, labels={"example": "docs_desk"})
        return await followed(runner, run, watcher)


async def send(db: Path, run_id: str, word: Approval | Refusal, watcher: Watcher) -> Story:
    """Give a waiting run a person's word, from this process or any other, and follow it to its end."""
    async with Runner(db, machines=[desk()], observers=[watcher], adopt=False) as runner:
        await runner.send(run_id, word)
        return await followed(runner, runner.journal.read.run(run_id), watcher)


async def followed(runner: Runner, run: Run, watcher: Watcher) -> Story:
    """The story of a run once it has settled; the watcher hears of what was recorded before, too."""
    read = runner.journal.read
    for record in read.records(run.key):
        watcher(run, record)
    if read.run(run.run_id).owner not in (0, runner.journal.epoch):
        watcher.wait("another runner has this run: waiting for it, or for the end of its lease if it is dead")
    run = await runner.settled(run.run_id)
    records = tuple(read.records(run.key))
    for record in records:
        watcher(run, record)
    return Story(run, records, replay_run(read, run.run_id, desk()))


def payload_of(record: Record) -> BaseModel | None:
    """What arrived with this record; None where nothing did, as when a run is taken over."""
    cls = ReviewLoop.spec.classes.get(record.event)
    return cls.model_validate_json(record.body) if cls is not None and record.body is not None else None
