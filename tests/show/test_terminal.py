"""The tree in a terminal: readable at any width, in colour and without, whatever the names are."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from fsm.define.spec import MachineSpec
from fsm.show.diagram import diagram
from fsm.show.dot import dot
from fsm.show.mermaid import mermaid
from fsm.show.overlay import Overlay, overlay
from fsm.show.terminal import tree
from tests.show.small import Small, helped, stopped
from tests.show.specs import EXAMPLES, hostile, specs

SMALL = diagram(Small.spec)
ROOT = Path(__file__).parents[2]

MACHINE = """\
Small  Write and check; a person helps.

✗ lost          failed
● write         agent, times out after 1 min, starts on Brief
├─ submit       Draft → check
╰─ broken       AgentFailed → person
● check         agent
├─ entry        Says: label door
│    otherwise  no, never, later → lost
├─ good         Verdict when is_good → done
├─ again        Verdict → write
│               LoopCap: up to 2 times
│               Says: label tone
│    otherwise  loop_cap → person
│    otherwise  no, never, later → lost
╰─ broken       AgentFailed → person
◆ person        An editor, waits 2 d
├─ accept       Approval → done
│               Says: label signed
│               if refused, it stays
╰─ drop         TimedOut → lost
✓ done          completed
○ limits        everywhere
╰─ guards       TokenBudget: up to 1,000 tokens
     otherwise  token_budget → the run halts, stopped
"""

RUN = """\
Small  Write and check; a person helps.
completed in done: 10 records, 7 hops, 330 tokens, $0.000015

✗ lost              failed
● write         ×3  agent, times out after 1 min, starts on Brief
├─ submit       ×3  Draft → check
╰─ broken           AgentFailed → person
● check         ×3  agent
├─ entry            Says: label door
│    otherwise      no, never, later → lost
├─ good             Verdict when is_good → done
├─ again        ×2  Verdict → write
│                   LoopCap: up to 2 times
│                   Says: label tone
│                   refused: loop_cap ×1
│    otherwise  ×1  loop_cap → person
│    otherwise      no, never, later → lost
╰─ broken           AgentFailed → person
◆ person        ×1  unhandled: Draft ×1  An editor, waits 2 d
├─ accept       ×1  Approval → done
│                   Says: label signed
│                   if refused, it stays
│                   refused: no ×1
╰─ drop             TimedOut → lost
✓ done          ×1  completed
○ limits            everywhere
╰─ guards           TokenBudget: up to 1,000 tokens
     otherwise      token_budget → the run halts, stopped
"""


def printed(machine: MachineSpec, run: Overlay | None = None, width: int = 80) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(tree(diagram(machine), run))
    return file.getvalue()


def test_a_machine() -> None:
    assert printed(Small.spec) == MACHINE


def test_a_run_on_it() -> None:
    assert printed(Small.spec, overlay(Small.spec, helped().records)) == RUN


def test_a_halt_says_where_and_by_what() -> None:
    text = printed(Small.spec, overlay(Small.spec, stopped().records))
    assert text.splitlines()[1:3] == [
        "stopped in write: 2 records, 0 hops, 2,000 tokens",
        "TokenBudget on limits refused 2,000 of 1,000 tokens (token_budget)",
    ]
    assert "● write         ×1  stopped here  agent" in text
    assert "     otherwise  ×1  token_budget → the run halts, stopped" in text


def test_what_is_too_wide_is_wrapped_beside_its_rail() -> None:
    lines = printed(Small.spec, width=36).splitlines()
    at = lines.index("│               Says: label tone")
    assert lines[at + 1 : at + 5] == [
        "│    otherwise  loop_cap → person",
        "│    otherwise  no, never, later →",
        "│               lost",
        "╰─ broken       AgentFailed → person",
    ]


def test_a_terminal_gets_colours_and_a_file_none() -> None:
    file = io.StringIO()
    Console(file=file, width=80, force_terminal=True, color_system="standard", no_color=False).print(tree(SMALL))
    assert "\x1b[1;36mcheck" in file.getvalue() and "\x1b" not in MACHINE


def test_a_console_that_knows_ascii_only_gets_ascii() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    for spec in (Small.spec, hostile()):
        Console(file=file, width=80).print(tree(diagram(spec), overlay(spec, [])))
    file.flush()
    assert "`- broken       AgentFailed -> person" in raw.getvalue().decode("ascii")


@EXAMPLES
@given(specs(), st.integers(20, 200))
def test_nothing_is_wider_than_the_console_or_acts_on_it(spec: MachineSpec, width: int) -> None:
    text = printed(spec, width=width)
    assert all(cell_len(line) <= width and line == line.rstrip() for line in text.splitlines())
    assert all(char.isprintable() for char in text.replace("\n", ""))
    assert text == printed(MachineSpec.from_json(spec.to_json()), width=width)


@EXAMPLES
@given(specs())
def test_every_way_out_of_every_state_has_its_line(spec: MachineSpec) -> None:
    text = printed(spec, width=10_000)
    drawn = diagram(spec)
    direct = sum(len(way.sources) for way in drawn.arrows if way.kind in ("direct", "retry"))
    others = sum(way.kind in ("otherwise", "stopped") for way in drawn.arrows)
    assert text.count("→ ") == direct + others
    assert text.count("→ the run halts, stopped") == sum(way.kind == "stopped" for way in drawn.arrows)


@pytest.mark.parametrize("seed", ["0", "1"])
def test_every_form_is_the_same_under_any_hash_seed(seed: str) -> None:
    script = (
        "import sys; from tests.show.test_terminal import SMALL, dot, mermaid\n"
        "sys.stdout.buffer.write((mermaid(SMALL) + dot(SMALL)).encode())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True, timeout=60)
    assert done.stdout.decode() == mermaid(SMALL) + dot(SMALL)
