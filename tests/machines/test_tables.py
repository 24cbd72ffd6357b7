"""What every state of every ready-made machine does with every event, written out."""

import pytest
from pydantic import BaseModel

import machines
from fsm import Machine
from fsm.define.parts import START
from fsm.testing import table
from machines.review_loop import Approval, Brief, Draft, Findings, Refusal, ReviewLoop, Verdict

SAMPLES: dict[type[Machine], list[BaseModel]] = {
    ReviewLoop: [
        Brief(task="what is a turnstile?"),
        Findings(passages=[], searched=3),
        Draft(claims=[]),
        Verdict(good=True),
        Verdict(good=False),
        Approval(by="ann"),
        Refusal(by="ann"),
    ]
}

TABLES: dict[type[Machine], str] = {
    ReviewLoop: """
                   (start)             research            draft              review                person
  Brief            start -> research   unhandled           unhandled          unhandled             unhandled
  Findings                             found -> draft      unhandled          unhandled             unhandled
  Draft                                unhandled           written -> review  unhandled             unhandled
  Verdict                              unhandled           unhandled          approve -> published  unhandled
  Verdict#2                            unhandled           unhandled          reject -> research    unhandled
  Approval                             unhandled           unhandled          unhandled             accept -> published
  Refusal                              unhandled           unhandled          unhandled             drop -> dropped
  TimedOut                             broken -> person    broken -> person   broken -> person      drop -> dropped
  PayloadInvalid                       broken -> person    broken -> person   broken -> person
  CallRefused                          broken -> person    broken -> person   broken -> person
  CallUnsure                           stuck               stuck              stuck
  AgentFailed                          broken -> person    broken -> person   broken -> person
  Cancelled                            cancelled           cancelled          cancelled             cancelled
"""
}


def written_out(text: str) -> dict[tuple[str, str], str]:
    """A table of aligned columns, as (state, event) to cell."""
    head, *rows = [line for line in text.splitlines() if line.strip()]
    starts = [at for at, letter in enumerate(head) if letter != " " and head[at - 1] == " "]
    columns = list(zip(starts, [*starts[1:], None], strict=True))
    return {
        (head[start:end].strip(), row[: starts[0]].strip()): row[start:end].strip()
        for row in rows
        for start, end in columns
        if row[start:end].strip()
    }


@pytest.mark.parametrize("machine", TABLES, ids=lambda machine: machine.__name__)
def test_the_table_of(machine: type[Machine]):
    assert table(machine, SAMPLES[machine]) == written_out(TABLES[machine])


@pytest.mark.parametrize("machine", TABLES, ids=lambda machine: machine.__name__)
def test_the_table_leaves_nothing_out(machine: type[Machine]):
    """A sample of every payload, and every transition is met."""
    spec = machine.spec
    cells = table(machine, SAMPLES[machine])
    assert {shape.name for shape in spec.payloads} <= {event for _, event in cells}
    assert {state for state, _ in cells} == {START, *(state.name for state in spec.states if state.kind != "final")}
    assert {line.name for line in spec.transitions} <= {cell.split(" -> ")[0] for cell in cells.values()}


def test_every_ready_made_machine_has_its_table():
    assert set(TABLES) == {getattr(machines, name) for name in machines.__all__}
