"""A terminal of 80 by 24 to drive the command in, and to look at: tmux."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from tests.cli.moving import ENVIRONMENT, until

if shutil.which("tmux") is None and os.environ.get("TURNSTILE_TOOLS") == "required":
    raise RuntimeError("tmux is missing, and TURNSTILE_TOOLS=required asks for it")
needs_terminal = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


@frozen
class Terminal:
    """A shell in tmux; `fsm` is the command of this checkout."""

    socket: Path

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self.socket), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT).stdout

    def type(self, line: str) -> None:
        self.tmux("send-keys", "-l", line)
        self.tmux("send-keys", "Enter")

    def press(self, key: str) -> None:
        self.tmux("send-keys", key)

    def screen(self, colour: bool = False) -> str:
        return self.tmux("capture-pane", "-p", *(["-e"] if colour else []))

    def shows(self, text: str) -> str:
        """The screen, once this is on it."""
        return str(until(lambda: text in (seen := self.screen()) and seen, self.screen))


@contextlib.contextmanager
def terminal(folder: Path) -> Iterator[Terminal]:
    found = Terminal(folder / "tmux.sock")
    shell = ["bash", "--norc", "--noprofile"]
    (folder / "fsm").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fsm "$@"\n')
    (folder / "fsm").chmod(0o755)
    found.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "-c", str(folder), *shell)
    try:
        found.type("PATH=.:$PATH PS1='[$?]% '; clear")  # the prompt shows how the last command ended
        found.shows("[0]%")
        yield found
    finally:
        found.tmux("kill-server")
