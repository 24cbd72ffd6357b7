"""Every mistake a definition can have: told with its attribute, its line, and what to write instead."""

import datetime as dt
import inspect
import re
import threading
from collections.abc import Callable
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import attrs
import pytest
from pydantic import BaseModel, Field, RootModel, create_model, field_validator

from fsm import AgentFailed, Cancelled, DefinitionError, Guard, Machine, TimedOut, View, any_of, days
from fsm import State as _State
from fsm import everywhere as _everywhere
from fsm import refuse as _refuse
from guards import LoopCap as _LoopCap

# What follows is wrong on purpose; that the type checkers see much of it is shown elsewhere.
State: Any = _State
everywhere: Any = _everywhere
refuse: Any = _refuse
LoopCap: Any = _LoopCap

T = TypeVar("T")


class Brief(BaseModel):
    task: str = ""


class Draft(BaseModel):
    text: str = ""


class Judged(BaseModel):
    good: bool = True


class Better(Judged):
    pass


class Notes(BaseModel):
    count: int = 0


async def write(view: View[Brief]) -> Draft:
    return Draft()


async def judge(view: View[Draft]) -> Judged:
    return Judged()


def is_good(judged: Judged) -> bool:
    return judged.good


def note(notes: Notes, payload: Any) -> Notes:
    return notes


class Slow(Guard):
    """Sound in itself; the wrong ones below differ from it in one thing."""

    codes: ClassVar[tuple[str, ...]] = ("slow",)

    def check(self, facts: Any, /) -> Any:
        return refuse("slow")


class Case(NamedTuple):
    define: Callable[[], Any]
    attribute: str
    what: str
    instead: str


CASES: list[Case] = []


def case(attribute: str, what: str, instead: str) -> Callable[[Callable[[], Any]], None]:
    """One definition with one mistake, in the line marked `# !`."""
    return lambda define: CASES.append(Case(define, attribute, what, instead))


# --- lines and names ------------------------------------------------------------------------------


@case("submit", "submit is written again below, so this line is lost", "give one of them another name")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)  # !
        submit = draft.to(done, on=Judged)


@case("", "this line has no name", "name it: submit = draft.to(...)")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        draft.to(done, on=Draft)  # !


@case("", "this line has no name", "name it: draft = State(...)")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        State(timeout_s=3)  # !
        submit = draft.to(done, on=Draft)


@case("", "this line has no name", "name it: limits = everywhere(...)")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)
        everywhere(LoopCap(3))  # !


@case("submit", "it is also called hand_in", "one line, one name")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)  # !
        hand_in = submit


@case("spec", "spec is not a name for a line", "choose a name without a leading _, not spec, with_agents, start")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        spec = draft.to(done, on=Draft)  # !


@case("_submit", "_submit is not a name for a line", "choose a name without a leading _")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        _submit = draft.to(done, on=Draft)  # !


class Parent(Machine):
    draft = State(initial=Brief, agent=write)
    review = State(agent=judge)
    done = State(final="completed")
    submit = draft.to(review, on=Draft)
    approve = review.to(done, on=Judged, when=is_good)
    reject = review.to(draft, on=Judged, guards=[LoopCap(3)], otherwise=done)


@case("", "reject is a line of Parent, and 'no' here", "write reject = None to remove the line")
def _() -> None:
    class M(Parent):  # !
        reject = "no"


@case("", "no state is initial, so no run can start", "give one state initial=SomePayload")
def _() -> None:
    class M(Machine):  # !
        draft = State(agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


@case("review", "it is initial, and so is draft", "for two payloads: initial=(A, B)")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        review = State(initial=Draft, agent=judge)  # !
        done = State(final="completed")
        submit = draft.to(review, on=Draft)
        approve = review.to(done, on=Judged)


# --- states ---------------------------------------------------------------------------------------


@case("done", "final='finished'", 'write final="completed" or final="failed"')
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="finished")  # !
        submit = draft.to(done, on=Draft)


@case("done", "it is final and has agent, timeout_s, guards", "put guards on the lines to it")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed", agent=judge, timeout_s=3, guards=[LoopCap(1)])  # !
        submit = draft.to(done, on=Draft)


@case("draft", "timeout_s=0", "give a number of seconds above 0")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write, timeout_s=0)  # !
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


@case("draft", "timeout_s=datetime.timedelta", "as minutes(5) or days(2)")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write, timeout_s=dt.timedelta(minutes=5))  # !
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


@case("draft", "timeout_s=nan", "give a number of seconds above 0")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write, timeout_s=float("nan"))  # !
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


@case("review", "otherwise= without guards is never taken", "add guards=[...], or drop otherwise=")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        review = State(agent=judge, otherwise=done)  # !
        submit = draft.to(review, on=Draft)
        approve = review.to(done, on=Judged)


@case("review", "remember= on a state that is not initial", "put remember= on the transition that brings the payload")
def _() -> None:
    class M(Machine, memory=Notes):
        draft = State(initial=Brief, agent=write)
        review = State(agent=judge, remember=note)  # !
        done = State(final="completed")
        submit = draft.to(review, on=Draft)
        approve = review.to(done, on=Judged)


# --- agents ---------------------------------------------------------------------------------------


@case("draft", "its agent 'write' cannot be called", "give agent= a function: async def write(view: View[Brief])")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent="write")  # !
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


class Writer:
    async def __call__(self, view: View[Brief]) -> Draft:
        return Draft()


@case("draft", "its agent is the class Writer, not an instance", "write Writer()")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=Writer)  # !
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


@case("draft", "its agent is the class Draft, not an instance", "give agent= a function that returns it")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=Draft)  # !
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


async def stream(view: Any) -> Any:
    yield Draft()


@case("draft", "its agent stream yields", "an agent returns one payload")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=stream)  # !
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


async def of_two(brief: Brief, style: str) -> Draft:
    return Draft()


@case("draft", "its agent of_two cannot be called with one view", "write it as async def write(view: View[Brief])")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=of_two)  # !
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


@case(
    "draft", "its agent returns Draft, which no transition takes from here (it takes Judged)", "draft.to(..., on=Draft)"
)
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)  # !
        done = State(final="completed")
        submit = draft.to(done, on=Judged)


@case("draft", "its agent returns the Draft of elsewhere, and that of", "declare it once, and import it everywhere")
def _() -> None:
    twin = create_model("Draft", __module__="elsewhere")

    def other(view: Any) -> Any:
        return twin()

    other.__annotations__["return"] = twin

    class M(Machine):
        draft = State(initial=Brief, agent=other)  # !
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


async def text(view: View[Brief]) -> str:
    return "a draft"


@case("draft", "its agent returns str, which is no payload", "return a pydantic model that a transition takes")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=text)  # !
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


async def perhaps(view: View[Brief]) -> "Draft | None":
    return None


@case("draft", "its agent returns None, which is no payload", "return a pydantic model that a transition takes")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=perhaps)  # !
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


async def fail(view: View[Brief]) -> Draft | AgentFailed:
    return Draft()


@case("draft", "its agent returns AgentFailed, which only the runtime makes", "raise an error instead")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=fail)  # !
        done = State(final="completed")
        submit = draft.to(done, on=(Draft, AgentFailed))


# --- transitions ----------------------------------------------------------------------------------


@case("broken", "it has no source state", "name the states: any_of(draft, review).to(...)")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)
        broken = any_of().to(done, on=AgentFailed)  # !


@case("again", "it leaves done, which is final", "a final state ends the run")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)
        again = done.to(draft, on=Brief)  # !


@case("submit", "its target is 'don', not a state", "name a State of this class as the target (did you mean done?)")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to("don", on=Draft)  # !


@case("again", "its source is the transition submit (test_mistakes.py:", "name a State of this class as the source")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)
        again = any_of(draft, submit).to(done, on=AgentFailed)  # !


@case("submit", "its target is the state review (test_mistakes.py:", "use a State that is an attribute of this class")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(Parent.review, on=Draft)  # !


@case("reject", "its target draft was removed from M", "use a State that is an attribute of this class")
def _() -> None:
    class M(Parent):
        start_here = State(initial=Brief, agent=write)
        draft = None
        submit = start_here.to(Parent.review, on=Draft)
        reject = Parent.reject.but(guards=[LoopCap(4)])  # !


@case("submit", "on=() names no payload", "name the class it is taken on: on=Draft")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        written = draft.to(done, on=Draft)
        submit = draft.to(done, on=())  # !


@case("stop", "it is taken on Cancelled and carries guards", "a run can always be cancelled")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)
        stop = draft.to(done, on=Cancelled, guards=[LoopCap(1)])  # !


@case("submit", "otherwise= without guards is never taken", "add guards=[...], or drop otherwise=")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, otherwise=done)  # !


@case("submit", "otherwise= answers to code 'loop_cup', which nothing here gives", "(did you mean loop_cap?)")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, guards=[LoopCap(3)], otherwise={"loop_cup": done, "*": done})  # !


@case("submit", 'otherwise= has no "*"', 'add "*": some_state for every other code')
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, guards=[LoopCap(3)], otherwise={"loop_cap": done})  # !


# --- predicates and memory ------------------------------------------------------------------------


@case("submit", "when='is_good' cannot be called", "give it a function: def is_good(payload) -> bool")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, when="is_good")  # !


@case("submit", "when= has no name, so a record could not name it", "write it as def is_good(payload) -> bool")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, when=lambda draft: True)  # !


async def is_slow(judged: Judged) -> bool:
    return True


@case("submit", "when=is_slow gives no answer at once", "it must be pure and immediate")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, when=is_slow)  # !


def with_keyword(draft: Draft, *, strict: bool) -> bool:
    return strict


@case("submit", "when=with_keyword cannot be called with 1 or 2 arguments", "write it as def is_good(payload) -> bool")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, when=with_keyword)  # !


def knows(draft: Draft, notes: Notes) -> bool:
    return bool(notes.count)


@case("submit", "its predicate takes the memory, and this machine has none", "class X(Machine, memory=Notes)")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, when=knows)  # !


@case("submit", "remember=is_good cannot be called with 2 arguments", "write it as def note(memory, payload) -> memory")
def _() -> None:
    class M(Machine, memory=Notes):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, remember=is_good)  # !


@case("submit", "remember= in a machine without memory", "class X(Machine, memory=Notes)")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, remember=note)  # !


class Task(BaseModel):
    task: str


@case("", "memory Task has required fields, but a run begins with an empty one", "give every field a default")
def _() -> None:
    class M(Machine, memory=Task):  # !
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


class Stamped(BaseModel):
    at: dt.datetime = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


@case("", "memory: Stamped.at is a datetime without a declared zone", "use pydantic.AwareDatetime")
def _() -> None:
    class M(Machine, memory=Stamped):  # !
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


_drawn = iter(range(1_000))


class Lucky(BaseModel):
    number: int = Field(default_factory=lambda: next(_drawn))


@case("", "memory Lucky begins differently each time, so no run could be replayed", "drop the default_factory")
def _() -> None:
    class M(Machine, memory=Lucky):  # !
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


class Endless(BaseModel):
    limit: float = float("inf")


@case("", "memory Endless() cannot be stored: limit: NaN and infinity are no numbers in JSON", "correct the defaults")
def _() -> None:
    class M(Machine, memory=Endless):  # !
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


class Grumpy(BaseModel):
    count: int = Field(0, validate_default=True)

    @field_validator("count")
    @classmethod
    def refuse_all(cls, value: int) -> int:
        raise LookupError("not today")


@case("", "memory Grumpy() raised LookupError: not today", "let it be made without arguments")
def _() -> None:
    class M(Machine, memory=Grumpy):  # !
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


@case("", "refusals_max=-1", "a bound is a whole number, 0 or more")
def _() -> None:
    class M(Machine, refusals_max=-1):  # !
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


@case("", "there is no class keyword 'payload_max'", "the bounds are resumes_max, ")
def _() -> None:
    class M(Machine, payload_max=1):  # !
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


# --- guards ---------------------------------------------------------------------------------------


@case("submit", "guards= is LoopCap(limit=3, scope=None, since=None), not a list", "write guards=[LoopCap(limit=3")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, guards=LoopCap(3))  # !


@case("submit", "LoopCap is a class, not a guard", "put an instance there: LoopCap(...)")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, guards=[LoopCap], otherwise={"loop_cap": done, "*": done})  # !


@case("limits", "is a list, not a guard", "name the guards one by one, without brackets")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)
        limits = everywhere([LoopCap(3)])  # !


@case("submit", "3 is not a guard", "put a Guard there, as LoopCap(3)")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, guards=[3])  # !


@case("limits", "everywhere() without guards checks nothing", "name at least one: everywhere(LoopCap(200))")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)
        limits = everywhere()  # !


@case("submit", "LoopCap with scope='state' stands on a transition", "leave scope out, or put the guard on a state")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, guards=[LoopCap(3, scope="state")])  # !


@case("submit", "LoopCap(since=...) is the state review", "use a State that is an attribute of this class")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft, guards=[LoopCap(3, since=Parent.review)])  # !


@case(
    "submit",
    "LoopCap begins to count again at review, where this leads, so it never refuses",
    "another state as since=",
)
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        review = State(agent=judge)
        done = State(final="completed")
        submit = draft.to(review, on=Draft, guards=[LoopCap(3, since=review)])  # !
        approve = review.to(done, on=Judged)


@case("submit", "LoopCap begins to count again at done, which is final: nothing comes after it", "or drop it")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(draft, on=Draft, guards=[LoopCap(3, since=done)], otherwise=done)  # !


class CommaForgotten(Slow):
    codes: ClassVar[Any] = "slow"


class Unheard(Slow):
    kind: ClassVar[Any] = "maybe"


class Codeless(Slow):
    codes = ()


class Uncounted(Slow):
    kind = "cap"


class Unwritten(Guard):
    codes = ("slow",)


class Waits(Slow):
    async def check(self, facts: Any, /) -> Any:  # type: ignore[override]
        return refuse("slow")


@attrs.frozen
class Locked(Slow):
    lock: Any


class Raises(Slow):
    def params(self) -> dict[str, int | str]:
        raise LookupError("no such thing")


GUARDS = [
    (CommaForgotten(), "CommaForgotten.codes is 'slow', not a tuple of texts", 'write codes = ("why_it_refuses",)'),
    (Unheard(), "Unheard.kind is 'maybe'", "write one of cap, data, env, sure"),
    (Codeless(), "Codeless names no verdict codes", 'give the class codes = ("why_it_refuses",)'),
    (Uncounted(), "Uncounted is a cap but counts nothing", "write counted() and limit_of(), or another kind"),
    (Unwritten(), "Unwritten has no check", "write def check(self, facts: Facts) -> Verdict"),
    (Waits(), "Waits.check is async", "a guard answers at once, from the facts alone"),
    (Locked(threading.Lock()), "Locked(lock=...) has no lasting text", "give it numbers, texts or named functions"),
    (Raises(), "Raises raised LookupError: no such thing", "correct its params() or counted()"),
]


@pytest.mark.parametrize(("guard", "what", "instead"), GUARDS)
def test_a_guard_that_is_none(guard: Guard, what: str, instead: str) -> None:
    def define() -> None:
        class M(Machine):
            draft = State(initial=Brief, agent=write)
            done = State(final="completed")
            submit = draft.to(done, on=Draft, guards=[guard])  # !

    _assert_told(Case(define, "submit", what, instead))


# --- payloads -------------------------------------------------------------------------------------


class Texts(RootModel[list[str]]):
    pass


class Box(BaseModel, Generic[T]):
    content: T


class AgentGone(BaseModel):
    event_name: ClassVar[str] = "AgentFailed"


class Renamed(BaseModel):
    formerly: ClassVar[str] = "Draft"


class Later(BaseModel):
    part: "NotYet"  # type: ignore[name-defined]  # noqa: F821


PAYLOADS: list[tuple[Any, str, str]] = [
    (str, "str is not a pydantic model class", "declare class X(BaseModel) and name it here"),
    ("Draft", "'Draft' is not a pydantic model class", "declare class X(BaseModel) and name it here"),
    ([Draft, Judged], "it names its payloads in a list", "write a tuple: (Draft, Judged)"),
    (Judged(), "Judged(good=True) is a payload, not its class", "name the class: Judged"),
    (Texts, "Texts is a RootModel; a payload is an object", "put the value in a field of a BaseModel"),
    (Box, "Box is generic without its parameters", "name a concrete one, as Box[int]"),
    (Judged | None, "NoneType is not a pydantic model class", "declare class X(BaseModel) and name it here"),
    (AgentGone, "AgentFailed is the runtime's own event", 'event_name: ClassVar[str] = "MyAgentFailed"'),
    (Renamed, "Renamed was formerly Draft, but Draft is still a payload here", "drop one of the two"),
    (Later, "Later has fields of types that are not defined yet", "then Later.model_rebuild()"),
]


@pytest.mark.parametrize(("on", "what", "instead"), PAYLOADS)
def test_a_class_that_is_no_payload(on: Any, what: str, instead: str) -> None:
    def define() -> None:
        class M(Machine):
            draft = State(initial=Brief, agent=write)
            done = State(final="completed")
            submit = draft.to(done, on=Draft)
            wrong = draft.to(done, on=on)  # !

    _assert_told(Case(define, "wrong", what, instead))


@case("wrong", "two payload classes are called Draft", 'give one of them event_name: ClassVar[str] = "OtherDraft"')
def _() -> None:
    class Paper(BaseModel):
        event_name: ClassVar[str] = "Draft"

    class M(Machine):
        draft = State(initial=Brief, agent=write)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)
        wrong = draft.to(done, on=Paper)  # !


@case("draft", "a run cannot start with TimedOut", "name a payload of your own as initial=")
def _() -> None:
    class M(Machine):
        draft = State(initial=(Brief, TimedOut), agent=write)  # !
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


@case("better", "Better is a subclass of Judged, and both leave review; the exact class decides", "let neither inherit")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        review = State(agent=judge)
        done = State(final="completed")
        submit = draft.to(review, on=Draft)
        approve = review.to(done, on=Judged)
        better = review.to(done, on=Better)  # !


# --- how states are left --------------------------------------------------------------------------


@case("review", "no transition leaves it on a payload, so a run stays there", "write review.to(..., on=...), or final=")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        review = State(agent=judge)  # !
        done = State(final="completed")
        submit = draft.to(review, on=Draft)
        broken = review.to(done, on=AgentFailed)


@case("person", "its wait has a timeout that leads nowhere", "write person.to(..., on=TimedOut), or drop timeout_s=")
def _() -> None:
    class M(Machine):
        draft = State(initial=Brief, agent=write)
        person = State(timeout_s=days(2))  # !
        done = State(final="completed")
        submit = draft.to(person, on=Draft)
        approve = person.to(done, on=Judged)


class Guarded(Machine):
    draft = State(initial=Brief, agent=write)
    person = State()
    review = State(agent=judge, guards=[LoopCap(3)], otherwise=person)
    done = State(final="completed")
    submit = draft.to(review, on=Draft)
    approve = any_of(review, person).to(done, on=Judged)


@case("person", "its otherwise comes back to itself: person -> review -> person", "end in a state without guards")
def _() -> None:
    class M(Guarded):
        person = State(guards=[LoopCap(3)], otherwise=Guarded.review)  # !


def _marked(define: Callable[[], Any]) -> str:
    lines, first = inspect.getsourcelines(define)
    (line,) = [first + index for index, text in enumerate(lines) if text.rstrip().endswith("# !")]
    return f"test_mistakes.py:{line}"


def _mistakes(define: Callable[[], Any]) -> DefinitionError:
    with pytest.raises(DefinitionError) as raised:
        define()
    return raised.value


def _assert_told(wrong: Case) -> None:
    found = _mistakes(wrong.define).mistakes
    told = [mistake for mistake in found if wrong.what in mistake.what]
    assert len(told) == 1, found
    assert wrong.instead in told[0].instead
    assert told[0].attribute == wrong.attribute
    assert told[0].where == _marked(wrong.define)
    assert {(mistake.attribute, mistake.where) for mistake in found} == {(told[0].attribute, told[0].where)}, found


@pytest.mark.parametrize("wrong", CASES, ids=lambda wrong: re.sub(r"\W+", "-", wrong.what)[:50])
def test_a_mistake_is_told_where_it_is_and_nothing_else(wrong: Case) -> None:
    _assert_told(wrong)


def test_the_cases_are_not_empty() -> None:
    assert len(CASES) > 50


# --- many at once ---------------------------------------------------------------------------------


LISTED: Any = [Draft, Brief]


def _terrible() -> None:
    class Terrible(Machine, payload_bytes_maxx=3, memory=Stamped):
        draft = State(initial=Brief, agent=text, timeout_s=-1)
        review = State(agent=Writer)
        second = State(initial=Draft, agent=3)
        person = State(timeout_s=days(2))
        done = State(final="complete")
        failed = State(final="failed", agent=write)
        submit = draft.to(review, on=Draft)
        submit = draft.to(review, on=Brief)
        draft.to(person, on=Notes)
        approve = review.to("don", on=Judged, when=lambda judged: judged.good)
        reject = review.to(draft, on=Judged, when=is_slow, guards=LoopCap(3), otherwise=person)
        worse = review.to(
            draft,
            on=(Judged, Better),
            when=with_keyword,
            guards=[LoopCap],
            otherwise={"loop_cap": person},
        )
        kept = review.to(draft, on=Draft, remember=is_good)
        again = done.to(draft, on=Draft)
        stop = any_of(draft, review).to(done, on=Cancelled, guards=[LoopCap(1)])
        alias = worse
        spec = draft.to(done, on=Stamped)
        listed = draft.to(done, on=LISTED)
        empty = everywhere()
        limits = everywhere(LoopCap(2), otherwise=stop)


TERRIBLE = """
             there is no class keyword 'payload_bytes_maxx'
             memory: Stamped.at is a datetime without a declared zone
    draft    timeout_s=-1
    draft    its agent returns str, which is no payload
    review   its agent is the class Writer, not an instance
    second   it is initial, and so is draft
    second   its agent 3 cannot be called
    second   no transition leaves it on a payload, so a run stays there
    person   no transition leaves it on a payload, so a run stays there
    done     final='complete'
    failed   it is final and has agent
    submit   submit is written again below, so this line is lost
             this line has no name, so it is no part of the machine
    approve  when= has no name, so a record could not name it
    approve  its target is 'don', not a state
    reject   guards= is LoopCap(limit=3, scope=None, since=None), not a list
    reject   when=is_slow gives no answer at once
    worse    it is also called alias
    worse    LoopCap is a class, not a guard
    worse    when=with_keyword cannot be called with 1 or 2 arguments
    worse    otherwise= has no "*"
    worse    Better is a subclass of Judged, and both leave review; the exact class decides
    kept     remember=is_good cannot be called with 2 arguments
    again    it leaves done, which is final
    stop     it is taken on Cancelled and carries guards
    spec     spec is not a name for a line
    spec     Stamped.at is a datetime without a declared zone
    listed   it names its payloads in a list
    empty    everywhere() without guards checks nothing
    limits   its otherwise is the transition stop
"""


def test_all_mistakes_are_told_at_once_in_the_order_of_the_lines() -> None:
    error = _mistakes(_terrible)
    told = [f"{mistake.attribute:8} {mistake.what}" for mistake in error.mistakes]
    expected = [line.removeprefix("    ") for line in TERRIBLE.strip("\n").splitlines()]
    assert [line[: len(wanted)] for line, wanted in zip(told, expected, strict=True)] == expected
    lines = [int(mistake.where.removeprefix("test_mistakes.py:")) for mistake in error.mistakes]
    _, first = inspect.getsourcelines(_terrible)
    assert lines == sorted(lines)
    assert lines[0] == first + 1


def test_the_message_reads_as_a_list() -> None:
    def define() -> None:
        class Hasty(Machine, refusals=3):
            draft = State(initial=Brief, agent=write)
            done = State(final="complete")
            submit = draft.to(done, on=Draft, otherwise=done)

    first = inspect.getsourcelines(define)[1] + 1
    assert str(_mistakes(define)) == (
        f"machine Hasty has 3 mistakes:\n"
        f"  1. test_mistakes.py:{first}\n"
        f"      there is no class keyword 'refusals'\n"
        f"      -> the bounds are resumes_max, refusals_max, defers_max, defer_s_max, calls_max, payload_bytes_max, "
        f"memory_bytes_max, inbox_max (did you mean refusals_max?)\n"
        f"  2. done  (test_mistakes.py:{first + 2})\n"
        f"      final='complete'\n"
        f'      -> write final="completed" or final="failed"\n'
        f"  3. submit  (test_mistakes.py:{first + 3})\n"
        f"      otherwise= without guards is never taken\n"
        f"      -> add guards=[...], or drop otherwise="
    )


def test_a_definition_with_mistakes_leaves_nothing_behind() -> None:
    """A parent whose child was refused makes sound children still."""
    for _ in range(2):
        with pytest.raises(DefinitionError, match="it is also called rejected"):

            class Child(Parent):
                rejected = Parent.reject

    class Sound(Parent):
        pass

    assert Sound.spec.transitions == Parent.spec.transitions


def test_a_payload_used_twice_is_told_once() -> None:
    def define() -> None:
        class M(Machine):
            draft = State(initial=Brief, agent=write)
            done = State(final="completed")
            submit = draft.to(done, on=Draft)
            first = draft.to(done, on=Stamped)
            second = draft.to(done, on=Stamped, when=knows)

    assert [m.attribute for m in _mistakes(define).mistakes if "datetime" in m.what] == ["first"]


def test_lines_of_a_class_made_by_exec_have_places() -> None:
    source = "class M(Machine):\n    done = State(final='x')\n"
    with pytest.raises(DefinitionError) as raised:
        exec(compile(source, "notebook-cell.py", "exec"), {"Machine": Machine, "State": State})
    assert [mistake.where for mistake in raised.value.mistakes] == ["notebook-cell.py:1", "notebook-cell.py:2"]
