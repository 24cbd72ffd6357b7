"""Words of questions and of text: which of them matter, and when two of them are the same word.

Everything here is pure. The stemmer is small on purpose: it only has to agree with itself, for the
index has its own (FTS5's porter), and a passage that one of them overlooks is found by the other.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

TERMS_MAX = 12
TERM_CHARS_MAX = 64
STEM_CHARS_MIN = 3

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
