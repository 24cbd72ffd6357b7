"""Every verb is documented, answers fast, and ends with a code that means something."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fsm.cli.main import VERBS, main
from tests.cli.conftest import Fsm

README = Path(__file__).parent.parent.parent / "README.md"


def command_of(verb: str) -> click.Command:
    command = main.get_command(click.Context(main), verb)
    assert isinstance(command, click.Command)
    return command


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_an_example_json_and_a_place_in_the_readme(verb: str, fsm: Fsm):
    command = command_of(verb)
    told = fsm(verb, "--help").output
    assert (command.help or "").startswith(VERBS[verb])
    assert f"fsm {verb}" in told.partition("Example:")[2]
    assert "--json" in told
    assert f"fsm {verb}" in README.read_text()


def test_every_option_is_explained():
    for verb in VERBS:
        for parameter in command_of(verb).params:
            assert not isinstance(parameter, click.Option) or parameter.help, f"fsm {verb} {parameter.opts}"


def test_help_lists_the_verbs_and_imports_nothing_heavy():
    program = (
        "import sys; from fsm.cli.main import main; main(['--help'], standalone_mode=False);"
        "print(sorted({'pydantic', 'transitions', 'sqlite_utils', 'rich', 'attrs'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert all(f"  {verb} " in told for verb in VERBS)
    assert told.rstrip().endswith("[]")


def test_an_unknown_verb_is_met_with_the_nearest(fsm: Fsm):
    result = fsm("reply", "42")
    assert result.exit_code == 2
    assert "there is no verb 'reply'; did you mean 'fsm replay'?" in result.output


def test_errors_of_the_runtime_are_told_without_a_traceback(fsm: Fsm):
    result = fsm("replay", "42", "--db", "none.db")
    assert result.exit_code == 1
    assert result.output == ("Error: none.db: there is no such file\n  -> check the path, or start a run there first\n")


def test_a_run_is_found_by_the_beginning_of_its_id(fsm: Fsm, two_runs: str):
    assert fsm("replay", "first", "--db", two_runs).output.startswith("✓ run first-1: 3 records, all agree")
    result = fsm("replay", "fi", "--db", two_runs, "--json")
    assert json.loads(result.output)[0]["run_id"] == "first-1"
    assert fsm("replay", "f", "--db", two_runs).exit_code == 2
    assert "several runs begin with 'f': fast-1, first-1" in fsm("replay", "f", "--db", two_runs).output
    missing = fsm("replay", "second", "--db", two_runs)
    assert missing.exit_code == 1
    assert "-> list those that are there: fsm runs --db" in missing.output


def test_help_names_every_exit_code(fsm: Fsm):
    told = " ".join(fsm("--help").output.split())
    for code in (0, 1, 2, 3, 130):
        assert f" {code} if " in told
