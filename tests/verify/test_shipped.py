"""Every machine that is shipped or shown is checked, and its docstring says what the check says."""

import inspect
from pathlib import Path

import pytest

import machines
from fsm import Machine, MachineSpec, check
from fsm.cli.parts.target import machine
from fsm.show.verdict import table

EXAMPLES = Path(__file__).parents[2] / "examples"
SHIPPED = [f"machines:{name}" for name in machines.__all__]
SHOWN = [f"{path}" for path in sorted(EXAMPLES.glob("*.py")) if "(Machine" in path.read_text()]


@pytest.mark.parametrize("target", [*SHIPPED, *SHOWN], ids=lambda target: Path(target).name)
def test_its_docstring_holds_its_verdict(target: str):
    found = named(target)
    report = check(found.spec)
    assert not report.errors, str(report)
    doc = inspect.getdoc(found) or ""
    written = "\n".join(line[4:] for line in doc.partition("`fsm check`")[2].splitlines() if line.startswith("    "))
    assert written == table(report), f"write into the docstring of {found.__name__}:\n{table(report)}"


@pytest.mark.parametrize("target", SHIPPED)
def test_what_is_shipped_has_no_warnings_either(target: str):
    assert check(named(target).spec).warnings == ()


def named(target: str) -> type[Machine]:
    module, _, name = target.partition(":")
    found = getattr(machines, name) if module == "machines" else machine(target)
    assert issubclass(found, Machine)
    return found


def test_the_verdict_in_one_line():
    assert check(machines.ReviewLoop.spec).headline == (
        "ReviewLoop: every run ends  (by its caps); at most 13 hops, 1 approval"
    )


def test_a_machine_from_json_has_the_same_verdict():
    spec = machines.ReviewLoop.spec
    assert table(check(MachineSpec.from_json(spec.to_json()))) == table(check(spec))
