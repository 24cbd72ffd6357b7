"""Where a result is printed: on a terminal in colour and cut to its width, anywhere else plain and whole.

Texts are never read as markup; whoever prints what came from outside makes it safe first (`fsm.show.words`).
"""

import os
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TextIO

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

Part = str | tuple[str, str]
"""A text, or a text and its style."""

CELL_MIN = 6


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody looks on who sees colours."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Output:
    """Lines on standard output. `width` is the terminal's, None where there is none: nothing is cut there."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False) if is_terminal(sys.stdout) else None

    @property
    def width(self) -> int | None:
        return self._console.width if self._console is not None else None

    def line(self, *parts: Part, cut: bool = True) -> None:
        """One line; on a terminal cut to its width, unless it is to be copied whole."""
        text = text_of(parts)
        if self._console is None:
            click.echo(text.plain.rstrip())
        elif cut:
            text.rstrip()
            self._console.print(text, no_wrap=True, overflow="ellipsis", crop=True)
        else:
            self._console.print(text, soft_wrap=True)

    def paragraph(self, *parts: Part, indent: int = 0, hang: int = 0) -> None:
        """As many lines as it takes; those after the first are indented by `hang` more."""
        text = text_of(parts)
        if self._console is None:
            click.echo(" " * indent + text.plain)
            return
        for number, line in enumerate(text.wrap(self._console, max(self._console.width - indent - hang, CELL_MIN))):
            self.line(" " * (indent + (hang if number else 0)), *_parts(line))

    def block(self, text: str, indent: int = 0) -> None:
        """Lines as they are; on a terminal each goes on beneath itself where it is too long."""
        for line in text.split("\n"):
            inner = line.lstrip(" ")
            self.paragraph(inner, indent=indent + len(line) - len(inner), hang=2)


def text_of(parts: Iterable[Part]) -> Text:
    text = Text()
    for part in parts:
        if isinstance(part, str):
            text.append(part)
        else:
            text.append(part[0], part[1] or None)
    return text


def _parts(line: Text) -> list[Part]:
    """A piece of wrapped text as parts again."""
    found: list[Part] = []
    offsets = sorted({0, len(line.plain), *(edge for span in line.spans for edge in (span.start, span.end))})
    for start, stop in pairwise(offsets):
        styles = [str(span.style) for span in line.spans if span.start <= start and stop <= span.end]
        found.append((line.plain[start:stop], styles[-1] if styles else ""))
    return found


def cell(text: str, width: int) -> str:
    """The text in a column of this width, cut with an ellipsis where it is longer."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…"


def widths(rows: Sequence[Sequence[str]], room: int | None, gives: Sequence[int], gap: int = 2) -> list[int]:
    """How wide each column is. Where there is not room for all, the columns in `gives` become narrower, in turn."""
    found = [max(map(cell_len, column), default=0) for column in zip(*rows, strict=True)]
    over = sum(found) + gap * (len(found) - 1) - room if room is not None else 0
    for column in gives:
        if over <= 0:
            break
        less = min(over, max(found[column] - CELL_MIN, 0))
        found[column] -= less
        over -= less
    return found
