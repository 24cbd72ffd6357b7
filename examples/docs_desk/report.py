"""What a run came to: the answer and its citations, its cost, whether replay agrees; and each record in words.

Coloured for a terminal, plain lines for anything else; both say the same.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from examples.docs_desk.desk import Story, payload_of
from examples.docs_desk.passages import OPENS, TRIPLE
from examples.docs_desk.words import IDENTIFIER, pieces, stem, terms
from fsm import AgentFailed, Record, Ruling
from machines.review_loop import Approval, Brief, Draft, Findings, Passage, Refusal, ReviewLoop, Verdict

PayloadT = TypeVar("PayloadT", bound=BaseModel)

WIDE_COLUMNS = 110
STYLES = {"completed": "green", "waiting": "yellow"}
MARKS = {"allow": ("✓", "green"), "refuse": ("✗", "bold red"), "defer": ("…", "yellow")}
NO_CLAIM = "nothing could be cited"
TAKEN_OVER = {"lost": "taken over: its process died", "released": "taken over where it was left"}
CAPS = {
    guard.counter.of: guard.limit or 0
    for line in ReviewLoop.spec.everywhere
    for guard in line.guards
    if guard.counter is not None
}


def tell(console: Console, story: Story, commands: Sequence[str]) -> None:
    """Print the whole story; `commands` are those by which a person answers, should the run wait for one."""
    if console.is_terminal:
        tell_terminal(console, story, commands)
    else:
        for line in plain_lines(story, commands):
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def tell_terminal(console: Console, story: Story, commands: Sequence[str]) -> None:
    style = STYLES.get(story.run.outcome, "red")
    title = Text(heading(story), f"bold {style}")
    console.print(Panel(answer(story), title=title, title_align="left", border_style=style, padding=(0, 1)))
    lines = [("spent", Text(cost(story))), ("replay", Text(agreed(story), "green" if story.replay.agreed else "red"))]
    if story.run.outcome == "waiting":
        lines.append(("why", Text(why_waiting(story), "yellow")))
    table = Table.grid(padding=(0, 1))
    for name, text in lines:
        table.add_row(Text(f" {name:<6}", "dim"), text)
    console.print(table)
    for command in commands if story.run.outcome == "waiting" else ():
        console.print(Text(f" {command}", "bold"), soft_wrap=True)


def plain_lines(story: Story, commands: Sequence[str]) -> list[str]:
    """The story in lines that a program can read, without the way, which was told while it was gone."""
    lines = ["", heading(story)]
    for number, claim in enumerate(claims_of(story), 1):
        lines.append(f"[{number}] {claim.source}:{claim.line}: {' -- '.join(filter(None, shown(claim)))}")
    lines += [*([] if claims_of(story) else [NO_CLAIM]), "", f"spent: {cost(story)}", f"replay: {agreed(story)}"]
    if story.run.outcome == "waiting":
        lines += [f"why: {why_waiting(story)}", *(f"continue: {command}" for command in commands)]
    return lines


# --- what became of it ----------------------------------------------------------------------------


def heading(story: Story) -> str:
    """One line on what became of the question."""
    brief = latest(story, Brief)
    task = brief.task if brief else ""
    match story.run.outcome:
        case "completed":
            return f"Answer: {task}"
        case "waiting":
            return f"Waiting for a person: {task}"
        case outcome:
            return f"No answer ({outcome} in {story.run.state}): {task}"


def cost(story: Story) -> str:
    """What it took, against the caps that hold for the whole run."""
    counts = {"tokens": sum(record.spent.tokens for record in story.records), "hops": hops_of(story.records)}
    told = [f"{counts[name]:,} of {cap:,} {name}" for name, cap in CAPS.items()]
    took_s = (story.records[-1].at_ms - story.records[0].at_ms) / 1000
    return ", ".join([*told, f"{took_s:.2f} s", f"run {story.run.run_id}"])


def agreed(story: Story) -> str:
    """What the replay found."""
    if story.replay.divergence is not None:
        return f"DISAGREES: {story.replay.divergence}"
    return f"{counted(story.replay.records, 'record')} decided again without agents: every decision came out the same"


def why_waiting(story: Story) -> str:
    """Why a person is asked: what the reviewer missed, and the guard that allows no further round."""
    refusal = next((one for one in story.records[-1].rulings if one.verdict.decision == "refuse"), None)
    verdict = latest(story, Verdict)
    if refusal is None or verdict is None:
        return said(story.records[-1])
    rejected = sum(record.event == "Verdict" for record in story.records)
    return f"{counted(rejected, 'draft')} rejected. {verdict.critique} {refusal}."


def latest(story: Story, model: type[PayloadT]) -> PayloadT | None:
    """The last payload of this class."""
    payloads = (payload_of(record) for record in reversed(story.records))
    return next((payload for payload in payloads if isinstance(payload, model)), None)


def claims_of(story: Story) -> list[Passage]:
    draft = latest(story, Draft)
    return draft.claims if draft else []


def hops_of(records: Sequence[Record]) -> int:
    """As the cap counts them: the one that ends the run among them, the start not."""
    return sum(bool(record.hop) and record.kind != "started" for record in records)


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


# --- the answer -----------------------------------------------------------------------------------


def answer(story: Story) -> Table:
    """The claims, each with its number, the words of the question standing out, and its citation."""
    brief = latest(story, Brief)
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", justify="right")
    for number, claim in enumerate(claims_of(story), 1):
        signature, text = shown(claim)
        body = Text().append(signature, "italic cyan")
        body.append("\n" if signature and text else "")
        body.append_text(marked(text, terms(brief.task) if brief else []))
        table.add_row(str(number), body.append("  ").append_text(cited(claim, brief.material if brief else "")))
    if not table.row_count:
        table.add_row("", Text(NO_CLAIM, "dim"))
    return table


def shown(claim: Passage) -> tuple[str, str]:
    """The claim as one reads it, a line each: its signature, if it defines something, and what it says."""
    head, text = "", claim.text
    if OPENS.match(claim.text):
        quote = TRIPLE.search(claim.text)
        head, text = (claim.text[: quote.start()], claim.text[quote.end() :]) if quote else (claim.text, "")
        head = re.sub(r"\s+", " ", head).strip().rstrip("rR ").rstrip(":").replace("( ", "(")
    lines = [re.sub(r"^\s*(?:#+|[*>-])\s+", "", line) for line in text.split("\n")]
    return head, " ".join(" ".join(lines).split())


def marked(text: str, wanted: Sequence[str]) -> Text:
    """The text with every word in bold that the question asks about."""
    stems = {stem(term) for term in wanted}
    bold = Text(text)
    for word in re.finditer(IDENTIFIER, text):
        if stems & {stem(part) for part in (word[0], *pieces(word[0]))}:
            bold.stylize("bold", word.start(), word.end())
    return bold


def cited(claim: Passage, folder: str) -> Text:
    """Where a claim stands, as a link that a terminal can open."""
    uri = (Path(folder) / claim.source).absolute().as_uri()
    return Text(f"{claim.source}:{claim.line}", f"blue link {uri}")


# --- the way --------------------------------------------------------------------------------------


def way(records: Sequence[Record], *, wide: bool) -> Table:
    """Every record: where it led, by which hop, what was said, and what each guard said."""
    table = Table.grid(padding=(0, 1))
    for record in records:
        verdicts = Text("  ").join(map(ruled, record.rulings))
        told = Text(said(record)) if wide or not verdicts else Text(said(record) + "\n").append_text(verdicts)
        hop = Text(record.hop or record.kind, "cyan")
        table.add_row(Text(f"{record.seq:3}", "dim"), record.state, hop, told, *([verdicts] if wide else []))
    return table


def ruled(ruling: Ruling) -> Text:
    """A guard's verdict with its numbers, a count over its limit; the guard is named where it objects."""
    mark, style = MARKS[ruling.verdict.decision]
    told = ruling.verdict.numbers
    limits = {name: f"/{told[f'{name}_max']:,}" for name in told if f"{name}_max" in told}
    plain = [name for name in told if name.removesuffix("_max") not in limits or name in limits]
    name = "" if ruling.verdict.decision == "allow" else f" {ruling.guard}"
    numbers = ", ".join(f"{told[name]:,}{limits.get(name, '')} {name}" for name in plain)
    return Text.assemble((f"{mark}{name}", style), (f" {numbers}", "dim"))


def said(record: Record) -> str:
    """What arrived, in a few words."""
    match payload_of(record):
        case Brief():
            return "a question"
        case Findings() as findings:
            return f"{counted(len(findings.passages), 'passage')} of {counted(findings.searched, 'file')}"
        case Draft() as draft:
            return counted(len(draft.claims), "claim")
        case Verdict() as verdict:
            return "every claim stands, every term is said" if verdict.good else verdict.critique
        case Approval() as word:
            return f"approved by {word.by}" + (f": {word.note}" if word.note else "")
        case Refusal() as word:
            return f"refused by {word.by}" + (f": {word.reason}" if word.reason else "")
        case AgentFailed() as failed:
            return f"{failed.error_type}: {failed.message}"
        case _:
            return TAKEN_OVER.get(str(record.note.get("why")), record.event)
