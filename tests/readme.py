"""Runs the README's runnable blocks in order, in one folder, as its reader would.

    python tests/readme.py README.md

Needs nothing but Python, the installed wheel and a shell. Four kinds of block are run: a Python block marked
`run` or `run NAME.py` is saved under that name and executed, and prints what the comments behind its
`print`s say; one marked `file NAME` is only saved; in a console block marked `run` each `$ ` line is given
to the shell, and its output is what stands below: digits may differ, a line `...` stands for any lines, `...` at
the end of a line for the rest of it; and at the end a block below a comment with a command is the output of that
command, byte for byte.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^```(python|toml|json|console) (run|file)(?: (\S+))?\n(.*?)^```", re.DOTALL | re.MULTILINE)
PICTURE = re.compile(r"^<!-- (fsm .*?) -->\n```\w+\n(.*?)^```", re.DOTALL | re.MULTILINE)
GOOD = (0, 3)  # 3: a run waits, which is no failure


class Block(NamedTuple):
    line: int
    language: str
    act: str
    name: str
    text: str


def blocks(readme: Path) -> Iterator[Block]:
    text = readme.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        language, act, name, body = found.groups()
        yield Block(text.count("\n", 0, found.start()) + 1, language, act, name or "block.py", body)


def problems(readme: Path, folder: Path) -> Iterator[str]:
    """What did not come out as the page says, block by block."""
    for block in blocks(readme):
        for told in _commands(block, folder) if block.language == "console" else _python(block, folder):
            yield f"{readme.name}:{block.line}: {told}"
    for command, picture in PICTURE.findall(readme.read_text(encoding="utf-8")):
        code, output = _shell(command, folder)
        if code not in GOOD or output != picture:
            yield f"{readme.name}: `{command}` prints now\n{output}"


def _python(block: Block, folder: Path) -> Iterator[str]:
    (folder / block.name).write_text(block.text, encoding="utf-8")
    if block.act == "file":
        return
    expected = re.findall(r"^print\(.*\)\s+# (.*)$", block.text, re.MULTILINE)
    for _ in range(2):  # a journal is there the second time
        code, output = _shell(f'"{sys.executable}" {block.name}', folder)
        if code != 0:
            yield f"{block.name} ended with {code}:\n{output}"
        elif expected and output.splitlines() != expected:
            yield f"{block.name} printed {output!r}, not {expected}"


def _commands(block: Block, folder: Path) -> Iterator[str]:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        while command.endswith("\\"):
            more, _, expected = expected.partition("\n")
            command = command[:-1] + more.removeprefix("> ")
        code, output = _shell(command, folder)
        if code not in GOOD:
            yield f"`{command}` ended with {code}:\n{output}"
        elif not like(expected.rstrip("\n").split("\n"), output.rstrip("\n").split("\n")):
            yield f"`{command}` printed\n{output}\nnot\n{expected}"


def _shell(command: str, folder: Path) -> tuple[int, str]:
    """Exit code and all output of a command line, with this Python's `fsm` first on the path."""
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "110"}
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def like(expected: list[str], lines: list[str]) -> bool:
    """Whether output is what a page says it is, but for digits and what `...` stands for."""
    if not expected:
        return not lines
    first, *rest = expected
    if first.strip() == "...":
        return any(like(rest, lines[start:]) for start in range(len(lines) + 1))
    return bool(lines) and _like_line(first, lines[0]) and like(rest, lines[1:])


def _like_line(expected: str, line: str) -> bool:
    shape, found = _shape(expected), _shape(line)
    return found.startswith(shape[:-3].rstrip()) if shape.endswith("...") else found == shape


def _shape(line: str) -> str:
    """The line without what differs from run to run: digits, units of time, widths of columns."""
    timeless = re.sub(r"\d[\d.,]* (ms|s|min)\b", "0 s", line)
    return re.sub(r"\s+", " ", re.sub(r"\d[\d.,]*", "0", timeless)).strip()


def main(readme: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        found = list(problems(Path(readme).resolve(), Path(folder)))
    print("\n".join(found) or f"{readme}: every runnable block does what the page says")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
