"""Graphviz text: what is written for a machine and a run, and that no name breaks out of its label."""

import html
import re

from hypothesis import given

from fsm.define.spec import MachineSpec
from fsm.show.diagram import diagram
from fsm.show.dot import dot
from fsm.show.overlay import overlay
from fsm.show.words import shown
from tests.show.small import Small, helped
from tests.show.specs import EXAMPLES, specs

SMALL = diagram(Small.spec)

MACHINE = """\
s0 <B>lost</B><BR/>failed
s1 <B>write</B><BR/>times out after 1 min
s2 <B>check</B><BR/>entry: Says: label door
s3 <B>person</B><BR/>An editor<BR/>waits 2 d
s4 <B>done</B><BR/>completed
start
anywhere0 <B>everywhere: limits</B><BR/>TokenBudget: up to 1,000 tokens
stopped <B>stopped</B>
start -> s1 Brief
s1 -> s2 <B>submit</B><BR/>Draft
s2 -> s4 <B>good</B><BR/>Verdict when is_good
s2 -> s1 <B>again</B><BR/>Verdict<BR/>LoopCap: up to 2 times<BR/>Says: label tone
s2 -> s3 <B>again.otherwise.loop_cap</B>
s2 -> s0 <B>again.otherwise</B><BR/>no, never, later
s3 -> s4 <B>accept</B><BR/>Approval<BR/>Says: label signed<BR/>if refused, it stays
s3 -> s0 <B>drop</B><BR/>TimedOut
a8 <B>broken</B><BR/>AgentFailed
s1 -> a8
s2 -> a8
a8 -> s3
anywhere0 -> stopped <B>limits refused</B><BR/>token_budget
s2 -> s0 <B>check.otherwise</B><BR/>no, never, later
"""

LABEL = r"label=<((?:[^<>&\"\n\\]|\\\\|&#\d+;|</?[BI]>|<BR/>)*)>"
LINE = re.compile(rf"  (\w+(?: -> \w+)?) \[(?:{LABEL}, )?([^<>]*)\]")


def told(text: str) -> str:
    """The boxes and arrows of a text, without what only colours them."""
    found = [LINE.fullmatch(line) for line in text.splitlines()[4:-1]]
    assert all(found), text
    lines = [f"{match[1]} {(match[2] or '').replace('&#160;', '')}".rstrip() for match in found if match]
    return "\n".join(lines) + "\n"


def style(text: str, way: str) -> str:
    return next(match[3] for line in text.splitlines() if (match := LINE.fullmatch(line)) and match[1] == way)


def test_a_machine() -> None:
    assert told(dot(SMALL)) == MACHINE
    assert "dashed" in style(dot(SMALL), "s2 -> s3") and "dashed" not in style(dot(SMALL), "s1 -> s2")


def test_a_run_on_it() -> None:
    text = dot(SMALL, overlay(Small.spec, helped().records))
    assert "s1 <B>write</B><BR/>3 visits<BR/>times out after 1 min\n" in told(text)
    assert "s2 -> s3 <B>again.otherwise.loop_cap</B> ×1\n" in told(text)
    assert style(text, "s1 -> s2") == 'color="#2da44e", penwidth=2.5'
    assert style(text, "s2 -> s4") == 'color="#727a84"'
    assert style(text, "s4").endswith("penwidth=4") and style(text, "s0").startswith('fillcolor="#ffebe9"')


@EXAMPLES
@given(specs())
def test_no_name_breaks_out_of_its_label(spec: MachineSpec) -> None:
    drawn = diagram(spec)
    text = dot(drawn)
    bold = [html.unescape(name).replace("\\\\", "\\") for name in re.findall(r"<B>(.*?)</B>", told(text))]
    boxes = [box for box in drawn.boxes if box.kind != "start"]
    expected = [f"everywhere: {shown(box.name)}" if box.kind == "anywhere" else shown(box.name) for box in boxes]
    expected += [f"{shown(way.line)} refused" if way.kind == "stopped" else shown(way.hop) for way in drawn.arrows[1:]]
    assert bold == expected
    assert text.encode() == dot(diagram(MachineSpec.from_json(spec.to_json()))).encode()
