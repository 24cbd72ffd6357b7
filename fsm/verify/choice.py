"""What predicates choose: values that no line takes, that two lines take, that only a default takes.

The user's predicates are called, here and nowhere else in `fsm.verify`, on payloads made up for it: every
combination of the small fields, at most `CALLS_MAX` calls for one event of one state. What is found is true of
the payload shown. Where a predicate takes the memory, or no payload can be made up, it says that it has not looked.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from attrs import frozen
from pydantic import BaseModel

from fsm.define.events import RUNTIME_EVENTS
from fsm.define.parts import StateSpec, TransitionSpec
from fsm.define.payload import told
from fsm.define.spec import MachineSpec
from fsm.verify.finding import Finding, Level, about, listed
from fsm.verify.sample import combinations, domains, sample

CALLS_MAX = 1_000
SHOWN_MAX = 5

Kind = Literal["missing", "overlap", "raises", "default"]
Values = tuple[tuple[str, Any], ...]
Answers = tuple[bool | str, ...]


@frozen
class Choice:
    """What becomes of some values of `event` in `state`; `lines` are those concerned, in the order written.

    "missing": no line takes them. "overlap": each of `lines` would, the first one does. "raises": the predicate of
    the line fails (`error`) on them. "default": they reach the line without a predicate only. `values` are the
    combinations of those fields that matter, as `field=value` texts.
    """

    kind: Kind
    state: str
    event: str
    lines: tuple[str, ...]
    values: tuple[str, ...]
    own: bool
    error: str = ""


def choices(spec: MachineSpec) -> list[Choice]:
    """All that can be found by asking the predicates; nothing for a machine loaded from JSON."""
    found: list[Choice] = []
    for state, event, lines in _chosen(spec):
        asked = _asked(spec.classes.get(event), event, lines)
        if not isinstance(asked, str):
            found += _found(state.name, event, lines, asked, own=state.kind == "agent" or event in RUNTIME_EVENTS)
    return found


def _chosen(spec: MachineSpec) -> Iterator[tuple[StateSpec, str, list[TransitionSpec]]]:
    """Per state and event the lines that take it, where predicates choose among them."""
    leaving: dict[str, dict[str, list[TransitionSpec]]] = {state.name: {} for state in spec.states}
    for line in spec.transitions:
        for source in line.sources:
            for event in line.events:
                leaving[source].setdefault(event, []).append(line)
    for state in spec.states:
        for event, lines in leaving[state.name].items():
            if any(line.when is not None for line in lines):
                yield state, event, lines


def _asked(cls: type[BaseModel] | None, event: str, lines: Sequence[TransitionSpec]) -> dict[Values, Answers] | str:
    """Each predicate's answer for every combination of small fields; or why they cannot be asked."""
    predicates = [line.when for line in lines if line.when is not None]
    if any(when.fn is None for when in predicates):
        return "there is no code here to ask"
    remembering = [when.name for when in predicates if when.takes_memory]
    if remembering:
        return f"{listed(remembering)} {'looks' if len(remembering) == 1 else 'look'} at the memory too"
    fields = domains(cls, CALLS_MAX // len(predicates)) if cls is not None else {}
    if cls is None or not fields:
        return f"{event} has no field of a few values: a bool, a Literal or an Enum"
    found: dict[Values, Answers] = {}
    for values in combinations(fields):
        try:
            payload = sample(cls, values)
        except Exception:  # a validator of the user's: there is no such payload, or it cannot be made up
            continue
        found[tuple(values.items())] = tuple(_answer(when.fn, payload) for when in predicates)
    return found or f"no {event} could be made up"


def _answer(fn: Any, payload: BaseModel) -> bool | str:
    try:
        return bool(fn(payload))
    except Exception as error:
        return told(error)


def _found(
    state: str, event: str, lines: Sequence[TransitionSpec], asked: dict[Values, Answers], own: bool
) -> list[Choice]:
    choosing = [line.name for line in lines if line.when is not None]
    default = next((at for at, line in enumerate(lines) if line.when is None), None)
    if default is not None:  # what stands below it is never asked; the structure check says so
        choosing = choosing[: sum(line.when is not None for line in lines[:default])]
    matter = _matter(asked)
    kinds: dict[tuple[Kind, tuple[str, ...], str], dict[Values, None]] = {}
    for values, answers in asked.items():
        shown = tuple((name, value) for name, value in values if name in matter)
        for key in _kinds(choosing, answers, lines[default].name if default is not None else ""):
            kinds.setdefault(key, {})[shown] = None
    return [
        Choice(kind, state, event, names, tuple(_text(shown) for shown in values), own, error)
        for (kind, names, error), values in kinds.items()
    ]


def _kinds(choosing: Sequence[str], answers: Answers, default: str) -> list[tuple[Kind, tuple[str, ...], str]]:
    """What there is to say of a payload that the predicates answer so: a failing one stops the asking."""
    if not choosing:
        return []
    given = list(zip(choosing, answers, strict=False))
    broken = next((at for at, (_, answer) in enumerate(given) if isinstance(answer, str)), None)
    taken = next((at for at, (_, answer) in enumerate(given) if answer is True), None)
    if broken is not None and (taken is None or broken < taken):
        return [("raises", (given[broken][0],), str(given[broken][1]))]
    yes = tuple(name for name, answer in given if answer is True)
    if len(yes) > 1:
        return [("overlap", yes, "")]
    if yes:
        return []
    return [("default", (default,), "")] if default else [("missing", (), "")]


def _matter(asked: dict[Values, Answers]) -> set[str]:
    """The fields that make a difference; where none does, all of them."""
    names = [name for name, _ in next(iter(asked))]
    found: set[str] = set()
    for name in names:
        seen: dict[Values, Answers] = {}
        for values, answers in asked.items():
            rest = tuple(pair for pair in values if pair[0] != name)
            if seen.setdefault(rest, answers) != answers:
                found.add(name)
                break
    return found or set(names)


def _text(values: Values) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in values)


def _value(value: Any) -> str:
    name = getattr(value, "name", None)
    return f"{type(value).__name__}.{name}" if isinstance(name, str) else repr(value)


def choosing(spec: MachineSpec) -> Iterator[Finding]:
    """The same as findings, each at the line or state it is about; and what was not looked at."""
    without_code = []
    for state, event, lines in _chosen(spec):
        if any(line.when is not None and line.when.fn is None for line in lines):
            without_code.append(state.name)
            continue
        asked = _asked(spec.classes.get(event), event, lines)
        own = state.kind == "agent" or event in RUNTIME_EVENTS
        if isinstance(asked, str):
            sure = any(line.when is None for line in lines) or not own
            yield _unasked(f"which {event} its lines take", asked, state) if sure else _unsure(state, event, asked)
        else:
            found = _found(state.name, event, lines, asked, own)
            yield from (_finding(spec, choice) for choice in found)
    if without_code:
        where = listed(list(dict.fromkeys(without_code)))
        yield _unasked(f"what the predicates of {where} choose", "there is no code here to ask")


def _unsure(state: StateSpec, event: str, why: str) -> Finding:
    what = f"all lines that take {event} from here have a when=, and whether one always matches cannot be seen: {why}"
    instead = f"write {state.name}.to(..., on={event}) without when= below them: where none matches, the run halts"
    return about(state, "warning", "choice-unsure", what, instead)


def covered(spec: MachineSpec) -> set[tuple[str, str]]:
    """The states and events of which some line took every payload that could be tried."""
    found = set()
    for state, event, lines in _chosen(spec):
        asked = _asked(spec.classes.get(event), event, lines)
        if not isinstance(asked, str) and all(any(answer is True for answer in answers) for answers in asked.values()):
            found.add((state.name, event))
    return found


def _unasked(what: str, why: str, state: StateSpec | None = None) -> Finding:
    return Finding(
        level="note",
        code="choice-unasked",
        attribute=state.name if state is not None else "",
        what=f"{what} was not looked at: {why}",
        instead="try some payloads yourself: fsm.testing.table(Machine, [...])",
        place=state.place if state is not None else None,
    )


def _finding(spec: MachineSpec, choice: Choice) -> Finding:
    state, event = choice.state, choice.event
    attribute = {"missing": state, "overlap": choice.lines[-1] if choice.lines else ""}.get(
        choice.kind, choice.lines[0] if choice.lines else state
    )
    level, what, instead = _words(choice, f"{event} with {_listed(choice.values)}", f"{state}.to(..., on={event})")
    return about(spec.parts[attribute], level, f"choice-{choice.kind}", what, instead)


def _words(choice: Choice, payloads: str, line: str) -> tuple[Level, str, str]:
    match choice.kind:
        case "missing":
            what = f"no line from here takes {payloads}, so {'the run halts' if choice.own else 'it is unhandled'}"
            return "warning", what, f"write {line} without when= below the others"
        case "overlap":
            first, *others = choice.lines
            both = (
                f"{listed([first, *others])} all match" if len(others) > 1 else f"{listed([first, *others])} both match"
            )
            what = f"{both} {payloads}: `{first}` is taken, as it is written first"
            return "note", what, "nothing, if that is meant; or narrow one when=, so that their order does not decide"
        case "raises":
            what = f"its predicate fails on {payloads}: {choice.error}"
            return "warning", what, "let the predicate answer True or False for every valid payload"
        case _:
            what = f"only as the default it takes {payloads}"
            return "note", what, "nothing, if that is meant; a when= of its own says so"


def _listed(values: Sequence[str]) -> str:
    shown = [f"({value})" if ", " in value else value for value in values[:SHOWN_MAX]]
    if len(values) > SHOWN_MAX:
        shown.append(f"{len(values) - SHOWN_MAX} more")
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
