"""Small machines made by chance, with code that a chooser answers for, and all they can do by brute force."""

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

from attrs import define, evolve, field
from pydantic import BaseModel

from fsm import AgentFailed, Cancelled, MachineSpec, Spent, TimedOut, allow, defer, refuse
from fsm.core.conclude import Decision, decide
from fsm.core.engine import Engine
from fsm.core.plan import PERMIT, Event
from fsm.core.record import Record
from fsm.core.shares import Row
from fsm.core.snapshot import Snapshot
from fsm.define.events import CallRefused, CallUnsure, PayloadInvalid, RuntimeEvent
from fsm.define.fallback import with_fallbacks
from fsm.define.guard import Counter, Facts, Placed, Share, Standing, Verdict
from fsm.define.parts import START, START_HOP, Bounds, EverywhereSpec, Named, StateSpec, TransitionSpec, retry_spec
from fsm.define.payload import Payload, seal
from fsm.define.shape import shape_of
from fsm.verify.graph import components
from tests.verify.random_sharing import Chosen, rows_of, sharing

LIMIT_MAX = 3
TOKENS_MAX = 6
SECONDS = 1_000
PAUSE_MS = 10  # of a retry at most: nothing beside any deadline
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
    focused: bool = False  # on budgets over visits that are tried again, and on time
    open: int = 3  # guards that are no caps multiply what brute force has to try

    def often(self, share: float) -> bool:
        return self.chance.random() < share

    def guards(self, owner: str, standing: Standing, share: float) -> tuple[Placed, ...]:
        found: list[Placed] = []
        while self.often(share) and len(found) < 2:
            if self.often(0.3 if self.focused else 0.12):
                found.append(self.world(owner, standing))
            elif self.often(0.75) or not self.open:
                found.append(self.cap(owner, standing))
            else:
                found.append(self.data(owner, standing))
        return tuple(found)

    def world(self, owner: str, standing: Standing) -> Placed:
        """As Strikes and Deadline are."""
        name, code, counter, limit = self.chance.choice(
            [
                ("Strikes", "strikes", Counter("strikes", "tool"), self.chance.randint(1, 3)),
                ("Deadline", "deadline", Counter("elapsed_ms"), self.chance.choice([20 * SECONDS, 40 * SECONDS])),
            ]
        )
        return Placed(
            name=name, at=owner, standing=standing, kind="env", codes=(code,), params={}, counter=counter, limit=limit
        )

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
            limit=self.chance.randint(1, TOKENS_MAX if counter.of == "tokens" and self.often(0.3) else LIMIT_MAX),
        )

    def data(self, owner: str, standing: Standing) -> Placed:
        self.open -= 1
        codes = self.chance.choice([("no",), ("no", "never"), ()])
        keep = {"seen": 1} if self.often(0.3) else {}

        kind: Any = self.chance.choice(["data", "env"]) if codes else "sure"

        def check(facts: Facts) -> Verdict:
            answer = self.chooser.choose(len(codes) + 2 + (kind == "env"))
            if answer == 0:
                return allow(keep)
            if answer <= len(codes):
                return refuse(codes[answer - 1])
            return raising() if answer == len(codes) + 1 else defer(codes[0], facts.at_ms + 1)

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
    maker = Maker(chance, chooser, focused=chance.random() < 0.2)
    count = chance.randint(2, 5)
    maker.names = [f"s{n}" for n in range(count)]
    lines = [f"t{n}" for n in range(chance.randint(count - 1, count + 2))]
    maker.pool = [_counter(maker, lines) for _ in range(chance.randint(1, 3))]
    if maker.focused:
        maker.pool = [maker.pool[0], Counter("tokens")]
    states = [_state(maker, at) for at in range(count)]
    open_states = [state.name for state in states if state.kind != "final"]
    transitions = [_line(maker, name, open_states, maker.names) for name in lines]
    everywhere = []
    if maker.often(0.35):
        guards = maker.guards("all", "run", 1.0)[: chance.randint(1, 2)]
        everywhere.append(EverywhereSpec(name="all", guards=guards, otherwise=maker.otherwise(maker.names)))
    fallbacks = {state.name: None for state in states if state.kind == "agent" and maker.often(0.12)}
    states, transitions = with_fallbacks(states, transitions, fallbacks)
    spec = MachineSpec(
        name=f"Random{seed}",
        states=tuple(states),
        transitions=tuple(transitions),
        everywhere=tuple(everywhere),
        payloads=(shape_of(A), shape_of(B)),
        memory=shape_of(Notes),
        memory_class=Notes,
        classes={"A": A, "B": B},
        bounds=Bounds(memory_bytes_max=KIB, resumes_max=chance.randint(0, 2), defers_max=1),
    )
    return spec, chooser


def sharing_machine(seed: int) -> tuple[MachineSpec, Chooser]:
    """The machine of this seed, with guards that share rows with other runs."""
    spec, chooser = machine(seed)
    return sharing(spec, seed), chooser


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
    tokens_min = chance.choice([1, 2, 3] if maker.focused else [0, 0, 1, 1, 2, 3]) if spends else 0
    tokens_max = chance.choice([None, 1, 2, 5]) if kind == "agent" else None
    named = Named("by_chance", fn=lambda failure: maker.predicate())
    retry = retry_spec(name, chance.randint(2, 3), PAUSE_MS // 2, PAUSE_MS, named)
    return StateSpec(
        name=name,
        kind=kind,  # type: ignore[arg-type]
        initial=("A",) if at == 0 else (),
        final="completed" if kind == "final" else None,
        timeout_ms=chance.choice([None, SECONDS, 2 * SECONDS, 30 * SECONDS]) if kind != "final" else None,
        tokens_max=max(tokens_max, tokens_min) if tokens_max is not None else None,
        usd_micros_max=0 if kind == "agent" else None,
        tokens_min=tokens_min,
        retry=retry if kind == "agent" and maker.often(0.7 if maker.focused else 0.25) else None,
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

RUNTIME: dict[str, RuntimeEvent] = {
    "AgentFailed": AgentFailed(error_type="E", message="m", attempt=1),
    "TimedOut": TimedOut(timeout_ms=1, attempt=1),
    "PayloadInvalid": PayloadInvalid(event="A", problems=[], excerpt="", attempt=1),
    "CallRefused": CallRefused(call="c", code="no", numbers={}, attempt=1),
    "CallUnsure": CallUnsure(call="c", key="k", arguments="", attempt=1),
    "Cancelled": Cancelled(),
}


class Situation(NamedTuple):
    """Where a run is: what it has counted, how old it is, and what all attempts of its visit have spent so far."""

    state: str
    counts: tuple[int, ...]
    elapsed_ms: int = 0
    spent: int = 0


class Price(NamedTuple):
    """What a decision costs, with the visit it begins; `put_off_ms` of the time was waited for it."""

    hops: int
    tokens: int
    person: int
    ms: int
    put_off_ms: int = 0


class Onward(NamedTuple):
    """One decision that moves: its record, where the run is then, and what that costs."""

    record: Record
    after: Situation
    price: Price


@define
class Brute:
    """Everything a machine can do, by deciding everything: `arcs` lead on with their price."""

    spec: MachineSpec
    chooser: Chooser
    arcs: dict[Situation, dict[tuple[Situation, Price], None]] = field(factory=dict)
    hops: set[str] = field(factory=set)
    decisions: int = 0
    decisions_max: int | None = None
    engine: Engine = field(init=False)
    limits: dict[str, int] = field(factory=dict)
    rows: dict[Share, list[Row]] = field(factory=dict)
    strikes: tuple[int, ...] = ()
    moments: tuple[int, ...] = (0,)
    tokens_most: int = 0
    start: Situation = field(init=False)

    def explore(self, decisions_max: int) -> bool:
        """Whether all of it could be explored with so many decisions."""
        self.decisions_max = decisions_max
        self.engine = Engine(self.spec)
        self.rows = rows_of(self.spec.guards)
        deadlines: set[int] = set()
        strikes: set[int] = set()
        for guard in self.spec.guards:
            if guard.counter is None or guard.limit is None:
                continue
            if guard.counter.of == "elapsed_ms":
                deadlines |= {guard.limit - 1, guard.limit}
                continue
            if guard.counter.of == "strikes":
                strikes.add(guard.limit)
            if guard.counter.of == "tokens":
                self.tokens_most = max(self.tokens_most, guard.limit)
            self.limits[guard.counter.key] = max(guard.limit, self.limits.get(guard.counter.key, 0))
        self.strikes = (0, *sorted(strikes)) if strikes else ()
        self.moments = (0, *sorted(deadlines))
        work = [self.situation(Snapshot())]
        self.start = work[0]
        self.arcs[work[0]] = {}
        while work:
            here = work.pop()
            for found in self.onward(here):
                if found.after not in self.arcs:
                    self.arcs[found.after] = {}
                    work.append(found.after)
                self.arcs[here][found.after, found.price] = None
                self.hops.add(found.record.hop)
            if self.decisions > decisions_max:
                return False
        self.decisions_max = None
        return True

    def situation(self, snapshot: Snapshot, elapsed_ms: int = 0, spent: int = 0) -> Situation:
        counts = tuple(min(snapshot.counters.get(key, 0), most) for key, most in self.limits.items())
        return Situation(snapshot.state, counts, elapsed_ms, spent)

    def onward(self, here: Situation) -> Iterator[Onward]:
        """All that is decided there; what is put off, once more, later."""
        for snapshot in self.snapshots(here):
            for event, total in self.events_in(here):
                put_off: dict[int | None, Decision] = {}
                for decision in self.decided(snapshot, event):
                    if decision.record is not None and decision.record.kind == "deferred":
                        put_off[decision.record.until_ms] = decision
                    yield from self.moved(here, event, decision, total)
                for until_ms, before in put_off.items():
                    for later, spent in self.events_again(here, event, total, until_ms or 0):
                        for decision in self.decided(before.snapshot, later):
                            yield from self.moved(here, later, decision, spent, before.record)

    def snapshots(self, here: Situation) -> Iterator[Snapshot]:
        """A run there: what its visit has set aside of budgets depends on how it was entered."""
        state = self.spec.state.get(here.state)
        permits = {guard.kept_as: {PERMIT: 1} for guard in self.spec.breakers.get(here.state, ())}
        holds = {share.name: 5 for share in self.spec.budgets.values()} if state and state.retry else {}
        for held in [{}, holds] if holds else [{}]:
            yield Snapshot(
                state=here.state,
                seq=-1 if here.state == START else 5,
                entered=-1 if here.state == START else 5,
                counters=dict(zip(self.limits, here.counts, strict=True)),
                kept=permits,
                holds=held,
                started_at_ms=1,
            )

    def decided(self, snapshot: Snapshot, event: Event) -> Iterator[Decision]:
        def once() -> Decision:
            return decide(self.engine, snapshot, event, shared=Chosen(self.chooser.choose, self.rows))

        for decision in self.chooser.everything(once):
            self.decisions += 1
            yield decision
            if self.decisions_max is not None and self.decisions > self.decisions_max:
                return

    def moved(
        self, here: Situation, event: Event, decision: Decision, total: int, put_off: Record | None = None
    ) -> Iterator[Onward]:
        record = decision.record
        if record is not None and record.hop:
            retried = record.kind == "retried"
            elapsed = max(at for at in self.moments if at < event.at_ms)
            late = retried and elapsed + 1 in self.moments  # its pause takes it there
            after = self.situation(decision.snapshot, elapsed + late, total if retried else 0)
            yield Onward(record, after, self.price(here, record, put_off))

    def price(self, here: Situation, record: Record, put_off: Record | None) -> Price:
        person = int(self.waits(here.state) and record.event in ("A", "B"))
        ms = self.retry_ms(record.state) if record.kind == "retried" else self.visit_ms(record.state)
        waited = self.spec.bounds.defer_s_max * 1000 if put_off or self.paused(record) else 0
        tokens = record.spent.tokens + (put_off.spent.tokens if put_off else 0)
        return Price(int(here.state != START), tokens, person, ms + waited, waited)

    def paused(self, record: Record) -> bool:
        """Whether a guard puts off a retry beyond its pause."""
        return record.kind == "retried" and any(ruling.verdict.decision == "defer" for ruling in record.rulings)

    def events_again(self, here: Situation, event: Event, total: int, until_ms: int) -> Iterator[tuple[Event, int]]:
        """The same event from then on; where it came from outside, the visit has gone on."""
        for at_ms in [until_ms, *(1 + at for at in self.moments if at >= until_ms)]:
            if event.own:
                yield evolve(event, at_ms=at_ms, spent=Spent(), strikes={}, charge=0), total
                continue
            for later, spent in self.events_in(here, total):
                if (later.payload.event, later.own, later.at_ms) == (event.payload.event, False, event.at_ms):
                    yield evolve(later, at_ms=at_ms), spent

    def events_in(self, here: Situation, known: int | None = None) -> Iterator[tuple[Event, int]]:
        """Each event that may come, with all that its visit has spent by then; `known` of it is recorded."""
        known = here.spent if known is None else known
        state = self.spec.state.get(here.state)
        least = state.tokens_min if state is not None and state.kind == "agent" else 0
        works = state is not None and state.kind == "agent"
        for payload, own in self.events(here.state):
            for at in self.moments_in(here):
                for total in self.spending(here._replace(spent=known)):
                    for strikes in [{"tool": count} for count in self.strikes] if works and self.strikes else [{}]:
                        event = Event(
                            payload=payload,
                            at_ms=1 + at,
                            own=own,
                            event_id=None if own else "e",
                            spent=Spent(tokens=total - known),
                            strikes=strikes,
                            charge=max(0, least - total),
                        )
                        yield event, total

    def moments_in(self, here: Situation) -> list[int]:
        """A start is decided as it begins, if it is not put off."""
        if here.state == START:
            return [0]
        return [at for at in self.moments if at >= here.elapsed_ms]

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

    def spending(self, here: Situation) -> list[int]:
        """What a visit may have spent when something is decided."""
        if here.state == START or self.spec.state[here.state].kind != "agent":
            return [0]
        spec = self.spec.state[here.state]
        most = spec.tokens_max if spec.tokens_max is not None else max(self.tokens_most, LIMIT_MAX)
        return list(range(here.spent, max(most, here.spent) + 1)) if self.tokens_most else [most]

    def longest(self) -> tuple[int, int, int, int] | None:
        """The most hops, tokens, approvals, milliseconds of any run; None where some run has no end."""
        best: dict[Situation, tuple[int, ...]] = {}
        open_: set[Situation] = set()
        work: list[tuple[Situation, bool]] = [(self.start, False)]
        while work:
            here, done = work.pop()
            if done:
                open_.discard(here)
                found = [(0, self.last(here), 0, 0)]
                for after, price in self.arcs[here]:
                    found.append(tuple(a + b for a, b in zip(price[:4], best[after], strict=True)))  # type: ignore[arg-type]
                best[here] = tuple(map(max, *found)) if len(found) > 1 else found[0]
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

    def last(self, here: Situation) -> int:
        """What is spent in a visit that nothing leaves, as far as it is not recorded yet."""
        state = self.spec.state.get(here.state)
        least = state.tokens_min if state is not None and state.kind == "agent" else 0
        return max(*self.spending(here), least) - here.spent

    def clipped_ms(self) -> int:
        """What some run surely takes where a deadline stands on the whole machine: what comes before it ends with it.

        For machines without endless runs; a visit that begins later than it was decided on takes longer still.
        """
        deadline = min(self.spec.deadlines_ms)
        taken = {self.start: 0}
        order = [here for (here,) in components(self._priced)]  # each after all that it leads to
        for here in reversed(order):
            for after, price in self.arcs[here] if here in taken else ():
                early = after.elapsed_ms < deadline
                asked = taken[here] + price.put_off_ms
                begun = min(asked, deadline - 1) if early else asked
                visit = price.ms - price.put_off_ms
                ends = min(begun + visit, deadline) if early else begun + visit
                taken[after] = max(ends, taken.get(after, 0))
        return max(taken.values())

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
            found = [self.last(here) for here in nodes]
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
        return {here: [(after, price.tokens) for after, price in arcs] for here, arcs in self.arcs.items()}

    def visit_ms(self, state: str) -> int:
        spec = self.spec.state[state]
        attempts = self.spec.bounds.resumes_max + 1 if spec.kind == "agent" else 1
        return (spec.timeout_ms or 0) * attempts

    def retry_ms(self, state: str) -> int:
        return (self.spec.state[state].timeout_ms or 0) + PAUSE_MS
