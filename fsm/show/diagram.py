"""A machine as a picture holds it: boxes and arrows, and nothing about any format.

A pure function of the `MachineSpec`, so also of one loaded from a journal, without any code. Names may be
anything; ids are ours: `s0`, `s1`, ... for the states in declared order, `a0`, ... for the arrows.

Every declared hop is exactly one arrow:

- A line from several states is one arrow with several sources, to be drawn as a junction they share.
- What stands on the whole machine is one box, `anywhere`, with the guards in it; its `otherwise` is one arrow
  from there, not one from every state.
- The `otherwise` of a state is an arrow from that state: it says where a run goes that is refused entry there.
- A retry is an arrow from its state to itself; it enters nothing anew, so its state asks no entry guards.
- A refusal without `otherwise` halts the run: an arrow of kind `stopped` to the one box of that kind. Where only
  an event from outside can be refused nothing halts; the place then says that the run `stays`.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from attrs import define, field, frozen

from fsm.define.events import RUNTIME_EVENTS
from fsm.define.guard import Kind as GuardKind
from fsm.define.guard import Placed, Standing
from fsm.define.parts import START_HOP, EverywhereSpec, StateSpec, TransitionSpec, retry_id, way_id
from fsm.define.spec import MachineSpec
from fsm.show.demands import guard_words
from fsm.show.words import count

BoxKind = Literal["agent", "waiting", "completed", "failed", "start", "anywhere", "stopped"]
ArrowKind = Literal["start", "direct", "retry", "otherwise", "stopped"]

Declared = StateSpec | TransitionSpec | EverywhereSpec

NO_STATE: frozenset[BoxKind] = frozenset({"start", "anywhere", "stopped"})
TIMED = frozenset({"TimedOut", "AgentFailed"})  # what a waiting state's own timer can arrive as


@frozen(kw_only=True)
class Check:
    """A guard in words: `LoopCap`, `up to 3 times`; `codes` are what it may refuse with."""

    name: str
    words: str
    kind: GuardKind
    codes: tuple[str, ...]
    limit: int | None


@frozen(kw_only=True)
class Box:
    """A state; or one of the places that are none: the start, `anywhere` (guards of the machine), *stopped*.

    `starts` are the events a run begins with here. `guards` are asked on every entry (`anywhere`: on every hop).
    """

    id: str
    name: str
    kind: BoxKind
    title: str = ""
    timeout_ms: int | None = None
    tokens_max: int | None = None
    usd_micros_max: int | None = None
    starts: tuple[str, ...] = ()
    guards: tuple[Check, ...] = ()
    remember: str | None = None
    stays: bool = False

    @property
    def is_state(self) -> bool:
        return self.kind not in NO_STATE


@frozen(kw_only=True)
class Arrow:
    """One declared hop, or (`stopped`) the halt of a run that a guard of `line` refuses without `otherwise`.

    `hop` is its id as records hold it, "" for a halt; `line` the attribute that declares it, and `standing` what
    that attribute is (`run`: everywhere). `sources` are box ids, `codes` the verdict codes that lead this way
    (empty for a direct hop), `rest` whether every other code does. `carries`: the payload of the visit goes along.
    `pause_ms`: of a retry, before the second attempt, and at most.
    """

    id: str
    kind: ArrowKind
    hop: str
    line: str
    standing: Standing
    sources: tuple[str, ...]
    target: str
    events: tuple[str, ...] = ()
    when: str | None = None
    guards: tuple[Check, ...] = ()
    codes: tuple[str, ...] = ()
    rest: bool = False
    remember: str | None = None
    stays: bool = False
    carries: bool = False
    pause_ms: tuple[int, int] | None = None


@frozen(kw_only=True)
class Diagram:
    """All boxes, the states first and as declared; all arrows, a line's ways directly after it."""

    name: str
    doc: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]

    @property
    def states(self) -> tuple[Box, ...]:
        return tuple(box for box in self.boxes if box.is_state)


def diagram(spec: MachineSpec) -> Diagram:
    """The diagram of a machine."""
    return _Drawing(spec).diagram()


@define
class _Drawing:
    """The machine, and what has been drawn of it so far."""

    spec: MachineSpec
    ids: dict[str, str] = field(init=False)
    boxes: list[Box] = field(init=False, factory=list)
    arrows: list[Arrow] = field(init=False, factory=list)
    halts: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.ids = {state.name: f"s{index}" for index, state in enumerate(self.spec.states)}

    def diagram(self) -> Diagram:
        self.boxes += [self._state(state) for state in self.spec.states]
        initial = self.spec.initial
        self.boxes.append(Box(id="start", name="", kind="start"))
        self._arrow("start", START_HOP, START_HOP, ("start",), initial.name, events=initial.initial)
        for state in self.spec.states:
            self._retry(state)
        for line in self.spec.transitions:
            self._transition(line)
        for index, everywhere in enumerate(self.spec.everywhere):
            self._everywhere(f"anywhere{index}", everywhere)
        for state in self.spec.states:
            sources = (self.ids[state.name],)
            self._ways(state, sources, sources if self._entry_halts(state) else ())
        if self.halts:
            self.boxes.append(Box(id="stopped", name="stopped", kind="stopped"))
        return Diagram(name=self.spec.name, doc=self.spec.doc, boxes=tuple(self.boxes), arrows=tuple(self.arrows))

    def _state(self, state: StateSpec) -> Box:
        kind: BoxKind = "agent" if state.kind == "agent" else "waiting"
        return Box(
            id=self.ids[state.name],
            name=state.name,
            kind=state.final or kind,
            title=state.title,
            timeout_ms=state.timeout_ms if state.final is None else None,
            tokens_max=state.tokens_max,
            usd_micros_max=state.usd_micros_max,
            starts=state.initial,
            guards=_checks(state.guards, state.name),
            remember=state.remember.name if state.remember else None,
            stays=_may_fall_through(state) and not self._entry_halts(state),
        )

    def _transition(self, line: TransitionSpec) -> None:
        sources = tuple(self.ids[name] for name in line.sources)
        halting = tuple(self.ids[name] for name in line.sources if self._halts(name, line.events))
        self._arrow(
            "direct",
            line.name,
            line.name,
            sources,
            line.target,
            events=line.events,
            when=line.when.name if line.when else None,
            guards=_checks(line.guards, line.name),
            remember=line.remember.name if line.remember else None,
            stays=_may_fall_through(line) and halting != sources,
            carries=line.carries,
        )
        self._ways(line, sources, halting)

    def _retry(self, state: StateSpec) -> None:
        retry, sources = state.retry, (self.ids[state.name],)
        if retry is not None:
            kind, codes, limit = retry.guard.kind, retry.guard.codes, retry.attempts_max
            words = f"up to {count(limit, 'attempt')}"
            cap = Check(name=retry.guard.name, words=words, kind=kind, codes=codes, limit=limit)
            hop, when, pause_ms = retry_id(state.name), retry.when.name, (retry.base_ms, retry.cap_ms)
            self._arrow(
                "retry", hop, hop, sources, state.name, standing="state", when=when, guards=(cap,), pause_ms=pause_ms
            )

    def _everywhere(self, id: str, line: EverywhereSpec) -> None:
        halts = any(self._asked_by(line) and self._halts(name, line.events) for line, name in self._leaving())
        guards = _checks(line.guards, "")
        stays = _may_fall_through(line) and not halts
        self.boxes.append(Box(id=id, name=line.name, kind="anywhere", guards=guards, stays=stays))
        self._ways(line, (id,), (id,) if halts else ())

    def _ways(self, place: Declared, sources: tuple[str, ...], halting: tuple[str, ...]) -> None:
        """The ways that `otherwise` declares; and the halt, for codes that none of them answers to."""
        codes = _codes(place.guards)
        unanswered = tuple(code for code in codes if code not in place.otherwise)
        standing = _standing(place)
        for code, target in place.otherwise.items():
            leading = unanswered if code == "*" else (code,)
            hop = way_id(place.name, code)
            self._arrow(
                "otherwise", hop, place.name, sources, target, standing=standing, codes=leading, rest=code == "*"
            )
        if _may_fall_through(place) and halting:
            self._arrow("stopped", "", place.name, halting, "", standing=standing, codes=unanswered, rest=True)

    def _arrow(
        self,
        kind: ArrowKind,
        hop: str,
        line: str,
        sources: tuple[str, ...],
        target: str,
        *,
        standing: Standing = "transition",
        events: tuple[str, ...] = (),
        when: str | None = None,
        guards: tuple[Check, ...] = (),
        codes: tuple[str, ...] = (),
        rest: bool = False,
        remember: str | None = None,
        stays: bool = False,
        carries: bool = False,
        pause_ms: tuple[int, int] | None = None,
    ) -> None:
        self.halts |= kind == "stopped"
        self.arrows.append(
            Arrow(
                id=f"a{len(self.arrows)}",
                kind=kind,
                hop=hop,
                line=line,
                standing=standing,
                sources=sources,
                target="stopped" if kind == "stopped" else self.ids[target],
                events=events,
                when=when,
                guards=guards,
                codes=codes,
                rest=rest,
                remember=remember,
                stays=stays,
                carries=carries,
                pause_ms=pause_ms,
            )
        )

    def _halts(self, source: str, events: Iterable[str]) -> bool:
        """Whether a refusal there can meet an event of the run's own: only such a one halts the run."""
        state = self.spec.state[source]
        if state.kind == "agent":
            return True
        return state.timeout_ms is not None and not TIMED.isdisjoint(events)

    def _leaving(self) -> Iterator[tuple[TransitionSpec, str]]:
        return ((line, source) for line in self.spec.transitions for source in line.sources)

    def _asked_by(self, line: TransitionSpec) -> bool:
        """Whether the guards of the machine are asked: a run must always be able to fail, and to end."""
        return self.spec.state[line.target].kind != "final" and any(e not in RUNTIME_EVENTS for e in line.events)

    def _entry_halts(self, state: StateSpec) -> bool:
        """Whether a run can be halted at this state's door."""
        places: tuple[Declared, ...] = (*self.spec.transitions, *self.spec.states, *self.spec.everywhere)
        arrives = any(line.target == state.name and self._halts(name, line.events) for line, name in self._leaving())
        return bool(state.initial) or arrives or any(state.name in place.otherwise.values() for place in places)


def _standing(place: Declared) -> Standing:
    if isinstance(place, TransitionSpec):
        return "transition"
    return "state" if isinstance(place, StateSpec) else "run"


def _codes(guards: Iterable[Placed]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(code for guard in guards for code in guard.codes))


def _may_fall_through(place: Declared) -> bool:
    """Whether its guards can refuse with a code that no `otherwise` answers to."""
    return "*" not in place.otherwise and any(guard.kind != "sure" for guard in place.guards)


def _checks(guards: Iterable[Placed], owner: str) -> tuple[Check, ...]:
    return tuple(
        Check(name=guard.name, words=guard_words(guard, owner), kind=guard.kind, codes=guard.codes, limit=guard.limit)
        for guard in guards
    )
