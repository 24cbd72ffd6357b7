"""What callers hand in, checked before anything is written."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from fsm.define.events import RUNTIME_BYTES_MAX, RUNTIME_EVENTS, Cancelled
from fsm.define.payload import Invalid, Payload, canonical, excerpt, seal
from fsm.define.spec import MachineSpec
from fsm.errors import PayloadRefused

NAME_MAX = 200


def starting(spec: MachineSpec, payload: object) -> Payload:
    """The payload a run of this machine starts with, sealed; `PayloadRefused` if it is none."""
    return _sealed(spec, payload, spec.initial.initial, "starts with")


def arriving(spec: MachineSpec, payload: object) -> Payload:
    """A payload sent from outside, sealed. The runtime's own events are not for callers to make."""
    taken = {event for line in spec.transitions for event in line.events if event not in RUNTIME_EVENTS}
    return _sealed(spec, payload, sorted(taken), "takes")


def entering(spec: MachineSpec, state: str, payload: object) -> Payload:
    """A payload for a visit of `state`, sealed: one of those that arrive there, but for the runtime's own events."""
    return _sealed(spec, payload, entrants(spec, state), f"enters {state} with")


def entrants(spec: MachineSpec, state: str) -> list[str]:
    """The payloads that arrive in `state`, but for the runtime's own events."""
    from fsm.verify.moves import moves_of  # all that can ever happen is not for those who start and send
    from fsm.verify.views import arriving

    return sorted(set(arriving(moves_of(spec)).get(state, {})) - set(RUNTIME_EVENTS))


def cancelling(by: str, reason: str) -> Payload:
    return _valid(Cancelled(by=by, reason=reason), RUNTIME_BYTES_MAX)


def name(what: str, value: object) -> str:
    """A run's or an event's id; `ValueError` if it cannot be stored as text."""
    if not isinstance(value, str) or not 0 < len(value) <= NAME_MAX or not _is_text(value):
        raise ValueError(f"{what}={excerpt(value)[:80]}: give text of 1 to {NAME_MAX} characters")
    return value


def tags(labels: Mapping[str, str] | None) -> str:
    """Labels as JSON text."""
    named = {str(key): str(value) for key, value in (labels or {}).items()}
    if not all(_is_text(text) for pair in named.items() for text in pair):
        raise ValueError(f"labels={excerpt(named)}: text holds a lone surrogate, which is not UTF-8")
    return canonical(named).decode()


def bounded(*, poll_s: float, **counts: int) -> None:
    """`ValueError` for a bound with which no run would ever move."""
    for bound, value in counts.items():
        if value < 1:
            raise ValueError(f"{bound}={value}: give at least 1")
    if poll_s <= 0:
        raise ValueError(f"poll_s={poll_s}: give seconds, more than 0")


def _is_text(value: str) -> bool:
    return value.encode("utf-8", "replace").decode() == value


def _sealed(spec: MachineSpec, payload: object, taken: Sequence[str], verb: str) -> Payload:
    known = isinstance(payload, BaseModel) and spec.name_of(type(payload)) in taken
    if not isinstance(payload, BaseModel) or not known:
        problem = f"{spec.name} {verb} {', '.join(taken) or 'nothing'}; not {type(payload).__name__}"
        raise PayloadRefused(event=type(payload).__name__, problems=(problem,), excerpt=excerpt(payload))
    return _valid(payload, spec.bounds.payload_bytes_max)


def _valid(payload: BaseModel, bytes_max: int) -> Payload:
    try:
        return seal(payload, bytes_max)
    except Invalid as invalid:
        event = type(payload).__name__
        raise PayloadRefused(event=event, problems=tuple(invalid.problems), excerpt=invalid.excerpt) from None
