"""What is said about a run, in words: pure, without colours, the same for a terminal and a pipe."""

import re
import shlex
from collections.abc import Sequence

from attrs import frozen
from pydantic import BaseModel

from examples.docs_desk.cutting import TRIPLE
from examples.docs_desk.story import Asked, Hop, Story
from machines.review_loop import Approval, Brief, Draft, Findings, Passage, Refusal, Verdict

COMMAND = "python -m examples.docs_desk"
CODE = re.compile(r"^(?:async\s+def|def|class)\s")


@frozen
class Shown:
    """A claim as one reads it: a signature if it defines something, and what is said, on one line each."""

    signature: str
    text: str


def shown(claim: Passage) -> Shown:
    """The claim without the marks of its language; the words and their order stay."""
    head, text = "", claim.text
    if CODE.match(claim.text):
        quote = TRIPLE.search(claim.text)
        head, text = (claim.text[: quote.start()], claim.text[quote.end() :]) if quote else (claim.text, "")
        head = re.sub(r"\s+", " ", head).strip().rstrip("rR ").rstrip(":").replace("( ", "(")
    lines = [re.sub(r"^\s*(?:#+|[*>-])\s+", "", line) for line in text.split("\n")]
    return Shown(head, " ".join(" ".join(lines).split()))


def said(payload: BaseModel | dict[str, object]) -> str:
    """An event in a few words."""
    match payload:
        case Brief():
            return "a question"
        case Findings():
            return f"{counted(len(payload.passages), 'passage')} of {counted(payload.searched, 'file')}"
        case Draft():
            return counted(len(payload.claims), "claim")
        case Verdict():
            return "every claim stands, every term is said" if payload.good else payload.critique
        case Approval():
            return f"approved by {payload.by}" + (f": {payload.note}" if payload.note else "")
        case Refusal():
            return f"refused by {payload.by}" + (f": {payload.reason}" if payload.reason else "")
        case dict():
            return ", ".join(f"{name} {value}" for name, value in payload.items())
    return ""


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def ruled(asked: Asked) -> str:
    """A guard's verdict with its numbers: `LoopCap on reject: allow (1/3 fires)`."""
    told = numbers(asked)
    return f"{asked.guard} on {asked.place}: {asked.verdict}" + (f" ({told})" if told else "")


def numbers(asked: Asked) -> str:
    """The verdict's numbers, a count with its limit where it has one."""
    told = asked.numbers
    limits = {name: f"/{told[f'{name}_max']:,}" for name in told if f"{name}_max" in told}
    plain = [name for name in told if name.removesuffix("_max") not in limits or name in limits]
    return ", ".join(f"{told[name]:,}{limits.get(name, '')} {name}" for name in plain)


def moved(hop: Hop) -> str:
    """From where to where."""
    return f"{hop.source} -> {hop.state}" if hop.source else hop.state


def refusal_of(hops: Sequence[Hop]) -> Asked | None:
    """The refusal that led to where the run is now, if one did."""
    return next((asked for hop in hops[-1:] for asked in hop.asked if asked.verdict == "refuse"), None)


def why_waiting(story: Story) -> str:
    """Why a person is asked: what the reviewer missed, and the guard that allows no further round."""
    refusal = refusal_of(story.hops)
    if refusal is None:
        return said(story.hops[-1].payload)
    rejected = counted(sum(isinstance(hop.payload, Verdict) and not hop.payload.good for hop in story.hops), "draft")
    critique = f"The reviewer rejected {rejected}. {story.verdict.critique}" if story.verdict else ""
    return f"{critique} {refusal.guard} on {refusal.place} refuses ({numbers(refusal)}).".strip()


def how_to_continue(story: Story, db: str, word: str = "approve") -> str:
    """The command that gives this run a person's word, ready to paste."""
    return f"{COMMAND} send {shlex.quote(story.run_id)} {word} --by YOUR_NAME --db {shlex.quote(db)}"


def elapsed(story: Story) -> str:
    """How long the run took by its own records."""
    took = story.hops[-1].at_ms - story.hops[0].at_ms if story.hops else 0
    return f"{took / 1000:.2f} s"
