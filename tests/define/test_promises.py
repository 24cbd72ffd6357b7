"""Promises and spending limits as a machine declares them; proving them is `tests/verify`."""

import json

import pytest
from pydantic import BaseModel

from fsm import DefinitionError, Machine, MachineSpec, State, always_after, never, unbound, unreachable


class Draft(BaseModel):
    text: str = ""


class Yes(BaseModel):
    by: str = ""


class Release(Machine):
    edit = State(initial=Draft, agent=unbound, tokens_max=500, usd_micros_max=20, tokens_min=3)
    review = State()
    deploy = State(final="completed")
    panic = State(final="failed")
    written = edit.to(review, on=Draft)
    approve = review.to(deploy, on=Yes)
    back = review.to(edit, on=Draft)
    stop = edit.to(panic, on=Yes)
    safe = never(deploy, before=approve)
    fresh = always_after(edit, review, before=deploy)
    unused = unreachable(panic)


class Bare(Machine, machine_name="Release"):
    edit = State(initial=Draft, agent=unbound)
    review = State()
    deploy = State(final="completed")
    panic = State(final="failed")
    written = edit.to(review, on=Draft)
    approve = review.to(deploy, on=Yes)
    back = review.to(edit, on=Draft)
    stop = edit.to(panic, on=Yes)


def test_promises_are_values_of_the_spec_and_travel_as_json():
    assert [(promise.name, str(promise)) for promise in Release.spec.promises] == [
        ("safe", "never(deploy, before=approve)"),
        ("fresh", "always_after(edit, review, before=deploy)"),
        ("unused", "unreachable(panic)"),
    ]
    again = MachineSpec.from_json(Release.spec.to_json())
    assert (again.promises, again.state["edit"]) == (Release.spec.promises, Release.spec.state["edit"])
    assert (again.state["edit"].tokens_max, again.state["edit"].usd_micros_max, again.state["edit"].tokens_min) == (
        500,
        20,
        3,
    )
    assert again.to_json() == Release.spec.to_json()


def test_neither_promises_nor_limits_are_part_of_the_fingerprint():
    assert Release.spec.fingerprint == Bare.spec.fingerprint
    assert Bare.spec.changes(Release.spec) == ()


def test_a_machine_written_before_there_were_any_is_read():
    form = json.loads(Bare.spec.to_json())
    del form["promises"]
    for state in form["states"]:
        for name in ("tokens_max", "usd_micros_max", "tokens_min"):
            del state[name]
    assert MachineSpec.from_json(json.dumps(form)) == MachineSpec.from_json(Bare.spec.to_json())


def test_a_promise_in_json_about_what_is_not_there_is_refused():
    form = json.loads(Release.spec.to_json())
    form["promises"][0]["what"] = "depoly"
    with pytest.raises(ValueError, match="safe promises about 'depoly', which is not there"):
        MachineSpec.from_json(json.dumps(form))


def test_a_subclass_inherits_promises_and_may_drop_one():
    class Looser(Release):
        safe = None  # type: ignore[assignment]

    assert [promise.name for promise in Looser.spec.promises] == ["fresh", "unused"]


def mistakes(make) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        make()
    return [f"{found.attribute}: {found.what} -> {found.instead}" for found in caught.value.mistakes]


def test_a_promise_about_nothing_or_about_one_line_twice():
    def make():
        stray = State()

        class Wrong(Machine):
            work = State(initial=Draft, agent=unbound)
            deploy = State(final="completed")
            done = work.to(deploy, on=Draft)
            a = never(stray, before=done)
            b = never("deplo", before=deploy)  # type: ignore[arg-type]
            c = never(deploy, before=deploy)
            d = always_after(work, done, before=done)
            e = always_after(work, done, before=work)
            never(deploy, before=work)

    about = (
        "which is no state or transition of Wrong -> name a State or a transition that is an attribute of this class"
    )
    told = mistakes(make)
    assert told[0].startswith("a: it is about ") and about in told[0]
    assert told[1:] == [
        f"b: it is about 'deplo', {about} (did you mean deploy?)",
        "c: it names deploy twice, so it says nothing -> name two different lines",
        "d: it names done twice, so it says nothing -> name two different lines",
        ": this line has no name, so it is no part of the machine -> name it: safe = never(...)",
    ]


def test_a_promise_about_a_removed_state():
    class Small(Machine):
        work = State(initial=Draft, agent=unbound)
        done = State(final="completed")
        panic = State(final="failed")
        finish = work.to(done, on=Draft)
        stop = work.to(panic, on=Yes)
        unused = unreachable(panic)

    def make():
        class Smaller(Small):
            panic = None  # type: ignore[assignment]
            stop = None  # type: ignore[assignment]

    (told,) = mistakes(make)
    assert told.startswith("unused: it is about panic, which is no state or transition of Smaller")


def test_limits_that_mean_nothing():
    def make():
        class Wrong(Machine):
            work = State(initial=Draft, agent=unbound, tokens_max=-1, usd_micros_max=0.5)  # type: ignore[arg-type]
            more = State(agent=unbound, tokens_max=10, tokens_min=11)
            wait = State(tokens_max=10)
            done = State(final="completed", tokens_min=1)
            a = work.to(more, on=Draft)
            b = more.to(wait, on=Draft)
            c = wait.to(done, on=Draft)

    assert mistakes(make) == [
        "work: tokens_max=-1 -> give a whole number, 0 or more",
        "work: usd_micros_max=0.5 -> give a whole number, 0 or more",
        "more: tokens_min=11 is more than tokens_max=10"
        " -> a visit is charged at least tokens_min and may report at most tokens_max",
        "wait: it has tokens_max and no agent, so nothing is spent in it -> give it agent=, or drop the limit",
        "done: it is final and has tokens_min -> a final state only ends the run; put guards on the lines to it",
    ]


def test_with_agents_keeps_the_limits():
    assert Release.with_agents(edit=unbound).spec.state["edit"] == Release.spec.state["edit"]
