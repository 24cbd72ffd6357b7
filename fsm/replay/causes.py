"""Why a machine of today decides otherwise than a record says: one kind, and one sentence, causes before effects."""

from collections import Counter as Counts
from collections.abc import Iterable, Mapping

import attrs
from attrs import field, frozen

from fsm.core.plan import ESCALATED
from fsm.core.record import Record
from fsm.core.strikes import struck_out
from fsm.define.events import RUNTIME_EVENTS, AgentFailed, CallRefused, refused_call
from fsm.define.guard import Placed, Ruling, Share
from fsm.define.parts import START, START_HOP, TransitionSpec, retry_id
from fsm.define.payload import Payload
from fsm.define.spec import MachineSpec
from fsm.replay.divergence import ANSWERS, Kind

Cause = tuple[Kind, str]
Spot = tuple[str, str, int]
"""A guard's name and place, and which of those alike there it is."""

OF_MEMORY = ("remember_error", "memory_full")
BREAKER_CODES = ("open", "half_open", "forced_open")
WORDS = {"allow": "lets it pass", "refuse": "refuses", "defer": "puts it off"}
PAST = {"allow": "let it pass", "refuse": "refused", "defer": "put it off"}


def way_of(hop: str) -> tuple[str, str]:
    """Whose way a hop is, and whether it is an `otherwise`; for which code that was declared makes no difference."""
    owner, otherwise, _ = hop.partition(".otherwise")
    return owner, otherwise


@frozen
class Against:
    """Two definitions of one machine: the one a record was made under, and today's."""

    then: MachineSpec
    today: MachineSpec
    _then: dict[Spot, Placed] = field(init=False, default=attrs.Factory(lambda own: _spots(own.then), takes_self=True))
    _today: dict[Spot, Placed] = field(
        init=False, default=attrs.Factory(lambda own: _spots(own.today), takes_self=True)
    )

    def unseen(self) -> list[Placed]:
        """Guards of today of which no record says what they would have found: rows and failures nobody looked at."""
        watching = (guard for guard in self.today.guards if guard.shares or _strikes(guard))
        return [guard for guard in watching if not self.saw(guard)]

    def saw(self, guard: Placed) -> bool:
        """Whether what this guard of today looks at, beyond the run, is what it looked at when the run was recorded."""
        before = self._then.get((guard.name, guard.at, guard.nth))
        return before is not None and (before.shares, before.counter) == (guard.shares, guard.counter)

    def before(self, record: Record, payload: Payload) -> Cause | None:
        """What keeps the event itself from coming as it did."""
        bytes_max = self.today.bounds.payload_bytes_max
        if record.event not in RUNTIME_EVENTS and len(payload.body) > bytes_max:
            told = f"{record.event} has {len(payload.body):,} bytes; today's payload_bytes_max is {bytes_max:,}"
            return "bound_moved", told
        cause = self._of_call(record.source, payload.value)
        if cause is not None:
            return cause
        former = str(record.note.get(ESCALATED, ""))
        new = [line.name for line in _lines(self.today, record.source, former)]
        new = [name for name in new if name not in {line.name for line in _lines(self.then, record.source, former)}]
        if former and new:
            told = f"{former} in {record.source} became {record.event}, as nothing took it; today {new[0]} is for it"
            return "transition_new", told
        return None

    def _of_call(self, source: str, failure: object) -> Cause | None:
        """A call, or spending, that was refused in the midst of a visit, and would not be so soon today."""
        match failure:
            case CallRefused(call=call, code=code, numbers=numbers):
                pass
            case AgentFailed(error_type="CallRefused", message=text) if refused := refused_call(text):
                call, code, numbers = refused
            case _:
                return None
        state, what = self.today.state[source], f"call {call}" if call else "the visit's spending"
        if code == "strikes":
            passes = struck_out(self.today, source, call, numbers.get(code, 0)) is None
            return ("bound_moved", f"Strikes refused {what}{_numbers(numbers)}; today it is made") if passes else None
        if code in BREAKER_CODES:
            named = Share("breaker", call)
            asked = any(guard.shares == named for guard in (*state.guards, *self.today.machine_wide))
            return None if asked else ("guard_flips", f"a breaker refused {what} ({code}); today none is asked of it")
        if code not in ("calls_max", "tokens_max", "usd_micros_max"):
            return None
        limit = self.today.bounds.calls_max if code == "calls_max" else getattr(state, code)
        before = numbers.get(code, 0)
        if limit is not None and limit <= before:
            return None
        now = f"today's {code} is {limit:,}" if limit is not None else f"today {source} has no {code}"
        return "bound_moved", f"{code} {before:,} refused {what} here; {now}"

    def cause(self, record: Record, now: Record) -> Cause:
        """Of a decision that goes another way today."""
        if record.state not in (START, *self.today.state):
            here = f"today it would be in {now.state}" if now.state != record.source else "today it would stay"
            return "state_gone", f"state {record.state} is gone; {here}"
        return (
            self._predicates(record, now)
            or self._flipped(record, now)
            or self._candidates(record, now)
            or self._asked(record, now)
            or self._led(record, now)
        )

    def _predicates(self, record: Record, now: Record) -> Cause | None:
        """A predicate asked both times that answered otherwise."""
        after = dict(now.predicates)
        for line, answer in record.predicates:
            if line in after and after[line] is not answer:
                told = f"the predicate of {line} answered {ANSWERS[answer]}; today it answers {ANSWERS[after[line]]}"
                return "predicate_differs", told
        return None

    def _flipped(self, record: Record, now: Record) -> Cause | None:
        """A guard asked both times that said something else."""
        after = spotted(now.rulings)
        for spot, ruling in spotted(record.rulings).items():
            other = after.get(spot)
            if other is not None and _said(ruling) != _said(other):
                return self._of_guard(spot, ruling, other)
        return None

    def _of_guard(self, spot: Spot, ruling: Ruling, other: Ruling) -> Cause:
        then, today = _at(self._then, spot), _at(self._today, spot)
        if then is None or today is None or then.params == today.params:
            return "guard_flips", f"{_in_words(ruling, PAST)}; today it {_in_words(other, WORDS, named=False)}"
        before, after = _written(then, today), _written(today, then)
        told = f"{before} on {ruling.at} {PAST[ruling.verdict.decision]} here{_why(ruling)}"
        return "bound_moved", f"{told}; today's {after} {WORDS[other.verdict.decision]}{_why(other)}"

    def _candidates(self, record: Record, now: Record) -> Cause | None:
        """Another transition is the one for this event."""
        before, after = _candidate(self.then, record), _candidate(self.today, now)
        if before == after:
            return None
        instead = f"{after} takes {record.event} today" if after else f"nothing takes {record.event} today"
        if after and now.state not in (record.state, record.source):
            instead += f", to {now.state}"
        if before and before not in self.today.hops:
            return "transition_gone", f"{before} is gone; {instead}"
        if after and after not in self.then.hops:
            rather = f"{before} took it" if before else "nothing took it"
            return "transition_new", f"{after} is new; {rather}, and {instead}"
        if before and before in dict(now.predicates):
            return "predicate_differs", f"{before} had no predicate; today it has one, which answers no; {instead}"
        if after and after in dict(record.predicates):
            return "predicate_differs", f"the predicate of {after} answered no; today it has none; {instead}"
        rather = f"{before} took it" if before else "nothing took it"
        return "leads_elsewhere", f"{rather} in {record.source}; {instead}"

    def _asked(self, record: Record, now: Record) -> Cause | None:
        """A guard that objected and was asked only once: it is new, gone, or stands on another way."""
        before, after = spotted(record.rulings), spotted(now.rulings)
        for spot, ruling in before.items():
            if spot not in after and ruling.verdict.decision != "allow":
                if ruling.verdict.code in OF_MEMORY:
                    return "memory_differs", f"{_in_words(ruling, PAST)}; today it is remembered"
                gone = "is not asked" if spot in self._today else "is gone"
                return "guard_flips", f"{_in_words(ruling, PAST)}; today it {gone}"
        for spot, ruling in after.items():
            if spot not in before and ruling.verdict.decision != "allow":
                if ruling.verdict.code in OF_MEMORY:
                    return "memory_differs", f"today {_in_words(ruling, WORDS)}"
                new = "was not asked" if spot in self._then else "was not there"
                return "guard_flips", f"{ruling.guard} on {ruling.at} {new}; today it {_in_words(ruling, WORDS, False)}"
        return None

    def _led(self, record: Record, now: Record) -> Cause:
        """The same verdicts, and another way all the same."""
        if record.hop and record.hop not in self.today.hops and way_of(record.hop) != way_of(now.hop):
            goes = f"it leads to {now.state}" if now.hop else f"the run would be {now.outcome}"
            return "transition_gone", f"{record.hop} is gone; {goes} today"
        if record.state != now.state:
            return "leads_elsewhere", f"{record.hop or 'it'} led to {record.state}; today to {now.state}"
        if way_of(record.hop) != way_of(now.hop):
            return "leads_elsewhere", f"{record.hop or 'no hop'} was taken; today {now.hop or 'none'}"
        before = f"{record.kind}, {record.outcome}"
        return "outcome_differs", f"in {record.state} it was {before}; today {now.kind}, {now.outcome}"


def _spots(spec: MachineSpec) -> dict[Spot, Placed]:
    return {(guard.name, guard.at, guard.nth): guard for guard in spec.guards}


def _at(placed: dict[Spot, Placed], spot: Spot) -> Placed | None:
    """The guard there; one that is asked twice in one decision, of a retry and of a way, stands there once."""
    return placed.get(spot) or placed.get((*spot[:2], 1))


def spotted(rulings: Iterable[Ruling]) -> dict[Spot, Ruling]:
    """By guard and place; of several alike there by their order."""
    found: dict[Spot, Ruling] = {}
    turns: Counts[tuple[str, str]] = Counts()
    for ruling in rulings:
        turns[alike := (ruling.guard, ruling.at)] += 1
        found[(*alike, turns[alike])] = ruling
    return found


def _said(ruling: Ruling) -> tuple[str, str]:
    """What counts of a verdict: a code that objects may lead another way."""
    verdict = ruling.verdict
    return verdict.decision, verdict.code if verdict.decision == "refuse" else ""


def _why(ruling: Ruling) -> str:
    """Code and numbers, in brackets."""
    verdict = ruling.verdict
    return _numbers(verdict.numbers, verdict.code, verdict.text)


def _numbers(numbers: Mapping[str, int], code: str = "", text: str = "") -> str:
    told = ": ".join(filter(None, [code, ", ".join(f"{name} {number}" for name, number in numbers.items()), text]))
    return f" ({told})" if told else ""


def _in_words(ruling: Ruling, words: dict[str, str], named: bool = True) -> str:
    name = f"{ruling.guard} on {ruling.at} " if named else ""
    return f"{name}{words[ruling.verdict.decision]}{_why(ruling)}"


def _written(guard: Placed, other: Placed) -> str:
    """A guard with the parameters in which it differs, as they are written: `LoopCap(3)`, `Breaker(rate_pct=50)`."""
    first = next(iter(guard.params), "")
    differing = {name: value for name, value in guard.params.items() if other.params.get(name) != value}
    told = [f"{value!r}" if name == first else f"{name}={value!r}" for name, value in differing.items()]
    return f"{guard.name}({', '.join(told)})"


def _strikes(guard: Placed) -> bool:
    return guard.counter is not None and guard.counter.of == "strikes"


def _lines(spec: MachineSpec, source: str, event: str) -> list[TransitionSpec]:
    return [line for line in spec.transitions if source in line.sources and event in line.events]


def _candidate(spec: MachineSpec, record: Record) -> str:
    """The line that a record's event was for; "" where there was none."""
    if record.kind == "retried":
        return retry_id(record.source)
    named = spec.formerly.get(record.event, record.event)
    if record.source == START and named in spec.initial.initial:
        return START_HOP
    answers = dict(record.predicates)
    for line in _lines(spec, record.source, named):
        if line.when is None or answers.get(line.name) is not False:
            return line.name
    return ""
