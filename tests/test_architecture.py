"""The architecture, held over every file's syntax tree; nothing is imported to be checked.

Imports point one way, every third party has one door, time and chance come from one module each, nothing
evaluates data, and modules stay small. Imports inside functions and under TYPE_CHECKING count as well: an
import that points the wrong way is a wrong dependency, whenever it runs.
"""

import ast
import builtins
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("fsm", "guards", "machines")

MODULE_LINES_MAX = 300
FUNCTION_LINES_MAX = 60

LEFT_OF = {
    "define": set(),
    "core": {"define"},
    "verify": {"define", "core"},
    "journal": {"define", "core"},
    "runner": {"define", "core", "verify", "journal"},
    "replay": {"define", "core", "verify", "journal"},
    "show": {"define", "core", "verify", "journal", "runner", "replay"},
    "cli": {"define", "core", "verify", "journal", "runner", "replay", "show"},
}
FOUNDATION = {"errors", "clock", "ids", "crash"}  # modules directly in fsm/, for everyone
FRONT = {"__init__", "__main__", "testing"}  # may import all of fsm, and nothing in fsm imports them

DOORS = {
    "transitions": ("fsm/core/engine.py",),
    "sqlite3": ("fsm/journal/",),
    "sqlite_utils": ("fsm/journal/",),
    "rich": ("fsm/show/terminal.py", "fsm/cli/"),
    "click": ("fsm/cli/",),
}
CHANCE = {"uuid", "random", "secrets", "os.urandom", "os.getrandom"}
CLOCKS = {
    *("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns"),
    *("time.clock_gettime", "time.clock_gettime_ns"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
}
EVALUATORS = {"builtins.eval", "builtins.exec", "builtins.__import__", "pickle", "importlib"}
STDLIB = sys.stdlib_module_names
USERS_MAY_IMPORT = {
    "guards": {"guards", "fsm", "attrs", "pydantic", *STDLIB},
    "machines": {"machines", "guards", "fsm", "attrs", "pydantic", *STDLIB},
}
BEHIND_THE_FRONT = {*LEFT_OF, *FOUNDATION, *FRONT} - {"define"}


class Use(NamedTuple):
    """A name that a file uses: its line, and the name from its root, as in `datetime.datetime.now`."""

    line: int
    name: str


class File:
    """A module's path in the repository, its tree, and the outside names it imports and uses."""

    def __init__(self, path: str, source: str) -> None:
        self.path = path
        self.package, *rest = path.removesuffix(".py").split("/")
        self.unit = rest[0]  # the layer, or the module directly in the package
        self.length = len(source.splitlines())
        self.tree = ast.parse(source, path)
        self.imports = list(self._imports())
        self.uses = [*self.imports, *self._uses()]

    def _imports(self) -> Iterator[Use]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (Use(node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                yield from (Use(node.lineno, f"{base}.{alias.name}") for alias in node.names)

    def _absolute(self, node: ast.ImportFrom) -> str:
        here = self.path.split("/")[: -node.level] if node.level else []
        return ".".join([*here, node.module] if node.module else here)

    def _uses(self) -> Iterator[Use]:
        """Every dotted chain that starts at an import or a builtin; a parameter named `random` is neither."""
        known = {name: f"builtins.{name}" for name in dir(builtins)} | self._bound_by_imports()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name | ast.Attribute) and (chain := _dotted(node)) and chain[0] in known:
                yield Use(node.lineno, ".".join([known[chain[0]], *chain[1:]]))

    def _bound_by_imports(self) -> dict[str, str]:
        known: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                roots = (alias.name.partition(".")[0] for alias in node.names if not alias.asname)
                known |= {alias.asname: alias.name for alias in node.names if alias.asname}
                known |= {root: root for root in roots}
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                known |= {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}
        return known


def _dotted(node: ast.expr) -> list[str]:
    """`a.b.c` as its three names; nothing for a chain that starts at a call or an index."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute) and (chain := _dotted(node.value)):
        return [*chain, node.attr]
    return []


def _within(name: str, roots: set[str]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


Faults = Iterator[tuple[int, str]]


def imports_point_left(file: File) -> Faults:
    if file.package != "fsm":
        return
    if file.unit not in {*LEFT_OF, *FOUNDATION, *FRONT}:
        yield 1, "is no part of the house: move it into a layer, or give it a place in this test"
        return
    allowed = _may_import(file.unit)
    for line, name in file.imports:
        top, _, inner = name.partition(".")
        target = inner.partition(".")[0]
        if top in {"guards", "machines", "examples", "tests"}:
            yield line, f"imports {top}: fsm knows none of its users; let the caller hand it in"
        elif top == "fsm" and target not in {*LEFT_OF, *FOUNDATION}:
            yield line, f"imports {name} from the front of fsm: import it from the package that defines it"
        elif top == "fsm" and target not in allowed:
            choice = ", ".join(sorted(allowed))
            yield line, f"imports {name}: {file.unit} may import {choice}; move it left, or pass the value in"


def _may_import(unit: str) -> set[str]:
    if unit in FRONT:
        return {*LEFT_OF, *FOUNDATION}
    return FOUNDATION if unit in FOUNDATION else {unit} | LEFT_OF[unit] | FOUNDATION


def users_import_the_front(file: File) -> Faults:
    allowed = USERS_MAY_IMPORT.get(file.package, set())
    for line, name in file.imports if allowed else ():
        top, _, inner = name.partition(".")
        if top not in allowed:
            yield line, f"imports {top}: {file.package} may import only {', '.join(sorted(allowed - STDLIB))}"
        elif file.package == "guards" and top == "fsm" and inner.partition(".")[0] in BEHIND_THE_FRONT:
            yield line, f"imports {name}: a guard, like any user's, takes it from fsm itself or fsm.define"


def third_parties_have_one_door(file: File) -> Faults:
    for line, name in file.imports:
        doors = DOORS.get(name.partition(".")[0], ())
        if doors and not file.path.startswith(doors):
            yield line, f"imports {name}: only {' and '.join(doors)} may; ask what stands there for it"


def time_and_chance_have_one_source(file: File) -> Faults:
    for line, name in file.uses:
        if name in CLOCKS and file.path != "fsm/clock.py":
            yield line, f"reads {name}: take a clock as an argument; only fsm/clock.py reads the host's"
        if _within(name, CHANCE) and file.path != "fsm/ids.py":
            yield line, f"uses {name}: take ids and randomness as arguments; only fsm/ids.py makes them"


def nothing_evaluates_data(file: File) -> Faults:
    allowed = {"importlib"} if file.path.startswith(("fsm/cli/", "fsm/__init__.py")) else set()
    for line, name in file.uses if file.package == "fsm" else ():
        if _within(name, EVALUATORS - allowed):
            yield line, f"uses {name}: data is never evaluated; pass the object in, or let fsm/cli/ import it"


def things_stay_small(file: File) -> Faults:
    if file.length > MODULE_LINES_MAX:
        yield file.length, f"has more than {MODULE_LINES_MAX} lines: split the module along its ideas"
    for node in ast.walk(file.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield node.lineno, f"{node.name} has {lines} lines, above {FUNCTION_LINES_MAX}: split it"


Rule = Callable[[File], Faults]
RULES: list[Rule] = [
    imports_point_left,
    users_import_the_front,
    third_parties_have_one_door,
    time_and_chance_have_one_source,
    nothing_evaluates_data,
    things_stay_small,
]


def faults(rule: Rule, file: File) -> list[str]:
    return [f"{file.path}:{line} {text}" for line, text in sorted(set(rule(file)))]


@pytest.fixture(scope="module")
def files() -> list[File]:
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return [File(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in paths]


def test_the_files_are_seen(files: list[File]) -> None:
    assert any(file.path.startswith("fsm/define/") for file in files), f"no files of fsm/define below {ROOT}"


@pytest.mark.parametrize("rule", RULES)
def test_the_house_stands(rule: Rule, files: list[File]) -> None:
    found = [fault for file in files for fault in faults(rule, file)]
    assert not found, "\n" + "\n".join(found)


# The checker, checked: each of these sources breaks its rule once, on its last line.
WRONG: list[tuple[Rule, str, str]] = [
    (imports_point_left, "fsm/define/spec.py", "from fsm.core.select import select"),
    (imports_point_left, "fsm/define/spec.py", "from ..core import select"),
    (imports_point_left, "fsm/define/spec.py", "def late():\n    import fsm.core"),
    (imports_point_left, "fsm/core/select.py", "if TYPE_CHECKING:\n    from fsm import journal"),
    (imports_point_left, "fsm/core/select.py", "from fsm import Machine"),
    (imports_point_left, "fsm/core/select.py", "from .. import Machine"),
    (imports_point_left, "fsm/core/select.py", "import fsm"),
    (imports_point_left, "fsm/journal/writer.py", "from fsm.verify.bounds import Bound"),
    (imports_point_left, "fsm/verify/bounds.py", "import fsm.journal.reader as reader"),
    (imports_point_left, "fsm/runner/runner.py", "from fsm.replay import replay"),
    (imports_point_left, "fsm/replay/fork.py", "from fsm.runner import Runner"),
    (imports_point_left, "fsm/show/page.py", "from fsm.cli import main"),
    (imports_point_left, "fsm/cli/run.py", "from fsm.testing import Clock"),
    (imports_point_left, "fsm/errors.py", "from fsm.define import State"),
    (imports_point_left, "fsm/core/select.py", "from guards import LoopCap"),
    (imports_point_left, "fsm/__init__.py", "from .testing import Clock"),
    (imports_point_left, "fsm/utils.py", "x = 1"),
    (users_import_the_front, "guards/cap.py", "from machines import ReviewLoop"),
    (users_import_the_front, "guards/cap.py", "import numpy"),
    (users_import_the_front, "guards/cap.py", "from fsm.core.snapshot import Snapshot"),
    (users_import_the_front, "guards/cap.py", "from fsm import journal"),
    (users_import_the_front, "machines/loop.py", "import examples.docs_desk"),
    (third_parties_have_one_door, "fsm/core/select.py", "import transitions.core"),
    (third_parties_have_one_door, "fsm/replay/fork.py", "from sqlite3 import connect"),
    (third_parties_have_one_door, "fsm/show/page.py", "import sqlite_utils"),
    (third_parties_have_one_door, "fsm/show/page.py", "from rich.table import Table"),
    (third_parties_have_one_door, "machines/loop.py", "import click"),
    (time_and_chance_have_one_source, "fsm/core/select.py", "import time\nnow = time.time()"),
    (time_and_chance_have_one_source, "fsm/core/select.py", "import time as t\nclock = t.monotonic"),
    (time_and_chance_have_one_source, "fsm/core/select.py", "from time import time_ns"),
    (time_and_chance_have_one_source, "guards/cap.py", "import datetime\nx = datetime.datetime.now(utc)"),
    (time_and_chance_have_one_source, "guards/cap.py", "from datetime import datetime\nx = datetime.now()"),
    (time_and_chance_have_one_source, "machines/loop.py", "from datetime import date as d\nx = d.today()"),
    (time_and_chance_have_one_source, "fsm/runner/runner.py", "from uuid import uuid4"),
    (time_and_chance_have_one_source, "fsm/clock.py", "import random"),
    (nothing_evaluates_data, "fsm/define/spec.py", "x = eval('1')"),
    (nothing_evaluates_data, "fsm/define/spec.py", "run = exec"),
    (nothing_evaluates_data, "fsm/define/spec.py", "x = __import__('os')"),
    (nothing_evaluates_data, "fsm/define/spec.py", "import builtins\nx = builtins.eval"),
    (nothing_evaluates_data, "fsm/journal/reader.py", "from pickle import loads"),
    (nothing_evaluates_data, "fsm/cli/run.py", "import pickle"),
    (nothing_evaluates_data, "fsm/replay/replay.py", "import importlib.util"),
    (things_stay_small, "fsm/core/select.py", "\n" * MODULE_LINES_MAX + "x = 1"),
]

RIGHT: list[tuple[Rule, str, str]] = [
    (imports_point_left, "fsm/core/select.py", "from fsm import errors\nfrom fsm.define import State"),
    (imports_point_left, "fsm/runner/runner.py", "from . import visit\nfrom ..journal.writer import Writer"),
    (imports_point_left, "fsm/ids.py", "from fsm.errors import FsmError"),
    (imports_point_left, "fsm/__init__.py", "from fsm.cli import main\nfrom .define import State"),
    (users_import_the_front, "guards/cap.py", "import attrs, json\nfrom fsm import Guard"),
    (users_import_the_front, "guards/cap.py", "from . import base\nfrom .base import Cap"),
    (users_import_the_front, "guards/cap.py", "from fsm.define.guard import Guard"),
    (users_import_the_front, "machines/loop.py", "import pydantic\nfrom guards import LoopCap"),
    (third_parties_have_one_door, "fsm/core/engine.py", "from transitions import Machine"),
    (third_parties_have_one_door, "fsm/cli/run.py", "import click\nfrom rich.console import Console"),
    (third_parties_have_one_door, "fsm/core/select.py", "from fsm.define import transitions"),
    (time_and_chance_have_one_source, "fsm/clock.py", "import time\nnow = time.time"),
    (time_and_chance_have_one_source, "fsm/ids.py", "from uuid import uuid4"),
    (time_and_chance_have_one_source, "fsm/runner/runner.py", "import time\ntime.sleep(time.perf_counter())"),
    (time_and_chance_have_one_source, "fsm/runner/runner.py", "def f(clock):\n    return clock.time.now()"),
    (time_and_chance_have_one_source, "fsm/runner/runner.py", "def f(random):\n    return random.random()"),
    (nothing_evaluates_data, "fsm/cli/run.py", "import importlib\nx = importlib.import_module"),
    (nothing_evaluates_data, "fsm/journal/writer.py", "connection.exec(model.eval())"),
    (things_stay_small, "fsm/core/select.py", "\n" * MODULE_LINES_MAX),
]


@pytest.mark.parametrize(("rule", "path", "source"), WRONG)
def test_the_checker_sees_what_is_wrong(rule: Rule, path: str, source: str) -> None:
    lines = len(source.splitlines())
    found = faults(rule, File(path, source))
    assert [fault.split()[0] for fault in found] == [f"{path}:{lines}"]


@pytest.mark.parametrize(("rule", "path", "source"), RIGHT)
def test_the_checker_lets_pass_what_is_right(rule: Rule, path: str, source: str) -> None:
    assert faults(rule, File(path, source)) == []


@pytest.mark.parametrize(("lines", "seen"), [(FUNCTION_LINES_MAX, False), (FUNCTION_LINES_MAX + 1, True)])
def test_the_checker_measures_functions(lines: int, seen: bool) -> None:
    source = "async def long():\n" + "    pass\n" * (lines - 1)
    assert bool(faults(things_stay_small, File("fsm/core/select.py", source))) == seen
