"""`fsm diff`, as a user runs it."""

import json

from tests.cli.conftest import Fsm


def test_two_runs_stand_side_by_side(fsm: Fsm, two_runs: str):
    told = fsm("diff", "first", "fast")
    assert told.exit_code == 0
    lines = told.output.splitlines()
    assert lines[:2] == ["A  first-1 of Door: completed in inside", "B  fast-1 of Door: waiting in hall"]
    assert "the same until record 1; then, in hall:" in lines
    assert "  B  no record more: waiting in hall" in lines
    assert any(line.startswith("=    1  seen → hall") and line.endswith("1  seen → hall") for line in lines)
    assert any(line.startswith("≠    2  enter → inside") for line in lines)
    assert any(line.split() == ["hops", "2", "1"] for line in lines)


def test_a_fork_is_said_to_be_counted_without_what_it_has_from_its_parent(fsm: Fsm, two_runs: str):
    assert fsm("fork", "first", "--at", "1", "--as", "on", "-m", "door.py:Door").exit_code == 3
    lines = [line.split() for line in fsm("diff", "first", "on").output.splitlines()]
    at = lines.index(["of", "its", "own", "A", "B"])
    assert lines[at + 1 : at + 3] == [["records", "3", "1"], ["hops", "2", "0"]]
    assert "of its own" not in fsm("diff", "first", "fast").output


def test_a_run_is_no_different_from_itself(fsm: Fsm, two_runs: str):
    told = fsm("diff", "first", "first", two_runs).output
    assert "the same way to the end, 3 records, with the same payloads" in told
    assert "⋮" not in told and "=    1  seen → hall" in fsm("diff", "first", "first", "--all").output


def test_the_data_says_where_they_part(fsm: Fsm, two_runs: str):
    told = json.loads(fsm("diff", "first", "fast", "--json").output)
    assert (told["parting"]["a"], told["parting"]["b"], told["agreed"]) == (2, None, 2)
    assert [(row["a"], row["b"], row["same"]) for row in told["rows"]][-1] == (2, None, False)


def test_a_run_that_is_not_there_and_a_journal_named_twice(fsm: Fsm, two_runs: str):
    assert fsm("diff", "first", "nobody").exit_code == 1
    assert "name the journal once" in fsm("diff", "first", "fast", two_runs, "--db", two_runs).stderr
