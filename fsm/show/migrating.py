"""Unfinished runs under a changed machine, in words: how many can go on, and what stands in the way of the rest."""

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from fsm.define.spec import MachineSpec
from fsm.journal.reader import Reader
from fsm.journal.rows import Run
from fsm.journal.search import last_in
from fsm.runner.migrate import Candidate
from fsm.runner.repin import Obstacle, Why
from fsm.show.here import Here
from fsm.show.words import count, joined, safe

IDS_MAX = 5
OLD = "or end it with the machine that it was recorded under"
READ = "let today's code read it: {}.upcast(old, version), or `formerly` of a class that was renamed"
TITLES: dict[Why, str] = {
    "memory": "its memory cannot be folded over {}",
    "visit": "the {} that its visit works on is read no more",
    "failure": "the {} that its attempt answers to is read no more",
    "pending": "the {} that was put off would be lost",
    "inbox": "the {} in its inbox would be lost",
}


@frozen(kw_only=True)
class Group:
    """Runs with the same obstacle: what it is, an example of what is wrong, and what to do, each with a command or "".

    The command is for the first of the runs.
    """

    title: str
    runs: tuple[Run, ...]
    example: str
    next: tuple[tuple[str, str], ...]

    @property
    def ids(self) -> str:
        """The first few ids."""
        more = len(self.runs) - IDS_MAX
        told = [safe(run.run_id) for run in self.runs[:IDS_MAX]]
        return ", ".join(told) + (f" and {more:,} more" if more > 0 else "")


@frozen(kw_only=True)
class Migration:
    """All candidates, sorted: `ready` are under this definition already, `able` can go on with it, or now do."""

    spec: MachineSpec
    ready: tuple[Run, ...]
    able: tuple[Run, ...]
    left: tuple[tuple[Run, str], ...]
    groups: tuple[Group, ...]

    @property
    def unable(self) -> int:
        return len({run.key for group in self.groups for run in group.runs})

    @property
    def all_well(self) -> bool:
        return not (self.left or self.groups)


def migration(reader: Reader, spec: MachineSpec, found: Sequence[Candidate], here: Here) -> Migration:
    clear = [one for one in found if not one.obstacles]
    grouped: dict[tuple[str, ...], list[tuple[Run, Obstacle]]] = {}
    for one in found:
        for obstacle in one.obstacles:
            grouped.setdefault(_key(obstacle), []).append((one.run, obstacle))
    return Migration(
        spec=spec,
        ready=tuple(one.run for one in clear if one.run.fingerprint == spec.fingerprint),
        able=tuple(one.run for one in clear if one.able and one.run.fingerprint != spec.fingerprint),
        left=tuple((one.run, one.left) for one in clear if one.left),
        groups=tuple(_group(reader, spec, runs, here) for runs in grouped.values()),
    )


def _key(obstacle: Obstacle) -> tuple[str, ...]:
    """What runs have in common: of problems with a payload the fields, whatever stands in them."""
    wrong = (_field(problem) if obstacle.why != "state" else problem for problem in obstacle.problems)
    return obstacle.why, obstacle.what, *sorted(wrong)


def _field(problem: str) -> str:
    return problem.partition(": ")[0]


def _group(reader: Reader, spec: MachineSpec, found: Sequence[tuple[Run, Obstacle]], here: Here) -> Group:
    runs, obstacle = tuple({run.key: run for run, _ in found}.values()), found[0][1]
    if obstacle.why == "state":
        title, example = obstacle.problems[0], ""
        at = last_in(reader, runs[0].key, [state.name for state in spec.states if state.kind != "final"])
        steps = [] if at is None else [("go on from where it was in a state that is there", _fork(runs[0], at, here))]
        steps.append((OLD, _old("cancel", runs[0], here)))
    else:
        named = {_field(problem) for problem in obstacle.problems if ": " in problem}
        fields = f": {joined(sorted(map(safe, named)), 'and')}" if named else ""
        title, example = TITLES[obstacle.why].format(safe(obstacle.what)) + fields, f"{found[0][0].run_id}: {obstacle}"
        steps = [(READ.format(safe(obstacle.what)), ""), (OLD, _old("resume", runs[0], here))]
    return Group(title=title, runs=runs, example=example, next=tuple(steps))


def _fork(run: Run, at: int, here: Here) -> str:
    return here.command("fork", run.run_id, "--at", str(at), machine=run.machine)


def _old(verb: str, run: Run, here: Here) -> str:
    """A command with the code of old, which only its owner can name."""
    return Here(here.db).command(verb, run.run_id, machine=run.machine).replace("FILE.py", "OLD.py")


def counts(found: Migration, dry: bool) -> list[tuple[str, str]]:
    """How many runs there are of each kind, and the style of the line."""
    name = safe(found.spec.name)
    able = f"{count(len(found.able), 'run')} can go on with it" if dry else f"{count(len(found.able), 'run')} repinned"
    told = [(f"{count(len(found.ready), 'run')} under this {name} already", "dim")] if found.ready else []
    told += [(able, "green")] if found.able else []
    for why in dict.fromkeys(why for _, why in found.left):
        ids = [safe(run.run_id) for run, reason in found.left if reason == why]
        told.append((f"{count(len(ids), 'run')} left alone, {why}: {', '.join(ids[:IDS_MAX])}", "yellow"))
    told += [(f"{count(found.unable, 'run')} cannot go on with it", "red")] if found.groups else []
    return told or [(f"no run of {name} is unfinished", "dim")]


def migration_data(found: Migration, dry: bool) -> dict[str, Any]:
    return {
        "machine": found.spec.name,
        "fingerprint": found.spec.fingerprint,
        "dry_run": dry,
        "ready": [run.run_id for run in found.ready],
        "able" if dry else "repinned": [run.run_id for run in found.able],
        "left": [{"run_id": run.run_id, "why": why} for run, why in found.left],
        "unable": [
            {
                "why": group.title,
                "example": group.example,
                "runs": [run.run_id for run in group.runs],
                "next": [{"what": what, "command": command or None} for what, command in group.next],
            }
            for group in found.groups
        ],
    }
