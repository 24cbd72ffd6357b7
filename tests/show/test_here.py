"""Commands to paste."""

from fsm.show.here import Here


def test_the_next_command_survives_the_shell():
    here = Here("my runs.db", ("a b.py:M",))
    assert here.command("send", "4'2", "Go") == "fsm send '4'\"'\"'2' Go --db 'my runs.db' -m 'a b.py:M'"
    assert here.command("why", "42") == "fsm why 42 --db 'my runs.db'"


def test_code_that_is_not_at_hand_is_a_place_to_fill_in():
    assert Here().command("resume", "42", machine="Desk") == "fsm resume 42 -m FILE.py:Desk"
    assert Here().command("resume") == "fsm resume -m FILE.py:Machine"
    assert Here().command("show", "42", machine="Desk") == "fsm show 42"
    assert Here(listed=True).command("resume", "42", machine="Desk") == "fsm resume 42"
