"""Runs that a user's repository keeps: journals and exports, in a folder, opened so that nothing of them changes."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fsm.clock import SystemClock
from fsm.journal.incoming import take_in
from fsm.journal.reader import Reader, read_journal
from fsm.replay.proof import proof

EXPORTED = ".jsonl"
PATTERNS = ("*.db", f"*{EXPORTED}")


def files(kept: Path) -> list[Path]:
    """The journals and exports of a folder, or this one file. `FileNotFoundError` for a folder that keeps nothing."""
    if not kept.is_dir():
        return [kept]
    found = sorted(file for pattern in PATTERNS for file in kept.glob(pattern))
    if not found:
        copy = f"fsm backup {kept / 'runs.db'}, or fsm export RUN --out {kept / ('runs' + EXPORTED)}"
        raise FileNotFoundError(f"{kept} holds no journal (*.db) and no export (*{EXPORTED})\n  -> {copy}")
    return found


@contextmanager
def reading(file: Path) -> Iterator[tuple[Reader, list[str]]]:
    """A kept file for reading only, and what it holds that is no sound run; an export by way of a scratch journal."""
    with tempfile.TemporaryDirectory(prefix="fsm-") as folder:
        refused: list[str] = []
        path = file
        if file.suffix == EXPORTED:
            path = Path(folder) / "runs.db"
            with file.open("rb") as stream:
                arrivals = take_in(stream, str(file), str(path), proof, SystemClock().monotonic(), unfinished=True)
                bad = [arrival for arrival in arrivals if arrival.what == "refused"]
            refused = [f"{file}: line {one.line}, run {one.run_id or '?'}: {one.why}" for one in bad]
        reader = read_journal(path)
        try:
            yield reader, refused
        finally:
            reader.close()
