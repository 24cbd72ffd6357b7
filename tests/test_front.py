"""The front of the package: what `from fsm import ...` gives, and what it costs."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import fsm

STUB = Path(fsm.__file__).with_suffix(".pyi")


def test_type_checkers_and_the_interpreter_see_the_same_front():
    imports = [node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    listed = next(node.value for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.Assign))
    assert sorted(ast.literal_eval(listed)) == sorted(seen) == sorted(fsm.__all__)
    for name, module in seen.items():
        assert module is not None and getattr(fsm, name) is getattr(importlib.import_module(module), name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'fsm' has no attribute 'Flow'"):
        fsm.Flow  # type: ignore[attr-defined]  # noqa: B018
    assert {"Machine", "Runner"} <= set(dir(fsm))


@pytest.mark.parametrize(("imports", "left_out"), [("import fsm", "pydantic"), ("from fsm import Machine", "sqlite3")])
def test_only_what_is_used_is_imported(imports: str, left_out: str):
    told = subprocess.run(
        [sys.executable, "-c", f"{imports}; import sys; print({left_out!r} in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "False"
