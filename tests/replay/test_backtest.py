"""Runs of other systems are read, driven through the engine, and stopped where a guard says."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from fsm.cli.parts.default_guards import EVERYWHERE, ON_TRANSITIONS
from fsm.cli.parts.guard_text import asked, shipped
from fsm.define.guard import Standing
from fsm.replay.backtest import Asked, Backtest, backtest
from fsm.replay.savings import savings
from fsm.replay.traces import files
from fsm.replay.traces.files import read_traces
from fsm.replay.traces.problems import TracesRefused
from fsm.replay.traces.trace import AGENTS_MAX, Trace, by_handoffs
from fsm.replay.wilson import wilson

DEFAULTS: list[tuple[str, Standing]] = [
    *((text, "transition") for text in ON_TRANSITIONS),
    *((text, "run") for text in EVERYWHERE),
]


def guard(text: str, standing: Standing = "transition") -> Asked:
    return asked(text, (standing, "state"), shipped())


def read(*lines: dict[str, Any] | str, form: Any = "auto") -> list[Trace]:
    body = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return read_traces(["-"], io.BytesIO(body.encode()), form)


def line(agent: str, content: Any = "", run: Any = "1", **more: Any) -> dict[str, Any]:
    return {"run": run, "agent": agent, "content": content, **more}


def steps(done: Backtest) -> list[dict[str, int]]:
    """Of each guard the runs it stopped, and where."""
    return [{stop.trace.name: stop.step for stop in found.stops} for found in done.found]


# --- Who&When


def said(speaker: str, text: str) -> dict[str, str]:
    return {"content": text, "role": "assistant", "name": speaker}


def talk(*messages: dict[str, str], mistake: int = 1) -> dict[str, Any]:
    return {"history": list(messages), "mistake_step": str(mistake), "mistake_agent": "x", "is_correct": False}


def words(n: int) -> str:
    """Twelve words that no other n gives."""
    return " ".join(f"word{n}x{at}" for at in range(12))


def ping_pong(times: int, text: str = "") -> list[dict[str, str]]:
    """`times` words of the one to the other, and answers; the same text each time, or always another one."""
    return [said("AB"[n % 2], text or words(n)) for n in range(2 * times)]


FAILED = "exitcode: 1 (execution failed)\nCode output: Traceback"
GOOD = "exitcode: 0 (execution succeeded)\nCode output: 4"
TASK = said("Manager", "Count the houses.")

RUNS: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "1-short": (talk(TASK, said("A", words(1)), said("B", words(2)), said("A", "TERMINATE")), {}),
    "2-long": (talk(TASK, *ping_pong(26)), {"LoopCap(10)": 21, "LoopCap(50)": 51}),
    "3-the same": (talk(TASK, *ping_pong(5, "again, please")), {"Repeat(3)": 5, "NoProgress(3, of=news)": 7}),
    "4-much": (
        talk(TASK, *(said("AB"[n % 2], words(n) + "é" * 8_000) for n in range(10))),
        {"TokenBudget(128_000)": 8},
    ),
    "5-wide": (talk(TASK, said("A", "x" * 16_385), said("B", words(1))), {"PayloadSize(16_384)": 1}),
    "6-failing": (
        talk(
            TASK,
            *(said("Computer_terminal", words(n)) for n in range(2)),
            *(
                said("Computer_terminal", f"{text}\n{words(n)}")
                for n, text in enumerate((FAILED, GOOD, FAILED, "There is no code here", FAILED, FAILED, GOOD), 2)
            ),
        ),
        {'Strikes("tool", 3)': 8},
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one").mkdir()
    for name, (found, _) in RUNS.items():
        (tmp_path / "one" / f"{name}.json").write_text(json.dumps(found, indent=1))
    return tmp_path


def whowhen(folder: Path) -> list[Trace]:
    return read_traces([str(folder)], io.BytesIO())


@pytest.mark.parametrize(("text", "standing"), DEFAULTS)
def test_each_default_stops_the_runs_it_should_where_it_should(folder: Path, text: str, standing: Standing) -> None:
    done = backtest(whowhen(folder), [guard(text, standing)])
    assert steps(done) == [{f"one/{name}": at[text] for name, (_, at) in RUNS.items() if text in at}]


def test_together_the_first_stops_the_run_and_it_is_told_beside_the_mistake(folder: Path) -> None:
    done = backtest(whowhen(folder), [guard(text, standing) for text, standing in DEFAULTS])
    first = {f"one/{name}": min(at.values()) for name, (_, at) in RUNS.items() if at}
    assert {stop.trace.name: stop.step for stop in done.together.stops} == first
    told = savings(done.together)
    assert (told.stopped, told.of, told.beside, told.killed) == (5, 6, (0, 1, 4), None)


def test_a_manager_of_several_roles_is_one_agent_and_a_label_out_of_place_is_refused(tmp_path: Path) -> None:
    roles = [{"role": role, "content": "-"} for role in ("human", "Orchestrator (thought)", "Orchestrator (-> A)", "A")]
    [trace] = read({"history": roles, "mistake_step": "3"})
    assert [message.agent for message in trace.messages] == ["human", "Orchestrator", "Orchestrator", "A"]
    handed = by_handoffs(trace)
    assert [message.agent for message in handed.messages] == ["human", "Orchestrator", "A"]
    assert (handed.messages[1].text, handed.mistake, handed.good) == ("-\n-", 2, False)
    with pytest.raises(TracesRefused, match="standard input: mistake_step is 4 of 4 messages"):
        read({"history": roles, "mistake_step": "4"})


def test_documents_one_a_line_are_runs_of_their_own(tmp_path: Path) -> None:
    run = talk(TASK, said("A", "x"))
    assert [trace.name for trace in read(run, run)] == ["-:1", "-:2"]
    with pytest.raises(TracesRefused, match="standard input:2: "):
        read(run, "{}")


def test_what_several_say_in_a_row_is_joined_with_what_it_cost_and_how_the_last_try_went() -> None:
    lines = [line("a", "x", tokens=3, error="no"), line("a", "y", tokens=4, time=7), line("b", "z", label="mistake")]
    [handed] = map(by_handoffs, read(*lines))
    first, second = handed.messages
    assert (first.text, first.tokens, first.failed, first.at_ms) == ("x\ny", 7, False, 7_000)
    assert (second.text, second.tokens, handed.mistake) == ("z", None, 1)


# --- JSON lines


def test_runs_may_be_mixed_in_a_file_and_fields_beyond_the_known_are_passed_over() -> None:
    one, two = read(line("a", "x", run=1, model="m"), line("b", run="2"), "", line("a", ["y", {"z": 1}], run="1"))
    assert [message.text for message in one.messages] == ["x", '["y", {"z": 1}]']
    assert (one.name, two.name, one.good, one.tells_tokens, one.tells_time) == ("1", "2", None, False, False)


@pytest.mark.parametrize(
    ("told", "good"),
    [
        ({}, None),
        ({"outcome": "completed"}, True),
        ({"outcome": "Failed"}, False),
        ({"outcome": False}, False),
        ({"label": "good"}, True),
        ({"label": "mistake"}, False),
        ({"label": "bad", "outcome": "completed"}, False),
        ({"label": "mistake", "outcome": "completed"}, True),
    ],
)
def test_how_a_run_ended_is_told_by_a_person_first_then_by_its_outcome(told: dict[str, Any], good: bool) -> None:
    [trace] = read(line("a"), line("b", **told), line("a"))
    assert trace.good is good
    assert trace.mistake == (1 if told.get("label") == "mistake" else None)


WRONG = [
    ('{"run": "1", "agent": "a"', "2: "),
    ("[]", "2: "),
    ('{"run": "1", "agent": "a"}', "2: content: Field required"),
    ('{"run": "1", "agent": "", "content": ""}', "2: agent: "),
    ('{"run": null, "agent": "a", "content": ""}', "2: run: "),
    ('{"run": "1", "agent": "a", "content": "\\ud800"}', "2: Invalid JSON: .*hex escape"),
    ('{"run": "1", "agent": "a", "content": ' + "[" * 5_000 + "]" * 5_000 + "}", "2: Invalid JSON: recursion"),
    ('{"run": "1", "agent": "a", "content": "", "tokens": -1}', "2: tokens: "),
    ('{"run": "1", "agent": "a", "content": "", "tokens": 1' + "0" * 5_000 + "}", "2: Invalid JSON: number"),
    ('{"run": "1", "agent": "a", "content": "", "time": "noon"}', "2: time: "),
    ('{"run": "1", "agent": "a", "content": "", "time": NaN}', "2: time: "),
    ('{"run": "1", "agent": "a", "content": "", "outcome": "great"}', "2: outcome: .*write completed, success"),
    ('{"run": "1", "agent": "a", "content": "", "label": "fine"}', "2: label: .*write good or bad"),
    ('{"run": "1", "agent": "a", "content": "", "outcome": "failed"}', "2: another outcome of run '1'"),
    ('{"run": "1", "agent": "a", "content": "", "label": "mistake"}', "2: a second mistake of run '1'"),
]


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_a_line_that_cannot_be_used_is_named_with_its_number(text: str, told: str) -> None:
    with pytest.raises(TracesRefused, match=f"standard input:{told}"):
        read(line("a", outcome="completed", label="mistake"), text, form="lines")


def test_all_that_is_wrong_is_named_up_to_a_bound() -> None:
    with pytest.raises(TracesRefused) as raised:
        read(*["x"] * 20)
    assert len(raised.value.problems) == 20
    assert str(raised.value).splitlines()[9] == "  - and 12 more"


def test_what_is_too_large_is_refused_with_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(TracesRefused, match=rf"run '1' has {AGENTS_MAX + 1} agents, at most {AGENTS_MAX}"):
        read(*(line(f"agent {n}") for n in range(AGENTS_MAX + 1)))
    monkeypatch.setattr(files, "TOTAL_BYTES_MAX", 100)
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(line("a", "x" * 30)))
    with pytest.raises(TracesRefused, match=r"b\.jsonl: with it there are more than 100 bytes"):
        read_traces([str(tmp_path)], io.BytesIO())


def test_a_source_that_holds_nothing_is_told(tmp_path: Path) -> None:
    for source, told in (
        ("none", "none: No such file"),
        (".", "no file that ends with"),
        ("-", "no message in -"),
    ):
        with pytest.raises(TracesRefused, match=told):
            read_traces([str(tmp_path / source) if source != "-" else source], io.BytesIO(b"\n"))


# --- guards


def test_guards_look_at_tokens_times_and_errors_where_the_lines_tell_them() -> None:
    lines = [line("ab"[n % 2], str(n), tokens=10, time=100 + 10 * n, error="no" if n > 5 else None) for n in range(12)]
    guards = [guard("TokenBudget(50)", "run"), guard("Deadline(30)", "run"), guard('Strikes("a", 2)', "run")]
    assert steps(backtest(read(*lines), guards)) == [{"1": 4}, {"1": 3}, {"1": 8}]


@pytest.mark.parametrize("first", [0, 1, 1_700_000_000])
def test_seconds_may_be_counted_from_the_first_message(first: int) -> None:
    lines = [line("ab"[n % 2], str(n), time=first + 10 * n) for n in range(12)]
    assert steps(backtest(read(*lines), [guard("Deadline(30)", "run")])) == [{"1": 3}]


def test_an_age_is_counted_from_the_first_time_that_is_told() -> None:
    lines = [line("ab"[n % 2], **({"time": 1_800_000_000 + n} if n > 2 else {})) for n in range(20)]
    assert steps(backtest(read(*lines), [guard("Deadline(10)", "run")])) == [{"1": 13}]


def test_without_tokens_bytes_are_spent_and_a_cap_on_a_state_counts_its_visits() -> None:
    lines = [line("ab"[n % 2], "é" * 5) for n in range(10)]
    guards = [guard("TokenBudget(50)"), guard('LoopCap(2, scope="state")')]
    assert [one.standing for one in guards] == ["transition", "state"]
    assert steps(backtest(read(*lines), guards)) == [{"1": 4}, {"1": 4}]


def test_the_last_message_ends_the_run_and_nothing_stops_there() -> None:
    lines = [line("ab"[n % 2]) for n in range(7)]
    assert steps(backtest(read(*lines), [guard("LoopCap(4)", "run")])) == [{"1": 5}]
    assert steps(backtest(read(*lines[:6]), [guard("LoopCap(4)", "run")])) == [{}]
    assert steps(backtest(read(line("a")), [guard("LoopCap(1)", "run")])) == [{}]


def test_a_guard_that_no_run_says_enough_for_is_not_asked_and_one_of_some_runs_only_of_these() -> None:
    lines = [line("a"), line("b"), line("c", run="2", time=1), line("d", run="2", time=9)]
    guards = [guard("Deadline(5)"), guard("CostBudget(5)"), guard('Strikes("a")')]
    done = backtest(read(*lines), guards)
    assert [[trace.name for trace in found.judged] for found in done.found] == [["2"]]
    assert [why for _, why in done.unasked] == [
        "no trace tells what its messages cost in money",
        "no message tells of an error",
    ]
    failed = backtest(read(line("b", error="no"), line("a")), [guard('Strikes("web")')])
    assert failed.unasked[0][1] == "nobody is called 'web'; errors are told of 'b'"


def test_what_is_saved_is_told_of_runs_that_failed_and_what_is_killed_of_good_ones() -> None:
    lines = [line("ab"[n % 2], run="bad", tokens=n, outcome="failed") for n in range(10)]
    lines += [line("ab"[n % 2], run="good", tokens=9, outcome="completed") for n in range(9)]
    lines += [line("ab"[n % 2], run="short", tokens=9, outcome="completed") for n in range(3)]
    told = savings(backtest(read(*lines), [guard("LoopCap(3)")]).together)
    assert (told.stopped, told.of, told.at, told.beside) == (1, 1, 7, None)
    assert (told.steps, told.spent) == (2 / 10, (8 + 9) / 45)
    assert told.killed is not None and (told.killed.runs, told.killed.of) == (1, 2)


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(0, 12, 0, 0.2425), (12, 12, 0.7575, 1), (1, 10, 0.0179, 0.4042), (50, 100, 0.4038, 0.5962)],
)
def test_the_interval_is_that_of_wilsons_score(hits: int, of: int, low: float, high: float) -> None:
    assert wilson(hits, of) == pytest.approx((low, high), abs=1e-4)
