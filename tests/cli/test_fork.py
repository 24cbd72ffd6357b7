"""`fsm fork`: what it says before it does anything, what it gives to the fork, and where lineage is told."""

import json
import shutil
from pathlib import Path

import pytest

from fsm.testing import assert_replays
from tests.cli.conftest import DOOR, Fsm
from tests.cli.moving import DESK, ORDERED, state_of
from tests.cli.terminal import needs_terminal, terminal

CODE = ("-m", DESK)
CALLED = "run 42 called from there on, and its fork will call again: model ×1"
STRICT = """
from fsm import View
from moving_desk import Draft, Remark

async def judge(view: View[Draft]) -> Remark:
    return Remark(good=view.payload.text == "strict")
"""


@pytest.fixture
def stopped(fsm: Fsm) -> Fsm:
    """Run 42: draft, review, rejected; draft again, review, and stopped by the cap. Two calls."""
    assert fsm(*ORDERED, '{"topic": "bad"}', "--run-id", "42", "--label", "team=docs").exit_code == 1
    return fsm


def test_what_happens_again_is_said_and_nothing_happens_without_a_word(stopped: Fsm):
    refused = stopped("fork", "42", "--at", "2", *CODE)
    assert refused.exit_code == 2 and f"Error: {CALLED}\n  -> if these may happen again: --yes" in refused.stderr
    assert json.loads(stopped("runs", "--json").output)[0]["run_id"] == "42"
    done = stopped("fork", "42", "--at", "2", "--as", "again", "--yes", *CODE)
    assert done.exit_code == 1 and done.stderr.startswith(CALLED + "\n")
    assert "✗ stopped in review" in done.stdout and "run again of Desk, forked from 42 at record 2: " in done.stdout
    assert assert_replays("runs.db") == 2


def test_where_nothing_happens_again_nobody_is_asked(stopped: Fsm):
    result = stopped("fork", "42", "--at", "3", "--json", *CODE)
    told = json.loads(result.stdout)
    assert (told["outcome"], told["effects"], told["effects_keyed"]) == ("stopped", {}, {})
    assert (told["forked_from"], told["labels"]) == ({"run_id": "42", "seq": 3}, {"team": "docs"})
    assert "call" not in result.stderr


def test_another_payload_and_another_agent(stopped: Fsm, folder: Path):
    (folder / "strict.py").write_text(STRICT)
    judged = ("--agent", "review=strict.py:judge", "--as", "b", *CODE)
    draft = stopped("fork", "42", "--at", "3", "--payload", '{"text": "strict"}', *judged)
    assert draft.exit_code == 3 and "● waiting in person" in draft.stdout
    again = stopped("fork", "42", "--at", "3", "--payload", '{"text": "other"}', *judged)
    assert again.exit_code == 1 and "run 'b' exists and began with another Draft" in again.stderr
    order = ("--event", "Order", "--payload", '{"topic": "doors"}', "--yes")
    other = stopped("fork", "42", "--at", "2", *order, "--label", "team=web", *CODE, "--json")
    assert json.loads(other.stdout)["labels"] == {"team": "web"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (
            ("--at", "9"),
            1,
            "'42' cannot be forked at record 9: it has records 0 to 4\n  -> name one of them",
        ),
        (("--at", "3", "--payload", '{"words": 3}'), 2, "--payload is no Draft:"),
        (("--at", "3", "--payload", "{}", "--event", "Order"), 2, "Desk enters review with no event 'Order'"),
        (("--at", "3", "--agent", "review"), 2, "--agent 'review' names no agent\n  -> --agent STATE=FILE.py:FUNCTION"),
        (("--at", "3", "--agent", "review=door.py:nobody"), 2, "door.py has no function nobody"),
        (("--at", "3", "--agent", "person=door.py:look"), 2, "Desk has no agent state 'person'"),
        (("--at", "3", "--as", ""), 2, "give text of 1 to 200 characters"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_words(stopped: Fsm, arguments: tuple[str, ...], code: int, told: str):
    result = stopped("fork", "42", *arguments, *CODE)
    assert (result.exit_code, told in result.stderr) == (code, True), result.stderr
    assert len(json.loads(stopped("runs", "--json").output)) == 1


def test_a_run_that_a_cap_stopped_goes_on_where_the_cap_was_raised(fsm: Fsm, folder: Path):
    """The way out of `cap 2 became 3`: the run that ended keeps its records, its fork goes on with the new cap."""
    fsm("run", "door.py:Door", "--input", '{"by": "ann"}', "--run-id", "42")
    for _ in range(3):
        fsm("send", "42", "Word", "--payload", '{"open": false}', "-m", "door.py:Door")
    assert state_of("42").state == "street"
    (folder / "later.py").write_text(DOOR.replace("LoopCap(2)", "LoopCap(3)"))
    ended = fsm("fork", "42", "--at", "4", "-m", "later.py:Door")
    assert "there it ended (failed)\n  -> fork it at record 3, the last before its end" in ended.stderr
    assert fsm("fork", "42", "--at", "3", "--as", "on", "-m", "later.py:Door").exit_code == 3
    stays = ("send", "on", "Word", "--payload", '{"open": false}', "-m", "later.py:Door")
    assert fsm(*stays).exit_code == 3
    assert fsm(*stays).exit_code == 1 and state_of("on").state == "street"
    assert assert_replays("runs.db") == 2


def test_lineage_is_told_where_runs_are(stopped: Fsm):
    stopped("fork", "42", "--at", "3", "--as", "child", *CODE)
    stopped("fork", "child", "--at", "0", "--as", "grandchild", *CODE)
    table = stopped("runs").output.splitlines()
    assert table[0].endswith("forked from") and table[1].endswith("child at record 0")
    assert table[2].endswith("42 at record 3") and table[3].endswith("team=docs")
    assert [run["forked_from"] for run in json.loads(stopped("runs", "--json").output)] == [
        {"run_id": "child", "seq": 0},
        {"run_id": "42", "seq": 3},
        None,
    ]
    shown = stopped("show", "child").output
    assert "  forked    from 42 at record 3\n  forks     grandchild at record 0\n" in shown
    assert "▸ forked from 42 at record 3" in shown
    run = json.loads(stopped("show", "child", "--json").output)["run"]
    assert (run["forked_from"]["run_id"], run["forks"]) == ("42", [{"run_id": "grandchild", "seq": 0}])
    assert "parent: 42" in stopped("show", "child", "--seq", "0").output
    assert "▸ forked from" not in stopped("show", "42").output
    assert "stopped: LoopCap" in stopped("why", "child").output


def test_a_fork_goes_into_another_journal_without_its_parent(stopped: Fsm):
    stopped("fork", "42", "--at", "3", "--as", "child", *CODE)
    assert stopped("export", "child", "--out", "child.jsonl").exit_code == 0
    taken = stopped("import", "child.jsonl", "--db", "other.db")
    assert taken.exit_code == 0, taken.output
    assert "✓ run child: 2 records, all agree" in stopped("replay", "--all", "--db", "other.db", *CODE).output
    assert "42 at record 3" in stopped("runs", "--db", "other.db").output
    assert stopped("fork", "child", "--at", "0", "--db", "other.db", *CODE).exit_code == 1  # the cap stops it again


@needs_terminal
def test_on_a_terminal_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copy(DESK.partition(":")[0], tmp_path / "desk.py")
    monkeypatch.chdir(tmp_path)
    with terminal(tmp_path) as screen:
        screen.type(
            'fsm run desk.py:Desk --event Order --input \'{"topic": "bad"}\' --run-id 42 >/dev/null 2>&1; clear'
        )
        screen.shows("[0]%")
        fork = "fsm fork 42 --at 2 --as child -m desk.py:Desk"
        screen.type(fork)
        assert CALLED in " ".join(screen.shows("Go on? [y/N]:").split())
        screen.type("n")
        screen.shows("Aborted!")
        screen.type(f"clear; {fork}")
        screen.shows("Go on? [y/N]:")
        screen.type("y")
        screen.shows("✗ stopped in review")
    assert state_of("child").seq == 2
