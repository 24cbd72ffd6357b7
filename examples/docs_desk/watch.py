"""Watching a run while it runs: a live picture on a terminal, one line per record elsewhere."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from examples.docs_desk.folder import Document, Listing
from examples.docs_desk.index import Index, ready_index
from examples.docs_desk.story import MOVES, STATES, TOKENS_MAX, Hop, Watcher
from examples.docs_desk.telling import moved, said

HOPS_SHOWN_MAX = 12
FRAMES_PER_S = 12


def indexed(console: Console, listing: Listing) -> Index:
    """The folder's index; a bar moves while it is being built, and only then."""
    if not console.is_terminal:
        return ready_index(listing)
    columns = (
        TextColumn("[bold]reading[/]"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, TextColumn("[dim]{task.fields[name]}"), console=console, transient=True) as progress:
        task = progress.add_task("reading", total=len(listing.documents), name="", visible=False)

        def on_file(document: Document) -> None:
            progress.update(task, advance=1, name=document.name[-40:], visible=True)

        return ready_index(listing, on_file)


@contextmanager
def watching(console: Console, question: str) -> Iterator[Watcher]:
    """A watcher for this console, live as long as the block lasts."""
    if not console.is_terminal:
        yield LineWatcher(console)
        return
    picture = Picture(question)
    with Live(picture, console=console, refresh_per_second=FRAMES_PER_S, transient=True):
        yield picture


class LineWatcher(Watcher):
    """One plain line per record, from the moment the run has a name."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seen: set[int] = set()
        self.began_ms: int | None = None

    def began(self, run_id: str) -> None:
        super().began(run_id)
        self.console.print(f"run {run_id}", markup=False, highlight=False, soft_wrap=True)

    def saw(self, hop: Hop) -> None:
        if hop.seq in self.seen or not self.run_id:
            return
        self.seen.add(hop.seq)
        self.began_ms = hop.at_ms if self.began_ms is None else self.began_ms
        at_s = (hop.at_ms - self.began_ms) / 1000
        line = f"{at_s:8.3f} s  {moved(hop):<24} {hop.hop or hop.kind:<18} {said(hop.payload)}"
        self.console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)


class Picture(Watcher):
    """The live picture: states with their visits, tokens against the budget, and the latest hops."""

    def __init__(self, question: str) -> None:
        self.question = question
        self.hops: dict[int, Hop] = {}
        self.start_s = time.monotonic()
        self.spinner = Spinner("dots", style="bold cyan")

    def saw(self, hop: Hop) -> None:
        self.hops[hop.seq] = hop

    def __rich__(self) -> RenderableType:
        hops = [self.hops[seq] for seq in sorted(self.hops)]
        head = Text.assemble((self.question, "bold"), (f"   {self.run_id}", "dim"))
        return Group(head, Text(), self.states(hops), Text(), self.budget(hops), Text(), self.latest(hops))

    def states(self, hops: list[Hop]) -> Table:
        """Every state in a column, the current one turning."""
        visits = Counter(hop.state for hop in hops if hop.kind in MOVES)
        here = hops[-1].state if hops else ""
        table = Table.grid(padding=(0, 3))
        names: list[RenderableType] = []
        counts: list[RenderableType] = []
        for state in STATES:
            if state == here and hops[-1].outcome == "running":
                self.spinner.update(text=Text(state, "bold cyan"))
                names.append(self.spinner)
            elif state == here:
                names.append(Text(f"◆ {state}", "bold yellow"))
            else:
                names.append(Text(f"● {state}" if visits[state] else f"○ {state}", "green" if visits[state] else "dim"))
            counts.append(Text(f"  {visits[state]}x" if visits[state] else "", "dim"))
        table.add_row(*names)
        table.add_row(*counts)
        return table

    def budget(self, hops: list[Hop]) -> Table:
        """Tokens against the budget, and the time since the watch began."""
        tokens = sum(hop.tokens for hop in hops)
        table = Table.grid(padding=(0, 2))
        took = f"{time.monotonic() - self.start_s:.1f} s"
        bar = ProgressBar(total=TOKENS_MAX, completed=tokens, width=30)
        table.add_row(bar, Text(f"{tokens:,} of {TOKENS_MAX:,} tokens"), Text(took, "dim"))
        return table

    def latest(self, hops: list[Hop]) -> Table:
        """The hops of the last moments, oldest first."""
        table = Table.grid(padding=(0, 2))
        for hop in hops[-HOPS_SHOWN_MAX:]:
            table.add_row(
                Text(str(hop.seq), "dim"),
                Text(moved(hop)),
                Text(hop.hop or hop.kind, "cyan"),
                Text(said(hop.payload), "dim"),
            )
        return table
