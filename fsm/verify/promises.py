"""Whether every run of a machine keeps its promises.

First whatever counters do: if no way through the declared hops breaks a promise, no run does. Otherwise caps may
still keep it, so situations are gone through breadth first, each with how far the promise is; that gives a
shortest run that breaks it. Runs in which the user's own guards or predicates fail are looked at last.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from attrs import frozen

from fsm.define.parts import START, PromiseSpec
from fsm.verify.costs import SPENDING
from fsm.verify.finding import Finding, about
from fsm.verify.graph import reachable
from fsm.verify.move import Move
from fsm.verify.product import SITUATIONS_MAX, Situations, situations_of
from fsm.verify.witness import Leg
from fsm.verify.worst import is_real, legs

Answer = Literal["kept", "broken", "unknown"]
Watch = Callable[[bool, Move], bool | None]
Place = tuple[str, bool]
Reached = tuple[int, bool]
Usable = Mapping[str, list[Move]]


@frozen(eq=False)
class Promised:
    """What became of a promise, and why; `run` is the shortest run that breaks it, `instead` what to write."""

    promise: PromiseSpec
    answer: Answer
    why: str
    run: tuple[Leg, ...] = ()
    instead: str = ""

    @property
    def data(self) -> dict[str, Any]:
        told = {"name": self.promise.name, "promise": str(self.promise), "answer": self.answer, "why": self.why}
        return {**told, "instead": self.instead, "run": [str(leg) for leg in self.run]}


def promised(situations: Situations, situations_max: int = SITUATIONS_MAX) -> tuple[Promised, ...]:
    """What becomes of each promise of the machine; counters that never reach a limit may be left out."""
    return tuple(_promised(situations, promise, situations_max) for promise in situations.moves.spec.promises)


def promising(answers: Iterable[Promised]) -> list[Finding]:
    """What is broken, and what nobody knows, as findings."""
    return [_finding(answer) for answer in answers if answer.answer != "kept"]


def _finding(answer: Promised) -> Finding:
    promise = answer.promise
    way = " -> ".join(leg.move.target for leg in answer.run)
    broken = answer.answer == "broken"
    what = f"{promise} is broken: {answer.why}, by {way}" if broken else f"{promise}: {answer.why}"
    return about(promise, "error" if broken else "warning", f"promise-{answer.answer}", what, answer.instead)


def _promised(situations: Situations, promise: PromiseSpec, situations_max: int) -> Promised:
    watch, looked = watching(promise), 0
    for faults in (False, True):
        usable = {
            source: [move for move in found if move.moved and (faults or not move.fault)]
            for source, found in situations.moves.by_source.items()
        }
        breaking = _breaking(usable, watch)
        if (START, False) not in breaking:
            continue
        found, looked = _search(situations, watch, breaking, situations_max, faults)
        if found is not None:
            return _broken(situations, promise, legs(situations, found))
        if looked > situations_max:
            why = f"its caps may keep it, and there are more than {situations_max:,} situations to look at"
            return Promised(promise, "unknown", why, instead="lower the limits of its caps, or split the machine")
    if looked and _breaks_late(situations, promise, situations_max):
        why = "a budget must not trip for it, and the last report of a visit may come late, in one that spends nothing"
        return Promised(promise, "unknown", why, instead="let the promise rest on a LoopCap, or on no cap at all")
    if looked:
        return Promised(promise, "kept", f"the caps keep it in each of the {looked:,} situations on a way to break it")
    return Promised(promise, "kept", "no declared way breaks it, whatever is counted")


def _breaks_late(situations: Situations, promise: PromiseSpec, situations_max: int) -> bool:
    """Whether it may be broken where reports of spending come after the visit that they are of."""
    if not any(counter.of in SPENDING for counter in situations.counters):
        return False
    moves, watch = situations.moves, watching(promise)
    late = situations_of(moves, frozenset(moves.counters) - frozenset(situations.counters), late=True)
    usable = {source: [move for move in found if move.moved] for source, found in moves.by_source.items()}
    found, looked = _search(late, watch, _breaking(usable, watch), situations_max, faults=True)
    return found is not None or looked > situations_max


def watching(promise: PromiseSpec) -> Watch:
    """How far the promise is after a move, or None if the move breaks it.

    `never` remembers that `before` has happened; `always_after` that `what` has happened and `then` has not. Of
    one hop, the transition happens before the state that it enters.
    """

    def never(seen: bool, move: Move) -> bool | None:
        for name in _happening(move):
            if name == promise.what and not seen:
                return None
            seen = seen or name == promise.before
        return seen

    def always_after(due: bool, move: Move) -> bool | None:
        for name in _happening(move):
            if name == promise.before and due:
                return None
            due = (due or name == promise.what) and name != promise.then
        return due

    def unreachable(seen: bool, move: Move) -> bool | None:
        return None if promise.what in _happening(move) else seen

    return {"never": never, "always_after": always_after, "unreachable": unreachable}[promise.kind]


def _happening(move: Move) -> tuple[str, ...]:
    """What promises may name, in order; a retry enters nothing."""
    return (move.hop,) if move.retries else (move.hop, move.target)


def _breaking(usable: Usable, watch: Watch) -> set[Place]:
    """The states, each with how far the promise is, from which some declared way breaks it, caps left aside."""
    came: dict[Place, list[tuple[Place, Move]]] = {(START, False): []}
    found: list[Place] = []
    work: list[Place] = [(START, False)]
    while work:
        place = work.pop()
        for move in usable[place[0]]:
            far = watch(place[1], move)
            if far is None:
                found.append(place)
                continue
            after = (move.target, far)
            if after not in came:
                came[after] = []
                work.append(after)
            came[after].append((place, move))
    return reachable(came, found)


def _search(
    situations: Situations, watch: Watch, breaking: set[Place], situations_max: int, faults: bool
) -> tuple[list[tuple[int, Move, int]] | None, int]:
    """A shortest run that breaks the promise, within `breaking`; and how many situations were looked at."""
    first: Reached = (0, False)
    came: dict[Reached, tuple[Reached, Move]] = {}
    seen: set[Reached] = {first}
    work: deque[Reached] = deque([first])
    while work and len(seen) <= situations_max:
        now = work.popleft()
        for move, situation, _ in situations.enabled(now[0]):
            if not move.moved or (move.fault and not faults):
                continue
            far = watch(now[1], move)
            if far is None:
                return [*_run(came, now), (now[0], move, situation)], len(seen)
            after = (situation, far)
            if after not in seen and (move.target, far) in breaking:
                seen.add(after)
                came[after] = (now, move)
                work.append(after)
    return None, len(seen)


def _run(came: Mapping[Reached, tuple[Reached, Move]], end: Reached) -> list[tuple[int, Move, int]]:
    found: list[tuple[int, Move, int]] = []
    while end in came:
        before, move = came[end]
        found.append((before[0], move, end[0]))
        end = before
    return found[::-1]


def _broken(situations: Situations, promise: PromiseSpec, run: tuple[Leg, ...]) -> Promised:
    if not is_real(situations, run):
        why = "a budget keeps it or does not: what several visits spend together was not worked out"
        return Promised(promise, "unknown", why, instead="drop tokens_max= where the promise is at stake")
    fault = next((leg.move.fault for leg in run if leg.move.fault), "")
    only = f", where code of yours fails ({fault})" if fault else ""
    return Promised(promise, "broken", f"{_told(promise)}{only}", run, _instead(promise, run[-1].move.hop))


def _told(promise: PromiseSpec) -> str:
    match promise.kind:
        case "never":
            return f"{promise.what} happens without {promise.before} before it"
        case "always_after":
            return f"{promise.before} happens after {promise.what}, without {promise.then} in between"
        case _:
            return f"{promise.what} happens"


def _instead(promise: PromiseSpec, hop: str) -> str:
    match promise.kind:
        case "never":
            return f"let {hop} lead elsewhere, or through {promise.before}"
        case "always_after":
            return f"let {hop} lead elsewhere, or through {promise.then}"
        case _:
            return f"let {hop} lead elsewhere, or drop the promise"
