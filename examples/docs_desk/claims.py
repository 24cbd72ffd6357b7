"""Pick the statements that answer a question: few, verbatim, and together saying all of its terms.

Rare terms weigh more than frequent ones, explanations more than code, and what stands near the best
statement more than what stands far from it. Then greedily: the best, and what adds most to it.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

from attrs import evolve, frozen

from examples.docs_desk.passages import Statement, statements
from examples.docs_desk.words import stem, stems
from machines.review_loop import Passage

CLAIMS_MAX = 6
CANDIDATES_MAX = 4_000
TERMS_MIN = 2
WORDS_GOOD = range(5, 45)
SAME_WORDS_MAX = 0.7

WORTH = {"definition": 1.35, "sentence": 1.2, "comment": 0.8, "bare": 0.7, "heading": 0.6, "code": 0.35}
BY_NAME = 1.3
BY_SOURCE = 0.4
BY_RANK = 0.04
UNFIT = 0.6
SAME_SOURCE = 1.5
SAME_FOLDER = 1.2
KEEP_SHARE = 0.6

DEFINED = re.compile(r"\s*(?:async\s+def|def|class)\s+(\w+)")


@frozen
class Candidate:
    """A statement and the terms it says: in its text, in the name it defines, in its file's name."""

    source: str
    statement: Statement
    words: frozenset[str]
    said: frozenset[str]
    named: frozenset[str]
    placed: frozenset[str]
    worth: float

    @property
    def covers(self) -> frozenset[str]:
        return self.said | self.placed

    @property
    def claim(self) -> Passage:
        return Passage(source=self.source, line=self.statement.line, text=self.statement.text)


def pick(terms: Sequence[str], passages: Sequence[Passage]) -> list[Passage]:
    """The claims that answer a question of these terms, best first, at most CLAIMS_MAX, perhaps none."""
    wanted = frozenset(stem(term) for term in terms)
    least = min(TERMS_MIN, len(wanted))
    pool = weighed(wanted, candidates(wanted, passages))
    chosen: list[Candidate] = []
    while len(chosen) < CLAIMS_MAX:
        told = frozenset[str]().union(*(one.covers for one in chosen))
        fitting = [one for one in pool if says_enough(one, least, chosen)]
        adding = [one for one in fitting if one.covers - told] or [one for one in fitting if is_as_good(one, chosen)]
        if not adding:
            break
        best = max(adding, key=lambda one: one.worth * nearness(one, chosen) * (1 + len(one.covers - told)))
        chosen.append(best)
        pool = [one for one in pool if not repeats(one, best)]
    return [one.claim for one in chosen]


def candidates(wanted: frozenset[str], passages: Sequence[Passage]) -> list[Candidate]:
    """Every statement that says a wanted term, at most CANDIDATES_MAX; earlier passages are worth more."""
    found: dict[tuple[str, int], Candidate] = {}
    for rank, passage in enumerate(passages):
        placed = wanted & stems(passage.source)
        for statement in statements(passage.source, passage.line, passage.text):
            words = stems(statement.text)
            said, named = wanted & words, wanted & stems(name_of(statement.text))
            if said and len(found) < CANDIDATES_MAX:
                worth = WORTH[statement.kind] / (1 + BY_RANK * rank)
                one = Candidate(passage.source, statement, words, said, named, placed, worth)
                found.setdefault((passage.source, statement.line), one)
    return list(found.values())


def weighed(wanted: frozenset[str], pool: Sequence[Candidate]) -> list[Candidate]:
    """The candidates with their final worth: rare terms count more, private names and odd lengths less."""
    saying = Counter(term for one in pool for term in one.said)
    weight = {term: math.log(2 + len(pool) / max(saying[term], 1)) for term in wanted}

    def worth(one: Candidate) -> float:
        terms = sum(weight[term] * (BY_NAME if term in one.named else 1) for term in one.said)
        terms += BY_SOURCE * sum(weight[term] for term in one.placed - one.said)
        name = name_of(one.statement.text)
        private = name.startswith("_") and not name.startswith("__")
        fits = len(one.statement.text.split()) in WORDS_GOOD
        return one.worth * terms * (1.0 if fits else UNFIT) * (UNFIT if private else 1.0)

    return [evolve(one, worth=worth(one)) for one in pool]


def name_of(text: str) -> str:
    """The name a definition defines, "" for any other statement."""
    defined = DEFINED.match(text)
    return defined[1] if defined else ""


def says_enough(one: Candidate, least: int, chosen: Sequence[Candidate]) -> bool:
    """Whether a statement is no coincidence: two terms, or a name, or the file of the first claim."""
    return len(one.said) + len(one.named) >= least or bool(chosen and one.source == chosen[0].source)


def is_as_good(one: Candidate, chosen: Sequence[Candidate]) -> bool:
    """Whether a claim that says nothing new is still worth reading beside the first."""
    return one.worth * nearness(one, chosen) >= KEEP_SHARE * chosen[0].worth if chosen else False


def nearness(one: Candidate, chosen: Sequence[Candidate]) -> float:
    """How much a candidate gains by standing where the first claim stands."""
    if not chosen:
        return 1.0
    if one.source == chosen[0].source:
        return SAME_SOURCE
    return SAME_FOLDER if one.source.split("/")[0] == chosen[0].source.split("/")[0] else 1.0


def repeats(one: Candidate, other: Candidate) -> bool:
    """Whether two statements say nearly the same, or begin in the same line."""
    same = len(one.words & other.words) / max(len(one.words | other.words), 1)
    return same > SAME_WORDS_MAX or (one.source, one.statement.line) == (other.source, other.statement.line)
