"""What type checkers say of a user's file: nothing of a sound one, and every wrong line of another."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILES = ("typing_good.py", "typing_bad.py")

Found = dict[str, set[int]]


def _ran(folder: Path, *arguments: str) -> str:
    """A checker's output as a user gets it, far from this project's own settings."""
    for file in FILES:
        shutil.copy(HERE / file, folder / file)
    ran = subprocess.run(
        [sys.executable, "-m", *arguments, *FILES],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache" / "users")},
        check=False,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    return ran.stdout


def _mypy(folder: Path) -> Found:
    found: Found = {file: set() for file in FILES}
    for file, line in re.findall(r"^(\S+):(\d+): error: ", _ran(folder, "mypy", "--strict"), re.MULTILINE):
        found[file].add(int(line))
    return found


def _pyright(folder: Path) -> Found:
    (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)]}), "utf-8")
    found: Found = {file: set() for file in FILES}
    told = json.loads(_ran(folder, "pyright", "--outputjson", "--pythonpath", sys.executable))
    for item in told["generalDiagnostics"]:
        found[Path(item["file"]).name].add(item["range"]["start"]["line"] + 1)
    return found


@pytest.mark.parametrize("checker", [_mypy, _pyright])
def test_a_sound_machine_passes_and_every_wrong_line_is_found(checker, tmp_path: Path) -> None:
    lines = (HERE / "typing_bad.py").read_text("utf-8").splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith("# error")}
    assert len(marked) > 30
    assert checker(tmp_path) == {"typing_good.py": set(), "typing_bad.py": marked}
