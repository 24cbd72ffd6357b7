"""`[tool.fsm]` says where runs are kept, and nothing it does not know passes in silence."""

from pathlib import Path

import click
import pytest

from fsm import read_journal
from fsm.cli.parts.project import journal_path, project
from tests.cli.conftest import Fsm


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
        ("[tool.fsm]\nmachine = 'door.py:Door'\n", "knows db, machines and prices, not machine"),
        ("[tool.fsm]\nmachines = 'door.py:Door'\n", r"write machines = \[\"FILE.py:Machine\", ...\]"),
        ("[tool.fsm]\ndb = 1\n", 'write db = "runs.db"'),
        ("[tool.fsm]\nprices = 'prices.py'\n", 'write prices = "FILE.py:NAME"'),
        ("[tool.fsm\n", "is no TOML"),
    ],
)
def test_what_is_wrong_with_it_is_told(folder: Path, text: str, told: str):
    (folder / "pyproject.toml").write_text(text)
    with pytest.raises(click.UsageError, match=told):
        project()


PAID = """
from pydantic import BaseModel
from fsm import AgentFailed, Machine, Prices, State, Usage, View, everywhere
from guards import CostBudget

class Ask(BaseModel):
    pass

class Told(BaseModel):
    pass

async def tell(view: View[Ask]) -> Told:
    view.spend(Usage(10, 5), model="m")
    return Told()

class Paid(Machine):
    tell = State(initial=Ask, agent=tell)
    done = State(final="completed")
    lost = State(final="failed")
    end = tell.to(done, on=Told)
    bad = tell.to(lost, on=AgentFailed)
    limits = everywhere(CostBudget(1_000), otherwise=lost)

PRICES = Prices("today", lambda model, usage: usage.tokens * 2)
"""


def test_prices_of_the_project_are_what_runs_pay(folder: Path, fsm: Fsm):
    (folder / "paid.py").write_text(PAID)
    (folder / "pyproject.toml").write_text('[tool.fsm]\nmachines = ["paid.py:Paid"]\nprices = "paid.py:PRICES"\n')
    assert fsm("run", "Paid", "--run-id", "r").exit_code == 0
    reader = read_journal(folder / "runs.db")
    try:
        assert [record.spent.usd_micros for record in reader.records(1)] == [0, 30]
    finally:
        reader.close()
    (folder / "pyproject.toml").write_text('[tool.fsm]\nmachines = ["paid.py:Paid"]\nprices = "paid.py:Paid"\n')
    refused = fsm("run", "Paid")
    assert refused.exit_code != 0 and "which is no Prices" in refused.output
