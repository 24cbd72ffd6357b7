"""Take a passage apart into statements: the smallest verbatim pieces that still say something.

A statement is a definition with the first sentence of its docstring, a sentence, a comment, a heading or a
line of code. Each is a piece of its passage's text, letter for letter, with the line it begins in.
"""

import re
from collections.abc import Iterator

from attrs import frozen

from examples.docs_desk.cutting import FENCE, MARK, OPENS, TRIPLE, is_prose

STATEMENT_LINES_MAX = 8
SIGNATURE_LINES_MAX = 8

SENTENCE_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)(?<!\.\.)[\"'`)]*\s+(?=[\"'`(*\[]*[A-Z])")
ITEM = re.compile(r"^\s*(?:[-*+]\s|\d+[.)]\s|:\w+|@\w+|>>>|\.\.\.|\||\w+\s+--?\s)")
QUOTED = re.compile(r"\s*[rRbBuUfF]{0,2}(?:\"\"\"|''')")
CLOSED = re.compile(r":\s*(?:#.*)?$")
PYTHON = (".py", ".pyi")


@frozen
class Statement:
    """One piece: `line` is where it begins in its file, `kind` what it is."""

    kind: str
    line: int
    text: str


def statements(source: str, line: int, text: str) -> Iterator[Statement]:
    """The statements of a passage, in order."""
    lines = text.split("\n")
    blocks = python_blocks(lines) if source.endswith(PYTHON) else prose_blocks(lines)
    for kind, first, last in blocks:
        body = "\n".join(lines[first:last])
        yield from pieces_of(kind, line + first, body)


def pieces_of(kind: str, line: int, body: str) -> Iterator[Statement]:
    """A block's statements: a definition ends with its first sentence, what follows are sentences."""
    quote = TRIPLE.search(body)
    if kind == "definition" and quote:
        begin = quote.end() + len(body[quote.end() :]) - len(body[quote.end() :].lstrip())
        end = SENTENCE_END.search(body, begin)
        head, rest = (body[: end.start()], body[end.end() :]) if end else (body, "")
        yield from trimmed("definition", line, head)
        if rest:
            assert end is not None, "a rest follows an end"
            yield from pieces_of("sentence", line + body[: end.end()].count("\n"), rest)
    elif kind == "definition":
        yield from trimmed("bare", line, body)
    elif kind in ("sentence", "comment"):
        start = 0
        for end in SENTENCE_END.finditer(body):
            yield from trimmed(kind, line + body[:start].count("\n"), body[start : end.end()])
            start = end.end()
        yield from trimmed(kind, line + body[:start].count("\n"), body[start:])
    else:
        yield from trimmed(kind, line, body)


def trimmed(kind: str, line: int, piece: str) -> Iterator[Statement]:
    """The piece without the quotes and blanks around it, if anything is left."""
    start = re.match(r"(?:\s|[rRbBuUfF]?(?:\"\"\"|''')\\?)*", piece)
    assert start is not None, "an empty match is one too"
    body = re.sub(r"(?:\s|\"\"\"|''')+$", "", piece[start.end() :])
    line += piece[: start.end()].count("\n")
    body = "\n".join(body.split("\n")[:STATEMENT_LINES_MAX])
    if any(letter.isalnum() for letter in body):
        yield Statement(kind, line, body)


def python_blocks(lines: list[str]) -> Iterator[tuple[str, int, int]]:
    """Blocks of Python, as (kind, first line, line after the last); plain code has none."""
    at, inside = 0, begins_inside(lines)
    while at < len(lines):
        first, line = at, lines[at]
        if not line.strip():
            at += 1
        elif not inside and OPENS.match(line):
            at = signature_end(lines, at)
            if at < len(lines) and QUOTED.match(lines[at]):
                at, inside = quoted_end(lines, at)
            yield "definition", first, at
        elif inside or QUOTED.match(line):
            at, inside = quoted_end(lines, at, inside=inside)
            yield "code" if line.strip().startswith(">>>") else "sentence", first, at
        elif line.lstrip().startswith("#"):
            while at < len(lines) and lines[at].lstrip().startswith("#"):
                at += 1
            yield "comment", first, at
        else:
            inside = len(TRIPLE.findall(line)) % 2 == 1
            at += 1


def begins_inside(lines: list[str]) -> bool:
    """Whether a passage begins within a docstring: its first quotes close one, or it is prose without any."""
    for at, line in enumerate(lines):
        if OPENS.match(line):
            return False
        if quote := TRIPLE.search(line):
            before, after = line[: quote.start()].strip(), line[quote.end() :].strip()
            opening = before.endswith(tuple("=(,[{+r")) if before else at == 0
            return not after and not opening
    used = [line.strip() for line in lines if line.strip()]
    return sum(map(is_prose, used)) * 2 > len(used) and not any(line.startswith("#") for line in used)


def signature_end(lines: list[str], at: int) -> int:
    """The line after a definition's signature, which may take several lines."""
    for after in range(at + 1, min(at + SIGNATURE_LINES_MAX, len(lines)) + 1):
        if CLOSED.search(lines[after - 1]):
            return after
    return at + 1


def quoted_end(lines: list[str], at: int, *, inside: bool = False) -> tuple[int, bool]:
    """Where the paragraph of a docstring that begins here ends, and whether the docstring goes on."""
    first = at
    while at < len(lines):
        if at > first and (not lines[at].strip() or ITEM.match(lines[at])) and lines[at - 1].strip(" \"'r"):
            return at, inside
        if len(TRIPLE.findall(lines[at])) % 2:
            inside = not inside
        at += 1
        if not inside:
            return at, False
    return at, inside


def prose_blocks(lines: list[str]) -> Iterator[tuple[str, int, int]]:
    """Blocks of Markdown or text: headings, paragraphs, items, and code by the line."""
    at, fenced = 0, False
    while at < len(lines):
        first = at
        at += 1
        if FENCE.match(lines[first]):
            fenced = not fenced
        elif fenced or (lines[first].startswith(("    ", "\t")) and not is_prose(lines[first])):
            yield "code", first, at
        elif MARK.match(lines[first]):
            yield "heading", first, at
        elif lines[first].strip():
            while at < len(lines) and goes_on(lines[at]):
                at += 1
            yield "sentence", first, at


def goes_on(line: str) -> bool:
    """Whether a line of text continues the paragraph before it."""
    return bool(line.strip()) and not (ITEM.match(line) or FENCE.match(line) or MARK.match(line))
