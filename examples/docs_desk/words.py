"""Words: which of a question's words matter, when two words are the same, and what to ask the index for them.

Everything here is pure. The stemmer is small on purpose: it only has to agree with itself, for the
index has its own (FTS5's porter), and a passage that one of them overlooks is found by the other.

Queries have four widths, a wider one after each rejection: passages that say every term or all but one; any
two; any two by their beginnings; any one by a short beginning. What the reviewer missed is asked for beside
each other term, and from the third attempt alone.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations

TERMS_MAX = 12
TERM_CHARS_MAX = 64
STEM_CHARS_MIN = 3
PASSAGES = (12, 24, 36, 48)
WIDTH_MAX = len(PASSAGES) - 1
BEGINNING_CHARS = 5

IDENTIFIER = re.compile(r"\w+")
HUMP = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|\d+")
MEASURE = re.compile(r"\bhow\s+(?:long|many|much|often|far|big)\b", re.IGNORECASE)
VOWEL = re.compile(r"[aeiouy]")
DOUBLED = re.compile(r"([bcdfghjklmnpqrtvwx])\1$")

STOP_WORDS = frozenset(
    """
    a about above after afterwards again all also am an and another any anything are as ask at be
    because been before being below best better between both but by can cannot could did different do
    does doing done down during each either else ever every everything explain few find for from further
    get gets getting give given go goes good had happen happens has have having he help her here hers
    him his how i if in instead into is it its itself just keep know later let like long longer make
    makes making may me mean means might more most much must my need needs no nor not of off on once one
    only or other our out over own please point possible program python same several she should show so
    some someone something somewhere soon still such sure take tell than that the their them then there
    these they thing this those through to told too try under until up us use used user uses using very
    want wants was way ways we were what whatever when where whether which while who whole whom whose
    why will with within without work works would yes yet you your
    """.split()
)
ENDINGS = tuple(
    [ending.partition(":")[::2] for ending in endings.split()]
    for endings in ("ies:y ied:y sses:ss ings ing ed es s", "ation ment ion able or er ly", "e y:i")
)


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """The part of a word that its forms share, so that `limits`, `limited` and `limiting` meet in `limit`."""
    word = word.lower()
    for endings in ENDINGS:
        for ending, instead in endings:
            root = word[: -len(ending)] + instead
            if word.endswith(ending) and len(root) >= STEM_CHARS_MIN and VOWEL.search(root):
                keeps = ending == "s" and word.endswith(("ss", "us", "is"))
                word = word if keeps else root
                break
    return DOUBLED.sub(r"\1", word)


def pieces(identifier: str) -> list[str]:
    """The words an identifier is made of: `wait_for` gives wait, for; `ThreadPool2` Thread, Pool, 2."""
    return HUMP.findall(identifier)


def tokens(text: str) -> Iterator[str]:
    """Every identifier of the text and, where it is made of several words, those too."""
    for identifier in IDENTIFIER.findall(text):
        yield identifier
        parts = pieces(identifier)
        if len(parts) > 1:
            yield from parts


def stems(text: str) -> frozenset[str]:
    """The stems of all words of a text: what `covered` asks."""
    return frozenset(stem(token) for token in tokens(text))


def terms(question: str) -> list[str]:
    """The words of a question that an answer has to cover, in order, each once, at most TERMS_MAX.

    Stop words and single letters go; a question of nothing else has no terms.
    """
    words = [word.lower()[:TERM_CHARS_MAX] for word in IDENTIFIER.findall(MEASURE.sub(" ", question))]
    first: dict[str, str] = {}
    for word in words:
        if word not in STOP_WORDS and pieces(word) and (len(word) > 1 or word.isdigit()):
            first.setdefault(stem(word), word)
    return list(first.values())[:TERMS_MAX]


def covered(wanted: Sequence[str], text: str) -> list[str]:
    """The wanted terms that a text says in some form."""
    said = stems(text)
    return [term for term in wanted if stem(term) in said]


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
