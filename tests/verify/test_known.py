"""Machines after the literature of retry, approval and escalation flows, their answers worked out by hand."""

import pytest

from fsm import MachineSpec, check
from fsm.verify.moves import moves_of
from fsm.verify.product import situations_of
from fsm.verify.promises import promised
from fsm.verify.witness import drive, scenario, without_code
from tests.verify.known import approvals, escalations, plans, retries
from tests.verify.known.words import Known

ALL = [*retries.KNOWN, *approvals.KNOWN, *escalations.KNOWN, *plans.KNOWN]
every = pytest.mark.parametrize("known", ALL, ids=lambda known: known.machine.__name__)


@every
def test_its_promises(known: Known):
    spec = MachineSpec.from_json(known.machine.spec.to_json())
    answers = {answer.promise.name: answer for answer in promised(situations_of(moves_of(spec)))}
    broken = {name: tuple(leg.move.hop for leg in found.run) for name, found in answers.items() if found.run}
    assert broken == known.broken
    assert {found.answer for name, found in answers.items() if name not in broken} <= {"kept"}
    for found in answers.values():
        drive(without_code(spec), scenario(spec, found.run)["events"])


@every
def test_whether_it_ends_and_what_its_worst_run_costs(known: Known):
    spec = MachineSpec.from_json(known.machine.spec.to_json())
    report = check(spec)
    ends = report.termination
    assert (ends.kind == "ends") == (known.ends is not False)
    assert set(ends.waits) == (set(known.ends) if isinstance(known.ends, tuple) else set())
    assert {leg.move.hop for leg in ends.loop} == known.loop
    figures = {figure.cost: figure for figure in report.figures}
    assert {cost: figures[cost].most for cost in known.worst} == known.worst  # type: ignore[index]
    assert {figures[cost].mark for cost in known.worst} <= {"exact"}  # type: ignore[index]
    for figure in report.figures:
        if figure.most is not None:
            drive(without_code(spec), scenario(spec, figure.run)["events"])
    told = scenario(spec, ends.stem, ends.loop)
    drive(without_code(spec), [*told["events"], *told.get("loop", ()), *told.get("loop", ())])
