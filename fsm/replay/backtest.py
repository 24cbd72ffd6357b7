"""Where guards would have stopped runs of other systems: each trace is driven through the real engine.

The machine is made of the trace: a state for each agent, a transition from each to each, and a message is the
payload that the agent of its state returns. Messages are counted from 0, as records are: the first one starts the run,
in the state of who speaks next, and record n is the decision on message n. The last message ends the run; nothing
stops there any more. Each guard is asked alone, on each transition (or state) or in `everywhere`, until it refuses.
As none of them changes what another counts, all of them together stop a run where the first of them does.
"""

import re
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from attrs import field, frozen
from pydantic import BaseModel

from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.record import NO_STRIKES, Spent
from fsm.core.snapshot import Snapshot
from fsm.define.agent import unbound
from fsm.define.guard import Guard, Ruling, Standing
from fsm.define.machine import Machine
from fsm.define.payload import seal
from fsm.define.state import State
from fsm.define.transition import everywhere
from fsm.define.volatile import Volatile
from fsm.replay.traces.files import TOTAL_BYTES_MAX
from fsm.replay.traces.trace import Trace

OVER = "over"
SIZES = (2, 4, 8, 16, 32)
NEWS_WORDS_MIN = 10
PAYLOAD_BYTES_MAX = 2 * TOTAL_BYTES_MAX  # a trace is taken whole, so nothing in it is too large


class Said(BaseModel):
    """A message, who speaks next, and how many messages before brought news."""

    to: str
    text: str
    news: Annotated[int, Volatile] = 0


def news(said: Said) -> int:
    """For `NoProgress`, where nothing better is known: how many messages so far had ten words new to the run.

    Ten, as a changed number or name is no news.
    """
    return said.news


@frozen
class Asked:
    """A guard, as it was written, and where in the machine of a trace it stands."""

    text: str
    guard: Guard
    standing: Standing


@frozen
class Stop:
    """A guard's refusal of a message of a run."""

    trace: Trace
    step: int
    asked: Asked
    ruling: Ruling

    @property
    def beside_mistake(self) -> Literal["before", "at", "after"] | None:
        mistake = self.trace.mistake
        if mistake is None:
            return None
        return "before" if self.step < mistake else "after" if self.step > mistake else "at"


@frozen
class Found:
    """What one guard did, or all of them (`asked` is None), of the runs that it could judge."""

    asked: Asked | None
    judged: Sequence[Trace]
    stops: Sequence[Stop]


@frozen
class Backtest:
    """What each guard did, and why those could not be asked that were not."""

    traces: Sequence[Trace]
    found: Sequence[Found]
    unasked: Sequence[tuple[Asked, str]] = field(factory=tuple)

    @property
    def together(self) -> Found:
        """All of them: the first stop of each run."""
        first: dict[int, Stop] = {}
        for stop in sorted((stop for found in self.found for stop in found.stops), key=lambda stop: stop.step):
            first.setdefault(id(stop.trace), stop)
        return Found(None, self.traces, [first[id(trace)] for trace in self.traces if id(trace) in first])


def backtest(traces: Sequence[Trace], guards: Sequence[Asked]) -> Backtest:
    """Asks each guard of each run that says what it needs."""
    missing = [(asked, _missing(asked, traces)) for asked in guards]
    engines = {asked: _Engines(asked) for asked, why in missing if not why}
    judged: dict[Asked, list[Trace]] = {asked: [] for asked in engines}
    stops: dict[Asked, list[Stop]] = {asked: [] for asked in engines}
    for trace in traces:
        events = list(_events(trace))
        for asked, made in engines.items():
            if _counts(asked) == "elapsed_ms" and not trace.tells_time:
                continue
            judged[asked].append(trace)
            ruling = _refusal(made.of(trace), events)
            if ruling is not None:
                stops[asked].append(Stop(trace, ruling[0], asked, ruling[1]))
    found = [Found(asked, judged[asked], stops[asked]) for asked in engines]
    return Backtest(traces, found, [(asked, why) for asked, why in missing if why])


def _counts(asked: Asked) -> str:
    counter = asked.guard.counted(asked.standing, OVER)
    return counter.of if counter is not None else ""


def _missing(asked: Asked, traces: Iterable[Trace]) -> str:
    """What all traces lack that the guard looks at; "" if some say it."""
    match _counts(asked):
        case "usd_micros":
            return "no trace tells what its messages cost in money"
        case "elapsed_ms" if not any(trace.tells_time for trace in traces):
            return "no message has a `time`"
        case "strikes":
            counter = asked.guard.counted(asked.standing, OVER)
            return _unstruck(counter.subject if counter is not None else "", traces)
    return ""


def _unstruck(name: str, traces: Iterable[Trace]) -> str:
    tried = [message for trace in traces for message in trace.messages if message.failed is not None]
    if not any(message.failed for message in tried):
        return "no message tells of an error"
    names = sorted({message.tried for message in tried if message.failed})
    if any(message.tried == name for message in tried):
        return ""
    return f"nobody is called {name!r}; errors are told of {', '.join(map(repr, names[:8]))}"


def _refusal(engine: Engine, events: Sequence[Event]) -> tuple[int, Ruling] | None:
    """Where a guard stops this run, if it does, and what it says."""
    snapshot = Snapshot()
    for event in events:
        decision = decide(engine, snapshot, event)
        record, snapshot = decision.record, decision.snapshot
        assert record is not None and record.outcome != "stuck", str(record)
        if record.outcome == "stopped":
            return record.seq, next(ruling for ruling in record.rulings if ruling.verdict.decision == "refuse")
    return None


def _events(trace: Trace) -> Iterator[Event]:
    """Each message as what the agent of its state returned, and how fared in a row what it tried."""
    speakers = [message.agent for message in trace.messages[1:]]
    state = {agent: _state(n) for n, agent in enumerate(dict.fromkeys(speakers))}
    targets = [*(state[agent] for agent in speakers), OVER]
    heard: set[str] = set()
    began = next((message.at_ms for message in trace.messages if message.at_ms is not None), 0)
    told, at_ms = 0, 1  # since it began: a trace may count its seconds from 0, which is no moment that a run starts at
    failures: dict[str, int] = {}
    for message, spent, target in zip(trace.messages, trace.spent(), targets, strict=True):
        payload = seal(Said(to=target, text=message.text, news=told), PAYLOAD_BYTES_MAX)
        at_ms = max(at_ms, message.at_ms - began + 1) if message.at_ms is not None else at_ms
        strikes = NO_STRIKES
        if message.failed is not None:
            failures[message.tried] = failures.get(message.tried, 0) + 1 if message.failed else 0
            strikes = {message.tried: failures[message.tried]}
        yield Event(payload=payload, at_ms=at_ms, spent=Spent(spent), strikes=strikes)
        words = set(re.findall(r"\w+", message.text.lower()))
        told += len(words - heard) >= NEWS_WORDS_MIN
        heard |= words


@frozen
class _Engines:
    """The machines on which one guard is asked, by how many agents there are; most runs share one."""

    asked: Asked
    made: dict[int, Engine] = field(factory=dict)

    def of(self, trace: Trace) -> Engine:
        agents = len({message.agent for message in trace.messages[1:]})
        size = next(size for size in SIZES if size >= agents)
        if size not in self.made:
            self.made[size] = Engine(machine(size, self.asked).spec)
        return self.made[size]


def machine(size: int, asked: Asked) -> type[Machine]:
    """The machine of a trace with so many agents, and the guard in its place."""
    guards = {standing: [asked.guard] if asked.standing == standing else [] for standing in ("transition", "state")}

    def write(table: dict[str, Any]) -> None:
        names = [_state(n) for n in range(size)]
        made = partial(State[Said], agent=unbound, guards=guards["state"])
        states = {name: made(initial=Said) if name == names[0] else made() for name in names}
        over: State[Said] = State(final="completed")
        table |= {**states, OVER: over}
        for name, state in states.items():
            table[f"{name}_ends"] = state.to(over, on=Said, when=_goes_to(OVER))
            for other, target in states.items():
                line = state.to(target, on=Said, when=_goes_to(other), guards=guards["transition"])
                table[f"{name}_to_{other}"] = line
        if asked.standing == "run":
            table["limits"] = everywhere(asked.guard)

    return types.new_class("Recorded", (Machine,), {}, write)


def _state(n: int) -> str:
    return f"agent_{n}"


def _goes_to(name: str) -> Callable[[Said], bool]:
    def goes(said: Said) -> bool:
        return said.to == name

    goes.__name__ = f"goes_to_{name}"
    return goes
