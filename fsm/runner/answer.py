"""A person's answer to a run that asks whether a call was made before its process was lost."""

from typing import Any, Final

from fsm.core.record import NOTHING
from fsm.define.events import CallUnsure
from fsm.define.payload import digest
from fsm.errors import Fenced, NothingToAnswer
from fsm.journal.rows import Call, Run
from fsm.runner.bodies import answer_body
from fsm.runner.driver import Driver
from fsm.runner.recovery import take_over

UNTOLD: Final = object()


async def answer(driver: Driver, run: Run, call: str, result: Any, again: bool, by: str) -> Run:
    """The answer as an outcome of the call; where the run halted to ask, its visit goes on with it.

    Both are one transaction. Where the machine had taken the question elsewhere, only a call that the user
    keyed will be met again, so that only the row is written.
    """
    if again == (result is not UNTOLD):
        raise ValueError(
            "answer() needs one of two: what the call gave, or that it is to be made\n  -> result=... or again=True"
        )
    row = _row(driver, run, _asked(driver, run, call), result, again)
    if run.halted:
        if not await take_over(driver, run, "answered", by, row):
            raise Fenced(run_id=run.run_id, why="somebody else has answered or resumed it")
    else:
        await driver.journal.call(row)
    return driver.journal.read.run(run.run_id)


def _asked(driver: Driver, run: Run, call: str) -> CallUnsure:
    """The question that `call` names, if the run waits for its answer."""
    record = driver.journal.read.unsure(run.key)
    if record is None or record.body is None or record.kind == "forked":  # its parent had asked
        raise NothingToAnswer(run_id=run.run_id, call=call, why="it has asked nothing")
    asked = CallUnsure.model_validate_json(record.body)
    if call not in (asked.call, asked.key):
        raise NothingToAnswer(run_id=run.run_id, call=call, why=f"it asked about {asked.call!r}", open=asked.key)
    later = [after.kind for after in driver.journal.read.records(run.key, record.seq)]
    halted = run.halted and record.kind == "halted" and {*later} <= {"repinned"}
    if not halted and run.outcome != "waiting":
        raise NothingToAnswer(run_id=run.run_id, call=call, why=f"it is {run.outcome} since then")
    rows = driver.journal.read.calls_of(run.key, asked.key)
    if not run.halted and any(row.kind == "outcome" and row.seq >= record.seq for row in rows):
        raise NothingToAnswer(run_id=run.run_id, call=call, why="its outcome is known by now")
    return asked


def _row(driver: Driver, run: Run, asked: CallUnsure, result: Any, again: bool) -> Call:
    body = b"null" if again else answer_body(asked.call, result)
    return Call(
        run=run.key,
        seq=run.seq,
        entered=run.entered,
        attempt=run.attempt,
        kind="outcome",
        key=asked.key,
        name=asked.call,
        status="undone" if again else "ok",
        spent=NOTHING,
        at_ms=driver.clock.now_ms(),
        digest=digest(body),
        body=body,
    )
