"""What a run came to: the answer and its citations, the way it took, its cost, and whether replay agrees."""

import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from examples.docs_desk.story import TOKENS_MAX, Asked, Hop, Story
from examples.docs_desk.telling import (
    counted,
    elapsed,
    how_to_continue,
    moved,
    numbers,
    ruled,
    said,
    shown,
    why_waiting,
)
from examples.docs_desk.words import IDENTIFIER, pieces, stem, terms
from machines.review_loop import Passage

UNBROKEN = "\N{NO-BREAK SPACE}"
GUARD_STYLES = {"allow": "green", "refuse": "bold red", "defer": "yellow"}


def tell(console: Console, story: Story, db: str) -> None:
    """Print the whole story: coloured for a terminal, plain lines for anything else."""
    if console.is_terminal:
        tell_terminal(console, story, db)
    else:
        for line in plain_lines(story, db):
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def plain_lines(story: Story, db: str) -> list[str]:
    """The story in lines that a program can read: one per claim and per record."""
    lines = [f"{heading(story)}"]
    for number, claim in enumerate(story.claims, 1):
        view = shown(claim)
        text = " -- ".join(part for part in (view.signature, view.text) if part)
        lines.append(f"[{number}] {claim.source}:{claim.line}: {text}")
    for hop in story.hops:
        asked = "; ".join(ruled(one) for one in hop.asked)
        lines.append(f"{hop.seq:3} {moved(hop)} | {hop.hop or hop.kind} | {said(hop.payload)} | {asked or '-'}")
    lines.append(f"spent: {cost(story)}")
    lines.append(f"replay: {agreement(story)}")
    if story.outcome == "waiting":
        lines += [why_waiting(story), f"continue with: {how_to_continue(story, db)}"]
    return lines


def heading(story: Story) -> str:
    """One line on what became of the question."""
    task = story.brief.task
    match story.outcome:
        case "completed":
            return f"Answer: {task}"
        case "waiting":
            return f"Waiting for a person: {task}"
        case _:
            return f"No answer ({story.outcome} in {story.state}): {task}"


def cost(story: Story) -> str:
    """What it took."""
    return f"{story.tokens:,} of {TOKENS_MAX:,} tokens, {counted(len(story.hops), 'record')}, {elapsed(story)}"


def agreement(story: Story) -> str:
    """What the replay found."""
    if story.agreed:
        return f"{counted(len(story.hops), 'record')} decided again: every decision came out the same"
    return f"DISAGREES: {story.divergence}"


def tell_terminal(console: Console, story: Story, db: str) -> None:
    style = {"completed": "green", "waiting": "yellow"}.get(story.outcome, "red")
    console.print(
        Panel(
            answer(story),
            title=Text(heading(story), f"bold {style}"),
            title_align="left",
            border_style=style,
            padding=(1, 2),
        )
    )
    console.print(Rule(Text("the way it took", "dim"), align="left", style="dim"))
    console.print(Padding(way(story.hops), (0, 1)))
    console.print(Text.assemble(("\n spent   ", "dim"), f"{cost(story)}, run {story.run_id} in {db}"))
    console.print(Text.assemble((" replay  ", "dim"), (agreement(story), "green" if story.agreed else "bold red")))
    if story.outcome == "waiting":
        console.print(Text.assemble(("\n why     ", "dim"), (why_waiting(story), "yellow")))
        for word in ("approve", "refuse"):
            console.print(
                Text.assemble((f" {word:<7} ", "dim"), (how_to_continue(story, db, word), "bold")),
                soft_wrap=True,
            )


def answer(story: Story) -> Table:
    """The claims, each with its number, the words of the question standing out, and its citation."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", justify="right")
    table.add_column()
    wanted = terms(story.brief.task)
    for number, claim in enumerate(story.claims, 1):
        view = shown(claim)
        body = Text()
        if view.signature:
            body.append(view.signature, "italic cyan")
            body.append("\n" if view.text else "")
        body.append_text(marked(view.text, wanted))
        table.add_row(str(number), body)
        table.add_row("", cited(claim, story.brief.material))
        if number < len(story.claims):
            table.add_row("", "")
    if not story.claims:
        table.add_row("", Text("nothing could be cited", "dim"))
    return table


def marked(text: str, wanted: Sequence[str]) -> Text:
    """The text with every word in bold that the question asks about."""
    stems = {stem(term) for term in wanted}
    shown_text = Text(text)
    for word in re.finditer(IDENTIFIER, text):
        if stems & {stem(part) for part in (word[0], *pieces(word[0]))}:
            shown_text.stylize("bold", word.start(), word.end())
    return shown_text


def cited(claim: Passage, folder: str) -> Text:
    """Where a claim stands, as a link that a terminal can open."""
    uri = (Path(folder) / claim.source).absolute().as_uri()
    return Text(f"{claim.source}:{claim.line}", f"blue link {uri}")


def way(hops: Sequence[Hop]) -> Table:
    """Every record: from where to where, by what, what was said, and what each guard said."""
    table = Table.grid(padding=(0, 2))
    for column in range(4):
        table.add_column(no_wrap=column < 3)
    for hop in hops:
        told = Text(said(hop.payload))
        told.append("\n" if hop.asked else "")
        told.append_text(Text("   ").join(verdict(one) for one in hop.asked))
        table.add_row(Text(str(hop.seq), "dim"), moved(hop), Text(hop.hop or hop.kind, "cyan"), told)
    return table


def verdict(asked: Asked) -> Text:
    """A guard's verdict in one piece, which is not broken over two lines."""
    told = f" {asked.guard} {numbers(asked)}".replace(" ", UNBROKEN)
    return Text.assemble((asked.verdict, GUARD_STYLES[asked.verdict]), (told, "dim"))
