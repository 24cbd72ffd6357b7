"""Commands to paste."""

from fsm.show.here import Here


def test_the_next_command_survives_the_shell():
    here = Here("my runs.db", ("a b.py:M",))
    assert here.command("send", "4'2", "Go") == "fsm send '4'\"'\"'2' Go --db 'my runs.db' -m 'a b.py:M'"
    assert here.command("why", "42") == "fsm why 42 --db 'my runs.db'"
