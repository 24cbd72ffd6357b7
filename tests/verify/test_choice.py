"""What predicates choose, found by asking them."""

from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from fsm import AgentFailed, Machine, MachineSpec, State, unbound
from fsm.verify.check import check
from fsm.verify.choice import CALLS_MAX, Choice, choices, choosing
from fsm.verify.sample import domains
from machines import ReviewLoop


class Brief(BaseModel):
    text: str = ""


class Word(Enum):
    YES = "yes"
    NO = "no"
    LATER = "later"


class Inner(BaseModel):
    n: Annotated[int, Field(ge=3)]


class Verdict(BaseModel):
    word: Literal["yes", "no", "later"]
    urgent: bool = False
    note: Annotated[str, Field(min_length=2)]
    inner: Inner
    score: float


class Ruled(BaseModel):
    word: Word | None


def is_yes(verdict: Verdict) -> bool:
    return verdict.word == "yes"


def is_no(verdict: Verdict) -> bool:
    return verdict.word == "no"


def is_not_later(verdict: Verdict) -> bool:
    return verdict.word != "later"


def is_urgent(verdict: Verdict) -> bool:
    return verdict.urgent


def is_broken(verdict: Verdict) -> bool:
    return {"yes": True, "no": False}[verdict.word]


def is_ruled_yes(ruled: Ruled) -> bool:
    return ruled.word is Word.YES


class Base(Machine):
    ask = State(initial=Brief, agent=unbound)
    done = State(final="completed")
    yes = ask.to(done, on=Verdict, when=is_yes)


def test_values_that_no_line_takes_are_named_by_the_fields_that_matter():
    assert choices(Base.spec) == [
        Choice("missing", "ask", "Verdict", (), ("word='no'", "word='later'"), own=True),
    ]


def test_values_that_two_lines_take():
    class Twice(Base):
        no = Base.ask.to(Base.done, on=Verdict, when=is_not_later)
        later = Base.ask.to(Base.done, on=Verdict)

    assert choices(Twice.spec) == [
        Choice("overlap", "ask", "Verdict", ("yes", "no"), ("word='yes'",), own=True),
        Choice("default", "ask", "Verdict", ("later",), ("word='later'",), own=True),
    ]


def test_two_fields_that_matter_are_named_together():
    class Urgent(Base):
        now = Base.ask.to(Base.done, on=Verdict, when=is_urgent)

    overlap, missing = choices(Urgent.spec)
    assert overlap.values == ("word='yes', urgent=True",)
    assert missing.values == ("word='no', urgent=False", "word='later', urgent=False")


def test_a_predicate_that_fails_is_said_and_stops_the_asking():
    class Broken(Base):
        yes = Base.ask.to(Base.done, on=Verdict, when=is_broken)
        no = Base.ask.to(Base.done, on=Verdict, when=is_no)

    (found,) = choices(Broken.spec)
    assert (found.kind, found.lines, found.values) == ("raises", ("yes",), ("word='later'",))
    assert found.error == "KeyError: 'later'"


def test_enums_and_optional_ones():
    class Ruling(Machine):
        ask = State(initial=Brief)
        done = State(final="completed")
        yes = ask.to(done, on=Ruled, when=is_ruled_yes)

    (found,) = choices(Ruling.spec)
    assert found.values == ("word=Word.NO", "word=Word.LATER", "word=None")
    assert not found.own


def test_payloads_that_no_validator_lets_through_are_none():
    class Strict(Verdict):
        @model_validator(mode="after")
        def only_yes(self) -> "Strict":
            if self.word != "yes":
                raise ValueError("no")
            return self

    class Only(Machine):
        ask = State(initial=Brief, agent=unbound)
        done = State(final="completed")
        yes = ask.to(done, on=Strict, when=is_yes)

    assert choices(Only.spec) == []


def test_never_more_than_so_many_calls():
    calls: list[int] = []
    big = Enum("big", {f"V{n}": n for n in range(40)})  # type: ignore[misc]

    class Wide(BaseModel):
        a: big
        b: big
        c: bool
        d: bool

    def counted(wide: Wide) -> bool:
        calls.append(1)
        return wide.c

    class Many(Machine):
        ask = State(initial=Brief, agent=unbound)
        done = State(final="completed")
        yes = ask.to(done, on=Wide, when=counted)

    (found,) = choices(Many.spec)
    assert found.values == ("c=False",)
    assert len(calls) == 160 <= CALLS_MAX


def test_the_shipped_machine_reaches_its_rejection_by_default():
    assert choices(ReviewLoop.spec) == [
        Choice("default", "review", "Verdict", ("reject",), ("good=False",), own=True),
    ]


def told(machine: type[Machine]) -> list[tuple[str, str, str, str]]:
    return [(found.level, found.attribute, found.what, found.instead) for found in choosing(machine.spec)]


def test_what_a_user_reads():
    class Twice(Base):
        no = Base.ask.to(Base.done, on=Verdict, when=is_not_later)

    class Broken(Base):
        yes = Base.ask.to(Base.done, on=Verdict, when=is_broken)
        rest = Base.ask.to(Base.done, on=Verdict)

    assert told(Twice) == [
        (
            "note",
            "no",
            "`yes` and `no` both match Verdict with word='yes': `yes` is taken, as it is written first",
            "nothing, if that is meant; or narrow one when=, so that their order does not decide",
        ),
        (
            "warning",
            "ask",
            "no line from here takes Verdict with word='later', so the run halts",
            "write ask.to(..., on=Verdict) without when= below the others",
        ),
    ]
    assert told(Broken) == [
        (
            "note",
            "rest",
            "only as the default it takes Verdict with word='no'",
            "nothing, if that is meant; a when= of its own says so",
        ),
        (
            "warning",
            "yes",
            "its predicate fails on Verdict with word='later': KeyError: 'later'",
            "let the predicate answer True or False for every valid payload",
        ),
    ]
    assert all(str(found.place).startswith("test_choice.py:") for found in choosing(Broken.spec))


def test_many_values_are_not_all_listed():
    class Nine(BaseModel):
        word: Literal["a", "b", "c", "d", "e", "f", "g", "h", "i"]

    def is_a(nine: Nine) -> bool:
        return nine.word == "a"

    class Small(Machine):
        ask = State(initial=Brief)
        done = State(final="completed")
        yes = ask.to(done, on=Nine, when=is_a)

    ((level, at, what, _),) = told(Small)
    values = "word='b', word='c', word='d', word='e', word='f' or 3 more"
    assert (level, at, what) == ("warning", "ask", f"no line from here takes Nine with {values}, so it is unhandled")


def is_retriable(failed: AgentFailed) -> bool:
    return failed.retriable


def test_what_nobody_takes_of_the_runtimes_own_halts_a_waiting_run_too():
    class Lapsing(Machine):
        person = State(initial=Brief, timeout_s=5)
        done = State(final="completed")
        end = person.to(done, on=Brief)
        lost = person.to(done, on=AgentFailed, when=is_retriable)

    (finding,) = choosing(Lapsing.spec)
    assert (finding.level, finding.attribute) == ("warning", "person")
    assert finding.what == "no line from here takes AgentFailed with retriable=False, so the run halts"


class Report(BaseModel):
    verdict: Ruled
    checked: Annotated[Ruled, Field()] = Ruled(word=None)
    text: str


def is_inner_yes(report: Report) -> bool:
    return report.verdict.word is Word.YES


def test_fields_of_a_model_within_are_looked_at_too():
    class Nested(Machine):
        ask = State(initial=Brief)
        done = State(final="completed")
        yes = ask.to(done, on=Report, when=is_inner_yes)

    (found,) = choices(Nested.spec)
    assert found.values == ("verdict.word=Word.NO", "verdict.word=Word.LATER", "verdict.word=None")


class Tree(BaseModel):
    good: bool
    below: "Tree | None" = None
    child: "Leaf"


class Leaf(BaseModel):
    root: "Tree | None" = None


class Endless(BaseModel):
    good: bool
    again: "Endless"


def is_good(payload: Tree | Endless) -> bool:
    return payload.good


def test_models_within_themselves_come_to_an_end():
    class Nested(Machine):
        ask = State(initial=Brief)
        done = State(final="completed")
        yes = ask.to(done, on=Tree, when=is_good)

    (found,) = choices(Nested.spec)
    assert found.values == ("good=False",)
    assert len(domains(Endless, CALLS_MAX)) < 10


class Memory(BaseModel):
    often: int = 0


class Score(BaseModel):
    points: int


def is_enough(score: Score) -> bool:
    return score.points > 5


def is_new(verdict: Verdict, memory: Memory) -> bool:
    return memory.often == 0


def test_what_was_not_looked_at_is_a_warning_where_no_line_is_sure_to_match():
    class Asking(Machine, memory=Memory):
        ask = State(initial=Brief, agent=unbound)
        done = State(final="completed")
        enough = ask.to(done, on=Score, when=is_enough)
        new = ask.to(done, on=Verdict, when=is_new)

    why = "Score has no field of a few values: a bool, a Literal or an Enum"
    assert told(Asking) == [
        (
            "warning",
            "ask",
            f"all lines that take Score from here have a when=, and whether one always matches cannot be seen: {why}",
            "write ask.to(..., on=Score) without when= below them: where none matches, the run halts",
        ),
        (
            "warning",
            "ask",
            "all lines that take Verdict from here have a when=, and whether one always matches cannot be seen: "
            "`is_new` looks at the memory too",
            "write ask.to(..., on=Verdict) without when= below them: where none matches, the run halts",
        ),
    ]
    assert check(Asking.spec).termination.halts


def test_what_was_not_looked_at_is_a_note_where_one_is():
    class Asking(Machine):
        ask = State(initial=Brief, agent=unbound)
        done = State(final="completed")
        enough = ask.to(done, on=Score, when=is_enough)
        little = ask.to(ask, on=Score)

    (note,) = told(Asking)
    assert note[0] == "note" and note[2].startswith("which Score its lines take was not looked at: Score has no field")


def test_a_machine_without_its_code_says_so_once():
    spec = MachineSpec.from_json(Base.spec.to_json())
    assert choices(spec) == []
    (note,) = choosing(spec)
    assert (note.level, note.attribute) == ("note", "")
    assert note.what == "what the predicates of `ask` choose was not looked at: there is no code here to ask"
