"""The rulings of a record beside the guards that gave them: what was asked of a retry, what of the event's own way.

A record holds a guard by its name and place only. Which one of several alike it was, and what it watches, the
machine knows, since guards are asked in its order.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from fsm.core.record import Record
from fsm.define.guard import Placed, Ruling
from fsm.define.parts import Ways, retry_id, way_for, way_id
from fsm.define.spec import MachineSpec


@frozen
class Given:
    """A ruling, and the guard that gave it; None where this machine has none such: it was changed since.

    `retry`: it was asked whether the attempt begins again. If not, the failure went its own way.
    """

    ruling: Ruling
    guard: Placed | None
    retry: bool = False

    @property
    def refuses(self) -> bool:
        return self.ruling.verdict.decision == "refuse"


def given(spec: MachineSpec, record: Record) -> tuple[Given, ...]:
    """The rulings of a record, as they were asked for: those on a retry come first."""
    found = [Given(ruling, guard, retry=True) for ruling, guard in _of_retry(spec, record)]
    seen: Counter[tuple[str, str]] = Counter()
    for ruling in record.rulings[len(found) :]:
        key = (ruling.at, ruling.guard)
        alike = [guard for guard in spec.guards if (guard.at, guard.name) == key]
        found.append(Given(ruling, alike[seen[key] % len(alike)] if alike else None))
        seen[key] += 1
    return tuple(found)


def _of_retry(spec: MachineSpec, record: Record) -> Iterator[tuple[Ruling, Placed]]:
    state = spec.state.get(record.source)
    if state is None or state.retry is None or not record.rulings or record.rulings[0].at != retry_id(state.name):
        return
    for ruling, guard in zip(record.rulings, spec.retry_guards(state), strict=False):
        if (ruling.at, ruling.guard) != (guard.at, guard.name):
            return
        yield ruling, guard


def deciding(spec: MachineSpec, record: Record) -> Given | None:
    """The refusal that moved or halted the run last; None if nothing refused."""
    found = given(spec, record)
    led = list(chain(spec, found))
    return found[led[-1]] if led else None


def deferring(spec: MachineSpec, record: Record) -> Given | None:
    """What put an event off until its moment: the one that names the latest; None if nothing did."""
    found = [one for one in given(spec, record) if one.ruling.verdict.decision == "defer"]
    return max(found, key=lambda one: one.ruling.verdict.until_ms or 0, default=None)


def chain(spec: MachineSpec, found: tuple[Given, ...]) -> dict[int, tuple[str, str]]:
    """The refusals that decided, by their place among the rulings: the hop and state each led to, or neither.

    A refusal opens the way its `otherwise` names, where the target's entry guards are asked in turn. One of a
    retry opens none: its event goes on to the guards of its own way.
    """
    led: dict[int, tuple[str, str]] = {}
    target: str | None = None
    for index, one in enumerate(found):
        if one.retry or not one.refuses or (target is not None and one.ruling.at != target):
            continue
        ways = _ways(spec, one.ruling.at)
        key = way_for(ways, one.ruling.verdict.code)
        if key is None:
            return {**led, index: ("", "")}
        target = ways[key]
        led[index] = way_id(one.ruling.at, key), target
    return led


def retry_refused(found: tuple[Given, ...]) -> Given | None:
    """The refusal for which an attempt did not begin again."""
    return next((one for one in found if one.retry and one.refuses), None)


def striking(spec: MachineSpec, record: Record) -> Placed | None:
    """The guard for which a call of the visit was refused that this record ends; None if none was for that."""
    state = spec.state.get(record.source)
    if record.event not in ("CallRefused", "AgentFailed") or record.body is None or state is None:
        return None
    body = json.loads(record.body)
    placed = (*state.guards, *spec.machine_wide)
    watching = ((guard, guard.counter) for guard in placed if guard.counter is not None)
    found = (guard for guard, counter in watching if counter.of == "strikes" and _names(body, counter.subject, guard))
    return next(found, None)


def _names(body: Any, call: str, guard: Placed) -> bool:
    """Whether a failure's body says that this call was refused with this guard's code, as itself or escalated."""
    code = guard.codes[0]
    if "call" in body:
        return (str(body["call"]), str(body["code"])) == (call, code)
    return body["error_type"] == "CallRefused" and str(body["message"]).startswith(f"call {call!r} refused: {code} ")


def _ways(spec: MachineSpec, attribute: str) -> Ways:
    return spec.parts[attribute].otherwise if attribute in spec.parts else {}
