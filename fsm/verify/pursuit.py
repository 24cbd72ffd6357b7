"""A run without end in a machine too large to look at all its situations: go to the loop, and go round.

The way there and a turn are the shortest that the states allow; then they are made, with all counters. Where
that comes back to a situation it was in before, it is a run without end; otherwise nothing is said.
"""

from collections.abc import Iterable, Sequence

from fsm.define.parts import START
from fsm.verify.graph import shortest
from fsm.verify.move import Move
from fsm.verify.product import Situations
from fsm.verify.worst import Path, Worst, legs

TURNS_MAX = 64
STARTS_MAX = 16


def pursue(situations: Situations, stuck: Sequence[Move]) -> Worst:
    """Stem and loop through moves that no cap keeps from being taken for ever; empty where this finds none."""
    states = list(dict.fromkeys(move.source for move in stuck))
    there, around = _by_source(situations.moves.all), _by_source(stuck)
    for state in states[:STARTS_MAX]:
        stem, turn = shortest(there, START, state.__eq__), shortest(around, state, state.__eq__, empty=False)
        if stem is None or turn is None:
            continue
        found = _made(situations, [move for _, move, _ in stem], [move for _, move, _ in turn])
        if found is not None:
            path, loop = found
            return Worst(stem=legs(situations, path), loop=legs(situations, loop))
    return Worst()


def _by_source(moves: Iterable[Move]) -> dict[str, list[tuple[str, Move]]]:
    found: dict[str, list[tuple[str, Move]]] = {}
    for move in sorted((move for move in moves if move.moved), key=lambda move: bool(move.fault)):
        found.setdefault(move.source, []).append((move.target, move))
    return found


def _made(situations: Situations, stem: list[Move], turn: list[Move]) -> tuple[Path, Path] | None:
    """The stem and then turns, until one begins as one before it did; None where a count forbids a move."""
    path: Path = []
    here = 0
    began: dict[int, int] = {}
    for moves in (stem, *[turn] * TURNS_MAX):
        if moves is turn:
            if here in began:
                return path[: began[here]], path[began[here] :]
            began[here] = len(path)
        for move in moves:
            after = next((end for found, end, _ in situations.enabled(here) if found is move), None)
            if after is None:
                return None
            path.append((here, move, after))
            here = after
    return None
