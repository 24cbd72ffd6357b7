"""`fsm diagram`: the machine, or a run on its machine, as a picture in text."""

from fsm.cli.options import verb


@verb("fsm diagram desk.py:Desk --format mermaid > desk.mmd")
def command(as_json: bool) -> None:
    """Draw a machine, or a run on its machine."""
