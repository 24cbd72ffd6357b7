"""The outage: many runs at once, and the requests that a breaker and a budget of all of them kept from being made."""

import asyncio
import contextlib
import re
from collections import Counter
from pathlib import Path

import pytest

from examples.incident import client
from examples.incident.acts import ACTS, Told, outage
from examples.incident.machine import Alert, Filed, Findings
from examples.incident.outage import LOOKS_WITH_CARE, Outage
from fsm import Ruling, read_journal
from fsm.testing import MovableClock, assert_ends, table
from tests.examples.test_incident import ROOT, told
from tests.helpers import running
from tests.readme import like

README = ROOT / "README.md"
INCIDENT = "inc"
WAYS = {
    "first": {"start ours blind told": 1},
    "refused": {"start investigate.otherwise told": 3},
    "probe": {"start ours found told": 1, "start investigate.otherwise told": 3},
    "traffic": {"start ours found told": 3},
    "cheaper": {"start investigate.otherwise.budget_warned found told": 3},
}
SEEN = {
    "first": {"metrics": 3, "reports": 1},
    "refused": {"reports": 3},
    "probe": {"metrics": 4, "reports": 4},
    "traffic": {"metrics": 12, "reports": 3},
    "cheaper": {"metrics": 3, "reports": 3},
}


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outage") / "runs.db"


@pytest.fixture(scope="module")
def acts(journal: Path) -> dict[str, Told]:
    """Every act, under a clock that moves to the end of the cool-down, with clients that wait for who is late."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "ANSWER_S", 30)
        return asyncio.run(played(journal))


async def played(db: Path) -> dict[str, Told]:
    clock = MovableClock()

    async def rest(seconds: float) -> None:
        clock.advance(seconds)

    async with running(db, Outage, clock=clock) as runner:
        return {told.act.name: told async for told in outage(runner, INCIDENT, rest)}


@pytest.mark.parametrize("name", [act.name for act in ACTS])
def test_an_act_goes_its_way_and_the_services_see_no_request_more(acts: dict[str, Told], name: str) -> None:
    told = acts[name]
    assert told.ways == Counter(WAYS[name])
    assert told.seen == told.attempts == Counter(SEEN[name])
    assert told.agreed and {run.outcome for run in told.runs} == {"completed"}


def test_while_the_probe_is_out_it_is_the_only_request_in_the_world(acts: dict[str, Told]) -> None:
    assert acts["probe"].while_out == 1


def rulings(db: Path, act: str) -> list[Ruling]:
    """What guards had against the runs of an act."""
    with contextlib.closing(read_journal(db)) as reader:
        records = [record for run in reader.runs() if f"-{act}-" in run.run_id for record in reader.records(run.key)]
    return [ruling for record in records for ruling in record.rulings if ruling.verdict.decision == "refuse"]


def test_each_refusal_says_which_guard_it_was_and_why(acts: dict[str, Told], journal: Path) -> None:
    codes = {act: Counter((ruling.guard, ruling.verdict.code) for ruling in rulings(journal, act)) for act in acts}
    assert codes == {
        "first": Counter(),
        "refused": {("Breaker", "open"): 3},
        "probe": {("Breaker", "half_open"): 3},
        "traffic": Counter(),
        "cheaper": {("TokenBudget", "budget_warned"): 3},
    }
    first, *_ = sorted(ruling.verdict.numbers["spent"] for ruling in rulings(journal, "cheaper"))
    assert first == 160 * 5, "one run that failed, one probe, three more"
    assert LOOKS_WITH_CARE.warn_at is not None and first + 480 > LOOKS_WITH_CARE.warn_at


def test_the_command_tells_what_the_readme_shows_and_its_hints_work(tmp_path: Path) -> None:
    done = told(tmp_path, "examples.incident", "outage")
    assert (done.returncode, done.stderr) == (0, "")
    shown = re.search(r"^\$ python -m examples.incident outage\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    assert shown is not None and like(shown[1].splitlines(), done.stdout.splitlines()), done.stdout
    printed = re.findall(r"→ (fsm .*)", done.stdout)
    assert len(printed) == 3
    for command in printed:
        again = told(tmp_path, *command.split())
        assert again.returncode == 0, again.stderr


def test_whatever_is_refused_leads_on_to_a_report() -> None:
    found = table(Outage, [Alert(service="", site=""), Findings(readings=[]), Filed(place="", number=1)])
    hurried = {event: hop for (state, event), hop in found.items() if state == "hurry" and hop != "unhandled"}
    assert hurried == {
        "Findings": "found -> respond",
        "CallRefused": "blind -> respond",
        "AgentFailed": "failed -> respond",
        "TimedOut": "failed -> respond",
        "PayloadInvalid": "failed -> respond",
        "CallUnsure": "stuck",
        "Cancelled": "cancelled",
    }
    assert_ends(Outage, hops=8, tokens=1_720)
