"""The circuit breaker: its whole table, and any course of events against a model of forty lines."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fsm import MachineSpec, check
from fsm.core.breaker import MOVES, REFUSALS, SPEC, again, ask, forced, generation_of, heard, seen
from fsm.core.breaking import BUCKETS_MAX, STATES, UNREADABLE, BreakerRow, BreakerState, Breaking
from fsm.core.conclude import decide
from fsm.core.engine import Engine
from fsm.core.plan import Event
from fsm.core.snapshot import Snapshot
from fsm.define.guard import Verdict
from fsm.define.payload import Payload
from fsm.show.diagram import diagram
from fsm.show.mermaid import mermaid

NOW = 1_700_000_000_000
LEASE = 5_000
THREE = Breaking(name="model", failures_max=3, cooldown_ms=1_000, cooldown_max_ms=5_000)
HALF = Breaking(name="model", failures_max=None, rate_pct=50, window_ms=1_000, volume_min=4)
OUTCOMES = ("success", "failure", "neutral")
ACTS = ("open", "close", "observe", "disable", "reset")

ROWS: dict[BreakerState, BreakerRow] = {
    "closed": BreakerRow(generation=7, failures=2),
    "open": BreakerRow(state="open", generation=7, failures=3, trips=1, retry_at_ms=NOW + 900),
    "half_open": BreakerRow(state="half_open", generation=7, failures=3, trips=1, until_ms=NOW + LEASE),
    "forced_open": BreakerRow(state="forced_open", generation=7),
    "disabled": BreakerRow(state="disabled", generation=7),
    "observing": BreakerRow(state="observing", generation=7, failures=2),
    "unreadable": UNREADABLE,
}
"""A breaker in each state at NOW; one that counts is a failure from its limit."""

ASKED_AT = {"now": NOW, "at retry_at": NOW + 900, "before until": NOW + LEASE - 1, "at until": NOW + LEASE}
ANSWERS = {
    "closed": ("allow", "allow", "allow", "allow"),
    "open": ("refuse open", "allow probe", "allow probe", "allow probe"),
    "half_open": ("refuse half_open", "refuse half_open", "refuse half_open", "refuse open"),
    "forced_open": ("refuse forced_open",) * 4,
    "disabled": ("allow", "allow", "allow", "allow"),
    "observing": ("allow", "allow", "allow", "allow"),
    "unreadable": ("refuse unreadable",) * 4,
}

HEARD: dict[tuple[str, str], BreakerState] = {
    **{(state, outcome): state for state in STATES for outcome in OUTCOMES},
    ("closed", "failure"): "open",
    ("half_open", "success"): "closed",
    ("half_open", "failure"): "open",
    ("half_open", "neutral"): "open",
}
FORCED: dict[str, BreakerState] = {
    "open": "forced_open",
    "close": "closed",
    "observe": "observing",
    "disable": "disabled",
    "reset": "closed",
}


def word(verdict: Verdict) -> str:
    return f"{verdict.decision} {verdict.code}".strip()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("when", ASKED_AT)
def test_what_is_said_in_every_state(state: BreakerState, when: str):
    row, at_ms = ROWS[state], ASKED_AT[when]
    verdict, after = ask(row, THREE, at_ms, LEASE)
    assert word(verdict) == ANSWERS[state][list(ASKED_AT).index(when)]
    assert again(verdict.numbers, THREE, at_ms) == verdict
    if verdict.code == "probe":
        assert (after.state, after.until_ms, after.retry_at_ms) == ("half_open", at_ms + LEASE, 0)
        assert after.generation == generation_of(verdict) == row.generation + 1
    else:
        assert after is row, "there is nothing to store"
        assert generation_of(verdict) == seen(row, THREE, at_ms).generation


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_what_is_heard_in_every_state(state: BreakerState, outcome: Any):
    row = ROWS[state]
    after = heard(row, THREE, outcome, row.generation, NOW)
    assert after.state == HEARD[state, outcome]
    assert after.generation == row.generation + (after.state != state)
    counts = state in ("closed", "observing") and outcome != "neutral"
    assert (after is row) == (after.state == state and not counts), "what changes nothing is not stored"
    for other in (row.generation - 1, row.generation + 1):
        assert heard(row, THREE, outcome, other, NOW) is row, "late, or never allowed"


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_result_at_the_end_of_the_lease_is_late(outcome: Any):
    row = ROWS["half_open"]
    assert heard(row, THREE, outcome, row.generation, row.until_ms - 1) != row
    assert heard(row, THREE, outcome, row.generation, row.until_ms) is row


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("act", ACTS)
def test_what_is_forced_in_every_state(state: BreakerState, act: Any):
    row = ROWS[state]
    after = forced(row, THREE, act, NOW)
    generation = NOW + 1 if state == "unreadable" else row.generation + 1
    trips = row.trips if act == "close" else 0
    assert after == BreakerRow(state=FORCED[act], generation=generation, trips=trips)


# --- the same breaker as a machine ------------------------------------------------------------------


def told(outcome: Any, generations_ago: int = 0, failures: int = 0) -> Callable[[BreakerRow], BreakerRow]:
    def brought(row: BreakerRow) -> BreakerRow:
        counted = evolve(row, failures=failures) if row.state in ("closed", "observing") else row
        return heard(counted, THREE, outcome, row.generation - generations_ago, NOW)

    return brought


def limit_reached(row: BreakerRow) -> BreakerRow:
    """By a result that is no probe's: in `half_open` those are late."""
    return told("failure", generations_ago=row.state == "half_open", failures=2)(row)


def acted(act: Any) -> Callable[[BreakerRow], BreakerRow]:
    return lambda row: forced(row, THREE, act, NOW)


BROUGHT: dict[str, Callable[[BreakerRow], BreakerRow]] = {
    "LimitReached": limit_reached,
    "AskedAfterCooldown": lambda row: ask(row, THREE, NOW + 900, LEASE)[1],
    "ProbeSucceeded": told("success"),
    "ProbeFailed": told("failure"),
    "ProbeExpired": lambda row: seen(row, THREE, NOW + LEASE),
    "ProbeSaidNothing": told("neutral"),
    "FoundUnreadable": lambda row: BreakerRow.from_json(row.to_json()[1:]),
    **{event: acted(event.lower()) for event in ("Open", "Close", "Observe", "Disable", "Reset")},
}
"""Every event of the machine, as what is said to the pure functions."""


@pytest.mark.parametrize("event", BROUGHT)
@pytest.mark.parametrize("state", STATES)
def test_the_machine_and_the_functions_agree_in_every_cell(state: BreakerState, event: str):
    payload = Payload(event, None, b"{}", hashlib.sha256(b"{}").digest())
    snapshot = Snapshot(state=state, seq=0, entered=0, outcome="waiting")
    record = decide(Engine(SPEC), snapshot, Event(payload=payload, at_ms=NOW, own=False, event_id="e")).record
    assert record is not None and record.kind in ("taken", "unhandled")
    row, after = ROWS[state], BROUGHT[event](ROWS[state])
    assert after.state == record.state
    moved = record.kind == "taken"
    assert (after.generation != row.generation) == moved or event == "FoundUnreadable", "a move begins a generation"


def test_the_table_has_every_cell():
    assert set(BROUGHT) == {shape.name for shape in SPEC.payloads} == {move.event for move in MOVES.values()}
    assert set(ROWS) == set(ANSWERS) == {state.name for state in SPEC.states} == set(STATES)
    assert all(row.state == state for state, row in ROWS.items())


def test_the_machine_is_checked():
    report = check(SPEC)
    assert {finding.code for finding in report.errors} == {"endless", "no-end"}, "a breaker has no end"
    assert report.warnings == ()
    assert [promised.answer for promised in report.promises] == ["kept"] * 3


def test_the_machine_is_drawn_and_travels_as_json():
    drawn = mermaid(diagram(SPEC))
    assert all(name in drawn for name in (*STATES, *MOVES))
    assert MachineSpec.from_json(SPEC.to_json()) == SPEC


# --- what opens it, and for how long ----------------------------------------------------------------


def after_results(breaking: Breaking, *results: tuple[int, str], row: BreakerRow | None = None) -> BreakerRow:
    row = row or BreakerRow()
    for at_ms, outcome in results:
        row = heard(row, breaking, outcome, row.generation, at_ms)  # type: ignore[arg-type]
    return row


def test_failures_in_a_row_open_it_and_a_success_between_does_not():
    failed, good = (NOW, "failure"), (NOW, "success")
    assert after_results(THREE, failed, failed, good, failed, failed).state == "closed"
    row = after_results(THREE, failed, failed, good, failed, failed, (NOW, "neutral"), failed)
    assert row == BreakerRow(state="open", generation=1, failures=3, trips=1, retry_at_ms=row.retry_at_ms)
    verdict, _ = ask(row, THREE, NOW, LEASE)
    assert verdict.numbers["retry_at_ms"] == row.retry_at_ms
    assert (verdict.numbers["failures"], verdict.numbers["failures_max"]) == (3, 3)


def test_a_success_of_a_breaker_at_rest_is_nothing_to_store():
    row = BreakerRow(generation=2)
    assert heard(row, THREE, "success", 2, NOW) is row
    assert ask(row, THREE, NOW, LEASE)[0].numbers == {"generation": 2}


def test_a_rate_opens_it_once_there_are_enough_results():
    assert after_results(HALF, *[(NOW, "failure")] * 3).state == "closed"
    row = after_results(HALF, *[(NOW, "failure")] * 3, (NOW, "success"))
    assert row.state == "open", "the fourth result makes three of four"
    numbers = ask(row, HALF, NOW, LEASE)[0].numbers
    assert (numbers["window_results"], numbers["window_failures"]) == (4, 3)
    assert (numbers["rate_pct"], numbers["volume_min"]) == (50, 4)
    assert after_results(HALF, *[(NOW, "success"), (NOW, "failure")] * 2).state == "open", "half of them is enough"
    assert after_results(HALF, (NOW, "success"), *[(NOW, "success"), (NOW, "failure")] * 9).state == "closed"


def test_results_leave_the_window():
    early = [(NOW, "failure")] * 3
    assert after_results(HALF, *early, (NOW + 899, "failure")).state == "open"
    assert after_results(HALF, *early, (NOW + 1_000, "failure")).state == "closed"


def test_observing_says_what_would_be_and_lets_through():
    row = after_results(THREE, *[(NOW, "failure")] * 3, row=ROWS["observing"])
    verdict, after = ask(row, THREE, NOW, LEASE)
    assert (word(verdict), after) == ("allow would_refuse", row)
    assert (verdict.numbers["failures"], verdict.numbers["failures_max"]) == (5, 3)
    assert word(ask(heard(row, THREE, "success", 7, NOW), THREE, NOW, LEASE)[0]) == "allow"
    rated = after_results(HALF, *[(NOW, "failure")] * 4, row=ROWS["observing"])
    verdict, _ = ask(rated, HALF, NOW + 899, LEASE)
    assert word(verdict) == "allow would_refuse"
    assert again(verdict.numbers, HALF, NOW + 899) == verdict
    assert word(ask(rated, HALF, NOW + 1_000, LEASE)[0]) == "allow", "the window went on"


@pytest.mark.parametrize("relapse", [True, False], ids=["failed", "silent"])
def test_the_cooldown_doubles_up_to_its_limit_and_begins_anew_after_a_success(relapse: bool):
    row, at_ms, waits = after_results(THREE, *[(NOW, "failure")] * 3), NOW, []
    for _ in range(6):
        waits.append(row.retry_at_ms - at_ms)
        _, row = ask(row, THREE, row.retry_at_ms, LEASE)
        at_ms = row.until_ms - relapse
        row = heard(row, THREE, "failure", row.generation, at_ms) if relapse else seen(row, THREE, at_ms + 77)
    for wait, most in zip(waits, [1_000, 2_000, 4_000, 5_000, 5_000, 5_000], strict=True):
        assert most // 2 <= wait <= most
    assert (row.trips, row.failures) == (7, 9)
    _, probe = ask(row, THREE, row.retry_at_ms, LEASE)
    row = heard(probe, THREE, "success", probe.generation, row.retry_at_ms)
    assert row == BreakerRow(generation=probe.generation + 1)


def test_a_closing_person_is_believed_and_no_proof():
    row = forced(evolve(ROWS["open"], trips=5), THREE, "close", NOW)
    assert after_results(THREE, *[(NOW, "failure")] * 3, row=row).trips == 6
    assert after_results(THREE, (NOW, "success"), *[(NOW, "failure")] * 3, row=row).trips == 1


def test_a_probe_that_a_person_did_not_wait_for_has_failed_all_the_same():
    row = ROWS["half_open"]
    assert forced(row, THREE, "close", row.until_ms - 1).trips == 1
    assert forced(row, THREE, "close", row.until_ms).trips == 2


def test_no_number_of_trips_is_too_many():
    row = heard(evolve(ROWS["half_open"], trips=10**15), THREE, "failure", 7, NOW)
    assert 2_500 <= row.retry_at_ms - NOW <= 5_000


def test_the_cooldown_is_spread_by_name_and_generation():
    names = [evolve(THREE, name=f"model-{number}") for number in range(50)]
    moments = {after_results(breaking, *[(NOW, "failure")] * 3).retry_at_ms for breaking in names}
    generations = {
        after_results(THREE, *[(NOW, "failure")] * 3, row=BreakerRow(generation=number)).retry_at_ms
        for number in range(50)
    }
    assert len(moments) > 30 and len(generations) > 30
    pinned = after_results(THREE, *[(NOW, "failure")] * 3).retry_at_ms - NOW
    assert pinned == 671, "the same on any machine, in any year"


def test_a_clock_that_differs_a_little_loses_no_result():
    row = after_results(HALF, (NOW, "failure"), (NOW - 500, "failure"), (NOW - 900, "failure"))
    assert row.window == ((NOW, 3, 3),)
    row = after_results(HALF, (NOW - 1_000, "failure"), row=row)
    assert row.window == ((NOW - 1_000, 1, 1),), "set back by the window, it counts anew"


def test_guards_that_differ_in_their_window_make_no_more_buckets():
    short = evolve(HALF, window_ms=100, volume_min=100)
    row = after_results(short, *[(NOW + 10 * number, "success") for number in range(10)])
    assert [start for start, _, _ in row.window] == [NOW + 10 * number for number in range(10)]
    row = after_results(evolve(short, window_ms=1_000), (NOW + 100, "success"), row=row)
    assert len(row.window) == BUCKETS_MAX and row.window[-1] == (NOW + 100, 1, 0)


# --- what is stored ---------------------------------------------------------------------------------

NUMBERS = st.integers(0, 2**62)
WINDOWS = st.lists(
    st.tuples(st.integers(0, 3_000), st.integers(1, 9), st.integers(0, 9)),
    max_size=BUCKETS_MAX,
    unique_by=lambda b: b[0],
).map(lambda buckets: tuple((start, results, min(results, failed)) for start, results, failed in sorted(buckets)))
ANY_ROW = st.builds(
    BreakerRow,
    state=st.sampled_from(STATES),
    generation=st.integers(0, 9),
    failures=st.integers(0, 4),
    trips=st.integers(0, 50),
    retry_at_ms=st.integers(0, 3_000),
    until_ms=st.integers(0, 3_000),
    window=WINDOWS,
)
BREAKINGS = st.builds(
    Breaking,
    name=st.sampled_from(["model", "search"]),
    failures_max=st.none() | st.integers(1, 3),
    rate_pct=st.none() | st.integers(1, 100),
    window_ms=st.integers(BUCKETS_MAX, 2_000),
    volume_min=st.integers(1, 5),
    cooldown_ms=st.integers(1, 500),
    cooldown_max_ms=st.integers(500, 2_000),
)
MOMENTS = st.integers(0, 4_000)


@given(row=ANY_ROW)
def test_a_row_is_stored_and_read(row: BreakerRow):
    assert BreakerRow.from_json(row.to_json()) == BreakerRow.from_json(row.to_json().encode()) == row


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "null", "[]", "{}", "{", b"\xff", "\ud800", '{"state":"ajar"}', '{"state":"open","since":1}'),
        *('{"state":"open","trips":true}', '{"state":"open","trips":1.0}', '{"state":"open","trips":-1}'),
        *('{"state":"open","trips":"1"}', f'{{"state":"open","trips":{1 << 63}}}', "[" * 100_000),
        json.dumps({"state": "closed", "window": [[1, 1]]}),
        json.dumps({"state": "closed", "window": [[number, 1, 1] for number in range(BUCKETS_MAX + 1)]}),
    ],
    ids=lambda text: repr(text)[:40],
)
def test_what_is_no_row_refuses_everybody_until_a_person_acts(text: str | bytes | None):
    row = BreakerRow.from_json(text)
    verdict, after = ask(row, THREE, NOW, LEASE)
    assert (word(verdict), after) == ("refuse unreadable", row) and row.state == "unreadable"
    assert heard(row, THREE, "success", row.generation, NOW) is row
    assert word(ask(forced(row, THREE, "reset", NOW), THREE, NOW, LEASE)[0]) == "allow"


@given(text=st.text() | st.binary())
def test_reading_a_row_never_raises(text: str | bytes):
    assert BreakerRow.from_json(text).state in STATES


def test_a_state_of_a_later_version_is_unreadable():
    assert word(again({"state": len(STATES)}, THREE, NOW)) == "refuse unreadable"


@given(row=ANY_ROW, breaking=BREAKINGS, at_ms=MOMENTS, lease_ms=st.integers(1, 3_000))
def test_a_verdict_is_given_again_from_its_numbers(row: BreakerRow, breaking: Breaking, at_ms: int, lease_ms: int):
    verdict, _ = ask(row, breaking, at_ms, lease_ms)
    assert all(type(number) is int for number in verdict.numbers.values())
    recorded = json.loads(json.dumps(dict(verdict.numbers)))
    assert again(recorded, breaking, at_ms) == verdict
    assert verdict.code in {"", "probe", "would_refuse", *REFUSALS}
    assert (verdict.decision == "refuse") == (verdict.code in REFUSALS)


@given(
    row=ANY_ROW,
    breaking=BREAKINGS,
    looked=MOMENTS,
    at_ms=MOMENTS,
    generation=st.integers(0, 9),
    outcome=st.sampled_from(OUTCOMES),
    act=st.sampled_from(ACTS),
)
def test_it_does_not_matter_who_looks_first(
    row: BreakerRow, breaking: Breaking, looked: int, at_ms: int, generation: int, outcome: Any, act: Any
):
    """A look that is stored, and one that is not, lead to the same."""
    at_ms = max(looked, at_ms)
    stored = seen(row, breaking, looked)
    assert seen(stored, breaking, at_ms) == seen(row, breaking, at_ms)
    assert seen(stored, breaking, looked) == stored
    assert ask(stored, breaking, at_ms, 1)[0] == ask(row, breaking, at_ms, 1)[0]
    assert forced(stored, breaking, act, at_ms) == forced(row, breaking, act, at_ms)
    first, second = (heard(one, breaking, outcome, generation, at_ms) for one in (stored, row))
    assert seen(first, breaking, at_ms) == seen(second, breaking, at_ms)


@given(
    breaking=BREAKINGS.map(lambda breaking: evolve(breaking, failures_max=None, rate_pct=100, volume_min=10**6)),
    gaps=st.lists(st.integers(0, 300), max_size=60),
)
def test_the_window_holds_nine_to_ten_tenths(breaking: Breaking, gaps: list[int]):
    row, at_ms, moments = BreakerRow(), 0, []
    for gap in gaps:
        at_ms += gap
        moments.append(at_ms)
        row = heard(row, breaking, "failure", 0, at_ms)
        width = breaking.window_ms // BUCKETS_MAX
        surely = sum(at_ms - moment <= 9 * width for moment in moments)
        perhaps = sum(at_ms - moment < 10 * width for moment in moments)
        assert surely <= row.volume[0] <= perhaps
        assert len(row.window) <= BUCKETS_MAX and len(row.to_json()) < 600


WRONG = [
    {"name": ""},
    {"name": 3},
    {"name": "\ud800"},
    {"failures_max": None},
    {"failures_max": 0},
    {"failures_max": True},
    {"rate_pct": 101},
    {"rate_pct": 0.5},
    {"window_ms": 9},
    {"volume_min": None},
    {"cooldown_ms": 0},
    {"cooldown_ms": "1"},
    {"cooldown_max_ms": 29_999},
    {"cooldown_max_ms": 10**13},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_is_wrong_with_its_parameters_is_said(wrong: dict[str, Any]):
    mistake = Breaking(**{"name": "model", **wrong}).mistake()
    assert mistake is not None and mistake[0].startswith("Breaker(") and mistake[1]


@given(breaking=BREAKINGS)
def test_other_parameters_are_right(breaking: Breaking):
    assert (breaking.mistake() is None) == (breaking.failures_max is not None or breaking.rate_pct is not None)


# --- any course of events ---------------------------------------------------------------------------


class Model:
    """The breaker once more: a list of results instead of counts, and of a cool-down its bounds only."""

    def __init__(self, breaking: Breaking):
        self.by, self.state, self.results = breaking, "closed", list[tuple[int, bool]]()
        self.generation = self.trips = self.until = self.soonest = self.latest = 0

    def become(self, state: str, trips: int = 0, *, until: int = 0, soonest: int = 0, latest: int = 0):
        self.state, self.trips, self.until, self.soonest, self.latest = state, trips, until, soonest, latest
        self.generation += 1
        self.results = [] if state in FORCED.values() else self.results

    def open(self, at: int):
        longest = min(self.by.cooldown_max_ms, self.by.cooldown_ms * 2**self.trips)
        self.become("open", self.trips + 1, soonest=at + longest // 2, latest=at + longest)

    def look(self, at: int):
        if self.state == "half_open" and at >= self.until:
            self.open(self.until)

    def limit(self, at: int) -> bool:
        width = self.by.window_ms // 10
        recent = [good for moment, good in self.results if moment // width > at // width - 10]
        often = recent.count(False) * 100 >= (self.by.rate_pct or 10**9) * len(recent) >= 1
        last = [good for _, good in self.results][-(self.by.failures_max or 10**9) :]
        return (often and len(recent) >= self.by.volume_min) or (len(last) == self.by.failures_max and not any(last))

    def hear(self, outcome: str, at: int):
        if self.state == "half_open" and outcome == "neutral":
            self.become("open", self.trips, soonest=at, latest=at)
        elif self.state == "half_open":
            self.become("closed") if outcome == "success" else self.open(at)
        elif self.state in ("closed", "observing") and outcome != "neutral":
            self.results.append((at, outcome == "success"))
            self.trips *= outcome == "failure"
            if self.state == "closed" and self.limit(at):
                self.open(at)


class Course(RuleBasedStateMachine):
    """Many who ask, report late and twice, die as probes, and people who act, on one row; time goes on."""

    @initialize(breaking=BREAKINGS)
    def begin(self, breaking: Breaking):
        self.breaking, self.row, self.model = breaking, BreakerRow(), Model(breaking)
        self.at_ms, self.granted = 0, [0]

    @rule(gap=st.integers(0, 30) | st.integers(0, 2_500))
    def time_goes_on(self, gap: int):
        self.at_ms += gap

    @rule(early=st.booleans())
    def the_next_moment_that_matters(self, early: bool):
        self.at_ms = max(self.at_ms, self.row.retry_at_ms - early, self.row.until_ms - early)

    @rule(makes_the_move=st.lists(st.booleans(), min_size=1, max_size=5), lease_ms=st.integers(1, 600))
    def several_ask_at_once(self, makes_the_move: list[bool], lease_ms: int):
        for makes in makes_the_move:
            verdict, after = ask(self.row, self.breaking, self.at_ms, lease_ms)
            assert again(verdict.numbers, self.breaking, self.at_ms) == verdict
            assert word(verdict) == self.expected()
            if verdict.decision == "allow" and makes:
                self.row = after
                if verdict.code == "probe":
                    self.model.become("half_open", self.model.trips, until=self.at_ms + lease_ms)
                self.granted.append(generation_of(verdict))
                assert self.granted[-1] == self.model.generation

    def expected(self) -> str:
        model = self.model
        model.look(self.at_ms)
        if model.state == "open" and self.at_ms >= seen(self.row, self.breaking, self.at_ms).retry_at_ms:
            return "allow probe"
        if model.state == "observing" and model.limit(self.at_ms):
            return "allow would_refuse"
        return "allow" if model.state in ("closed", "observing", "disabled") else f"refuse {model.state}"

    @rule(which=st.integers(0, 3), outcome=st.sampled_from(OUTCOMES))
    def one_reports(self, which: int, outcome: Any):
        """One of the last who were allowed; some for the second time, some long after."""
        generation = self.granted[-1 - which % len(self.granted)]
        self.row = heard(self.row, self.breaking, outcome, generation, self.at_ms)
        self.model.look(self.at_ms)
        if generation == self.model.generation:
            self.model.hear(outcome, self.at_ms)

    @rule(act=st.sampled_from([None, None, *ACTS]))
    def a_person_acts(self, act: Any):
        if act is not None:
            self.row = forced(self.row, self.breaking, act, self.at_ms)
            self.model.look(self.at_ms)
            self.model.become(FORCED[act], self.model.trips if act == "close" else 0)

    @rule()
    def somebody_looks(self):
        self.row = seen(self.row, self.breaking, self.at_ms)

    @invariant()
    def they_agree(self):
        self.row = BreakerRow.from_json(self.row.to_json())
        row, model = seen(self.row, self.breaking, self.at_ms), self.model
        model.look(self.at_ms)
        assert (row.state, row.generation, row.trips) == (model.state, model.generation, model.trips)
        assert row.until_ms == model.until and model.soonest <= row.retry_at_ms <= model.latest


TestCourse = Course.TestCase
TestCourse.settings = settings(max_examples=200, stateful_step_count=40)
