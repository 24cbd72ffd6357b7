"""From what a user types to a machine: one class a name, and errors that say what to do."""

import sys
from pathlib import Path

import click
import pytest

from fsm.cli.parts.target import TargetError, machine, machines
from fsm.errors import DefinitionError
from tests.cli.conftest import Fsm

FLOW = """
from fsm import Machine, State
from {models} import Go
class Flow(Machine):
    a = State(initial=Go)
    b = State(final="completed")
    go = a.to(b, on=Go)
"""
MODELS = "from pydantic import BaseModel\nclass Go(BaseModel):\n    n: int = 0\n"


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_file_beside_others_is_imported_by_its_own_name(folder: Path):
    write(folder, flow=FLOW.format(models="models"), models=MODELS)
    flow = machine("flow.py:Flow")
    assert flow.__module__ == "flow"
    assert flow.spec.classes["Go"] is sys.modules["models"].Go
    assert machine("flow.py") is machine("flow:Flow") is flow


def test_a_file_in_a_package_is_imported_under_its_full_name_so_relative_imports_work(folder: Path):
    write(folder, shop__flow=FLOW.format(models=".models"), shop__models=MODELS)
    (folder / "shop" / "__init__.py").touch()
    flow = machine(str(folder / "shop" / "flow.py") + ":Flow")
    assert flow.__module__ == "shop.flow"
    assert machine("shop.flow:Flow") is flow


def test_a_machine_made_with_agents_is_one_of_its_module(folder: Path):
    write(folder, desk=DESK)
    assert machine("desk.py").spec.name == "ReviewLoop"


DESK = """
from fsm.testing import hang
from machines.review_loop import ReviewLoop
Desk = ReviewLoop.with_agents(research=hang, draft=hang, review=hang)
"""


@pytest.mark.parametrize("package", ["machines", "guards"])
@pytest.mark.parametrize("marked", [True, False], ids=["a package", "a plain folder"])
def test_a_folder_named_like_our_packages_is_survived_or_explained(folder: Path, package: str, marked: bool):
    write(folder, **{f"{package}__flow": FLOW.format(models="models"), f"{package}__models": MODELS})
    if not marked:
        assert machine(f"{package}/flow.py:Flow").__module__ == "flow"
        return
    (folder / package / "__init__.py").touch()
    with pytest.raises(TargetError) as told:
        machine(f"{package}/flow.py:Flow")
    assert f"{package} is the name of Turnstile's own package" in str(told.value)
    assert f"rename the folder {package}/" in str(told.value)


def test_such_a_folder_beside_the_file_does_no_harm(folder: Path):
    for package in ("machines", "guards"):
        write(folder, **{f"{package}____init__": "raise RuntimeError('not ours')"})
    assert machine("door.py").spec.name == "Door"


def test_a_name_that_is_taken_is_refused(folder: Path):
    write(folder, json=FLOW.format(models="models"), models=MODELS)
    with pytest.raises(TargetError, match=r"json\.py would be imported as json, but that name is taken by"):
        machine("json.py:Flow")


def test_a_file_that_would_be_there_twice_is_refused(folder: Path):
    """The folder is no package, yet others import it as one: two classes of each name, no payload would match."""
    write(folder, app__flow=FLOW.format(models="app.models") + "import app.flow\n", app__models=MODELS)
    with pytest.raises(TargetError, match=r"imported twice, as flow and as app\.flow(.|\n)*-> .*app\.flow:Machine"):
        machine("app/flow.py:Flow")


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("none.py:Door", "there is no file .*none.py"),
        ("door.py:Dor", "door has no Dor; its machines are: Door"),
        ("door.py:Knock", "door has a Knock, which is no Machine; its machines are: Door"),
        ("two.py", "name the machine: two.py:Machine; its machines are: One, Two"),
        ("empty.py", "it defines no machine"),
        ("door.txt", "neither a file .FILE.py:Machine. nor a module"),
        ("no-module:Door", "neither a file .FILE.py:Machine. nor a module"),
    ],
)
def test_a_target_that_names_nothing_is_a_usage_error(folder: Path, target: str, told: str):
    (folder / "door.txt").touch()
    write(
        folder, two="from door import Door\nclass One(Door): pass\nclass Two(Door): pass\n", empty="from door import *"
    )
    with pytest.raises(click.UsageError, match=told):
        machine(target)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1 / 0\n", r"ZeroDivisionError: division by zero\n  .*bad\.py:1: x = 1 / 0"),
        ("import nothing_like_it\n", r"ModuleNotFoundError: No module named 'nothing_like_it'\n  .*bad\.py:1: import"),
        ("class Bad(:\n", r"SyntaxError: .*\n  .*bad\.py:1: class Bad\(:"),
    ],
)
def test_a_file_that_fails_is_told_with_its_line(folder: Path, text: str, told: str):
    write(folder, bad=text)
    with pytest.raises(TargetError, match=told):
        machine("bad.py")


def test_a_wrong_definition_is_told_as_such(folder: Path):
    write(folder, bad="from door import *\nclass Bad(Door):\n    far = Door.porch.to('hall', on=Seen)\n")
    with pytest.raises(DefinitionError, match="its target is 'hall', not a state"):
        machine("bad.py")


def test_without_a_target_the_machines_are_those_of_the_project(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "pyproject.toml").write_text('[tool.fsm]\nmachines = ["door.py:Door"]\n')
    (folder / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(folder / "deep" / "down")
    assert [found.spec.name for found in machines(())] == ["Door"]
    assert [found.spec.name for found in machines(("../../door.py",))] == ["Door"]


def test_a_module_without_a_name_stands_for_all_its_machines(folder: Path, fsm: Fsm):
    write(folder, two="from door import *\nclass One(Door): pass\nclass Two(Door): pass\n")
    assert [found.spec.name for found in machines(("two.py",))] == ["One", "Two"]
    (folder / "pyproject.toml").write_text('[tool.fsm]\nmachines = ["two.py"]\n')
    assert [found.spec.name for found in machines(())] == ["One", "Two"]
    assert machine("Two").spec.name == "Two"
    write(folder, empty="")
    with pytest.raises(click.UsageError, match=r"empty\.py defines no machine"):
        machines(("empty.py",))


def test_a_plain_name_is_that_of_a_machine_of_the_project(folder: Path, fsm: Fsm):
    (folder / "pyproject.toml").write_text('[tool.fsm]\nmachines = ["door.py:Door", "broken.py:Broken"]\n')
    assert fsm("diagram", "Door").output.startswith("Door")
    started = fsm("run", "Door", "--input", '{"by": "ann"}', "--run-id", "42")
    assert started.exit_code == 3
    assert "-m" not in started.stdout
    assert fsm("diagram", "42").exit_code == 0


def test_an_error_of_a_listed_machine_says_where_it_is_listed(folder: Path):
    (folder / "pyproject.toml").write_text('[tool.fsm]\nmachines = ["none.py:Door"]\n')
    with pytest.raises(
        click.UsageError, match=r"'none\.py:Door' in \[tool\.fsm\] of .*pyproject\.toml: there is no file"
    ):
        machines(())
