"""Retries, fallbacks and the guards beside them as parts of a definition: what they become, what is refused."""

from collections.abc import Callable
from typing import Any, ClassVar

import attrs
import pytest
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    Counter,
    DefinitionError,
    Guard,
    Machine,
    MachineSpec,
    PayloadInvalid,
    Retry,
    RuntimeEvent,
    TimedOut,
    View,
    any_of,
    everywhere,
    unbound,
)
from fsm import State as _State
from guards import Deadline, LoopCap, Strikes

State: Any = _State  # much of what follows is wrong on purpose


class Brief(BaseModel):
    task: str = ""


class Draft(BaseModel):
    text: str = ""


class Hint(BaseModel):
    text: str = ""


async def write(view: View[Brief]) -> Draft:
    return Draft()


async def other(view: View[Brief]) -> Draft:
    return Draft()


async def hint(view: View[Brief]) -> Hint:
    return Hint()


def worth_it(failure: RuntimeEvent) -> bool:
    return True


def told(define: Callable[[], Any]) -> list[tuple[str, str, str]]:
    with pytest.raises(DefinitionError) as raised:
        define()
    return [(mistake.attribute, mistake.what, mistake.instead) for mistake in raised.value.mistakes]


def machine(**draft: Any) -> Callable[[], type[Machine]]:
    """A machine whose first state is as given."""

    def define() -> type[Machine]:
        class Desk(Machine):
            draft_ = State(**{"initial": Brief, "agent": write, **draft})
            done = State(final="completed")
            submit = draft_.to(done, on=Draft)

        return Desk

    return define


# -- what is a mistake -------------------------------------------------------------------------------

WHOLE = "give a whole number of attempts, 2 to 1000, the first one included"
SECONDS = "give seconds, 0 or more, the cap no less than the base"
FUNCTION = "def worth_it(failure) -> bool"
DEADLINE = "give seconds, 0.001 or more, as Deadline(minutes(5))"
NAME = 'name what it watches, as view.call does: Strikes("search")'
AGENT = "async def write(view: View[Brief]) -> Draft"
R: Any = Retry
S: Any = Strikes
D: Any = Deadline


@attrs.frozen
class Counting(Guard):
    codes: ClassVar[tuple[str, ...]] = ("enough",)
    kind: ClassVar[Any] = "env"
    of: Any
    subject: str = ""
    since: str = ""

    def counted(self, standing: Any, owner: str) -> Counter:
        return Counter(self.of, self.subject, self.since)

    def limit_of(self) -> int:
        return 3


class Capping(Counting):
    kind: ClassVar[Any] = "cap"


class Judge:
    def __call__(self, failure: RuntimeEvent) -> bool:
        return True


async def later(failure: RuntimeEvent) -> bool:
    return True


def two(failure: RuntimeEvent, memory: Any) -> bool:
    return True


def agents() -> Any:
    yield write


@pytest.mark.parametrize(
    ("draft", "what", "instead"),
    [
        ({"retry": R(attempts_max=1)}, "Retry(attempts_max=1)", WHOLE),
        ({"retry": R(attempts_max=1_001)}, "Retry(attempts_max=1001)", WHOLE),
        ({"retry": R(attempts_max=True)}, "Retry(attempts_max=True)", WHOLE),
        ({"retry": R(attempts_max=2.0)}, "Retry(attempts_max=2.0)", WHOLE),
        ({"retry": R(base_s=-1)}, "Retry(base_s=-1, cap_s=60.0)", SECONDS),
        ({"retry": R(base_s=5, cap_s=1)}, "Retry(base_s=5, cap_s=1)", SECONDS),
        ({"retry": R(base_s="1")}, "Retry(base_s='1', cap_s=60.0)", SECONDS),
        ({"retry": R(cap_s=float("nan"))}, "Retry(base_s=1.0, cap_s=nan)", SECONDS),
        ({"retry": R(cap_s=float("inf"))}, "Retry(base_s=1.0, cap_s=inf)", SECONDS),
        ({"retry": R(when=None)}, "Retry(when=None)", "leave when= out: what may help is tried again"),
        ({"retry": R(when=3)}, "when=3 cannot be called", f"give it a function: {FUNCTION}"),
        ({"retry": R(when=later)}, "when=later gives no answer at once", f"it must be pure and immediate: {FUNCTION}"),
        ({"retry": R(when=two)}, "when=two cannot be called with 1 argument", f"write it as {FUNCTION}"),
        ({"retry": 3}, "retry=3", "write retry=Retry(attempts_max=3)"),
        ({"fallback": 3}, "its fallback 3 cannot be called", f"give fallback= a function: {AGENT}"),
        ({"fallback": agents}, "its fallback agents yields", f"an agent returns one payload: {AGENT}"),
        ({"fallback": worth_it}, "its fallback returns bool, which is no payload", "return a pydantic model"),
        (
            {"fallback": hint},
            "its fallback returns Hint, which no transition takes from here (it takes Draft)",
            "write draft_.to(..., on=Hint), or change what the fallback returns",
        ),
        ({"guards": [S(3)]}, "Strikes(3)", NAME),
        ({"guards": [S("")]}, "Strikes('')", NAME),
        ({"guards": [S("x", 0)]}, "Strikes(limit=0)", "give a whole number, 1 or more"),
        ({"guards": [S("x", True)]}, "Strikes(limit=True)", "give a whole number, 1 or more"),
        *[
            ({"guards": [D(seconds)]}, f"Deadline({seconds!r})", DEADLINE)
            for seconds in (0, -1, "5", None, True, 0.0001, 1e11, float("nan"))
        ],
        ({"guards": [Capping("strikes", "x")]}, "Capping is a cap on strikes, which bounds no loop", 'kind = "env"'),
        ({"guards": [Capping("elapsed_ms")]}, "Capping is a cap on elapsed_ms, which bounds no loop", 'kind = "env"'),
        (
            {"guards": [Counting("elapsed_ms", since="done")]},
            "Counting counts elapsed_ms since done, which nothing does",
            "leave since out",
        ),
        (
            {"guards": [Counting("strikes", "x", "done")]},
            "Counting counts strikes since done, which nothing does",
            "leave since out",
        ),
        (
            {"guards": [Counting("strikes")]},
            "Counting counts the strikes of nothing",
            'name what it watches: Counter("strikes", "search")',
        ),
    ],
)
def test_a_mistake_is_told_once_with_what_to_write_instead(draft: dict[str, Any], what: str, instead: str) -> None:
    ((attribute, said, advice),) = told(machine(**draft))
    assert (attribute, said) == ("draft_", what)
    assert instead in advice


@pytest.mark.parametrize("when", [lambda failure: True, Judge()], ids=["lambda", "instance"])
def test_a_predicate_of_a_retry_needs_a_name(when: Any) -> None:
    assert told(machine(retry=R(when=when))) == [
        ("draft_", "when= has no name, so a record could not name it", f"write it as {FUNCTION}")
    ]


def test_all_that_is_wrong_with_a_retry_is_told_at_once() -> None:
    found = told(machine(retry=R(attempts_max=0, base_s=-1, when=3)))
    assert [what for _, what, _ in found] == [
        "Retry(attempts_max=0)",
        "Retry(base_s=-1, cap_s=60.0)",
        "when=3 cannot be called",
    ]


@pytest.mark.parametrize("given", ["retry", "fallback"])
def test_neither_retry_nor_fallback_without_an_agent_that_could_fail(given: str) -> None:
    found = told(machine(agent=None, **{given: {"retry": Retry(), "fallback": write}[given]}))
    assert found == [("draft_", f"it has {given}= and no agent that could fail", "give it agent=, or drop that")]


def test_retry_and_fallback_without_an_agent_are_both_named() -> None:
    (found,) = told(machine(agent=None, retry=Retry(), fallback=write))
    assert found[1:] == ("it has retry= and fallback= and no agent that could fail", "give it agent=, or drop them")


def test_a_final_state_has_neither() -> None:
    class Wrong:
        @staticmethod
        def define() -> None:
            class Desk(Machine):
                draft = State(initial=Brief, agent=write)
                done = State(final="completed", retry=Retry(), fallback=write)
                submit = draft.to(done, on=Draft)

    assert [what for _, what, _ in told(Wrong.define)] == ["it is final and has retry, fallback"]


def test_what_is_wrong_with_a_state_is_not_told_of_its_fallback_again() -> None:
    def define() -> None:
        class Desk(Machine):
            draft = State(initial=Brief, agent=hint, fallback=other)
            done = State(final="completed")
            late = draft.to(done, on=TimedOut)

    assert [(attribute, what) for attribute, what, _ in told(define)] == [
        ("draft", "no transition leaves it on a payload, so a run stays there")
    ]


@pytest.mark.parametrize(
    ("code", "whats"),
    [
        ("strikes", ['otherwise= has no "*"']),
        ("deadlin", ["otherwise= answers to code 'deadlin', which nothing here gives", 'otherwise= has no "*"']),
    ],
)
@pytest.mark.parametrize("place", ["line", "state", "machine"])
def test_an_otherwise_by_code_answers_to_every_code(place: str, code: str, whats: list[str]) -> None:
    def define() -> None:
        class Desk(Machine):
            person = State()
            done = State(final="completed")
            both: ClassVar[Any] = {"guards": [Strikes("x"), Deadline(5)], "otherwise": {code: person}}
            draft = State(initial=Brief, agent=write, **(both if place == "state" else {}))
            submit = draft.to(done, on=Draft, **(both if place == "line" else {}))
            end = person.to(done, on=Draft)
            if place == "machine":
                limits = everywhere(*both["guards"], otherwise=both["otherwise"])

    assert [what for _, what, _ in told(define)] == whats


# -- what a retry becomes ----------------------------------------------------------------------------


def spec(**draft: Any) -> MachineSpec:
    return machine(**draft)().spec


def test_a_retry_is_part_of_the_fingerprint_by_all_that_decides() -> None:
    base = spec(retry=Retry())
    for retry, change in (
        (Retry(attempts_max=4), "states.draft_.retry.attempts_max: 3 -> 4"),
        (Retry(base_s=2), "states.draft_.retry.base_ms: 1000 -> 2000"),
        (Retry(cap_s=61), "states.draft_.retry.cap_ms: 60000 -> 61000"),
        (Retry(when=worth_it), 'states.draft_.retry.when: "retriable" -> "worth_it"'),
    ):
        after = spec(retry=retry)
        assert after.fingerprint != base.fingerprint
        assert base.changes(after) == (change,)
    assert base.changes(spec()) == ("states.draft_.retry: gone",)
    for same in (spec(retry=Retry()), spec(retry=Retry(), agent=other), spec(retry=Retry(), timeout_s=7)):
        assert same.fingerprint == base.fingerprint


@pytest.mark.parametrize("draft", [{"retry": Retry(attempts_max=9, base_s=0.5)}, {"fallback": other}])
def test_it_travels_as_json(draft: dict[str, Any]) -> None:
    before = spec(**draft, guards=[Strikes("draft_", 3), Deadline(5)])
    after = MachineSpec.from_json(before.to_json())
    assert after == before
    assert after.fingerprint == before.fingerprint
    assert after.watched == {"draft_"}
    assert after.hops == before.hops


@pytest.mark.parametrize(
    ("change", "what"),
    [({"attempts_max": "3"}, "attempts_max"), ({"base_ms": 1.5}, "base_ms"), ({"why": "x"}, "why")],
)
def test_json_that_is_no_retry_is_refused(change: dict[str, Any], what: str) -> None:
    import json

    form = json.loads(spec(retry=Retry()).to_json())
    form["states"][0]["retry"] |= change
    with pytest.raises(ValueError, match=what):
        MachineSpec.from_json(json.dumps(form))


# -- what a fallback becomes -------------------------------------------------------------------------


class Desk(Machine):
    draft = State(
        initial=Brief, agent=write, fallback=other, retry=Retry(), timeout_s=7, tokens_max=9, title="Drafting"
    )
    review = State(agent=hint, guards=[Strikes("model")], fallback=hint)
    person = State()
    done = State(final="completed")
    submit = draft.to(review, on=Draft)
    late = draft.to(person, on=TimedOut)
    unfit = draft.to(person, on=PayloadInvalid)
    judged = review.to(done, on=Hint)
    broken = any_of(draft, review).to(person, on=AgentFailed)
    back = person.to(draft, on=Brief)


def test_a_fallback_is_a_declared_state_with_the_bounds_of_its_own() -> None:
    state = Desk.spec.state["draft.fallback"]
    assert state.agent is other
    assert (state.timeout_ms, state.tokens_max, state.title) == (7_000, 9, "Drafting, fallback")
    assert (state.initial, state.retry, state.guards, dict(state.otherwise)) == ((), None, (), {})
    assert Desk.spec.initial.name == "draft"


def test_the_line_there_is_first_and_the_lines_of_the_state_leave_the_fallback_too() -> None:
    lines = {line.name: line for line in Desk.spec.transitions}
    assert list(lines)[:2] == ["draft.fails", "review.fails"]
    fails = lines["draft.fails"]
    assert (fails.sources, fails.target, fails.events, fails.carries) == (
        ("draft",),
        "draft.fallback",
        ("AgentFailed",),
        True,
    )
    assert lines["broken"].sources == ("draft.fallback", "review.fallback")
    for name in ("submit", "late", "unfit"):
        assert lines[name].sources == ("draft", "draft.fallback")
    assert Desk.spec.hops["draft.fails"].carries


def test_a_refused_entry_leads_to_the_fallback_unless_otherwise_is_given() -> None:
    assert dict(Desk.spec.state["review"].otherwise) == {"*": "review.fallback"}
    assert dict(Desk.spec.state["draft"].otherwise) == {}, "nothing refuses entry"

    class Sent(Desk):
        review = Desk.review.but(otherwise=Desk.person)

    assert dict(Sent.spec.state["review"].otherwise) == {"*": "person"}


def test_agents_and_fallbacks_are_bound_by_name() -> None:
    async def a(view: View[Brief]) -> Draft:
        return Draft()

    async def b(view: View[Brief]) -> Draft:
        return Draft()

    for given in ({"draft": a, "draft.fallback": b}, {"draft.fallback": b, "draft": a}):
        bound = Desk.with_agents(**given)
        assert (bound.spec.state["draft"].agent, bound.spec.state["draft.fallback"].agent) == (a, b)
        assert bound.spec.fingerprint == Desk.spec.fingerprint
    only = Desk.with_agents(**{"draft.fallback": b}).spec
    assert (only.state["draft"].agent, only.state["draft.fallback"].agent) == (write, b)
    with pytest.raises(
        TypeError, match=r"no agent state 'draft\.fallbac'\n  -> its agent states are .*draft\.fallback"
    ):
        Desk.with_agents(**{"draft.fallbac": b})


def test_a_subclass_changes_adds_and_drops_a_fallback() -> None:
    class Bare(Desk):
        draft = Desk.draft.but(fallback=None)

    assert "draft.fallback" not in Bare.spec.state
    assert Bare.spec.transitions[0].name == "review.fails"
    assert "draft.fallback" not in {source for line in Bare.spec.transitions for source in line.sources}

    class Again(Bare):
        draft = Bare.draft.but(fallback=hint_or_draft)

    assert Again.spec.state["draft.fallback"].agent is hint_or_draft
    assert Again.spec.fingerprint == _renamed(Desk, Again).fingerprint


async def hint_or_draft(view: View[Brief]) -> Draft:
    return Draft()


def _renamed(machine: type[Machine], like: type[Machine]) -> MachineSpec:
    return attrs.evolve(machine.spec, name=like.spec.name)


def test_a_fallback_may_be_unbound() -> None:
    bound = machine(fallback=unbound)()
    assert bound.spec.state["draft_.fallback"].agent is unbound


def test_a_cap_on_visits_counts_those_of_the_state_not_of_its_fallback() -> None:
    capped = spec(fallback=other, guards=[LoopCap(2)])
    (guard,) = capped.state["draft_"].guards
    assert guard.counter == Counter("visits", "draft_")
    assert capped.state["draft_.fallback"].guards == ()
