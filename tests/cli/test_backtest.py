"""`fsm backtest`: guards are read and never evaluated, and figures are told with what they are worth."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Fsm

FAILED = "\n".join(
    json.dumps({"run": "7", "agent": agent, "content": text, "error": error, "outcome": "failed"})
    for agent, text, error in [("lead", "Which year?", None), *[("search", "", "503"), ("lead", "Again.", None)] * 3]
)
GOOD = FAILED.replace('"7"', '"8"').replace("failed", "completed")


@pytest.fixture
def traces(folder: Path) -> str:
    (folder / "traces.jsonl").write_text(f"{FAILED}\n{GOOD}\n")
    return "traces.jsonl"


def test_a_table_tells_what_each_guard_saves_and_kills(fsm: Fsm, traces: str) -> None:
    told = fsm("backtest", traces, "-g", "LoopCap(1)", "-g", "Repeat(4)", "-e", 'Strikes("search", 2)').output
    assert "2 runs: 1 good, 1 failed; 14 messages" in told
    rows = [line.split("  ")[0] for line in told.splitlines()]
    assert rows[4:11] == [
        "on each transition",
        "LoopCap(1)",
        "Repeat(4)",
        "everywhere",
        'Strikes("search", 2)',
        "",
        "all of them",
    ]
    assert re.search(r"LoopCap\(1\) +1 of 1 +3 +43% +41% +1 of 1 \(21-100 %\)", told)
    assert re.search(r"Repeat\(4\) +0 of 1 +0 of 1 \(0-79 %\)", told)
    assert "the mistake" not in told


def test_it_ends_with_what_to_write_of_guards_that_killed_no_good_run(fsm: Fsm, traces: str, folder: Path) -> None:
    told = fsm("backtest", traces, "-g", "LoopCap(1)").output
    assert told.endswith("No guard here stopped a run without killing a good one\n  -> try other limits\n")
    (folder / "failed.jsonl").write_text(FAILED)
    told = fsm(
        "backtest", "failed.jsonl", "-g", "LoopCap(1)", "-g", "NoProgress(1, of=news)", "-e", "LoopCap(3)"
    ).output
    assert "No run is known to be good: how many good runs these guards would kill cannot be learnt here." in told
    assert told.splitlines()[-2:] == [
        "  → guards=[LoopCap(1), NoProgress(1, of=your_score)], otherwise=person"
        "      # on the transition that closes a loop",
        "  → limits = everywhere(LoopCap(3), otherwise=person)",
    ]


def test_each_run_has_a_line_if_asked(fsm: Fsm, traces: str) -> None:
    told = fsm("backtest", traces, "--guard", "LoopCap(1)", "-e", "LoopCap(2)", "--runs").output
    assert " ".join(told.splitlines()[0].split()) == "7 failed 3 of 7 LoopCap(1) 3, LoopCap(2) 3"


def test_json_holds_every_stop_with_the_verdicts_numbers(fsm: Fsm, traces: str) -> None:
    told = json.loads(fsm("backtest", "--json", traces, "-e", "LoopCap(2)", "-e", "CostBudget(5)").output)
    assert (told["runs"], told["good"], told["failed"], told["unit"]) == (2, 1, 1, "bytes")
    assert told["unasked"] == [{"guard": "CostBudget(5)", "why": "no trace tells what its messages cost in money"}]
    first = told["stops"][0]
    assert (first["run"], first["step"], first["of"], first["code"]) == ("7", 3, 7, "loop_cap")
    assert first["numbers"] == {"hops": 2, "hops_max": 2}
    assert told["guards"][0]["good_killed"] == {"runs": 1, "of": 1, "interval": [0.2065, 1.0]}


def test_the_usual_guards_are_asked_where_none_is_named_of_standard_input_too(fsm: Fsm) -> None:
    told = fsm("backtest", "-", given=FAILED).output
    assert "NoProgress(3, of=news)" in told and "TokenBudget(128_000)" in told
    assert "Strikes(\"tool\", 3) was not asked: nobody is called 'tool'; errors are told of 'search'." in told


def test_messages_in_a_row_are_pointed_out_until_they_are_taken_as_one(fsm: Fsm) -> None:
    lines = "\n".join(json.dumps({"run": "1", "agent": agent, "content": "x"}) for agent in "aabbccdd")
    assert "50% of messages follow one of the same agent: --handoffs" in fsm("backtest", "-", given=lines).output
    assert "--handoffs" not in (told := fsm("backtest", "-", "--handoffs", given=lines).output)
    assert "1 run: 1 with an end that is not told; 4 messages" in told


WRONG = [
    ("LopCap(3)", "there is no guard 'LopCap'", "did you mean LoopCap?"),
    ("x.LoopCap(3)", "there is no guard 'x.LoopCap'", "they are Breaker, Bulkhead"),
    ("LoopCap", "a guard is made by a call", "write LoopCap(...)"),
    ("LoopCap(3", "this is no guard", "write one as in Python: LoopCap(20)"),
    ("(" * 400, "this is no guard", "write one as in Python"),
    ("LoopCap(" + "1" * 600 + ")", "it has 609 characters, at most 500", "write it shorter"),
    ("LoopCap()", "missing a required argument: 'limit'", "write LoopCap(limit, scope=None, since=None)"),
    ("LoopCap(3, limt=2)", "unexpected keyword argument 'limt'", "write LoopCap(limit, scope=None, since=None)"),
    ("LoopCap('3')", "LoopCap(limit='3')", "give a whole number, 1 or more"),
    ("LoopCap(*[3])", "stars have nothing to unpack here", "write LoopCap(limit, "),
    ("LoopCap(2**9)", "2 ** 9 is no plain value", "a trace has no code of yours; write numbers"),
    ("LoopCap(3, since=draft)", "draft is no plain value", "a trace has no code of yours"),
    ("Deadline(days('x'))", "days('x') is no plain value", "a trace has no code of yours"),
    ("NoProgress(3, of='x')", "of='x' cannot be called", "give it a function"),
    ('__import__("os").mkdir("made")', "there is no guard", "they are Breaker"),
    ('LoopCap(__import__("os").mkdir("made"))', "is no plain value", "a trace has no code of yours"),
    ('Breaker("search")', "it looks at what runs share", "ask a guard of one run: LoopCap"),
    ('TokenBudget(5, scope="machine")', "it looks at what runs share", "ask a guard of one run"),
    ("Deadline(minutes(5))", "no guard can be asked of these traces", "ask LoopCap, or add what is missing"),
]


@pytest.mark.parametrize(("text", "what", "instead"), WRONG)
def test_what_is_wrong_with_a_guard_is_told_and_nothing_is_evaluated(
    fsm: Fsm, traces: str, folder: Path, text: str, what: str, instead: str
) -> None:
    result = fsm("backtest", traces, "--guard", text)
    assert result.exit_code == 2
    assert what in result.output and f"-> {instead}" in result.output
    assert not (folder / "made").exists()


def test_where_a_guard_may_not_stand_is_told(fsm: Fsm, traces: str) -> None:
    result = fsm("backtest", traces, "--everywhere", "Repeat(3)")
    assert result.exit_code == 2
    assert "Repeat(3): Repeat stands in everywhere()\n  -> put it on a transition" in result.output


def test_lines_that_cannot_be_read_are_named(fsm: Fsm, folder: Path) -> None:
    (folder / "bad.jsonl").write_text(f"{FAILED}\n\nnonsense\x1b[2J\n")
    result = fsm("backtest", "bad.jsonl")
    assert result.exit_code == 1
    assert "bad.jsonl:9: Invalid JSON" in result.output and "\x1b" not in result.output
    assert fsm("backtest", "none.jsonl").output == (
        "Error: these traces cannot be read:\n  - none.jsonl: No such file or directory\n"
        "  -> check the path, or give - for standard input\n"
    )
