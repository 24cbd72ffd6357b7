"""One budget for all processes: never above it, also when they die with some of it in their hands."""

import random
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from fsm.core.budget import BudgetRow
from tests.crash.purse import BILL, LIMIT, MOST, Shop
from tests.crash.world import KILLED, World, check_runs

PROCESSES, TASKS = 4, 50
BOUGHT = BILL + 5


def row(world: World) -> BudgetRow:
    reader = world.reader()
    try:
        found = reader.query("SELECT body FROM shared WHERE name = 'tokens:machine=Shop'")
        return BudgetRow.from_json(found[0][0]) if found else BudgetRow()
    finally:
        reader.close()


def held(world: World) -> int:
    """What is set aside now; never, with what is spent, more than there is."""
    now = row(world)
    assert now.readable
    assert now.spent + now.reserved <= LIMIT
    return now.reserved


def check_spending(world: World, run_ids: Iterable[str]) -> Counter[str]:
    """The row knows what the records do; every verdict gives the numbers that it is due to. How the runs stand."""
    run_ids = list(run_ids)
    check_runs(world, Shop, run_ids)
    reader, spent, most = world.reader(), 0, 0
    try:
        runs = [reader.run(run_id) for run_id in run_ids]
        for record in (record for run in runs for record in reader.records(run.key)):
            spent += record.spent.tokens
            for numbers, code in ((r.verdict.numbers, r.verdict.code) for r in record.rulings):
                gone, aside, asked = numbers.get("spent", 0), numbers.get("reserved", 0), numbers.get("asked", 0)
                most = max(most, gone + aside)
                assert (asked, numbers["limit"]) == (MOST, LIMIT)
                fits = {"": gone + aside + asked <= LIMIT, "token_budget": gone + asked > LIMIT}
                fits["reserved"] = gone + asked <= LIMIT < gone + aside + asked
                assert fits[code], record
        assert most <= LIMIT, "at no decision was it above"
        assert spent <= LIMIT
        assert row(world) == BudgetRow(spent=spent)
        assert spent + MOST > LIMIT, "nobody was refused who would fit now"
        return Counter(run.state for run in runs)
    finally:
        reader.close()


def test_four_processes_with_fifty_tasks_each_never_spend_more_than_there_is(tmp_path: Path) -> None:
    world = World(tmp_path)
    try:
        shares = [[f"{process}-{n}" for n in range(TASKS)] for process in range(PROCESSES)]
        workers = [world.begin("buy", runs=share) for share in shares]
        world.until(lambda: len(world.told("at the door")) == PROCESSES)
        (world.folder / "door").touch()
        world.until(lambda: held(world) == LIMIT)
        (world.folder / "shop").touch()
        while any(worker.is_alive() for worker in workers):
            held(world)
            workers[0].join(0.01)
        assert [world.ended(worker) for worker in workers] == [0] * PROCESSES, world.errors()
        states = check_spending(world, [run_id for share in shares for run_id in share])
        done = (LIMIT - MOST) // BOUGHT + 1
        assert states == {"done": done, "gone": PROCESSES * TASKS - done}
    finally:
        world.clear()


def test_what_the_dead_had_set_aside_is_settled_by_who_takes_over(tmp_path: Path) -> None:
    """Every process is killed with visits in its hands, some of them twice; the last one sees all runs end."""
    world, chance = World(tmp_path), random.Random(6)
    try:
        shares = [[f"{process}-{n}" for n in range(12)] for process in range(PROCESSES)]
        everyone = [run_id for share in shares for run_id in share]
        (world.folder / "door").touch()
        workers = [world.begin("buy", runs=share) for share in shares]
        world.until(lambda: len(world.told("at the door")) == PROCESSES)
        world.until(lambda: held(world) == LIMIT)
        chance.shuffle(workers)
        for worker in workers:
            worker.kill()
            assert world.ended(worker) == KILLED == -signal.SIGKILL
        assert held(world) == LIMIT, "nobody has freed it"
        again = world.begin("buy", runs=everyone)
        taken = sum(world.effects().values())
        world.until(lambda: sum(world.effects().values()) >= taken + 3)
        assert held(world) == LIMIT
        again.kill()
        assert world.ended(again) == KILLED
        (world.folder / "shop").touch()
        world.finish("buy", runs=everyone)
        states = check_spending(world, everyone)
        assert states["done"] + states["gone"] + states["lost"] == len(everyone)
        assert states["gone"]
    finally:
        world.clear()
