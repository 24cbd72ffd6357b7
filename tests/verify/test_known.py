"""Machines whose answers are known from the literature of retry, approval and escalation flows."""

import pytest

from fsm import MachineSpec
from fsm.verify.moves import moves_of
from fsm.verify.promises import promised
from fsm.verify.witness import drive, scenario
from tests.verify.known import approvals, escalations, plans, retries
from tests.verify.known.words import Known

ALL = [*retries.KNOWN, *approvals.KNOWN, *escalations.KNOWN, *plans.KNOWN]
every = pytest.mark.parametrize("known", ALL, ids=lambda known: known.machine.__name__)


@every
def test_its_promises(known: Known):
    spec = MachineSpec.from_json(known.machine.spec.to_json())
    answers = {answer.promise.name: answer for answer in promised(moves_of(spec))}
    broken = {name: tuple(leg.move.hop for leg in found.run) for name, found in answers.items() if found.run}
    assert broken == known.broken
    assert {found.answer for name, found in answers.items() if name not in broken} <= {"kept"}
    for found in answers.values():
        drive(spec, scenario(spec, found.run)["events"])
