"""The acts of the outage: how many runs begin at once, and what became of them, from both sides."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import islice

from attrs import frozen

from examples.incident.machine import Alert
from examples.incident.outage import COOLDOWN_S, Outage
from examples.incident.services import HANG_S, Services, Trouble
from fsm import Run, Runner, replay_run

METRICS: Sequence[Trouble] = ["500", "500", "500", "late"]


@frozen
class Act:
    """So many runs at once; of a `probe` the answer is late, and it begins when the breaker has cooled down."""

    name: str
    title: str
    runs: int = 3
    probe: bool = False


ACTS = (
    Act("first", "Metrics answer 500 to one run, three times: the breaker that all runs share opens.", runs=1),
    Act("refused", "The next are refused at the door, with no request made, and report what is known."),
    Act("probe", "After the cool-down one is let in, as a probe, and the others are refused while it is out.", 4, True),
    Act("traffic", "Its answer was good: everybody is let in."),
    Act("cheaper", "Their budget comes to its end: a cheaper agent asks one question instead of four."),
)


@frozen(kw_only=True)
class Told:
    """An act as the journal tells it, and what the services tell of the same; `ways` is how many runs went which.

    `attempts` and `seen` count requests, as in a `Story`; `while_out` those for metrics at the moment when the probe
    had no answer yet, and all others were through.
    """

    act: Act
    ways: Counter[str]
    attempts: Counter[str]
    seen: Counter[str]
    while_out: int
    agreed: bool
    runs: tuple[Run, ...]


async def outage(
    runner: Runner, incident: str, rest: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> AsyncIterator[Told]:
    """Act after act, with the same services; `rest` lets so many seconds go by."""
    with Services(metrics=METRICS) as services:
        for act in ACTS:
            if act.probe:
                await rest(COOLDOWN_S)
            yield await _played(runner, incident, act, services)


async def _played(runner: Runner, incident: str, act: Act, services: Services) -> Told:
    before, alert = Counter(services.seen), Alert(service="checkout", site=services.site)
    names = [f"{incident}-{act.name}-{n}" for n in range(1, act.runs + 1)]
    labels = {"example": "incident", "incident": incident}
    await asyncio.gather(*(runner.start(Outage, alert, run_id=name, labels=labels) for name in names))
    settling = [asyncio.ensure_future(runner.settled(name)) for name in names]
    while_out = 0
    if act.probe:
        for settled in islice(asyncio.as_completed(settling), act.runs - 1):
            await settled
        await asyncio.to_thread(services.asked.wait, HANG_S)
        while_out = (services.seen - before)["metrics"]
        services.answer.set()
    runs, read = await asyncio.gather(*settling), runner.journal.read
    attempts = Counter(call.name for run in runs for call in read.calls(run.key) if call.kind == "intent")
    replays = [replay_run(read, name, Outage) for name in names]
    seen = services.seen - before
    return Told(
        act=act,
        ways=Counter(" ".join(record.hop or record.kind for record in read.records(run.key)) for run in runs),
        attempts=attempts,
        seen=seen,
        while_out=while_out,
        agreed=attempts == seen and all(replay.agreed for replay in replays),
        runs=tuple(runs),
    )
