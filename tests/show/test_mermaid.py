"""Mermaid text: what is written for a machine and a run, and that no name breaks out of its label."""

import html
import re

from hypothesis import given

from fsm.define.spec import MachineSpec
from fsm.show.diagram import diagram
from fsm.show.labels import box_label, is_shared
from fsm.show.mermaid import escaped, mermaid
from fsm.show.overlay import overlay
from fsm.show.words import shown
from tests.show.small import Small, helped
from tests.show.specs import EXAMPLES, HOSTILE, hostile, specs

SMALL = diagram(Small.spec)

PLAIN = """\
---
config:
  flowchart:
    wrappingWidth: 320
---
flowchart TD
  s0[["<b>lost</b><br/>failed"]]
  s1("<b>write</b><br/>times out after 1 min")
  s2("<b>check</b><br/>entry#58; Says#58; label door")
  s3(["<b>person</b><br/>An editor<br/>waits 2 d"])
  s4[["<b>done</b><br/>completed"]]
  start((" "))
  anywhere0["<b>everywhere#58; limits</b><br/>TokenBudget#58; up to 1,000 tokens"]
  stopped{{"<b>stopped</b>"}}
  start -->|"Brief"| s1
  s1 -->|"<b>submit</b><br/>Draft"| s2
  s2 -->|"<b>good</b><br/>Verdict when is_good"| s4
  s2 -->|"<b>again</b><br/>Verdict<br/>LoopCap#58; up to 2 times<br/>Says#58; label tone"| s1
  s2 -.->|"<b>again.otherwise.loop_cap</b>"| s3
  s2 -.->|"<b>again.otherwise</b><br/>no, never, later"| s0
  s3 -->|"<b>accept</b><br/>Approval<br/>Says#58; label signed<br/>if refused, it stays"| s4
  s3 -->|"<b>drop</b><br/>TimedOut"| s0
  a8(["<b>broken</b><br/>AgentFailed"])
  s1 --- a8
  s2 --- a8
  a8 --> s3
  anywhere0 -.->|"<b>limits refused</b><br/>token_budget"| stopped
  s2 -.->|"<b>check.otherwise</b><br/>no, never, later"| s0
"""

RUN = """\
  s0[["<b>lost</b><br/>failed"]]
  s1("<b>write</b><br/>3 visits<br/>times out after 1 min")
  s2("<b>check</b><br/>3 visits<br/>entry#58; Says#58; label door")
  s3(["<b>person</b><br/>1 visit<br/>An editor<br/>waits 2 d<br/><i>unhandled#58; Draft #215;1</i>"])
  s4[["<b>done</b><br/>1 visit<br/>completed"]]
  s1 -->|"<b>submit</b> #215;3<br/>Draft"| s2
  s2 -->|"<b>good</b><br/>Verdict when is_good"| s4
  s2 -.->|"<b>again.otherwise.loop_cap</b> #215;1"| s3
  class s0,anywhere0,stopped,a8 unseen
  class s4 here
  linkStyle 0,1,3,6 stroke:#2da44e,stroke-width:3px
  linkStyle 2 stroke:#8b949e,stroke-width:1px
  linkStyle 4 stroke:#bf8700,stroke-width:3px
  linkStyle 5,12 stroke:#c98a1b,stroke-width:1px
  linkStyle 7,8,9,10,11 stroke:#d1606a,stroke-width:1px
"""

QUOTED = r'"((?:[^\W\ufb02\u00b0\u00b6\u00df]|[ _.,\-\'/+!?]|#\d+;|<br/>|<wbr>|</?[bi]>)*)"'
LINES = [
    re.compile(line)
    for line in (
        rf"(?:s\d+|start|anywhere\d+|stopped|a\d+)(?:\(|\(\[|\[\[|\(\(|\{{\{{|\[){QUOTED}(?:\)|\]\)|\]\]|\)\)|\}}\}}|\])",
        rf"\w+ (?:-->|-\.->)\|{QUOTED}\| \w+",
        r"\w+ (?:-->|---) \w+",
        r"classDef \w+ [\w#:;,. -]+",
        r"class [\w,]+ \w+",
        r"linkStyle [\d,]+ [\w#:,.-]+",
    )
]


def body(text: str) -> list[str]:
    return text.split("flowchart TD\n")[1].splitlines()


def said(quoted: str) -> list[str]:
    """A label as Mermaid shows it, line by line."""
    plain = re.sub(r"<wbr>|</?[bi]>", "", quoted)
    return [html.unescape(re.sub(r"#(\d+);", r"&#\1;", line)) for line in plain.split("<br/>")]


def test_a_machine() -> None:
    text = mermaid(SMALL)
    assert text.startswith(PLAIN)
    assert all(line.split()[0] in ("classDef", "class", "linkStyle") for line in text[len(PLAIN) :].splitlines())


def test_a_run_on_it() -> None:
    text = mermaid(SMALL, overlay(Small.spec, helped().records))
    assert [line for line in RUN.splitlines() if line not in text.splitlines()] == []


def test_a_line_from_many_states_names_them() -> None:
    few, many = (line for line in body(mermaid(diagram(hostile()))) if "<b>few</b>" in line or "<b>many</b>" in line)
    assert "from" not in few
    assert "from new#92;<wbr>nline, end, state, " in many


@EXAMPLES
@given(specs())
def test_no_name_breaks_out_of_its_label(spec: MachineSpec) -> None:
    drawn = diagram(spec)
    found: list[list[str]] = []
    lines = body(mermaid(drawn))
    assert lines == body(mermaid(diagram(MachineSpec.from_json(spec.to_json()))))
    for line in lines:
        match = next(filter(None, (pattern.fullmatch(line.strip()) for pattern in LINES)), None)
        assert match is not None, line
        found += [said(match[1])] if match.re.groups else []
    for box, label in zip(drawn.boxes, found, strict=False):
        written = box_label(box, None)
        assert label == ([*filter(None, [written.name]), *written.facts] or [" "])
    names = [f"{shown(way.line)} refused" if way.kind == "stopped" else shown(way.hop) for way in drawn.arrows]
    assert [label[0] for label in found[len(drawn.boxes) + 1 :]] == names[1:]
    assert sum("|" in line for line in lines) >= sum(not is_shared(way) for way in drawn.arrows)


def test_every_hostile_name_survives_its_escape() -> None:
    assert [said(escaped(shown(name))) for name in HOSTILE] == [[shown(name)] for name in HOSTILE]
