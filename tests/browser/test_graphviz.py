"""Graphviz accepts every text, and its picture says what the diagram says."""

import subprocess
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given

from fsm.define.spec import MachineSpec
from fsm.show.diagram import diagram
from fsm.show.dot import dot
from fsm.show.overlay import overlay
from fsm.show.words import shown
from tests.browser.pictures import shipped
from tests.core.trip import Trip
from tests.show.small import helped, kept_out, stopped, tried
from tests.show.specs import TOOL, hostile, specs

SVG = "{http://www.w3.org/2000/svg}"


def texts(graphviz: str, text: str) -> list[str]:
    """Every piece of text in the picture; Graphviz must not say a word about what it was given."""
    done = subprocess.run([graphviz, "-Tsvg"], input=text.encode(), capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return [
        "".join(element.itertext()).strip("\u00a0")
        for element in ElementTree.fromstring(done.stdout).iter(f"{SVG}text")
    ]


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_machine_is_drawn(name: str, graphviz: str) -> None:
    of = diagram(shipped()[name])
    found = texts(graphviz, dot(of))
    assert {box.name for box in of.states} | {way.hop for way in of.arrows if way.kind == "direct"} <= {*found}


@pytest.mark.parametrize("trip", [helped, stopped, kept_out, tried])
def test_a_run_is_drawn(trip: Callable[[], Trip], graphviz: str) -> None:
    made = trip()
    run = overlay(made.machine.spec, made.records)
    assert "1 visit" in " ".join(texts(graphviz, dot(diagram(made.machine.spec), run)))


def test_hostile_names_survive(graphviz: str) -> None:
    of = diagram(hostile())
    found = {text.replace("\u00a0", " ") for text in texts(graphviz, dot(of))}
    assert {shown(box.name) for box in of.states} <= found


@TOOL
@given(spec=specs())
def test_any_machine_is_accepted(spec: MachineSpec, graphviz: str) -> None:
    assert texts(graphviz, dot(diagram(spec)))
