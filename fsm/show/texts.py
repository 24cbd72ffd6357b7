"""How two texts differ, word by word, in a line."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from fsm.replay.alignment import common
from fsm.show.words import safe

WORDS_MAX, CHARS_MAX, CONTEXT = 2_000, 240, 3
MARKED = {"-": "[-{}-]", "+": "{{+{}+}}"}
WORD = re.compile(r"\S+")

Marked = tuple[str, str]
"""How a word stands, "-" in the first text only, "+" in the second, " " in both; and the word."""


def worded(a: str, b: str) -> str | None:
    """The words that differ, those of `a` as [-gone-], those of `b` as {+new+}; None where they share too little."""
    before, after = WORD.findall(a)[:WORDS_MAX], WORD.findall(b)[:WORDS_MAX]
    pairs = common(before, after)
    if 3 * len(pairs) < max(len(before), len(after)) or (len(before), len(after)) == (1, 1):
        return None
    groups = [(mark, [word for _, word in items]) for mark, items in groupby(_marked(before, after, pairs), _mark)]
    if len(groups) < 2:
        return f"other white space, or other words after the first {WORDS_MAX:,}"
    told: list[str] = []
    for at, (mark, found) in enumerate(groups):
        if mark == " ":
            told += _context(found, first=at == 0, last=at == len(groups) - 1)
        else:
            told.append(MARKED[mark].format(" ".join(found)))
    return safe(" ".join(told), CHARS_MAX)


def _mark(item: Marked) -> str:
    return item[0]


def _marked(before: Sequence[str], after: Sequence[str], pairs: Iterable[tuple[int, int]]) -> Iterator[Marked]:
    i = j = 0
    for at, beside in [*pairs, (len(before), len(after))]:
        yield from (("-", word) for word in before[i:at])
        yield from (("+", word) for word in after[j:beside])
        if at < len(before):
            yield " ", before[at]
        i, j = at + 1, beside + 1


def _context(same: list[str], first: bool, last: bool) -> list[str]:
    """Of words that are the same those beside a difference."""
    if len(same) <= CONTEXT * (2 - first - last):
        return same
    return [*([] if first else same[:CONTEXT]), "…", *([] if last else same[-CONTEXT:])]
