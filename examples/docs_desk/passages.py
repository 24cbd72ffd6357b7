"""Passages and statements: what a document is cut into, verbatim, so that a citation can be checked.

A passage is a function, a section or a few paragraphs; the index holds passages. A statement is the smallest
piece of one that still says something: a definition with the first sentence of its docstring, a sentence, a
comment, a heading, a line of code. Cutting goes by lines and never fails: a Python file that does not parse
is cut as well as one that does.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from attrs import frozen

PASSAGE_LINES_MAX = 40
PASSAGE_LINES_GOOD = 12

TRIPLE = re.compile(r'"""|\'\'\'')
OPENS = re.compile(r"^(\s*)(?:async\s+def|def|class)\s+(\w+)\s*[:(\[]")
LEADS = re.compile(r"^\s*(?:@|#)")
MARK = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")
RULES = "=-~^\"'*+#."
UNDERLINE = re.compile(r"^([=\-~^\"'*+#.])\1{2,}\s*$")
FENCE = re.compile(r"^\s*(?:```|~~~)")
WORD = re.compile(r"^[(\"'`*_\[]*[A-Za-z][A-Za-z'\-]*[)\"'`*_\],.:;!?]*$")
PROSE_SHARE_MIN = 0.7
PROSE_WORDS_MIN = 3
STATEMENT_LINES_MAX = 8
SIGNATURE_LINES_MAX = 8

SENTENCE_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)(?<!\.\.)[\"'`)]*\s+(?=[\"'`(*\[]*[A-Z])")
ITEM = re.compile(r"^\s*(?:[-*+]\s|\d+[.)]\s|:\w+|@\w+|>>>|\.\.\.|\||\w+\s+--?\s)")
QUOTED = re.compile(r"\s*[rRbBuUfF]{0,2}(?:\"\"\"|''')")
CLOSED = re.compile(r":\s*(?:#.*)?$")
PYTHON = (".py", ".pyi")


@frozen
class Cut:
    """A verbatim piece of a document: `heading` says what it belongs to, `line` counts from 1."""

    heading: str
    line: int
    text: str


def lines_of(data: bytes) -> list[str]:
    """The lines of a UTF-8 document as an editor counts them; raises UnicodeDecodeError."""
    return data.decode("utf-8-sig").replace("\r\n", "\n").split("\n")


def is_prose(line: str) -> bool:
    """Whether a line reads like a sentence rather than like code: three words or more, few symbols."""
    words = line.strip().lstrip("#*->").split()
    plain = sum(1 for word in words if WORD.match(word))
    return plain >= PROSE_WORDS_MIN and plain >= PROSE_SHARE_MIN * len(words)


def is_telling(line: str) -> bool:
    """Whether a line explains or declares: prose, a comment, a definition or a heading."""
    return is_prose(line) or bool(OPENS.match(line) or MARK.match(line)) or line.lstrip().startswith("#")


def cut(lines: Sequence[str], *, python: bool) -> Iterator[Cut]:
    """The passages of a document, in order; blank lines around them belong to none."""
    starts = python_starts(lines) if python else prose_starts(lines)
    places = [*starts.items(), (len(lines), "")]
    for (start, heading), (stop, _) in pairwise(places):
        for first, last in portions(lines, start, stop):
            yield Cut(heading=heading, line=first + 1, text="\n".join(lines[first:last]))


def portions(lines: Sequence[str], start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Divide a long stretch at its blank lines, and at PASSAGE_LINES_MAX if it has none."""
    first = start
    for at in range(start, stop + 1):
        size = at - first
        blank = at < stop and not lines[at].strip() and size >= PASSAGE_LINES_GOOD
        if at == stop or blank or size >= PASSAGE_LINES_MAX:
            used = [i for i in range(first, at) if lines[i].strip()]
            if used:
                yield used[0], used[-1] + 1
            first = at


def python_starts(lines: Sequence[str]) -> dict[int, str]:
    """Where definitions begin, with their qualified names; decorators and comments above belong to them."""
    starts, holders, inside = {0: ""}, list[tuple[int, str]](), False
    for at, line in enumerate(lines):
        opened = None if inside else OPENS.match(line)
        if opened:
            depth = len(opened[1])
            holders = [holder for holder in holders if holder[0] < depth] + [(depth, opened[2])]
            first = at
            while first > 0 and LEADS.match(lines[first - 1]):
                first -= 1
            starts[first] = ".".join(name for _, name in holders)
        if len(TRIPLE.findall(line)) % 2:
            inside = not inside
    return dict(sorted(starts.items()))


def prose_starts(lines: Sequence[str]) -> dict[int, str]:
    """Where sections begin, each under the headings it stands in; marks inside a code fence are code."""
    starts, holders, fenced = {0: ""}, list[tuple[int, str]](), False
    for at, line in enumerate(lines):
        fenced ^= bool(FENCE.match(line))
        marked = None if fenced else MARK.match(line)
        below = lines[at + 1] if at + 1 < len(lines) else ""
        ruled = UNDERLINE.match(below) if line.strip() and not fenced else None
        if marked or (ruled and not UNDERLINE.match(line)):
            depth, title = (len(marked[1]), marked[2]) if marked else (RULES.find(below[0]), line.strip())
            holders = [holder for holder in holders if holder[0] < depth] + [(depth, title)]
            starts[at] = " > ".join(name for _, name in holders)
    return starts


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


def python_blocks(lines: Sequence[str]) -> Iterator[tuple[str, int, int]]:
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


def begins_inside(lines: Sequence[str]) -> bool:
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


def signature_end(lines: Sequence[str], at: int) -> int:
    """The line after a definition's signature, which may take several lines."""
    for after in range(at + 1, min(at + SIGNATURE_LINES_MAX, len(lines)) + 1):
        if CLOSED.search(lines[after - 1]):
            return after
    return at + 1


def quoted_end(lines: Sequence[str], at: int, *, inside: bool = False) -> tuple[int, bool]:
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


def prose_blocks(lines: Sequence[str]) -> Iterator[tuple[str, int, int]]:
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
