"""Where guards with default limits would have stopped recorded runs: `python -m tests.benchmarks.whowhen FOLDER`.

FOLDER (or TURNSTILE_WHOWHEN) holds the Who&When data: recorded runs of multi-agent systems that failed, each with
the message that people found to be the decisive mistake. Each is driven, message by message, through the real
engine on one generic machine: a state a speaker, a transition from each to each, a message a payload. That is done once
for each guard alone and once for all of them together; the first refusal stops the run.

The defaults were chosen before any guard had seen the data. Known were, as the format had to be read, how long the
runs are (5 to 10 messages of one system, 5 to 130 of the other), which messages the labels name, and how answers of
tools begin. Nothing here is fitted; a limit that turns out badly stays.

- LoopCap(10) on each transition: ten turns is where the OpenAI Agents SDK and AutoGen 0.2 stop by default.
- LoopCap(50) of the run: twice LangGraph's long-standing 25: a manager's thought and its order are two messages.
- Repeat(3): once is chance, twice may be a retry; three times the very same words to the same one is a loop.
- NoProgress(3): three whole cycles of a transition in which no message had ten words new to the run. A stall of
  three rounds is also where Magentic-One's ledger plans anew. Ten, as a changed number or name is no news.
- TokenBudget(128_000): what a context window of most models of that time held; more cannot be read again whole.
- PayloadSize(16_384): some four thousand tokens. What is longer wants to be a file that a handoff names.
- Strikes("tool", 3): three answers of tools in a row that look like errors: an exit code, a traceback. The data does
  not say which tool failed but by speaker, so all tools count as one.

Tokens are the bytes of a message in UTF-8, an upper bound, counted once, when it is said; what each agent reads again
is not. The data has no times: Deadline and Retry have nothing to judge. And it has no successes: how often
these guards would have stopped a run that was about to succeed cannot be learnt from it.

What came of it. Of 126 short runs next to none is stopped: they are wrong, not long, and no guard of one run sees that.
Of 58 long ones 49 are, but all 45 stops of Repeat are a manager's note of who speaks next, which is the same
each time by design: a payload that only routes must not carry Repeat. So the runs are driven a second time, by the same
limits, with all that one says in a row as one payload, the handoff. Then 23 are stopped, 17 of them after the decisive
mistake and 6 before it, half-way through, most by LoopCap(10); Repeat stops one, as models do not repeat themselves to
the letter. What caps save is the bill of a lost run, and no answer; in one of four they judge before it is lost.
"""

import argparse
import os
import re
import statistics
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from fsm import Guard, Machine, Spent, State, everywhere
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.snapshot import Snapshot
from fsm.define.payload import seal
from fsm.testing import hang
from guards import LoopCap, NoProgress, PayloadSize, Repeat, Strikes, TokenBudget
from tests.benchmarks.recorded import Message, Recording, handoffs, systems

SPEAKERS_MAX = 8
OVER = "over"
NEWS_WORDS_MIN = 10
BYTES_MAX = 1 << 24


class Said(BaseModel):
    """A message, and who speaks next."""

    to: str
    text: str


class Heard(BaseModel):
    """All words so far, and how many messages brought news."""

    news: int = 0
    words: frozenset[str] = frozenset()


def note(heard: Heard, said: Said) -> Heard:
    words = frozenset(re.findall(r"\w+", said.text.lower()))
    is_news = len(words - heard.words) >= NEWS_WORDS_MIN
    return Heard(news=heard.news + is_news, words=heard.words | words)


def news(said: Said, heard: Heard) -> int:
    return heard.news


ON_TRANSITIONS: Mapping[str, Guard] = {
    "LoopCap(10) on each transition": LoopCap(10),
    "Repeat(3)": Repeat(3),
    "NoProgress(3)": NoProgress(3, of=news),
}
EVERYWHERE: Mapping[str, Guard] = {
    "LoopCap(50) of the run": LoopCap(50),
    "TokenBudget(128_000)": TokenBudget(128_000),
    "PayloadSize(16_384)": PayloadSize(16_384),
    'Strikes("tool", 3)': Strikes("tool", 3),
}
DEFAULTS = (*ON_TRANSITIONS, *EVERYWHERE)
ALL = "all of them"


@frozen
class Trip:
    """The message, from 0, at which a guard refused, and the guard."""

    step: int
    guard: str


def machine(*names: str) -> type[Machine]:
    """The generic machine with these of the defaults."""
    guards = [guard for name, guard in ON_TRANSITIONS.items() if name in names]
    limits = [guard for name, guard in EVERYWHERE.items() if name in names]
    reads_memory = any(guard.reads_memory for guard in guards)
    remember = note if reads_memory else None

    def write(table: dict[str, Any]) -> None:
        first, *others = (_state(n) for n in range(SPEAKERS_MAX))
        states = {first: State(initial=Said, agent=hang, remember=remember)}
        states |= {other: State(agent=hang) for other in others}
        table |= {**states, OVER: State(final="completed")}
        for name, state in states.items():
            table[f"{name}_ends"] = state.to(table[OVER], on=Said, when=_goes_to(OVER))
            for other, target in states.items():
                table[f"{name}_to_{other}"] = state.to(
                    target, on=Said, when=_goes_to(other), guards=guards, remember=remember
                )
        if limits:
            table["limits"] = everywhere(*limits)

    return types.new_class("Recorded", (Machine,), {"memory": Heard} if reads_memory else {}, write)


def _state(n: int) -> str:
    return f"speaker_{n}"


def _goes_to(name: str) -> Callable[[Said], bool]:
    def goes(said: Said) -> bool:
        return said.to == name

    goes.__name__ = f"goes_to_{name}"
    return goes


def trip(engine: Engine, recording: Recording) -> Trip | None:
    """Where a guard stops this run, if one does: record n is the decision on message n."""
    snapshot, failures = Snapshot(), 0
    for event, failed in _events(recording):
        if failed is not None:
            failures = failures + 1 if failed else 0
        strikes = {"tool": failures} if failed is not None else {}
        decision = decide(engine, snapshot, evolve(event, strikes=strikes))
        record, snapshot = decision.record, decision.snapshot
        assert record is not None and record.outcome != "stuck", str(record)
        if record.outcome == "stopped":
            return Trip(record.seq, next(r.guard for r in record.rulings if r.verdict.decision == "refuse"))
    return None


def _events(recording: Recording) -> Iterator[tuple[Event, bool | None]]:
    """Each message as what the agent returned, and how a tool fared; who spoke after the first has the first state."""
    order = list(dict.fromkeys(message.speaker for message in recording.messages[1:]))
    to = [_state(order.index(message.speaker)) for message in recording.messages[1:]] + [OVER]
    for step, (message, target) in enumerate(zip(recording.messages, to, strict=True)):
        payload = seal(Said(to=target, text=message.text), BYTES_MAX)
        yield Event(payload=payload, at_ms=step, spent=Spent(tokens(message))), message.failed


def tokens(message: Message) -> int:
    return len(message.text.encode())


@frozen
class Found:
    """What one guard did to the runs of a system."""

    guard: str
    trips: tuple[tuple[Recording, Trip], ...]

    def before(self) -> int:
        return sum(trip.step < recording.mistake for recording, trip in self.trips)

    def after(self) -> int:
        return sum(trip.step > recording.mistake for recording, trip in self.trips)

    def saved(self, recordings: list[Recording]) -> float:
        """The share of all tokens of these runs, also those it did not stop, that would not have been spent."""
        left = (message for recording, trip in self.trips for message in recording.messages[trip.step + 1 :])
        return sum(map(tokens, left)) / sum(tokens(message) for run in recordings for message in run.messages)


def judged(recordings: list[Recording]) -> Iterator[Found]:
    """What each of the defaults, and all of them together, would have done."""
    for name, guards in [*((default, (default,)) for default in DEFAULTS), (ALL, DEFAULTS)]:
        engine = Engine(machine(*guards).spec)
        trips = ((recording, trip(engine, recording)) for recording in recordings)
        yield Found(name, tuple((recording, found) for recording, found in trips if found is not None))


def table(system: str, recordings: list[Recording], payloads: str) -> Table:
    count = sum(len(recording.messages) for recording in recordings)
    title = f"\n{system}: {len(recordings)} runs that failed; {count:,} {payloads}, each a payload"
    shown = Table(title=title, title_justify="left")
    shown.add_column("guard", no_wrap=True)
    for column in ("runs stopped", "at (median)", "of run left (median)", "tokens saved (of all)"):
        shown.add_column(column, justify="right")
    shown.add_column("before / at / after the mistake", justify="right")
    for found in judged(recordings):
        shown.add_row(found.guard, *_cells(found, recordings))
    return shown


def _cells(found: Found, recordings: list[Recording]) -> tuple[str, ...]:
    if not found.trips:
        return ("0",)
    step = statistics.median(trip.step for _, trip in found.trips)
    unsaid = statistics.median(1 - (trip.step + 1) / len(recording.messages) for recording, trip in found.trips)
    before, after = found.before(), found.after()
    whole = f"{before} / {len(found.trips) - before - after} / {after}"
    return str(len(found.trips)), f"{step:g}", f"{unsaid:.0%}", f"{found.saved(recordings):.0%}", whole


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.whowhen", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("folder", nargs="?", type=Path, default=os.environ.get("TURNSTILE_WHOWHEN"))
    folder = parser.parse_args().folder
    if folder is None:
        parser.error("no FOLDER, and TURNSTILE_WHOWHEN is not set\n  -> name the folder of the Who&When data")
    console = Console()
    console.width = max(console.width, 120)
    for system, recordings in systems(Path(folder)):
        console.print(table(system, recordings, "messages"))
        console.print(table(system, list(map(handoffs, recordings)), "handoffs"))


if __name__ == "__main__":
    main()
