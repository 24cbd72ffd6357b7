"""What can be wrong with a definition, each said with its attribute, its line, and what to write instead."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, field
from pydantic import BaseModel

from fsm.define.contract import contract_mistakes
from fsm.define.events import RUNTIME_EVENTS
from fsm.define.parts import EverywhereSpec, StateSpec, TransitionSpec
from fsm.define.payload import Invalid, former_names, seal, told
from fsm.define.place import Body, Line, Place
from fsm.define.promise import Promise
from fsm.define.state import State
from fsm.define.transition import Everywhere, Transition
from fsm.errors import Mistake

UNLIMITED = {"tokens_max": None, "usd_micros_max": None, "tokens_min": 0}
RESERVED = ("spec", "with_agents", "start")

Where = Line | StateSpec | TransitionSpec | EverywhereSpec | None
Lines = Mapping[str, Line]


@define
class Mistakes:
    """The mistakes found so far in the machine that `place` defines; told in the order of the user's lines."""

    place: Place
    names: dict[int, str] = field(factory=dict)
    _found: list[tuple[Place, Mistake]] = field(factory=list)

    def add(self, where: Where, what: str, instead: str) -> None:
        """A mistake of a line, or of the machine as a whole."""
        place = where.place if where is not None and where.place is not None else self.place
        attribute = self.names.get(id(where)) or where.name if where is not None else ""
        mistake = Mistake(attribute, str(place), what, instead)
        if (place, mistake) not in self._found:
            self._found.append((place, mistake))

    @property
    def found(self) -> tuple[Mistake, ...]:
        """In the order of the lines, those of the machine's own file first."""

        def order(item: tuple[Place, Mistake]) -> tuple[bool, str, int]:
            place, _ = item
            return place.file != self.place.file, place.file, place.line

        return tuple(mistake for _, mistake in sorted(self._found, key=order))

    @staticmethod
    def near(word: str, known: Iterable[str]) -> str:
        close = difflib.get_close_matches(word, list(known), n=1)
        return f" (did you mean {close[0]}?)" if close else ""


def check_bodies(mistakes: Mistakes, cls: type, body: Body | None, lines: Lines) -> list[Line]:
    """Lines overwritten, unnamed, named twice or replaced by something else, and names that are ours.

    Returns the lines that are lost, so that what only follows from that is not told as well.
    """
    lost: list[Line] = []
    if body is not None:
        kept = {id(line) for line in body.values()}
        for name, line in body.overwritten:
            if id(line) in kept:
                continue
            lost.append(line)
            mistakes.names.setdefault(id(line), name)
            mistakes.add(line, f"{name} is written again below, so this line is lost", "give one of them another name")
        unnamed = [line for line in body.made if not line.name and all(line is not other for other in lost)]
        for line in unnamed:
            if not _is_part(line, body):
                lost.append(line)
                mistakes.add(line, "this line has no name, so it is no part of the machine", _naming(line))
    _check_names(mistakes, cls, lines)
    return lost


def _is_part(line: Line, body: Body) -> bool:
    """`x = a.to(b, on=C).but(...)`: what a line was made from needs no name of its own."""
    return any(isinstance(other, Transition) and other.origin is line for other in body.values())


def _naming(line: Line) -> str:
    shown = {
        State: "draft = State(...)",
        Transition: "submit = draft.to(...)",
        Promise: "safe = never(...)",
        Everywhere: "limits = everywhere(...)",
    }
    return f"name it: {shown[type(line)]}"


def _check_names(mistakes: Mistakes, cls: type, lines: Lines) -> None:
    for name, line in lines.items():
        if name != mistakes.names[id(line)]:
            mistakes.add(line, f"it is also called {name}", "one line, one name; make a second line for the other")
        if name in RESERVED or name.startswith("_"):
            instead = f"choose a name without a leading _, not {', '.join(RESERVED)}"
            mistakes.add(line, f"{name} is not a name for a line", instead)
    for name, value in vars(cls).items():
        inherited = [base for base in cls.__mro__[1:] if isinstance(vars(base).get(name), Line)]
        if inherited and value is not None and not isinstance(value, Line):
            mistakes.add(
                None,
                f"{name} is a line of {inherited[0].__name__}, and {told_briefly(value)} here",
                f"write {name} = None to remove the line, or choose another name",
            )
    initial = [line for line in lines.values() if isinstance(line, State) and line.initial is not None]
    if not initial:
        mistakes.add(None, "no state is initial, so no run can start", "give one state initial=SomePayload")
    for line in initial[1:]:
        first = mistakes.names[id(initial[0])]
        mistakes.add(
            line, f"it is initial, and so is {first}", "one state is initial; for two payloads: initial=(A, B)"
        )


def told_briefly(value: object) -> str:
    """A user's value in a message: a class or function by its name."""
    return getattr(value, "__name__", None) or repr(value)[:80]


def check_state(mistakes: Mistakes, line: State[Any]) -> None:
    final: object = line.final
    if final not in (None, "completed", "failed"):
        mistakes.add(line, f"final={final!r}", 'write final="completed" or final="failed"')
    if final is not None:
        given = [name for name in ("agent", "timeout_s", "initial", "otherwise") if getattr(line, name) is not None]
        given += ["guards"] if line.guards else []
        given += [name for name, none in UNLIMITED.items() if getattr(line, name) != none]
        given += [name for name in ("retry", "fallback") if getattr(line, name) is not None]
        if given:
            instead = "a final state only ends the run; put guards on the lines to it"
            mistakes.add(line, f"it is final and has {', '.join(given)}", instead)
    timeout: object = line.timeout_s
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is not None and not (is_number and 0 < timeout < 1e10):  # type: ignore[operator]
        mistakes.add(line, f"timeout_s={timeout!r}", "give a number of seconds above 0, as minutes(5) or days(2)")
    _check_spending(mistakes, line)
    if line.otherwise is not None and not line.guards and final is None:
        mistakes.add(line, "otherwise= without guards is never taken", "add guards=[...], or drop otherwise=")
    if line.remember is not None and line.initial is None:
        instead = "put remember= on the transition that brings the payload"
        mistakes.add(line, "remember= on a state that is not initial", instead)


def _check_spending(mistakes: Mistakes, line: State[Any]) -> None:
    given = {name: getattr(line, name) for name, none in UNLIMITED.items() if getattr(line, name) != none}
    wrong = {name: value for name, value in given.items() if type(value) is not int or value < 0}
    for name, value in wrong.items():
        mistakes.add(line, f"{name}={value!r}", "give a whole number, 0 or more")
    if given and line.agent is None and line.final is None:
        what = f"it has {', '.join(given)} and no agent, so nothing is spent in it"
        mistakes.add(line, what, "give it agent=, or drop the limit")
    if not wrong and line.tokens_max is not None and line.tokens_min > line.tokens_max:
        what = f"tokens_min={line.tokens_min} is more than tokens_max={line.tokens_max}"
        mistakes.add(line, what, "a visit is charged at least tokens_min and may report at most tokens_max")


def check_payloads(mistakes: Mistakes, used: Mapping[str, list[tuple[Any, Line]]]) -> None:
    """The payload contract for every class named anywhere."""
    for name, uses in used.items():
        first, line = uses[0]
        for what, instead in contract_mistakes(first):
            mistakes.add(line, what, instead)
        for other, at in uses[1:]:
            if other is not first and isinstance(other, type):
                rename = f'give one of them event_name: ClassVar[str] = "Other{name}"'
                mistakes.add(at, f"two payload classes are called {name}", rename)
        if name in RUNTIME_EVENTS and first is not RUNTIME_EVENTS[name]:
            rename = f'import it from fsm, or rename yours: event_name: ClassVar[str] = "My{name}"'
            mistakes.add(line, f"{name} is the runtime's own event", rename)
        for former in former_names(first) if name not in RUNTIME_EVENTS else ():
            if former in used or former in RUNTIME_EVENTS:
                what = f"{name} was formerly {former}, but {former} is still a payload here"
                mistakes.add(line, what, "drop one of the two")
        for start in (at for _, at in uses if isinstance(at, State) and name in RUNTIME_EVENTS):
            mistakes.add(start, f"a run cannot start with {name}", "name a payload of your own as initial=")


def check_memory(mistakes: Mistakes, memory: type[BaseModel], bytes_max: int) -> None:
    """A run begins with an empty memory, made on any day by any process."""
    found = contract_mistakes(memory)
    for what, instead in found:
        mistakes.add(None, f"memory: {what}", instead)
    if found:
        return
    if any(info.is_required() for info in memory.model_fields.values()):
        what = f"memory {memory.__name__} has required fields, but a run begins with an empty one"
        mistakes.add(None, what, "give every field a default")
        return
    try:
        if seal(memory(), bytes_max).body != seal(memory(), bytes_max).body:
            what = f"memory {memory.__name__} begins differently each time, so no run could be replayed"
            mistakes.add(None, what, "drop the default_factory that draws a new value; let remember= set it")
    except Invalid as error:
        mistakes.add(None, f"memory {memory.__name__}() cannot be stored: {error}", "correct the defaults")
    except Exception as error:
        mistakes.add(None, f"memory {memory.__name__}() raised {told(error)}", "let it be made without arguments")
