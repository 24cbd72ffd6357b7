"""Coverage: what a machine declares, and which of it recorded runs ever came to.

Counted by name: runs of an older definition count for today's as far as the names are the same, and what they came to
that the machine has no more is kept apart. Not counted is what no line declares: crashes, events that nothing takes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeVar, get_args

from attrs import evolve, frozen

from fsm.core.shares import UNREADABLE, putting_off
from fsm.define.parts import START_HOP, Hop, is_retry
from fsm.define.spec import MachineSpec
from fsm.journal.tallies import Objection, Tallies
from fsm.verify.move import FAULTS

Kind = Literal["state", "transition", "fallback", "otherwise", "retry", "refusal", "deferral", "timeout"]
T = TypeVar("T")
OURS = (*FAULTS, UNREADABLE)
KINDS: tuple[Kind, ...] = get_args(Kind)


@frozen
class Item:
    """One thing a run may come to, and how often the runs did; `new`: what they were recorded under has none such.

    `name` is that of a state or hop, and of a timeout that of its state; of a refusal it is put together.
    """

    kind: Kind
    name: str
    times: int = 0
    new: bool = False
    verdict: Objection | None = None


@frozen(kw_only=True)
class Coverage:
    """All items of a machine; `removed` are those that runs came to and the machine has no more."""

    spec: MachineSpec
    runs: int
    records: int
    items: tuple[Item, ...]
    removed: tuple[Item, ...] = ()

    def __repr__(self) -> str:
        items = f"{self.taken} of {len(self.items)} items taken"
        return f"<Coverage of {self.spec.name}: {self.percent} %, {items} by {self.runs} runs, {self.records} records>"

    @property
    def taken(self) -> int:
        return sum(item.times > 0 for item in self.items)

    @property
    def percent(self) -> int:
        """Of all items those that were taken, rounded down: 100 is all of them."""
        return 100 * self.taken // len(self.items)

    @property
    def never(self) -> list[Item]:
        return [item for item in self.items if not item.times]

    def of(self, kind: Kind) -> list[Item]:
        return [item for item in self.items if item.kind == kind]

    def entered(self, state: str) -> bool:
        """Whether any run was in this state."""
        return any(item.times for item in self.of("state") if item.name == state)

    def is_below(self, percent: float) -> bool:
        return 100 * self.taken < percent * len(self.items)


def coverage(spec: MachineSpec, found: Sequence[Tallies], recorded: MachineSpec | None = None) -> Coverage:
    """What these tallies, of a journal each, cover of `spec`; `recorded` is the definition that the runs are under."""
    all_ = _added(found)
    declared = list(_declared(spec))
    before = {(item.kind, item.name) for item in _declared(recorded or spec)}
    items = [evolve(item, times=_times(all_, item), new=(item.kind, item.name) not in before) for item in declared]
    return Coverage(
        spec=spec,
        runs=all_.runs,
        records=all_.records,
        items=tuple(items),
        removed=tuple(_removed(all_, {item.verdict for item in declared}, spec)),
    )


def _added(found: Sequence[Tallies]) -> Tallies:
    return Tallies(
        runs=sum(one.runs for one in found),
        records=sum(one.records for one in found),
        hops=_sum(one.hops for one in found),
        entered=_sum(one.entered for one in found),
        verdicts=_sum(one.verdicts for one in found),
        timed_out=_sum(one.timed_out for one in found),
    )


def _sum(counts: Iterable[Mapping[T, int]]) -> dict[T, int]:
    return dict(sum(map(Counter, counts), Counter()))


def _declared(spec: MachineSpec) -> Iterator[Item]:
    yield from (Item("state", state.name) for state in spec.states)
    yield from (Item(_kind(hop), hop.id) for hop in spec.hops.values() if hop.id != START_HOP)
    verdicts = [(guard.name, guard.at, code) for guard in spec.guards for code in guard.codes if code != UNREADABLE]
    yield from map(_refusal, dict.fromkeys(verdicts))
    deferring = ((guard.name, guard.at, putting_off(guard)) for guard in spec.guards)
    verdicts = [(name, at, code) for name, at, code in deferring if code is not None]
    yield from (evolve(_refusal(verdict), kind="deferral") for verdict in dict.fromkeys(verdicts))
    yield from (Item("timeout", state.name) for state in spec.states if state.timeout_ms is not None)


def _kind(hop: Hop) -> Kind:
    if hop.otherwise:
        return "otherwise"
    return "retry" if is_retry(hop.id) else "fallback" if hop.carries else "transition"


def _shape(id: str) -> Kind:
    """What a hop that is declared no more was, as far as its id tells."""
    return "retry" if is_retry(id) else "otherwise" if ".otherwise" in id else "transition"


def _refusal(verdict: Objection, times: int = 0) -> Item:
    guard, at, code = verdict
    return Item("refusal", f"{guard} on {at}: {code}", times, verdict=verdict)


def _times(found: Tallies, item: Item) -> int:
    match item.kind:
        case "state":
            return found.entered.get(item.name, 0)
        case "refusal" | "deferral":
            return found.verdicts.get(item.verdict or ("", "", ""), 0)
        case "timeout":
            return found.timed_out.get(item.name, 0)
        case _:
            return found.hops.get(item.name, 0)


def _removed(found: Tallies, declared: set[Objection | None], spec: MachineSpec) -> Iterator[Item]:
    """What was recorded under a name that the machine has no more; the codes that are ours are declared nowhere."""
    yield from (Item("state", name, times) for name, times in found.entered.items() if name not in spec.state)
    yield from (Item(_shape(id), id, times) for id, times in found.hops.items() if id not in spec.hops)
    gone = {verdict: times for verdict, times in found.verdicts.items() if verdict not in declared}
    yield from (_refusal(verdict, times) for verdict, times in gone.items() if verdict[2] not in OURS)
