"""From `FILE.py:Machine` or `package.module:Machine` to the machine, imported as its siblings would import it.

A file is imported under its full dotted name, counted from the topmost folder that is a package, so a class
has one name whoever imports it, and relative imports work. Turnstile's own packages are imported before
any folder of the user's comes onto the path, since `guards` and `machines` are plain names.
"""

import contextlib
import importlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import click
from attrs import evolve

from fsm.cli.parts.project import FILE, Project, project, split
from fsm.define.machine import Machine
from fsm.define.prices import Prices

OURS = ("fsm", "guards", "machines")


class TargetError(click.ClickException):
    """The machine cannot be had: its file fails, or holds none."""

    exit_code = 1


def machine(target: str) -> type[Machine]:
    """The machine that `target` names; a plain name is that of a machine of the project, if it has one so named.

    Raises `click.UsageError` where there is no such file or machine, `DefinitionError` where the definition is
    wrong, `TargetError` where the file itself fails.
    """
    own = of_project(target, ("",))
    if own is not None:
        return own
    where, name = split(target)
    module = _loaded(where, Path.cwd())
    return _named(module, name) if name else _only(module, where)


def machines(targets: Sequence[str]) -> list[type[Machine]]:
    """The machines given on the command line; where none is, those of the project.

    A target without a machine's name stands for all that its module makes.
    """
    if not targets:
        return _of(project())
    found: list[type[Machine]] = []
    for target in targets:
        own = of_project(target, ("",))
        found += [own] if own is not None else _all(target, Path.cwd())
    return found


def of_entry(target: str) -> list[type[Machine]]:
    """The machines that one entry of the project's list stands for."""
    return _of(evolve(project(), machines=[target]))


def of_project(name: str, also: Sequence[str] = ()) -> type[Machine] | None:
    """The machine that the project lists under this plain name; `also` in entries of other names, "" for none.

    Nothing else is imported, so that a run's id which is no machine's name never imports anything.
    """
    if not name.isidentifier():
        return None
    found = project()
    wanted = [target for target in found.machines if split(target)[1] in (name, *also)]
    machines = _of(evolve(found, machines=wanted))
    return next((machine for machine in machines if name in (machine.spec.name, machine.__name__)), None)


def prices() -> Prices | None:
    """What tokens cost, where the project says so. Raises `click.UsageError` where there is no such `Prices`."""
    found = project()
    if found.prices is None:
        return None
    where, name = split(found.prices)
    value = getattr(_loaded(where, found.folder), name, None)
    if not isinstance(value, Prices):
        what = f"has no {name}" if value is None else f"has a {name}, which is no Prices"
        raise click.UsageError(f"{found.prices!r} in [tool.fsm] of {found.folder / FILE}: {where} {what}")
    return value


def _of(found: Project) -> list[type[Machine]]:
    """What the project lists; an error says where it was listed."""
    machines: list[type[Machine]] = []
    for target in found.machines:
        try:
            machines += _all(target, found.folder)
        except click.ClickException as error:
            told = f"{target!r} in [tool.fsm] of {found.folder / FILE}: {error.message}"
            raise type(error)(told) from error
    return machines


def _all(target: str, folder: Path) -> list[type[Machine]]:
    where, name = split(target)
    module = _loaded(where, folder)
    if name:
        return [_named(module, name)]
    own = list(dict.fromkeys(_machines(module).values()))
    if not own:
        raise click.UsageError(f"{where} defines no machine")
    return own


def _loaded(where: str, folder: Path) -> ModuleType:
    """The file or module; a file's path is relative to `folder`."""
    return _file(folder / where) if where.endswith(".py") else _module(where)


def _file(path: Path) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise click.UsageError(f"there is no file {path}")
    root, parts = path.parent, [path.stem]
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    if parts[-1] == "__init__":
        parts.pop()
    name = ".".join(parts)
    module = _import(name, root)
    found = getattr(module, "__file__", None)
    if found is None or Path(found).resolve() != path:
        raise TargetError(
            f"{path} would be imported as {name}, but that name is taken by {found or 'a module of Python itself'}\n"
            f"  -> rename the file or its folder"
        )
    twins = [
        other.__name__
        for other in list(sys.modules.values())
        if other is not module and getattr(other, "__file__", None) == module.__file__ and other.__name__ != "__main__"
    ]
    if twins:
        raise TargetError(
            f"{path} has been imported twice, as {name} and as {twins[0]}, so each of its classes is there twice\n"
            f"  -> name the machine as the rest of the code does: {twins[0]}:Machine"
        )
    return module


def _module(name: str) -> ModuleType:
    if Path(name).exists() or not all(part.isidentifier() for part in name.split(".")):
        raise click.UsageError(f"{name!r} is neither a file (FILE.py:Machine) nor a module (package.module:Machine)")
    return _import(name, Path.cwd())


def _import(name: str, root: Path) -> ModuleType:
    for own in OURS:
        importlib.import_module(own)
    for folder in (str(Path.cwd()), str(root)):
        if folder in sys.path:
            sys.path.remove(folder)
        sys.path.insert(0, folder)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for what the command prints
            return importlib.import_module(name)
    except ImportError as error:
        raise TargetError(_import_failed(name, error)) from error
    except click.ClickException:
        raise
    except Exception as error:
        if type(error).__module__.startswith("fsm."):
            raise
        raise TargetError(_failed(name, error)) from error


def _import_failed(name: str, error: ImportError) -> str:
    top = (error.name or "").partition(".")[0]
    if top == name.partition(".")[0] in OURS:
        return (
            f"{name} cannot be imported: {top} is the name of Turnstile's own package\n"
            f"  -> rename the folder {top}/, or remove its __init__.py"
        )
    if error.name is not None and f"{name}.".startswith(f"{error.name}."):
        return f"there is no module {name}\n  -> give a file, FILE.py:Machine, or check the name"
    return _failed(name, error)


def _failed(name: str, error: BaseException) -> str:
    """The error, and the line of the user's file it came from."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(("<", __file__))
    ]
    frames = [frame for frame in frames if "importlib" not in frame.filename]
    if isinstance(error, SyntaxError):
        where = f"  {error.filename}:{error.lineno}: {(error.text or '').strip()}\n"
    else:
        where = "".join(f"  {frame.filename}:{frame.lineno}: {frame.line}\n" for frame in frames[-1:])
    return f"{name} cannot be imported: {type(error).__name__}: {error}\n{where}  -> correct the file, then try again"


def _named(module: ModuleType, name: str) -> type[Machine]:
    found = getattr(module, name, None)
    if isinstance(found, type) and issubclass(found, Machine) and found is not Machine:
        return found
    what = f"has no {name}" if found is None else f"has a {name}, which is no Machine"
    raise click.UsageError(f"{module.__name__} {what}; {_list(module)}")


def _only(module: ModuleType, where: str) -> type[Machine]:
    own = _machines(module)
    if len(own) == 1:
        return next(iter(own.values()))
    raise click.UsageError(f"name the machine: {where}:Machine; {_list(module)}")


def _list(module: ModuleType) -> str:
    names = ", ".join(_machines(module))
    return f"its machines are: {names}" if names else "it defines no machine"


def _machines(module: ModuleType) -> dict[str, type[Machine]]:
    """The machines that a module makes, not those it only imports."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Machine) and _is_made_in(module, value)
    }


def _is_made_in(module: ModuleType, machine: type[Machine]) -> bool:
    """`with_agents` gives a machine the module of the one it was made from, where it is not to be found."""
    home = sys.modules.get(machine.__module__)
    return home is module or getattr(home, machine.__name__, None) is not machine
