"""A diagram as a tree in a terminal: each state with the lines that leave it, in the order they are tried.

Three columns: the name, how often the run passed there, and what it is. A line from several states stands
under each of them, its guards and `otherwise` under the first only. All text is built as `Text`, so nothing
in a name is taken for markup; where the console's encoding is narrow, the signs are ASCII.
"""

from collections.abc import Iterator, Sequence

from attrs import evolve, frozen
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from fsm.show.diagram import Arrow, Box, BoxKind, Diagram
from fsm.show.labels import (
    carried,
    check_lines,
    event_words,
    passages,
    refusal_lines,
    retry_lines,
    state_facts,
    state_notes,
    tone,
)
from fsm.show.overlay import Overlay
from fsm.show.words import colour, count, listed, shown, spending, times

STYLES: dict[str, str] = {
    **{"agent": "cyan", "waiting": "yellow", "completed": "green", "failed": "red", "anywhere": "blue"},
    **{"stopped": "red", "plain": "", "failing": "red", "otherwise": "yellow"},
}
NAME_SHARE = 0.4  # of the width, at most, for the column of names
GAP = 2


@frozen
class Signs:
    """What is drawn beside the names; `narrow` where the console can show ASCII only."""

    kinds: dict[BoxKind, str]
    branch: str
    last: str
    rail: str
    leads: str
    narrow: bool = False

    def text(self, content: str, style: str = "") -> Text:
        """The content as it can be shown."""
        narrow = content.replace("×", "x").encode("ascii", "backslashreplace").decode() if self.narrow else content
        return Text(narrow, style)


UNICODE = Signs({"agent": "●", "waiting": "◆", "completed": "✓", "failed": "✗", "anywhere": "○"}, "├─", "╰─", "│ ", "→")
ASCII = Signs(
    {"agent": "*", "waiting": "?", "completed": "+", "failed": "!", "anywhere": "o"},
    "|-",
    "`-",
    "| ",
    "->",
    narrow=True,
)


@frozen(kw_only=True)
class Row:
    """One entry: `first` stands before its name, `rest` before the lines it is wrapped to."""

    first: Text
    rest: Text
    name: Text
    passed: str
    told: Text


@frozen
class Tree:
    """The diagram, and the run on it, for `Console.print`."""

    diagram: Diagram
    run: Overlay | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        signs = ASCII if options.ascii_only else UNICODE
        rows = list(_Rows(self.diagram, self.run, signs).rows())
        width = options.max_width
        widest = max((row.first.cell_len + row.name.cell_len for row in rows), default=0)
        names = min(widest, max(8, int(width * NAME_SHARE)))
        passed = max((cell_len(row.passed) for row in rows), default=0)
        for line in _heading(self.diagram, self.run, signs):
            yield from _wrapped(console, line, width)
        for row in rows:
            yield from _lines(console, row, width, names, passed)


def tree(diagram: Diagram, run: Overlay | None = None) -> Tree:
    """The diagram, and the run on it, as something rich prints."""
    return Tree(diagram, run)


def _heading(diagram: Diagram, run: Overlay | None, signs: Signs) -> Iterator[Text]:
    """The machine's name and what it is for; then how the run stands."""
    doc = " ".join(diagram.doc.partition("\n\n")[0].split())
    told = signs.text(f"  {shown(doc)}" if doc else "", "dim")
    yield Text.assemble(signs.text(shown(diagram.name), "bold"), told)
    if run is not None:
        counts = ", ".join([count(run.records, "record"), count(run.hops, "hop"), *spending(run.spent)])
        yield Text.assemble((run.outcome, colour(run.outcome)), signs.text(f" in {shown(run.state)}: {counts}"))
        if run.because:
            yield signs.text(run.because, "red")
        for hop, number in run.elsewhere.items():
            yield signs.text(f"{shown(hop)} {times(number)}: taken, and no hop of this machine", "red")
    yield Text()


@frozen
class _Rows:
    """All rows of a tree, top to bottom."""

    diagram: Diagram
    run: Overlay | None
    signs: Signs

    def rows(self) -> Iterator[Row]:
        for box in self.diagram.boxes:
            if box.is_state or box.kind == "anywhere":
                yield self._box(box)
                yield from self._joined([*self._own(box), *self._leaving(box)])

    def _box(self, box: Box) -> Row:
        sign = f"{self.signs.kinds[box.kind]} "
        if not box.is_state:
            return self._row(sign, shown(box.name), f"bold {STYLES[box.kind]}", told=Text("everywhere", "dim"))
        facts = [*(["agent"] if box.kind == "agent" else []), *state_facts(box)]
        facts += [f"starts on {listed(box.starts)}"] if box.starts else []
        told = Text()
        for note in state_notes(box, self.run):
            told.append_text(self.signs.text(f"{note}  ", colour(note.partition(" ")[0])))
        told.append_text(self.signs.text(", ".join(facts), "dim"))
        visits = self.run.visits(box.name) if self.run else 0
        style = STYLES[box.kind] if visits or self.run is None else "dim"
        return self._row(sign, shown(box.name), f"bold {style}", visits, told)

    def _own(self, box: Box) -> list[list[Row]]:
        """The guards of a place, what they refused, and where that leads."""
        ways = [arrow for arrow in self.diagram.arrows if arrow.sources == (box.id,) and arrow.line == box.name]
        ways = [arrow for arrow in ways if arrow.standing != "transition"]
        rows = self._asked(check_lines(box.guards, box.stays), box.name)
        if rows:
            rows[0] = evolve(rows[0], name=Text("guards" if box.kind == "anywhere" else "entry"))
        return [[*rows, *map(self._way, ways)]] if rows or ways else []

    def _asked(self, guards: Sequence[str], at: str) -> list[Row]:
        """The guards that stand on an attribute, and what they refused with."""
        told = [self.signs.text(line, "dim") for line in guards]
        told += [self.signs.text(line, "red") for line in refusal_lines(self.run, at)]
        return [self._row("", "", told=line) for line in told]

    def _leaving(self, box: Box) -> list[list[Row]]:
        lines = [arrow for arrow in self.diagram.arrows if arrow.kind == "direct" and box.id in arrow.sources]
        again = [arrow for arrow in self.diagram.arrows if arrow.kind == "retry" and box.id in arrow.sources]
        return [*(list(self._retry(arrow)) for arrow in again), *(list(self._line(arrow, box)) for arrow in lines)]

    def _retry(self, arrow: Arrow) -> Iterator[Row]:
        told = self.signs.text(f"{', '.join(retry_lines(arrow))} ").append_text(self._leads(arrow))
        yield self._row("", shown(arrow.hop), tone(arrow, self.diagram), passages(arrow, self.run), told)
        yield from self._asked((), arrow.hop)

    def _line(self, arrow: Arrow, box: Box) -> Iterator[Row]:
        """A line as it leaves one state; with all that belongs to it under the first of its sources."""
        taken = self.run.times(arrow.hop, box.name) if self.run else 0
        told = self.signs.text(f"{', '.join([event_words(arrow), *carried(arrow)])} ").append_text(self._leads(arrow))
        yield self._row("", shown(arrow.line), tone(arrow, self.diagram), taken, told)
        if box.id != arrow.sources[0]:
            return
        yield from self._asked(check_lines(arrow.guards, arrow.stays), arrow.line)
        ways = [way for way in self.diagram.arrows if way.line == arrow.line and way.standing == "transition"]
        yield from (self._way(way) for way in ways if way.kind in ("otherwise", "stopped"))

    def _way(self, arrow: Arrow) -> Row:
        passed = passages(arrow, self.run)
        codes = self.signs.text(f"{listed(arrow.codes)} " if arrow.codes else "")
        told = Text.assemble(codes, self._leads(arrow))
        return self._row("", "  otherwise", "stopped" if arrow.kind == "stopped" else "otherwise", passed, told)

    def _leads(self, arrow: Arrow) -> Text:
        if arrow.kind == "stopped":
            return self.signs.text(f"{self.signs.leads} the run halts, stopped", "red")
        target = next(box for box in self.diagram.boxes if box.id == arrow.target)
        return Text(f"{self.signs.leads} ").append_text(self.signs.text(shown(target.name), STYLES[target.kind]))

    def _row(self, first: str, name: str, style: str = "", passed: int = 0, told: Text | None = None) -> Row:
        number = self.signs.text(times(passed) if passed else "").plain
        label = self.signs.text(name, STYLES.get(style, style))
        sign = Text(first, label.style)
        return Row(first=sign, rest=Text(" " * cell_len(first)), name=label, passed=number, told=told or Text())

    def _joined(self, entries: Sequence[Sequence[Row]]) -> Iterator[Row]:
        """The entries below a state, each hung on its rail."""
        for number, rows in enumerate(entries):
            last = number == len(entries) - 1
            rail = "   " if last else f"{self.signs.rail} "
            for index, row in enumerate(rows):
                branch = self.signs.last if last else self.signs.branch
                yield evolve(row, first=Text(rail if index else f"{branch} ", "dim"), rest=Text(rail, "dim"))


def _wrapped(console: Console, text: Text, width: int) -> list[Text]:
    lines = list(text.wrap(console, max(1, width), overflow="fold")) or [Text()]
    for line in lines:
        line.rstrip()
    return lines


def _lines(console: Console, row: Row, width: int, names: int, passed: int) -> Iterator[Text]:
    """A row in its columns, each wrapped within itself."""
    column = names + GAP + (passed + GAP if passed else 0)
    name = _wrapped(console, row.name, names - row.first.cell_len)
    told = _wrapped(console, row.told, width - column)
    for index in range(max(len(name), len(told), 1)):
        line = Text.assemble(row.rest if index else row.first)
        line.append_text(name[index] if index < len(name) else Text())
        line.pad_right(max(0, names - line.cell_len))
        if passed:
            line.append(" " * GAP).append(row.passed.rjust(passed) if index == 0 else " " * passed, "bold green")
        line.append(" " * GAP).append_text(told[index] if index < len(told) else Text())
        line.rstrip()
        yield line
