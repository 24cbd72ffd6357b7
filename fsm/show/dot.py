"""A diagram as Graphviz text, for everything that reads `dot`.

Every text stands in an HTML-like label, where the signs of HTML and the backslash are all there is to escape; so
names may be anything. The background is left open and lines are of a middle grey, for light and dark pages.
"""

from collections.abc import Iterator

from attrs import define, field

from fsm.show.diagram import Arrow, Box, BoxKind, Diagram
from fsm.show.labels import Label, Tone, arrow_label, box_label, is_shared, junction_label, spokes, tone
from fsm.show.overlay import Overlay

SIGNS = frozenset('&<>"[]')  # `]]>` may not stand in XML text
GREY = "#727a84"
HEAD = f"""\
  graph [bgcolor=transparent, nodesep=0.4, ranksep=0.5, fontname="Helvetica"]
  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=12, margin="0.18,0.1", penwidth=1.2]
  edge [color="{GREY}", fontcolor="{GREY}", fontname="Helvetica", fontsize=10, arrowsize=0.8]"""
BOXES: dict[BoxKind, str] = {
    "agent": 'fillcolor="#ddf4ff", color="#54aeff", fontcolor="#0a3069"',
    "waiting": 'fillcolor="#fff8c5", color="#d4a72c", fontcolor="#4d2d00", shape=ellipse, style=filled',
    "completed": 'fillcolor="#dafbe1", color="#4ac26b", fontcolor="#04260f", style=filled, peripheries=2',
    "failed": 'fillcolor="#ffebe9", color="#ff8182", fontcolor="#4c0014", style=filled, peripheries=2',
    "start": f'shape=circle, width=0.22, fixedsize=true, style=filled, fillcolor="{GREY}", color="{GREY}"',
    "anywhere": f'fillcolor="#f6f8fa", color="{GREY}", fontcolor="#24292f", style="filled,dashed"',
    "stopped": 'fillcolor="#cf222e", color="#a40e26", fontcolor="#ffffff", shape=octagon, style=filled',
}
LINE = f'fillcolor="#f6f8fa", color="{GREY}", fontcolor="#24292f", fontsize=10'
UNSEEN = f'fillcolor=transparent, fontcolor="{GREY}"'
HERE = "penwidth=4"
ARROWS: dict[Tone, str] = {
    "plain": f'color="{GREY}"',
    "failing": 'color="#d1606a"',
    "otherwise": 'color="#c98a1b", style=dashed',
    "stopped": 'color="#d1606a", style=dashed',
}
TAKEN: dict[Tone, str] = {
    "plain": 'color="#2da44e", penwidth=2.5',
    "failing": 'color="#cf222e", penwidth=2.5',
    "otherwise": 'color="#bf8700", penwidth=2.5, style=dashed',
    "stopped": 'color="#cf222e", penwidth=2.5, style=dashed',
}


def dot(diagram: Diagram, run: Overlay | None = None) -> str:
    """The diagram, and the run on it, as one Graphviz text; the same input gives the same bytes."""
    return _Text(diagram, run).text()


@define
class _Text:
    diagram: Diagram
    run: Overlay | None
    names: dict[str, str] = field(init=False)
    shared: dict[str, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.names = {box.id: box.name for box in self.diagram.boxes}
        self.shared = {arrow.line: arrow.id for arrow in self.diagram.arrows if is_shared(arrow)}

    def text(self) -> str:
        lines = ["digraph machine {", HEAD, *(f"  {self._box(box)}" for box in self.diagram.boxes)]
        for arrow in self.diagram.arrows:
            lines += [f"  {line}" for line in (self._shared(arrow) if is_shared(arrow) else self._arrow(arrow))]
        return "\n".join([*lines, "}"]) + "\n"

    def _box(self, box: Box) -> str:
        label = box_label(box, self.run)
        here = self.run is not None and box.is_state and self.run.state == box.name
        more = [UNSEEN] if not label.seen else [HERE] if here else []
        return f"{box.id} [{', '.join([_label(label), BOXES[box.kind], *more])}]"

    def _shared(self, arrow: Arrow) -> Iterator[str]:
        """A line from several states: its label is a box of its own, between them and its target."""
        label, way = junction_label(arrow, self.diagram, self.run), tone(arrow, self.diagram)
        yield f"{arrow.id} [{', '.join([_label(label), LINE, *([] if label.seen else [UNSEEN])])}]"
        for source in spokes(arrow):
            taken = self.run is None or self.run.times(arrow.hop, self.names[source]) > 0
            yield f"{source} -> {arrow.id} [dir=none, {self._style(way, taken)}]"
        yield f"{arrow.id} -> {arrow.target} [{self._style(way, label.seen)}]"

    def _arrow(self, arrow: Arrow) -> Iterator[str]:
        label, way = arrow_label(arrow, self.run), tone(arrow, self.diagram)
        junction = self.shared.get(arrow.line) if arrow.standing == "transition" else None
        source = junction or arrow.sources[0]
        yield f"{source} -> {arrow.target} [{_label(label, '&#160;')}, {self._style(way, label.seen)}]"

    def _style(self, way: Tone, seen: bool) -> str:
        return TAKEN[way] if seen and self.run is not None else ARROWS[way]


def _label(label: Label, pad: str = "") -> str:
    """The label's lines; `pad` keeps those at an arrow off it."""
    head = f"<B>{escaped(label.name)}</B>" if label.name else ""
    head += f" {escaped(label.times)}" if label.times else ""
    told = [head, *map(escaped, label.facts), *(f"<I>{escaped(note)}</I>" for note in label.noted)]
    return f"label=<{'<BR/>'.join(f'{pad}{line}{pad}' for line in told if line) or ' '}>"


def escaped(text: str) -> str:
    """The text as it may stand within an HTML-like label."""
    return "".join(f"&#{ord(char)};" if char in SIGNS else char for char in text.replace("\\", "\\\\"))
