"""A hint that a runner is dead: the kernel lets go of its lock the moment it dies, whatever killed it.

Each runner holds a lock on a small file beside the journal, named for its epoch. A lock that is free says
that its runner is gone, so that nobody has to wait for the lease to run out. It is no more than a hint: a
stopped process still holds its lock, a forked child keeps its parent's, and a lost file says nothing; then
the lease counts. Whether somebody may write is never asked here, but in every transaction.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

if sys.platform != "win32":  # there a dead runner's lease has to run out
    import fcntl

_SUFFIX = "-runner"


class Flock:
    """The lock of one runner, held until `release` or the end of its process."""

    def __init__(self, journal: str, epoch: int) -> None:
        self._path = _path(journal, epoch)
        self._file = _taken(self._path, os.O_RDWR | os.O_CREAT)

    def release(self, clean: bool = True) -> None:
        """Let go of the lock. Without its file nothing is left to tell; a runner that could not say so keeps it."""
        if self._file is not None:
            if clean:
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None


def dead(journal: str, epochs: Iterable[int]) -> list[int]:
    """Those of these runners whose processes are surely gone; their files go with them."""
    found = []
    for epoch in epochs:
        path = _path(journal, epoch)
        file = _taken(path, os.O_RDWR)
        if file is not None:
            path.unlink(missing_ok=True)
            os.close(file)
            found.append(epoch)
    return found


def is_dead(journal: str, epoch: int) -> bool:
    """Whether the process of this runner is surely gone; its file stays, for those who take over."""
    file = _taken(_path(journal, epoch), os.O_RDWR)
    if file is not None:
        os.close(file)
    return file is not None


def left(journal: str) -> list[int]:
    """The runners that have a file beside the journal, alive or not."""
    place = Path(journal).absolute()
    ends = (path.name.removeprefix(f"{place.name}{_SUFFIX}") for path in place.parent.glob(f"*{_SUFFIX}*"))
    return sorted(int(end) for end in ends if end.isdecimal())


def _path(journal: str, epoch: int) -> Path:
    return Path(f"{journal}{_SUFFIX}{epoch}").absolute()


def _taken(path: Path, flags: int) -> int | None:
    """The file, open and locked; None if it is not there or its lock is held."""
    if sys.platform == "win32":
        return None
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
