"""`[tool.fsm]` says where runs are kept, and nothing it does not know passes in silence."""

from pathlib import Path

import click
import pytest

from fsm.cli.parts.project import journal_path, project


def test_the_nearest_file_counts_and_paths_are_relative_to_it(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "pyproject.toml").write_text('[tool.fsm]\ndb = "kept/runs.db"\n')
    (folder / "deep").mkdir()
    monkeypatch.chdir(folder / "deep")
    assert journal_path(None) == str(folder / "kept" / "runs.db")
    assert journal_path("here.db") == "here.db"


def test_a_folder_is_no_journal(folder: Path):
    (folder / "kept").mkdir()
    with pytest.raises(click.UsageError, match=r"kept is a folder, and a journal is one file\n  -> --db kept/runs\.db"):
        journal_path("kept")


def test_without_a_word_runs_are_kept_in_runs_db(folder: Path):
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert journal_path(None) == "runs.db"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tool.fsm]\nmachine = 'door.py:Door'\n", "knows db and machines, not machine"),
        ("[tool.fsm]\nmachines = 'door.py:Door'\n", r"write machines = \[\"FILE.py:Machine\", ...\]"),
        ("[tool.fsm]\ndb = 1\n", 'write db = "runs.db"'),
        ("[tool.fsm\n", "is no TOML"),
    ],
)
def test_what_is_wrong_with_it_is_told(folder: Path, text: str, told: str):
    (folder / "pyproject.toml").write_text(text)
    with pytest.raises(click.UsageError, match=told):
        project()
