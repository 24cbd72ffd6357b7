"""A hint that a runner is dead: the kernel lets go of its lock the moment it dies, whatever killed it.

Each runner holds a lock on a small file beside the journal, named for its epoch. A lock that is free says
that its runner is gone, so that nobody has to wait for the lease to run out. It is no more than a hint: a
stopped process still holds its lock, a forked child keeps its parent's, and a lost file says nothing; then
the lease counts. Whether somebody may write is never asked here, but in every transaction.
"""

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows; there a dead runner's lease has to run out
    fcntl = None  # type: ignore[assignment]


class Flock:
    """The lock of one runner, held until `release` or the end of its process."""

    def __init__(self, journal: str, epoch: int) -> None:
        self._path = _path(journal, epoch)
        self._file: int | None = None
        if fcntl is not None:
            self._file = _taken(self._path, os.O_RDWR | os.O_CREAT)

    def release(self) -> None:
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None


def is_dead(journal: str, epoch: int) -> bool:
    """Whether this runner's process is surely gone; its file goes with it."""
    path = _path(journal, epoch)
    if fcntl is None or (file := _taken(path, os.O_RDWR)) is None:
        return False
    path.unlink(missing_ok=True)
    os.close(file)
    return True


def _path(journal: str, epoch: int) -> Path:
    return Path(f"{journal}-runner{epoch}")


def _taken(path: Path, flags: int) -> int | None:
    """The file, open and locked; None if it is not there or its lock is held."""
    try:
        file = os.open(path, flags | os.O_CLOEXEC, 0o644)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file
