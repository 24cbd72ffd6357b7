"""What may be decided in a state, as a list; the soundness campaign holds it against `decide`."""

from typing import Any

from attrs import evolve

from fsm import AgentFailed, Cancelled, Machine, MachineSpec, State, everywhere
from fsm.verify.check import check
from fsm.verify.moves import moves_of
from guards import LoopCap
from tests.core.trip import Other, Word, answer, is_yes


class Small(Machine):
    """A line with a predicate, a default, a person who can be late."""

    task = State(initial=Word, agent=answer)
    person = State[Any](timeout_s=10)
    done = State[Any](final="completed")
    lost = State[Any](final="failed")

    good = task.to(done, on=Word, when=is_yes)
    ask = task.to(person, on=Word, guards=[LoopCap(2)], otherwise={"guard_error": lost, "*": done})
    again = person.to(task, on=Word)
    drop = person.to(lost, on=AgentFailed)
    stop = task.to(lost, on=Cancelled)
    limits = everywhere(LoopCap(50), otherwise=lost)


def told(spec: MachineSpec, state: str) -> list[str]:
    moves = [move for move in moves_of(spec).all if move.source == state]
    return [f"{move}{dict(move.predicates) or ''}" for move in moves]


def test_the_moves_of_a_state():
    assert told(Small.spec, "task") == [
        "Word: task -> done by good{'good': True}",  # into a final state: the machine's cap is not asked
        "Word: stopped in task{'good': None}",  # the predicate failed, and `good` has no otherwise
        "Word: task -> person by ask{'good': False}",
        "Word: task -> done by ask.otherwise{'good': False}",
        "Word: task -> lost by limits.otherwise{'good': False}",
        "Cancelled: task -> lost by stop",
        "AgentFailed: stuck in task",
        "CallUnsure: stuck in task",
    ]


def test_an_unanswered_wait_escalates():
    assert told(Small.spec, "person") == [
        "Word: person -> task by again",
        "Word: person -> lost by limits.otherwise",
        "AgentFailed: person -> lost by drop",
    ]


def test_an_event_that_no_line_takes_halts_the_run_only_if_it_is_its_own():
    lines = tuple(evolve(line, when=line.when or Small.spec.transitions[0].when) for line in Small.spec.transitions)
    spec = evolve(Small.spec, transitions=lines)
    assert "Word: stuck in task{'good': False, 'ask': False}" in told(spec, "task")
    assert not [text for text in told(spec, "person") if text.startswith("Word: stuck")]
    assert "AgentFailed: stuck in person{'drop': False}" in told(spec, "person")


def test_counters_are_counted_and_begun_again_as_the_snapshot_does():
    class Counted(Machine):
        task = State(initial=Word, agent=answer, guards=[LoopCap(4), LoopCap(9, scope="run")])
        look = State[Any](agent=answer)
        done = State[Any](final="completed")

        go = task.to(look, on=Word, guards=[LoopCap(2, since=task), LoopCap(3, scope="run", since=task)])
        back = look.to(task, on=Word)
        end = look.to(done, on=Other)

    effects = {
        move.hop: ([counter.key for counter in move.course.up], [counter.key for counter in move.course.reset])
        for move in moves_of(Counted.spec).all
        if move.moved
    }
    assert {hop: (set(up), set(reset)) for hop, (up, reset) in effects.items()} == {
        "start": ({"visits:task"}, {"fires:go@task", "hops@task"}),  # the start is no hop of the run
        "go": ({"fires:go@task", "hops", "hops@task"}, set()),
        "back": ({"visits:task", "hops"}, {"fires:go@task", "hops@task"}),  # begun again, this hop not counted
        "end": ({"hops", "hops@task"}, set()),
    }


def test_a_circle_of_refusals_comes_to_an_end():
    """A machine class with such a circle is refused; one written by hand as JSON is not looked at before."""
    states = list(Small.spec.states)
    cap = next(guard for guard in Small.spec.everywhere[0].guards)
    states[0] = evolve(states[0], guards=(evolve(cap, at="task"),), otherwise={"*": "person"})
    states[1] = evolve(states[1], guards=(evolve(cap, at="person"),), otherwise={"*": "task"})
    assert check(evolve(Small.spec, states=tuple(states))).termination.kind == "ends"
