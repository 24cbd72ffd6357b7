"""What the user's own code in a definition must be: agents, predicates, `remember`, guards."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import attrs
from pydantic import BaseModel

from fsm.define.guard import Guard, Kind, Placed, Standing, numbered
from fsm.define.mistakes import Mistakes, told_briefly
from fsm.define.payload import told
from fsm.define.place import Line
from fsm.define.retry import Retry
from fsm.define.state import State

AN_AGENT = "async def write(view: View[Brief]) -> Draft"
A_PREDICATE = "def is_good(payload) -> bool"
A_REMEMBER = "def note(memory, payload) -> memory"
KINDS = get_args(Kind)
UNSTEADY = ("strikes", "elapsed_ms")  # a count that a success begins again, and one that stands still while time does
ATTEMPTS_MAX = 1_000


def check_agent(mistakes: Mistakes, line: State[Any], agent: Any, role: str = "agent") -> None:
    if agent is None:
        return
    if not callable(agent):
        mistakes.add(line, f"its {role} {agent!r} cannot be called", f"give {role}= a function: {AN_AGENT}")
    elif inspect.isclass(agent):
        is_payload = issubclass(agent, BaseModel)
        instead = f"give {role}= a function that returns it: {AN_AGENT}" if is_payload else f"write {agent.__name__}()"
        mistakes.add(line, f"its {role} is the class {agent.__name__}, not an instance", instead)
    elif inspect.isgeneratorfunction(agent) or inspect.isasyncgenfunction(agent):
        mistakes.add(line, f"its {role} {told_briefly(agent)} yields", f"an agent returns one payload: {AN_AGENT}")
    elif not _takes(agent, 1):
        mistakes.add(
            line, f"its {role} {told_briefly(agent)} cannot be called with one view", f"write it as {AN_AGENT}"
        )


def check_predicate(mistakes: Mistakes, line: Line, when: Any, memory: type[BaseModel] | None) -> None:
    wants = function_mistake("when", when, (1, 2), A_PREDICATE)
    if wants:
        mistakes.add(line, *wants)
    elif when is not None and arity(when) == 2 and memory is None:
        mistakes.add(
            line, "its predicate takes the memory, and this machine has none", "class X(Machine, memory=Notes)"
        )


def check_remember(mistakes: Mistakes, line: Line, remember: Any, memory: type[BaseModel] | None) -> None:
    wants = function_mistake("remember", remember, (2,), A_REMEMBER)
    if wants:
        mistakes.add(line, *wants)
    if remember is not None and memory is None:
        mistakes.add(line, "remember= in a machine without memory", "class X(Machine, memory=Notes)")


def check_retry(mistakes: Mistakes, line: State[Any]) -> bool:
    """Whether the retry of a state, if it has one, can be compiled."""
    retry: object = line.retry
    found = len(mistakes.found)
    given = [f"{name}=" for name in ("retry", "fallback") if getattr(line, name) is not None]
    if given and line.agent is None and line.final is None:
        what = f"it has {' and '.join(given)} and no agent that could fail"
        mistakes.add(line, what, f"give it agent=, or drop {'them' if len(given) > 1 else 'that'}")
    if retry is not None and not isinstance(retry, Retry):
        mistakes.add(line, f"retry={retry!r}", "write retry=Retry(attempts_max=3)")
    if isinstance(retry, Retry):
        if type(retry.attempts_max) is not int or not 2 <= retry.attempts_max <= ATTEMPTS_MAX:
            what = f"Retry(attempts_max={retry.attempts_max!r})"
            mistakes.add(line, what, f"give a whole number of attempts, 2 to {ATTEMPTS_MAX}, the first one included")
        pauses = (retry.base_s, retry.cap_s)
        if not all(type(pause) in (int, float) and 0 <= pause < 1e9 for pause in pauses) or pauses[0] > pauses[1]:
            what = f"Retry(base_s={retry.base_s!r}, cap_s={retry.cap_s!r})"
            mistakes.add(line, what, "give seconds, 0 or more, the cap no less than the base")
        when: object = retry.when
        wants = function_mistake("when", when, (1,), "def worth_it(failure) -> bool")
        if when is None:
            wants = "Retry(when=None)", "leave when= out: what may help is tried again"
        if wants:
            mistakes.add(line, *wants)
    return len(mistakes.found) == found


def check_no_memory(mistakes: Mistakes, lines: Mapping[str, Line]) -> None:
    """In a machine without memory no guard looks at it."""
    for line in lines.values():
        guards = getattr(line, "guards", ())
        for guard in guards if isinstance(guards, Sequence) else ():
            if isinstance(guard, Guard) and guard.reads_memory:
                what = f"{type(guard).__name__} looks at the memory, and this machine has none"
                mistakes.add(line, what, "class X(Machine, memory=Notes)")


def function_mistake(role: str, fn: Any, arities: tuple[int, ...], shape: str) -> tuple[str, str] | None:
    """What is wrong with a function that decides something, given as `role`: (what, what to write instead)."""
    if fn is None:
        return None
    if not callable(fn):
        return f"{role}={fn!r} cannot be called", f"give it a function: {shape}"
    name = getattr(fn, "__name__", "<lambda>")
    if name == "<lambda>":
        return f"{role}= has no name, so a record could not name it", f"write it as {shape}"
    if inspect.iscoroutinefunction(fn) or inspect.isgeneratorfunction(fn):
        return f"{role}={name} gives no answer at once", f"it must be pure and immediate: {shape}"
    if not any(_takes(fn, count) for count in arities):
        wanted = " or ".join(map(str, arities))
        return f"{role}={name} cannot be called with {wanted} argument{'s' * (wanted != '1')}", f"write it as {shape}"
    return None


def arity(fn: Any) -> int:
    """How many arguments a predicate is called with: the payload, and the memory where it must have two."""
    return 2 if _takes(fn, 2) and not _takes(fn, 1) else 1


def _takes(fn: Any, count: int) -> bool:
    """Whether it can be called with so many positional arguments, as far as one can know."""
    try:
        inspect.signature(fn).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return count == 1
    return True


def place_guards(
    mistakes: Mistakes, line: Line, guards: object, standing: Standing, lines: Mapping[str, Line]
) -> tuple[Placed, ...]:
    """The guards of a line, each at its place; what is none is a mistake."""
    if not isinstance(guards, Sequence) or isinstance(guards, str):
        mistakes.add(line, f"guards= is {guards!r}, not a list", f"write guards=[{told_briefly(guards)}]")
        return ()
    placed = []
    for guard in guards:
        if not isinstance(guard, Guard):
            mistakes.add(line, *_no_guard(guard))
            continue
        try:
            wrong = _state_mistake(mistakes, guard, lines) or _guard_mistake(guard, standing)
            if wrong is None:
                placed.append(guard.place(standing, mistakes.names[id(line)]))
        except Exception as error:
            wrong = f"{type(guard).__name__} raised {told(error)}", "correct its params() or counted()"
        if wrong is not None:
            mistakes.add(line, *wrong)
    return numbered(placed)


def _no_guard(value: Any) -> tuple[str, str]:
    if isinstance(value, type):
        return f"{value.__name__} is a class, not a guard", f"put an instance there: {value.__name__}(...)"
    if isinstance(value, list | tuple):
        return f"{value!r} is a list, not a guard", "name the guards one by one, without brackets"
    return f"{value!r} is not a guard", "put a Guard there, as LoopCap(3)"


def _state_mistake(mistakes: Mistakes, guard: Guard, lines: Mapping[str, Line]) -> tuple[str, str] | None:
    """A parameter of a guard, as `since=`, may name a state of this machine only."""
    for attribute in attrs.fields(type(guard)):
        state = getattr(guard, attribute.name)
        if isinstance(state, State) and not isinstance(lines.get(mistakes.names.get(id(state), "")), State):
            what = f"{type(guard).__name__}({attribute.name}=...) is {state!r}, which is no state of this machine"
            return what, "use a State that is an attribute of this class"
    return None


def _guard_mistake(guard: Guard, standing: Standing) -> tuple[str, str] | None:
    """What is wrong with a guard here: (what, what to write instead)."""
    cls = type(guard)
    codes: object = guard.codes
    if not isinstance(codes, tuple) or not all(isinstance(code, str) and code for code in codes):
        return f"{cls.__name__}.codes is {codes!r}, not a tuple of texts", 'write codes = ("why_it_refuses",)'
    if guard.kind not in KINDS:
        return f"{cls.__name__}.kind is {guard.kind!r}", f"write one of {', '.join(KINDS)}"
    if not codes and guard.kind != "sure":
        return f"{cls.__name__} names no verdict codes", 'give the class codes = ("why_it_refuses",)'
    wrong = guard.mistake(standing) or _count_mistake(guard, standing)
    if wrong is not None:
        return wrong
    unstable = [name for name, value in guard.params().items() if " at 0x" in str(value)]
    if unstable:
        what = f"{cls.__name__}({unstable[0]}=...) has no lasting text, so the machine has no lasting fingerprint"
        wrong = (what, "give it numbers, texts or named functions, or write params()")
    return wrong


def _count_mistake(guard: Guard, standing: Standing) -> tuple[str, str] | None:
    """A guard counts or has a check; a cap counts what never falls."""
    cls, counter = type(guard), guard.counted(standing, "")
    counts = counter is not None and guard.limit_of() is not None
    if guard.shared() is not None:
        return None
    if counter is not None and counter.of in UNSTEADY and counter.since:
        return f"{cls.__name__} counts {counter.of} since {counter.since}, which nothing does", "leave since out"
    if counter is not None and counter.of == "strikes" and not counter.subject:
        return f"{cls.__name__} counts the strikes of nothing", 'name what it watches: Counter("strikes", "search")'
    if guard.kind != "cap":
        return None if counts else _check_mistake(cls)
    if not counts:
        return f"{cls.__name__} is a cap but counts nothing", "write counted() and limit_of(), or another kind"
    assert counter is not None
    if counter.of in UNSTEADY:
        return f"{cls.__name__} is a cap on {counter.of}, which bounds no loop", 'write kind = "env"'
    return None


def _check_mistake(cls: type[Guard]) -> tuple[str, str] | None:
    if cls.check is Guard.check:
        return f"{cls.__name__} has no check", "write def check(self, facts: Facts) -> Verdict"
    if inspect.iscoroutinefunction(cls.check):
        return f"{cls.__name__}.check is async", "a guard answers at once, from the facts alone"
    return None
