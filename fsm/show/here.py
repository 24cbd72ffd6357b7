"""Commands to paste: they say the journal and the machines again, where the person had to name them."""

import shlex

from attrs import frozen

NEED_CODE = frozenset({"resume", "send", "answer", "cancel"})


@frozen
class Here:
    """The options that a command was given, and the commands that follow from them."""

    db: str | None = None
    targets: tuple[str, ...] = ()

    def command(self, verb: str, *words: str) -> str:
        """A command for a shell; it names the machines where it needs a run's code."""
        parts = ["fsm", verb, *words]
        if self.db is not None:
            parts += ["--db", self.db]
        for target in self.targets if verb in NEED_CODE else ():
            parts += ["-m", target]
        return shlex.join(parts)
