"""Commands to paste: they say the journal and the machines again, where the person had to name them."""

import shlex

from attrs import frozen

NEED_CODE = frozenset({"resume", "send", "answer", "cancel", "fork"})


@frozen
class Here:
    """The options that a command was given, and the commands that follow from them.

    `listed`: the project lists machines, so that a command finds code which is not named.
    """

    db: str | None = None
    targets: tuple[str, ...] = ()
    listed: bool = False

    def command(self, verb: str, *words: str, machine: str = "Machine") -> str:
        """A command for a shell; where it needs a run's code it names it, or leaves a place to fill in."""
        parts = ["fsm", verb, *words]
        if self.db is not None:
            parts += ["--db", self.db]
        code = self.targets or (() if self.listed else (f"FILE.py:{machine}",))
        for target in code if verb in NEED_CODE else ():
            parts += ["-m", target]
        return shlex.join(parts)
