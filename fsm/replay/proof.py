"""What a run has to prove before it leaves a journal, and before it comes into one."""

from fsm.journal.reader import Reader
from fsm.replay.replay import replay_run


def proof(reader: Reader, run_id: str) -> tuple[int, str] | None:
    """Its chain, its bodies and its snapshot rows, and every record decided again, from the journal alone."""
    found = replay_run(reader, run_id).divergence
    return None if found is None else (found.seq, str(found))
