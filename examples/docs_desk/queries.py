"""What to ask the index: strictly at first, and wider after each rejection.

Four widths: passages that say every term or all but one; any two; any two by their beginnings; any one by
a short beginning. What the reviewer missed is asked for beside each other term, and from the third attempt
alone.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations

PASSAGES = (12, 24, 36, 48)
WIDTH_MAX = len(PASSAGES) - 1
BEGINNING_CHARS = 5


def quoted(term: str, *, beginning: bool = False) -> str:
    """A term as an FTS5 string, so that no question is syntax; `beginning` matches what starts so."""
    escaped = term.replace('"', '""')
    return f'"{escaped}"*' if beginning else f'"{escaped}"'


def all_of(parts: Iterable[str]) -> str:
    return "(" + " AND ".join(parts) + ")"


def any_of(parts: Iterable[str]) -> str:
    return "(" + " OR ".join(parts) + ")"


def some_of(parts: Sequence[str], count: int) -> str:
    """Any `count` of these together; all of them if they are fewer."""
    return any_of(map(all_of, combinations(parts, max(1, min(count, len(parts))))))


def queries(terms: Sequence[str], missing: Sequence[str], rejections: int) -> tuple[list[str], int]:
    """The queries for this attempt, the narrower ones too, and how many passages to take."""
    if not terms:
        return [], 0
    width = min(rejections, WIDTH_MAX)
    exact = [quoted(term) for term in terms]
    begun = [quoted(term, beginning=True) for term in terms]
    asked = [all_of(exact), some_of(exact, len(exact) - 1)]
    if width >= 1:
        asked.append(some_of(exact, 2))
        asked += [beside(lost, terms) for lost in missing]
    if width >= 2:
        asked.append(some_of(begun, 2))
        asked += [quoted(lost, beginning=True) for lost in missing]
    if width >= 3:
        asked.append(any_of(quoted(term[:BEGINNING_CHARS], beginning=True) for term in terms))
    return list(dict.fromkeys(asked)), PASSAGES[width]


def beside(lost: str, terms: Sequence[str]) -> str:
    """The lost term together with any other, or alone if it is the only one."""
    others = [quoted(term) for term in terms if term != lost]
    return all_of([quoted(lost), any_of(others)]) if others else quoted(lost)
