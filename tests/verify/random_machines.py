"""Small machines made by chance, with code that a chooser answers for, and all they can do by brute force."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NoReturn

from attrs import define, evolve, field
from pydantic import BaseModel

from fsm import AgentFailed, Cancelled, MachineSpec, Spent, TimedOut, allow, refuse
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.snapshot import Snapshot
from fsm.define.events import CallRefused, CallUnsure, PayloadInvalid, RuntimeEvent
from fsm.define.guard import Counter, Facts, Placed, Standing, Verdict
from fsm.define.parts import START, START_HOP, Bounds, EverywhereSpec, Named, StateSpec, TransitionSpec
from fsm.define.payload import Payload, seal
from fsm.define.shape import shape_of
from fsm.verify.graph import components

LIMIT_MAX = 3
KIB = 1 << 10


class A(BaseModel):
    pass


class B(BaseModel):
    pass


class Notes(BaseModel):
    text: str = ""


@define
class Chooser:
    """Answers every question with one of its choices; run again and again, it goes through all combinations."""

    script: list[int] = field(factory=list)
    asked: list[int] = field(factory=list)

    def choose(self, choices: int) -> int:
        at = len(self.asked)
        self.asked.append(choices)
        if at == len(self.script):
            self.script.append(0)
        return self.script[at]

    def everything(self, act: Callable[[], Any]) -> Iterator[Any]:
        self.script = []
        while True:
            self.asked = []
            yield act()
            while self.script and self.script[-1] + 1 == self.asked[len(self.script) - 1]:
                self.script.pop()
            if not self.script:
                return
            self.script[-1] += 1


def raising(*_: Any) -> NoReturn:
    raise LookupError("by chance")


@define
class Maker:
    """Makes one machine; what is shared by its parts."""

    chance: random.Random
    chooser: Chooser
    names: list[str] = field(factory=list)
    pool: list[Counter] = field(factory=list)
    open: int = 3  # guards that are no caps multiply what brute force has to try

    def often(self, share: float) -> bool:
        return self.chance.random() < share

    def guards(self, owner: str, standing: Standing, share: float) -> tuple[Placed, ...]:
        found: list[Placed] = []
        while self.often(share) and len(found) < 2:
            found.append(self.cap(owner, standing) if self.often(0.75) or not self.open else self.data(owner, standing))
        return tuple(found)

    def cap(self, owner: str, standing: Standing) -> Placed:
        counter = self.chance.choice(self.pool)
        if counter.of in ("fires", "visits") and self.often(0.5):  # as LoopCap does: what it stands on
            subject = owner if (standing, counter.of) in (("transition", "fires"), ("state", "visits")) else ""
            counter = evolve(counter, subject=subject) if subject else counter
        return Placed(
            name="Cap",
            at=owner,
            standing=standing,
            kind="cap",
            codes=("cap",),
            params={},
            counter=counter,
            limit=self.chance.randint(1, LIMIT_MAX),
        )

    def data(self, owner: str, standing: Standing) -> Placed:
        self.open -= 1
        codes = self.chance.choice([("no",), ("no", "never"), ()])

        def check(facts: Facts) -> Verdict:
            answer = self.chooser.choose(len(codes) + 2)
            return allow() if answer == 0 else refuse(codes[answer - 1]) if answer <= len(codes) else raising()

        kind: Any = self.chance.choice(["data", "env"]) if codes else "sure"
        return Placed(
            name="Open",
            at=owner,
            standing=standing,
            kind=kind,
            codes=codes,
            params={},
            check=check,
        )

    def otherwise(self, targets: list[str], share: float = 0.6) -> dict[str, str]:
        if not targets or not self.often(share):
            return {}
        codes = [
            "*",
            *self.chance.sample(["cap", "no", "guard_error", "predicate_error"], self.chance.choice([0, 0, 1])),
        ]
        return {code: self.chance.choice(targets) for code in codes}

    def predicate(self) -> bool:
        answer = self.chooser.choose(3)
        return answer == 1 if answer < 2 else raising()

    def remember(self, notes: Notes, _: BaseModel) -> Notes:
        answer = self.chooser.choose(3)
        return Notes() if answer == 0 else Notes(text="x" * KIB) if answer == 1 else raising()


def machine(seed: int) -> tuple[MachineSpec, Chooser]:
    """The machine of this seed, and the chooser that answers for its code."""
    chance, chooser = random.Random(seed), Chooser()
    maker = Maker(chance, chooser)
    count = chance.randint(2, 5)
    maker.names = [f"s{n}" for n in range(count)]
    lines = [f"t{n}" for n in range(chance.randint(count - 1, count + 2))]
    maker.pool = [_counter(maker, lines) for _ in range(chance.randint(1, 3))]
    states = [_state(maker, at) for at in range(count)]
    open_states = [state.name for state in states if state.kind != "final"]
    transitions = [_line(maker, name, open_states, maker.names) for name in lines]
    everywhere = []
    if maker.often(0.35):
        guards = maker.guards("all", "run", 1.0)[: chance.randint(1, 2)]
        everywhere.append(EverywhereSpec(name="all", guards=guards, otherwise=maker.otherwise(maker.names)))
    spec = MachineSpec(
        name=f"Random{seed}",
        states=tuple(states),
        transitions=tuple(transitions),
        everywhere=tuple(everywhere),
        payloads=(shape_of(A), shape_of(B)),
        memory=shape_of(Notes),
        memory_class=Notes,
        classes={"A": A, "B": B},
        bounds=Bounds(memory_bytes_max=KIB, resumes_max=chance.randint(0, 2)),
    )
    return spec, chooser


def _counter(maker: Maker, lines: list[str]) -> Counter:
    chance = maker.chance
    of = chance.choice(["fires", "fires", "visits", "visits", "hops", "tokens"])
    since = chance.choice(maker.names) if maker.often(0.3) else ""
    if of == "fires":
        hops = [*lines, *(f"{line}.otherwise" for line in lines[:2]), START_HOP]
        return Counter("fires", chance.choice(hops), since)
    if of == "visits":
        return Counter("visits", chance.choice(maker.names), since)
    return Counter(of, "", since)  # type: ignore[arg-type]


def _state(maker: Maker, at: int) -> StateSpec:
    chance, name = maker.chance, maker.names[at]
    kind = chance.choice(["agent", "agent", "waiting", "final"]) if at else chance.choice(["agent", "waiting"])
    later = maker.names[at + 1 :]  # so that chains come to an end
    spends = kind == "agent" and any(counter.of == "tokens" for counter in maker.pool)
    tokens_min = chance.choice([0, 1]) if spends else 0
    return StateSpec(
        name=name,
        kind=kind,  # type: ignore[arg-type]
        initial=("A",) if at == 0 else (),
        final="completed" if kind == "final" else None,
        timeout_ms=chance.choice([None, 1000, 2000]) if kind != "final" else None,
        tokens_max=chance.choice([None, 1, 2]) if kind == "agent" else None,
        usd_micros_max=0 if kind == "agent" else None,
        tokens_min=tokens_min,
        guards=maker.guards(name, "state", 0.35),
        otherwise=maker.otherwise(later),
        remember=Named("note", fn=maker.remember) if at == 0 and maker.often(0.1) else None,
    )


def _line(maker: Maker, name: str, sources: list[str], targets: list[str]) -> TransitionSpec:
    chance = maker.chance
    events = chance.sample(["A", "A", "A", "B", "B", "AgentFailed", "TimedOut", "CallRefused", "Cancelled"], 1)
    if maker.often(0.2) and events[0] not in ("TimedOut", "Cancelled"):
        events.append("TimedOut")
    bare = "Cancelled" in events
    when = Named("by_chance", fn=lambda payload: maker.predicate()) if maker.often(0.35) else None
    return TransitionSpec(
        name=name,
        sources=tuple(chance.sample(sources, min(len(sources), chance.choice([1, 1, 1, 2])))),
        target=chance.choice(targets),
        events=tuple(events),
        when=when,
        guards=() if bare else maker.guards(name, "transition", 0.75),
        otherwise={} if bare else maker.otherwise(targets),
        remember=Named("note", fn=maker.remember) if maker.often(0.08) else None,
    )


# --- brute force ----------------------------------------------------------------------------------

Situation = tuple[str, tuple[int, ...]]
RUNTIME: dict[str, RuntimeEvent] = {
    "AgentFailed": AgentFailed(error_type="E", message="m", attempt=1),
    "TimedOut": TimedOut(timeout_ms=1, attempt=1),
    "PayloadInvalid": PayloadInvalid(event="A", problems=[], excerpt="", attempt=1),
    "CallRefused": CallRefused(call="c", code="no", numbers={}, attempt=1),
    "CallUnsure": CallUnsure(call="c", key="k", arguments="", attempt=1),
    "Cancelled": Cancelled(),
}


@define
class Brute:
    """Everything a machine can do, by deciding everything: `arcs` lead on with their price."""

    spec: MachineSpec
    chooser: Chooser
    arcs: dict[Situation, dict[tuple[Situation, tuple[int, int, int]], None]] = field(factory=dict)
    hops: set[str] = field(factory=set)
    decisions: int = 0
    engine: Engine = field(init=False)
    limits: dict[str, int] = field(factory=dict)
    counts_tokens: bool = False
    start: Situation = (START, ())

    def explore(self, decisions_max: int) -> bool:
        """Whether all of it could be explored with so many decisions."""
        self.engine = Engine(self.spec)
        for guard in self.spec.guards:
            if guard.counter is not None and guard.limit is not None:
                self.limits[guard.counter.key] = max(guard.limit, self.limits.get(guard.counter.key, 0))
        self.counts_tokens = any(key.startswith("tokens") for key in self.limits)
        work = [self.situation(Snapshot())]
        self.start = work[0]
        self.arcs[work[0]] = {}
        while work:
            here = work.pop()
            for after, price in self.onward(here):
                if after not in self.arcs:
                    self.arcs[after] = {}
                    work.append(after)
                self.arcs[here][after, price] = None
            if self.decisions > decisions_max:
                return False
        return True

    def situation(self, snapshot: Snapshot) -> Situation:
        counts = tuple(min(snapshot.counters.get(key, 0), most) for key, most in self.limits.items())
        return snapshot.state, counts

    def onward(self, here: Situation) -> Iterator[tuple[Situation, tuple[int, int, int]]]:
        state, counts = here
        snapshot = Snapshot(
            state=state,
            seq=-1 if state == START else 5,
            entered=-1 if state == START else 5,
            counters=dict(zip(self.limits, counts, strict=True)),
        )
        waiting = state != START and self.spec.state[state].kind == "waiting"
        for payload, own in self.events(state):
            for tokens in self.spending(state):
                event = Event(
                    payload=payload, at_ms=1, own=own, event_id=None if own else "e", spent=Spent(tokens=tokens)
                )
                for decision in self.chooser.everything(partial(decide, self.engine, snapshot, event)):
                    self.decisions += 1
                    record = decision.record
                    if record is not None and record.hop:
                        self.hops.add(record.hop)
                        person = int(waiting and payload.event in ("A", "B"))
                        yield self.situation(decision.snapshot), (int(state != START), tokens, person)

    def events(self, state: str) -> Iterator[tuple[Payload, bool]]:
        if state == START:
            yield seal(A(), KIB), True
            return
        spec = self.spec.state[state]
        if spec.kind == "final":
            return
        for cls in (A, B):
            if self.engine.handles(state, cls.__name__):
                yield seal(cls(), KIB), False
                if spec.kind == "agent":
                    yield seal(cls(), KIB), True
        names = ["AgentFailed", "PayloadInvalid", "CallRefused", "CallUnsure"] if spec.kind == "agent" else []
        names += ["TimedOut"] if spec.timeout_ms is not None else []
        for name in names:
            yield seal(RUNTIME[name], KIB), True
        yield seal(RUNTIME["Cancelled"], KIB), False

    def spending(self, state: str) -> list[int]:
        if state == START or self.spec.state[state].kind != "agent":
            return [0]
        spec = self.spec.state[state]
        most = spec.tokens_max if spec.tokens_max is not None else LIMIT_MAX
        if not self.counts_tokens:
            return [most]
        return list(range(spec.tokens_min, max(most, spec.tokens_min) + 1))

    def longest(self) -> tuple[int, int, int, int] | None:
        """The most hops, tokens, approvals, milliseconds of any run; None where some run has no end."""
        best: dict[Situation, tuple[int, ...]] = {}
        open_: set[Situation] = set()
        work: list[tuple[Situation, bool]] = [(self.start, False)]
        while work:
            here, done = work.pop()
            if done:
                open_.discard(here)
                own = (0, max(self.spending(here[0])), 0, 0)
                found = [own]
                for after, (hops, tokens, person) in self.arcs[here]:
                    plus = (hops, tokens, person, self.visit_ms(after[0]))
                    found.append(tuple(a + b for a, b in zip(plus, best[after], strict=True)))  # type: ignore[arg-type]
                best[here] = tuple(map(max, *found)) if len(found) > 1 else own
                continue
            if here in best or here in open_:
                continue
            open_.add(here)
            work.append((here, True))
            for after, _ in self.arcs[here]:
                if after in open_:
                    return None
                if after not in best:
                    work.append((after, False))
        return best[self.start]  # type: ignore[return-value]

    def waits(self, state: str) -> bool:
        return state != START and self.spec.state[state].kind == "waiting"

    @property
    def spent_max(self) -> int | None:
        """The most tokens of any run, also where runs have no end; None where that has no end either."""
        part = {n: at for at, nodes in enumerate(components(self._priced)) for n in nodes}
        if any(price and part[here] == part[after] for here, arcs in self._priced.items() for after, price in arcs):
            return None
        best: dict[int, int] = {}
        for nodes in components(self._priced):
            found = [max(self.spending(here[0])) for here in nodes]
            found += [
                price + best[part[after]]
                for here in nodes
                for after, price in self._priced[here]
                if part[after] != part[here]
            ]
            best[part[nodes[0]]] = max(found)
        return best[part[self.start]]

    @property
    def _priced(self) -> dict[Situation, list[tuple[Situation, int]]]:
        return {here: [(after, price[1]) for after, price in arcs] for here, arcs in self.arcs.items()}

    def visit_ms(self, state: str) -> int:
        spec = self.spec.state[state]
        attempts = self.spec.bounds.resumes_max + 1 if spec.kind == "agent" else 1
        return (spec.timeout_ms or 0) * attempts
