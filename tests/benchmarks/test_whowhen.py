"""Recorded runs in the Who&When format are read, driven through the engine, and stopped where a default says."""

import json
from pathlib import Path
from typing import Any

import pytest

from fsm.core.engine import Engine
from tests.benchmarks.recorded import Recording, handoffs, systems
from tests.benchmarks.whowhen import ALL, DEFAULTS, judged, machine, table, trip


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
    "short": (talk(TASK, said("A", words(1)), said("B", words(2)), said("A", "TERMINATE")), {}),
    "long": (talk(TASK, *ping_pong(26)), {"LoopCap(10) on each transition": 21, "LoopCap(50) of the run": 51}),
    "the same": (talk(TASK, *ping_pong(5, "again, please")), {"Repeat(3)": 5, "NoProgress(3)": 7}),
    "much": (
        talk(TASK, *(said("AB"[n % 2], words(n) + "é" * 8_000) for n in range(10))),
        {"TokenBudget(128_000)": 8},
    ),
    "wide": (talk(TASK, said("A", "x" * 16_385), said("B", words(1))), {"PayloadSize(16_384)": 1}),
    "failing": (
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
    for place in ("one", "empty"):
        (tmp_path / place).mkdir()
    for n, (found, _) in enumerate(RUNS.values()):
        (tmp_path / "one" / f"{n}.json").write_text(json.dumps(found))
    return tmp_path


def runs(folder: Path) -> dict[str, Recording]:
    ((system, recordings),) = systems(folder)
    assert system == "one"
    return dict(zip(RUNS, recordings, strict=True))


@pytest.mark.parametrize("default", DEFAULTS)
def test_each_default_stops_the_runs_it_should_where_it_should(folder: Path, default: str) -> None:
    engine = Engine(machine(default).spec)
    found = {name: trip(engine, run) for name, run in runs(folder).items()}
    assert {name: stop.step for name, stop in found.items() if stop} == {
        name: at[default] for name, (_, at) in RUNS.items() if default in at
    }


def test_together_the_first_stops_the_run_and_it_is_told_beside_the_mistake(folder: Path) -> None:
    (together,) = (found for found in judged(list(runs(folder).values())) if found.guard == ALL)
    first = {name: min(at.values()) for name, (_, at) in RUNS.items() if at}
    assert [stop.step for _, stop in together.trips] == list(first.values())
    assert (together.before(), together.after()) == (0, 4)
    assert table("one", list(runs(folder).values()), "messages").row_count == len(DEFAULTS) + 1


def test_a_manager_of_several_roles_is_one_speaker_and_a_label_out_of_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    roles = [{"role": role, "content": "-"} for role in ("human", "Orchestrator (thought)", "Orchestrator (-> A)", "A")]
    file = tmp_path / "two" / "1.json"
    file.write_text(json.dumps({"history": roles, "mistake_step": "3"}))
    ((_, [recording]),) = systems(tmp_path)
    assert [message.speaker for message in recording.messages] == ["human", "Orchestrator", "Orchestrator", "A"]
    handed = handoffs(recording)
    assert [message.speaker for message in handed.messages] == ["human", "Orchestrator", "A"]
    assert (handed.messages[1].text, handed.mistake) == ("-\n-", 2)
    file.write_text(json.dumps({"history": roles, "mistake_step": "4"}))
    with pytest.raises(ValueError, match="two/1: mistake_step is 4 of 4 messages"):
        list(systems(tmp_path))
