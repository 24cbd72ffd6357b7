"""The live progress and Ctrl-C, in a real terminal."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.moving import DESK, gated, is_calling, state_of, until
from tests.cli.terminal import Terminal, needs_terminal, terminal

pytestmark = needs_terminal


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    shutil.copy(DESK.partition(":")[0], tmp_path / "desk.py")
    (tmp_path / "order.json").write_text(gated(Path("gate")))
    monkeypatch.chdir(tmp_path)
    with terminal(tmp_path) as found:
        yield found


ORDER = "fsm run desk.py:Desk --event Order --input @order.json --run-id 42"


def test_one_line_lives_until_the_result_takes_its_place(screen: Terminal):
    screen.type(ORDER)
    live = screen.shows("calling model").splitlines()[-24:]
    lived = [line for line in live if line.strip()][-1]
    assert " draft · visit 1 · 0 hops · " in lived and lived.endswith("s · calling model")
    assert "\x1b[36m" in screen.screen(colour=True)
    Path("gate").touch()
    told = screen.shows("[3]%")
    assert "calling model" not in told and "⠋" not in told
    lines = [line.rstrip() for line in told.splitlines()]
    assert lines.index("run 42 of Desk  runs.db") < lines.index("an agent talks")
    assert "● waiting in person: for Approval or Rework" in lines
    assert '  → fsm send 42 Approval --payload \'{"by": "...", "stars": 1}\' -m desk.py:Desk' in told


def test_ctrl_c_stops_cleanly_and_the_pasted_command_goes_on(screen: Terminal):
    screen.type(ORDER)
    screen.shows("calling model")
    screen.press("C-c")
    told = screen.shows("[130]%")
    assert "stopped on request; every record is kept" in told and "Traceback" not in told
    assert not [line for line in told.splitlines() if "visit 1" in line]
    Path("gate").touch()
    screen.type("clear")
    command = next(line.partition("→ ")[2] for line in told.splitlines() if "→ fsm resume" in line)
    screen.type(command)
    assert "● waiting in person" in screen.shows("[3]%")


def test_ctrl_c_twice_ends_at_once_and_leaves_the_terminal_as_it_was(screen: Terminal):
    Path("stubborn.py").write_text(
        Path("desk.py").read_text().replace("await asyncio.sleep(0.01)", "__import__('time').sleep(0.01)")
    )
    screen.type(ORDER.replace("desk.py", "stubborn.py"))
    until(lambda: is_calling("42"), screen.screen)
    screen.press("C-c")
    screen.shows("once more to stop at once")
    screen.press("C-c")
    screen.shows("[130]%")
    assert screen.tmux("display-message", "-p", "#{cursor_flag}").strip() == "1"
    assert state_of("42").outcome == "running"


def test_a_long_run_does_not_flood_the_terminal(screen: Terminal):
    screen.type("fsm run desk.py:Rally --input '{\"left\": 1000}'")
    assert "✓ completed in over" in screen.shows("2,001 records, 2,000 hops")
    whole = screen.tmux("capture-pane", "-p", "-S", "-").splitlines()
    assert 100 < len([line for line in whole if line.strip()]) < 160
    passed = [int(line.split()[1].replace(",", "")) for line in whole if "⋮" in line]
    shown = [line for line in whole if " back " in line or " there " in line or " out " in line or " start " in line]
    assert sum(passed) + len(shown) == 2_001


def test_many_runs_share_one_line(screen: Terminal):
    for run_id in ("a", "b"):
        screen.type(ORDER.replace("42", run_id))
        until(lambda run_id=run_id: is_calling(run_id), screen.screen)  # type: ignore[misc]
        screen.press("C-c")
        screen.shows("[130]%")
        screen.type("clear")
        screen.shows("[0]%")
    screen.type("fsm resume -m desk.py:Desk")
    assert " 2 running · " in screen.shows("2 records · ")
    Path("gate").touch()
    assert "2 waiting; 6 records in " in screen.shows("[3]%")
