"""A recorded run as a fold of its records."""

from attrs import evolve

from fsm import AgentFailed, Cancelled, Spent
from fsm.core.record import Record
from fsm.core.snapshot import fold
from fsm.show.overlay import Overlay, Tally, overlay
from tests.core.trip import Trip, begun
from tests.show.small import Brief, Chain, Draft, Small, Verdict, helped, kept_out, stopped


def over(trip: Trip) -> Overlay:
    return overlay(Small.spec, trip.records)


def failed() -> AgentFailed:
    return AgentFailed(error_type="ValueError", message="no", attempt=1)


def test_a_run_is_counted() -> None:
    run = over(helped())
    assert {name: tally.visits for name, tally in run.states.items()} == {
        "write": 3,
        "check": 3,
        "person": 1,
        "done": 1,
    }
    assert run.taken == {
        ("(start)", "start"): 1,
        ("write", "submit"): 3,
        ("check", "again"): 2,
        ("check", "again.otherwise.loop_cap"): 1,
        ("person", "accept"): 1,
    }
    assert run.refusals == {"again": {"loop_cap": 1}, "accept": {"no": 1}}
    assert run.unhandled == {("person", "Draft"): 1}
    assert (run.state, run.outcome, run.hops, run.records) == ("done", "completed", 7, 10)
    assert run.spent == Spent(330, 15)
    assert run.states["check"] == Tally(3, Spent(30, 15), 3)
    assert (run.halts, run.by, run.elsewhere) == ({}, None, {})


def test_the_first_records_give_the_picture_at_that_moment() -> None:
    trip = helped()
    for length in range(1, len(trip.records) + 1):
        records = trip.records[:length]
        run, snapshot = overlay(Small.spec, records), fold(Small.spec, records)
        assert (run.state, run.outcome, run.spent) == (snapshot.state, snapshot.outcome, snapshot.spent)
        assert run.hops == snapshot.counters.get("hops", 0)
        for state in Small.spec.states:
            assert run.visits(state.name) == snapshot.counters.get(f"visits:{state.name}", 0)
        for hop in Small.spec.hops:
            assert run.times(hop) == snapshot.counters.get(f"fires:{hop}", 0)


def test_nothing_recorded_is_nothing_seen() -> None:
    assert overlay(Small.spec, []) == Overlay()


def test_a_halt_names_the_refusal_that_no_otherwise_answered() -> None:
    run = over(stopped())
    assert (run.state, run.outcome, run.halts) == ("write", "stopped", {"limits": 1})
    assert run.by is not None and (run.by.guard, run.by.verdict.numbers["tokens"]) == ("TokenBudget", 2_000)


def test_a_refusal_that_led_on_is_no_halt() -> None:
    run = over(kept_out())
    assert (run.state, run.refusals, run.halts, run.by) == ("lost", {"check": {"no": 1}}, {}, None)
    assert run.times("check.otherwise", "write") == 1


def test_a_halt_at_the_end_of_a_chain_is_by_its_last_refusal() -> None:
    """The line's refusal leads to a state whose own guard, without `otherwise`, refuses in turn."""
    trip = begun(Chain, Brief())
    trip.own(Draft(says={"line": "refuse", "door": "never"}))
    run = overlay(Chain.spec, trip.records)
    assert run.outcome == "stopped" and run.by is not None
    assert (run.by.at, run.by.verdict.code, run.halts) == ("ask", "never", {"ask": 1})
    assert run.refusals == {"go": {"no": 1}, "ask": {"never": 1}}


def test_a_start_that_is_refused_halts_before_any_state() -> None:
    trip = begun(Chain, Brief(says={"start": "refuse"}))
    run = overlay(Chain.spec, trip.records)
    assert (run.state, run.outcome, run.halts, run.states) == ("(start)", "stopped", {"work": 1}, {})


def test_stuck_and_cancelled_runs_keep_their_state() -> None:
    trip = begun(Small, Brief())
    trip.own(Verdict())
    assert (over(trip).state, over(trip).outcome, over(trip).event, over(trip).by) == (
        "write",
        "stuck",
        "Verdict",
        None,
    )
    trip = begun(Small, Brief())
    trip.sent(Cancelled())
    assert (over(trip).state, over(trip).outcome) == ("write", "cancelled")


def test_sources_of_a_shared_line_are_told_apart() -> None:
    trip = begun(Small, Brief())
    trip.own(Draft())
    trip.own(failed())
    assert (over(trip).times("broken", "check"), over(trip).times("broken", "write")) == (1, 0)


def test_hops_of_a_former_machine_are_kept_apart() -> None:
    trip = helped()
    records: list[Record] = [evolve(record, hop="gone") if record.hop == "good" else record for record in trip.records]
    records[1] = evolve(records[1], hop="sent")
    assert overlay(Small.spec, records).elsewhere == {"sent": 1}


def test_a_fork_begins_where_it_was_forked() -> None:
    """Its first record enters a state by no hop of its own."""
    start = begun(Small, Brief()).records[0]
    run = overlay(Small.spec, [evolve(start, kind="forked", hop="", state="check")])
    assert (run.state, run.visits("check"), run.hops) == ("check", 1, 0)
