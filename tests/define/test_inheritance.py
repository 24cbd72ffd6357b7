"""Machines made from machines, and lines made by functions."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from fsm import AgentFailed, DefinitionError, Machine, State, TimedOut, View, any_of, days, everywhere
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.snapshot import Snapshot
from fsm.define.payload import seal
from guards import LoopCap, TokenBudget


class Brief(BaseModel):
    task: str = ""


class Draft(BaseModel):
    text: str = ""


class Verdict(BaseModel):
    good: bool = True


async def write(view: View[Brief | Verdict]) -> Draft:
    return Draft(text="first")


async def rewrite(view: View[Brief | Verdict]) -> Draft:
    return Draft(text="second")


async def judge(view: View[Draft]) -> Verdict:
    return Verdict()


def is_good(verdict: Verdict) -> bool:
    return verdict.good


class Loop(Machine, refusals_max=7):
    """The parent."""

    draft = State(initial=Brief, agent=write, timeout_s=60)
    review = State(agent=judge)
    person = State(timeout_s=days(2))
    done = State(final="completed")

    submit = draft.to(review, on=Draft)
    approve = review.to(done, on=Verdict, when=is_good)
    reject = review.to(draft, on=Verdict, guards=[LoopCap(3)], otherwise=person)
    accept = person.to(done, on=(Verdict, TimedOut))
    limits = everywhere(LoopCap(100), otherwise=person)


def _names(machine: type[Machine]) -> list[str]:
    return [line.name for line in machine.spec.transitions]


def _limit(machine: type[Machine], name: str) -> int | None:
    (line,) = [line for line in machine.spec.transitions if line.name == name]
    return line.guards[0].limit


def test_but_changes_one_thing_of_a_line() -> None:
    class Patient(Loop):
        reject = Loop.reject.but(guards=[LoopCap(5)])

    before, after = ({line.name: line for line in m.spec.transitions}["reject"] for m in (Loop, Patient))
    assert (_limit(Loop, "reject"), _limit(Patient, "reject")) == (3, 5)
    assert (after.sources, after.target, after.events) == (before.sources, before.target, before.events)
    assert after.otherwise == {"*": "person"}
    assert _names(Patient) == _names(Loop), "a changed line keeps its place in the order"
    assert Loop.spec.changes(Patient.spec) == (
        'name: "Loop" -> "Patient"',
        "transitions.reject.guards.0.params.limit: 3 -> 5",
    )


def test_but_can_take_everything_off_again() -> None:
    class Bare(Loop):
        reject = Loop.reject.but(guards=[], otherwise=None)
        approve = Loop.approve.but(when=None)

    lines = {line.name: line for line in Bare.spec.transitions}
    assert (lines["reject"].guards, lines["reject"].otherwise, lines["approve"].when) == ((), {}, None)


def test_but_on_a_line_of_the_same_class_needs_no_second_name() -> None:
    class Once(Loop):
        reject = Loop.review.to(Loop.draft, on=Verdict).but(guards=[LoopCap(9)])

    assert _limit(Once, "reject") == 9


def test_a_state_can_be_replaced_and_every_line_follows_it() -> None:
    class Asking(Loop):
        review = State(guards=[LoopCap(4)], otherwise=Loop.person)

    assert Asking.spec.state["review"].kind == "waiting"
    assert Asking.spec.state["review"].guards[0].limit == 4
    assert [state.name for state in Asking.spec.states] == [state.name for state in Loop.spec.states]
    assert {line.target for line in Asking.spec.transitions if line.name == "submit"} == {"review"}
    assert Loop.spec.state["review"].kind == "agent", "the parent is as it was"


def test_none_removes_a_line() -> None:
    class Strict(Loop):
        accept = Loop.accept.but()
        reject = None  # type: ignore[assignment]
        limits = None  # type: ignore[assignment]

    assert _names(Strict) == ["submit", "approve", "accept"]
    assert Strict.spec.everywhere == ()
    assert "reject" in _names(Loop)


def test_none_removes_a_state_with_its_lines() -> None:
    class Lonely(Loop):
        person = None  # type: ignore[assignment]
        accept = None  # type: ignore[assignment]
        reject = Loop.reject.but(otherwise=Loop.done)
        limits = everywhere(LoopCap(100), otherwise=Loop.done)

    assert [state.name for state in Lonely.spec.states] == ["draft", "review", "done"]


def test_a_removed_state_is_told_at_every_line_that_needs_it() -> None:
    with pytest.raises(DefinitionError) as raised:

        class Torn(Loop):
            person = None  # type: ignore[assignment]

    told = [(mistake.attribute, mistake.what) for mistake in raised.value.mistakes]
    assert told == [
        ("reject", "its otherwise person was removed from Torn"),
        ("accept", "its source person was removed from Torn"),
        ("limits", "its otherwise person was removed from Torn"),
    ]


def test_a_line_can_be_renamed() -> None:
    class Renamed(Loop):
        send_back = Loop.reject
        reject = None  # type: ignore[assignment]

    assert _names(Renamed) == ["submit", "approve", "accept", "send_back"]
    assert "send_back.otherwise" in Renamed.spec.hops


def test_bounds_and_memory_are_inherited() -> None:
    class Notes(BaseModel):
        count: int = 0

    class Remembering(Loop, memory=Notes, calls_max=5):
        pass

    class Grandchild(Remembering):
        pass

    assert Grandchild.spec.memory_class is Notes
    assert (Grandchild.spec.bounds.refusals_max, Grandchild.spec.bounds.calls_max) == (7, 5)
    assert Loop.spec.bounds.calls_max == 100


def test_new_lines_come_after_the_inherited_ones() -> None:
    class More(Loop):
        broken = any_of(Loop.draft, Loop.review).to(Loop.person, on=AgentFailed)

    assert _names(More) == [*_names(Loop), "broken"]
    assert More.spec.transitions[-1].sources == ("draft", "review")


def test_with_agents_is_the_same_machine() -> None:
    other = Loop.with_agents(draft=rewrite)
    assert other.spec == Loop.spec
    assert (other.spec.name, other.spec.fingerprint) == ("Loop", Loop.spec.fingerprint)
    assert other.spec.state["draft"].agent is rewrite
    assert other.spec.state["review"].agent is judge
    assert other.spec.state["draft"].timeout_ms == 60_000
    assert Loop.spec.state["draft"].agent is write
    assert (other.__name__, other.__doc__, other.__module__) == ("Loop", "The parent.", __name__)


def test_with_agents_of_a_child_and_again() -> None:
    class Child(Loop):
        reject = Loop.reject.but(guards=[LoopCap(8)])

    twice = Child.with_agents(draft=rewrite).with_agents(review=judge)
    assert (twice.spec.name, twice.spec.fingerprint) == ("Child", Child.spec.fingerprint)
    assert twice.spec.state["draft"].agent is rewrite


def test_with_agents_knows_the_states() -> None:
    with pytest.raises(TypeError, match=r"Loop has no agent state 'drafft'\n  -> its agent states are draft, review"):
        Loop.with_agents(drafft=rewrite)
    with pytest.raises(TypeError, match="no agent state 'person'"):
        Loop.with_agents(person=rewrite)


def test_with_agents_checks_what_they_return() -> None:
    async def wrong(view: View[Any]) -> Verdict:
        return Verdict()

    with pytest.raises(DefinitionError, match="its agent returns Verdict, which no transition takes from here"):
        Loop.with_agents(draft=wrong)


def test_several_everywhere_lines_are_all_asked_in_order() -> None:
    class Bounded(Loop):
        limits = everywhere(LoopCap(1), otherwise=Loop.person)
        budget = everywhere(TokenBudget(5), LoopCap(2), otherwise=Loop.done)

    assert [(line.name, [guard.name for guard in line.guards]) for line in Bounded.spec.everywhere] == [
        ("limits", ["LoopCap"]),
        ("budget", ["TokenBudget", "LoopCap"]),
    ]
    payload = seal(Draft(), 1 << 20)
    at_draft = Snapshot(state="draft", seq=0, entered=0, counters={"hops": 1, "tokens": 9})
    record = decide(Engine(Bounded.spec), at_draft, Event(payload=payload, at_ms=1)).record
    assert record is not None
    assert [(ruling.at, ruling.guard, ruling.verdict.decision) for ruling in record.rulings] == [
        ("limits", "LoopCap", "refuse"),
        ("budget", "TokenBudget", "refuse"),
        ("budget", "LoopCap", "allow"),
    ]
    assert record.hop == "limits.otherwise"


def test_an_instance_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Loop is a definition.*\n  -> await runner.start\(Loop, payload\)"):
        Loop()


# --- lines made by functions ----------------------------------------------------------------------


def _stage(agent: Any) -> State[Any]:
    return State(agent=agent, timeout_s=30)


def test_lines_made_by_a_function_are_lines() -> None:
    class Made(Machine):
        draft = State(initial=Brief, agent=write)
        review = _stage(judge)
        done = State(final="completed")
        submit = draft.to(review, on=Draft)
        approve = review.to(done, on=Verdict)

    assert Made.spec.state["review"].timeout_ms == 30_000
    assert Made.spec.state["review"].place is not None
    assert Made.spec.state["review"].place.line == Made.spec.state["draft"].place.line + 1  # type: ignore[union-attr]


def test_a_line_made_by_a_function_and_forgotten_is_noticed() -> None:
    with pytest.raises(DefinitionError, match="this line has no name") as raised:

        class Forgetful(Machine):
            draft = State(initial=Brief, agent=write)
            done = State(final="completed")
            submit = draft.to(done, on=Draft)
            _stage(judge)

    assert len(raised.value.mistakes) == 1
    assert raised.value.mistakes[0].where.startswith("test_inheritance.py:")


def test_lines_can_be_made_in_a_loop() -> None:
    class Chain(Machine):
        first = State(initial=Brief, agent=write)
        done = State(final="completed")
        last = first
        for name in ("stage_0", "stage_1", "stage_2"):
            locals()[name] = State(agent=write)
            locals()[f"to_{name}"] = last.to(locals()[name], on=Draft)
            last = locals()[name]
        end = last.to(done, on=Draft)
        del last

    assert [state.name for state in Chain.spec.states] == ["first", "done", "stage_0", "stage_1", "stage_2"]
    assert Chain.spec.transitions[-1].sources == ("stage_2",)


def bounded(rounds: int, agent: Any) -> type[Machine]:
    """A machine with parameters is a function that returns one."""

    class Bounded(Machine):
        draft = State(initial=Brief, agent=agent)
        review = State(agent=judge)
        done = State(final="completed")
        gone = State(final="failed")
        submit = draft.to(review, on=Draft)
        approve = review.to(done, on=Verdict, when=is_good)
        reject = review.to(draft, on=Verdict, guards=[LoopCap(rounds)], otherwise=gone)

    return Bounded


def test_machines_with_parameters_are_independent() -> None:
    two, three, again = bounded(2, write), bounded(3, write), bounded(2, rewrite)
    assert (_limit(two, "reject"), _limit(three, "reject")) == (2, 3)
    assert two.spec.fingerprint == again.spec.fingerprint != three.spec.fingerprint
    assert two.spec.changes(three.spec) == ("transitions.reject.guards.0.params.limit: 2 -> 3",)


FINISHED = State[Any](final="completed")


def test_a_state_can_serve_two_machines() -> None:
    class One(Machine):
        draft = State(initial=Brief, agent=write)
        finished = FINISHED
        submit = draft.to(finished, on=Draft)

    class Two(Machine):
        draft = State(initial=Brief, agent=write)
        ended = FINISHED
        submit = draft.to(ended, on=Draft)

    assert One.spec.transitions[0].target == "finished"
    assert Two.spec.transitions[0].target == "ended"


def test_a_plain_class_can_hold_lines_to_mix_in() -> None:
    class Ending:
        done = State[Any](final="completed")
        gone = State[Any](final="failed")

    class Mixed(Ending, Machine):
        draft = State(initial=Brief, agent=write)
        submit = draft.to(Ending.done, on=Draft)
        broken = draft.to(Ending.gone, on=AgentFailed)

    assert [state.name for state in Mixed.spec.states] == ["done", "gone", "draft"]


# --- annotations that are text --------------------------------------------------------------------

FUTURE = """
from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from fsm import DefinitionError, Machine, State, View

if TYPE_CHECKING:
    from elsewhere import Unknown


class Brief(BaseModel):
    parts: list[Part]


class Part(BaseModel):
    text: str


class Draft(BaseModel):
    text: str


async def write(view: View[Brief]) -> Draft: ...
async def guess(view: View[Brief]) -> Unknown: ...
async def wrong(view: Unknown) -> Brief | Part: ...


def is_long(draft: Draft) -> bool:
    return len(draft.text) > 3


class Loop(Machine):
    draft = State(initial=Brief, agent=write)
    review = State(agent=guess)
    done = State(final="completed")
    submit = draft.to(review, on=Draft, when=is_long)
    approve = review.to(done, on=Draft)


def local() -> None:
    class Inner(BaseModel):
        text: str

    async def say(view: View[Inner]) -> Inner: ...

    class Small(Machine):
        draft = State(initial=Inner, agent=say)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)


local()
try:
    class Wrong(Machine):
        draft = State(initial=Brief, agent=wrong)
        done = State(final="completed")
        submit = draft.to(done, on=Draft)
except DefinitionError as error:
    print(error)
"""


def test_a_file_with_annotations_as_text(tmp_path: Path) -> None:
    """What can be resolved is checked, a name that only a type checker knows is no mistake."""
    file = tmp_path / "future_machine.py"
    file.write_text(textwrap.dedent(FUTURE), "utf-8")
    here = {"PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, env=here, check=False)
    assert ran.stderr == ""
    assert "machine Wrong has 2 mistakes" in ran.stdout
    assert "its agent returns Brief, which no transition takes from here (it takes Draft)" in ran.stdout
    assert "its agent returns Part" in ran.stdout
