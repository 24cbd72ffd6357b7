"""Retries, fallbacks, failures in a row and deadlines as they are shown: in pictures, on the path, and in answers."""

from typing import Any

import pytest
from attrs import evolve

from fsm import (
    AgentFailed,
    CallRefused,
    Machine,
    Retry,
    State,
    TimedOut,
    days,
    everywhere,
    minutes,
    unbound,
)
from fsm.show.asked import asked
from fsm.show.diagram import diagram
from fsm.show.labels import arrow_label
from fsm.show.overlay import overlay
from fsm.show.path import PathLine, line
from fsm.show.rulings import given
from fsm.show.telling import words
from fsm.show.why import why
from fsm.show.words import duration
from guards import Deadline, LoopCap, Strikes
from tests.core.trip import Trip, begun
from tests.show.small import Brief, Draft, Small, Trying, failed, tried
from tests.show.test_diagram import arrow, told
from tests.show.test_terminal import printed
from tests.show.test_why import ALIVE, DEAD, evidence

TREE = """\
Trying  A tool that fails is tried again, then done without.

● ask           agent, starts on Brief
├─ entry        Strikes: until tool fails 2 times in a row
│    otherwise  strikes → ask.fallback
├─ ask.retry    up to 3 attempts, 2 s to 1 min apart → ask
├─ ask.fails    AgentFailed, with the same payload → ask.fallback
╰─ found        Draft → done
● ask.fallback  agent
├─ found        Draft → done
╰─ broken       AgentFailed → lost
✓ done          completed
✗ lost          failed
○ limits        everywhere
╰─ guards       LoopCap: up to 20 hops
                Deadline: within 2 min of the start
     otherwise  loop_cap, deadline → lost
"""

RUN = """\
● ask           ×1  agent, starts on Brief
├─ entry            Strikes: until tool fails 2 times in a row
│    otherwise      strikes → ask.fallback
├─ ask.retry    ×1  up to 3 attempts, 2 s to 1 min apart → ask
│                   refused: strikes ×1
├─ ask.fails    ×1  AgentFailed, with the same payload → ask.fallback
"""


class Hasty(Machine):
    """No way out of a failure."""

    ask = State(initial=Brief, agent=unbound, retry=Retry(attempts_max=2, base_s=1, cap_s=1))
    done = State(final="completed")
    found = ask.to(done, on=Draft)


def is_busy(failure: Any) -> bool:
    return isinstance(failure, AgentFailed) and failure.status == 429


class Picky(Machine):
    ask = State(initial=Brief, agent=unbound, retry=Retry(when=is_busy), timeout_s=300)
    rest = State(timeout_s=days(1))
    done = State(final="completed")
    found = ask.to(done, on=Draft)
    refused = ask.to(rest, on=CallRefused)
    wait = ask.to(rest, on=AgentFailed, guards=[Deadline(0.002)])
    over = rest.to(done, on=TimedOut)
    limits = everywhere(Strikes("model", 9), Strikes("tool", 1), Deadline(minutes(2)), LoopCap(9))


def lines(made: Trip) -> list[PathLine]:
    found = evidence(made)
    return [line(found.spec, found.run, record) for record in made.records]


def test_a_retry_is_one_arrow_from_its_state_to_itself_and_a_fallback_is_drawn_like_any_state() -> None:
    drawn = diagram(Trying.spec)
    assert told(drawn)[:4] == [
        ("start", "start", "start", "ask"),
        ("retry", "ask.retry", "ask", "ask"),
        ("direct", "ask.fails", "ask", "ask.fallback"),
        ("direct", "found", "ask+ask.fallback", "done"),
    ]
    assert arrow("ask.fails", drawn).carries and not arrow("found", drawn).carries
    assert arrow_label(arrow("ask.retry", drawn), None).facts == ("up to 3 attempts", "2 s to 1 min apart")


def test_which_failures_are_tried_again_is_told_where_the_user_says_it() -> None:
    assert arrow_label(arrow("ask.retry", diagram(Picky.spec)), None).facts == (
        "up to 3 attempts",
        "1 s to 1 min apart",
        "when is_busy",
    )
    assert arrow_label(arrow("ask.retry", diagram(Hasty.spec)), None).facts == ("up to 2 attempts", "1 s apart")


def test_the_tree_says_it_in_a_terminal() -> None:
    assert printed(Trying.spec) == TREE
    assert RUN in printed(Trying.spec, overlay(Trying.spec, tried().records))


def test_a_run_counts_its_retries_as_hops_and_as_no_visits() -> None:
    run = overlay(Trying.spec, tried().records)
    assert run.taken == {
        ("(start)", "start"): 1,
        ("ask", "ask.retry"): 1,
        ("ask", "ask.fails"): 1,
        ("ask.fallback", "found"): 1,
    }
    assert (run.visits("ask"), run.visits("ask.fallback"), run.hops) == (1, 1, 3)
    assert run.refusals == {"ask.retry": {"strikes": 1}}


def test_the_path_says_when_the_next_attempt_begins_and_why_there_is_none() -> None:
    made = tried()
    pause_ms = (made.records[1].until_ms or 0) - made.records[1].at_ms
    assert 1_000 <= pause_ms <= 2_000
    _, again, fails, _ = lines(made)
    assert (again.kind, again.hop, again.caps) == ("retried", "ask.retry", ("2/3",))
    assert again.remark == f"attempt 2 of 3 begins after {duration(pause_ms)}; 1 failure in a row of tool"
    assert (fails.hop, fails.caps, fails.remark) == ("ask.fails", (), "")
    assert fails.objections == ("not tried again: Strikes on ask refused 2 failures in a row of tool, limit 2",)


def test_a_failure_that_is_not_worth_another_attempt_says_who_says_so() -> None:
    made = begun(Trying, Brief())
    made.own(failed(retriable=False))
    assert lines(made)[1].objections == ("not tried again: retriable answered no",)
    assert lines(made)[1].remark == "1 failure in a row of tool"


def test_what_was_asked_of_a_retry_opens_no_way_of_its_own() -> None:
    """The guards of `ask` have an `otherwise`, but it is not where this failure went."""
    found = asked(Trying.spec, tried().records[2], {"ask": "desk.py:9"})
    assert (found.candidate, found.hop) == ("ask.fails", "ask.fails")
    assert [(answer.transition, answer.predicate) for answer in found.predicates] == [("ask.retry", "retriable")]
    first, struck = found.verdicts[:2]
    assert (first.guard, first.at, first.said, first.where) == (
        "Retry",
        "ask.retry",
        "allowed attempt 3 of 3",
        "desk.py:9",
    )
    assert (struck.decides, struck.retry, struck.hop) == (True, True, "")
    assert not any(ruled.decides for ruled in found.verdicts[2:])


def test_each_of_several_guards_alike_is_told_for_what_it_watches() -> None:
    made = begun(Picky, Brief())
    made.own(AgentFailed(error_type="E", message="", attempt=1, status=429))
    watched = [
        one.guard.counter.subject
        for one in given(Picky.spec, made.records[1])
        if one.guard is not None and one.guard.counter is not None and one.ruling.guard == "Strikes"
    ]
    assert watched == ["model", "tool"]


def test_a_run_that_rests_says_when_it_is_tried_again_and_after_what() -> None:
    made = begun(Trying, Brief())
    made.own(failed())
    until_ms = made.records[1].until_ms
    assert until_ms is not None
    found = evidence(made, until_ms - made.now_ms - 500, owner=ALIVE)
    answer = why(found)
    assert (answer.case, found.again_ms) == ("rests", until_ms)
    assert answer.answer == (
        "`ask` is tried again in 500 ms (attempt 2 of 3) by runner desk-1 (pid 77, alive):"
        " AgentFailed (ConnectionError: 503)"
    )
    assert [asked.hop for asked in answer.asked] == ["ask.retry"]
    assert [move.command.split()[1] for move in answer.moves] == ["show", "cancel"]


def test_a_process_that_dies_in_a_pause_costs_the_visit_nothing() -> None:
    made = begun(Trying, Brief())
    made.own(failed())
    until_ms = made.records[1].until_ms or 0
    lost = [
        evolve(made.records[1], kind="resumed", seq=seq, hop="", until_ms=None, note={"why": "lost"}, at_ms=at_ms)
        for seq, at_ms in ((2, until_ms - 900), (3, until_ms - 500), (4, until_ms + 100))
    ]
    answer = why(evidence(made, owner=ALIVE, since=(made.records[1], *lost)))
    assert "this visit lost its process 1 of at most 3 times" in answer.notes


def test_an_ended_run_says_what_it_took_to_get_there() -> None:
    made = tried()
    run = overlay(Trying.spec, made.records)
    detours = {hop: number for (_, hop), number in run.taken.items() if "." in hop}
    assert why(evidence(made, detours=detours)).notes == ("on the way it took `ask.retry` ×1, `ask.fails` ×1",)


def test_a_pause_shorter_than_the_server_asked_for_says_so() -> None:
    made = begun(Trying, Brief())
    made.own(failed(retry_after_ms=100_000))
    assert lines(made)[1].remark.startswith(
        "attempt 2 of 3 begins after 1 min (cap_s; the server asked for 1 min 40 s); "
    )
    assert why(evidence(made, owner=ALIVE)).answer.endswith("(cap_s; the server asked for 1 min 40 s)")


def test_once_it_is_tried_again_the_attempt_is_told_from_its_own_beginning() -> None:
    made = begun(Trying, Brief())
    made.own(failed())
    later = (made.records[1].until_ms or 0) - made.now_ms + 3_000
    answer = why(evidence(made, later, owner=ALIVE))
    assert answer.case == "running"
    assert answer.answer.startswith("running: attempt 2 of `ask` by runner desk-1 (pid 77, alive) for 3 s of at most")


def test_a_run_that_was_left_resting_says_that_there_is_time() -> None:
    made = begun(Trying, Brief())
    made.own(failed())
    later = (made.records[1].until_ms or 0) - made.now_ms - 250
    answer = why(evidence(made, later, owner=DEAD))
    assert answer.case == "left"
    assert "attempt 2 of 3 begins in 250 ms at the soonest" in answer.notes


def test_a_visit_ends_with_the_deadline_of_its_run() -> None:
    made = begun(Picky, Brief())
    answer = why(evidence(made, 1_000, owner=ALIVE))
    assert answer.answer.endswith("for 1 s of at most 2 min, which Deadline on `limits` leaves")


def test_a_run_out_of_attempts_says_so() -> None:
    made = begun(Hasty, Brief())
    made.own(failed())
    made.own(failed())
    assert why(evidence(made)).answer == (
        "stuck: AgentFailed (ConnectionError: 503), and no transition takes AgentFailed from `ask`;"
        " not tried again: Retry on ask.retry refused attempt 3 of 2"
    )


def test_a_deadline_that_stopped_a_run_is_told_in_time_and_with_its_place() -> None:
    made = begun(Picky, Brief())
    made.now_ms += 123_000
    made.own(failed())
    answer = why(evidence(made, code=Picky.spec))
    place = next(str(line.place) for line in Picky.spec.transitions if line.name == "wait")
    assert answer.answer == (
        f"halted, stopped: Deadline on `wait` ({place}) refused 2 min 3 s of 2 ms, and `wait` declares no otherwise"
    )
    assert answer.moves[0].text.startswith(f"raise Deadline(0.002) on `wait` ({place}), or give it an otherwise")


REFUSED = CallRefused(call="tool", code="strikes", numbers={"strikes": 1, "strikes_max": 1}, attempt=1)


def test_a_refused_call_says_how_often_it_failed_and_which_guard_counts() -> None:
    made = begun(Picky, Brief())
    made.own(REFUSED)
    assert words(made.records[1]) == "call tool: 1 failure in a row, limit 1 (strikes)"
    answer = why(evidence(made, code=Picky.spec))
    place = str(Picky.spec.everywhere[0].place)
    assert f"Strikes on `limits` ({place}) refuses calls of `tool` after 1 failure in a row" in answer.notes


@pytest.mark.parametrize("machine", [Hasty, Trying])
def test_a_refused_call_that_escalated_is_still_known(machine: type[Machine]) -> None:
    made = begun(machine, Brief())
    made.own(REFUSED)
    assert made.records[1].event == "AgentFailed"
    notes = why(evidence(made)).notes
    assert any("refuses calls of `tool`" in note for note in notes) is (machine is Trying)


def test_a_record_of_another_machine_is_told_without_its_guards() -> None:
    struck = tried().records[2]
    assert [one.guard for one in given(Small.spec, struck)] == [None] * len(struck.rulings)
