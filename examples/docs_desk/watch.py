"""Watching a run while it runs: a live picture on a terminal, one line per record elsewhere."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from examples.docs_desk.desk import Watcher
from examples.docs_desk.library import Document, Index, Listing, ready_index
from examples.docs_desk.report import CAPS, STYLES, WIDE_COLUMNS, hops_of, ruled, said, way
from fsm import Record, Run
from machines.review_loop import ReviewLoop

FRAMES_PER_S = 10
TURNING = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
STATE = re.compile(r"@(\w+)")
PICTURE = """\
  ╭─▶ @research ──▶ @draft ──▶ @review ──┬──▶ @published
  │     {research:8} {draft:>9}      {review:>6}      │        ▲
  ╰{rejected:─^41}┤        │
                                            ╰──▶ @person ──▶ @dropped"""
REJECTIONS_MAX = next(
    guard.limit for line in ReviewLoop.spec.transitions if line.name == "reject" for guard in line.guards
)


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
def watching(console: Console, question: str, run_id: str) -> Iterator[Watcher]:
    """Something to hear of the run's records, live as long as the block lasts."""
    if not console.is_terminal:
        yield Lines(console, run_id)
        return
    picture = Picture(question, run_id)
    with Live(picture, console=console, refresh_per_second=FRAMES_PER_S):
        yield picture
        picture.whole = True


class Records:
    """The records of one run in order, however they arrive; others of the same journal are not ours."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.records: list[Record] = []
        self.early: dict[int, Record] = {}

    def __call__(self, run: Run, record: Record) -> None:
        if run.run_id == self.run_id and record.seq >= len(self.records):
            self.early[record.seq] = record
        while (following := self.early.pop(len(self.records), None)) is not None:
            self.records.append(following)
            self.saw(following)

    def saw(self, record: Record) -> None:
        """The next record."""

    def wait(self, why: str) -> None:
        """Nothing will happen for a while."""


class Lines(Records):
    """One plain line per record."""

    def __init__(self, console: Console, run_id: str) -> None:
        super().__init__(run_id)
        self.print = partial(console.print, markup=False, highlight=False, soft_wrap=True)

    def saw(self, record: Record) -> None:
        if record.seq == 0:
            self.print(f"run {self.run_id}")
        at_s = (record.at_ms - self.records[0].at_ms) / 1000
        verdicts = "  ".join(ruled(ruling).plain for ruling in record.rulings)
        line = f"{at_s:8.3f} s  {record.state:<9} {record.hop or record.kind:<17} {said(record)}"
        self.print(f"{line}  {verdicts}".rstrip())

    def wait(self, why: str) -> None:
        self.print(why)


class Picture(Records):
    """The live picture: the machine with its visits, what is spent against the caps, and the way so far."""

    def __init__(self, question: str, run_id: str) -> None:
        super().__init__(run_id)
        self.question = question
        self.start_s = time.monotonic()
        self.whole = False
        self.note = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """While it runs the latest lines that fit, and the whole way at the end."""
        question = Text.assemble("\n", (self.question, "bold"), (f"  {self.run_id}", "dim"), "\n")
        told = way(self.records, wide=console.width >= WIDE_COLUMNS)
        head = console.render_lines(Group(question, self.machine(), self.spent(), Text()), options, pad=False)
        tail = console.render_lines(Group(told, Text(self.note, "yellow")), options, pad=False)
        room = max(1, console.height - len(head) - 1)
        for line in [*head, *(tail if self.whole else tail[-room:])]:
            yield from line
            yield Segment.line()

    def saw(self, record: Record) -> None:
        self.note = "" if self.note and record.kind == "resumed" else self.note

    def wait(self, why: str) -> None:
        self.note = why

    def machine(self) -> Text:
        """The states of `ReviewLoop`, how often each was entered, and where the run is."""
        entered = Counter(record.state for record in self.records if record.kind in ("started", "taken"))
        counts = {name: f"{entered[name]}x" if entered[name] else "" for name in ("research", "draft", "review")}
        rejected = sum(record.hop == "reject" for record in self.records)
        picture = PICTURE.format(**counts, rejected=f" rejected {rejected} of {REJECTIONS_MAX} ")
        last = self.records[-1] if self.records else None
        text, at = Text(), 0
        for place in STATE.finditer(picture):
            text.append(picture[at : place.start()], "dim").append_text(self.state(place[1], entered, last))
            at = place.end()
        return text.append(picture[at:], "dim")

    def state(self, name: str, entered: Counter[str], last: Record | None) -> Text:
        if last is None or name != last.state:
            return Text(f"● {name}", "green") if entered[name] else Text(f"○ {name}", "dim")
        if last.outcome == "running":
            frame = TURNING[int(time.monotonic() * FRAMES_PER_S) % len(TURNING)]
            return Text(f"{frame} {name}", "bold cyan")
        return Text(f"◆ {name}", f"bold {STYLES.get(last.outcome, 'red')}")

    def spent(self) -> Table:
        """Tokens against the budget, hops against the cap, and the time since the watch began."""
        tokens, hops = sum(record.spent.tokens for record in self.records), hops_of(self.records)
        told = f"{tokens:,} of {CAPS['tokens']:,} tokens   {hops} of {CAPS['hops']} hops"
        table = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=CAPS["tokens"], completed=tokens, width=16, complete_style="cyan")
        table.add_row(Text(), bar, Text(told), Text(f"{time.monotonic() - self.start_s:.1f} s", "dim"))
        return table
