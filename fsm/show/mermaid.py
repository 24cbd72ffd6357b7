"""A diagram as Mermaid text, for READMEs and everything else that draws ```` ```mermaid ```` blocks.

A `flowchart`, not a `stateDiagram-v2`: only a flowchart styles single arrows, which the path of a run needs,
dashes them, which tells a refused way from a direct one, and gives states the shapes that tell them apart.

Ids are ours and every text is a quoted label, so names may be anything: all but letters, digits and a few
harmless signs is written as `#number;`, which Mermaid turns back into the character after it has read the
text. Fills bring their own text colour and lines are of a middle grey, so light and dark pages both do.
Mermaid itself draws at most 500 arrows and 50,000 characters unless its page allows more. Up to its release 11 it
reads `**`, `__` and doubled backslashes within a name as Markdown: such a name then shows without them.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from attrs import define, field

from fsm.show.diagram import Arrow, Box, Diagram
from fsm.show.labels import Label, Tone, arrow_label, box_label, is_shared, junction_label, spokes, tone
from fsm.show.overlay import Overlay

PLAIN = frozenset(" _.,-'/+!?")  # besides letters and digits
INNER = "\ufb02\u00b0\u00b6\u00df"  # signs by which Mermaid remembers an escape while it works
# Where Mermaid sees a meaning once the escapes are undone: a line break, a formula, an icon, its own signs.
MEANT = re.compile(r"(?<=\\)(?=n)|(?<=\$)(?=\$)|(?<=:)(?=\S)|(?<=\ufb02)(?=\u00b0)|(?<=\u00b6)(?=\u00df)")
HEAD = """\
---
config:
  flowchart:
    wrappingWidth: 320
---
flowchart TD"""
SHAPES = {
    "agent": ("(", ")"),
    "waiting": ("([", "])"),
    "completed": ("[[", "]]"),
    "failed": ("[[", "]]"),
    "start": ("((", "))"),
    "anywhere": ("[", "]"),
    "stopped": ("{{", "}}"),
}
LINES: dict[Tone, tuple[str, str]] = {
    "plain": ("-->", "#8b949e"),
    "failing": ("-->", "#d1606a"),
    "otherwise": ("-.->", "#c98a1b"),
    "stopped": ("-.->", "#d1606a"),
}
TAKEN: dict[Tone, str] = {"plain": "#2da44e", "failing": "#cf222e", "otherwise": "#bf8700", "stopped": "#cf222e"}
CLASSES = {
    "agent": "fill:#ddf4ff,stroke:#54aeff,color:#0a3069",
    "waiting": "fill:#fff8c5,stroke:#d4a72c,color:#4d2d00",
    "completed": "fill:#dafbe1,stroke:#4ac26b,color:#04260f",
    "failed": "fill:#ffebe9,stroke:#ff8182,color:#4c0014",
    "start": "fill:#8b949e,stroke:#8b949e,color:#8b949e",
    "anywhere": "fill:#f6f8fa,stroke:#8b949e,color:#24292f,stroke-dasharray:4 3",
    "stopped": "fill:#cf222e,stroke:#a40e26,color:#ffffff",
    "line": "fill:#f6f8fa,stroke:#8b949e,color:#24292f",
    "unseen": "fill:transparent,color:#727a84",
    "here": "stroke-width:4px",
}


def mermaid(diagram: Diagram, run: Overlay | None = None) -> str:
    """The diagram, and the run on it, as one Mermaid text; the same input gives the same bytes."""
    return _Text(diagram, run).text()


@define
class _Text:
    """The diagram, and which links have been written so far: Mermaid styles a link by its number."""

    diagram: Diagram
    run: Overlay | None
    links: list[tuple[Tone, bool]] = field(factory=list)
    classed: dict[str, list[str]] = field(factory=lambda: defaultdict(list))

    def text(self) -> str:
        shared = {arrow.line: arrow.id for arrow in self.diagram.arrows if is_shared(arrow)}
        lines = [HEAD, *map(self._box, self.diagram.boxes)]
        for arrow in self.diagram.arrows:
            lines += self._shared(arrow) if is_shared(arrow) else self._arrow(arrow, shared)
        styles = [f"classDef {name} {style}" for name, style in CLASSES.items() if name in self.classed]
        classes = [f"class {','.join(ids)} {name}" for name in CLASSES if (ids := self.classed.get(name))]
        return "\n  ".join([*lines, *styles, *classes, *self._link_styles()]) + "\n"

    def _box(self, box: Box) -> str:
        label = box_label(box, self.run)
        self.classed[box.kind].append(box.id)
        if not label.seen:
            self.classed["unseen"].append(box.id)
        if self.run is not None and box.is_state and self.run.state == box.name:
            self.classed["here"].append(box.id)
        opening, closing = SHAPES[box.kind]
        return f"{box.id}{opening}{_quoted(label)}{closing}"

    def _shared(self, arrow: Arrow) -> Iterator[str]:
        """A line from several states: its label is a box of its own, between them and its target."""
        label, way = junction_label(arrow, self.diagram, self.run), tone(arrow, self.diagram)
        self.classed["line"].append(arrow.id)
        if not label.seen:
            self.classed["unseen"].append(arrow.id)
        yield f"{arrow.id}([{_quoted(label)}])"
        names = {box.id: box.name for box in self.diagram.boxes}
        for source in spokes(arrow):
            taken = self.run is None or self.run.times(arrow.hop, names[source]) > 0
            yield self._link(source, "---", arrow.id, way, taken)
        yield self._link(arrow.id, LINES[way][0], arrow.target, way, label.seen)

    def _arrow(self, arrow: Arrow, shared: dict[str, str]) -> Iterator[str]:
        label, way = arrow_label(arrow, self.run), tone(arrow, self.diagram)
        junction = shared.get(arrow.line) if arrow.standing == "transition" else None
        source = junction or arrow.sources[0]
        yield self._link(source, f"{LINES[way][0]}|{_quoted(label)}|", arrow.target, way, label.seen)

    def _link(self, source: str, drawn: str, target: str, way: Tone, seen: bool) -> str:
        self.links.append((way, seen))
        return f"{source} {drawn} {target}"

    def _link_styles(self) -> Iterator[str]:
        numbers: dict[str, list[str]] = defaultdict(list)
        for number, (way, seen) in enumerate(self.links):
            numbers[self._style(way, seen)].append(str(number))
        return (f"linkStyle {','.join(links)} {style}" for style, links in numbers.items())

    def _style(self, way: Tone, seen: bool) -> str:
        if self.run is None:
            return f"stroke:{LINES[way][1]},stroke-width:1.5px"
        return f"stroke:{TAKEN[way]},stroke-width:3px" if seen else f"stroke:{LINES[way][1]},stroke-width:1px"


def _quoted(label: Label) -> str:
    head = f"<b>{escaped(label.name)}</b>" if label.name else ""
    head += f" {escaped(label.times)}" if label.times else ""
    told = [head, *map(escaped, label.facts), *(f"<i>{escaped(note)}</i>" for note in label.noted)]
    return f'"{"<br/>".join(filter(None, told)) or " "}"'


def escaped(text: str) -> str:
    """The text as it may stand within a quoted label."""
    return "<wbr>".join("".join(map(_escaped, part)) for part in MEANT.split(text))


def _escaped(char: str) -> str:
    plain = char in PLAIN or (char.isalnum() and char not in INNER)
    return char if plain else f"#{ord(char)};"
