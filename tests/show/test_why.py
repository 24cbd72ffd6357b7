"""Why a run does not move: one sentence with numbers for each way of standing still, and what would move it."""

from typing import Any

import pytest
from attrs import evolve
from pydantic import BaseModel

from fsm import (
    AgentFailed,
    Machine,
    MachineSpec,
    Spent,
    State,
    TimedOut,
    any_of,
    days,
    everywhere,
    hours,
    minutes,
    unbound,
)
from fsm.core.record import NOTHING, Record
from fsm.journal.reader import Posted, Timer
from fsm.journal.rows import Call, Run
from fsm.show.evidence import Evidence, Owner
from fsm.show.here import Here
from fsm.show.why import Why, why
from guards import Deadline, LoopCap, NoProgress, PayloadSize, Repeat, TokenBudget
from tests.core.trip import Says, Trip, Word

MIN, HOUR, DAY = 60_000, 3_600_000, 86_400_000


class Brief(BaseModel):
    topic: str = ""


class Draft(BaseModel):
    text: str = ""


class Verdict(BaseModel):
    good: bool


class Approval(BaseModel):
    by: str
    level: int
    note: str = ""


class Refusal(BaseModel):
    by: str


def is_good(verdict: Verdict) -> bool:
    return verdict.good


class Desk(Machine):
    draft = State(initial=Brief, agent=unbound, timeout_s=120)
    review = State(agent=unbound)
    person = State(timeout_s=days(2))
    done = State(final="completed")
    dropped = State(final="failed")
    submit = draft.to(review, on=Draft)
    approve = review.to(done, on=Verdict, when=is_good)
    reject = review.to(draft, on=Verdict, guards=[LoopCap(1)], otherwise=person)
    accept = person.to(done, on=Approval, guards=[TokenBudget(50)])
    drop = person.to(dropped, on=(Refusal, TimedOut))
    broken = any_of(draft).to(dropped, on=AgentFailed)


class Strict(Machine):
    """Without ways out."""

    draft = State(initial=Brief, agent=unbound)
    review = State(agent=unbound)
    done = State(final="completed")
    submit = draft.to(review, on=Draft)
    approve = review.to(done, on=Verdict, when=is_good)


class Capped(Machine):
    draft = State(initial=Brief, agent=unbound)
    review = State(agent=unbound)
    done = State(final="completed")
    submit = draft.to(review, on=Draft)
    approve = review.to(done, on=Verdict, when=is_good)
    reject = review.to(draft, on=Verdict, guards=[LoopCap(1)])


class Doors(Machine):
    hall = State(initial=Word, guards=[Says("entry")])
    inside = State(final="completed")
    enter = hall.to(inside, on=Word, guards=[Says("door")])


def trip(machine: type[Machine], *payloads: BaseModel, spent: Spent = NOTHING) -> Trip:
    made = Trip(machine)
    for payload in payloads:
        made.own(payload, spent=spent)
    return made


ALIVE = Owner(name="desk-1", pid=77, alive=True, silent_ms=500)
DEAD = Owner(name="desk-1", pid=77, alive=False, silent_ms=3 * MIN)


def evidence(made: Trip, later_ms: int = 0, **known: Any) -> Evidence:
    snapshot, records = made.snapshot, made.records
    run = Run(
        key=1,
        run_id="42",
        machine=made.machine.spec.name,
        fingerprint=made.machine.spec.fingerprint,
        labels={},
        state=snapshot.state,
        outcome=snapshot.outcome,
        seq=snapshot.seq,
        entered=snapshot.entered,
        attempt=snapshot.attempt,
        head=b"",
        calls=None,
        dropped=0,
        owner=0,
        started_at_ms=records[0].at_ms,
        at_ms=records[-1].at_ms,
    )
    entered = max(snapshot.entered, 0)
    found = Evidence(
        run=run,
        spec=MachineSpec.from_json(made.machine.spec.to_json()),
        entry=records[entered],
        since=tuple(records[entered + 1 :]),
        now_ms=made.now_ms + later_ms,
        here=Here(listed=True),
    )
    return evolve(found, **known)


def timeout(made: Trip, left_ms: int) -> tuple[Timer, ...]:
    return (Timer(1, "timeout", made.snapshot.entered, made.now_ms + left_ms),)


def commands(answer: Why) -> list[str]:
    return [move.command for move in answer.moves if move.command]


def rejected() -> Trip:
    """Rejected once too often: it waits for a person."""
    again = (Draft(), Verdict(good=False))
    return trip(Desk, Brief(), *again, *again)


def test_a_waiting_run_says_for_what_and_how_long_yet():
    made = rejected()
    answer = why(evidence(made, HOUR, timers=timeout(made, 2 * DAY)))
    assert answer.case == "waits"
    assert answer.answer == "waits in `person` for Approval or Refusal, 1 d 23 h left of its 2 d timeout"


def test_what_moves_a_waiting_run_are_commands_with_a_payload_to_fill_in():
    made = rejected()
    answer = why(evidence(made, timers=timeout(made, DAY), here=Here("my runs.db", listed=True)))
    assert commands(answer) == [
        """fsm send 42 Approval --payload '{"by": "...", "level": 0}' --db 'my runs.db'""",
        """fsm send 42 Refusal --payload '{"by": "..."}' --db 'my runs.db'""",
    ]
    assert "TimedOut takes `drop` to dropped" in answer.moves[-1].text


def test_the_refusal_that_led_here_is_shown_with_its_candidate_and_numbers():
    (asked,) = why(evidence(rejected())).asked
    assert (asked.candidate, asked.hop, asked.state) == ("reject", "reject.otherwise", "person")
    assert [(answer.transition, answer.predicate, answer.result) for answer in asked.predicates] == [
        ("approve", "is_good", False)
    ]
    (ruled,) = asked.verdicts
    assert (ruled.said, ruled.decides, ruled.hop, ruled.to) == (
        "refused firing 2 of 1",
        True,
        "reject.otherwise",
        "person",
    )


def test_a_wait_without_timeout_says_so():
    assert why(evidence(trip(Doors, Word()), 5_000)).answer == "waits in `hall` for Word, 5 s so far, with no timeout"


def test_a_timeout_that_nobody_saw_asks_for_a_runner():
    made = rejected()
    answer = why(evidence(made, 3 * MIN, timers=timeout(made, 0)))
    assert "its 2 d timeout ran out 3 min ago, and no runner was there to see it" in answer.answer
    assert commands(answer) == ["fsm resume 42"]  # an event would come too late


class Short(Machine):
    """A person is asked, and the run has five minutes in all."""

    person = State(initial=Brief, timeout_s=hours(1))
    done = State(final="completed")
    accept = person.to(done, on=Approval)
    lapse = person.to(done, on=TimedOut)
    limits = everywhere(Deadline(minutes(5)))


def test_a_wait_that_a_deadline_cuts_short_names_it():
    made = trip(Short, Brief())
    timers = timeout(made, 5 * MIN)
    assert why(evidence(made, MIN, timers=timers)).answer == (
        "waits in `person` for Approval, 4 min left: Deadline on `limits` ends that before its 1 h timeout"
    )
    late = why(evidence(made, 10 * MIN, timers=timers))
    assert late.answer == (
        "waits in `person` for Approval; Deadline on `limits` ended that, before its 1 h timeout, 5 min ago, "
        "and no runner was there to see it"
    )
    assert commands(late) == ["fsm resume 42"]


def test_events_in_the_inbox_ask_for_a_runner():
    made = rejected()
    posted = (Posted(id=1, run=1, event_id="m", event="Approval", digest=b"", body="{}"),)
    answer = why(evidence(made, posted=posted, timers=timeout(made, DAY)))
    assert "1 event from outside in its inbox: no runner has decided them yet" in answer.notes
    assert commands(answer)[0] == "fsm resume 42"


def test_events_refused_in_this_visit_are_shown_and_counted():
    made = trip(Desk, Brief(), Draft(), spent=Spent(60))
    made.own(Verdict(good=False))
    made.own(Draft())
    made.own(Verdict(good=False))
    made.send(Approval(by="ann", level=1), "mail-7")
    answer = why(evidence(made))
    assert "1 event from outside refused in this visit" in answer.notes
    assert (answer.asked[0].kind, answer.asked[0].event_id, answer.asked[0].candidate) == (
        "refused",
        "mail-7",
        "accept",
    )
    assert answer.asked[0].verdicts[0].said == "refused 120 of 50 tokens (token_budget)"


def stopped() -> Trip:
    again = (Draft(), Verdict(good=False))
    return trip(Capped, Brief(), *again, *again)


def test_a_stopped_run_names_the_guard_and_its_numbers():
    answer = why(evidence(stopped()))
    assert answer.case == "stopped"
    assert answer.answer == (
        "halted, stopped: LoopCap on `reject` refused firing 2 of 1, and `reject` declares no otherwise"
    )
    assert commands(answer) == ["fsm resume 42 --accept", "fsm resume 42"]
    assert answer.moves[0].text.startswith("raise LoopCap(1) on `reject`, or give it an otherwise")


def test_with_the_code_at_hand_the_place_is_named():
    answer = why(evidence(stopped(), code=Capped.spec))
    assert answer.moves[0].text.startswith("raise LoopCap(1) on `reject` (test_why.py:")
    assert answer.asked[0].where.startswith("test_why.py:")


def test_a_run_that_never_started_names_the_entry_guard():
    answer = why(evidence(trip(Doors, Word(says={"entry": "refuse"}))))
    assert answer.answer == ("never started: Says on `hall` refused (no, asked 1), and `hall` declares no otherwise")


def test_a_guard_that_raises_is_to_be_corrected():
    answer = why(evidence(trip(Doors, Word(says={"entry": "raise"}))))
    assert "refused with guard_error: LookupError" in answer.answer
    assert answer.moves[0].text == "correct Says of `hall`"
    assert commands(answer) == ["fsm resume 42"]


def test_a_stuck_run_says_which_predicates_answered_no():
    answer = why(evidence(trip(Strict, Brief(), Draft(), Verdict(good=False))))
    assert answer.case == "stuck"
    assert answer.answer == (
        "stuck: no transition takes Verdict from `review`; predicate `is_good` of `approve` answered no"
    )


@pytest.mark.parametrize(
    ("event", "told", "line"),
    [
        (
            AgentFailed(error_type="ValueError", message="no answer", attempt=1),
            "stuck: AgentFailed (ValueError: no answer), and no transition takes AgentFailed from `review`",
            "broken = review.to(..., on=AgentFailed)",
        ),
        (
            TimedOut(timeout_ms=1_500, attempt=1),
            "stuck: AgentFailed (TimedOut: no answer within 1.5 s), and no transition takes AgentFailed from `review`",
            "broken = review.to(..., on=TimedOut)",
        ),
    ],
)
def test_a_run_whose_agent_failed_says_how_and_where_to_declare_it(event: BaseModel, told: str, line: str):
    answer = why(evidence(trip(Strict, Brief(), Draft(), event)))
    assert answer.answer == told
    assert line in answer.moves[-1].text
    assert commands(answer) == ["fsm resume 42"]


def test_a_run_whose_runner_died_says_when_and_what_was_in_flight():
    made = trip(Desk, Brief())
    answer = why(evidence(made, owner=DEAD, calls=(intent(made.records[0]),)))
    assert answer.case == "left"
    assert answer.answer == ("nobody advances it: its runner desk-1 (pid 77) died 3 min ago; `fsm resume 42` goes on")
    assert answer.notes[0] == (
        "when it was left, `model` was in flight and may have happened; resumed, it is repeated under the same key,"
        " or refused or asked about, as its code says (unsure=)"
    )
    assert commands(answer) == ["fsm resume 42"]


def test_a_halted_run_names_the_calls_that_a_resume_makes_again():
    made = trip(Strict, Brief(), AgentFailed(error_type="E", message="", attempt=1))
    ended = evolve(intent(made.records[0]), kind="outcome", status="ok", name="charge", key=f"42:0:charge:{'a' * 16}:1")
    keyed = evolve(ended, name="ship", key="42:ship:order-7")
    undone = evolve(ended, status="undone", name="mail", key=f"42:0:mail:{'a' * 16}:1")
    (again, *_) = why(evidence(made, calls=(ended, keyed, undone))).moves
    assert again.text == "resume it: its agent tries again; its finished calls are made again, under new keys: `charge`"
    assert "made again" not in why(evidence(made)).moves[0].text


def test_without_the_code_at_hand_commands_leave_a_place_for_it():
    answer = why(evidence(trip(Desk, Brief()), owner=DEAD, here=Here()))
    assert commands(answer) == ["fsm resume 42 -m FILE.py:Desk"]
    assert "`fsm resume 42 -m FILE.py:Desk` goes on" in answer.answer


def test_events_that_no_transition_takes_are_not_called_refused():
    made = rejected()
    made.send(Draft(), "mail-8")
    assert "1 event from outside not taken by any transition in this visit" in why(evidence(made)).notes


def test_a_run_that_was_let_go_says_so():
    answer = why(evidence(trip(Desk, Brief()), 3 * MIN))
    assert answer.answer.startswith("nobody advances it: it was let go in `draft`, its last record is from 3 min ago")


def intent(after: Record) -> Call:
    return Call(
        run=1,
        seq=after.seq,
        entered=after.seq,
        attempt=1,
        kind="intent",
        key="42:0:model",
        name="model",
        status="",
        spent=NOTHING,
        at_ms=after.at_ms,
        digest=b"",
        body=b"[]",
    )


def test_a_running_run_says_who_works_on_it_and_which_call_is_open():
    made = trip(Desk, Brief())
    answer = why(evidence(made, 12_000, owner=ALIVE, calls=(intent(made.records[0]),)))
    assert answer.case == "running"
    assert answer.answer == (
        "running: attempt 1 of `draft` by runner desk-1 (pid 77, alive) for 12 s of at most 2 min,"
        " call `model` open for 12 s"
    )


def test_commands_say_the_code_again_only_where_it_is_needed():
    answer = why(evidence(trip(Desk, Brief()), owner=ALIVE, here=Here("my runs.db", ("desk.py:Desk",))))
    assert commands(answer) == [
        "fsm show 42 --follow --db 'my runs.db'",
        "fsm cancel 42 --db 'my runs.db' -m desk.py:Desk",
    ]


def test_a_deferred_event_says_by_whom_and_until_when():
    made = trip(Doors, Word())
    made.send(Word(says={"door": "much later"}))
    due = (Timer(1, "defer", 0, made.records[-1].until_ms or 0),)
    answer = why(evidence(made, 4_000, timers=due))
    assert answer.case == "deferred"
    assert answer.answer.startswith("Word is deferred by Says on `enter` until ")
    assert answer.answer.endswith(", in 6 s")
    (wait,) = answer.moves
    assert wait.text.startswith("wait: it goes on by itself, asked again in 6 s") and not wait.command


def test_where_a_persons_event_waits_another_may_be_sent_instead():
    class Gate(Machine):
        hall = State(initial=Brief)
        inside = State(final="completed")
        left = State(final="failed")
        enter = hall.to(inside, on=Word, guards=[Says("door")])
        leave = hall.to(left, on=Refusal)

    made = trip(Gate, Brief())
    made.send(Word(says={"door": "much later"}))
    due = (Timer(1, "defer", 0, made.records[-1].until_ms or 0),)
    sent = [command for command in commands(why(evidence(made, 4_000, timers=due))) if "send" in command]
    assert len(sent) == 1 and sent[0].startswith("fsm send 42 Refusal")


def unsure(made: Trip) -> Evidence:
    """As a run that asks what became of a call stands in its journal."""
    question = b'{"arguments":"[12]","attempt":2,"call":"charge","key":"42:1:charge"}'
    found = evidence(made)
    asking = evolve(found.last, event="CallUnsure", body=question)
    return evolve(found, since=(asking,)) if found.run.halted else evolve(found, entry=asking)


def test_a_run_that_halted_to_ask_about_a_call_says_which_and_takes_two_answers():
    failed = AgentFailed(error_type="E", message="", attempt=2)
    answer = why(unsure(trip(Strict, Brief(), Draft(), failed)))
    assert answer.answer == (
        "stuck: call `charge` [12] was in flight when its process was lost, and may have happened or not,"
        " and `review` asks a person"
    )
    assert commands(answer) == ["fsm answer 42 charge --result JSON", "fsm answer 42 charge --again"]


def test_a_waiting_run_to_which_the_question_was_handed_says_so():
    answer = why(unsure(rejected()))
    assert answer.case == "waits"
    assert answer.notes[0].startswith("call `charge` [12] was in flight")
    assert commands(answer)[:2] == ["fsm answer 42 charge --result JSON", "fsm answer 42 charge --again"]
    assert commands(answer)[2].startswith("fsm send 42 Approval")


@pytest.mark.parametrize(
    ("payloads", "told"),
    [
        ((Draft(), Verdict(good=True)), "ended, completed in `done`: nothing to move"),
        (
            (AgentFailed(error_type="OSError", message="gone", attempt=1),),
            "ended, failed in `dropped` on AgentFailed (OSError: gone): nothing to move",
        ),
    ],
)
def test_an_ended_run_has_nothing_to_move(payloads: tuple[BaseModel, ...], told: str):
    answer = why(evidence(trip(Desk, Brief(), *payloads)))
    assert (answer.case, answer.answer, answer.moves) == ("ended", told, ())


def test_a_machine_that_has_changed_is_told_and_asks_to_be_accepted():
    answer = why(evidence(trip(Desk, Brief()), owner=DEAD, code=Strict.spec))
    assert any(note.startswith("Desk has changed since the run was recorded: ") for note in answer.notes)
    assert commands(answer) == ["fsm resume 42 --accept"]


def test_what_a_payload_says_cannot_move_the_terminal():
    failed = AgentFailed(error_type="E", message="\x1b[2J\u202eoops\nnext", attempt=1)
    answer = why(evidence(trip(Strict, Brief(), Draft(), failed)))
    assert answer.answer.isprintable()
    assert "\\u001b[2J\\u202eoops next" in answer.answer


# --- guards that compare payloads -----------------------------------------------------------------


def goodness(verdict: Verdict) -> bool:
    return verdict.good


class Circling(Machine):
    """Judged, and judged again, without a way out."""

    review = State(initial=Brief, agent=unbound)
    done = State(final="completed")
    approve = review.to(done, on=Verdict, when=is_good)
    reject = review.to(review, on=Verdict, guards=[NoProgress(2, of=goodness)])
    again = review.to(review, on=Draft, guards=[Repeat(3)])
    later = review.to(review, on=Refusal, guards=[PayloadSize(20)])


@pytest.mark.parametrize(
    ("payloads", "answer", "line"),
    [
        ([Verdict(good=False)] * 3, "NoProgress on `reject` refused 2 of 2 cycles without progress", "reject"),
        ([Draft(text="a")] * 3, "Repeat on `again` refused arrival 3 of 2 of the same payload", "again"),
        ([Refusal(by="x" * 5_000)], "PayloadSize on `later` refused 5,009 of 20 bytes", "later"),
    ],
)
def test_a_guard_that_compares_payloads_is_told_with_its_numbers_and_place(
    payloads: list[BaseModel], answer: str, line: str
):
    found = why(evidence(trip(Circling, Brief(), *payloads), code=Circling.spec))
    (verdict,) = found.asked[0].verdicts
    place = next(part.place for part in Circling.spec.transitions if part.name == line)
    told = answer.replace(f"`{line}`", f"`{line}` ({place})")
    assert found.answer == f"halted, stopped: {told}, and `{line}` declares no otherwise"
    assert verdict.where == str(place)
    assert "test_why.py:" in verdict.where
