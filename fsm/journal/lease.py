"""Who may advance runs: one row a runner, renewed while its event loop ticks.

The lease says when another runner may *try*; correctness is the fence in every transaction. It runs on
the host's monotonic clock together with the boot's id, so a clock set back or forth changes nothing and a
reboot ends every lease. A runner whose loop has not ticked for `stall_s_max` is not renewed, although its
writer thread lives.
"""

import json
import os
import sqlite3
from collections.abc import Sequence

from attrs import define, field

from fsm.clock import Clock
from fsm.journal import flock
from fsm.journal.operations import Operation
from fsm.journal.reader import Reader

LEASE_S = 10.0
STALL_S_MAX = 5.0


@define(eq=False, kw_only=True)
class Register(Operation):
    """A new runner; the result is its epoch, larger than any before."""

    name: str
    boot: str
    expires: float
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> int:
        row = connection.execute(
            "INSERT INTO runner (name, pid, boot, expires, started_at_ms) VALUES (?, ?, ?, ?, ?) RETURNING epoch",
            (self.name, os.getpid(), self.boot, self.expires, self.at_ms),
        ).fetchone()
        return int(row[0])


@define(eq=False, kw_only=True)
class Renew(Operation):
    """The lease holds until `expires`. The result: how many other runners live, and whether one is older."""

    epoch: int
    boot: str
    now: float
    expires: float
    hung: str

    def apply(self, connection: sqlite3.Connection) -> tuple[int, bool]:
        connection.execute(
            "UPDATE runner SET expires = ?, hung = ? WHERE epoch = ?", (self.expires, self.hung, self.epoch)
        )
        rows = connection.execute(
            "SELECT epoch FROM runner WHERE closed = 0 AND boot = ? AND expires > ? AND epoch != ?",
            (self.boot, self.now, self.epoch),
        ).fetchall()
        return len(rows), any(epoch < self.epoch for (epoch,) in rows)


@define(eq=False, kw_only=True)
class Release(Operation):
    """This runner does not go on with a run of its own: another may."""

    epoch: int
    run: int

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE run SET owner = 0 WHERE key = ? AND owner = ?", (self.run, self.epoch))


@define(eq=False, kw_only=True)
class Close(Operation):
    """The runner stops cleanly: its runs are free at once."""

    epoch: int

    def apply(self, connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE runner SET closed = 1 WHERE epoch = ?", (self.epoch,))
        connection.execute("UPDATE run SET owner = 0 WHERE owner = ? AND outcome = 'running'", (self.epoch,))


@define(eq=False, kw_only=True)
class Expire(Operation):
    """These runners are dead, as far as one can tell; one that is not renews its lease and goes on."""

    epochs: Sequence[int]

    def apply(self, connection: sqlite3.Connection) -> None:
        for epoch in self.epochs:
            connection.execute("UPDATE runner SET expires = 0 WHERE epoch = ?", (epoch,))


def is_alive(reader: Reader, epoch: int, now: float) -> bool:
    """Whether a runner may still advance its runs. The lease counts; a free lock tells sooner that it is gone."""
    return epoch in reader.alive(now) and not flock.is_dead(reader.path, epoch)


@define
class Lease:
    """One runner's lease as its writer keeps it."""

    epoch: int
    boot: str
    clock: Clock
    lease_s: float = LEASE_S
    stall_s_max: float = STALL_S_MAX
    hung: list[str] = field(factory=list)
    others: int = 0
    elder: bool = False
    _ticked: float = 0.0
    _renewed: float = 0.0

    def tick(self) -> None:
        """The event loop is alive."""
        self._ticked = self.clock.monotonic()

    def due(self) -> Renew | None:
        """The renewal to write now, if one is due and the loop ticks."""
        now = self.clock.monotonic()
        if now - self._renewed < self.lease_s / 4 or now - self._ticked > self.stall_s_max:
            return None
        return Renew(epoch=self.epoch, boot=self.boot, now=now, expires=now + self.lease_s, hung=json.dumps(self.hung))

    def renewed(self, renewal: Renew) -> None:
        self._renewed = renewal.now
        self.others, self.elder = renewal.result
