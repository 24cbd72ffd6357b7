"""What there is to say of a backtest: a row a guard, a line a run, how far it may be believed, what to write next."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from fsm.define.guard import Standing
from fsm.replay.backtest import Asked, Backtest, Found, Stop
from fsm.replay.savings import Killed, Savings, savings
from fsm.replay.traces.trace import Trace
from fsm.show.data import Data
from fsm.show.words import count, safe

STANDS: Mapping[Standing, str] = {"transition": "on each transition", "state": "on each state", "run": "everywhere"}
FORMS: Mapping[Standing, str] = {
    "transition": "guards=[{}], otherwise=person      # on the transition that closes a loop",
    "state": "guards=[{}], otherwise=person      # on a state",
    "run": "limits = everywhere({}, otherwise=person)",
}
TOGETHER = "all of them"
IN_A_ROW_MIN = 0.25
HEAD = (
    ("", "stopped", "step", "saved", "", "good killed", "the mistake"),
    ("guard", "runs", "median", "steps", "", "(95 %)", "before/at/after"),
)
UNIT = 4


def title(traces: Sequence[Trace]) -> str:
    """How many runs, how they ended, how many messages."""
    good, bad = sum(trace.good is True for trace in traces), sum(trace.good is False for trace in traces)
    told = [(good, "good"), (bad, "failed"), (len(traces) - good - bad, "with an end that is not told")]
    ends = ", ".join(f"{number:,} {word}" for number, word in told if number)
    return f"{count(len(traces), 'run')}: {ends}; {count(sum(len(trace.messages) for trace in traces), 'message')}"


def unit(traces: Sequence[Trace]) -> str:
    """What spending is counted in."""
    return "tokens" if all(trace.tells_tokens for trace in traces) else "bytes"


def table(done: Backtest) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """The head, and the rows; a row of one cell is a heading. Columns of which nothing is known are left out."""
    rows: list[tuple[str, ...]] = []
    for standing, words in STANDS.items():
        found = [one for one in done.found if one.asked is not None and one.asked.standing == standing]
        rows += [(words,), *map(_row, found)] if found else []
    if len(done.found) > 1:
        rows += [("",), _row(done.together)]
    head = [(*first[:UNIT], unit(done.traces) if at else "", *first[UNIT + 1 :]) for at, first in enumerate(HEAD)]
    empty = {place for place in range(len(HEAD[0])) if not any(row[place] for row in rows if len(row) > 1)}
    kept = [place for place in range(len(HEAD[0])) if place not in empty or place in (0, 1)]
    return [_of(line, kept) for line in head], [_of(row, kept) if len(row) > 1 else row for row in rows]


def _of(row: Sequence[str], kept: Sequence[int]) -> tuple[str, ...]:
    return tuple(row[place] for place in kept)


def _row(found: Found) -> tuple[str, ...]:
    told = savings(found)
    name = safe(found.asked.text) if found.asked is not None else TOGETHER
    stopped = f"{told.stopped:,} of {told.of:,}" if told.of else ""
    killed = killed_words(told.killed) if told.killed is not None else ""
    if told.at is None:
        return name, stopped, "", "", "", killed, ""
    beside = "/".join(map(str, told.beside)) if told.beside is not None else ""
    return name, stopped, f"{told.at:g}", f"{told.steps:.0%}", f"{told.spent:.0%}", killed, beside


def killed_words(killed: Killed) -> str:
    low, high = killed.interval
    return f"{killed.runs:,} of {killed.of:,} ({100 * low:.0f}-{100 * high:.0f} %)"


def notes(done: Backtest, handoffs: bool) -> Iterator[str]:
    """How far the figures may be believed."""
    for asked, why in done.unasked:
        yield f"{safe(asked.text)} was not asked: {safe(why)}."
    for found in done.found:
        if found.asked is not None and len(found.judged) < len(done.traces):
            yield f"{safe(found.asked.text)} was asked of {count(len(found.judged), 'run')}; the others tell no time."
    good = sum(trace.good is True for trace in done.traces)
    if not good:
        yield "No run is known to be good: how many good runs these guards would kill cannot be learnt here."
    if any(trace.good is None for trace in done.traces):
        yield "Runs with an end that is not told stand among those stopped; what they would have come to is not known."
    if not all(trace.tells_tokens for trace in done.traces):
        yield "Where a run tells no tokens, its bytes stand for them: never fewer, often four times as many."
    row = in_a_row(done.traces)
    if not handoffs and row >= IN_A_ROW_MIN:
        yield f"{row:.0%} of messages follow one of the same agent: --handoffs takes such as one, as a machine would."


def in_a_row(traces: Sequence[Trace]) -> float:
    """Which share of messages follows one of the same agent."""
    agents = [[message.agent for message in trace.messages] for trace in traces]
    same = sum(one == other for run in agents for one, other in pairwise(run))
    return same / sum(map(len, agents))


def next_lines(done: Backtest) -> list[str]:
    """What to write into a machine: the guards that stopped a run, and none that is known to be good."""
    useful = [found.asked for found in done.found if found.asked is not None and _is_useful(savings(found))]
    texts = {standing: [_own(asked) for asked in useful if asked.standing == standing] for standing in FORMS}
    return [form.format(", ".join(texts[standing])) for standing, form in FORMS.items() if texts[standing]]


def _is_useful(told: Savings) -> bool:
    return told.stopped > 0 and (told.killed is None or told.killed.runs == 0)


def _own(asked: Asked) -> str:
    """The backtest's own measure has no place in a machine: there is a better one there."""
    return re.sub(r"\bof ?= ?news\b", "of=your_score", asked.text)


def runs(done: Backtest) -> Iterator[tuple[str, ...]]:
    """A row a run: its name, its end, where it was stopped first, the mistake, and by whom it was stopped."""
    stops: dict[int, list[Stop]] = {}
    for found in done.found:
        for stop in found.stops:
            stops.setdefault(id(stop.trace), []).append(stop)
    for trace in done.traces:
        own = sorted(stops.get(id(trace), []), key=lambda stop: stop.step)
        end = {True: "good", False: "failed", None: ""}[trace.good]
        at = f"{own[0].step if own else '-'} of {len(trace.messages)}"
        mistake = f"mistake {trace.mistake}" if trace.mistake is not None else ""
        by = ", ".join(f"{safe(stop.asked.text)} {stop.step}" for stop in own)
        yield safe(trace.name, 60), end, at, mistake, by


def backtest_data(done: Backtest, handoffs: bool) -> Data:
    """The same for programs."""
    return {
        "runs": len(done.traces),
        "good": sum(trace.good is True for trace in done.traces),
        "failed": sum(trace.good is False for trace in done.traces),
        "messages": sum(len(trace.messages) for trace in done.traces),
        "unit": unit(done.traces),
        "handoffs": handoffs,
        "guards": [_found_data(found) for found in done.found],
        "together": _found_data(done.together),
        "unasked": [{"guard": asked.text, "why": why} for asked, why in done.unasked],
        "stops": [_stop_data(stop) for found in done.found for stop in found.stops],
        "notes": list(notes(done, handoffs)),
        "next": next_lines(done),
    }


def _found_data(found: Found) -> Data:
    told = savings(found)
    killed, beside = told.killed, told.beside
    return {
        "guard": found.asked.text if found.asked is not None else None,
        "stands": STANDS[found.asked.standing] if found.asked is not None else None,
        "stopped": told.stopped,
        "of": told.of,
        "step_median": told.at,
        "steps_saved": round(told.steps, 4),
        "spent_saved": round(told.spent, 4),
        "good_killed": {"runs": killed.runs, "of": killed.of, "interval": [round(end, 4) for end in killed.interval]}
        if killed is not None
        else None,
        "beside_mistake": dict(zip(("before", "at", "after"), beside, strict=True)) if beside is not None else None,
    }


def _stop_data(stop: Stop) -> Data:
    verdict = stop.ruling.verdict
    return {
        "run": stop.trace.name,
        "good": stop.trace.good,
        "guard": stop.asked.text,
        "step": stop.step,
        "of": len(stop.trace.messages),
        "agent": stop.trace.messages[stop.step].agent,
        "code": verdict.code,
        "numbers": dict(verdict.numbers),
        "mistake": stop.trace.mistake,
    }
