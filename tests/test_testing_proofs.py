"""What users say of their machines in their CI: that runs end, and that promises are kept."""

import pytest

from fsm import check
from fsm.testing import assert_ends, assert_keeps_promises
from machines import ReviewLoop
from tests.verify.known.approvals import FourEyes, Refine
from tests.verify.known.plans import Saga, TwoCaps
from tests.verify.known.retries import Backoff


def test_runs_that_end_within_a_worst_case():
    report = assert_ends(Backoff, hops=7, tokens=4_000)
    assert report.termination.kind == "ends"
    assert_ends(ReviewLoop, hops=13, approvals=1)
    assert_ends(FourEyes, waits=("first", "second"))


def test_a_loop_without_end_is_named():
    with pytest.raises(AssertionError, match="a run may go on for ever in `inner` and `outer`"):
        assert_ends(TwoCaps)


def test_a_wait_that_was_not_named_is_no_end():
    with pytest.raises(AssertionError, match="every run ends, or waits at `person`") as caught:
        assert_ends(Saga)
    assert "a run may wait here for ever: it has no timeout\n" in str(caught.value)
    assert str(caught.value).endswith("wanted: waits=['person'], or that no run waits for ever")
    with pytest.raises(TypeError, match="there is no state 'persno'"):
        assert_ends(Saga, waits=["persno"])


def test_a_failed_assertion_says_all_that_the_command_does():
    with pytest.raises(AssertionError) as caught:
        assert_ends(TwoCaps)
    assert "and then over and over:" in str(caught.value) and "begins to count again" in str(caught.value)
    assert check(TwoCaps).headline == check(TwoCaps.spec).headline


def test_a_worst_case_that_is_worse_or_unknown():
    with pytest.raises(AssertionError, match="wanted: at most 12 hops"):
        assert_ends(ReviewLoop, hops=12)
    with pytest.raises(AssertionError, match="wanted: at most 1,000 tokens"):
        assert_ends(ReviewLoop, tokens=1_000)
    with pytest.raises(TypeError, match="the costs are hops, tokens, usd_micros, approvals, ms"):
        assert_ends(ReviewLoop, steps=12)


def test_promises_that_are_kept_are_counted():
    assert assert_keeps_promises(Backoff) == 1
    assert assert_keeps_promises(ReviewLoop) == 0


def test_a_broken_promise_shows_the_shortest_run():
    with pytest.raises(AssertionError) as caught:
        assert_keeps_promises(Refine)
    assert str(caught.value) == (
        "judged = never(published, before=judge) is broken: published happens without judge before it\n"
        "  -> let accept lead elsewhere, or through judge\n"
        "  1. Job: (start) -> write by start\n"
        "  2. AgentFailed: write -> person by broken\n"
        "  3. Yes: person -> published by accept"
    )
