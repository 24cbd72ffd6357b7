"""What is said of promises against all that small machines can do, found by driving `decide` itself."""

import random
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable

import pytest
from attrs import evolve

from fsm import MachineSpec
from fsm.define.parts import PromiseKind, PromiseSpec
from fsm.verify.moves import moves_of
from fsm.verify.product import situations_of
from fsm.verify.promises import promised
from fsm.verify.witness import drive, scenario, without_code
from tests.verify.random_machines import Brute, Chooser, Situation, machine, sharing_machine

DECISIONS_MAX = 6_000
SHARING_MAX = 2_000
PROMISES = 4
KINDS: tuple[PromiseKind, ...] = ("never", "always_after", "unreachable")

Ways = dict[Situation, set[tuple[tuple[str, ...], Situation]]]
"""From each situation by what to which."""


def ways(brute: Brute) -> Ways:
    """Everything again, with what happens: the hop, and the state if it is entered."""
    found: Ways = {here: set() for here in brute.arcs}
    for here in brute.arcs:
        for record, after, _ in brute.onward(here):
            entered = () if record.kind == "retried" else (after.state,)
            found[here].add(((record.hop, *entered), after))
    return found


def shortest(found: Ways, start: Situation, promise: PromiseSpec) -> int | None:
    """How many hops the shortest run has that breaks the promise; None if there is none."""
    seen = {(start, frozenset[str]())}
    work = deque([(start, frozenset[str](), 0)])
    while work:
        here, known, length = work.popleft()
        for names, after in found[here]:
            now: frozenset[str] | None = known
            for name in names:
                now = None if now is None else happened(promise, now, name)
            if now is None:
                return length + 1
            if (after, now) not in seen:
                seen.add((after, now))
                work.append((after, now, length + 1))
    return None


def happened(promise: PromiseSpec, known: frozenset[str], name: str) -> frozenset[str] | None:
    """What is known of the run so far; None if this breaks the promise. Written without a look at the other."""
    if promise.kind == "unreachable":
        return None if name == promise.what else known
    if promise.kind == "never":
        if name == promise.what and promise.before not in known:
            return None
        return known | {name} if name == promise.before else known
    if name == promise.before and promise.what in known:
        return None
    if name == promise.then:
        return frozenset()
    return frozenset({name}) if name == promise.what else known


def chosen(spec: MachineSpec, chance: random.Random) -> tuple[PromiseSpec, ...]:
    names = [*(state.name for state in spec.states), *(line.name for line in spec.transitions)]
    found = []
    for at in range(PROMISES):
        what, then, before = chance.sample(names, 3)
        kind: PromiseKind = chance.choice(KINDS)
        before = chance.choice([before, what]) if kind == "always_after" else before if kind == "never" else ""
        then = then if kind == "always_after" else ""
        found.append(PromiseSpec(name=f"p{at}", kind=kind, what=what, then=then, before=before))
    return tuple(found)


def held(seed: int, made: Callable[[int], tuple[MachineSpec, Chooser]] = machine) -> list[str]:
    """The answers for one machine, each held against brute force."""
    spec, chooser = made(seed)
    spec = evolve(spec, promises=chosen(spec, random.Random(seed)))
    brute = Brute(spec, chooser)
    if not brute.explore(DECISIONS_MAX if made is machine else SHARING_MAX):
        return ["too large"]
    found, engine = ways(brute), without_code(spec)
    told: list[str] = []
    for answer in promised(situations_of(moves_of(spec))):
        truth = shortest(found, brute.start, answer.promise)
        assert (answer.answer == "broken") <= (truth is not None), f"{seed}: {answer.promise} cannot be broken"
        assert (answer.answer == "kept") <= (truth is None), f"{seed}: {answer.promise} is broken in {truth} hops"
        if truth is not None and answer.run:
            assert len(answer.run) >= truth
            assert len(answer.run) == truth or not any(leg.move.fault for leg in answer.run)
        drive(engine, scenario(spec, answer.run)["events"])
        told.append(answer.answer if "caps keep" not in answer.why else "kept by caps")
    return told


def test_what_is_said_of_promises_is_true():
    tally = Tally(answer for seed in range(200) for answer in held(seed))
    assert tally["broken"] > 150 and tally["kept"] > 150 and tally["kept by caps"] > 20, tally
    assert tally["unknown"] < tally["kept"] / 10, tally


def test_what_is_said_of_promises_of_machines_that_share_is_true():
    tally = Tally(answer for seed in range(80) for answer in held(seed, sharing_machine))
    assert tally["broken"] > 30 and tally["kept"] > 30, tally


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_is_said_of_many_promises_is_true():
    tally = Tally(answer for seed in range(1_000, 12_000) for answer in held(seed))
    assert tally["kept by caps"] > 500, tally
