"""Cut a document into passages: a function, a section or a few paragraphs, each with its first line.

Cutting goes by lines and never fails: a Python file that does not parse is cut as well as one that
does. Passages are verbatim, so that a citation can be checked against the file.
"""

import re
from collections.abc import Iterator
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


def cut(lines: list[str], *, python: bool) -> Iterator[Cut]:
    """The passages of a document, in order; blank lines around them belong to none."""
    starts = python_starts(lines) if python else prose_starts(lines)
    places = [*starts.items(), (len(lines), "")]
    for (start, heading), (stop, _) in pairwise(places):
        for first, last in portions(lines, start, stop):
            yield Cut(heading=heading, line=first + 1, text="\n".join(lines[first:last]))


def portions(lines: list[str], start: int, stop: int) -> Iterator[tuple[int, int]]:
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


def python_starts(lines: list[str]) -> dict[int, str]:
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


def prose_starts(lines: list[str]) -> dict[int, str]:
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
