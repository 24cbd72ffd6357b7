"""Every Mermaid text parses and renders in real Mermaid, and says there what it says here."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given

from fsm.define.spec import MachineSpec
from fsm.show.diagram import Diagram, diagram
from fsm.show.labels import Label, arrow_label, box_label, is_shared, junction_label, spokes
from fsm.show.mermaid import mermaid
from fsm.show.overlay import Overlay, overlay
from fsm.show.words import shown
from machines import ReviewLoop
from tests.browser.conftest import Draw, Drawn
from tests.browser.pictures import reviewed, shipped
from tests.core.trip import Trip
from tests.show.small import helped, kept_out, stopped, tried
from tests.show.specs import TOOL, hostile, specs


def written(label: Label) -> str:
    """A label as the picture should show it."""
    head = f"{label.name} {label.times}".strip(" ") if label.name else ""
    return "\n".join(filter(None, [head, *label.facts, *label.noted]))


def check(of: Diagram, run: Overlay | None, drawn: Drawn) -> None:
    """The picture holds every box and every arrow with its whole label, and nothing else."""
    shared = [way for way in of.arrows if is_shared(way)]
    boxes = {box.id: written(box_label(box, run)) for box in of.boxes}
    boxes |= {way.id: written(junction_label(way, of, run)) for way in shared}
    assert {id: text.strip(" ") for id, text in drawn["boxes"].items()} == boxes
    arrows = [written(arrow_label(way, run)) for way in of.arrows if not is_shared(way)]
    assert sorted(drawn["arrows"]) == sorted(arrows)
    assert drawn["links"] == len(arrows) + sum(len(spokes(way)) + 1 for way in shared)
    assert (drawn["scripts"], drawn["requests"]) == (0, [])


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_machine_is_drawn_whole(name: str, draw: Draw) -> None:
    of = diagram(shipped()[name])
    check(of, None, draw(mermaid(of)))


@pytest.mark.parametrize("theme", ["default", "dark"])
def test_a_recorded_run_is_drawn(theme: str, draw: Draw, tmp_path: Path) -> None:
    of, run = diagram(ReviewLoop.spec), asyncio.run(reviewed(tmp_path / "runs.db"))
    drawn = draw(mermaid(of, run), theme=theme, png=tmp_path / "run.png")
    check(of, run, drawn)
    assert drawn["boxes"]["s0"] == "research\n4 visits"
    assert "reject ×3\nVerdict\nLoopCap: up to 3 times\nrefused: loop_cap ×1" in drawn["arrows"]
    assert (tmp_path / "run.png").stat().st_size > 20_000


@pytest.mark.parametrize("trip", [helped, stopped, kept_out, tried])
def test_every_kind_of_run_is_drawn(trip: Callable[[], Trip], draw: Draw) -> None:
    made = trip()
    of, run = diagram(made.machine.spec), overlay(made.machine.spec, made.records)
    check(of, run, draw(mermaid(of, run)))


def test_hostile_names_survive_the_round_trip(draw: Draw) -> None:
    of = diagram(hostile())
    drawn = draw(mermaid(of))
    assert [drawn["boxes"][box.id].split("\n")[0] for box in of.states] == [shown(box.name) for box in of.states]
    check(of, None, drawn)


@TOOL
@given(spec=specs())
def test_any_machine_is_drawn_whole(spec: MachineSpec, draw: Draw) -> None:
    check(diagram(spec), None, draw(mermaid(diagram(spec))))
