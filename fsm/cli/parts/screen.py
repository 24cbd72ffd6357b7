"""Where progress goes, on standard error: a live line with records above it, plain lines, or nowhere."""

import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from fsm.cli.parts.output import is_terminal
from fsm.core.record import Record

TICK_S = 0.1
BURST_LINES = 100
LINES_PER_S = 0.5
TAIL_LINES = 5

Render = Callable[[Record], Text]


class Screen(Protocol):
    """What a watch draws on."""

    def records(self, records: Sequence[Record], render: Render) -> None: ...

    def say(self, text: Text) -> None: ...

    def warn(self, text: Text) -> None: ...

    def status(self, text: Text) -> None: ...

    def close(self) -> None: ...


def screen(quiet: bool) -> Screen:
    """The one that fits: quiet for programs, live on a terminal, else plain lines."""
    if quiet:
        return Quiet()
    return Terminal() if is_terminal(sys.stderr) else Plain()


class Quiet:
    """Warnings alone."""

    def records(self, records: Sequence[Record], render: Render) -> None:
        pass

    def say(self, text: Text) -> None:
        pass

    def warn(self, text: Text) -> None:
        click.echo(text.plain, err=True)

    def status(self, text: Text) -> None:
        pass

    def close(self) -> None:
        pass


class Plain(Quiet):
    """A line a record, no colour, no control codes."""

    def records(self, records: Sequence[Record], render: Render) -> None:
        if records:
            click.echo("\n".join(render(record).plain.rstrip() for record in records), err=True)

    def say(self, text: Text) -> None:
        click.echo(text.plain, err=True)


class Terminal:
    """A line that lives, and above it the records.

    Of a long run not all: after the first `BURST_LINES` about `LINES_PER_S` a second, each with how many were
    passed over, and the last `TAIL_LINES`.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._room, self._passed = float(BURST_LINES), 0
        self._tail: deque[Text] = deque(maxlen=TAIL_LINES)
        self._live.start()
        self._console.show_cursor(True)  # a process that is killed must not leave a terminal without a cursor

    def records(self, records: Sequence[Record], render: Render) -> None:
        self._room = min(float(BURST_LINES), self._room + LINES_PER_S * TICK_S)
        room = 0 if self._passed else min(len(records), int(self._room))
        lines = [render(record) for record in records[:room]]
        self._room -= len(lines)
        if rest := records[room:]:
            self._passed += len(rest)
            self._tail.extend(render(record) for record in rest[-TAIL_LINES:])
        if self._passed and self._room >= 1:
            lines += self._caught_up(1)
            self._room -= 1
        self._print(lines)

    def _caught_up(self, shown_max: int) -> list[Text]:
        """The latest of the records passed over, and how many they were."""
        shown = list(self._tail)[-shown_max:]
        passed = self._passed - len(shown)
        self._passed = 0
        self._tail.clear()
        return ([Text(f"        ⋮  {passed:,} more", "dim")] if passed else []) + shown

    def _print(self, lines: Sequence[Text]) -> None:
        if lines:
            self._console.print(*lines, sep="\n", no_wrap=True, overflow="ellipsis", crop=True)

    def say(self, text: Text) -> None:
        self._print([text])

    def warn(self, text: Text) -> None:
        self._console.print(text)

    def status(self, text: Text) -> None:
        self._live.update(text, refresh=True)

    def close(self) -> None:
        self._print(self._caught_up(TAIL_LINES))
        self._live.stop()
